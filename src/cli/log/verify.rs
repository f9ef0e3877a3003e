//! `qtrail log verify`: every event, folded again, and compared.
//!
//! The checks, each only if those that it needs are passed, because it means nothing otherwise: the
//! bytes of the journal (checksums, chain, up to what `HEAD` acknowledges), its end (the tables have
//! shown no event that it lacks), sled against the journal, event by event, meaning (every event
//! decodes and follows what came before, every recorded Q-table is learned again), with `--deep` the
//! tables (the same definitions, indices and rows as folded anew), and the artifacts that events name
//! (their hashes). Nothing is changed.

use super::super::error::ROLLED_BACK;
use super::super::output::{FormatArgs, Hint, Printer};
use super::super::work::stop_flag;
use super::super::{CliError, Context, Exit};
use crate::engine::references::Flaw;
use crate::events::frame::Position;
use crate::log::verify::{Copy, compare_copies, verify};
use crate::log::{LogError, Reader, Store};
use crate::views::{Comparison, Rows as _, Value, ViewError, compare, rebuild, refuse_rollback};

/// Check every event and the artifacts that events name, and fold the events again. Changes nothing
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Compare the tables too: definitions, indices and rows
    #[arg(long)]
    deep: bool,
    /// Leave out the artifacts
    #[arg(long)]
    no_artifacts: bool,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    /// The system refused: the check is to be repeated.
    Unknown,
    Damaged,
}

