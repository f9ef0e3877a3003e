//! TEMP
use super::memory::{Memory, draw_uniform};
use super::qtable::QTable;
use super::space::{PairId, Space};
use crate::chance::Stream;
use crate::config::learning::Learning;
use crate::config::replay::Policy;
use std::sync::Arc;
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    pub episode: u32,
    pub phase: u32,
    pub architecture: u32,
    pub reward: f64,
}
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    pub index: u32,
    pub weight: f64,
}
pub trait Sampler: std::fmt::Debug + Send {}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    #[default]
    Backward,
    Forward,
}
pub fn sampler(_: &Policy) -> Option<Box<dyn Sampler>> {
    None
}
pub struct Learner {
    space: Arc<Space>,
    learning: Learning,
    memory: Memory,
    paths: Vec<Vec<PairId>>,
    rewards: Vec<f64>,
    q: QTable,
    updates: u64,
    last: Vec<Draw>,
}
impl Learner {
    pub fn new(
        space: Arc<Space>,
        learning: Learning,
        _: Order,
        _: Option<Box<dyn Sampler>>,
    ) -> Self {
        let q = QTable::new(space.pair_count(), learning.init);
        Self {
            space,
            learning,
            memory: Memory::default(),
            paths: vec![],
            rewards: vec![],
            q,
            updates: 0,
            last: vec![],
        }
    }
    pub fn push(&mut self, t: &[PairId], f: Facts, _: &mut Stream) {
        self.memory.push(t, f.reward);
        self.paths.push(t.to_vec());
        self.rewards.push(f.reward);
    }
    pub fn revalue(&mut self, i: u32, r: f64) {
        self.rewards[i as usize] = r;
    }
    pub fn replay(&mut self, count: u32, chance: &mut Stream) -> &[Draw] {
        self.last = draw_uniform(self.memory.len(), count, chance)
            .into_iter()
            .map(|index| Draw { index, weight: 1.0 })
            .collect();
        for d in self.last.clone() {
            self.learn(d);
        }
        &self.last
    }
    pub fn learn(&mut self, d: Draw) -> f64 {
        let i = d.index as usize;
        self.q.learn(&self.space, &self.paths[i], self.rewards[i], self.learning);
        self.updates += self.paths[i].len() as u64;
        0.0
    }
    pub fn recall(&mut self, ds: &[Draw]) {
        for d in ds {
            self.learn(*d);
        }
    }
    pub fn q(&self) -> &QTable {
        &self.q
    }
    pub fn updates(&self) -> u64 {
        self.updates
    }
}
