//! `qtrail sql`: a statement of one's own.

use std::io::Write as _;
use std::time::Duration;

use super::cells::counted;
use super::output::{FormatArgs, Printer};
use super::reading::{AtArgs, answer, footer};
use super::table::unit;
use super::{CliError, Context};
use crate::views::{FUNCTIONS, PACKED_FUNCTIONS, TABLES_SQL};

/// Runs one SQL statement that reads (SQLite's dialect).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The statement, as in "SELECT arch, count(*) FROM episodes GROUP BY 1"
    #[arg(value_name = "SELECT …", required_unless_present = "schema")]
    statement: Option<String>,
    /// Prints all tables with what their columns mean, and the functions there are
    #[arg(long)]
    schema: bool,
    /// At most so many rows; 0 for all [default: 10000 for people, else all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Stops the statement after so many seconds of its own; 0 for never
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = super::seconds)]
    time_limit: f64,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Rows for people are kept until the widths of columns are known.
const LIMIT: u64 = 10_000;

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let Some(statement) = args.statement.as_deref().filter(|_| !args.schema) else {
        return print_schema().map_err(|error| CliError::output(&error));
    };
    let answer = answer(context, args.at.at)?;
    answer.limit_time(Some(args.time_limit).filter(|&s| s > 0.0).map(Duration::from_secs_f64));
    let default = args.format.format.is_for_people().then_some(LIMIT);
    let limit = args.limit.or(default).filter(|&limit| limit > 0);
    let mut printer = Printer::new(args.format, unit);
    let more = answer.sql(statement, limit, &mut printer)?;
    let mut lines = Vec::new();
    if more {
        let rows = counted(printer.count(), "row");
        lines.push(format!("stopped after {rows}; --limit 0 prints all"));
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
    writeln!(out, "\n-- and over packed numbers of images (table scored)")?;
    for (name, what) in PACKED_FUNCTIONS {
        writeln!(out, "--   {name}: {what}")?;
    }
    out.flush()
}
