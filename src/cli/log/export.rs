//! `qtrail log export`: the log as text, for keeping, comparing and carrying to other programs.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::super::work::stop_flag;
use super::super::{CliError, Context, Exit, note};
use super::artifacts;
use crate::events::codec::{decode, encode};
use crate::events::frame::{Frame, Head, seal};
use crate::events::lines::Writer;
use crate::log::Reader;

/// Writes the log as text: one JSON object an event, and a closing line with their number and the
/// final hash. `qtrail log import` restores a store from it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Into this file, which appears when it is complete [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Copies the artifacts too, into the folder FILE.artifacts
    #[arg(long, requires = "output")]
    with_artifacts: bool,
    /// Leaves out host names and folders, to publish it: another log with the same logical digests
    #[arg(long)]
    anonymous: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let mut log = super::log(context)?;
    let Some(file) = &args.output else {
        let mut out = BufWriter::new(io::stdout().lock());
        let failed = |error: io::Error| CliError::output(&error);
        write(&mut log, args.anonymous, None, &mut out, failed)?;
        return out.flush().map_err(|error| CliError::output(&error));
    };
    let failed = |error: io::Error| cannot_write(file, &error);
    let carried = args.with_artifacts.then(|| artifacts::beside(file));
    // Made aside and renamed: a file of this name is a whole export.
    let mut out = BufWriter::with_capacity(1 << 16, artifacts::aside(file).map_err(failed)?);
    let (head, copied) = write(&mut log, args.anonymous, carried.as_deref(), &mut out, failed)?;
    let out = out.into_inner().map_err(|error| failed(error.into_error()))?;
    out.as_file().sync_all().map_err(failed)?;
    out.persist(file).map_err(|error| failed(error.error))?;
    let artifacts =
        if args.with_artifacts { format!(", {copied} artifacts") } else { String::new() };
    note(&format!("{} events{artifacts}, chain {}", head.position, head.chain));
    Ok(())
}

fn write(
    log: &mut Reader,
    anonymous: bool,
    carried: Option<&Path>,
    out: &mut dyn Write,
    failed: impl Fn(io::Error) -> CliError,
) -> Result<(Head, u64), CliError> {
    let stop = stop_flag()?;
    let mut writer = Writer::default();
    let mut anew = Head::default();
    super::frames(log, &stop, |frame| {
        let frame = if anonymous { nameless(&frame, &mut anew)? } else { frame };
        let line = writer.event(&frame).map_err(|error| CliError::new(Exit::Bug, error))?;
        writeln!(out, "{line}").map_err(&failed)
    })?;
    // After the events: whatever they name was there before them.
    let mut copied = 0;
    if let Some(folder) = carried {
        for hash in artifacts::save(&log.store().artifacts(), folder, &stop)? {
            writeln!(out, "{}", writer.artifact(hash)).map_err(&failed)?;
            copied += 1;
        }
    }
    let (line, head) = writer.close();
    writeln!(out, "{line}").map_err(&failed)?;
    Ok((head, copied))
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
    let exit = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Exit::Space,
        _ => Exit::Usage,
    };
    CliError::new(exit, format!("cannot write {}: {error}", path.display()))
        .hint("see that there is room, and that the folder exists and can be written")
}
