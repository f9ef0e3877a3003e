//! `qtrail log tail`: the last events, and those to come.

use std::collections::VecDeque;
use std::io::Write as _;
use std::ops::ControlFlow;

use super::super::follow::{EveryArgs, Follow};
use super::super::output::{Format, FormatArgs, Printer, terminal_width};
use super::super::terminal::escaped;
use super::super::{CliError, Context, clock};
use super::show::{Filter, each, printer, row};
use crate::events::Recorded;
use crate::events::frame::{Frame, Position};
use crate::log::Reader;
use crate::views::Rows as _;

/// Prints the last events, and with --follow those to come, until Ctrl-C.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Goes on as events are recorded, beside a running search
    #[arg(short, long)]
    follow: bool,
    /// So many of the last events
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    last: usize,
    #[command(flatten)]
    every: EveryArgs,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    format: FormatArgs,
}

/// Events looked at in one go on the way back from the end.
const CHUNK: u64 = 1_000;

pub(super) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    args.filter.check()?;
    if args.follow && matches!(args.format.format, Format::Md | Format::Json) {
        let message = "--follow has no end, as md and json would need";
        return Err(CliError::usage(message).hint("use --format table, csv, tsv or jsonl"));
    }
    let mut log = super::log(context)?;
    let mut out = Out::new(args.format)?;
    let mut position = log.head()?.position;
    for (frame, recorded) in last(&mut log, position, args)? {
        out.event(&frame, &recorded)?;
    }
    if args.follow {
        out.flush()?;
        let mut follow = Follow::new(log.store().clone(), args.every)?;
        position = carry_on(&mut log, &mut follow, position, args, &mut out)?;
    }
    out.finish(&format!("as of event {position}"))
}

/// Prints what is recorded from now on.
fn carry_on(
    log: &mut Reader,
    follow: &mut Follow,
    mut position: Position,
    args: &Args,
    out: &mut Out,
) -> Result<Position, CliError> {
    while follow.change()?.is_some() {
        let read = each(log, position, |frame, recorded| {
            position = recorded.position;
            if args.filter.wants(recorded) {
                out.event(frame, recorded)?;
            }
            Ok(ControlFlow::Continue(()))
        });
        read?;
        out.flush()?;
    }
    Ok(position)
}

/// The last events that are wanted, up to `end`.
fn last(
    log: &mut Reader,
    end: Position,
    args: &Args,
) -> Result<VecDeque<(Frame, Recorded)>, CliError> {
    let mut found = VecDeque::new();
    let mut before = end.0;
    while before > 0 && found.len() < args.last {
        let after = before.saturating_sub(CHUNK);
        let mut chunk = Vec::new();
        each(log, Position(after), |frame, recorded| {
            if recorded.position.0 > before {
                return Ok(ControlFlow::Break(()));
            }
            if args.filter.wants(recorded) {
                chunk.push((frame.clone(), recorded.clone()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        chunk.into_iter().rev().take(args.last - found.len()).for_each(|e| found.push_front(e));
        before = after;
    }
    Ok(found)
}

/// Where events go: a line each for people, as they come; rows for programs.
enum Out {
    Lines { width: Option<usize> },
    Rows(Box<Printer>),
}

impl Out {
    fn new(format: FormatArgs) -> Result<Self, CliError> {
        if format.format == Format::Table {
            return Ok(Self::Lines { width: terminal_width().map(usize::from) });
        }
        let printer = printer(format).map_err(|error| CliError::output(&error))?;
        Ok(Self::Rows(Box::new(printer)))
    }

    fn event(&mut self, frame: &Frame, recorded: &Recorded) -> Result<(), CliError> {
        let printed = match self {
            Self::Rows(printer) => printer.row(&row(frame, recorded)?),
            Self::Lines { width } => {
                let line = line(recorded, width.unwrap_or(usize::MAX));
                writeln!(std::io::stdout(), "{line}")
            }
        };
        printed.map_err(|error| CliError::output(&error))
    }

    fn flush(&mut self) -> Result<(), CliError> {
        let flushed = match self {
            Self::Rows(printer) => printer.flush(),
            Self::Lines { .. } => std::io::stdout().flush(),
        };
        flushed.map_err(|error| CliError::output(&error))
    }

    fn finish(self, footer: &str) -> Result<(), CliError> {
        let finished = match self {
            Self::Rows(printer) => printer.finish(&[footer.to_owned()]).map(drop),
            Self::Lines { .. } => writeln!(std::io::stdout(), "{footer}"),
        };
        finished.map_err(|error| CliError::output(&error))
    }
}

/// An event as a line, cut where the terminal ends.
fn line(recorded: &Recorded, width: usize) -> String {
    let Recorded { position, at, scope, event } = recorded;
    let (time, kind) = (clock::utc(*at), event.kind().name);
    let scope = scope.to_string();
    let fields = serde_json::to_string(event).unwrap_or_default();
    let line = format!("{position:>7}  {time}  {scope:5}  {kind:19}  {fields}");
    let line = escaped(&line);
    match line.char_indices().nth(width) {
        Some((end, _)) => line[..end].to_owned(),
        None => line.to_string(),
    }
}
