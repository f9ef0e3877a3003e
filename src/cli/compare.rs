//! `qtrail compare`: searches side by side: what came of them, and in which settings they differ.

use std::collections::{BTreeMap, BTreeSet};

use super::output::{FormatArgs, Hint, Printer};
use super::reading::{AtArgs, answer, collect, footer, listed};
use super::show::Row;
use super::{CliError, Context};
use crate::views::{Answer, Rows as _, Value};

/// Compares searches: what came of them, and in which settings they differ.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Two searches or more: s1, s2, or names
    #[arg(num_args = 2.., required = true, value_name = "SEARCH")]
    searches: Vec<String>,
    /// Also the settings in which they agree
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Facts that are compared, with their place in the queries below.
const FACTS: &[&str] = &[
    "name",
    "status",
    "data",
    "flavour",
    "seed",
    "models",
    "failed",
    "lost",
    "episodes",
    "best_accuracy",
    "mean_accuracy",
    "best_arch",
    "best_params",
    "device_hours",
];

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let answer = answer(context, args.at.at)?;
    let labels = labels(&answer, &args.searches)?;
    let mut rows = Vec::new();
    let facts: Vec<Row> =
        labels.iter().map(|label| facts(&answer, label)).collect::<Result<_, _>>()?;
    for name in FACTS {
        rows.push(line(name, facts.iter().map(|fact| fact.get(name).clone())));
    }
    rows.extend(by_epsilon(&answer, &labels)?);
    rows.extend(settings(&facts, args.all));
    let mut printer = Printer::new(args.format, |_| Hint::default());
    let names: Vec<String> = std::iter::once("what".to_owned()).chain(labels).collect();
    let mut print = || {
        printer.columns(&names)?;
        rows.iter().try_for_each(|row| printer.row(row))
    };
    print().map_err(|error| CliError::output(&error))?;
    printer.finish(&[footer(&answer)]).map_err(|error| CliError::output(&error))?;
    Ok(())
}

/// The ids of searches and runs by id or name.
fn labels(answer: &Answer, wanted: &[String]) -> Result<Vec<String>, CliError> {
    let listed = listed(answer)?;
    let find = |wanted: &String| {
        let same = listed.iter().rev().find(|job| job.label == *wanted || job.name == *wanted);
        same.map(|job| job.label.clone()).ok_or_else(|| {
            CliError::usage(format!("no search or run is called {wanted}"))
                .hint("`qtrail table searches` lists them")
        })
    };
    wanted.iter().map(find).collect()
}

fn facts(answer: &Answer, label: &str) -> Result<Row, CliError> {
    let sql = format!(
        "SELECT s.*, j.config,
           (SELECT avg(accuracy) FROM episodes WHERE search = s.search) AS mean_accuracy,
           (SELECT arch FROM top WHERE search = s.search AND rank = 1) AS best_arch,
           (SELECT params FROM top WHERE search = s.search AND rank = 1) AS best_params,
           (SELECT sum(device_hours) FROM cost WHERE search = s.search) AS device_hours
         FROM searches s JOIN job j ON j.label = s.search WHERE s.search = '{label}'"
    );
    let found = Row::first(answer, &sql)?;
    found.ok_or_else(|| CliError::usage(format!("no search or run is called {label}")))
}

fn line(what: &str, values: impl Iterator<Item = Value>) -> Vec<Value> {
    // One kind of value a row, several a column: texts, so that each is rounded by itself.
    let text = |value: Value| match value {
        Value::Null => Value::Null,
        Value::Real(number) => Value::Text(format!("{number:.6}")),
        other => Value::Text(super::cells::exact(&other)),
    };
    std::iter::once(Value::Text(what.to_owned())).chain(values.map(text)).collect()
}

/// The mean accuracy at each epsilon, with the number of samples.
fn by_epsilon(answer: &Answer, labels: &[String]) -> Result<Vec<Vec<Value>>, CliError> {
    let mut means: BTreeMap<u64, BTreeMap<usize, Value>> = BTreeMap::new();
    for (index, label) in labels.iter().enumerate() {
        let sql = format!(
            "SELECT epsilon, printf('%.6f of %d', mean_accuracy, samples) FROM epsilon
             WHERE search = '{label}'"
        );
        for row in collect(answer, &sql)? {
            if let [Value::Real(epsilon), mean] = &row[..] {
                // Shares from 0 to 1 are ordered as their bits are.
                means.entry(epsilon.to_bits()).or_default().insert(index, mean.clone());
            }
        }
    }
    let rows = means.into_iter().rev().map(|(bits, of)| {
        let what = format!("mean at epsilon {}", f64::from_bits(bits));
        let value = |index| of.get(&index).cloned().unwrap_or(Value::Null);
        line(&what, (0..labels.len()).map(value))
    });
    Ok(rows.collect())
}

/// The settings in which they differ.
fn settings(facts: &[Row], all: bool) -> Vec<Vec<Value>> {
    let flat: Vec<BTreeMap<String, String>> =
        facts.iter().map(|row| flatten(&row.text("config"))).collect();
    let keys: BTreeSet<&String> = flat.iter().flat_map(BTreeMap::keys).collect();
    let differs = |key: &&String| {
        let mut values = flat.iter().map(|settings| settings.get(*key));
        let first = values.next();
        all || values.any(|value| Some(value) != first)
    };
    let value = |settings: &BTreeMap<String, String>, key| match settings.get(key) {
        Some(text) => Value::Text(text.clone()),
        None => Value::Null,
    };
    let rows = keys.into_iter().filter(differs);
    rows.map(|key| line(key, flat.iter().map(|settings| value(settings, key)))).collect()
}

/// A configuration as `table.key` and value.
pub(super) fn flatten(text: &str) -> BTreeMap<String, String> {
    fn add(prefix: &str, table: &toml::Table, into: &mut BTreeMap<String, String>) {
        for (key, value) in table {
            let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value {
                toml::Value::Table(inner) => add(&name, inner, into),
                other => {
                    into.insert(name, other.to_string());
                }
            }
        }
    }
    let mut flat = BTreeMap::new();
    add("", &toml::from_str(text).unwrap_or_default(), &mut flat);
    flat
}
