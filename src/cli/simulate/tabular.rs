//! `simulate --table FILE.csv`: architectures with accuracies from anywhere, as the environment.

use super::super::CliError;
use crate::agent::space::Space;
use crate::arch::{Architecture, Layer};
use crate::lab::environment::Environment;

/// Names of the column with architectures, and of that with accuracies.
const ARCHITECTURE: &[&str] = &["architecture", "arch"];
const ACCURACY: &[&str] = &["accuracy"];

/// One row.
struct Row {
    line: u64,
    architecture: Architecture,
    accuracy: f64,
}

/// The rows of a table, before it is known in which space they lie.
pub(super) struct Tabular {
    name: String,
    rows: Vec<Row>,
}

impl Tabular {
    /// Reads the text of a file: CSV with a header, in which `architecture` (or `arch`) and
    /// `accuracy` are columns; others are left alone. Several rows of one architecture are several
    /// trainings of it.
    pub(super) fn read(name: &str, text: &str) -> Result<Self, CliError> {
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let broken = |error: &csv::Error| {
            let line = error.position().map_or(1, |position| line(text, position));
            wrong(name, line, &format!("it is no CSV: {error}"))
        };
        let headers = reader.headers().map_err(|error| broken(&error))?.clone();
        let column = |names: &[&str]| {
            let same = |header: &str| names.iter().any(|name| header.eq_ignore_ascii_case(name));
            headers.iter().position(same).ok_or_else(|| {
                wrong(name, 1, &format!("no column is called {}", names[0]))
                    .hint("the header is `architecture,accuracy`; architectures stand in quotes")
            })
        };
        let (architecture, accuracy) = (column(ARCHITECTURE)?, column(ACCURACY)?);
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| broken(&error))?;
            let line = record.position().map_or(1, |position| line(text, position));
            let field = |index: usize| record.get(index).unwrap_or_default();
            let net = field(architecture).parse::<Architecture>();
            let architecture = net.map_err(|error| wrong(name, line, &error.to_string()))?;
            let number = field(accuracy).parse::<f64>().ok();
            let number = number.filter(|number| (0.0..=1.0).contains(number));
            let Some(accuracy) = number else {
                let text = field(accuracy);
                return Err(wrong(name, line, &format!("accuracy `{text}` is not from 0 to 1")));
            };
            rows.push(Row { line, architecture, accuracy });
        }
        if rows.is_empty() {
            return Err(wrong(name, 1, "there are no rows below the header"));
        }
        Ok(Self { name: name.to_owned(), rows })
    }

    /// Classes that its first architecture tells apart.
    pub(super) fn classes(&self) -> u32 {
        match self.rows[0].architecture.layers().last() {
            Some(Layer::Softmax { classes }) => *classes,
            _ => 0, // an architecture ends with softmax
        }
    }

    /// The environment that the rows make; each must be in the space.
    pub(super) fn environment(&self, space: &Space) -> Result<Environment, CliError> {
        let mut environment = Environment::default();
        for row in &self.rows {
            if space.trajectory(&row.architecture).is_none() {
                let net = &row.architecture;
                let why = format!("{net} is not in the state space");
                return Err(wrong(&self.name, row.line, &why)
                    .hint("name the space with --preset, or a search that is in it"));
            }
            environment.push(&row.architecture, row.accuracy);
        }
        Ok(environment)
    }
}

/// The line that a record begins on, from 1. Its position is that before the empty lines that it was
/// looked for behind.
fn line(text: &str, position: &csv::Position) -> u64 {
    let at = usize::try_from(position.byte()).unwrap_or(0).min(text.len());
    let (before, after) = text.as_bytes().split_at(at);
    let skipped = after.iter().take_while(|byte| b"\r\n".contains(byte));
    before.iter().chain(skipped).map(|byte| u64::from(*byte == b'\n')).sum::<u64>() + 1
}

fn wrong(name: &str, line: u64, why: &str) -> CliError {
    CliError::usage(format!("--table {name}, line {line}: {why}"))
}
