//! Values as text: rounded column by column for people, exact for programs.

use super::terminal::escaped;
use crate::views::Value;

/// A table of texts.
pub(super) struct Cells {
    pub(super) headers: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    /// Columns of numbers, which are right-aligned.
    pub(super) numeric: Vec<bool>,
}

/// The unit of numbers that are never rounded: they name something.
const EXACT: &str = "exact";

/// A column of rates, and the column of the counts behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) column: usize,
    pub(super) counts: Option<usize>,
}

/// The columns of rates among some: their units name the columns of their counts.
pub(super) fn rates<'n>(names: &[String], unit: impl Fn(&str) -> Option<&'n str>) -> Vec<Rate> {
    let rate = |(column, name): (usize, &String)| {
        let counts = unit(name)?.strip_prefix("rate of ")?;
        Some(Rate { column, counts: names.iter().position(|name| name == counts) })
    };
    names.iter().enumerate().filter_map(rate).collect()
}

/// Whether people are told a unit: some are for the program.
pub(super) fn is_shown(unit: &str) -> bool {
    unit != "id" && unit != EXACT && !unit.starts_with("rate of ")
}

/// Narrowest width to which a column of long texts is wrapped.
const WRAPPED: usize = 32;
/// Spaces that a column takes besides its text.
const SPACES: usize = 3;

impl Cells {
    pub(super) fn of(rows: &[Vec<Value>], headers: Vec<String>) -> Self {
        let column = |index: usize| rows.iter().filter_map(move |row| row.get(index));
        let is_number = |value: &Value| matches!(value, Value::Integer(_) | Value::Real(_));
        let numeric = (0..headers.len())
            .map(|index| {
                let mut known = column(index).filter(|value| **value != Value::Null).peekable();
                known.peek().is_some() && known.all(is_number)
            })
            .collect();
        let decimals: Vec<Decimals> = (0..headers.len())
            .map(|index| {
                let real = |value: &Value| match value {
                    Value::Real(number) => Some(*number),
                    _ => None,
                };
                Decimals::of(&column(index).filter_map(real))
            })
            .collect();
        let rows = rows
            .iter()
            .map(|row| row.iter().zip(&decimals).map(|(value, d)| d.show(value)).collect())
            .collect();
        Self { headers, rows, numeric }
    }

    /// Says of rates that have no value of how many they are: `rates` are their columns, each with
    /// that of its counts, if it is there.
    pub(super) fn with_undefined(mut self, values: &[Vec<Value>], rates: &[Rate]) -> Self {
        for (row, values) in self.rows.iter_mut().zip(values) {
            for rate in rates {
                if values.get(rate.column) != Some(&Value::Null) {
                    continue;
                }
                let counts = rate.counts.and_then(|counts| values.get(counts));
                row[rate.column] = match counts {
                    Some(Value::Text(counts)) if counts == "0/0" => "n/a (0/0)".to_owned(),
                    _ => "n/a".to_owned(),
                };
            }
        }
        self
    }

    /// Shows numbers as they are in columns whose unit says so.
    pub(super) fn with_exact<'n>(
        mut self,
        values: &[Vec<Value>],
        names: &[String],
        unit: impl Fn(&str) -> Option<&'n str>,
    ) -> Self {
        for (column, _) in names.iter().enumerate().filter(|(_, name)| unit(name) == Some(EXACT)) {
            for (row, values) in self.rows.iter_mut().zip(values) {
                if let Some(Value::Real(number)) = values.get(column) {
                    row[column] = number.to_string();
                }
            }
        }
        self
    }

    /// How many columns, from the left, have room in `width`. At least three: they answer the
    /// question. Long texts may be wrapped.
    pub(super) fn fitting(&self, width: usize) -> usize {
        let mut used = 0;
        for index in 0..self.headers.len() {
            let cells = self.rows.iter().map(|row| row[index].chars().count());
            let header = self.headers[index].chars().count();
            let natural = cells.max().unwrap_or(0).max(header);
            used += SPACES + if index < 3 { natural.min(WRAPPED) } else { natural };
            if used > width && index >= 3 {
                return index;
            }
        }
        self.headers.len()
    }
}

/// How the numbers of a column are rounded: all to the same number of decimals.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Decimals {
    Fixed(usize),
    /// Magnitudes too far apart, or too small, for decimals.
    Scientific,
}

