//! `qtrail log import`: a store from an exported log, all or nothing.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::super::cells::counted;
use super::super::work::stop_flag;
use super::super::{CliError, Context, note, say};
use super::artifacts::{Named, Outcome, beside, from_folder};
use crate::events::lines::{LINE_MAX, Line, LineError, Reader};
use crate::log::Building;

/// Restores a store from an exported log, where there is none yet. Takes the stored frames alone;
/// checks every checksum, the chain, the number of events and the final hash, and restores nothing
/// if one of them is wrong.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file that `qtrail log export` wrote; - for stdin
    file: PathBuf,
    /// Takes the artifacts that the events name, from the folder FILE.artifacts; reports those that
    /// are missing or altered (exit code 4)
    #[arg(long)]
    with_artifacts: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let stop = stop_flag()?;
    let mut input = open(&args.file)?;
    let mut building = Building::begin(&context.store, context.options())?;
    let mut named = Named::default();
    let (mut reader, mut bytes, mut left) = (Reader::default(), Vec::new(), 0);
    while next(&mut input, &mut bytes).map_err(|error| unreadable(&args.file, &error))? {
        super::going_on(&stop)?;
        if bytes.len() > LINE_MAX {
            return Err(wrong(&args.file, &reader.too_long()));
        }
        match reader.line(&bytes).map_err(|error| wrong(&args.file, &error))? {
            Line::Event(frame) => {
                named.push(&frame);
                building.push(frame)?;
            }
            Line::Artifact(_) => left += 1,
            Line::Closing => {}
        }
    }
    reader.finish().map_err(|error| wrong(&args.file, &error))?;
    let mut outcome = Outcome::default();
    if args.with_artifacts {
        let take = |hash, from: &mut File| Ok(building.take(hash, from)?);
        outcome = from_folder(&named, &beside(&args.file), &stop, take)?;
    }
    let (store, head) = building.finish()?;
    if left > 0 && !args.with_artifacts {
        let left = counted(left, "artifact");
        note(&format!("left out: {left}; --with-artifacts takes them too"));
    }
    let taken = outcome.copied.len();
    let artifacts = (taken > 0).then(|| format!(" and {}", counted(taken, "artifact")));
    let (artifacts, events) = (artifacts.unwrap_or_default(), counted(head.position, "event"));
    say(&format!("restored {events}{artifacts} in {}", store.root().display()));
    outcome.report(store.root())
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, CliError> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
}

/// Reads the next line, without its end, into `bytes`; `false` at the end of the file. Of a line
/// that is too long only so much is read that this can be seen.
fn next(input: &mut dyn BufRead, bytes: &mut Vec<u8>) -> io::Result<bool> {
    bytes.clear();
    let most = LINE_MAX as u64 + 2;
    let read = input.take(most).read_until(b'\n', bytes)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Ok(read > 0)
}

fn wrong(path: &Path, error: &LineError) -> CliError {
    CliError::usage(format!("{}: {error}", path.display())).hint("nothing was restored")
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    CliError::usage(format!("cannot read {}: {error}", path.display()))
}
