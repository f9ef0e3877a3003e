//! What searches learned: Q-values folded from recorded draws, every recorded digest checked.
//!
//! Values and update counts are columns of `pair`, so that any tool can read them; an 8-byte REAL
//! keeps every bit. The replay memory is the rewarded episodes in the order of their experiences;
//! only those drawn are read.
//!
//! Recorded updates are learned some at a time (`mind`), in a thread of their own where there are
//! many.

use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::{Connection, OptionalExtension};

use super::ViewError;
use super::fold::{JobId, cached, impossible, position, run};
use super::jobs::read_config;
use super::mind::{Digests, Lesson, Mind};
use crate::agent::foreign::target;
use crate::agent::qtable::QTable;
use crate::agent::space::{Action, PairId, Space, Trajectory};
use crate::arch::Architecture;
use crate::config::RewardConfig;
use crate::events::{Hash, Outcome, Recorded, ReplayUpdated};

/// Updates learned together: some milliseconds.
const DUE_MAX: usize = 300;

/// The agent of one search.
#[derive(Debug)]
pub(super) struct Agent {
    space: Arc<Space>,
    mind: Place,
    /// What is to be learned next.
    due: Vec<Lesson>,
    /// Updates among them.
    updates_due: usize,
    /// Which experiences the mind knows, by index.
    known: Vec<bool>,
    experiences: u32,
    replays: u32,
    digest: Option<Hash>,
    at: Option<i64>,
    changed: bool,
    /// What experiences are worth.
    rewards: RewardConfig,
    classes: u32,
}

/// Where a mind is.
#[derive(Debug)]
enum Place {
    Here(Box<Mind>),
    /// Learning in a thread.
    Away(JoinHandle<Result<Box<Mind>, ViewError>>),
    /// It was lost with an error.
    Nowhere,
}

/// What the fold needs of a search's configuration.
pub(super) struct Settings {
    /// Its state space.
    pub(super) space: Space,
    init: f64,
    rewards: RewardConfig,
    classes: u32,
}

