//! Where the trials come from that simulated searches are given: a search of the store, the log
//! that comes with the program, or a table of accuracies.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use super::super::log::{fold_until, log};
use super::super::reading::{answer_from_log, collect, footer};
use super::super::{CliError, Context, Exit};
use super::tabular::Tabular;
use crate::agent::space::Space;
use crate::config::{Order, SearchConfig, presets};
use crate::data::DataError;
use crate::engine::session::read_limited;
use crate::events::codec::decode;
use crate::events::frame::Position;
use crate::events::lines::{Line, Reader};
use crate::events::{Fold as _, Hash, Recorded, Scope};
use crate::lab::environment::Environment;
use crate::lab::history::HistoryError;
use crate::lab::simulation::Simulation;
use crate::lab::trained::{Trained, TrainedFold};
use crate::log::Store;
use crate::views::{Answer, At, Value};

/// The preset whose results come with the program.
const BUNDLED_PRESET: &str = "exhaustive-demo";
/// They: a log as `log export --anonymous` wrote it, compressed.
const BUNDLED: &[u8] = include_bytes!("../../../benches/data/exhaustive-demo.jsonl.gz");

/// Most bytes of a table.
const TABLE_MAX: u64 = 64 << 20;

/// What is asked for.
pub(super) struct Wanted<'a> {
    pub(super) search: Option<&'a str>,
    pub(super) preset: Option<&'a str>,
    pub(super) table: Option<&'a Path>,
    pub(super) at: Option<At>,
}

/// Trials, and whose they are.
pub(super) struct Source {
    pub(super) trained: Trained,
    /// A line for people.
    pub(super) told: String,
    pub(super) search: Option<String>,
    pub(super) preset: Option<String>,
    /// File and hash of a table.
    pub(super) table: Option<(String, Hash)>,
    /// The last event that counts.
    pub(super) position: Position,
}

/// Finds the trials that are asked for.
pub(super) fn read(wanted: &Wanted<'_>, context: &Context) -> Result<Source, CliError> {
    let Some(file) = wanted.table else { return recorded(wanted, context) };
    let base = match wanted.search {
        Some(_) => recorded(wanted, context)?,
        None => Source {
            trained: empty(wanted.preset.unwrap_or(BUNDLED_PRESET), 0)?,
            told: String::new(),
            search: None,
            preset: Some(wanted.preset.unwrap_or(BUNDLED_PRESET).to_owned()),
            table: None,
            position: Position::default(),
        },
    };
    let (trained, hash) = tabular(file, base.trained, base.preset.as_deref())?;
    let name = file.display().to_string();
    let of = base.search.as_ref().or(base.preset.as_ref()).cloned().unwrap_or_default();
    let told = format!("accuracies of {name}, in the state space of {of}");
    Ok(Source { trained, told, table: Some((name, hash)), ..base })
}

/// Trials that were used before.
pub(super) fn again(
    settings: &Simulation,
    position: Position,
    context: &Context,
) -> Result<Trained, CliError> {
    let base = match (&settings.search, &settings.preset, &settings.table) {
        (Some(label), ..) => of_store(context, label, position)?,
        (None, Some(preset), Some(_)) => empty(preset, 0)?,
        (None, ..) => bundled().map_err(|error| CliError::new(Exit::Bug, error))?,
    };
    let Some(name) = &settings.table else { return Ok(base) };
    let (trained, hash) = tabular(Path::new(name), base, settings.preset.as_deref())?;
    match Some(hash) == settings.content {
        true => Ok(trained),
        false => Err(CliError::new(Exit::No, format!("{name} is not the file that it was"))
            .hint("the study knows it by its hash")),
    }
}

/// The accuracies of a file in the space of `base`; of a preset the file says how many classes.
fn tabular(file: &Path, base: Trained, preset: Option<&str>) -> Result<(Trained, Hash), CliError> {
    // A study records it.
    DataError::check_text(file)?;
    let name = file.display().to_string();
    let text = read_limited(file, TABLE_MAX)
        .map_err(|error| CliError::file("read --table", file, &error))?;
    let table = Tabular::read(&name, &text)?;
    let base = match preset {
        Some(preset) => empty(preset, table.classes())?,
        None => base,
    };
    let environment = table.environment(&base.space)?;
    Ok((Trained { environment, ..base }, Hash::of(text.as_bytes())))
}

/// The settings and the space of a preset, without any trial.
fn empty(preset: &str, classes: u32) -> Result<Trained, CliError> {
    let config = SearchConfig::read(presets::text(preset)?, None, &[])?;
    // The presets are for images of these sides; the number of classes may be another.
    let side = if config.data.name.ends_with("mnist") { 28 } else { 32 };
    let classes = if classes == 0 { 10 } else { classes };
    let space = Space::new(&config.space, side, classes).map_err(CliError::usage)?;
    Ok(Trained { config, space: Arc::new(space), environment: Environment::default() })
}

