//! Rows at work: episodes, trials and attempts as they change, and epochs.
//!
//! A training changes its row when it is planned, when it starts, when it ends and when it is
//! rewarded, mostly within a few events. Here that happens in memory, and each row is written once
//! for all events that are folded together. Whoever asks the tables themselves writes first
//! ([`Rows::write`]): afterwards they hold all of it, and nothing is remembered here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::ViewError;
use super::fold::{JobId, TrialId, cached, number};
use crate::arch::Architecture;
use crate::events::{
    AttemptStarted, EpisodeSampled, EpochFinished, Outcome, TrialFinished, TrialPlanned,
};

/// Rows that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Rows {
    episodes: BTreeMap<(JobId, u32), Row<Episode>>,
    trials: BTreeMap<(JobId, u32), Row<Trial>>,
    attempts: BTreeMap<(TrialId, u32), Row<Attempt>>,
    /// With the time in which they were recorded; they do not change.
    epochs: Vec<(TrialId, EpochFinished, i64)>,
    /// The id of the next trial, once it was asked for.
    next_trial: Option<TrialId>,
}

/// A row with what is to be done about it.
#[derive(Debug)]
struct Row<T> {
    row: T,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// As in the table.
    Same,
    /// Another one than in the table.
    Changed,
    /// Not in the table.
    New,
}

impl<T> Row<T> {
    fn new(row: T) -> Self {
        Self { row, state: State::New }
    }

    fn read(row: T) -> Self {
        Self { row, state: State::Same }
    }

    fn change(&mut self) -> &mut T {
        if self.state == State::Same {
            self.state = State::Changed;
        }
        &mut self.row
    }
}

/// What changes of an episode, and what others want to know of it.
#[derive(Debug, Default)]
pub(super) struct Episode {
    /// As it was sampled, unless the table has it.
    sampled: Option<(EpisodeSampled, i64, i64)>,
    /// Share of random actions.
    epsilon: f64,
    /// Of the trial that answers it.
    pub(super) ordinal: u32,
    /// As recorded with its experience.
    pub(super) reward: Option<f64>,
    /// Whether the trial that answered it failed.
    pub(super) failed: Option<bool>,
    /// Its index in the replay memory.
    pub(super) experience: Option<u32>,
}

impl Episode {
    /// What was sampled, if that is at hand.
    pub(super) fn architecture(&self) -> Option<&Architecture> {
        self.sampled.as_ref().map(|(sampled, ..)| &sampled.architecture)
    }
}

/// What changes of a trial, and what others want to know of it.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// Its id.
    pub(super) id: TrialId,
    /// As it was planned, unless the table has it: with architecture, epsilon and time.
    planned: Option<(TrialPlanned, i64, Option<f64>, i64)>,
    /// The episode that asked for it; none in a run.
    pub(super) episode: Option<u32>,
    status: String,
    reason: Option<String>,
    message: Option<String>,
    /// See the result table.
    pub(super) accuracy: Option<f64>,
    attempts: u32,
    lost_attempts: u32,
    epochs: Option<u32>,
    restarts: Option<u32>,
    seconds: Option<f64>,
    peak_memory: Option<i64>,
    best_epoch: Option<u32>,
    best_correct: Option<u32>,
    last_correct: Option<u32>,
    total: Option<u32>,
    weights: Option<String>,
    kept: bool,
    ended_at: Option<i64>,
}

impl Trial {
    /// Whether it failed.
    pub(super) fn has_failed(&self) -> bool {
        self.status == "failed"
    }

    /// A try begins.
    pub(super) fn start(&mut self) {
        "running".clone_into(&mut self.status);
        self.attempts += 1;
    }

    /// A try was lost.
    pub(super) fn lose_attempt(&mut self, counts: bool) {
        "planned".clone_into(&mut self.status);
        self.lost_attempts += u32::from(counts);
    }

