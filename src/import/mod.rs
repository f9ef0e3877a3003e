//! Histories of other programs, as facts: pure, text in, rows out.
//!
//! | file | what it holds |
//! |---|---|
//! | `metaqnn` | the replay database of the MetaQNN authors (`replay_database.csv`) |
//! | `qvalues` | their Q-table (`q_values.csv`), in 17 or 21 columns |
//! | `tally` | what a log amounts to: trials, repetitions, conflicts, gaps |
//!
//! What is wrong is named with the line it stands on; then nothing of the file is taken. Files are
//! not trusted: every length and number has a limit.

pub mod metaqnn;
pub mod qvalues;
mod tally;

use crate::arch::NotationError;
use crate::config::space::SpaceError;

/// Largest file that is read, in bytes.
pub const FILE_MAX: u64 = 256 << 20;
/// Most rows of a file.
pub const ROWS_MAX: usize = 1_000_000;
/// Longest value of a column, in bytes: an architecture of 64 layers fits several times.
const FIELD_MAX: usize = 4_096;

/// Why a file is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The columns are not those of the format.
    #[error("line 1: {0}")]
    Columns(String),
    /// The text is no CSV.
    #[error("line {line}: {reason}")]
    Csv {
        /// Where, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A value that is none.
    #[error("line {line}: {column} is `{value}`, {expected}")]
    Value {
        /// Where, from 1.
        line: u64,
        /// The column.
        column: &'static str,
        /// What stands there, shortened.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A text that is no architecture.
    #[error("line {line}: net: {source}")]
    Architecture {
        /// Where, from 1.
        line: u64,
        /// What is wrong with it.
        source: NotationError,
    },
    /// An architecture that the search cannot have sampled.
    #[error(
        "line {line}: net: {text} is not in the state space of images with side {side}, \
         {classes} classes and at most {layer_limit} layers"
    )]
    OutsideSpace {
        /// Where, from 1.
        line: u64,
        /// The architecture.
        text: String,
        /// Side of the images.
        side: u32,
        /// Number of classes.
        classes: u32,
        /// Most layers.
        layer_limit: u32,
    },
    /// A pair that stands there twice.
    #[error("line {line}: the same state and action as on line {before}")]
    Twice {
        /// Where, from 1.
        line: u64,
        /// Where it stood first.
        before: u64,
    },
    /// A space that cannot be.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// No row at all, or too many.
    #[error("{0}")]
    Rows(String),
}

/// A value as it is shown in a message: short, and without control characters.
fn shown(value: &str) -> String {
    let short: String = value.chars().take(40).flat_map(char::escape_debug).collect();
    if value.chars().count() > 40 { short + "…" } else { short }
}

/// Rows of a CSV file, by the names of its columns.
struct Table<'t> {
    reader: csv::Reader<&'t [u8]>,
    /// The place of each wanted column.
    places: Vec<usize>,
    wanted: &'static [&'static str],
    record: csv::StringRecord,
    count: usize,
}

impl<'t> Table<'t> {
    /// Reads the header. Each of `wanted` must be there once; besides them only `optional` may be.
    fn new(
        text: &'t str,
        wanted: &'static [&'static str],
        optional: &[&str],
    ) -> Result<Self, ImportError> {
        let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
        let header = reader.headers().map_err(csv_error)?.clone();
        if let Some(name) = header.iter().find(|n| !wanted.contains(n) && !optional.contains(n)) {
            let (name, all) = (shown(name), wanted.join(", "));
            return Err(ImportError::Columns(format!("no column is called `{name}`; {all}")));
        }
        let place = |name: &&str| {
            let mut places = header.iter().enumerate().filter(|(_, found)| found == name);
            match (places.next(), places.next()) {
                (Some((place, _)), None) => Ok(place),
                (None, _) => Err(ImportError::Columns(format!("the column {name} is missing"))),
                _ => Err(ImportError::Columns(format!("the column {name} is there twice"))),
            }
        };
        let places = wanted.iter().map(place).collect::<Result<_, _>>()?;
        Ok(Self { reader, places, wanted, record: csv::StringRecord::new(), count: 0 })
    }

    /// The next row, if there is one.
    fn next(&mut self) -> Result<Option<Fields<'_>>, ImportError> {
        if !self.reader.read_record(&mut self.record).map_err(csv_error)? {
            return Ok(None);
        }
        self.count += 1;
        if self.count > ROWS_MAX {
            return Err(ImportError::Rows(format!("more than {ROWS_MAX} rows")));
        }
        let line = self.record.position().map_or(0, csv::Position::line);
        let (places, wanted) = (&self.places, self.wanted);
        let fields = Fields { record: &self.record, places, wanted, line };
        if let Some(index) = (0..wanted.len()).find(|&i| fields.text(i).len() > FIELD_MAX) {
            return Err(fields.wrong(index, "longer than 4096 bytes"));
        }
        Ok(Some(fields))
    }
}

/// The values of a row.
struct Fields<'r> {
    record: &'r csv::StringRecord,
    places: &'r [usize],
    wanted: &'static [&'static str],
    /// From 1.
    line: u64,
}

impl Fields<'_> {
    /// The text of the wanted column number `index`.
    fn text(&self, index: usize) -> &str {
        self.places.get(index).and_then(|&place| self.record.get(place)).unwrap_or_default()
    }

    fn wrong(&self, index: usize, expected: &'static str) -> ImportError {
        let (column, value) = (self.wanted[index], shown(self.text(index)));
        ImportError::Value { line: self.line, column, value, expected }
    }

    /// A number that is finite.
    fn number(&self, index: usize) -> Result<f64, ImportError> {
        let number = self.text(index).trim().parse().ok().filter(|x: &f64| x.is_finite());
        number.ok_or_else(|| self.wrong(index, "not a finite number"))
    }

    /// A whole number, perhaps written as 533.0.
    fn whole(&self, index: usize) -> Result<u32, ImportError> {
        let number = self.number(index)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        let whole = number as u32; // saturates; compared below
        match f64::from(whole) == number {
            true => Ok(whole),
            false => Err(self.wrong(index, "not a whole number from 0 to 4294967295")),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn csv_error(error: csv::Error) -> ImportError {
    let line = error.position().map_or(1, csv::Position::line);
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} values where the first line has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
        _ => error.to_string(),
    };
    ImportError::Csv { line, reason }
}
