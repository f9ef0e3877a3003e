//! Where the trials come from that simulated searches are given: a search of the store, or the log
//! that comes with the program.

use std::io::Read as _;
use std::ops::ControlFlow;

use super::super::log::{each, log};
use super::super::reading::{answer, collect, footer};
use super::super::{CliError, Context, Exit};
use super::Args;
use crate::config::{Order, SearchConfig, presets};
use crate::events::codec::decode;
use crate::events::frame::Position;
use crate::events::lines::{Line, Reader};
use crate::events::{Recorded, Scope};
use crate::lab::history::HistoryError;
use crate::lab::trained::{Trained, TrainedFolder};
use crate::log::Store;
use crate::views::{Answer, Value};

/// The preset whose results come with the program.
const BUNDLED_PRESET: &str = "exhaustive-demo";
/// They: a log as `log export --anonymous` wrote it, compressed.
const BUNDLED: &[u8] = include_bytes!("../../../benches/data/exhaustive-demo.jsonl.gz");

/// The trials, and a line that says whose they are.
pub(super) fn read(args: &Args, context: &Context) -> Result<(Trained, String), CliError> {
    let preset = args.preset.as_deref().unwrap_or(BUNDLED_PRESET);
    let space = SearchConfig::read(presets::text(preset)?, None, &[])?.space;
    // Without a store there is what comes with the program.
    if args.search.is_some() || Store::open(&context.store).is_ok() {
        let answer = answer(context, args.at.at)?;
        let wanted = args.search.as_deref();
        for (label, name, config) in searches(&answer)? {
            let fits = match wanted {
                Some(wanted) => label == wanted || name == wanted,
                None => SearchConfig::read(&config, None, &[]).is_ok_and(|config| {
                    config.schedule.order == Order::Enumerate && config.space == space
                }),
            };
            if fits {
                let trained = of_store(context, &label, answer.as_of.position)?;
                return Ok((trained, format!("trials of {label}; {}", footer(&answer))));
            }
        }
        if let Some(wanted) = wanted {
            return Err(CliError::usage(format!("no search is called {wanted}"))
                .hint("`qtrail table searches` lists them"));
        }
    }
    if preset != BUNDLED_PRESET {
        return Err(CliError::usage(format!("the store has no search that enumerated {preset}"))
            .hint(format!(
                "name a search; of {BUNDLED_PRESET} the results come with the program"
            )));
    }
    let trained = bundled().map_err(|error| CliError::new(Exit::Bug, error))?;
    Ok((trained, format!("trials of {BUNDLED_PRESET} as they come with the program")))
}

/// Label, name and configuration of the finished searches, the newest first.
fn searches(answer: &Answer) -> Result<Vec<(String, String, String)>, CliError> {
    let sql = "SELECT label, name, config FROM job WHERE kind = 'search' ORDER BY id DESC";
    let text = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        _ => String::new(),
    };
    let rows = collect(answer, sql)?;
    Ok(rows.iter().map(|row| (text(&row[0]), text(&row[1]), text(&row[2]))).collect())
}

fn of_store(context: &Context, label: &str, end: Position) -> Result<Trained, CliError> {
    let wrong = |error: HistoryError| CliError::usage(format!("{label}: {error}"));
    let scope: Option<Scope> = label.parse().ok();
    let (mut folder, mut log) = (TrainedFolder::default(), log(context)?);
    each(&mut log, Position::default(), |_, recorded| {
        if recorded.position > end {
            return Ok(ControlFlow::Break(()));
        }
        if Some(recorded.scope) == scope {
            folder.push(&recorded.event).map_err(wrong)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    log.release()?;
    folder.finish().map_err(wrong)
}

/// The log that comes with the program, checked like any other.
fn bundled() -> Result<Trained, String> {
    let mut text = String::new();
    let unpacked = flate2::read::GzDecoder::new(BUNDLED).read_to_string(&mut text);
    unpacked.map_err(|error| error.to_string())?;
    let (mut reader, mut folder) = (Reader::default(), TrainedFolder::default());
    let mut position = Position::default();
    for line in text.lines() {
        if let Line::Event(frame) = reader.line(line.as_bytes()).map_err(|e| e.to_string())? {
            position = position.next();
            let recorded: Recorded = decode(position, &frame).map_err(|e| e.to_string())?;
            if recorded.scope == Scope::Search(1) {
                folder.push(&recorded.event).map_err(|error| error.to_string())?;
            }
        }
    }
    reader.finish().map_err(|error| error.to_string())?;
    folder.finish().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

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