    /// It is given up.
    pub(super) fn give_up(&mut self, at: i64) {
        "lost".clone_into(&mut self.status);
        self.ended_at = Some(at);
    }

    /// It is tried again.
    pub(super) fn retry(&mut self) {
        "planned".clone_into(&mut self.status);
        (self.lost_attempts, self.ended_at) = (0, None);
    }

    /// It ends with a result.
    pub(super) fn finish(&mut self, finished: &TrialFinished, at: i64) {
        let TrialFinished { epochs, restarts, seconds, peak_memory, .. } = *finished;
        (self.epochs, self.restarts, self.seconds) = (Some(epochs), Some(restarts), Some(seconds));
        self.peak_memory = Some(number(peak_memory)).filter(|&bytes| bytes > 0);
        self.ended_at = Some(at);
        match &finished.outcome {
            Outcome::Failed { reason, message } => {
                "failed".clone_into(&mut self.status);
                self.reason = Some(reason.name().to_owned());
                self.message = Some(message.clone());
            }
            Outcome::Trained { best_epoch, best_correct, last_correct, total, weights, kept } => {
                "trained".clone_into(&mut self.status);
                self.best_epoch = Some(*best_epoch);
                (self.best_correct, self.last_correct) = (Some(*best_correct), Some(*last_correct));
                self.total = Some(*total);
                self.weights = weights.map(|hash| hash.to_string());
                self.kept = *kept;
            }
        }
    }
}

/// What changes of an attempt.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    /// As it started and when, unless the table has it.
    started: Option<(AttemptStarted, i64)>,
    /// running, ended or lost.
    pub(super) outcome: &'static str,
    /// Whether a loss counts.
    pub(super) counts: Option<bool>,
    /// Of a loss.
    pub(super) reason: Option<String>,
    /// In milliseconds.
    pub(super) ended_at: Option<i64>,
}

impl Rows {
    /// A new episode; `false` if it is there already. The architecture's id goes with it.
    pub(super) fn sample(
        &mut self,
        job: JobId,
        sampled: &EpisodeSampled,
        (architecture, at): (i64, i64),
    ) -> bool {
        let EpisodeSampled { episode, epsilon, trial, .. } = *sampled;
        let Entry::Vacant(vacant) = self.episodes.entry((job, episode)) else { return false };
        vacant.insert(Row::new(Episode {
            sampled: Some((sampled.clone(), architecture, at)),
            epsilon,
            ordinal: trial,
            ..Episode::default()
        }));
        true
    }

    /// A new trial with its id; `None` if it is there already.
    pub(super) fn plan(
        &mut self,
        db: &Connection,
        job: JobId,
        planned: &TrialPlanned,
        (architecture, at): (i64, i64),
    ) -> Result<Option<TrialId>, ViewError> {
        let episode = Some(planned.episode).filter(|&episode| episode > 0);
        let epsilon = match episode {
            Some(episode) => self.episode(db, job, episode)?.map(|row| row.row.epsilon),
            None => None,
        };
        let id = match self.next_trial {
            Some(id) => id,
            None => cached(db, "SELECT coalesce(max(id), 0) + 1 FROM trial")?
                .query_row([], |row| row.get(0))?,
        };
        let Entry::Vacant(vacant) = self.trials.entry((job, planned.trial)) else {
            return Ok(None);
        };
        vacant.insert(Row::new(Trial {
            id,
            planned: Some((planned.clone(), architecture, epsilon, at)),
            episode,
            status: "planned".to_owned(),
            ..Trial::default()
        }));
        self.next_trial = Some(id + 1);
        Ok(Some(id))
    }

    /// A new attempt; `false` if it is there already.
    pub(super) fn attempt(&mut self, trial: TrialId, started: &AttemptStarted, at: i64) -> bool {
        let Entry::Vacant(vacant) = self.attempts.entry((trial, started.attempt)) else {
            return false;
        };
        let started = Some((started.clone(), at));
        vacant.insert(Row::new(Attempt { started, outcome: "running", ..Attempt::default() }));
        true
    }

