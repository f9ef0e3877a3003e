//! `qtrail tables`: which result tables there are, and what their columns are.

use std::io;

use super::cells::is_shown;
use super::output::{FormatArgs, Hint, Printer};
use super::{CliError, Context};
use crate::views::{Rows as _, Table, Value, table, tables};

/// Lists the result tables and the questions they answer, or the columns of one.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A table, to list its columns
    name: Option<String>,
    #[command(flatten)]
    format: FormatArgs,
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, _: &Context) -> Result<(), CliError> {
    let mut printer = Printer::new(args.format, |_| Hint::default());
    let printed = match &args.name {
        None => list(&mut printer, !args.format.format.is_for_people()),
        Some(name) => match table(name) {
            Some(table) => columns(&mut printer, table),
            None => {
                return Err(CliError::usage(format!("no table is called {name}"))
                    .hint("`qtrail tables` lists them"));
            }
        },
    };
    printed.and_then(|()| printer.finish(&[]).map(drop)).map_err(|error| CliError::output(&error))
}

fn list(printer: &mut Printer, with_columns: bool) -> io::Result<()> {
    let width = if with_columns { 3 } else { 2 };
    let names = ["table", "answers", "columns"];
    printer.columns(&names[..width].iter().map(ToString::to_string).collect::<Vec<_>>())?;
    tables().iter().try_for_each(|table| {
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
        let row = [table.name.to_owned(), table.question.to_owned(), columns.join(", ")];
        printer.row(&row.map(Value::Text)[..width])
    })
}

fn columns(printer: &mut Printer, table: &Table) -> io::Result<()> {
    printer.columns(&["column", "what", "unit"].map(ToOwned::to_owned))?;
    table.columns.iter().try_for_each(|column| {
        let text = |text: &str| Value::Text(text.to_owned());
        let unit = column.unit.filter(|unit| is_shown(unit)).map_or(Value::Null, text);
        printer.row(&[text(column.name), text(column.what), unit])
    })
}
