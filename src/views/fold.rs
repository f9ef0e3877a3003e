//! The fold: events into rows.
//!
//! One code path for appenders, queries and rebuilds. It runs inside a transaction of the caller.
//! What it remembers between two calls is only a shortcut: everything it needs it finds again in
//! the rows, so `fold(all)` is `fold(prefix)` and then `fold(rest)`, whoever does which part.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Params};

use super::ViewError;
use super::agent::Agent;
use super::forks;
use super::imports::{self, Turn};
use super::jobs::{config_part, configured, read_config, run_started, search_started};
use super::runs::{carry, predictions_recorded, run_model};
use super::{ensembles, expressed, series, studies};
use crate::arch::{Architecture, Layer};
use crate::config::recipe::WeightsOf;
use crate::events::frame::Position;
use crate::events::{
    AttemptLost, AttemptStarted, EpisodeSampled, EpochFinished, Event, ExperienceRecorded, Fit,
    Outcome, PhaseEnded, Recorded, Scope, TrialFinished, TrialPlanned,
};

/// Counts changes of what the fold writes that the text of `schema/tables.sql` does not show.
pub const FOLD_VERSION: u32 = 3;

/// Row id of a search or run.
pub(super) type JobId = i64;
type TrialId = i64;

/// What the fold remembers between two calls.
#[derive(Debug, Default)]
pub(super) struct Folder {
    jobs: HashMap<Scope, JobId>,
    agents: HashMap<JobId, Agent>,
    /// When the last event of a job was recorded; written at the end, not with each event.
    last: HashMap<JobId, i64>,
    /// Row ids of trials that were asked for lately.
    trials: HashMap<(JobId, u32), TrialId>,
    /// The architecture asked for last: an episode and its trial follow each other.
    architecture: Option<(Architecture, i64)>,
}

/// Row ids remembered: more trials are not at work at the same time.
const TRIALS_MAX: usize = 1_000;

/// What the event being folded is about.
pub(super) struct About<'a> {
    pub(super) recorded: &'a Recorded,
    pub(super) trial: Option<TrialId>,
}

impl Folder {
    /// Folds events in, in order. The caller has begun a transaction and knows that the first of
    /// them follows what is in the tables. After an error both the transaction and this must go.
    pub(super) fn fold(&mut self, db: &Connection, events: &[Recorded]) -> Result<(), ViewError> {
        for recorded in events {
            self.event(db, recorded)?;
        }
        for (&job, agent) in &mut self.agents {
            agent.save(db, job)?;
        }
        for (job, at) in self.last.drain() {
            run(db, "UPDATE job SET last_at = ? WHERE id = ?", (at, job))?;
        }
        Ok(())
    }

