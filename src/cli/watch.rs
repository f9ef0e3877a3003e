//! `qtrail watch`: a result table that follows a running search.

use std::io::Write as _;

use super::follow::{EveryArgs, Follow};
use super::output::{Format, FormatArgs, terminal_size};
use super::reading::{Kept, answer};
use super::table::{SelectArgs, footers, printer, select};
use super::values::QSource;
use super::{CliError, Context, Exit};
use crate::log::Store;
use crate::views::{self, Rows as _};

/// Prints a result table anew whenever it changes, until Ctrl-C: in place on a terminal, else one
/// below the other.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which table
    name: String,
    #[command(flatten)]
    every: EveryArgs,
    #[command(flatten)]
    rows: SelectArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Lines of a terminal that are not rows: header and its line, three footers, the cursor.
const BESIDE_ROWS: u16 = 6;

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    if let Some(QSource::Replay(_)) = &args.rows.parameters.q.q {
        return Err(CliError::usage("--q replay: a study does not change")
            .hint(format!("`qtrail table {}` shows it", args.name)));
    }
    let mut follow = Follow::new(Store::open(&context.store)?, args.every)?;
    let (mut rows, mut shown) = (args.rows.clone(), None);
    while follow.change()?.is_some() {
        match print(args, &mut rows, &mut shown, context) {
            // Others keep the log or the tables: later, then.
            Err(error) if error.exit == Exit::Busy => {
                if !follow.again() {
                    break;
                }
            }
            other => other?,
        }
    }
    Ok(())
}

/// Prints the table if it is another than `shown`.
fn print(
    args: &Args,
    rows: &mut SelectArgs,
    shown: &mut Option<Kept>,
    context: &Context,
) -> Result<(), CliError> {
    let mut answer = answer(context, None)?;
    let mut select = select(&args.name, rows, &answer)?;
    // The search that was newest at first is the one that is watched.
    rows.search = rows.search.take().or(select.search.clone());
    let attack = &mut rows.parameters.samples.attack;
    *attack = attack.take().or(select.attack.clone());
    rows.parameters.set(&mut answer, &select)?;
    let terminal = terminal_size().filter(|_| args.format.format == Format::Table);
    if let Some((_, height)) = terminal {
        let own = select.limit.or(views::table(&args.name).and_then(|table| table.limit));
        let room = u64::from(height.saturating_sub(BESIDE_ROWS).max(1));
        select.limit = Some(own.map_or(room, |own| own.min(room)));
    }
    let mut kept = Kept::default();
    let more = answer.select(&select, &mut kept)?;
    // On a terminal the footer changes too.
    if terminal.is_none() && shown.as_ref() == Some(&kept) {
        return Ok(());
    }
    let mut lines = rows.parameters.samples.notes(&answer, &select)?;
    lines.extend(footers(&answer, &select, rows, (kept.rows.len() as u64, more))?);
    let mut printer = printer(args.format, &select);
    let mut show = || {
        if terminal.is_some() {
            // Home, and clear from there.
            std::io::stdout().write_all(b"\x1b[H\x1b[J")?;
        }
        printer.columns(&kept.names)?;
        kept.rows.iter().try_for_each(|row| printer.row(row))
    };
    show().and_then(|()| printer.finish(&lines)).map_err(|error| CliError::output(&error))?;
    *shown = Some(kept);
    Ok(())
}
