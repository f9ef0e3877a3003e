//! `qtrail artifacts list`: every artifact, its size, and what names it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::cells::counted;
use super::super::output::{FormatArgs, Hint, Printer};
use super::super::reading::{answer, collect};
use super::super::work::stop_flag;
use super::super::{CliError, Context, clock};
use super::{Known, bytes, integer};
use crate::engine::references::Name;
use crate::events::Hash;
use crate::views::{Rows as _, Value};

/// Lists the artifacts that events name or that are in the store: hash, size, what the first event
/// names it for, how many names it has, since when. Their bytes are not read; `log verify` does.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    format: FormatArgs,
}

const COLUMNS: [&str; 8] =
    ["artifact", "bytes", "state", "what", "search", "trial", "names", "since"];

pub(super) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let stop = stop_flag()?;
    let mut log = super::super::log::log(context)?;
    let artifacts = log.store().artifacts();
    let mut known = Known::default();
    known.read_on(&mut log, &stop)?;
    let stored: BTreeMap<Hash, u64> = artifacts.list()?.into_iter().collect();
    let references = &known.named.references;
    let named = references.iter().map(|(hash, _)| hash);
    let all: BTreeSet<Hash> = named.chain(stored.keys().copied()).collect();
    let trials = trials(context);
    let (mut count, mut total, mut missing) = (0_u64, 0_u64, 0_u64);
    let mut printer =
        Printer::new(args.format, |_| Hint::default()).dropping_columns("--format json has all");
    let print = || -> std::io::Result<()> {
        printer.columns(&COLUMNS.map(str::to_owned))?;
        for hash in all {
            let (size, names) = (stored.get(&hash), references.names(hash));
            let state = match (size, names) {
                (None, _) => "missing",
                (Some(_), [_, ..]) => "named",
                _ if references.was_named(hash) => "released",
                _ => "unnamed",
            };
            count += u64::from(size.is_some());
            missing += u64::from(size.is_none());
            total += size.copied().unwrap_or(0);
            printer.row(&row(hash, size.copied(), state, names, &trials))?;
        }
        Ok(())
    };
    print().map_err(|error| CliError::output(&error))?;
    let mut footer = vec![format!("{}, {}", counted(count, "artifact"), bytes(total))];
    if missing > 0 {
        footer.push(format!("{missing} are named and missing; `qtrail log verify` says more"));
    }
    footer.push(format!("as of event {}", known.head.position));
    printer.finish(&footer).map_err(|error| CliError::output(&error))?;
    Ok(())
}

/// The ids of trials by search and ordinal. They are for people: without the tables the ordinal is
/// shown.
fn trials(context: &Context) -> BTreeMap<(String, u32), String> {
    let sql = "SELECT j.label, t.ordinal, 't' || t.id FROM trial t JOIN job j ON j.id = t.job";
    let rows = answer(context, None).and_then(|answer| collect(&answer, sql)).unwrap_or_default();
    let entry = |row: &Vec<Value>| match &row[..] {
        [Value::Text(job), Value::Integer(ordinal), Value::Text(id)] => {
            Some(((job.clone(), u32::try_from(*ordinal).ok()?), id.clone()))
        }
        _ => None,
    };
    rows.iter().filter_map(entry).collect()
}

fn row(
    hash: Hash,
    size: Option<u64>,
    state: &str,
    names: &[Name],
    trials: &BTreeMap<(String, u32), String>,
) -> [Value; 8] {
    let text = |text: &str| Value::Text(text.to_owned());
    let first = names.first();
    let trial = first.and_then(|name| {
        let (job, ordinal) = (name.scope.to_string(), name.trial?);
        let id = trials.get(&(job, ordinal)).cloned();
        Some(id.unwrap_or_else(|| format!("trial {ordinal}")))
    });
    [
        Value::Text(hash.to_string()),
        size.map_or(Value::Null, integer),
        text(state),
        first.map_or(Value::Null, |name| text(name.role.name())),
        first.map_or(Value::Null, |name| Value::Text(name.scope.to_string())),
        trial.map_or(Value::Null, Value::Text),
        integer(names.len() as u64),
        first.map_or(Value::Null, |name| Value::Text(clock::utc(name.since))),
    ]
}
