//! Printing what came of replay: one row a policy, or one an experience.

use std::fmt::Write as _;

use super::super::CliError;
use super::super::output::{FormatArgs, Hint, Printer};
use super::lesson::{Learned, Lesson};
use crate::lab::measure::{FIGURES, Kind};
use crate::lab::study::{Row, Summary};
use crate::views::{Rows as _, Value, suggestion};

/// Columns besides the figures.
const BEFORE: &[&str] = &["policy", "seeds"];
const AFTER: &[&str] = &["greedy_accuracy", "greedy_seeds", "greedy"];
/// For people only: what programs read is the same for the same seeds, byte by byte.
const SECONDS: &str = "seconds";
const EXPOSURE: &[&str] =
    &["policy", "episode", "epsilon", "accuracy", "failed", "draws", "never", "arch"];

/// Refuses columns that there are not.
pub(super) fn check(columns: &[String], exposure: bool) -> Result<(), CliError> {
    let names: Vec<&str> = match exposure {
        true => EXPOSURE.to_vec(),
        false => {
            let figures = FIGURES.iter().map(|figure| figure.name);
            BEFORE.iter().copied().chain(figures).chain(AFTER.iter().copied()).collect()
        }
    };
    let known = |name: &String| names.contains(&name.trim()) || name.trim() == SECONDS;
    match columns.iter().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => Err(CliError::usage(format!("--columns: no column is called `{name}`"))
            .hint(suggestion(name, &names, "columns"))),
    }
}

/// What is shown.
pub(super) struct Shown<'a> {
    pub(super) lesson: &'a Lesson,
    pub(super) learned: &'a [Learned],
    /// `as of event N`.
    pub(super) as_of: String,
}

/// A column with its values.
type Column = (String, Vec<Value>);

impl Shown<'_> {
    /// One row a policy.
    pub(super) fn summary(&self, format: FormatArgs, wanted: &[String]) -> Result<(), CliError> {
        let people = format.format.is_for_people();
        let rows: Vec<&Row> = self.learned.iter().map(|learned| &learned.row).collect();
        let mut columns: Vec<(&str, Vec<Column>)> = Vec::new();
        let mut add = |name: &'static str, value: &dyn Fn(&Row) -> Value| {
            let values = rows.iter().map(|row| value(row)).collect();
            columns.push((name, vec![(name.to_owned(), values)]));
        };
        add("policy", &|row| Value::Text(row.policy.to_string()));
        add("seeds", &|row| whole(row.seeds));
        for (index, figure) in FIGURES.iter().enumerate() {
            let summaries: Vec<Summary> = rows.iter().map(|row| row.figures[index]).collect();
            let parts = match people {
                true => vec![(figure.name.to_owned(), for_people(&summaries))],
                false => exact(figure.name, &summaries),
            };
            columns.push((figure.name, parts));
        }
        let mut add = |name: &'static str, value: &dyn Fn(&Row) -> Value| {
            let values = rows.iter().map(|row| value(row)).collect();
            columns.push((name, vec![(name.to_owned(), values)]));
        };
        add("greedy_accuracy", &|row| match row.greedy.accuracy {
            Some(accuracy) => Value::Real(accuracy),
            None if people => Value::Text("unknown".to_owned()),
            None => Value::Null,
        });
        add("greedy_seeds", &|row| whole(row.greedy_seeds));
        add("greedy", &|row| Value::Text(row.greedy.architecture.to_string()));
        if people {
            let seconds = self.learned.iter().map(|learned| Value::Real(learned.seconds));
            columns.push((SECONDS, vec![(SECONDS.to_owned(), seconds.collect())]));
        }
        let chosen = choose(columns, wanted);
        let mut printer = Printer::new(format, unit);
        if wanted.is_empty() {
            printer = printer.dropping_columns();
        }
        print(printer, &chosen, rows.len(), &self.footer(people))
    }

    /// One row an experience and policy, with its draws in the mean over seeds.
    pub(super) fn exposure(&self, format: FormatArgs, wanted: &[String]) -> Result<(), CliError> {
        let (history, settings) = (&self.lesson.history, &self.lesson.settings);
        let mut columns: Vec<(&str, Vec<Column>)> =
            EXPOSURE.iter().map(|name| (*name, vec![((*name).to_owned(), Vec::new())])).collect();
        let mut count = 0;
        for learned in self.learned {
            for (index, one) in history.experiences.iter().enumerate() {
                let drawn = |measured: &crate::lab::measure::Measured| measured.counts[index];
                let draws = Summary::of(
                    learned.measured.iter().map(|measured| Some(f64::from(drawn(measured)))),
                );
                let never = Summary::of(learned.measured.iter().map(|measured| {
                    Some(if drawn(measured) == 0 { 1.0 } else { 0.0 })
                }));
                // Shuffled, an experience has another place under each seed.
                let of_place = |value: Value| if settings.shuffle { Value::Null } else { value };
                let known = &history.architectures[one.architecture as usize].architecture;
                let values = [
                    Value::Text(learned.row.policy.to_string()),
                    whole(one.episode),
                    Value::Real(one.epsilon),
                    of_place(Value::Real(one.accuracy)),
                    of_place(Value::Integer(one.failed.into())),
                    draws.mean.map_or(Value::Null, Value::Real),
                    never.mean.map_or(Value::Null, Value::Real),
                    of_place(Value::Text(known.to_string())),
                ];
                for (column, value) in columns.iter_mut().zip(values) {
                    column.1[0].1.push(value);
                }
                count += 1;
            }
        }
        let chosen = choose(columns, wanted);
        let footer = vec![
            format!(
                "draws: in the mean over seeds {}; never: share of the seeds under which it was \
                 not drawn at all",
                settings.seeds
            ),
            self.as_of.clone(),
        ];
        print(Printer::new(format, |_| Hint::default()), &chosen, count, &footer)
    }

    /// What has to be known about the numbers.
    fn footer(&self, people: bool) -> Vec<String> {
        let (history, settings) = (&self.lesson.history, &self.lesson.settings);
        let learning = settings.learning;
        let mut lines = Vec::new();
        for kind in Kind::ALL {
            let of_kind = FIGURES.iter().filter(|figure| figure.kind == kind);
            let names: Vec<&str> = of_kind.map(|figure| figure.name).collect();
            lines.push(format!("{}: {}", names.join(", "), kind.what()));
        }
        lines.push(
            "not known: what would have been sampled under another policy; accuracy is on record \
             only of what was (greedy_accuracy: else unknown)"
                .to_owned(),
        );
        lines.push(
            "greedy: the best action at each step, of equal ones the first in stored order"
                .to_owned(),
        );
        if people && self.learned.iter().any(|learned| learned.row.seeds > 1) {
            lines.push(
                "mean ± standard deviation over seeds [95 % bootstrap over architectures and \
                 seeds]; seeds 0: all give the same"
                    .to_owned(),
            );
        }
        let mut told = format!(
            "path value: {}; {} experiences of {}, K {}, alpha {}, gamma {}, Q0 {}, {}, \
             duplicates {}, seeds {}",
            settings.path_value.name(),
            history.experiences.len(),
            settings.search,
            settings.draws,
            learning.alpha,
            learning.gamma,
            learning.init,
            crate::lab::settings::Named::named(settings.order),
            settings.duplicates.name(),
            settings.seeds,
        );
        if settings.shuffle {
            told += ", shuffled within phases";
        }
        if history.left_out > 0 {
            let _ = write!(told, "; {} rows in quarantine left out", history.left_out);
        }
        lines.push(told);
        lines.push(self.as_of.clone());
        lines
    }
}

