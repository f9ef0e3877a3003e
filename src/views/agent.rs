//! What searches learned: Q-values folded from recorded draws, every recorded digest checked.
//!
//! Values and update counts are columns of `pair`, so that any tool can read them; an 8-byte REAL
//! keeps every bit. The replay memory is the rewarded episodes in the order of their experiences;
//! only those drawn are read.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension};

use super::ViewError;
use super::fold::{JobId, cached, impossible, position, run};
use super::jobs::read_config;
use crate::agent::foreign::target;
use crate::agent::qtable::QTable;
use crate::agent::space::{Action, PairId, Space, Trajectory};
use crate::arch::Architecture;
use crate::config::learning::Learning;
use crate::events::{Hash, Recorded, ReplayUpdated};

/// The agent of one search.
#[derive(Debug)]
pub(super) struct Agent {
    space: Space,
    init: f64,
    q: QTable,
    experiences: u32,
    replays: u32,
    digest: Option<Hash>,
    at: Option<i64>,
    /// Experiences read so far, by index.
    memory: HashMap<u32, (Trajectory, f64)>,
    /// Pairs whose rows are behind.
    touched: BTreeSet<PairId>,
    changed: bool,
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
        let (memory, touched, changed) = (HashMap::new(), BTreeSet::new(), false);
        let at = position;
        Ok(Self { space, init, q, experiences, replays, digest, at, memory, touched, changed })
    }

    /// Counts an experience and returns its index.
    pub(super) fn next_experience(&mut self) -> u32 {
        self.experiences += 1;
        self.changed = true;
        self.experiences - 1
    }

    /// Learns what was learned, and compares.
    pub(super) fn replay(
        &mut self,
        db: &Connection,
        job: JobId,
        recorded: &Recorded,
        update: &ReplayUpdated,
    ) -> Result<(), ViewError> {
        for (place, &draw) in update.draws.iter().enumerate() {
            let alpha = update.alpha * update.weight(place);
            let with = Learning { alpha, gamma: update.gamma, init: self.init };
            if draw >= self.experiences {
                return Err(impossible(recorded, format!("draw {draw} is outside the memory")));
            }
            if !self.memory.contains_key(&draw) {
                let experience = self.read_experience(db, job, recorded, draw)?;
                self.memory.insert(draw, experience);
            }
            let (trajectory, reward) = &self.memory[&draw];
            self.q.learn(&self.space, trajectory, *reward, with);
            self.touched.extend(trajectory);
        }
        let found = Hash(self.q.digest());
        if found != update.q {
            let (position, episode, recorded) = (recorded.position, update.episode, update.q);
            return Err(ViewError::Digest { position, episode, recorded, found });
        }
        self.replays += 1;
        (self.digest, self.at) = (Some(found), Some(position(recorded.position)));
        self.changed = true;
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
        let mut update =
            cached(db, "UPDATE pair SET value = ?, updates = ? WHERE job = ? AND pair = ?")?;
        for pair in std::mem::take(&mut self.touched) {
            let index = pair as usize;
            update.execute((self.q.values()[index], self.q.updates()[index], job, pair))?;
        }
        let sql = "UPDATE job SET experiences = ?, replays = ?, q_digest = ?, q_position = ?
                   WHERE id = ?";
        let digest = self.digest.map(|hash| hash.to_string());
        run(db, sql, (self.experiences, self.replays, digest, self.at, job))
    }
}
