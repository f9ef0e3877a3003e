//! What searches learned: Q-values folded from recorded draws, every recorded digest checked.
//!
//! Values and update counts are columns of `pair`, so that any tool can read them; an 8-byte REAL
//! keeps every bit. The replay memory is the rewarded episodes in the order of their experiences;
//! only those drawn are read.
//!
//! Recorded updates are learned some at a time, and only the digest after the last of them is
//! compared: a Q-table that once was another does not become the same again. If they differ, the
//! same updates are learned once more with every digest compared, to name the first that is wrong.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use super::ViewError;
use super::fold::{JobId, cached, impossible, number, position, run};
use super::jobs::read_config;
use crate::agent::foreign::target;
use crate::agent::qtable::QTable;
use crate::agent::space::{Action, Space, Trajectory};
use crate::arch::Architecture;
use crate::config::learning::Learning;
use crate::events::frame::Position;
use crate::events::{Hash, Recorded, ReplayUpdated};

/// Updates learned together: some hundred kilobytes.
const DUE_MAX: usize = 1_000;

/// The agent of one search.
#[derive(Debug)]
pub(super) struct Agent {
    space: Space,
    init: f64,
    q: QTable,
    /// The Q-table as it is in the rows.
    written: QTable,
    /// Updates that are not learned yet.
    due: Vec<(Position, ReplayUpdated)>,
    experiences: u32,
    replays: u32,
    digest: Option<Hash>,
    at: Option<i64>,
    /// Experiences read so far, by index.
    memory: HashMap<u32, (Trajectory, f64)>,
    changed: bool,
    /// Whether its rewards come out of an expression.
    expressed: bool,
}

/// Finds the space of a search from its recorded configuration.
pub(super) fn space(db: &Connection, job: JobId, at: &Recorded) -> Result<(Space, f64), ViewError> {
    let sql = "SELECT config, side, classes FROM job WHERE id = ?";
    let (text, side, classes): (String, u32, u32) =
        cached(db, sql)?.query_row([job], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let config = read_config(at, &text)?;
    let space = Space::new(&config.space, side, classes)
        .map_err(|error| impossible(at, format!("the state space cannot be built: {error}")))?;
    Ok((space, config.learning.init))
}

/// Fills in the pairs of a search that begins.
pub(super) fn insert_pairs(db: &Connection, job: JobId, at: &Recorded) -> Result<(), ViewError> {
    let (space, init) = space(db, job, at)?;
    let sql = "INSERT INTO pair VALUES
                 (?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)";
    let mut insert = cached(db, sql)?;
    for pair in 0..u32::try_from(space.pair_count()).unwrap_or(u32::MAX) {
        let state = space.states()[space.owner(pair) as usize];
        let action = space.action(pair);
        let (next, terminate) = target(state, action);
        let name = match action {
            Action::Terminate => "SM".to_owned(),
            Action::Place(layer) => layer.to_string(),
        };
        insert.execute(rusqlite::params![
            job,
            pair,
            init,
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
    run(db, "UPDATE job SET q_source = 'recorded' WHERE id = ?", [job])
}

impl Agent {
    /// Reads an agent back from its rows.
    pub(super) fn load(db: &Connection, job: JobId, at: &Recorded) -> Result<Self, ViewError> {
        let (space, init) = space(db, job, at)?;
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
        let (written, due, memory, changed) = (q.clone(), Vec::new(), HashMap::new(), false);
        let at = position;
        let sql = "SELECT expression IS NOT NULL FROM job WHERE id = ?";
        let expressed = cached(db, sql)?.query_row([job], |row| row.get(0))?;
        Ok(Self {
            space,
            init,
            q,
            written,
            due,
            experiences,
            replays,
            digest,
            at,
            memory,
            changed,
            expressed,
        })
    }

    /// Whether rewards are something else than accuracies.
    pub(super) fn is_expressed(&self) -> bool {
        self.expressed
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
        self.memory.insert(index, (trajectory, reward));
        Ok(())
    }

    /// Takes in an update, to be learned before it is saved.
    pub(super) fn replay(
        &mut self,
        db: &Connection,
        job: JobId,
        recorded: &Recorded,
        update: &ReplayUpdated,
    ) -> Result<(), ViewError> {
        for &draw in &update.draws {
            if draw >= self.experiences {
                return Err(impossible(recorded, format!("draw {draw} is outside the memory")));
            }
            if !self.memory.contains_key(&draw) {
                let experience = self.read_experience(db, job, recorded, draw)?;
                self.memory.insert(draw, experience);
            }
        }
        self.due.push((recorded.position, update.clone()));
        self.replays += 1;
        (self.digest, self.at) = (Some(update.q), Some(position(recorded.position)));
        self.changed = true;
        if self.due.len() < DUE_MAX { Ok(()) } else { self.learn() }
    }

    /// Learns what is due, and compares.
    fn learn(&mut self) -> Result<(), ViewError> {
        let due = std::mem::take(&mut self.due);
        let Some((_, last)) = due.last() else { return Ok(()) };
        let before = self.q.clone();
        due.iter().for_each(|(_, update)| self.learn_one(update));
        if Hash(self.q.digest()) == last.q {
            return Ok(());
        }
        self.q = before;
        for (position, update) in due {
            self.learn_one(&update);
            let found = Hash(self.q.digest());
            if found != update.q {
                let (episode, recorded) = (update.episode, update.q);
                return Err(ViewError::Digest { position, episode, recorded, found });
            }
        }
        Ok(())
    }

    fn learn_one(&mut self, update: &ReplayUpdated) {
        for (place, draw) in update.draws.iter().enumerate() {
            let alpha = update.alpha * update.weight(place);
            let with = Learning { alpha, gamma: update.gamma, init: self.init };
            let (trajectory, reward) = &self.memory[draw];
            self.q.learn(&self.space, trajectory, *reward, with);
        }
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
        self.learn()?;
        let mut update =
            cached(db, "UPDATE pair SET value = ?, updates = ? WHERE job = ? AND pair = ?")?;
        for (pair, (value, updates)) in self.q.values().iter().zip(self.q.updates()).enumerate() {
            let written = (self.written.values()[pair], self.written.updates()[pair]);
            if (value.to_bits(), *updates) != (written.0.to_bits(), written.1) {
                update.execute((value, updates, job, number(pair as u64)))?;
            }
        }
        self.written.clone_from(&self.q);
        let sql = "UPDATE job SET experiences = ?, replays = ?, q_digest = ?, q_position = ?
                   WHERE id = ?";
        let digest = self.digest.map(|hash| hash.to_string());
        run(db, sql, (self.experiences, self.replays, digest, self.at, job))
    }
}
