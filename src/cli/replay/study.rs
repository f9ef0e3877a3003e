//! Studies on record: saving one, finding one, doing one again.

use std::collections::HashMap;

use super::super::reading::{answer, collect};
use super::super::{CliError, Context, Exit, note, say, work};
use super::history;
use super::lesson::{Learned, Lesson};
use crate::config::replay::Policy;
use crate::engine::studies::{self, Study};
use crate::events::frame::Position;
use crate::events::{StudyFigure, StudyRow, StudyStarted};
use crate::lab::measure::FIGURES;
use crate::lab::settings::Settings;
use crate::log::Store;
use crate::views::{Answer, At, Value, suggestion};

/// What is recorded of a replay as its kind.
const KIND: &str = "replay";
/// What is recorded of simulated searches.
pub(crate) const SIMULATE: &str = "simulate";
/// Differences that are listed.
const LISTED: usize = 20;

/// A study on record.
pub(crate) struct Saved {
    name: String,
    kind: String,
    /// Its settings, TOML.
    text: String,
    /// The last event it knew of.
    pub(crate) position: Position,
    /// What came of it.
    pub(crate) rows: Vec<StudyRow>,
}

/// Refuses a name that is taken, before anything is computed.
pub(crate) fn check_name(answer: &Answer, name: &str) -> Result<(), CliError> {
    let taken = names(answer)?.iter().any(|known| known == name);
    match taken {
        true => Err(CliError::usage(format!("--save: a study called {name} is in the store"))
            .hint("`qtrail table replays` shows it; choose another name")),
        false => Ok(()),
    }
}

pub(crate) fn names(answer: &Answer) -> Result<Vec<String>, CliError> {
    let sql = "SELECT name FROM study WHERE saved_at IS NOT NULL ORDER BY study";
    let rows = collect(answer, sql)?;
    Ok(rows.iter().map(|row| text(&row[0])).collect())
}

/// Records what came of a lesson.
pub(super) fn save(
    context: &Context,
    name: &str,
    lesson: &Lesson,
    learned: &[Learned],
    position: Position,
) -> Result<(), CliError> {
    let started = StudyStarted {
        study: 0,
        name: name.to_owned(),
        kind: KIND.to_owned(),
        search: lesson.settings.search.clone(),
        position: position.0,
        settings: lesson.settings.to_toml(),
        rows: 0,
        program: String::new(),
    };
    record(context, Study { started, rows: rows(learned) })
}

/// Records a study, and says so.
pub(crate) fn record(context: &Context, study: Study) -> Result<(), CliError> {
    let name = study.started.name.clone();
    let store = Store::open(&context.store)?;
    let mut session = work::session_without_trainer(context, store)?;
    let saved = studies::save(&mut session, study);
    session.close()?;
    let number = saved?;
    note(&format!(
        "saved as study {number}, {name}: `qtrail table replays`, `qtrail replay --check {name}`"
    ));
    Ok(())
}

/// What is recorded of each policy.
fn rows(learned: &[Learned]) -> Vec<StudyRow> {
    let row = |(index, learned): (u32, &Learned)| {
        let row = &learned.row;
        let figure = |name: &str, mean, sd, interval: Option<(f64, f64)>| {
            let (low, high) = (interval.map(|ends| ends.0), interval.map(|ends| ends.1));
            StudyFigure { name: name.to_owned(), mean, sd, low, high }
        };
        let figures = FIGURES
            .iter()
            .zip(&row.figures)
            .map(|(of, summary)| figure(of.name, summary.mean, summary.sd, summary.interval));
        let greedy = [
            figure("greedy_accuracy", row.greedy.accuracy, None, None),
            figure("greedy_seeds", Some(f64::from(row.greedy_seeds)), None, None),
        ];
        StudyRow {
            study: 0,
            row: index,
            policy: row.policy.to_string(),
            seeds: row.seeds,
            greedy: row.greedy.architecture.to_string(),
            figures: figures.chain(greedy).collect(),
        }
    };
    (0..).zip(learned).map(row).collect()
}

/// The study of this name.
pub(crate) fn find(answer: &Answer, name: &str) -> Result<Saved, CliError> {
    let quoted = name.replace('\'', "''");
    let found = collect(
        answer,
        &format!(
            "SELECT study, settings, position, kind FROM study
             WHERE name = '{quoted}' AND saved_at IS NOT NULL"
        ),
    )?;
    let Some([Value::Integer(study), settings, Value::Integer(position), kind]) =
        found.first().map(Vec::as_slice)
    else {
        let names = names(answer)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let hint = match names.is_empty() {
            true => "`qtrail replay … --save NAME` saves one, `qtrail simulate` too".to_owned(),
            false => suggestion(name, &names, "studies"),
        };
        return Err(CliError::usage(format!("no study is called {name}")).hint(hint));
    };
    let mut figures: HashMap<i64, Vec<StudyFigure>> = HashMap::new();
    let sql = format!(
        "SELECT row, name, mean, sd, low, high FROM study_figure
         WHERE study = {study} ORDER BY row, place"
    );
    for row in collect(answer, &sql)? {
        let [Value::Integer(index), name, mean, sd, low, high] = &row[..] else { continue };
        let (mean, sd, low, high) = (real(mean), real(sd), real(low), real(high));
        let figure = StudyFigure { name: text(name), mean, sd, low, high };
        figures.entry(*index).or_default().push(figure);
    }
    let sql = format!(
        "SELECT row, policy, seeds, greedy FROM study_row WHERE study = {study} ORDER BY row"
    );
    let mut rows = Vec::new();
    for row in collect(answer, &sql)? {
        let [Value::Integer(index), policy, Value::Integer(seeds), greedy] = &row[..] else {
            continue;
        };
        rows.push(StudyRow {
            study: u32::try_from(*study).unwrap_or(0),
            row: u32::try_from(*index).unwrap_or(0),
            policy: text(policy),
            seeds: u32::try_from(*seeds).unwrap_or(0),
            greedy: text(greedy),
            figures: figures.remove(index).unwrap_or_default(),
        });
    }
    let position = Position(u64::try_from(*position).unwrap_or(0));
    let (name, kind, text) = (name.to_owned(), text(kind), text(settings));
    Ok(Saved { name, kind, text, position, rows })
}

