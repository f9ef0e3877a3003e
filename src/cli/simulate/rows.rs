//! Printing simulated searches: for people a table a measure, which fits a narrow terminal; for
//! programs one row an agent with everything.

use std::fmt::Write as _;

use super::super::output::{Format, FormatArgs, Hint, Printer};
use super::super::{CliError, say};
use crate::lab::compared::{Compared, Difference, MEASURES};
use crate::lab::study::Summary;
use crate::views::{Rows as _, Value};

/// Prints rows, one an agent, and what has to be known about them.
pub(super) fn print(
    format: FormatArgs,
    rows: &[Compared],
    footer: &[String],
) -> Result<(), CliError> {
    match format.format.is_for_people() {
        true => for_people(format, rows, footer),
        false => table(format, &names(), rows.iter().map(exact), footer),
    }
}

fn for_people(format: FormatArgs, rows: &[Compared], footer: &[String]) -> Result<(), CliError> {
    let space = [String::new()];
    for (index, measure) in MEASURES.iter().enumerate() {
        title(format, &format!("{}: {}", measure.name, measure.what));
        let names = ["policy", "mean ± sd", "vs uniform [95 %]"].map(ToOwned::to_owned);
        let cells = rows.iter().map(|row| {
            let difference = row.differences[index].map(difference);
            vec![
                Value::Text(row.agent.to_string()),
                Value::Text(summary(&row.measures[index])),
                difference.map_or(Value::Null, Value::Text),
            ]
        });
        table(format, &names, cells, &space)?;
    }
    title(format, "the searches, in the mean");
    let names = ["policy", "models", "episodes", "unknown"].map(ToOwned::to_owned);
    let cells = rows.iter().map(|row| {
        let number = |value: f64| Value::Text(format!("{value:.1}"));
        let unknown = Value::Text(format!("{:.1} %", 100.0 * row.unknown));
        let agent = Value::Text(row.agent.to_string());
        vec![agent, number(row.models), number(row.episodes), unknown]
    });
    table(format, &names, cells, footer)
}

fn title(format: FormatArgs, text: &str) {
    match format.format {
        Format::Md => say(&format!("**{text}**\n")),
        _ => say(text),
    }
}

fn summary(summary: &Summary) -> String {
    let Some(mean) = summary.mean else { return "n/a".to_owned() };
    let mut text = format!("{mean:.4}");
    if let Some(sd) = summary.sd {
        let _ = write!(text, " ± {sd:.4}");
    }
    text
}

fn difference(difference: Difference) -> String {
    let mut text = signed(difference.mean);
    if let Some((low, high)) = difference.interval {
        let _ = write!(text, " [{}, {}]", signed(low), signed(high));
    }
    text
}

/// With its sign, unless it is nothing at four decimals.
fn signed(value: f64) -> String {
    if value.abs() < 0.000_05 { "0.0000".to_owned() } else { format!("{value:+.4}") }
}

fn names() -> Vec<String> {
    let mut names = vec!["policy".to_owned(), "models".into(), "episodes".into(), "unknown".into()];
    for measure in MEASURES {
        let name = measure.name;
        names.extend([name.to_owned(), format!("{name}_sd"), format!("{name}_vs_uniform")]);
        names.extend([format!("{name}_low"), format!("{name}_high")]);
    }
    names
}

fn exact(row: &Compared) -> Vec<Value> {
    let real = |value: Option<f64>| value.map_or(Value::Null, Value::Real);
    let mut cells = vec![
        Value::Text(row.agent.to_string()),
        Value::Real(row.models),
        Value::Real(row.episodes),
        Value::Real(row.unknown),
    ];
    for (summary, difference) in row.measures.iter().zip(&row.differences) {
        let interval = difference.and_then(|difference| difference.interval);
        cells.extend([real(summary.mean), real(summary.sd)]);
        cells.push(real(difference.map(|difference| difference.mean)));
        cells.push(real(interval.map(|(low, _)| low)));
        cells.push(real(interval.map(|(_, high)| high)));
    }
    cells
}

fn table(
    format: FormatArgs,
    names: &[String],
    rows: impl Iterator<Item = Vec<Value>>,
    footer: &[String],
) -> Result<(), CliError> {
    let mut printer = Printer::new(format, |_| Hint::default());
    let show = printer
        .columns(names)
        .and_then(|()| rows.into_iter().try_for_each(|row| printer.row(&row)));
    show.and_then(|()| printer.finish(footer).map(drop)).map_err(|error| CliError::output(&error))
}
