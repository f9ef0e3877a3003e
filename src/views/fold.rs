//! The fold: events into rows.
//!
//! One code path for appenders, queries and rebuilds. It runs inside a transaction of the caller.
//! What it remembers between two calls is only a shortcut: everything it needs it finds again in
//! the rows, so `fold(all)` is `fold(prefix)` and then `fold(rest)`, whoever does which part.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Params};

use super::agent::Agent;
use super::forks;
use super::imports::{self, Turn};
use super::jobs::{configured, read_config, run_started, search_started};
use super::mind::Digests;
use super::rows::Rows;
use super::runs::{carry, predictions_recorded, result_late, run_model};
use super::{ViewError, attacks, ensembles, expressed, series, studies};
use crate::arch::{Architecture, Layer};
use crate::events::frame::Position;
use crate::events::{
    AttemptLost, AttemptStarted, EpisodeSampled, Event, ExperienceRecorded, Fit, Fold, Outcome,
    PhaseEnded, Recorded, Scope, TrialFinished, TrialPlanned,
};

/// Counts changes of what the fold writes that the text of `schema/tables.sql` does not show.
pub const FOLD_VERSION: u32 = 4;

/// Row id of a search or run.
pub(super) type JobId = i64;
/// Row id of a trial.
pub(super) type TrialId = i64;

/// What the fold remembers between two calls.
#[derive(Debug, Default)]
pub(super) struct Tables {
    jobs: HashMap<Scope, JobId>,
    agents: HashMap<JobId, Agent>,
    /// Which digests they compare.
    digests: Digests,
    /// When the last event of a job was recorded; written at the end, not with each event.
    last: HashMap<JobId, i64>,
    /// Episodes, trials and attempts that are not written yet; none between two calls.
    rows: Rows,
    /// The architecture asked for last: an episode and its trial follow each other.
    architecture: Option<(Architecture, i64)>,
}

/// What an event is about: search or run, trial, attack.
type Subjects = (Option<JobId>, Option<TrialId>, Option<u32>);

/// The fold of one call.
struct Folding<'a> {
    tables: &'a mut Tables,
    db: &'a Connection,
    /// Says that an event happened.
    insert: CachedStatement<'a>,
}

impl Fold for Folding<'_> {
    type Error = ViewError;

    fn apply(&mut self, recorded: &Recorded) -> Result<(), ViewError> {
        let (job, trial, attack) = self.tables.event(self.db, recorded)?;
        let (position, kind) = (position(recorded.position), recorded.event.kind().number);
        let episode = recorded.event.episode();
        self.insert.execute((position, kind, job, attack, trial, episode, recorded.at))?;
        Ok(())
    }
}

/// Agents remembered that had nothing to do in a call.
const AGENTS_IDLE_MAX: usize = 4;

/// What the event being folded is about.
pub(super) struct About<'a> {
    pub(super) recorded: &'a Recorded,
    pub(super) trial: Option<TrialId>,
}

impl Tables {
    /// A fold that remembers nothing yet.
    pub(super) fn new(digests: Digests) -> Self {
        Self { digests, ..Self::default() }
    }

    /// Folds events in, in order. The caller has begun a transaction and knows that the first of
    /// them follows what is in the tables. After an error both the transaction and this must go.
    pub(super) fn fold(&mut self, db: &Connection, events: &[Recorded]) -> Result<(), ViewError> {
        let insert = cached(db, "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)")?;
        Folding { tables: self, db, insert }.folded(events)?;
        self.rows.write(db)?;
        for (&job, agent) in &mut self.agents {
            agent.save(db, job)?;
        }
        if self.agents.len() > AGENTS_IDLE_MAX {
            let last = &self.last;
            self.agents.retain(|job, _| last.contains_key(job));
        }
        for (job, at) in self.last.drain() {
            run(db, "UPDATE job SET last_at = ? WHERE id = ?", (at, job))?;
        }
        Ok(())
    }