    /// A new epoch.
    pub(super) fn epoch(&mut self, trial: TrialId, epoch: EpochFinished, at: i64) {
        self.epochs.push((trial, epoch, at));
    }

    fn episode(
        &mut self,
        db: &Connection,
        job: JobId,
        episode: u32,
    ) -> Result<Option<&mut Row<Episode>>, ViewError> {
        let vacant = match self.episodes.entry((job, episode)) {
            Entry::Occupied(row) => return Ok(Some(row.into_mut())),
            Entry::Vacant(vacant) => vacant,
        };
        let read = cached(db, READ_EPISODE)?.query_row((job, episode), |row| {
            Ok(Episode {
                sampled: None,
                epsilon: row.get(0)?,
                ordinal: row.get(1)?,
                reward: row.get(2)?,
                failed: row.get(3)?,
                experience: row.get(4)?,
            })
        });
        Ok(read.optional()?.map(|row| vacant.insert(Row::read(row))))
    }

    fn trial(
        &mut self,
        db: &Connection,
        job: JobId,
        ordinal: u32,
    ) -> Result<Option<&mut Row<Trial>>, ViewError> {
        let vacant = match self.trials.entry((job, ordinal)) {
            Entry::Occupied(row) => return Ok(Some(row.into_mut())),
            Entry::Vacant(vacant) => vacant,
        };
        let read = cached(db, READ_TRIAL)?.query_row((job, ordinal), |row| {
            Ok(Trial {
                id: row.get(0)?,
                planned: None,
                episode: row.get(1)?,
                status: row.get(2)?,
                reason: row.get(3)?,
                message: row.get(4)?,
                accuracy: row.get(5)?,
                attempts: row.get(6)?,
                lost_attempts: row.get(7)?,
                epochs: row.get(8)?,
                restarts: row.get(9)?,
                seconds: row.get(10)?,
                peak_memory: row.get(11)?,
                best_epoch: row.get(12)?,
                best_correct: row.get(13)?,
                last_correct: row.get(14)?,
                total: row.get(15)?,
                weights: row.get(16)?,
                kept: row.get(17)?,
                ended_at: row.get(18)?,
            })
        });
        Ok(read.optional()?.map(|row| vacant.insert(Row::read(row))))
    }

    /// A trial as it is, if it was planned.
    pub(super) fn see_trial(
        &mut self,
        db: &Connection,
        job: JobId,
        ordinal: u32,
    ) -> Result<Option<&Trial>, ViewError> {
        Ok(self.trial(db, job, ordinal)?.map(|row| &row.row))
    }

    /// A trial that is to be changed, if it was planned.
    pub(super) fn change_trial(
        &mut self,
        db: &Connection,
        job: JobId,
        ordinal: u32,
    ) -> Result<Option<&mut Trial>, ViewError> {
        Ok(self.trial(db, job, ordinal)?.map(Row::change))
    }

    /// An episode that is to be changed, if it was sampled.
    pub(super) fn change_episode(
        &mut self,
        db: &Connection,
        job: JobId,
        episode: u32,
    ) -> Result<Option<&mut Episode>, ViewError> {
        Ok(self.episode(db, job, episode)?.map(Row::change))
    }

    /// An attempt that is to be changed, if it has started.
    pub(super) fn change_attempt(
        &mut self,
        db: &Connection,
        trial: TrialId,
        attempt: u32,
    ) -> Result<Option<&mut Attempt>, ViewError> {
        let vacant = match self.attempts.entry((trial, attempt)) {
            Entry::Occupied(row) => return Ok(Some(row.into_mut().change())),
            Entry::Vacant(vacant) => vacant,
        };
        // Whatever it was: it is changed for the first and the last time.
        let sql = "SELECT 1 FROM attempt WHERE trial = ? AND attempt = ?";
        let known = cached(db, sql)?.exists((trial, attempt))?;
        Ok(known.then(|| vacant.insert(Row::read(Attempt::default())).change()))
    }

