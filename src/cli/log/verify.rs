//! `qtrail log verify`: every event, folded again, and compared.
//!
//! Checks, each only if the ones that it needs are passed, because it means nothing otherwise: bytes
//! (checksum, chain, `HEAD`), meaning (every event decodes and follows what came before, every
//! recorded Q-table is learned again), the tables (the same rows as folded anew), and the artifacts
//! that events name (their hashes). Nothing is changed.

use super::super::output::{FormatArgs, Hint, Printer};
use super::super::work::stop_flag;
use super::super::{CliError, Context, Exit};
use crate::engine::references::Flaw;
use crate::events::frame::Position;
use crate::log::verify::verify_store;
use crate::log::{EventLog as _, SledLog};
use crate::views::{Comparison, Rows as _, Value, ViewError, compare, rebuild};

/// Checks every event, folds them again, compares the tables, and hashes the artifacts that events
/// name. Changes nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Leaves out the artifacts
    #[arg(long)]
    no_artifacts: bool,
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
    let mut log = super::log(context)?;
    let mut findings = findings(&mut log)?;
    // Whether an artifact is missing or altered, not merely unreadable just now.
    let mut lost = false;
    if !args.no_artifacts && findings.iter().all(|finding| finding.good || finding.check != "bytes")
    {
        let (count, flaws) = super::artifacts::verify(&mut log, context, &*stop_flag()?)?;
        lost = flaws.iter().any(Flaw::is_damage);
        findings.extend(artifacts(count, &flaws, log.head()?.position));
    }
    log.release()?;
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
        Some(bad) if bad.check == "artifacts" => {
            let bad = findings.iter().filter(|finding| !finding.good).count();
            let message = format!("{bad} artifacts are missing, altered or unreadable");
            let exit = if lost { Exit::Damaged } else { Exit::Space };
            Err(CliError::new(exit, message).hint(
                "the log is good: copy them from a backup into the artifacts folder of the store; \
                 --no-artifacts checks the log alone",
            ))
        }
        Some(bad) => {
            Err(CliError::new(Exit::Damaged, format!("the log is damaged: {}", bad.found))
                .hint("keep a copy of the store before anything else is tried"))
        }
    }
}

fn findings(log: &mut SledLog) -> Result<Vec<Finding>, CliError> {
    let report = verify_store(log)?;
    if !report.is_good() {
        let bad = report.problems.into_iter().map(|problem| Finding {
            check: "bytes",
            good: false,
            position: problem.position,
            found: problem.found,
        });
        return Ok(bad.collect());
    }
    let end = report.end.position;
    let good = |check, found: String| Finding { check, good: true, position: Some(end), found };
    let mut findings = vec![good("bytes", format!("{end} events: checksums, chain and HEAD"))];
    let store = log.store().clone();
    let between = |log: &mut SledLog| log.yield_if_wanted().map(drop);
    match rebuild(log, store.id(), end, between) {
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

fn artifacts(count: usize, flaws: &[Flaw], end: Position) -> Vec<Finding> {
    let bad = |flaw: &Flaw| {
        let position = flaw.names.first().map(|name| name.position);
        Finding { check: "artifacts", good: false, position, found: flaw.to_string() }
    };
    if !flaws.is_empty() {
        return flaws.iter().map(bad).collect();
    }
    let found = format!("{count} are named, and their bytes have these hashes");
    vec![Finding { check: "artifacts", good: true, position: Some(end), found }]
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