    /// Takes in an event; says which search or run, trial and attack it is about.
    fn event(&mut self, db: &Connection, recorded: &Recorded) -> Result<Subjects, ViewError> {
        if let Scope::Attack(attack) = recorded.scope {
            attacks::fold(db, recorded, attack)?;
            return Ok((None, None, Some(attack)));
        }
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
        Ok((job, trial, None))
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
        self.rows.write(db)?;
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
        // One that is only planned now has no row yet.
        let planned = matches!(recorded.event, Event::TrialPlanned(_));
        let trial = match (job, recorded.event.trial()) {
            (Some(job), Some(ordinal)) if !planned => Some(self.trial(db, recorded, job, ordinal)?),
            _ => None,
        };
        let mut about = About { recorded, trial };
        if let Some(job) = job {
            if !self.work(db, &mut about, job)? {
                self.rows.write(db)?; // what asks the tables finds all of it there
                self.of_job(db, &about, job)?;
            }
            self.last.insert(job, at);
        }
        Ok((job, about.trial))
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

    /// Takes in what happens to every trial, row by row in memory; `false`: it is something else.
    fn work(
        &mut self,
        db: &Connection,
        about: &mut About<'_>,
        job: JobId,
    ) -> Result<bool, ViewError> {
        match &about.recorded.event {
            Event::EpisodeSampled(sampled) => self.episode_sampled(db, about, job, sampled)?,
            Event::TrialPlanned(planned) => {
                about.trial = Some(self.trial_planned(db, about, job, planned)?);
            }
            Event::AttemptStarted(started) => self.attempt_started(db, about, job, started)?,
            Event::EpochFinished(epoch) => {
                let trial = about.trial.unwrap_or_default(); // it was found, or is an error
                self.rows.epoch(trial, epoch.clone(), about.recorded.at);
            }
            Event::TrialFinished(finished) => self.trial_finished(db, about, job, finished)?,
            Event::AttemptLost(lost) => self.attempt_lost(db, about, job, lost)?,
            Event::TrialLost(lost) => {
                if let Some(trial) = self.rows.change_trial(db, job, lost.trial)? {
                    trial.give_up(about.recorded.at);
                }
            }
            Event::TrialRetried(retried) => {
                if let Some(trial) = self.rows.change_trial(db, job, retried.trial)? {
                    trial.retry();
                }
                run(db, "UPDATE job SET finished_at = NULL WHERE id = ?", [job])?;
            }
            Event::ExperienceRecorded(experience) => {
                self.experience(db, about, job, experience)?;
                if self.agent(db, about, job)?.is_expressed() {
                    self.rows.write(db)?;
                    expressed::accuracy(db, about, job, experience.episode)?;
                }
            }
            Event::ReplayUpdated(update) => {
                // Experiences are read from the tables where the agent has not seen them itself.
                self.agent(db, about, job)?.replay(db, job, about.recorded, update)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes in what is rarer; all rows are in the tables.
    fn of_job(&mut self, db: &Connection, about: &About<'_>, job: JobId) -> Result<(), ViewError> {
        match &about.recorded.event {
            Event::SearchStarted(_) | Event::RunStarted(_) | Event::ConfigPart(_) => {
                configured(db, about.recorded, job)
            }
            Event::RunModel(model) => run_model(db, job, model),
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
            Event::ResultLate(late) => result_late(db, about, late),
            Event::SeriesJoined(joined) => series::joined(db, about.recorded, job, joined),
            Event::TrialReused(reused) => series::reused(db, about, reused),
            _ => Err(impossible(about.recorded, "no search or run has such an event by now")),
        }
    }

    fn trial(
        &mut self,
        db: &Connection,
        recorded: &Recorded,
        job: JobId,
        ordinal: u32,
    ) -> Result<TrialId, ViewError> {
        match self.rows.see_trial(db, job, ordinal)? {
            Some(trial) => Ok(trial.id),
            None => Err(impossible(recorded, format!("trial {ordinal} was not planned"))),
        }
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
            Entry::Vacant(vacant) => {
                Ok(vacant.insert(Agent::load(db, job, about.recorded, self.digests)?))
            }
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
        let ExperienceRecorded { episode, reward } = *experience;
        let missing = || impossible(about.recorded, "the episode was not sampled");
        let row = self.rows.change_episode(db, job, episode)?.ok_or_else(missing)?;
        (row.reward, row.experience) = (Some(reward), Some(index));
        let (ordinal, architecture) = (row.ordinal, row.architecture().cloned());
        let trial = self.rows.see_trial(db, job, ordinal)?;
        let (failed, named) = match trial {
            Some(trial) => (Some(trial.has_failed()), trial.accuracy == Some(reward)),
            None => (None, true),
        };
        if !named && let Some(trial) = self.rows.change_trial(db, job, ordinal)? {
            // Of imports the reward is what is on record.
            trial.accuracy = Some(reward);
        }
        if let Some(row) = self.rows.change_episode(db, job, episode)? {
            row.failed = failed;
        }
        let net = match architecture {
            Some(net) => net,
            None => sampled_before(db, about, job, episode)?,
        };
        self.agent(db, about, job)?.remember(about.recorded, index, &net, reward)
    }

    fn episode_sampled(
        &mut self,
        db: &Connection,
        about: &About<'_>,
        job: JobId,
        sampled: &EpisodeSampled,
    ) -> Result<(), ViewError> {
        let architecture = self.architecture(db, &sampled.architecture)?;
        match self.rows.sample(job, sampled, (architecture, about.recorded.at)) {
            true => Ok(()),
            false => Err(impossible(about.recorded, "it was sampled already")),
        }
    }

    fn trial_planned(
        &mut self,
        db: &Connection,
        about: &About<'_>,
        job: JobId,
        planned: &TrialPlanned,
    ) -> Result<TrialId, ViewError> {
        let architecture = self.architecture(db, &planned.architecture)?;
        let id = self.rows.plan(db, job, planned, (architecture, about.recorded.at))?;
        id.ok_or_else(|| impossible(about.recorded, "it was planned already"))
    }

    fn attempt_started(
        &mut self,
        db: &Connection,
        about: &About<'_>,
        job: JobId,
        started: &AttemptStarted,
    ) -> Result<(), ViewError> {
        let Some(trial) = self.rows.change_trial(db, job, started.trial)? else { return Ok(()) };
        trial.start();
        let id = trial.id;
        if !self.rows.attempt(id, started, about.recorded.at) {
            return Err(impossible(about.recorded, "it has started already"));
        }
        if started.attempt > 1 {
            self.rows.write(db)?; // it may go on from an earlier one
            carry(db, about, started)?;
        }
        Ok(())
    }

    fn attempt_lost(
        &mut self,
        db: &Connection,
        about: &About<'_>,
        job: JobId,
        lost: &AttemptLost,
    ) -> Result<(), ViewError> {
        let Some(trial) = self.rows.change_trial(db, job, lost.trial)? else { return Ok(()) };
        trial.lose_attempt(lost.counts);
        let id = trial.id;
        if let Some(attempt) = self.rows.change_attempt(db, id, lost.attempt)? {
            (attempt.outcome, attempt.counts) = ("lost", Some(lost.counts));
            attempt.reason = Some(lost.reason.clone());
            attempt.ended_at = Some(about.recorded.at);
        }
        Ok(())
    }

    fn trial_finished(
        &mut self,
        db: &Connection,
        about: &About<'_>,
        job: JobId,
        finished: &TrialFinished,
    ) -> Result<(), ViewError> {
        let at = about.recorded.at;
        let Some(trial) = self.rows.change_trial(db, job, finished.trial)? else { return Ok(()) };
        trial.finish(finished, at);
        let (id, sampled) = (trial.id, trial.episode.is_some());
        let accuracy = match sampled {
            // Its reward may come much later.
            true => self.agent(db, about, job)?.accuracy(&finished.outcome),
            false => unrewarded_accuracy(db, about, job, &finished.outcome)?,
        };
        if let Some(trial) = self.rows.change_trial(db, job, finished.trial)? {
            trial.accuracy = accuracy;
        }
        if let Some(attempt) = self.rows.change_attempt(db, id, finished.attempt)? {
            (attempt.outcome, attempt.ended_at) = ("ended", Some(at));
            // It may have been given up before its result came.
            (attempt.counts, attempt.reason) = (None, None);
        }
        Ok(())
    }
}

/// The id of an architecture, new or known.
pub(super) fn architecture_id(
    db: &Connection,
    architecture: &Architecture,
) -> Result<i64, ViewError> {
    let text = architecture.to_string();
    let layers = architecture.layers();
    let ending = match layers.len().checked_sub(2).and_then(|last| layers.get(last)) {
        Some(Layer::GlobalAverage { .. }) => "GAP",
        Some(Layer::Full { .. }) => "FC",
        _ => "SM",
    };
    let sql = "INSERT INTO architecture (text, depth, ending) VALUES (?, ?, ?)
               ON CONFLICT (text) DO NOTHING";
    let depth = count(architecture.depth());
    match cached(db, sql)?.execute((&text, depth, ending))? {
        0 => Ok(cached(db, "SELECT id FROM architecture WHERE text = ?")?
            .query_row([&text], |row| row.get(0))?),
        _ => Ok(db.last_insert_rowid()),
    }
}

/// The architecture of an episode that the tables have.
fn sampled_before(
    db: &Connection,
    about: &About<'_>,
    job: JobId,
    episode: u32,
) -> Result<Architecture, ViewError> {
    let sql = "SELECT a.text FROM episode e JOIN architecture a ON a.id = e.architecture
               WHERE e.job = ? AND e.episode = ?";
    let text: String = cached(db, sql)?.query_row((job, episode), |row| row.get(0))?;
    text.parse().map_err(|_| impossible(about.recorded, format!("{text} is no architecture")))
}

/// A trial that no episode asked for has no reward: its accuracy is a share of images, of the epoch
/// its settings name.
fn unrewarded_accuracy(
    db: &Connection,
    about: &About<'_>,
    job: JobId,
    outcome: &Outcome,
) -> Result<Option<f64>, ViewError> {
    if matches!(outcome, Outcome::Failed { .. }) {
        return Ok(None);
    }
    let (text, fit): (String, Option<String>) =
        cached(db, "SELECT config, fit FROM job WHERE id = ?")?
            .query_row([job], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // What was trained on says nothing about what was not.
    if fit.as_deref() == Some(Fit::TrainAndValidation.name()) {
        return Ok(None);
    }
    Ok(read_config(about.recorded, &text)?.reward.accuracy.accuracy(outcome))
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

pub(super) fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The position as SQLite has it.
pub(super) fn position(position: Position) -> i64 {
    number(position.0)
}
