//! `qtrail log stat`: how much is in the log, and how large it is.

use std::path::Path;

use super::super::cells::counted;
use super::super::output::{FormatArgs, Hint, Printer};
use super::super::reading::{answer, collect, footer};
use super::super::{CliError, Context};
use crate::log::Store;
use crate::log::head::State;
use crate::views::Rows as _;

/// Prints how much is in the log, and how large it is.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    format: FormatArgs,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let store = Store::open(&context.store)?;
    let answer = answer(context, None)?;
    let sql = "SELECT kind, count(*), min(recorded), max(recorded) FROM events
               GROUP BY kind ORDER BY min(position)";
    let rows = collect(&answer, sql)?;
    let mut printer = Printer::new(args.format, |_| Hint::default());
    let mut print = || {
        printer.columns(&["kind", "events", "first", "last"].map(ToOwned::to_owned))?;
        rows.iter().try_for_each(|row| printer.row(row))
    };
    print().map_err(|error| CliError::output(&error))?;
    let record = store.read_head()?.record;
    let used = match record.state {
        State::Closed => "closed".to_owned(),
        State::Open { pid } => format!("open in process {pid}"),
    };
    let (log, tables) = (size(&store.sled_folder()), views_size(store.root()));
    let artifacts = size(&store.root().join("artifacts"));
    let lines = [
        format!("store {} (format {}) in {}", store.id(), store.format(), store.root().display()),
        format!(
            "log: {}, {used}, chain {}",
            counted(record.head.position, "event"),
            record.head.chain
        ),
        format!("bytes: log {log}, artifacts {artifacts}, tables {tables}"),
        footer(&answer),
    ];
    printer.finish(&lines).map_err(|error| CliError::output(&error))?;
    Ok(())
}

/// Bytes in the files of a folder; what cannot be read counts as nothing.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(facts) if facts.is_dir() => size(&entry.path()),
            Ok(facts) => facts.len(),
            Err(_) => 0,
        })
        .sum()
}

fn views_size(root: &Path) -> u64 {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let tables = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("views-"));
    tables.filter_map(|entry| entry.metadata().ok()).map(|facts| facts.len()).sum()
}
