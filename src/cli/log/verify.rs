//! `qtrail log verify`: every event, folded again, and compared.
//!
//! The checks, each only if the one before is passed, because it means nothing otherwise: the bytes
//! of the journal (checksums, chain, up to what `HEAD` acknowledges), sled against the journal, event
//! by event, meaning (every event decodes and follows what came before, every recorded Q-table is
//! learned again), and the tables (the same rows as folded anew). Nothing is changed.

use super::super::output::{FormatArgs, Hint, Printer};
use super::super::{CliError, Context, Exit};
use crate::events::frame::Position;
use crate::log::verify::{Copy, compare_copies, verify};
use crate::log::{Reader, Store};
use crate::views::{Comparison, Rows as _, Value, ViewError, compare, rebuild};

/// Checks every event, folds them again, and compares the tables. Changes nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    format: FormatArgs,
}

/// What a check found.
struct Finding {
    check: &'static str,
    good: bool,
    position: Option<Position>,
    found: String,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let findings = findings(context)?;
    let mut printer = Printer::new(args.format, |_| Hint::default());
    let mut print = || {
        printer.columns(&["check", "verdict", "position", "found"].map(ToOwned::to_owned))?;
        findings.iter().try_for_each(|finding| printer.row(&finding.row()))
    };
    print().map_err(|error| CliError::output(&error))?;
    printer.finish(&[]).map_err(|error| CliError::output(&error))?;
    match findings.iter().find(|finding| !finding.good) {
        None => Ok(()),
        Some(bad) if bad.check == "tables" => {
            Err(CliError::new(Exit::Damaged, "the tables are not what follows from the log")
                .hint("the log is good: delete views-*.sqlite in the store, they come back"))
        }
        Some(bad) => {
            let found = format!("{} is damaged: {}", bad.check, bad.found);
            let hint = match bad.check {
                "journal" | "sled" => "`qtrail log repair` says what can be restored",
                _ => "keep a copy of the store before anything else is tried",
            };
            Err(CliError::new(Exit::Damaged, found).hint(hint))
        }
    }
}

fn findings(context: &Context) -> Result<Vec<Finding>, CliError> {
    let store = Store::open(&context.store)?;
    let mut log = Reader::open(&store)?;
    let report = verify(&mut log)?;
    if !report.is_good() {
        let bad = report.problems.into_iter().map(|problem| Finding {
            check: "journal",
            good: false,
            position: problem.position,
            found: problem.found,
        });
        return Ok(bad.collect());
    }
    let end = report.end.position;
    let good = |check, found: String| Finding { check, good: true, position: Some(end), found };
    let mut findings = vec![good("journal", format!("{end} events: checksums and chain"))];
    findings.push(copies(compare_copies(&store, &context.options(), report.end)?, end));
    match rebuild(&mut log, store.id(), end) {
        Ok(model) => {
            let found = "every event follows, every recorded Q-table is learned again";
            findings.push(good("meaning", found.to_owned()));
            findings.push(tables(compare(&store, &model)?, end));
        }
        Err(ViewError::Log(error)) => return Err(error.into()),
        Err(error) => {
            let (good, position) = (false, error.position());
            findings.push(Finding { check: "meaning", good, position, found: error.to_string() });
        }
    }
    Ok(findings)
}

/// How sled compares with the journal.
fn copies(copy: Copy, end: Position) -> Finding {
    let (good, position, found) = match copy {
        Copy::Same(at) if at == end => (true, Some(at), "the same events".to_owned()),
        Copy::Same(at) => (
            true,
            Some(at),
            "the same events up to here; it gets the others when it is opened".into(),
        ),
        Copy::Differs(problem) => (false, problem.position, problem.found),
        Copy::Unknown(why) => (true, None, format!("not compared: {why}")),
    };
    Finding { check: "sled", good, position, found }
}

fn tables(comparison: Comparison, end: Position) -> Finding {
    let (good, position, found) = match comparison {
        Comparison::Same => (true, Some(end), "the same rows as folded anew".to_owned()),
        Comparison::Differs => (false, Some(end), "other rows than folded anew".to_owned()),
        Comparison::At(position) => {
            (true, Some(position), "they show another position; not compared".to_owned())
        }
        Comparison::Absent => (true, None, "there are none yet".to_owned()),
        Comparison::Unusable(found) => (false, None, found),
    };
    Finding { check: "tables", good, position, found }
}

impl Finding {
    fn row(&self) -> [Value; 4] {
        let position =
            |position: Position| Value::Integer(i64::try_from(position.0).unwrap_or(i64::MAX));
        [
            Value::Text(self.check.to_owned()),
            Value::Text(if self.good { "good" } else { "damaged" }.to_owned()),
            self.position.map_or(Value::Null, position),
            Value::Text(self.found.clone()),
        ]
    }
}
