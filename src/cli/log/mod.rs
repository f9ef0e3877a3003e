//! `qtrail log`: the events themselves.

mod artifacts;
mod backup;
mod digest;
mod export;
mod import;
mod show;
mod stat;
mod tail;
mod verify;

pub(super) use artifacts::Named;
pub(super) use show::each;

use std::sync::atomic::{AtomicBool, Ordering};

use super::{CliError, Context, Exit};
use crate::events::frame::{Frame, Head};
use crate::log::{EventLog as _, SledLog, Store, read_on};

/// Looks at the log: the events that everything follows from.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Print events
    Show(show::Args),
    /// Print the last events, and those to come
    Tail(tail::Args),
    /// Print counts and sizes
    Stat(stat::Args),
    /// Print the hash of the log, or of each search
    Digest(digest::Args),
    /// Check every event and artifact, fold the events again, and compare
    Verify(verify::Args),
    /// Write the log as text, one event a line
    Export(export::Args),
    /// Restore a store from an exported log
    Import(import::Args),
    /// Copy the store, also while a search runs
    Backup(backup::Args),
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    match &args.verb {
        Verb::Show(args) => show::run(args, context),
        Verb::Stat(args) => stat::run(args, context),
        Verb::Digest(args) => digest::run(args, context),
        Verb::Verify(args) => verify::run(args, context),
        Verb::Tail(args) => tail::run(args, context),
        Verb::Export(args) => export::run(args, context),
        Verb::Import(args) => import::run(args, context),
        Verb::Backup(args) => backup::run(args, context),
    }
}

/// The store and its log, not entered yet.
pub(super) fn log(context: &Context) -> Result<SledLog, CliError> {
    Ok(SledLog::outside(Store::open(&context.store)?, context.options()))
}

/// Frames read at a time.
const CHUNK: usize = 500;

/// Hands every frame up to the present end of the log to `each`, checked, letting others in
/// between. Returns that end: all that is handed over is one consistent history.
fn frames(
    log: &mut SledLog,
    stop: &AtomicBool,
    mut each: impl FnMut(Frame) -> Result<(), CliError>,
) -> Result<Head, CliError> {
    let end = log.head()?;
    let mut head = Head::default();
    while head.position < end.position {
        let left = usize::try_from(end.position.0 - head.position.0).unwrap_or(CHUNK);
        let (frames, next) = read_on(log, head, left.min(CHUNK))?;
        if frames.is_empty() {
            break;
        }
        log.yield_if_wanted()?;
        frames.into_iter().try_for_each(&mut each)?;
        going_on(stop)?;
        head = next;
    }
    log.release()?;
    Ok(end)
}

/// An error if a signal asked to stop.
pub(super) fn going_on(stop: &AtomicBool) -> Result<(), CliError> {
    if stop.load(Ordering::Relaxed) {
        return Err(CliError::new(Exit::Interrupted, "interrupted").hint("run it again"));
    }
    Ok(())
}