    fn event(&mut self, db: &Connection, recorded: &Recorded) -> Result<(), ViewError> {
        // What is known as a search or run by now is no unfinished import.
        let known = recorded.scope == Scope::Store || self.jobs.contains_key(&recorded.scope);
        let turn = match known {
            true => Turn::Counts,
            false => imports::turn(db, recorded)?,
        };
        let (job, trial) = match turn {
            Turn::Counts => self.take_in(db, recorded)?,
            Turn::Waits => (None, None),
            Turn::Closes(waited) => (Some(self.complete(db, recorded, &waited)?), None),
        };
        let sql = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)";
        let kind = recorded.event.kind().number;
        let position = number(recorded.position.0);
        run(db, sql, (position, kind, job, trial, episode(&recorded.event), recorded.at))
    }

    /// Takes in an import or a fork that is complete.
    fn complete(
        &mut self,
        db: &Connection,
        closing: &Recorded,
        waited: &[Recorded],
    ) -> Result<JobId, ViewError> {
        for recorded in waited {
            if matches!(recorded.event, Event::SearchStarted(_) | Event::ConfigPart(_)) {
                self.take_in(db, recorded)?;
            }
        }
        let begun = self.job(db, closing)?;
        let job = begun.ok_or_else(|| impossible(closing, "the search has not begun"))?;
        match &closing.event {
            Event::ForkFinished(_) => forks::complete(db, job, closing, waited)?,
            _ => imports::complete(db, job, closing, waited)?,
        }
        self.last.insert(job, closing.at);
        Ok(job)
    }

    /// Takes in an event that counts from now on; says what it is about.
    fn take_in(
        &mut self,
        db: &Connection,
        recorded: &Recorded,
    ) -> Result<(Option<JobId>, Option<TrialId>), ViewError> {
        let at = recorded.at;
        match &recorded.event {
            Event::SearchStarted(started) => search_started(db, recorded, started)?,
            Event::RunStarted(started) => run_started(db, recorded, started)?,
            Event::EnsembleSaved(saved) => ensembles::saved(db, recorded, saved)?,
            _ if recorded.scope == Scope::Store => studies::fold(db, recorded)?,
            _ => {}
        }
        let job = self.job(db, recorded)?;
        let trial = match (job, ordinal(&recorded.event)) {
            (Some(job), Some(ordinal)) => Some(self.trial(db, recorded, job, ordinal)?),
            _ => None,
        };
        let about = About { recorded, trial };
        if let Some(job) = job {
            self.of_job(db, &about, job)?;
            self.last.insert(job, at);
        }
        let trial = match (&recorded.event, job) {
            (Event::TrialPlanned(planned), Some(job)) => {
                Some(self.trial(db, recorded, job, planned.trial)?)
            }
            _ => trial,
        };
        Ok((job, trial))
    }

    fn job(&mut self, db: &Connection, recorded: &Recorded) -> Result<Option<JobId>, ViewError> {
        if recorded.scope == Scope::Store {
            return Ok(None);
        }
        if let Some(&job) = self.jobs.get(&recorded.scope) {
            return Ok(Some(job));
        }
        let label = recorded.scope.to_string();
        let job = cached(db, "SELECT id FROM job WHERE label = ?")?
            .query_row([label], |row| row.get(0))
            .optional()?
            .ok_or_else(|| impossible(recorded, "the search or run has not begun"))?;
        self.jobs.insert(recorded.scope, job);
        Ok(Some(job))
    }

    fn of_job(&mut self, db: &Connection, about: &About<'_>, job: JobId) -> Result<(), ViewError> {
        match &about.recorded.event {
            Event::SearchStarted(_) | Event::RunStarted(_) => configured(db, about, job),
            Event::ConfigPart(part) => config_part(db, about, job, part),
            Event::RunModel(model) => run_model(db, job, model),
            Event::EpisodeSampled(sampled) => {
                let architecture = self.architecture(db, &sampled.architecture)?;
                episode_sampled(db, about, job, sampled, architecture)
            }
            Event::TrialPlanned(planned) => {
                let architecture = self.architecture(db, &planned.architecture)?;
                trial_planned(db, about, job, planned, architecture)
            }
            Event::AttemptStarted(started) => attempt_started(db, about, started),
            Event::EpochFinished(epoch) => epoch_finished(db, about, epoch),
            Event::TrialFinished(finished) => trial_finished(db, about, job, finished),
            Event::AttemptLost(lost) => attempt_lost(db, about, lost),
            Event::TrialLost(_) => {
                let sql = "UPDATE trial SET status = 'lost', ended_at = ? WHERE id = ?";
                run(db, sql, (about.recorded.at, about.trial))
            }
            Event::ExperienceRecorded(experience) => {
                self.experience(db, about, job, experience)?;
                expressed::accuracy(db, about, job, experience.episode)
            }
            Event::ReplayUpdated(update) => {
                self.agent(db, about, job)?.replay(db, job, about.recorded, update)
            }
            Event::PhaseEnded(ended) => phase_ended(db, about.recorded.at, job, ended),
            Event::ScheduleExtended(added) => forks::extended(db, about.recorded, job, added),
            Event::SearchFinished(_) | Event::RunFinished(_) => {
                let sql = "UPDATE job SET finished_at = ? WHERE id = ?";
                run(db, sql, (about.recorded.at, job))
            }
            Event::Resumed(_) => {
                run(db, "UPDATE job SET resumed = resumed + 1 WHERE id = ?", [job])
            }
            // Or a checkpoint's, which no table tells of.
            Event::ArtifactReleased(released) => {
                let sql = "UPDATE trial SET kept = 0 WHERE id = ? AND weights = ?";
                run(db, sql, (about.trial, released.artifact.to_string()))
            }
            Event::CheckpointKept(_) => Ok(()),
            Event::PredictionsRecorded(made) => predictions_recorded(db, about, made),
            Event::ForkStarted(_) | Event::Inherited(_) | Event::ForkFinished(_) => {
                Err(impossible(about.recorded, "no fork has begun"))
            }
            Event::ImportStarted(_)
            | Event::ImportedRow(_)
            | Event::ImportedQ(_)
            | Event::ImportFinished(_) => Err(impossible(about.recorded, "no import has begun")),
            Event::SeriesJoined(joined) => series::joined(db, about.recorded, job, joined),
            Event::TrialReused(reused) => series::reused(db, about, reused),
            Event::EnsembleSaved(_) => Ok(()), // it belongs to the store
            Event::StudyStarted(_) | Event::StudyRow(_) | Event::StudyFinished(_) => {
                Err(impossible(about.recorded, "studies belong to the store"))
            }
        }
    }

    fn trial(
        &mut self,
        db: &Connection,
        recorded: &Recorded,
        job: JobId,
        ordinal: u32,
    ) -> Result<TrialId, ViewError> {
        if let Some(&trial) = self.trials.get(&(job, ordinal)) {
            return Ok(trial);
        }
        let trial = trial_id(db, recorded, job, ordinal)?;
        if self.trials.len() >= TRIALS_MAX {
            self.trials.clear();
        }
        self.trials.insert((job, ordinal), trial);
        Ok(trial)
    }

    fn architecture(
        &mut self,
        db: &Connection,
        architecture: &Architecture,
    ) -> Result<i64, ViewError> {
        match &self.architecture {
            Some((last, id)) if last == architecture => Ok(*id),
            _ => {
                let id = architecture_id(db, architecture)?;
                self.architecture = Some((architecture.clone(), id));
                Ok(id)
            }
        }
    }

    fn agent(
        &mut self,
        db: &Connection,
        about: &About<'_>,
        job: JobId,
    ) -> Result<&mut Agent, ViewError> {
        use std::collections::hash_map::Entry;
        match self.agents.entry(job) {
            Entry::Occupied(agent) => Ok(agent.into_mut()),
            Entry::Vacant(vacant) => Ok(vacant.insert(Agent::load(db, job, about.recorded)?)),
        }
    }

    fn experience(
        &mut self,
        db: &Connection,
        about: &About<'_>,
        job: JobId,
        experience: &ExperienceRecorded,
    ) -> Result<(), ViewError> {
        let index = self.agent(db, about, job)?.next_experience();
        let sql = "UPDATE episode SET reward = ?, experience = ?, failed =
                     (SELECT status = 'failed' FROM trial
                      WHERE trial.job = episode.job AND trial.ordinal = episode.ordinal)
                   WHERE job = ? AND episode = ?";
        let changed =
            cached(db, sql)?.execute((experience.reward, index, job, experience.episode))?;
        if changed != 1 {
            return Err(impossible(about.recorded, "the episode was not sampled"));
        }
        // The first episode of a trial names its reward; duplicates repeat it.
        let sql = "UPDATE trial SET accuracy = ?
                   WHERE job = ? AND accuracy IS NULL AND ordinal =
                     (SELECT ordinal FROM episode WHERE job = ? AND episode = ?)";
        run(db, sql, (experience.reward, job, job, experience.episode))
    }
}

