//! What an agent has learned, and learning more: Q-values, and the experiences they come from.
//!
//! Updates are learned some at a time. For tables that are asked, only the digest after the last of
//! them is compared: a Q-table that once was another does not become the same again. If it differs,
//! the same updates are learned once more with every digest compared, to name the first that is
//! wrong. Verifying a log compares every digest from the beginning.

use std::sync::Arc;

use super::ViewError;
use crate::agent::qtable::QTable;
use crate::agent::space::{PairId, Space, Trajectory};
use crate::config::learning::Learning;
use crate::events::frame::Position;
use crate::events::{Hash, ReplayUpdated};

/// Which of the recorded digests are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Digests {
    /// The last one of some updates.
    #[default]
    Last,
    /// Every one.
    Each,
}

/// The Q-table of one search with its replay memory, without anything of SQLite.
#[derive(Debug)]
pub(super) struct Mind {
    space: Arc<Space>,
    init: f64,
    q: QTable,
    /// The Q-table as it is in the rows.
    rows: QTable,
    /// Experiences by index, as far as they were needed.
    memory: Vec<(Trajectory, f64)>,
    digests: Digests,
}

/// Something to learn.
#[derive(Debug)]
pub(super) enum Lesson {
    /// An experience, before it is drawn for the first time.
    Experience {
        /// Its index in the replay memory.
        index: u32,
        /// Its transitions.
        trajectory: Trajectory,
        /// The reward at its end.
        reward: f64,
    },
    /// A recorded update.
    Update {
        /// Where it stands in the log.
        position: Position,
        /// What was drawn, and the digest that came of it.
        update: ReplayUpdated,
    },
}

impl Mind {
    /// A mind with these values, which are those in the rows, and an empty memory.
    pub(super) fn new(space: Arc<Space>, init: f64, q: QTable, digests: Digests) -> Self {
        Self { space, init, rows: q.clone(), q, memory: Vec::new(), digests }
    }

    /// Learns in order, and compares digests.
    pub(super) fn learn(&mut self, lessons: Vec<Lesson>) -> Result<(), ViewError> {
        let before = self.q.clone();
        let mut updates = Vec::new();
        for lesson in lessons {
            match lesson {
                Lesson::Experience { index, trajectory, reward } => {
                    let place = index as usize;
                    if self.memory.len() <= place {
                        self.memory.resize(place + 1, (Trajectory::new(), 0.0));
                    }
                    self.memory[place] = (trajectory, reward);
                }
                Lesson::Update { position, update } if self.digests == Digests::Each => {
                    self.first_wrong(&[(position, update)])?;
                }
                Lesson::Update { position, update } => {
                    self.update(&update);
                    updates.push((position, update));
                }
            }
        }
        match updates.last() {
            Some((_, last)) if Hash(self.q.digest()) != last.q => {
                self.q = before;
                self.first_wrong(&updates)
            }
            _ => Ok(()),
        }
    }

    /// The first update after which the digest is another one than recorded.
    fn first_wrong(&mut self, updates: &[(Position, ReplayUpdated)]) -> Result<(), ViewError> {
        for (position, update) in updates {
            self.update(update);
            let found = Hash(self.q.digest());
            if found != update.q {
                let (position, episode, recorded) = (*position, update.episode, update.q);
                return Err(ViewError::Digest { position, episode, recorded, found });
            }
        }
        Ok(())
    }

    fn update(&mut self, update: &ReplayUpdated) {
        for (place, &draw) in update.draws.iter().enumerate() {
            let alpha = update.alpha * update.weight(place);
            let with = Learning { alpha, gamma: update.gamma, init: self.init };
            let (trajectory, reward) = &self.memory[draw as usize];
            self.q.learn(&self.space, trajectory, *reward, with);
        }
    }

    /// Pairs with other values than in the rows: pair, value, updates.
    pub(super) fn changes(&self) -> impl Iterator<Item = (PairId, f64, u32)> {
        let now = self.q.values().iter().zip(self.q.updates());
        let rows = self.rows.values().iter().zip(self.rows.updates());
        let differ = |(&now, &rows): (&f64, &f64)| now.to_bits() != rows.to_bits();
        (0..).zip(now.zip(rows)).filter_map(move |(pair, ((value, updates), (old, had)))| {
            (updates != had || differ((value, old))).then_some((pair, *value, *updates))
        })
    }

    /// The rows have all of it now.
    pub(super) fn written(&mut self) {
        self.rows.clone_from(&self.q);
    }
}
