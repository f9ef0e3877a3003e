//! `qtrail log export`: the log as text, for keeping, comparing and carrying to other programs.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::super::cells::counted;
use super::super::destination::Destination;
use super::super::work::stop_flag;
use super::super::{CliError, Context, Exit, note};
use super::artifacts::{self, Carried, Named, Outcome};
use crate::events::codec::{decode, encode};
use crate::events::frame::{Frame, Head, seal};
use crate::events::lines::Writer;
use crate::log::Reader;

/// Writes the log as text: one JSON object an event, and a closing line with their number and the
/// final hash. `qtrail log import` restores a store from it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Into this file, which appears when it is complete; - for stdout [default: -]
    #[arg(short, long, value_name = "FILE")]
    output: Option<Destination>,
    /// Copies the artifacts that the events name, into the folder FILE.artifacts; reports those that
    /// are missing or altered (exit code 4)
    #[arg(long, requires = "output")]
    with_artifacts: bool,
    /// Leaves out host names and folders, to publish it: another log with the same logical digests
    #[arg(long)]
    anonymous: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let destination = args.output.as_ref().unwrap_or(&Destination::Stdout);
    let carried = destination.path().filter(|_| args.with_artifacts).map(artifacts::beside);
    if args.with_artifacts && !destination.is_file() {
        return Err(CliError::usage("--with-artifacts: the artifacts go beside a file")
            .hint("name one with -o FILE"));
    }
    let mut log = super::log(context)?;
    let failed = |error: io::Error| destination.failed(&error);
    let carry = carried.clone().map(Carried::begin).transpose()?;
    let mut out = BufWriter::with_capacity(1 << 16, destination.open()?);
    let (head, outcome) =
        write(&mut log, args.anonymous, carry.as_ref(), context, &mut out, failed)?;
    out.into_inner().map_err(|error| failed(error.into_error()))?.finish()?;
    if destination.path().is_some() {
        let copied = outcome.copied.len();
        let artifacts = args.with_artifacts.then(|| format!(", {}", counted(copied, "artifact")));
        let artifacts = artifacts.unwrap_or_default();
        note(&format!("{}{artifacts}, chain {}", counted(head.position, "event"), head.chain));
    }
    carried.map_or(Ok(()), |folder| outcome.report(&folder))
}

fn write(
    log: &mut Reader,
    anonymous: bool,
    carried: Option<&Carried>,
    context: &Context,
    out: &mut dyn Write,
    failed: impl Fn(io::Error) -> CliError,
) -> Result<(Head, Outcome), CliError> {
    let stop = stop_flag()?;
    let artifacts = log.store().artifacts();
    // Before the end of the log is looked up: what is named there stays until it is copied.
    let _pin = carried.map(|_| artifacts.pin(context.wait)).transpose()?;
    let mut named = Named::default();
    let mut writer = Writer::default();
    let mut anew = Head::default();
    super::frames(log, &stop, |frame| {
        if carried.is_some() {
            named.push(&frame);
        }
        let frame = if anonymous { nameless(&frame, &mut anew)? } else { frame };
        let line = writer.event(&frame).map_err(|error| CliError::new(Exit::Bug, error))?;
        writeln!(out, "{line}").map_err(&failed)
    })?;
    let mut outcome = Outcome::default();
    if let Some(carried) = carried {
        let copy = |hash, from: &mut File| carried.take(hash, from);
        outcome = artifacts::from_store(&named, &artifacts, &stop, copy)?;
    }
    for &hash in &outcome.copied {
        writeln!(out, "{}", writer.artifact(hash)).map_err(&failed)?;
    }
    let (line, head) = writer.close();
    writeln!(out, "{line}").map_err(&failed)?;
    Ok((head, outcome))
}

/// The frame of the same event without names of machines, sealed onto those before it.
fn nameless(frame: &Frame, head: &mut Head) -> Result<Frame, CliError> {
    let bug = |error: &dyn std::fmt::Display| CliError::new(Exit::Bug, error.to_string());
    let recorded = decode(head.position.next(), frame).map_err(|error| bug(&error))?;
    let event = recorded.event.anonymous();
    let payload = encode(recorded.at, recorded.scope, &event).map_err(|error| bug(&error))?;
    let (frame, next) = seal(*head, &payload).map_err(|error| bug(&error))?;
    *head = next;
    Ok(frame)
}

pub(super) fn cannot_write(path: &Path, error: &io::Error) -> CliError {
    CliError::file("write", path, error)
        .hint("see that there is room, and that the folder exists and can be written")
}
