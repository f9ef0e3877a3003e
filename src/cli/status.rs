//! `qtrail status`: what runs, where, and for how much longer; from any terminal.

use std::time::Duration;

use super::output::{FormatArgs, Hint, Printer};
use super::progress::duration;
use super::reading::{answer, collect, footer};
use super::{CliError, Context, clock, note};
use crate::engine::session::lock_name;
use crate::events::Scope;
use crate::log::{Busy, Locks, Store};
use crate::views::{Rows as _, Value};

/// Shows unfinished searches and runs, their running trial, and how long they will take.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    format: FormatArgs,
}

/// One line a running trial of an unfinished search or run, or one line if none is running. The
/// time left follows from the mean of the last 20 trials.
const SQL: &str = "\
SELECT j.label, j.name, j.models,
  (SELECT count(*) FROM trial WHERE job = j.id AND status IN ('trained', 'failed')),
  (SELECT max(accuracy) FROM trial WHERE job = j.id AND status = 'trained'),
  (SELECT epsilon FROM episode WHERE job = j.id ORDER BY episode DESC LIMIT 1),
  (SELECT avg(seconds) FROM
    (SELECT seconds FROM trial WHERE job = j.id AND seconds IS NOT NULL ORDER BY id DESC LIMIT 20)),
  't' || t.id, a.text, d.device,
  coalesce((SELECT epoch FROM epoch WHERE trial = t.id AND attempt = d.attempt
    ORDER BY restart DESC, epoch DESC LIMIT 1),
    (SELECT carried_epoch FROM attempt WHERE trial = t.id AND attempt = d.continues)),
  d.started_at
FROM job j
LEFT JOIN trial t ON t.job = j.id AND t.status = 'running'
LEFT JOIN architecture a ON a.id = t.architecture
LEFT JOIN attempt d ON d.trial = t.id AND d.outcome = 'running'
WHERE j.finished_at IS NULL ORDER BY j.id, t.id";

/// The columns, as they are printed.
const COLUMNS: [&str; 13] = [
    "search",
    "state",
    "models",
    "planned",
    "best_accuracy",
    "left",
    "epsilon",
    "trial",
    "epoch",
    "running_for",
    "name",
    "device",
    "arch",
];

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let store = Store::open(&context.store)?;
    let locks = Locks::new(store.lock_folder(), context.command.clone(), Duration::ZERO);
    let answer = answer(context, None)?;
    let rows = collect(&answer, SQL)?;
    let mut printer =
        Printer::new(args.format, |_| Hint::default()).dropping_columns("--format json has all");
    let mut print = || {
        printer.columns(&COLUMNS.map(str::to_owned))?;
        for row in &rows {
            let holder = holder(&locks, &row[0]);
            printer.row(&line(row, holder.as_ref()))?;
        }
        Ok(())
    };
    print().map_err(|error| CliError::output(&error))?;
    printer.finish(&[footer(&answer)]).map_err(|error| CliError::output(&error))?;
    if rows.is_empty() {
        note("nothing is left to do: every search and run in the store is finished");
    }
    Ok(())
}

/// Who carries on a search or run, if anybody does.
fn holder(locks: &Locks, label: &Value) -> Option<Busy> {
    let Value::Text(label) = label else { return None };
    let scope: Scope = label.parse().ok()?;
    locks.holder(&lock_name(scope)).ok()?
}

fn line(row: &[Value], holder: Option<&Busy>) -> [Value; 13] {
    let [search, name, planned, models, best, epsilon, mean, trial, arch, device, epoch, started] =
        row
    else {
        return COLUMNS.map(|_| Value::Null); // the query has twelve columns
    };
    let state = match holder {
        None => format!("stopped: qtrail resume {}", text(search)),
        Some(Busy { holder: Some(holder), .. }) => format!("running, process {}", holder.pid),
        Some(_) => "running".to_owned(),
    };
    // A trial that a dead process left behind does not run.
    let running = |value: &Value| if holder.is_some() { value.clone() } else { Value::Null };
    let left = match (planned, models, mean) {
        (Value::Integer(planned), Value::Integer(models), Value::Real(mean)) => {
            let models = planned.saturating_sub(*models).max(0);
            seconds(mean * models as f64)
        }
        _ => Value::Null,
    };
    let running_for = match (holder, started) {
        (Some(_), Value::Integer(started)) => {
            seconds(clock::now().saturating_sub(*started) as f64 / 1e3)
        }
        _ => Value::Null,
    };
    [
        search.clone(),
        Value::Text(state),
        models.clone(),
        planned.clone(),
        best.clone(),
        left,
        epsilon.clone(),
        running(trial),
        running(epoch),
        running_for,
        name.clone(),
        running(device),
        running(arch),
    ]
}

fn seconds(seconds: f64) -> Value {
    let time = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
    Value::Text(duration(time))
}

fn text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        _ => "",
    }
}
