//! Policies whose draws are uniform over some set of experiences.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::{Draw, Facts, Sampler};
use crate::chance::Stream;

/// Indices are positions in a memory, which has fewer than 2^32.
fn id(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Every experience equally likely, with replacement (Baker et al. 2017, Algorithm 1).
#[derive(Debug, Clone, Default)]
pub(super) struct Uniform(usize);

impl Sampler for Uniform {
    fn push(&mut self, _: &Facts, _: &mut Stream) {
        self.0 += 1;
    }

    fn draw(&mut self, chance: &mut Stream) -> Draw {
        Draw::of(id(chance.index(self.0)))
    }

    fn boxed(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}

/// The newest, every time.
#[derive(Debug, Clone, Default)]
pub(super) struct Newest(u32);

impl Sampler for Newest {
    fn push(&mut self, _: &Facts, _: &mut Stream) {
        self.0 += 1;
    }

    fn draw(&mut self, _: &mut Stream) -> Draw {
        Draw::of(self.0.saturating_sub(1))
    }

    fn boxed(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}

/// The newest first, then uniform (Zhang and Sutton 2017).
#[derive(Debug, Clone, Default)]
pub(super) struct Combined {
    len: usize,
    first: bool,
}

impl Sampler for Combined {
    fn push(&mut self, _: &Facts, _: &mut Stream) {
        self.len += 1;
    }

    fn begin(&mut self) {
        self.first = true;
    }

    fn draw(&mut self, chance: &mut Stream) -> Draw {
        match std::mem::take(&mut self.first) {
            true => Draw::of(id(self.len.saturating_sub(1))),
            false => Draw::of(id(chance.index(self.len))),
        }
    }

    fn boxed(&self) -> Box<dyn Sampler> {
        // Whether draws have begun is not state: they begin anew with each episode.
        Box::new(Self { len: self.len, first: false })
    }
}

/// One of the newest.
#[derive(Debug, Clone)]
pub(super) struct Window {
    len: usize,
    capacity: usize,
}

impl Window {
    pub(super) fn new(capacity: u32) -> Self {
        Self { len: 0, capacity: capacity as usize }
    }
}

impl Sampler for Window {
    fn push(&mut self, _: &Facts, _: &mut Stream) {
        self.len += 1;
    }

    fn draw(&mut self, chance: &mut Stream) -> Draw {
        let inside = self.len.min(self.capacity);
        Draw::of(id(self.len - inside + chance.index(inside)))
    }

    fn boxed(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}

/// One of a uniform sample of the past (Vitter 1985, algorithm R).
#[derive(Debug, Clone)]
pub(super) struct Reservoir {
    len: usize,
    capacity: usize,
    kept: Vec<u32>,
}

impl Reservoir {
    pub(super) fn new(capacity: u32) -> Self {
        Self { len: 0, capacity: capacity as usize, kept: Vec::new() }
    }
}

impl Sampler for Reservoir {
    fn push(&mut self, _: &Facts, chance: &mut Stream) {
        let new = id(self.len);
        self.len += 1;
        if self.kept.len() < self.capacity {
            self.kept.push(new);
        } else if let Some(place) = self.kept.get_mut(chance.index(self.len)) {
            *place = new;
        }
    }

    fn draw(&mut self, chance: &mut Stream) -> Draw {
        Draw::of(self.kept[chance.index(self.kept.len())])
    }

    fn boxed(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}

/// A group, each equally likely; then one of its experiences.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    key: fn(&Facts) -> u32,
    numbers: HashMap<u32, usize>,
    groups: Vec<Vec<u32>>,
    len: usize,
}

impl Groups {
    pub(super) fn by_architecture() -> Self {
        Self::by(|facts| facts.architecture)
    }

    pub(super) fn by_phase() -> Self {
        Self::by(|facts| facts.phase)
    }

    fn by(key: fn(&Facts) -> u32) -> Self {
        Self { key, numbers: HashMap::new(), groups: Vec::new(), len: 0 }
    }
}

impl Sampler for Groups {
    fn push(&mut self, facts: &Facts, _: &mut Stream) {
        let next = self.groups.len();
        let number = *self.numbers.entry((self.key)(facts)).or_insert(next);
        if number == next {
            self.groups.push(Vec::new());
        }
        self.groups[number].push(id(self.len));
        self.len += 1;
    }

    fn draw(&mut self, chance: &mut Stream) -> Draw {
        let group = &self.groups[chance.index(self.groups.len())];
        Draw::of(group[chance.index(group.len())])
    }

    fn boxed(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}

/// One of the best by reward.
#[derive(Debug, Clone)]
pub(super) struct Top {
    fraction: f64,
    rewards: Vec<f64>,
    /// All experiences, the best first, the older of equals first.
    order: Vec<u32>,
}

impl Top {
    pub(super) fn new(fraction: f64) -> Self {
        Self { fraction, rewards: Vec::new(), order: Vec::new() }
    }

    fn enter(&mut self, index: u32) {
        let reward = self.rewards[index as usize];
        let place = self.order.partition_point(|&other| {
            let better = self.rewards[other as usize].total_cmp(&reward);
            better.is_gt() || (better.is_eq() && other < index)
        });
        self.order.insert(place, index);
    }
}

impl Sampler for Top {
    fn push(&mut self, facts: &Facts, _: &mut Stream) {
        self.rewards.push(facts.reward);
        self.enter(id(self.rewards.len() - 1));
    }

    fn revalue(&mut self, index: u32, reward: f64) {
        self.order.retain(|&other| other != index);
        self.rewards[index as usize] = reward;
        self.enter(index);
    }

    fn draw(&mut self, chance: &mut Stream) -> Draw {
        // A product such as 0.1 x 30 may lie a trifle above the whole number that is meant.
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let share = (self.fraction * self.order.len() as f64 - 1e-9).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to n")]
        let inside = (share as usize).clamp(1, self.order.len());
        Draw::of(self.order[chance.index(inside)])
    }

    fn boxed(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}

/// The one with the fewest draws, the newest of equals.
#[derive(Debug, Clone, Default)]
pub(super) struct LeastReplayed {
    counts: Vec<u32>,
    /// (fewest draws, index); entries whose count has moved on are passed over.
    heap: BinaryHeap<(Reverse<u32>, u32)>,
}

impl Sampler for LeastReplayed {
    fn push(&mut self, _: &Facts, _: &mut Stream) {
        self.heap.push((Reverse(0), id(self.counts.len())));
        self.counts.push(0);
    }

    fn draw(&mut self, _: &mut Stream) -> Draw {
        while let Some(&(Reverse(count), index)) = self.heap.peek() {
            if self.counts[index as usize] == count {
                return Draw::of(index);
            }
            self.heap.pop();
        }
        Draw::of(0) // never: each experience has an entry with its count
    }

    fn learned(&mut self, index: u32, _: f64) {
        let count = &mut self.counts[index as usize];
        *count += 1;
        self.heap.push((Reverse(*count), index));
    }

    fn boxed(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
