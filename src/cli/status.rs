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

/// Shows unfinished searches, runs and attacks, how far they are, and how long they will take.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    format: FormatArgs,
}

/// One line a running trial of an unfinished search or run, or one line if none is running. The
/// time left follows from the mean of the last 20 trials, with as many at a time as run now.
const SQL: &str = "\
SELECT j.label, j.name, j.models,
  (SELECT count(*) FROM trial WHERE job = j.id AND status IN ('trained', 'failed')),
  (SELECT max(accuracy) FROM trial WHERE job = j.id AND status = 'trained'),
  (SELECT epsilon FROM episode WHERE job = j.id ORDER BY episode DESC LIMIT 1),
  (SELECT avg(seconds) FROM
    (SELECT seconds FROM trial WHERE job = j.id AND seconds IS NOT NULL ORDER BY id DESC LIMIT 20))
    / max(1, (SELECT count(*) FROM trial WHERE job = j.id AND status = 'running')),
  't' || t.id, a.text, d.device,
  coalesce((SELECT epoch FROM epoch WHERE trial = t.id AND attempt = d.attempt
    ORDER BY restart DESC, epoch DESC LIMIT 1),
    (SELECT carried_epoch FROM attempt WHERE trial = t.id AND attempt = d.continues)),
  d.started_at, d.worker
FROM job j
LEFT JOIN trial t ON t.job = j.id AND t.status = 'running'
LEFT JOIN architecture a ON a.id = t.architecture
LEFT JOIN attempt d ON d.trial = t.id AND d.outcome = 'running'
WHERE j.finished_at IS NULL ORDER BY j.id, t.id";

/// One line an unfinished attack: how much is done of what is to be crafted and scored.
const ATTACKS: &str = "\
SELECT label, name, crafted + scored, to_craft + to_score, device, started_at, last_at, resumed
FROM attack WHERE finished_at IS NULL ORDER BY id";

/// The columns, as they are printed.
const COLUMNS: [&str; 14] = [
    "search",
    "state",
    "models",
    "planned",
    "progress",
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
    let attacks = collect(&answer, ATTACKS)?;
    let mut printer =
        Printer::new(args.format, |_| Hint::default()).dropping_columns("--format json has all");
    let mut print = || {
        printer.columns(&COLUMNS.map(str::to_owned))?;
        let workers: Vec<_> = rows
            .iter()
            .map(|row| row.last().and_then(|worker| worker_of(&locks, worker)))
            .collect();
        for (at, (row, worker)) in rows.iter().zip(&workers).enumerate() {
            // What dead processes left is told once, and only where nobody works.
            let same = |other: usize| rows[other][0] == row[0];
            let told = (0..at).any(same)
                || (0..rows.len()).any(|other| same(other) && workers[other].is_some());
            if worker.is_none() && told {
                continue;
            }
            let holder = holder(&locks, &row[0]);
            printer.row(&line(row, worker.as_ref(), holder.as_ref()))?;
        }
        for row in &attacks {
            let holder = holder(&locks, &row[0]);
            printer.row(&attack(row, holder.as_ref()))?;
        }
        Ok(())
    };
    print().map_err(|error| CliError::output(&error))?;
    printer.finish(&[footer(&answer)]).map_err(|error| CliError::output(&error))?;
    if rows.is_empty() && attacks.is_empty() {
        note("nothing is left to do: every search, run and attack in the store is finished");
    }
    Ok(())
}

/// Who carries on a search, run or attack, if anybody does.
fn holder(locks: &Locks, label: &Value) -> Option<Busy> {
    let Value::Text(label) = label else { return None };
    let scope: Scope = label.parse().ok()?;
    locks.holder(&lock_name(scope)).ok()?
}

/// The process that trains a trial, if it lives.
fn worker_of(locks: &Locks, worker: &Value) -> Option<Busy> {
    let Value::Text(worker) = worker else { return None };
    locks.holder(worker).ok()?
}

/// `worker` trains the trial of this line, `holder` is one of those that carry on the search.
fn line(row: &[Value], worker: Option<&Busy>, holder: Option<&Busy>) -> [Value; 14] {
    let [
        search,
        name,
        planned,
        models,
        best,
        epsilon,
        mean,
        trial,
        arch,
        device,
        epoch,
        started,
        _,
    ] = row
    else {
        return COLUMNS.map(|_| Value::Null); // the query has thirteen columns
    };
    let state = state(search, worker.or(holder));
    // A trial that a dead process left behind does not run.
    let running = |value: &Value| if worker.is_some() { value.clone() } else { Value::Null };
    let left = match (planned, models, mean) {
        (Value::Integer(planned), Value::Integer(models), Value::Real(mean)) => {
            let models = planned.saturating_sub(*models).max(0);
            seconds(mean * models as f64)
        }
        _ => Value::Null,
    };
    let running_for = match (worker, started) {
        (Some(_), Value::Integer(started)) => {
            seconds(clock::now().saturating_sub(*started) as f64 / 1e3)
        }
        _ => Value::Null,
    };
    [
        search.clone(),
        state,
        models.clone(),
        planned.clone(),
        percent(models, planned),
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

/// The line of an attack. The time left follows from the time since it began; of one that was
/// resumed it is not known.
fn attack(row: &[Value], holder: Option<&Busy>) -> [Value; 14] {
    let mut line = COLUMNS.map(|_| Value::Null);
    let [label, name, done, all, device, started, last, resumed] = row else {
        return line; // the query has eight columns
    };
    let unbroken = holder.is_some() && *resumed == Value::Integer(0);
    let (mut left, mut running_for) = (Value::Null, Value::Null);
    if let (true, Value::Integer(started), Value::Integer(last)) = (unbroken, started, last) {
        running_for = seconds(clock::now().saturating_sub(*started) as f64 / 1e3);
        if let (Value::Integer(done @ 1..), Value::Integer(all)) = (done, all) {
            let each = last.saturating_sub(*started) as f64 / 1e3 / *done as f64;
            left = seconds(each * all.saturating_sub(*done) as f64);
        }
    }
    let known = [
        ("search", label.clone()),
        ("state", state(label, holder)),
        ("progress", percent(done, all)),
        ("left", left),
        ("running_for", running_for),
        ("name", name.clone()),
        ("device", if holder.is_some() { device.clone() } else { Value::Null }),
    ];
    for (column, value) in known {
        if let Some(place) = COLUMNS.iter().position(|name| *name == column) {
            line[place] = value;
        }
    }
    line
}

fn state(label: &Value, holder: Option<&Busy>) -> Value {
    Value::Text(match holder {
        None => format!("stopped: qtrail resume {}", text(label)),
        Some(Busy { holder: Some(holder), .. }) => format!("running, process {}", holder.pid),
        Some(_) => "running".to_owned(),
    })
}

/// How much is done, in whole percent, rounded down: 100 % is all of it.
fn percent(done: &Value, all: &Value) -> Value {
    match (done, all) {
        (Value::Integer(done), Value::Integer(all @ 1..)) => {
            Value::Text(format!("{} %", done.saturating_mul(100) / all))
        }
        _ => Value::Null,
    }
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