fn episode_sampled(
    db: &Connection,
    about: &About<'_>,
    job: JobId,
    sampled: &EpisodeSampled,
    architecture: i64,
) -> Result<(), ViewError> {
    let sql = "INSERT INTO episode (job, episode, phase, epsilon, architecture, ordinal, duplicate,
                 recorded_at)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let EpisodeSampled { episode, phase, epsilon, trial, duplicate, .. } = *sampled;
    let at = about.recorded.at;
    run(db, sql, (job, episode, phase, epsilon, architecture, trial, duplicate, at))
}

/// The id of an architecture, new or known.
pub(super) fn architecture_id(
    db: &Connection,
    architecture: &Architecture,
) -> Result<i64, ViewError> {
    let text = architecture.to_string();
    let known = cached(db, "SELECT id FROM architecture WHERE text = ?")?
        .query_row([&text], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    let layers = architecture.layers();
    let ending = match layers.len().checked_sub(2).and_then(|last| layers.get(last)) {
        Some(Layer::GlobalAverage { .. }) => "GAP",
        Some(Layer::Full { .. }) => "FC",
        _ => "SM",
    };
    let sql = "INSERT INTO architecture (text, depth, ending) VALUES (?, ?, ?)";
    run(db, sql, (text, count(architecture.depth()), ending))?;
    Ok(db.last_insert_rowid())
}

fn trial_planned(
    db: &Connection,
    about: &About<'_>,
    job: JobId,
    planned: &TrialPlanned,
    architecture: i64,
) -> Result<(), ViewError> {
    let episode = Some(planned.episode).filter(|&episode| episode > 0);
    let sql = "INSERT INTO trial (job, ordinal, episode, epsilon, architecture, seed, repeat,
                 params, madds, status, planned_at, source)
               VALUES (?1, ?2, ?3, (SELECT epsilon FROM episode WHERE job = ?1 AND episode = ?3),
                 ?4, ?5, ?6, ?7, ?8, 'planned', ?9,
                 (SELECT source FROM run_model WHERE job = ?1 AND model =
                   (?2 - 1) % (SELECT max(count(*), 1) FROM run_model WHERE job = ?1)))";
    let TrialPlanned { trial, seed, repeat, parameters, multiply_adds, .. } = *planned;
    let (parameters, multiply_adds) = (number(parameters), number(multiply_adds));
    cached(db, sql)?.execute(rusqlite::params![
        job,
        trial,
        episode,
        architecture,
        seed.to_string(),
        repeat,
        parameters,
        multiply_adds,
        about.recorded.at,
    ])?;
    Ok(())
}

