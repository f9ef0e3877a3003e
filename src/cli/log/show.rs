//! `qtrail log show`: events as they are recorded.

use std::ops::ControlFlow;

use super::super::output::{FormatArgs, Hint, Printer};
use super::super::{CliError, Context, Exit};
use crate::events::codec::decode;
use crate::events::frame::{Frame, Head, Position};
use crate::events::{Fold, KINDS, Recorded};
use crate::log::Reader;
use crate::views::{Rows as _, Value};

/// Prints events as they are recorded.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only those after this position
    #[arg(long, value_name = "N", default_value_t = 0)]
    after: u64,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    format: FormatArgs,
}

/// Which events.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Filter {
    /// Only of this kind, as in trial-finished
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only of this search or run: s1, r1
    #[arg(long, value_name = "SEARCH")]
    search: Option<String>,
}

/// Events read at a time.
const CHUNK: usize = 500;

pub(super) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    args.filter.check()?;
    let mut log = super::log(context)?;
    let output = |error: std::io::Error| CliError::output(&error);
    let mut printer = printer(args.format).map_err(output)?;
    let end = each(&mut log, Position(args.after), |frame, recorded| {
        if printer.count() >= args.limit {
            return Ok(ControlFlow::Break(()));
        }
        if args.filter.wants(recorded) {
            printer.row(&row(frame, recorded)?).map_err(output)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let more = printer.count() == args.limit && args.limit > 0;
    let more = more.then(|| format!("stopped after {} events; --limit, --after", args.limit));
    let lines: Vec<String> = more.into_iter().chain([format!("as of event {end}")]).collect();
    printer.finish(&lines).map_err(output)?;
    Ok(())
}

/// A printer that has the columns of events already.
pub(super) fn printer(format: FormatArgs) -> std::io::Result<Printer> {
    let mut printer = Printer::new(format, |name| Hint { unit: None, json: name == "fields" });
    let names = ["position", "recorded", "kind", "version", "scope", "fields"];
    printer.columns(&names.map(ToOwned::to_owned))?;
    Ok(printer)
}

impl Filter {
    /// Whether there is such a kind at all.
    pub(super) fn check(&self) -> Result<(), CliError> {
        match &self.kind {
            Some(kind) if !KINDS.iter().any(|known| known.name == kind) => {
                let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
                Err(CliError::usage(format!("no kind of event is called {kind}"))
                    .hint(format!("the kinds are {}", names.join(", "))))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn wants(&self, recorded: &Recorded) -> bool {
        let kind = |kind: &String| recorded.event.kind().name == kind;
        let search = |search: &String| recorded.scope.to_string() == *search;
        self.kind.as_ref().is_none_or(kind) && self.search.as_ref().is_none_or(search)
    }
}

/// An event as a row.
pub(super) fn row(frame: &Frame, recorded: &Recorded) -> Result<[Value; 6], CliError> {
    let number = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let bug = |error: &dyn std::fmt::Display| CliError::new(Exit::Bug, error);
    let version = frame.view(recorded.position).map_err(|error| bug(&error))?.version;
    let fields = serde_json::to_string(&recorded.event).map_err(|error| bug(&error))?;
    Ok([
        number(recorded.position.0),
        Value::Text(super::super::clock::utc(recorded.at)),
        Value::Text(recorded.event.kind().name.to_owned()),
        Value::Integer(version.into()),
        Value::Text(recorded.scope.to_string()),
        Value::Text(fields),
    ])
}

/// Folds the events up to a position that are wanted; `wrong` says what one that is refused means.
pub(in crate::cli) fn fold_until<F: Fold>(
    log: &mut Reader,
    end: Position,
    fold: &mut F,
    wanted: impl Fn(&Recorded) -> bool,
    wrong: impl Fn(F::Error) -> CliError,
) -> Result<(), CliError> {
    each(log, Position::default(), |_, recorded| {
        if recorded.position > end {
            return Ok(ControlFlow::Break(()));
        }
        if wanted(recorded) {
            fold.apply(recorded).map_err(&wrong)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(())
}

/// Hands every event after a position to `each`; returns the end of the log.
pub(super) fn each(
    log: &mut Reader,
    after: Position,
    mut each: impl FnMut(&Frame, &Recorded) -> Result<ControlFlow<()>, CliError>,
) -> Result<Position, CliError> {
    let Head { position: end, .. } = log.head()?;
    let mut position = after;
    while position < end {
        let frames = log.read(position, CHUNK)?;
        if frames.is_empty() {
            break;
        }
        for frame in &frames {
            position = position.next();
            let recorded = decode(position, frame).map_err(|error| {
                CliError::new(Exit::Damaged, format!("event {position}: {error}"))
                    .hint("`qtrail log verify` says more")
            })?;
            if each(frame, &recorded)?.is_break() {
                return Ok(end);
            }
        }
    }
    Ok(end)
}
