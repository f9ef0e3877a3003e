//! `qtrail sql`: a statement of one's own.

use std::io::Write as _;

use super::output::{FormatArgs, Printer};
use super::reading::{AtArgs, answer, footer};
use super::table::unit;
use super::{CliError, Context};
use crate::views::{FUNCTIONS, TABLES_SQL};

/// Runs one SQL statement that reads (SQLite's dialect).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The statement, as in "SELECT arch, count(*) FROM episodes GROUP BY 1"
    #[arg(value_name = "SELECT …", required_unless_present = "schema")]
    statement: Option<String>,
    /// Prints all tables with what their columns mean, and the functions there are
    #[arg(long)]
    schema: bool,
    /// At most so many rows
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let Some(statement) = args.statement.as_deref().filter(|_| !args.schema) else {
        return print_schema().map_err(|error| CliError::output(&error));
    };
    let answer = answer(context, args.at.at)?;
    let mut printer = Printer::new(args.format, unit);
    answer.sql(statement, args.limit, &mut printer)?;
    let mut lines = Vec::new();
    if args.limit == Some(printer.count()) {
        lines.push(format!("stopped after {} rows by --limit", printer.count()));
    }
    lines.push(footer(&answer));
    printer.finish(&lines).map_err(|error| CliError::output(&error))?;
    Ok(())
}

fn print_schema() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(TABLES_SQL.as_bytes())?;
    writeln!(out, "\n-- functions besides those of SQLite")?;
    for (name, what) in FUNCTIONS {
        writeln!(out, "--   {name:17} {what}")?;
    }
    out.flush()
}
