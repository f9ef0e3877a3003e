//! Printing what came of replay: one row a policy, or one an experience.

use std::fmt::Write as _;

use super::super::output::{Format, FormatArgs, Hint, Printer};
use super::super::{CliError, say};
use super::lesson::{Learned, Lesson};
use crate::lab::measure::{FIGURES, Measured, Section};
use crate::lab::settings::Named;
use crate::lab::study::{Row, Summary, has_interval};
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
    /// One row a policy; for people in several tables, one below the other.
    pub(super) fn summary(&self, format: FormatArgs, wanted: &[String]) -> Result<(), CliError> {
        let people = format.format.is_for_people();
        let (columns, rows) = (self.columns(people), self.learned.len());
        let footer = self.footer(people);
        if !people || !wanted.is_empty() {
            return print(Printer::new(format, unit), &choose(&columns, wanted), rows, &footer);
        }
        for section in Section::ALL {
            let figures = FIGURES.iter().filter(|figure| figure.section == section);
            let mut names = vec!["policy"];
            names.extend(figures.map(|figure| figure.name));
            match section {
                Section::Prediction => names.insert(1, "seeds"),
                Section::Table => names.extend(AFTER.iter().copied().chain([SECONDS])),
                _ => {}
            }
            let names: Vec<String> = names.into_iter().map(ToOwned::to_owned).collect();
            let last = section == Section::Table;
            let footer = if last { footer.as_slice() } else { &[String::new()] };
            say(&match format.format {
                Format::Md => format!("**{}**\n", section.title()),
                _ => section.title().to_owned(),
            });
            print(
                Printer::new(format, |_| Hint::default()),
                &choose(&columns, &names),
                rows,
                footer,
            )?;
        }
        Ok(())
    }

    /// All columns of the summary. One name may stand for several: mean, deviation, ends.
    fn columns(&self, people: bool) -> Vec<(&'static str, Vec<Column>)> {
        let rows: Vec<&Row> = self.learned.iter().map(|learned| &learned.row).collect();
        let single = |name: &'static str, value: &dyn Fn(&Row) -> Value| {
            let values = rows.iter().map(|row| value(row)).collect();
            (name, vec![(name.to_owned(), values)])
        };
        let mut columns = vec![
            single("policy", &|row| Value::Text(row.policy.to_string())),
            single("seeds", &|row| whole(row.seeds)),
        ];
        for (index, figure) in FIGURES.iter().enumerate() {
            let summaries: Vec<Summary> = rows.iter().map(|row| row.figures[index]).collect();
            let parts = match people {
                true => vec![(figure.name.to_owned(), for_people(&summaries))],
                false => exact(figure.name, &summaries),
            };
            columns.push((figure.name, parts));
        }
        columns.push(single("greedy_accuracy", &|row| match row.greedy.accuracy {
            Some(accuracy) if people => Value::Text(format!("{accuracy:.4}")),
            Some(accuracy) => Value::Real(accuracy),
            None if people => Value::Text("unknown".to_owned()),
            None => Value::Null,
        }));
        columns.push(single("greedy_seeds", &|row| whole(row.greedy_seeds)));
        columns.push(single("greedy", &|row| Value::Text(row.greedy.architecture.to_string())));
        if people {
            let seconds = self.learned.iter().map(|learned| learned.seconds);
            let seconds = seconds.map(|seconds| Value::Text(format!("{seconds:.2}")));
            columns.push((SECONDS, vec![(SECONDS.to_owned(), seconds.collect())]));
        }
        columns
    }

    /// One row an experience and policy, with its draws in the mean over seeds.
    pub(super) fn exposure(&self, format: FormatArgs, wanted: &[String]) -> Result<(), CliError> {
        let (history, settings) = (&self.lesson.history, &self.lesson.settings);
        let mut columns: Vec<(&str, Vec<Column>)> =
            EXPOSURE.iter().map(|name| (*name, vec![((*name).to_owned(), Vec::new())])).collect();
        let mut count = 0;
        for learned in self.learned {
            for (index, one) in history.experiences.iter().enumerate() {
                let drawn = |measured: &Measured| measured.counts[index];
                let draws = Summary::of(
                    learned.measured.iter().map(|measured| Some(f64::from(drawn(measured)))),
                );
                let never = Summary::of(
                    learned
                        .measured
                        .iter()
                        .map(|measured| Some(if drawn(measured) == 0 { 1.0 } else { 0.0 })),
                );
                // Shuffled, an experience has another place under each seed.
                let of_place = |value: Value| if settings.shuffle { Value::Null } else { value };
                let known = &history.architectures[one.architecture as usize].architecture;
                let values = [
                    Value::Text(learned.row.policy.to_string()),
                    whole(one.episode),
                    Value::Real(one.epsilon),
                    of_place(Value::Real(history.accuracy(one))),
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
        let chosen = choose(&columns, wanted);
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
        let mut lines = vec![
            "not known: what would have been sampled under another policy; the experiences are \
             those on record"
                .to_owned(),
        ];
        if people && self.learned.iter().any(|learned| learned.row.seeds > 1) {
            lines.push(
                "mean ± standard deviation over seeds [95 % bootstrap over architectures and \
                 seeds]; seeds 0: all give the same. greedy: of equal actions the first in stored \
                 order, under greedy_seeds of the seeds; seconds a seed"
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
            settings.order.named(),
            settings.duplicates.name(),
            settings.seeds,
        );
        if let Some(reward) = &settings.reward {
            let _ = write!(told, ", reward {reward}");
        }
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
fn choose(columns: &[(&str, Vec<Column>)], wanted: &[String]) -> Vec<Column> {
    if wanted.is_empty() {
        return columns.iter().flat_map(|(_, parts)| parts.clone()).collect();
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
    if has_interval(name) {
        columns.push(column("_low", &|summary| summary.interval.map(|ends| ends.0)));
        columns.push(column("_high", &|summary| summary.interval.map(|ends| ends.1)));
    }
    columns
}

/// What the header says of a figure besides its name.
fn unit(name: &str) -> Hint {
    let figure = FIGURES.iter().find(|figure| figure.name == name);
    let in_sample = figure.is_some_and(|figure| figure.section.is_in_sample());
    Hint { unit: in_sample.then_some("in-sample"), json: false }
}

fn whole(number: u32) -> Value {
    Value::Integer(number.into())
}
