//! `qtrail diff`: two trials, layer by layer and fact by fact.

use super::compare::flatten;
use super::output::{FormatArgs, Hint, Printer};
use super::reading::{AtArgs, answer, footer};
use super::show::Row;
use super::{CliError, Context};
use crate::arch::Architecture;
use crate::views::{Answer, Rows as _, Value};

/// Compares two trials: their layers, what came of them, and their settings.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A trial: t3
    #[arg(value_parser = trial)]
    first: u32,
    /// Another: t9
    #[arg(value_parser = trial)]
    second: u32,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    format: FormatArgs,
}

fn trial(text: &str) -> Result<u32, String> {
    let number = text.strip_prefix('t').and_then(|number| number.parse().ok());
    number.ok_or_else(|| "a trial is t1, t2, …".to_owned())
}

/// Facts that are compared.
const FACTS: &[&str] = &[
    "search",
    "status",
    "accuracy",
    "params",
    "madds",
    "depth",
    "epsilon",
    "seconds",
    "epochs",
    "restarts",
    "best_epoch",
    "seed",
];

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let answer = answer(context, args.at.at)?;
    let (first, second) = (facts(&answer, args.first)?, facts(&answer, args.second)?);
    let mut rows: Vec<[Value; 3]> = Vec::new();
    for name in FACTS {
        let text = |row: &Row| match row.get(name) {
            Value::Null => Value::Null,
            _ => Value::Text(row.text(name)),
        };
        rows.push([Value::Text((*name).to_owned()), text(&first), text(&second)]);
    }
    rows.extend(layers(&first.text("arch"), &second.text("arch")));
    rows.extend(settings(&first.text("config"), &second.text("config")));
    let mut printer = Printer::new(args.format, |_| Hint::default());
    let names = ["what".to_owned(), format!("t{}", args.first), format!("t{}", args.second)];
    let mut print = || {
        printer.columns(&names)?;
        rows.iter().try_for_each(|row| printer.row(row))
    };
    print().map_err(|error| CliError::output(&error))?;
    printer.finish(&[footer(&answer)]).map_err(|error| CliError::output(&error))?;
    Ok(())
}

fn facts(answer: &Answer, number: u32) -> Result<Row, CliError> {
    let sql = format!(
        "SELECT v.*, t.seed, j.config FROM trials v
         JOIN trial t ON t.id = {number} JOIN job j ON j.id = t.job WHERE v.trial = 't{number}'"
    );
    Row::first(answer, &sql)?.ok_or_else(|| {
        CliError::usage(format!("there is no trial t{number}"))
            .hint("`qtrail table trials --search all` lists them")
    })
}

/// The layers of both, equal ones beside each other.
fn layers(first: &str, second: &str) -> Vec<[Value; 3]> {
    let texts = |text: &str| -> Vec<String> {
        let net: Option<Architecture> = text.parse().ok();
        net.iter().flat_map(Architecture::layers).map(ToString::to_string).collect()
    };
    let value = |text: Option<String>| text.map_or(Value::Null, Value::Text);
    let rows = align(&texts(first), &texts(second)).into_iter();
    rows.map(|(a, b)| {
        let what = if a == b { "layer" } else { "layer, other" };
        [Value::Text(what.to_owned()), value(a), value(b)]
    })
    .collect()
}

type Beside = (Option<String>, Option<String>);

/// Two sequences beside each other along their longest common subsequence.
fn align(a: &[String], b: &[String]) -> Vec<Beside> {
    // common[i][j]: length of the longest common subsequence of a[i..] and b[j..].
    let mut common = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = match a[i] == b[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut rows) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            rows.push((Some(a[i].clone()), Some(b[j].clone())));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && common[i + 1][j] >= common[i][j + 1]) {
            rows.push((Some(a[i].clone()), None));
            i += 1;
        } else {
            rows.push((None, Some(b[j].clone())));
            j += 1;
        }
    }
    rows
}

/// Settings in which they differ.
fn settings(first: &str, second: &str) -> Vec<[Value; 3]> {
    let value = |text: String| if text.is_empty() { Value::Null } else { Value::Text(text) };
    different(first, second).into_iter().map(|row| row.map(value)).collect()
}

/// The keys in which two configurations differ, with both values; empty where there is none.
pub(super) fn different(first: &str, second: &str) -> Vec<[String; 3]> {
    let (first, second) = (flatten(first), flatten(second));
    let mut keys: Vec<&String> = first.keys().chain(second.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let value = |text: Option<&String>| text.cloned().unwrap_or_default();
    keys.into_iter()
        .filter(|key| first.get(*key) != second.get(*key))
        .map(|key| [key.clone(), value(first.get(key)), value(second.get(key))])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_layers_stand_beside_each_other() {
        let words = |text: &str| text.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>();
        let shown: Vec<String> = align(&words("a b c d"), &words("a c x d"))
            .into_iter()
            .map(|(a, b)| format!("{}{}", a.unwrap_or("-".into()), b.unwrap_or("-".into())))
            .collect();
        assert_eq!(shown, ["aa", "b-", "cc", "-x", "dd"]);
        assert_eq!(align(&[], &[]), []);
    }
}