/// The trials of a search of the store, else what comes with the program.
fn recorded(wanted: &Wanted<'_>, context: &Context) -> Result<Source, CliError> {
    let preset = wanted.preset.unwrap_or(BUNDLED_PRESET);
    let space = SearchConfig::read(presets::text(preset)?, None, &[])?.space;
    // Without a store there is what comes with the program.
    if wanted.search.is_some() || Store::open_if_there(&context.store)?.is_some() {
        let answer = answer_from_log(context, wanted.at)?;
        for Listed { label, name, config, finished } in searches(&answer)? {
            let fits = match wanted.search {
                Some(wanted) => label == wanted || name == wanted,
                None => {
                    let of_preset = |config: SearchConfig| {
                        config.schedule.order == Order::Enumerate && config.space == space
                    };
                    finished && SearchConfig::read(&config, None, &[]).is_ok_and(of_preset)
                }
            };
            if fits {
                let position = answer.as_of.position;
                let trained = of_store(context, &label, position)?;
                let told = format!("trials of {label}; {}", footer(&answer));
                let (search, preset, table) = (Some(label), None, None);
                return Ok(Source { trained, told, search, preset, table, position });
            }
        }
        if let Some(wanted) = wanted.search {
            return Err(CliError::usage(format!("no search is called {wanted}"))
                .hint("`qtrail table searches` lists them"));
        }
    }
    if preset != BUNDLED_PRESET {
        let message = format!("the store has no finished search that enumerated {preset}");
        return Err(CliError::usage(message).hint(format!(
            "name a search; of {BUNDLED_PRESET} the results come with the program"
        )));
    }
    let trained = bundled().map_err(|error| CliError::new(Exit::Bug, error))?;
    let told = format!("trials of {BUNDLED_PRESET} as they come with the program");
    let (search, preset, table) = (None, Some(preset.to_owned()), None);
    Ok(Source { trained, told, search, preset, table, position: Position::default() })
}

/// A search of the store.
struct Listed {
    label: String,
    name: String,
    config: String,
    finished: bool,
}

/// The searches, the newest first.
fn searches(answer: &Answer) -> Result<Vec<Listed>, CliError> {
    let sql = "SELECT label, name, config, finished_at IS NOT NULL FROM job
               WHERE kind = 'search' ORDER BY id DESC";
    let text = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        _ => String::new(),
    };
    let listed = |row: &Vec<Value>| Listed {
        label: text(&row[0]),
        name: text(&row[1]),
        config: text(&row[2]),
        finished: row[3] == Value::Integer(1),
    };
    Ok(collect(answer, sql)?.iter().map(listed).collect())
}

fn of_store(context: &Context, label: &str, end: Position) -> Result<Trained, CliError> {
    let wrong = |error: HistoryError| CliError::usage(format!("{label}: {error}"));
    let scope: Option<Scope> = label.parse().ok();
    let (mut fold, mut log) = (TrainedFold::default(), log(context)?);
    fold_until(&mut log, end, &mut fold, |recorded| Some(recorded.scope) == scope, wrong)?;
    fold.finish().map_err(wrong)
}

/// The log that comes with the program, checked like any other.
fn bundled() -> Result<Trained, String> {
    let mut text = String::new();
    let unpacked = flate2::read::GzDecoder::new(BUNDLED).read_to_string(&mut text);
    unpacked.map_err(|error| error.to_string())?;
    let (mut reader, mut fold) = (Reader::default(), TrainedFold::default());
    let mut position = Position::default();
    for line in text.lines() {
        if let Line::Event(frame) = reader.line(line.as_bytes()).map_err(|e| e.to_string())? {
            position = position.next();
            let recorded: Recorded = decode(position, &frame).map_err(|e| e.to_string())?;
            if recorded.scope == Scope::Search(1) {
                fold.apply(&recorded).map_err(|error| error.to_string())?;
            }
        }
    }
    reader.finish().map_err(|error| error.to_string())?;
    fold.finish().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table can be of the space of any preset that samples images as the paper does.
    #[test]
    fn every_preset_has_a_space() {
        for (name, ..) in presets::PRESETS {
            assert!(empty(name, 10).unwrap().space.architectures() > 1, "{name}");
        }
    }

    /// What is shipped is whole, complete, and of the preset as it is.
    #[test]
    fn the_bundled_results_are_of_every_architecture() {
        let trained = bundled().unwrap();
        let records = trained.environment.records();
        assert_eq!((records.len(), trained.space.architectures()), (186, 186));
        assert!(records.iter().all(|record| record.rewards.len() == 3));
        let preset = presets::text(BUNDLED_PRESET).unwrap();
        assert_eq!(trained.config, SearchConfig::read(preset, None, &[]).unwrap());
    }
}