fn attempt_started(
    db: &Connection,
    about: &About<'_>,
    started: &AttemptStarted,
) -> Result<(), ViewError> {
    let AttemptStarted { attempt, device, threads, trainer, library, isa, host, .. } = started;
    let sql = "INSERT INTO attempt (trial, attempt, outcome, device, threads, trainer, library,
                 isa, host, started_at)
               VALUES (?, ?, 'running', ?, ?, ?, ?, ?, ?, ?)";
    let at = about.recorded.at;
    run(db, sql, (about.trial, attempt, device, threads, trainer, library, isa, host, at))?;
    carry(db, about, started)?;
    let sql = "UPDATE trial SET status = 'running', attempts = attempts + 1 WHERE id = ?";
    run(db, sql, [about.trial])
}

fn epoch_finished(
    db: &Connection,
    about: &About<'_>,
    epoch: &EpochFinished,
) -> Result<(), ViewError> {
    let sql = "INSERT INTO epoch VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let finite = |loss: f64| Some(loss).filter(|loss| loss.is_finite());
    cached(db, sql)?.execute(rusqlite::params![
        about.trial,
        epoch.attempt,
        epoch.restart,
        epoch.epoch,
        epoch.learning_rate,
        finite(epoch.train_loss),
        epoch.train_correct,
        epoch.train_total,
        finite(epoch.validation_loss),
        epoch.validation_correct,
        epoch.validation_total,
        epoch.seconds,
        about.recorded.at,
    ])?;
    Ok(())
}

fn trial_finished(
    db: &Connection,
    about: &About<'_>,
    job: JobId,
    finished: &TrialFinished,
) -> Result<(), ViewError> {
    let TrialFinished { attempt, epochs, restarts, seconds, peak_memory, .. } = *finished;
    let (trial, at) = (about.trial, about.recorded.at);
    let sql = "UPDATE attempt SET outcome = 'ended', ended_at = ? WHERE trial = ? AND attempt = ?";
    run(db, sql, (at, trial, attempt))?;
    let sql = "UPDATE trial SET epochs = ?, restarts = ?, seconds = ?, peak_memory = ?,
                 ended_at = ? WHERE id = ?";
    let peak_memory = Some(number(peak_memory)).filter(|&bytes| bytes > 0);
    run(db, sql, (epochs, restarts, seconds, peak_memory, at, trial))?;
    match &finished.outcome {
        Outcome::Failed { reason, message } => {
            let sql = "UPDATE trial SET status = 'failed', reason = ?, message = ? WHERE id = ?";
            run(db, sql, (reason.name(), message, trial))
        }
        Outcome::Trained { best_epoch, best_correct, last_correct, total, weights, kept } => {
            let sql = "UPDATE trial SET status = 'trained', best_epoch = ?, best_correct = ?,
                         last_correct = ?, total = ?, weights = ?, kept = ? WHERE id = ?";
            let weights = weights.map(|hash| hash.to_string());
            run(db, sql, (best_epoch, best_correct, last_correct, total, weights, kept, trial))?;
            unrewarded_accuracy(db, about, job, (*best_correct, *last_correct))
        }
    }
}