    /// Writes all rows, and forgets them.
    pub(super) fn write(&mut self, db: &Connection) -> Result<(), ViewError> {
        let rows = std::mem::take(self);
        write_all(db, &rows.episodes, (NEW_EPISODE, new_episode), (OLD_EPISODE, old_episode))?;
        write_all(db, &rows.trials, (NEW_TRIAL, new_trial), (OLD_TRIAL, old_trial))?;
        write_all(db, &rows.attempts, (NEW_ATTEMPT, new_attempt), (OLD_ATTEMPT, old_attempt))?;
        let mut insert = cached(db, NEW_EPOCH)?;
        rows.epochs.iter().try_for_each(|(trial, epoch, at)| {
            new_epoch(&mut insert, *trial, epoch, *at).map(drop)
        })?;
        Ok(())
    }
}

type Writes<K, T> =
    fn(&mut rusqlite::CachedStatement<'_>, &K, &T) -> Result<usize, rusqlite::Error>;

fn write_all<K, T>(
    db: &Connection,
    rows: &BTreeMap<K, Row<T>>,
    (new, insert): (&str, Writes<K, T>),
    (old, update): (&str, Writes<K, T>),
) -> Result<(), ViewError> {
    let (mut new, mut old) = (cached(db, new)?, cached(db, old)?);
    for (key, Row { row, state }) in rows {
        match state {
            State::Same => {}
            State::New => drop(insert(&mut new, key, row)?),
            State::Changed => drop(update(&mut old, key, row)?),
        }
    }
    Ok(())
}

const READ_EPISODE: &str = "SELECT epsilon, ordinal, reward, failed, experience
    FROM episode WHERE job = ? AND episode = ?";
const NEW_EPISODE: &str = "INSERT INTO episode (job, episode, phase, epsilon, architecture,
      ordinal, duplicate, recorded_at, reward, failed, experience)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const OLD_EPISODE: &str = "UPDATE episode SET reward = ?, failed = ?, experience = ?
    WHERE job = ? AND episode = ?";

fn new_episode(
    statement: &mut rusqlite::CachedStatement<'_>,
    key: &(JobId, u32),
    row: &Episode,
) -> Result<usize, rusqlite::Error> {
    let Some((sampled, architecture, at)) = &row.sampled else { return Ok(0) };
    let EpisodeSampled { phase, epsilon, trial, duplicate, .. } = *sampled;
    let Episode { reward, failed, experience, .. } = row;
    statement.execute(params![
        key.0,
        key.1,
        phase,
        epsilon,
        architecture,
        trial,
        duplicate,
        at,
        reward,
        failed,
        experience,
    ])
}

fn old_episode(
    statement: &mut rusqlite::CachedStatement<'_>,
    key: &(JobId, u32),
    row: &Episode,
) -> Result<usize, rusqlite::Error> {
    statement.execute((row.reward, row.failed, row.experience, key.0, key.1))
}

const READ_TRIAL: &str = "SELECT id, episode, status, reason, message, accuracy, attempts,
      lost_attempts, epochs, restarts, seconds, peak_memory, best_epoch, best_correct, last_correct,
      total, weights, kept, ended_at
    FROM trial WHERE job = ? AND ordinal = ?";
const NEW_TRIAL: &str = "INSERT INTO trial (status, reason, message, accuracy, attempts,
      lost_attempts, epochs, restarts, seconds, peak_memory, best_epoch, best_correct, last_correct,
      total, weights, kept, ended_at, id, job, ordinal, episode, epsilon, architecture, seed,
      repeat, params, madds, planned_at, source)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
      ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28,
      CASE WHEN ?21 IS NULL THEN (SELECT source FROM run_model WHERE job = ?19 AND model =
        (?20 - 1) % (SELECT max(count(*), 1) FROM run_model WHERE job = ?19)) END)";