impl Decimals {
    fn of(numbers: &(impl Iterator<Item = f64> + Clone)) -> Self {
        let sizes = numbers.clone().map(f64::abs).filter(|size| size.is_finite() && *size > 0.0);
        let largest = sizes.clone().fold(0.0, f64::max);
        let smallest = sizes.fold(f64::INFINITY, f64::min);
        if smallest < 1e-6 || largest >= 1e15 {
            return Self::Scientific;
        }
        let most = match largest {
            size if size <= 1.0 => 6,
            size if size < 10.0 => 4,
            size if size < 100.0 => 2,
            size if size < 1000.0 => 1,
            _ => 0,
        };
        // Fewer, if nothing is lost by it: epsilon is 0.9, an accuracy of 5,000 images 0.9528.
        let exact = |decimals: &usize| {
            let scale = 10_f64.powi(i32::try_from(*decimals).unwrap_or(0));
            numbers.clone().all(|number| ((number * scale).round() / scale) == number)
        };
        Self::Fixed((0..most).find(exact).unwrap_or(most))
    }

    fn show(self, value: &Value) -> String {
        match (value, self) {
            (Value::Null, _) => "-".to_owned(),
            (Value::Real(number), _) if *number == 0.0 && self == Self::Scientific => {
                "0".to_owned()
            }
            (Value::Real(number), Self::Scientific) => format!("{number:.3e}"),
            (Value::Real(number), Self::Fixed(decimals)) => format!("{number:.decimals$}"),
            (Value::Text(text), _) => escaped(text).into_owned(),
            (other, _) => exact(other),
        }
    }
}

/// A value without rounding; unknown is empty.
pub(super) fn exact(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Integer(number) => number.to_string(),
        // The shortest text that reads back as the same number.
        Value::Real(number) => format!("{number:?}"),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// A number of things in words: `1 attack`, `2 attacks`, `0 batches`, `3 entries`.
pub(super) fn counted(count: impl std::fmt::Display, thing: &str) -> String {
    let count = count.to_string();
    if count == "1" {
        return format!("{count} {thing}");
    }
    match thing.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{count} {stem}ies"),
        _ if thing.ends_with(['s', 'x']) || thing.ends_with("ch") || thing.ends_with("sh") => {
            format!("{count} {thing}es")
        }
        _ => format!("{count} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(numbers: &[f64]) -> Vec<String> {
        let rows: Vec<Vec<Value>> = numbers.iter().map(|n| vec![Value::Real(*n)]).collect();
        let cells = Cells::of(&rows, vec!["n".into()]);
        assert_eq!(cells.numeric, [true]);
        cells.rows.into_iter().map(|mut row| row.remove(0)).collect()
    }

    #[test]
    fn texts_do_not_command_the_terminal() {
        let rows = vec![vec![Value::Text("a\u{1b}[31m\u{7}b\u{9b}c\nd".into())]];
        let cells = Cells::of(&rows, vec!["x".into()]);
        assert_eq!(cells.rows, [["a\\x1b[31m\\x07b\\x9bc\nd"]]);
    }

    #[test]
    fn a_column_is_rounded_as_a_whole() {
        let cases: &[(&[f64], &[&str])] = &[
            (&[1.0, 0.9, 0.8], &["1.0", "0.9", "0.8"]),
            (&[0.9528, 0.1], &["0.9528", "0.1000"]),
            (&[0.522_513_6, 0.5], &["0.522514", "0.500000"]),
            (&[12.345_678, 3.0], &["12.35", "3.00"]),
            (&[61_234.56, 3.0], &["61235", "3"]),
            (&[0.001, 0.000_04], &["0.00100", "0.00004"]),
            (&[1e-9, 0.5, 0.0], &["1.000e-9", "5.000e-1", "0"]),
            (&[2.0, 3.0], &["2", "3"]),
        ];
        for (numbers, expected) in cases {
            assert_eq!(shown(numbers), *expected);
        }
    }

    #[test]
    fn unknown_is_shown_as_unknown_and_aligned_by_what_is_known() {
        let rows = vec![
            vec![Value::Null, Value::Text("a".into()), Value::Null],
            vec![Value::Integer(3), Value::Null, Value::Null],
        ];
        let cells = Cells::of(&rows, vec!["n".into(), "t".into(), "u".into()]);
        assert_eq!(cells.numeric, [true, false, false]);
        assert_eq!(cells.rows, [["-", "a", "-"], ["3", "-", "-"]]);
    }

    #[test]
    fn columns_without_room_are_left_out_but_never_the_first_three() {
        let row = vec![Value::Text("x".repeat(30)); 6];
        let cells = Cells::of(&[row], (0..6).map(|n| n.to_string()).collect());
        assert_eq!(cells.fitting(1000), 6);
        assert_eq!(cells.fitting(135), 4);
        assert_eq!(cells.fitting(20), 3);
    }

    #[test]
    fn one_is_no_plural() {
        let told = [counted(1, "attack"), counted(0, "search"), counted("1", "class")];
        assert_eq!(told, ["1 attack", "0 searches", "1 class"]);
        let told = [counted(2, "class"), counted(3, "entry"), counted(2_u64, "day")];
        assert_eq!(told, ["2 classes", "3 entries", "2 days"]);
    }
}
