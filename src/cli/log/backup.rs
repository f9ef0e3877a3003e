//! `qtrail log backup`: a copy of the store that is one itself, also taken while a search runs.

use std::path::PathBuf;

use super::super::work::stop_flag;
use super::super::{CliError, Context, say};
use super::artifacts::Taking;
use crate::log::Building;

/// Copies the store, artifacts included, also while a search runs: the copy holds all events up to
/// the moment it began, and is a store itself. Everything is checked on the way.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the copy, where nothing may be yet
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let stop = stop_flag()?;
    let mut log = super::log(context)?;
    let mut building = Building::begin(&args.folder, context.options())?;
    super::frames(&mut log, &stop, |frame| Ok(building.push(frame)?))?;
    // After the events: whatever they name was there before them.
    let mut taking = Taking::into(&building.store()?)?;
    taking.take_from_store(&log.store().artifacts(), &stop)?;
    let (store, head) = building.finish()?;
    let (events, artifacts) = (head.position, taking.taken);
    say(&format!("{events} events and {artifacts} artifacts in {}", store.root().display()));
    Ok(())
}