/// Reads the recorded configuration of a search.
pub(super) fn settings(db: &Connection, job: JobId, at: &Recorded) -> Result<Settings, ViewError> {
    let sql = "SELECT config, side, classes FROM job WHERE id = ?";
    let (text, side, classes): (String, u32, u32) =
        cached(db, sql)?.query_row([job], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let config = read_config(at, &text)?;
    let space = Space::new(&config.space, side, classes)
        .map_err(|error| impossible(at, format!("the state space cannot be built: {error}")))?;
    Ok(Settings { space, init: config.learning.init, rewards: config.reward, classes })
}

/// Fills in the pairs of a search that begins.
pub(super) fn insert_pairs(db: &Connection, job: JobId, at: &Recorded) -> Result<(), ViewError> {
    let Settings { space, init, .. } = settings(db, job, at)?;
    pair_rows(db, "pair", job, &space, |_| (init, 0))?;
    run(db, "UPDATE job SET q_source = 'recorded' WHERE id = ?", [job])
}

/// Inserts the pairs of a space with what each is worth and how often it was updated.
pub(super) fn pair_rows(
    db: &Connection,
    table: &str,
    job: JobId,
    space: &Space,
    learned: impl Fn(PairId) -> (f64, u32),
) -> Result<(), ViewError> {
    let sql = format!(
        "INSERT INTO {table} VALUES
           (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
    );
    let mut insert = cached(db, &sql)?;
    for pair in 0..u32::try_from(space.pair_count()).unwrap_or(u32::MAX) {
        let state = space.states()[space.owner(pair) as usize];
        let action = space.action(pair);
        let (next, terminate) = target(state, action);
        let name = match action {
            Action::Terminate => "SM".to_owned(),
            Action::Place(layer) => layer.to_string(),
        };
        let (value, updates) = learned(pair);
        insert.execute(rusqlite::params![
            job,
            pair,
            value,
            updates,
            name,
            state.kind.name(),
            state.depth,
            state.filters,
            state.field,
            state.stride,
            state.bin,
            state.width,
            next.kind.name(),
            next.depth,
            next.filters,
            next.field,
            next.stride,
            next.bin,
            next.width,
            terminate,
        ])?;
    }
    Ok(())
}

impl Agent {
    /// Reads an agent back from its rows.
    pub(super) fn load(
        db: &Connection,
        job: JobId,
        at: &Recorded,
        digests: Digests,
    ) -> Result<Self, ViewError> {
        let Settings { space, init, rewards, classes } = settings(db, job, at)?;
        let (mut values, mut updates) = (Vec::new(), Vec::new());
        let mut pairs = cached(db, "SELECT value, updates FROM pair WHERE job = ? ORDER BY pair")?;
        let mut rows = pairs.query([job])?;
        while let Some(row) = rows.next()? {
            values.push(row.get(0)?);
            updates.push(row.get(1)?);
        }
        if values.len() != space.pair_count() {
            return Err(impossible(at, "the configuration of the search is not complete"));
        }
        let sql = "SELECT experiences, replays, q_digest, q_position FROM job WHERE id = ?";
        let (experiences, replays, digest, position): (_, _, Option<String>, _) = cached(db, sql)?
            .query_row([job], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        let q = QTable::from_parts(values, updates);
        let digest = match digest {
            // The rows must be what was learned, to the bit, before more is learned on top.
            Some(text) if Hash(q.digest()).to_string() == text => Some(Hash(q.digest())),
            Some(_) => {
                let path = db.path().unwrap_or("in memory").into();
                let found = "its Q-values are not those it was left with".to_owned();
                return Err(ViewError::Unusable { path, found });
            }
            None => None,
        };
        let space = Arc::new(space);
        Ok(Self {
            mind: Place::Here(Box::new(Mind::new(Arc::clone(&space), init, q, digests))),
            space,
            due: Vec::new(),
            updates_due: 0,
            known: Vec::new(),
            experiences,
            replays,
            digest,
            at: position,
            changed: false,
            rewards,
            classes,
        })
    }

    /// Whether rewards are something else than accuracies.
    pub(super) fn is_expressed(&self) -> bool {
        self.rewards.expression.is_some()
    }

    /// The accuracy that counts of a trial that ended: of a failed one what stands for it.
    pub(super) fn accuracy(&self, outcome: &Outcome) -> Option<f64> {
        match outcome {
            Outcome::Failed { reason, .. } => Some(self.rewards.failed(*reason, self.classes)),
            trained => self.rewards.accuracy.accuracy(trained),
        }
    }

    /// Counts an experience and returns its index.
    pub(super) fn next_experience(&mut self) -> u32 {
        self.experiences += 1;
        self.changed = true;
        self.experiences - 1
    }

    /// Remembers an experience that was just counted, so that it need not be read.
    pub(super) fn remember(
        &mut self,
        recorded: &Recorded,
        index: u32,
        architecture: &Architecture,
        reward: f64,
    ) -> Result<(), ViewError> {
        let outside = || impossible(recorded, format!("{architecture} is not in the state space"));
        let trajectory = self.space.trajectory(architecture).ok_or_else(outside)?;
        self.know(index, trajectory, reward);
        Ok(())
    }

    fn know(&mut self, index: u32, trajectory: Trajectory, reward: f64) {
        let place = index as usize;
        if self.known.len() <= place {
            self.known.resize(place + 1, false);
        }
        self.known[place] = true;
        self.due.push(Lesson::Experience { index, trajectory, reward });
    }

    /// Takes in an update, to be learned before the rows are written.
    pub(super) fn replay(
        &mut self,
        db: &Connection,
        job: JobId,
        recorded: &Recorded,
        update: &ReplayUpdated,
    ) -> Result<(), ViewError> {
        for &draw in &update.draws {
            if self.known.get(draw as usize) == Some(&true) {
                continue;
            }
            if draw >= self.experiences {
                return Err(impossible(recorded, format!("draw {draw} is outside the memory")));
            }
            let (trajectory, reward) = self.read_experience(db, job, recorded, draw)?;
            self.know(draw, trajectory, reward);
        }
        self.due.push(Lesson::Update { position: recorded.position, update: update.clone() });
        self.replays += 1;
        (self.digest, self.at) = (Some(update.q), Some(position(recorded.position)));
        self.changed = true;
        self.updates_due += 1;
        if self.updates_due < DUE_MAX { Ok(()) } else { self.learn_aside() }
    }

    /// The mind, once it has learned what it was given.
    fn mind(&mut self) -> Result<Box<Mind>, ViewError> {
        let lost = || {
            let (path, found) = ("a thread".into(), "learning was interrupted".to_owned());
            ViewError::Unusable { path, found }
        };
        match std::mem::replace(&mut self.mind, Place::Nowhere) {
            Place::Here(mind) => Ok(mind),
            Place::Away(thread) => thread.join().map_err(|_| lost())?,
            Place::Nowhere => Err(lost()),
        }
    }

    /// Learns what is due in a thread, while more is read.
    fn learn_aside(&mut self) -> Result<(), ViewError> {
        let mut mind = self.mind()?;
        let due = std::mem::take(&mut self.due);
        self.updates_due = 0;
        let thread = std::thread::Builder::new().spawn(move || mind.learn(due).map(|()| mind));
        self.mind = Place::Away(thread.map_err(ViewError::thread)?);
        Ok(())
    }

    fn read_experience(
        &self,
        db: &Connection,
        job: JobId,
        recorded: &Recorded,
        index: u32,
    ) -> Result<(Trajectory, f64), ViewError> {
        let sql = "SELECT a.text, e.reward FROM episode e
                   JOIN architecture a ON a.id = e.architecture
                   WHERE e.job = ? AND e.experience = ?";
        let found: Option<(String, f64)> = cached(db, sql)?
            .query_row((job, index), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (text, reward) =
            found.ok_or_else(|| impossible(recorded, format!("experience {index} is missing")))?;
        let architecture: Option<Architecture> = text.parse().ok();
        let trajectory = architecture.and_then(|net| self.space.trajectory(&net));
        let outside = || impossible(recorded, format!("{text} is not in the state space"));
        Ok((trajectory.ok_or_else(outside)?, reward))
    }

    /// Writes what changed since the last time.
    pub(super) fn save(&mut self, db: &Connection, job: JobId) -> Result<(), ViewError> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        let mut mind = self.mind()?;
        self.updates_due = 0;
        mind.learn(std::mem::take(&mut self.due))?;
        let mut update =
            cached(db, "UPDATE pair SET value = ?, updates = ? WHERE job = ? AND pair = ?")?;
        for (pair, value, updates) in mind.changes() {
            update.execute((value, updates, job, pair))?;
        }
        mind.written();
        self.mind = Place::Here(mind);
        let sql = "UPDATE job SET experiences = ?, replays = ?, q_digest = ?, q_position = ?
                   WHERE id = ?";
        let digest = self.digest.map(|hash| hash.to_string());
        run(db, sql, (self.experiences, self.replays, digest, self.at, job))
    }
}