impl Saved {
    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is of simulated searches.
    pub(crate) fn is_simulated(&self) -> bool {
        self.kind == SIMULATE
    }

    /// Its settings, as a study of its kind has them.
    pub(crate) fn told<T: serde::de::DeserializeOwned>(&self) -> Result<T, CliError> {
        toml::from_str(&self.text).map_err(|error| {
            CliError::new(Exit::Damaged, format!("the settings of study {}: {error}", self.name))
        })
    }

    /// The settings of a replay.
    pub(crate) fn settings(&self) -> Result<Settings, CliError> {
        match self.kind == KIND {
            true => self.told(),
            false => Err(CliError::usage(format!(
                "study {} is one of {}: it learned from no history",
                self.name, self.kind
            ))),
        }
    }

    /// Its policies.
    pub(crate) fn policies(&self) -> Result<Vec<Policy>, CliError> {
        let policy = |row: &StudyRow| {
            row.policy.parse().map_err(|error| {
                CliError::new(
                    Exit::Damaged,
                    format!("the policies of study {}: {error}", self.name),
                )
            })
        };
        self.rows.iter().map(policy).collect()
    }

    /// Reads the history up to the event that it knew of.
    pub(crate) fn lesson(&self, context: &Context) -> Result<Lesson, CliError> {
        let settings = self.settings()?;
        let Settings { search, include_quarantined, .. } = &settings;
        let history = history::read(context, search, self.position, *include_quarantined)?;
        // Only rewards that are computed ask the tables, as they were then.
        let mut answer = match settings.reward {
            Some(_) => Some(answer(context, Some(At::Position(self.position)))?),
            None => None,
        };
        Lesson::new(answer.as_mut(), settings, history)
    }

    /// Does it again, and says whether the same comes out, bit for bit.
    pub(super) fn check(&self, context: &Context) -> Result<(), CliError> {
        let again = if self.is_simulated() {
            super::super::simulate::again(self, context)?
        } else {
            let policies = self.policies()?;
            rows(&self.lesson(context)?.learn(&policies)?)
        };
        let mut differences = Vec::new();
        for (before, now) in self.rows.iter().zip(&again) {
            differences.extend(compare(before, now));
        }
        let name = &self.name;
        if differences.is_empty() {
            let numbers: usize = again.iter().map(|row| row.figures.len()).sum();
            say(&format!(
                "{name}: {} policies, {numbers} numbers: all equal, as of event {}",
                again.len(),
                self.position
            ));
            return Ok(());
        }
        differences.iter().take(LISTED).for_each(|line| say(line));
        let message = format!("{name}: {} numbers are not as recorded", differences.len());
        Err(CliError::new(Exit::No, message)
            .hint("another version of qtrail, or of the machine's arithmetic?"))
    }
}

/// Where a row is not as recorded.
fn compare(before: &StudyRow, now: &StudyRow) -> Vec<String> {
    let mut differences = Vec::new();
    let policy = &before.policy;
    let mut differs = |what: &str, before: String, now: String| {
        differences.push(format!("{policy}, {what}: recorded {before}, now {now}"));
    };
    if before.seeds != now.seeds {
        differs("seeds", before.seeds.to_string(), now.seeds.to_string());
    }
    if before.greedy != now.greedy {
        differs("greedy", before.greedy.clone(), now.greedy.clone());
    }
    for figure in &before.figures {
        let Some(again) = now.figures.iter().find(|again| again.name == figure.name) else {
            differs(&figure.name, "a number".into(), "no such number".into());
            continue;
        };
        let parts = |of: &StudyFigure| [of.mean, of.sd, of.low, of.high];
        let names = ["mean", "standard deviation", "lower end", "upper end"];
        for (part, (a, b)) in names.iter().zip(parts(figure).into_iter().zip(parts(again))) {
            if a.map(f64::to_bits) != b.map(f64::to_bits) {
                let shown = |value: Option<f64>| value.map_or("none".into(), |v| format!("{v:?}"));
                differs(&format!("{}, {part}", figure.name), shown(a), shown(b));
            }
        }
    }
    differences
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        _ => String::new(),
    }
}

fn real(value: &Value) -> Option<f64> {
    match value {
        Value::Real(number) => Some(*number),
        _ => None,
    }
}
