//! Memory, Q-table and sampler together, and the update of the Q-table.

use std::sync::Arc;

use super::{Draw, Facts, Sampler};
use crate::agent::memory::Memory;
use crate::agent::qtable::QTable;
use crate::agent::space::{PairId, Space};
use crate::chance::Stream;
use crate::config::learning::Learning;

/// In which order the transitions of a trajectory are learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// From the last to the first, so that a reward reaches the start at once (Baker et al. 2017,
    /// section 4.1).
    #[default]
    Backward,
    /// From the first to the last.
    Forward,
}

/// What learns: experiences, the Q-table, and the policy that says which of them are drawn.
#[derive(Debug, Clone)]
pub struct Learner {
    space: Arc<Space>,
    learning: Learning,
    order: Order,
    memory: Memory,
    q: QTable,
    /// The highest value of each state.
    best: Vec<f64>,
    sampler: Option<Box<dyn Sampler>>,
    draws: Vec<Draw>,
    updates: u64,
}

impl Learner {
    /// A learner that has learned nothing; without a sampler it draws nothing.
    #[must_use]
    pub fn new(
        space: Arc<Space>,
        learning: Learning,
        order: Order,
        sampler: Option<Box<dyn Sampler>>,
    ) -> Self {
        let q = QTable::new(space.pair_count(), learning.init);
        Self {
            best: vec![learning.init; space.states().len()],
            space,
            learning,
            order,
            memory: Memory::default(),
            q,
            sampler,
            draws: Vec::new(),
            updates: 0,
        }
    }

    /// Lets an experience into the memory. `chance` is the stream of its episode; its draws go on
    /// where this leaves it.
    pub fn push(&mut self, trajectory: &[PairId], facts: Facts, chance: &mut Stream) {
        self.memory.push(trajectory, facts.reward);
        if let Some(sampler) = &mut self.sampler {
            sampler.push(&facts, chance);
        }
    }

    /// An earlier experience is worth something else from now on.
    pub fn revalue(&mut self, index: u32, reward: f64) {
        self.memory.revalue(index as usize, reward);
        if let Some(sampler) = &mut self.sampler {
            sampler.revalue(index, reward);
        }
    }

    /// Draws `count` experiences and learns from each; returns the draws. Nothing without a sampler
    /// or an experience.
    pub fn replay(&mut self, count: u32, chance: &mut Stream) -> &[Draw] {
        self.draws.clear();
        let Some(mut sampler) = self.sampler.take().filter(|_| !self.memory.is_empty()) else {
            return &self.draws;
        };
        sampler.begin();
        for _ in 0..count {
            let draw = sampler.draw(chance);
            let error = self.learn(draw);
            sampler.learned(draw.index, error);
            self.draws.push(draw);
        }
        self.sampler = Some(sampler);
        &self.draws
    }

    /// Learns from draws on record; the sampler is left as if it had made them.
    pub fn recall(&mut self, draws: &[Draw]) {
        for &draw in draws {
            let error = self.learn(draw);
            if let Some(sampler) = &mut self.sampler {
                sampler.learned(draw.index, error);
            }
        }
    }

    /// Learns from one experience, without telling the sampler. Returns the largest |TD error| of
    /// its transitions, each before its update. An index outside the memory is left out.
    pub fn learn(&mut self, draw: Draw) -> f64 {
        let Some((trajectory, reward)) = self.memory.get(draw.index as usize) else { return 0.0 };
        self.updates += trajectory.len() as u64;
        let (values, updates) = self.q.parts_mut();
        let mut lesson = Lesson {
            space: &self.space,
            values,
            updates,
            best: &mut self.best,
            alpha: self.learning.alpha * draw.weight,
            error: 0.0,
        };
        let gamma = self.learning.gamma;
        match self.order {
            Order::Backward => {
                let (mut reward, mut next) = (reward, 0.0);
                for &pair in trajectory.iter().rev() {
                    next = lesson.update(pair, reward + gamma * next);
                    reward = 0.0;
                }
            }
            Order::Forward => {
                for (step, &pair) in trajectory.iter().enumerate() {
                    let target = match trajectory.get(step + 1) {
                        Some(&after) => 0.0 + gamma * lesson.best_beside(after),
                        None => reward + gamma * 0.0,
                    };
                    lesson.update(pair, target);
                }
            }
        }
        lesson.error
    }

    /// The Q-table.
    #[must_use]
    pub fn q(&self) -> &QTable {
        &self.q
    }

    /// The experiences.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Updates of a Q-value so far.
    #[must_use]
    pub fn updates(&self) -> u64 {
        self.updates
    }
}