/// What a check found.
struct Finding {
    check: &'static str,
    verdict: Verdict,
    position: Option<Position>,
    found: String,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let mut findings = findings(context, args.deep)?;
    // Whether an artifact is missing or altered, not merely unreadable just now.
    let mut lost = false;
    let readable = findings
        .iter()
        .all(|finding| finding.verdict != Verdict::Damaged || finding.check != "journal");
    if !args.no_artifacts && readable {
        let mut log = super::log(context)?;
        let (count, flaws) = super::artifacts::verify(&mut log, context, &*stop_flag()?)?;
        lost = flaws.iter().any(Flaw::is_damage);
        findings.extend(artifacts(count, &flaws, log.head()?.position));
    }
    let mut printer = Printer::new(args.format, |_| Hint::default());
    let mut print = || {
        printer.columns(&["check", "verdict", "position", "found"].map(ToOwned::to_owned))?;
        findings.iter().try_for_each(|finding| printer.row(&finding.row()))
    };
    print().map_err(|error| CliError::output(&error))?;
    printer.finish(&[]).map_err(|error| CliError::output(&error))?;
    let is_bad = |finding: &&Finding| finding.verdict == Verdict::Damaged;
    match findings.iter().find(is_bad) {
        None => match findings.iter().find(|finding| finding.verdict == Verdict::Unknown) {
            None => Ok(()),
            Some(Finding { check, found, .. }) => {
                Err(CliError::new(Exit::System, format!("{check} was {found}")).hint(
                    "nothing else is wrong; see that the store can be read and that the folder for \
                     temporary files ($TMPDIR) has room, then verify again",
                ))
            }
        },
        Some(bad) if bad.check == "tables" => {
            Err(CliError::new(Exit::Damaged, "the tables are not what follows from the log")
                .hint("the log is good: delete views-*.sqlite in the store, they come back"))
        }
        Some(bad) if bad.check == "end" => {
            Err(CliError::new(Exit::Damaged, &bad.found).hint(ROLLED_BACK))
        }
        Some(bad) if bad.check == "artifacts" => {
            let bad = findings.iter().filter(is_bad).count();
            let message = format!("{bad} artifacts are missing, altered or unreadable");
            let exit = if lost { Exit::Damaged } else { Exit::System };
            Err(CliError::new(exit, message).hint(
                "the log is good: copy them from a backup into the artifacts folder of the store; \
                 --no-artifacts checks the log alone",
            ))
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

fn findings(context: &Context, deep: bool) -> Result<Vec<Finding>, CliError> {
    let store = Store::open(&context.store)?;
    // First, because it settles where the log ends.
    let rolled_back = refuse_rollback(&store, &context.options());
    let mut log = Reader::open(&store)?;
    let report = verify(&mut log)?;
    if !report.is_good() {
        let bad = report.problems.into_iter().map(|problem| Finding {
            check: "journal",
            verdict: Verdict::Damaged,
            position: problem.position,
            found: problem.found,
        });
        return Ok(bad.collect());
    }
    let end = report.end.position;
    let verdict = Verdict::Good;
    let good = |check, found: String| Finding { check, verdict, position: Some(end), found };
    let mut findings = vec![good("journal", format!("{end} events: checksums and chain"))];
    let bad = |check, error: &ViewError| {
        let (verdict, position) = (Verdict::Damaged, error.position());
        Finding { check, verdict, position, found: error.to_string() }
    };
    match rolled_back {
        Ok(()) => findings.push(good("end", "the tables have shown no later event".to_owned())),
        Err(error @ ViewError::Log(LogError::RolledBack { .. })) => {
            findings.push(bad("end", &error));
            return Ok(findings);
        }
        Err(error) => return Err(error.into()),
    }
    findings.push(copies(compare_copies(&store, &context.options(), report.end)?, end));
    let folded = match deep {
        true => compare(&store, &mut log, end).map(Some),
        false => rebuild(&mut log, store.id(), end).map(|_| None),
    };
    match folded {
        Ok(compared) => {
            let found = "every event follows, every recorded Q-table is learned again";
            findings.push(good("meaning", found.to_owned()));
            findings.extend(compared.into_iter().flat_map(tables));
        }
        Err(error) if error.position().is_some() => findings.push(bad("meaning", &error)),
        Err(error) => return Err(error.into()),
    }
    Ok(findings)
}

fn artifacts(count: usize, flaws: &[Flaw], end: Position) -> Vec<Finding> {
    let bad = |flaw: &Flaw| {
        let position = flaw.names.first().map(|name| name.position);
        let found = flaw.to_string();
        Finding { check: "artifacts", verdict: Verdict::Damaged, position, found }
    };
    if !flaws.is_empty() {
        return flaws.iter().map(bad).collect();
    }
    let found = format!("{count} are named, and their bytes have these hashes");
    vec![Finding { check: "artifacts", verdict: Verdict::Good, position: Some(end), found }]
}

/// How sled compares with the journal.
fn copies(copy: Copy, end: Position) -> Finding {
    use Verdict::{Damaged, Good, Unknown};
    let (verdict, position, found) = match copy {
        Copy::Same(at) if at == end => (Good, Some(at), "the same events".to_owned()),
        Copy::Same(at) => (
            Good,
            Some(at),
            "the same events up to here; it gets the others when it is opened".into(),
        ),
        Copy::Differs(problem) => (Damaged, problem.position, problem.found),
        Copy::InUse(why) => (Good, None, format!("not compared: {why}")),
        Copy::Unknown(why) => (Unknown, None, format!("not compared: {why}")),
    };
    Finding { check: "sled", verdict, position, found }
}

fn tables(comparison: Comparison) -> Vec<Finding> {
    let finding = |good, position, found: String| {
        let verdict = if good { Verdict::Good } else { Verdict::Damaged };
        Finding { check: "tables", verdict, position, found }
    };
    match comparison {
        Comparison::Same(at) => {
            vec![finding(true, Some(at), "as folded anew: definitions, indices, rows".to_owned())]
        }
        Comparison::Differs(found) => {
            found.into_iter().map(|found| finding(false, None, found)).collect()
        }
        Comparison::Absent => {
            vec![finding(true, None, "there are none; the next query builds them".to_owned())]
        }
        Comparison::Busy => {
            vec![finding(true, None, "in use by another process; not compared".to_owned())]
        }
        Comparison::Unusable(found) => vec![finding(false, None, found)],
    }
}

impl Finding {
    fn row(&self) -> [Value; 4] {
        let position =
            |position: Position| Value::Integer(i64::try_from(position.0).unwrap_or(i64::MAX));
        let verdict = match self.verdict {
            Verdict::Good => "good",
            Verdict::Unknown => "unknown",
            Verdict::Damaged => "damaged",
        };
        [
            Value::Text(self.check.to_owned()),
            Value::Text(verdict.to_owned()),
            self.position.map_or(Value::Null, position),
            Value::Text(self.found.clone()),
        ]
    }
}
