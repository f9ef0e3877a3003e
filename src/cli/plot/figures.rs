//! From the tables of a store to figures: which rows each of them is drawn from.

use super::super::CliError;
use super::super::reading::{collect, footer};
use crate::plot::{Figure, learning};
use crate::views::{Answer, Value};

/// A figure that can be asked for.
pub(crate) struct Kind {
    /// Its name.
    pub(crate) name: &'static str,
    /// The question it answers.
    pub(crate) shows: &'static str,
    /// The table with the same numbers.
    pub(crate) table: &'static str,
    /// What a search has that it cannot be drawn of.
    pub(crate) without: &'static str,
    draw: fn(&Asked<'_>) -> Result<Option<Figure>, CliError>,
}

/// All figures.
pub(crate) const PLOTS: &[Kind] = &[Kind {
    name: "learning",
    shows: "Does the agent find better architectures the less it explores? (the paper's Figure 3)",
    table: "epsilon",
    without: "no samples with a result yet",
    draw: learning,
}];

/// What a figure is asked of.
pub(crate) struct Asked<'a> {
    /// The tables.
    pub(crate) answer: &'a Answer,
    /// Label of the search.
    pub(crate) search: &'a str,
    /// How many trials of many.
    pub(crate) top: u8,
    /// Samples that are averaged.
    pub(crate) window: Option<u32>,
}

impl Asked<'_> {
    /// The figure; `None` if there are no rows.
    pub(crate) fn figure(&self, kind: &Kind) -> Result<Option<Figure>, CliError> {
        (kind.draw)(self)
    }

    /// Rows of a statement about the search, whose label stands for `{search}`.
    fn rows(&self, sql: &str) -> Result<Vec<Vec<Value>>, CliError> {
        let label = format!("'{}'", self.search.replace('\'', "''"));
        collect(self.answer, &sql.replace("{search}", &label))
    }

    /// The line of every caption, after what the figure itself has to say.
    fn caption(&self, reading: &str) -> Result<Vec<String>, CliError> {
        let rows = self.rows("SELECT name, data, seed FROM job WHERE label = {search}")?;
        let text = |index: usize| rows.first().map_or(String::new(), |row| text(&row[index]));
        let name = match text(0) {
            name if name.is_empty() => String::new(),
            name => format!(" ({name})"),
        };
        let source = format!("{}{name} on {}, seed {}", self.search, text(1), text(2));
        let mut lines = vec![reading.to_owned(), format!("{source}; {}", footer(self.answer))];
        lines.retain(|line| !line.is_empty());
        Ok(lines)
    }
}

fn learning(asked: &Asked<'_>) -> Result<Option<Figure>, CliError> {
    let rows = asked.rows(
        "SELECT epsilon, accuracy FROM episodes
         WHERE search = {search} AND accuracy IS NOT NULL ORDER BY episode",
    )?;
    let sample = |row: &Vec<Value>| {
        Some(learning::Sample { epsilon: real(&row[0])?, accuracy: real(&row[1])? })
    };
    let samples: Vec<_> = rows.iter().filter_map(sample).collect();
    if samples.is_empty() {
        return Ok(None);
    }
    let asked_for = asked.window.and_then(|window| usize::try_from(window).ok());
    let window = asked_for.unwrap_or_else(|| learning::window(samples.len()));
    let caption = asked.caption("Bars are as wide as there are samples of their ε.")?;
    Ok(Some(learning::figure(&samples, window, caption)))
}

fn real(value: &Value) -> Option<f64> {
    match value {
        Value::Real(number) => Some(*number),
        #[expect(clippy::cast_precision_loss, reason = "counts and parameters; exact to 2^53")]
        Value::Integer(number) => Some(*number as f64),
        _ => None,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        _ => String::new(),
    }
}