/// The inner loop: no hashing, no allocation.
struct Lesson<'l> {
    space: &'l Space,
    values: &'l mut [f64],
    updates: &'l mut [u32],
    best: &'l mut [f64],
    alpha: f64,
    error: f64,
}

impl Lesson<'_> {
    /// Moves a pair towards its target and returns the highest value of its state afterwards.
    ///
    /// The order of operations is part of the format, as in [`QTable::learn`]:
    /// `q + alpha * ((r + gamma * m) - q)`. The highest value is kept for each state; only where it
    /// fell itself are the others looked at again. That is the same number as looking every time.
    fn update(&mut self, pair: PairId, target: f64) -> f64 {
        let index = pair as usize;
        let q = self.values[index];
        let error = target - q;
        let value = q + self.alpha * error;
        self.values[index] = value;
        self.updates[index] = self.updates[index].saturating_add(1);
        self.error = self.error.max(error.abs());
        let state = self.space.owner(pair);
        let best = &mut self.best[state as usize];
        if value >= *best {
            *best = value;
        } else if q == *best {
            *best = crate::agent::qtable::greatest(&self.values[self.space.pairs(state)]);
        }
        *best
    }

    /// The highest value of the state that a pair belongs to.
    fn best_beside(&self, pair: PairId) -> f64 {
        self.best[self.space.owner(pair) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::policy::sample;
    use crate::config::learning::Epsilon;
    use crate::config::space::SpaceConfig;

    fn world() -> (Arc<Space>, Vec<Vec<PairId>>) {
        let space = Space::new(&SpaceConfig::paper(12), 32, 10).unwrap();
        let q = QTable::new(space.pair_count(), 0.5);
        let all = Epsilon::new(1.0).unwrap();
        let paths = (0..200).map(|n| sample(&space, &q, all, &mut Stream::new(1, "s", n)));
        let paths = paths.collect();
        (Arc::new(space), paths)
    }

    /// The loop with maxima that are kept gives, bit for bit, what the plain one gives.
    #[test]
    fn the_fast_loop_is_the_plain_one() {
        let (space, paths) = world();
        let learning = Learning { alpha: 0.3, gamma: 0.97, init: 0.5 };
        let mut learner = Learner::new(Arc::clone(&space), learning, Order::Backward, None);
        let mut plain = QTable::new(space.pair_count(), learning.init);
        let mut chance = Stream::new(2, "test", 0);
        for (index, path) in (0_u32..).zip(&paths) {
            let reward = chance.unit();
            let facts = Facts { episode: index + 1, phase: 0, architecture: 0, reward };
            learner.push(path, facts, &mut chance);
        }
        for _ in 0..20_000 {
            let index = chance.index(paths.len());
            let (path, reward) = learner.memory().get(index).unwrap();
            plain.learn(&space, path, reward, learning);
            learner.learn(Draw::of(u32::try_from(index).unwrap()));
        }
        assert_eq!(learner.q(), &plain);
        assert_eq!(learner.q().digest(), plain.digest());
    }

    /// Forward, by hand: every pair is moved towards what its successor was worth before.
    #[test]
    fn forward_uses_values_of_before() {
        let (space, _) = world();
        let path = space.trajectory(&"[C(64,3,1), SM(10)]".parse().unwrap()).unwrap();
        let learning = Learning { alpha: 0.5, gamma: 1.0, init: 0.5 };
        let mut learner = Learner::new(space, learning, Order::Forward, None);
        let facts = Facts { episode: 1, phase: 0, architecture: 0, reward: 0.9 };
        learner.push(&path, facts, &mut Stream::new(0, "x", 0));
        assert_eq!(learner.learn(Draw::of(0)), 0.4);
        assert_eq!(learner.q().values()[path[0] as usize], 0.5);
        assert_eq!(learner.q().values()[path[1] as usize], 0.7);
        assert_eq!(learner.updates(), 2);
    }

    #[test]
    fn a_weight_multiplies_the_learning_rate() {
        let (space, _) = world();
        let path = space.trajectory(&"[SM(10)]".parse().unwrap()).unwrap();
        let learning = Learning { alpha: 0.5, gamma: 1.0, init: 0.5 };
        let mut learner = Learner::new(space, learning, Order::Backward, None);
        let facts = Facts { episode: 1, phase: 0, architecture: 0, reward: 0.9 };
        learner.push(&path, facts, &mut Stream::new(0, "x", 0));
        learner.learn(Draw { index: 0, weight: 0.5 });
        assert_eq!(learner.q().values()[path[0] as usize], 0.5 + 0.25 * (0.9 - 0.5));
    }
}
