//! Folding how searches and runs begin: what they are, and their configuration.

use rusqlite::Connection;

use super::ViewError;
use super::fold::{JobId, cached, impossible, run};
use super::imports;
use crate::agent::limits::Mask;
use crate::arch::shape::Map;
use crate::config::{Order, SearchConfig};
use crate::events::{
    ConfigAssembler, DataFacts, Event, Hash, Recorded, RunStarted, Scope, SearchStarted,
};

pub(super) fn search_started(
    db: &Connection,
    recorded: &Recorded,
    started: &SearchStarted,
) -> Result<(), ViewError> {
    let Scope::Search(number) = recorded.scope else {
        return Err(impossible(recorded, "it does not name a search"));
    };
    let SearchStarted { name, seed, chance, data, config, threads, program, folder, .. } = started;
    let head = ("search", number, name.as_str(), *seed);
    insert_job(db, recorded, head, data, (chance, *config, *threads, program, folder))
}

pub(super) fn run_started(
    db: &Connection,
    recorded: &Recorded,
    started: &RunStarted,
) -> Result<(), ViewError> {
    let Scope::Run(number) = recorded.scope else {
        return Err(impossible(recorded, "it does not name a run"));
    };
    let RunStarted { seed, chance, data, config, threads, program, folder, .. } = started;
    let head = ("run", number, "", *seed);
    insert_job(db, recorded, head, data, (chance, *config, *threads, program, folder))?;
    let sql = "UPDATE job SET models = ?, purpose = ?, recipe = ?, fit = ? WHERE label = ?";
    let models = started.repeats.saturating_mul(started.models.into());
    let (purpose, fit) = (started.purpose.name(), started.fit.name());
    run(db, sql, (models, purpose, &started.recipe, fit, recorded.scope.to_string()))
}

fn insert_job(
    db: &Connection,
    recorded: &Recorded,
    (kind, number, name, seed): (&str, u32, &str, u64),
    data: &DataFacts,
    (chance, config, threads, program, folder): (&str, Hash, u32, &str, &str),
) -> Result<(), ViewError> {
    let sql = "INSERT INTO job (label, kind, number, name, seed, chance, data, content, split,
                 channels, side, classes, train, validation, folder, threads, program,
                 config_hash, config, started_at, last_at)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?)";
    let label = recorded.scope.to_string();
    let seen: bool = cached(db, "SELECT EXISTS (SELECT 1 FROM job WHERE label = ?)")?
        .query_row([&label], |row| row.get(0))?;
    if seen {
        return Err(impossible(recorded, "it has begun already"));
    }
    cached(db, sql)?.execute(rusqlite::params![
        label,
        kind,
        number,
        name,
        seed.to_string(),
        chance,
        data.name,
        data.content.to_string(),
        data.split.to_string(),
        data.channels,
        data.side,
        data.classes,
        data.train,
        data.validation,
        folder,
        threads,
        program,
        config.to_string(),
        recorded.at,
        recorded.at,
    ])?;
    Ok(())
}

/// Adds to the configuration in a row of `table`, which was announced there; the whole text, once
/// its last part is there.
pub(super) fn assembled(
    db: &Connection,
    table: &str,
    id: i64,
    recorded: &Recorded,
) -> Result<Option<String>, ViewError> {
    let sql = format!("SELECT config, config_hash FROM {table} WHERE id = ?");
    let (text, hash): (String, String) =
        cached(db, &sql)?.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let hash = hash.parse().map_err(|()| impossible(recorded, "no configuration was announced"))?;
    if let Event::ConfigPart(part) = &recorded.event {
        let sql = format!("UPDATE {table} SET config = config || ? WHERE id = ?");
        run(db, &sql, (&part.text, id))?;
    }
    let mut assembler = ConfigAssembler::resume(hash, text);
    assembler.apply(&recorded.event).map_err(|why| impossible(recorded, why))
}

/// Takes in the configuration once its last part is there.
pub(super) fn configured(
    db: &Connection,
    recorded: &Recorded,
    job: JobId,
) -> Result<(), ViewError> {
    let Some(text) = assembled(db, "job", job, recorded)? else { return Ok(()) };
    let kind: String =
        cached(db, "SELECT kind FROM job WHERE id = ?")?.query_row([job], |row| row.get(0))?;
    let config = read_config(recorded, &text)?;
    let flavour = match config.flavour {
        crate::config::Flavour::Paper => "paper",
        crate::config::Flavour::Code => "code",
    };
    let enumerates = config.schedule.order == Order::Enumerate;
    let models = match (kind.as_str(), enumerates) {
        ("search", true) => Some(enumerated(db, job, recorded, &config)?),
        ("search", false) => Some(config.schedule.models()),
        _ => None,
    };
    let sql = "UPDATE job SET flavour = ?, models = coalesce(?, models), q_init = ?, expression = ?
               WHERE id = ?";
    let expression = config.reward.expression.as_ref().map(ToString::to_string);
    run(db, sql, (flavour, models, config.learning.init, expression, job))?;
    if kind == "search" && !enumerates && !imports::is_import(db, recorded.scope)? {
        super::agent::insert_pairs(db, job, recorded)?;
    }
    Ok(())
}

/// Trials of a search that takes every architecture of its space.
fn enumerated(
    db: &Connection,
    job: JobId,
    at: &Recorded,
    config: &SearchConfig,
) -> Result<u32, ViewError> {
    let space = super::agent::settings(db, job, at)?.space;
    let sql = "SELECT channels, side, classes FROM job WHERE id = ?";
    let (channels, side, classes) =
        cached(db, sql)?.query_row([job], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let (input, gap) = (Map { channels, side }, config.recipe.gap);
    let count = match config.limits.is_none() {
        true => space.architectures(),
        // An enumeration has no more than can be counted.
        false => Mask::new(&space, config.limits, (input, classes), gap)
            .ok()
            .and_then(|mask| mask.count())
            .unwrap_or_else(|| space.architectures()),
    };
    Ok(u32::try_from(count).unwrap_or(u32::MAX).saturating_mul(config.schedule.repeats))
}

pub(super) fn read_config(recorded: &Recorded, text: &str) -> Result<SearchConfig, ViewError> {
    let wrong = |error| impossible(recorded, format!("the configuration is not one: {error}"));
    SearchConfig::read(text, None, &[]).map_err(wrong)
}
