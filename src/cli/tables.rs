//! `qtrail tables`: which result tables there are.

use super::output::{FormatArgs, Hint, Printer};
use super::{CliError, Context};
use crate::views::{Rows as _, Value, tables};

/// Lists the result tables and the questions they answer.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    format: FormatArgs,
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, _: &Context) -> Result<(), CliError> {
    let mut printer = Printer::new(args.format, |_| Hint::default());
    let print = |printer: &mut Printer| {
        printer.columns(&["name".to_owned(), "answers".to_owned(), "columns".to_owned()])?;
        for table in tables() {
            let columns: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
            let row = [table.name.to_owned(), table.question.to_owned(), columns.join(", ")];
            printer.row(&row.map(Value::Text))?;
        }
        Ok(())
    };
    print(&mut printer).map_err(|error| CliError::output(&error))?;
    printer.finish(&[]).map_err(|error| CliError::output(&error))?;
    Ok(())
}