/// A trial that no episode asked for has no reward: its accuracy is a share of images, of the epoch
/// its settings name.
fn unrewarded_accuracy(
    db: &Connection,
    about: &About<'_>,
    job: JobId,
    (best, last): (u32, u32),
) -> Result<(), ViewError> {
    let sampled: bool = cached(db, "SELECT episode IS NOT NULL FROM trial WHERE id = ?")?
        .query_row([about.trial], |row| row.get(0))?;
    let (text, fit): (String, Option<String>) =
        cached(db, "SELECT config, fit FROM job WHERE id = ?")?
            .query_row([job], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // What was trained on says nothing about what was not.
    if sampled || fit.as_deref() == Some(Fit::TrainAndValidation.name()) {
        return Ok(());
    }
    let correct = match read_config(about.recorded, &text)?.reward.accuracy {
        WeightsOf::Best => best,
        WeightsOf::Last => last,
    };
    let sql = "UPDATE trial SET accuracy = ? * 1.0 / nullif(total, 0) WHERE id = ?";
    run(db, sql, (correct, about.trial))
}

fn attempt_lost(db: &Connection, about: &About<'_>, lost: &AttemptLost) -> Result<(), ViewError> {
    let sql = "UPDATE attempt SET outcome = 'lost', counts = ?, reason = ?, ended_at = ?
               WHERE trial = ? AND attempt = ?";
    let at = about.recorded.at;
    run(db, sql, (lost.counts, &lost.reason, at, about.trial, lost.attempt))?;
    let sql = "UPDATE trial SET status = 'planned', lost_attempts = lost_attempts + ? WHERE id = ?";
    run(db, sql, (lost.counts, about.trial))
}

pub(super) fn phase_ended(
    db: &Connection,
    at: i64,
    job: JobId,
    ended: &PhaseEnded,
) -> Result<(), ViewError> {
    let PhaseEnded { phase, epsilon, reason, models, episode } = *ended;
    let sql = "INSERT INTO phase VALUES (?, ?, ?, ?, ?, ?, ?)";
    run(db, sql, (job, phase, epsilon, reason.name(), models, episode, at))
}

/// The trial an event refers to, by its ordinal; a planned one has no row yet.
fn ordinal(event: &Event) -> Option<u32> {
    match event {
        Event::AttemptStarted(fields) => Some(fields.trial),
        Event::EpochFinished(fields) => Some(fields.trial),
        Event::TrialFinished(fields) => Some(fields.trial),
        Event::AttemptLost(fields) => Some(fields.trial),
        Event::TrialLost(fields) => Some(fields.trial),
        Event::TrialReused(fields) => Some(fields.trial),
        Event::ArtifactReleased(fields) => Some(fields.trial),
        Event::CheckpointKept(fields) => Some(fields.trial),
        Event::PredictionsRecorded(fields) => Some(fields.trial),
        _ => None,
    }
}

/// The episode an event is about.
fn episode(event: &Event) -> Option<u32> {
    match event {
        Event::EpisodeSampled(fields) => Some(fields.episode),
        Event::TrialPlanned(fields) => Some(fields.episode).filter(|&episode| episode > 0),
        Event::ExperienceRecorded(fields) => Some(fields.episode),
        Event::ReplayUpdated(fields) => Some(fields.episode),
        Event::ImportedRow(fields) => fields.row.checked_add(1),
        _ => None,
    }
}

fn trial_id(
    db: &Connection,
    recorded: &Recorded,
    job: JobId,
    ordinal: u32,
) -> Result<TrialId, ViewError> {
    cached(db, "SELECT id FROM trial WHERE job = ? AND ordinal = ?")?
        .query_row((job, ordinal), |row| row.get(0))
        .optional()?
        .ok_or_else(|| impossible(recorded, format!("trial {ordinal} was not planned")))
}

pub(super) fn cached<'c>(db: &'c Connection, sql: &str) -> Result<CachedStatement<'c>, ViewError> {
    Ok(db.prepare_cached(sql)?)
}

pub(super) fn run(db: &Connection, sql: &str, params: impl Params) -> Result<(), ViewError> {
    cached(db, sql)?.execute(params)?;
    Ok(())
}

pub(super) fn impossible(recorded: &Recorded, why: impl Into<String>) -> ViewError {
    let (position, kind) = (recorded.position, recorded.event.kind().name);
    ViewError::Impossible { position, kind, why: why.into() }
}

/// SQLite's integers have a sign; counts above its range stay at the highest.
pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The position as SQLite has it.
pub(super) fn position(position: Position) -> i64 {
    number(position.0)
}
