//! `qtrail log backup`: a copy of the store that is one itself, also taken while a search runs.

use std::path::PathBuf;

use super::super::cells::counted;
use super::super::work::stop_flag;
use super::super::{CliError, Context, say};
use super::artifacts::{Named, from_store};
use crate::log::Building;

/// Copies the store, also while a search runs: all events up to the moment it began, and the
/// artifacts that they name. The copy is a store itself. Everything is checked on the way;
/// artifacts that are missing or altered are reported (exit code 4), and all the others copied.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the copy, where nothing may be yet
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let stop = stop_flag()?;
    let mut log = super::log(context)?;
    let artifacts = log.store().artifacts();
    // Before the end of the log is looked up: what is named there stays until it is copied.
    let pin = artifacts.pin(context.wait)?;
    let mut building = Building::begin(&args.folder, context.options())?;
    let mut named = Named::default();
    super::frames(&mut log, &stop, |frame| {
        named.push(&frame);
        Ok(building.push(frame)?)
    })?;
    let outcome =
        from_store(&named, &artifacts, &stop, |hash, from| Ok(building.take(hash, from)?))?;
    drop(pin);
    let (store, head) = building.finish()?;
    let (events, copied, root) = (head.position, outcome.copied.len(), store.root());
    let (events, copied) = (counted(events, "event"), counted(copied, "artifact"));
    say(&format!("{events} and {copied} in {}", root.display()));
    outcome.report(root)
}