/// The columns wanted, in their order, or all.
fn choose(columns: Vec<(&str, Vec<Column>)>, wanted: &[String]) -> Vec<Column> {
    if wanted.is_empty() {
        return columns.into_iter().flat_map(|(_, parts)| parts).collect();
    }
    let of_name = |name: &String| {
        columns.iter().find(|(column, _)| *column == name.trim()).map(|(_, parts)| parts.clone())
    };
    wanted.iter().filter_map(of_name).flatten().collect()
}

fn print(
    mut printer: Printer,
    columns: &[Column],
    rows: usize,
    footer: &[String],
) -> Result<(), CliError> {
    let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    let mut print = || {
        printer.columns(&names)?;
        (0..rows).try_for_each(|row| {
            let values: Vec<Value> =
                columns.iter().map(|(_, values)| values[row].clone()).collect();
            printer.row(&values)
        })
    };
    print()
        .and_then(|()| printer.finish(footer).map(drop))
        .map_err(|error| CliError::output(&error))
}

/// A figure of all policies for people: `0.412 ± 0.010 [0.37, 0.45]`.
fn for_people(summaries: &[Summary]) -> Vec<Value> {
    let largest = summaries.iter().filter_map(|summary| summary.mean).map(f64::abs);
    let decimals = match largest.fold(0.0, f64::max) {
        large if large >= 1_000.0 => 0,
        large if large >= 1.5 => 2,
        _ => 4,
    };
    let text = |summary: &Summary| {
        let Some(mean) = summary.mean else { return Value::Text("n/a".to_owned()) };
        let mut text = format!("{mean:.decimals$}");
        if let Some(sd) = summary.sd {
            let _ = write!(text, " ± {sd:.decimals$}");
        }
        if let Some((low, high)) = summary.interval {
            let _ = write!(text, " [{low:.3}, {high:.3}]");
        }
        Value::Text(text)
    };
    summaries.iter().map(text).collect()
}

/// A figure of all policies for programs: mean, standard deviation, and ends of the interval, if
/// it is one that has an interval.
fn exact(name: &str, summaries: &[Summary]) -> Vec<Column> {
    let column = |end: &str, value: &dyn Fn(&Summary) -> Option<f64>| {
        let values = summaries.iter().map(|s| value(s).map_or(Value::Null, Value::Real));
        (format!("{name}{end}"), values.collect())
    };
    let mut columns: Vec<Column> =
        vec![column("", &|summary| summary.mean), column("_sd", &|summary| summary.sd)];
    if crate::lab::study::has_interval(name) {
        columns.push(column("_low", &|summary| summary.interval.map(|ends| ends.0)));
        columns.push(column("_high", &|summary| summary.interval.map(|ends| ends.1)));
    }
    columns
}

/// What the header says of a figure besides its name.
fn unit(name: &str) -> Hint {
    let figure = FIGURES.iter().find(|figure| figure.name == name);
    let in_sample = figure.is_some_and(|figure| figure.kind == Kind::InSample);
    Hint { unit: in_sample.then_some("in-sample"), json: false }
}

fn whole(number: u32) -> Value {
    Value::Integer(number.into())
}
