//! `qtrail artifacts`: the large files of a store: which events name them, and removing the others.

mod gc;
mod list;

use std::sync::atomic::AtomicBool;

use super::log::{Named, going_on};
use super::{CliError, Context};
use crate::engine::collecting::Searches;
use crate::events::Fold as _;
use crate::events::codec::decode;
use crate::events::frame::Head;
use crate::log::{Reader, read_on};

/// Lists and removes artifacts: weights, checkpoints, probabilities, crafted images.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List artifacts and the events that name them
    List(list::Args),
    /// Remove artifacts that no event names, and what killed processes left; a dry run by default
    Gc(gc::Args),
}

/// Runs the verb.
///
/// # Errors
/// [`CliError`]: no store, a damaged log, a lock that is held for too long, or a full disk.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    match &args.verb {
        Verb::List(args) => list::run(args, context),
        Verb::Gc(args) => gc::run(args, context),
    }
}

/// Frames read at a time.
const CHUNK: usize = 500;

/// What the log says of artifacts, up to some event.
#[derive(Debug, Default)]
struct Known {
    head: Head,
    named: Named,
    /// The searches, if it is asked which weights are the best.
    searches: Option<Searches>,
}

impl Known {
    /// Reads on to the present end of the log.
    fn read_on(&mut self, log: &mut Reader, stop: &AtomicBool) -> Result<(), CliError> {
        loop {
            let (frames, next) = read_on(log, self.head, CHUNK)?;
            if frames.is_empty() {
                return Ok(());
            }
            let mut position = self.head.position;
            for frame in &frames {
                position = position.next();
                self.named.push(frame);
                if let Some(searches) = &mut self.searches
                    && let Ok(recorded) = decode(position, frame)
                {
                    let Ok(()) = searches.apply(&recorded);
                }
            }
            self.head = next;
            going_on(stop)?;
        }
    }
}

/// An integer for a cell; larger ones do not occur.
fn integer(number: u64) -> crate::views::Value {
    crate::views::Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Bytes for people.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}