const OLD_TRIAL: &str = "UPDATE trial SET status = ?, reason = ?, message = ?, accuracy = ?,
      attempts = ?, lost_attempts = ?, epochs = ?, restarts = ?, seconds = ?, peak_memory = ?,
      best_epoch = ?, best_correct = ?, last_correct = ?, total = ?, weights = ?, kept = ?,
      ended_at = ?
    WHERE id = ?";

/// What changes of a trial, in the order of both statements; its id is the last.
fn changing(t: &Trial) -> [&dyn ToSql; 18] {
    [
        &t.status,
        &t.reason,
        &t.message,
        &t.accuracy,
        &t.attempts,
        &t.lost_attempts,
        &t.epochs,
        &t.restarts,
        &t.seconds,
        &t.peak_memory,
        &t.best_epoch,
        &t.best_correct,
        &t.last_correct,
        &t.total,
        &t.weights,
        &t.kept,
        &t.ended_at,
        &t.id,
    ]
}

fn new_trial(
    statement: &mut rusqlite::CachedStatement<'_>,
    key: &(JobId, u32),
    t: &Trial,
) -> Result<usize, rusqlite::Error> {
    let Some((planned, architecture, epsilon, at)) = &t.planned else { return Ok(0) };
    let (seed, params) = (planned.seed.to_string(), number(planned.parameters));
    let madds = number(planned.multiply_adds);
    let planned: [&dyn ToSql; 10] = [
        &key.0,
        &key.1,
        &t.episode,
        epsilon,
        architecture,
        &seed,
        &planned.repeat,
        &params,
        &madds,
        at,
    ];
    let all: Vec<&dyn ToSql> = changing(t).into_iter().chain(planned).collect();
    statement.execute(&all[..])
}

fn old_trial(
    statement: &mut rusqlite::CachedStatement<'_>,
    _: &(JobId, u32),
    t: &Trial,
) -> Result<usize, rusqlite::Error> {
    statement.execute(&changing(t)[..])
}

const NEW_ATTEMPT: &str = "INSERT INTO attempt (trial, attempt, outcome, counts, reason, device,
      threads, trainer, library, isa, host, started_at, ended_at, worker,
      precision)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const OLD_ATTEMPT: &str = "UPDATE attempt SET outcome = ?, counts = ?, reason = ?, ended_at = ?
    WHERE trial = ? AND attempt = ?";

fn new_attempt(
    statement: &mut rusqlite::CachedStatement<'_>,
    key: &(TrialId, u32),
    row: &Attempt,
) -> Result<usize, rusqlite::Error> {
    let Some((started, at)) = &row.started else { return Ok(0) };
    let AttemptStarted { device, threads, trainer, library, isa, host, worker, .. } = started;
    statement.execute(params![
        key.0,
        key.1,
        row.outcome,
        row.counts,
        row.reason,
        device,
        threads,
        trainer,
        library,
        isa,
        host,
        at,
        row.ended_at,
        worker,
        started.computes_in(),
    ])
}

fn old_attempt(
    statement: &mut rusqlite::CachedStatement<'_>,
    key: &(TrialId, u32),
    row: &Attempt,
) -> Result<usize, rusqlite::Error> {
    let Attempt { outcome, counts, reason, ended_at, .. } = row;
    statement.execute((outcome, counts, reason, ended_at, key.0, key.1))
}

const NEW_EPOCH: &str = "INSERT INTO epoch VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

fn new_epoch(
    statement: &mut rusqlite::CachedStatement<'_>,
    trial: TrialId,
    epoch: &EpochFinished,
    at: i64,
) -> Result<usize, rusqlite::Error> {
    let finite = |loss: f64| Some(loss).filter(|loss| loss.is_finite());
    statement.execute(params![
        trial,
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
        at,
    ])
}
