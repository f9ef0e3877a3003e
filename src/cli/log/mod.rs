//! `qtrail log`: the events themselves.

mod artifacts;
mod backup;
mod digest;
mod export;
mod import;
mod repair;
mod show;
mod stat;
mod tail;
mod verify;

pub(super) use artifacts::Named;
pub(super) use show::fold_until;

use std::sync::atomic::{AtomicBool, Ordering};

use super::{CliError, Context, Exit};
use crate::events::frame::{Frame, Head};
use crate::log::{Reader, Store, read_on};

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
    /// Show what is wrong with the copies of the events, and repair it
    Repair(repair::Args),
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
        Verb::Repair(args) => repair::run(args, context),
        Verb::Tail(args) => tail::run(args, context),
        Verb::Export(args) => export::run(args, context),
        Verb::Import(args) => import::run(args, context),
        Verb::Backup(args) => backup::run(args, context),
    }
}

/// The log, to be read.
pub(super) fn log(context: &Context) -> Result<Reader, CliError> {
    Ok(Reader::open(&Store::open(&context.store)?)?)
}

/// Frames read at a time.
const CHUNK: usize = 500;

/// Hands every frame up to the present end of the log to `each`, checked. Returns that end: all
/// that is handed over is one consistent history.
fn frames(
    log: &mut Reader,
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
        frames.into_iter().try_for_each(&mut each)?;
        going_on(stop)?;
        head = next;
    }
    Ok(end)
}

/// An error if a signal asked to stop.
pub(super) fn going_on(stop: &AtomicBool) -> Result<(), CliError> {
    if stop.load(Ordering::Relaxed) {
        return Err(CliError::new(Exit::Interrupted, "interrupted").hint("run it again"));
    }
    Ok(())
}
