//! Policies that weigh experiences: by age, by reward, by how surprising they were.

use super::tree::Tree;
use super::{Draw, Facts, Sampler};
use crate::chance::Stream;

/// Added to every |TD error|, so that nothing is forgotten for good (Schaul et al. 2016).
const LEAST_ERROR: f64 = 1e-6;

fn id(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Weight 2^(-age / half-life), age in episodes.
#[derive(Debug, Clone)]
pub(super) struct Recency {
    half_life: f64,
    episodes: Vec<u32>,
    /// The episode whose weight is 1: weights grow with episodes, so that old ones need not change.
    base: u32,
    tree: Tree,
}

/// Half-lives after which weights are written anew, well before they would overflow.
const REBASE: f64 = 500.0;

impl Recency {
    pub(super) fn new(half_life: f64) -> Self {
        Self { half_life, episodes: Vec::new(), base: 0, tree: Tree::default() }
    }

    fn weight(&self, episode: u32) -> f64 {
        libm::exp2((f64::from(episode) - f64::from(self.base)) / self.half_life)
    }
}

impl Sampler for Recency {
    fn push(&mut self, facts: &Facts, _: &mut Stream) {
        self.episodes.push(facts.episode);
        let age = f64::from(facts.episode) - f64::from(self.base);
        if self.episodes.len() == 1 || age / self.half_life > REBASE {
            self.base = facts.episode;
            self.tree.push(0.0);
            let weights: Vec<f64> = self.episodes.iter().map(|&one| self.weight(one)).collect();
            self.tree.set_all(weights.into_iter());
        } else {
            self.tree.push(self.weight(facts.episode));
        }
    }

    fn draw(&mut self, chance: &mut Stream) -> Draw {
        Draw::of(id(self.tree.draw(chance)))
    }

    fn boxed(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}

/// Weight e^(reward / temperature).
#[derive(Debug, Clone)]
pub(super) struct RewardWeighted {
    temperature: f64,
    rewards: Vec<f64>,
    /// The highest reward so far has weight 1: no power overflows.
    highest: f64,
    tree: Tree,
}

impl RewardWeighted {
    pub(super) fn new(temperature: f64) -> Self {
        Self { temperature, rewards: Vec::new(), highest: f64::NEG_INFINITY, tree: Tree::default() }
    }

    fn weight(&self, reward: f64) -> f64 {
        libm::exp((reward - self.highest) / self.temperature)
    }

    fn weigh(&mut self, index: usize) {
        let reward = self.rewards[index];
        if reward > self.highest {
            self.highest = reward;
            let weights: Vec<f64> = self.rewards.iter().map(|&one| self.weight(one)).collect();
            self.tree.set_all(weights.into_iter());
        } else {
            self.tree.set(index, self.weight(reward));
        }
    }
}

impl Sampler for RewardWeighted {
    fn push(&mut self, facts: &Facts, _: &mut Stream) {
        self.rewards.push(facts.reward);
        self.tree.push(0.0);
        self.weigh(self.rewards.len() - 1);
    }

    fn revalue(&mut self, index: u32, reward: f64) {
        self.rewards[index as usize] = reward;
        self.weigh(index as usize);
    }

    fn draw(&mut self, chance: &mut Stream) -> Draw {
        Draw::of(id(self.tree.draw(chance)))
    }

    fn boxed(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}

/// In proportion to priority^alpha; the priority is the largest |TD error| in the trajectory when
/// it was last learned from (Schaul et al. 2016, section 3.3). A new one enters at the greatest
/// weight. The importance weight (n p)^-beta is divided by its greatest value, that of the least
/// likely experience in the memory, so that updates are only ever made smaller (section 3.4).
#[derive(Debug, Clone)]
pub(super) struct Prioritized {
    alpha: f64,
    beta: f64,
    tree: Tree,
    len: usize,
}

impl Prioritized {
    pub(super) fn new(alpha: f64, beta: f64) -> Self {
        Self { alpha, beta, tree: Tree::default(), len: 0 }
    }
}

impl Sampler for Prioritized {
    fn push(&mut self, _: &Facts, _: &mut Stream) {
        self.tree.push(self.tree.greatest().unwrap_or(1.0));
        self.len += 1;
    }

    fn draw(&mut self, chance: &mut Stream) -> Draw {
        let index = self.tree.draw(chance);
        let least = self.tree.least().unwrap_or(1.0);
        Draw { index: id(index), weight: importance(least / self.tree.get(index), self.beta) }
    }

    fn learned(&mut self, index: u32, error: f64) {
        self.tree.set(index as usize, libm::pow(error + LEAST_ERROR, self.alpha));
    }

    fn boxed(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}

/// (n p)^-beta over its greatest value: n cancels, and what is left is (least p / p)^beta.
fn importance(least_over_own: f64, beta: f64) -> f64 {
    if beta == 0.0 { 1.0 } else { libm::pow(least_over_own, beta) }
}

/// In proportion to (1 / rank)^alpha, the rank by the same priority; ranked once an episode, the
/// older of equals first (Schaul et al. 2016, section 3.3).
#[derive(Debug, Clone, Default)]
pub(super) struct RankPrioritized {
    alpha: f64,
    beta: f64,
    priorities: Vec<f64>,
    /// All experiences that were ranked, the most surprising first.
    order: Vec<u32>,
    /// Experiences that are to be ranked: new ones, and those learned from since.
    moved: Vec<u32>,
    /// Whether each experience is among them.
    has_moved: Vec<bool>,
    /// Weights of ranks, from the first.
    weights: Vec<f64>,
    /// Sums of the weights of the first ranks.
    sums: Vec<f64>,
}

impl RankPrioritized {
    pub(super) fn new(alpha: f64, beta: f64) -> Self {
        Self { alpha, beta, ..Self::default() }
    }
}

impl Sampler for RankPrioritized {
    fn push(&mut self, _: &Facts, _: &mut Stream) {
        let rank = self.priorities.len();
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let weight = libm::pow((rank + 1) as f64, -self.alpha);
        self.weights.push(weight);
        self.sums.push(self.sums.last().copied().unwrap_or(0.0) + weight);
        self.moved.push(id(rank));
        self.has_moved.push(true);
        let greatest = self.priorities.iter().copied().reduce(f64::max);
        self.priorities.push(greatest.unwrap_or(1.0));
    }

    /// Few have moved since the last time: they are taken out, sorted, and merged with the others.
    fn begin(&mut self) {
        let priorities = &self.priorities;
        let rank = |a: &u32, b: &u32| {
            priorities[*b as usize].total_cmp(&priorities[*a as usize]).then(a.cmp(b))
        };
        self.moved.sort_unstable_by(rank);
        let mut order = Vec::with_capacity(priorities.len());
        let mut moved = self.moved.drain(..).peekable();
        for index in self.order.iter().filter(|&&index| !self.has_moved[index as usize]) {
            while let Some(before) = moved.next_if(|one| rank(one, index).is_lt()) {
                order.push(before);
            }
            order.push(*index);
        }
        order.extend(moved);
        self.order = order;
        self.has_moved.fill(false);
    }

    fn draw(&mut self, chance: &mut Stream) -> Draw {
        let last = self.sums.len() - 1;
        let place = chance.unit() * self.sums[last];
        let rank = self.sums.partition_point(|&sum| sum <= place).min(last);
        let weight = importance(self.weights[last] / self.weights[rank], self.beta);
        Draw { index: self.order[rank], weight }
    }

    fn learned(&mut self, index: u32, error: f64) {
        self.priorities[index as usize] = error + LEAST_ERROR;
        if !std::mem::replace(&mut self.has_moved[index as usize], true) {
            self.moved.push(index);
        }
    }

    fn boxed(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_a_list_that_is_sorted_anew() {
        let mut sampler = RankPrioritized::new(0.7, 0.5);
        let mut chance = Stream::new(1, "ranks", 0);
        for index in 0..300 {
            let facts = Facts { episode: index + 1, phase: 0, architecture: index, reward: 0.5 };
            sampler.push(&facts, &mut chance);
            sampler.begin();
            let mut sorted: Vec<u32> = (0..=index).collect();
            let priority = |index: u32| sampler.priorities[index as usize];
            sorted.sort_by(|&a, &b| priority(b).total_cmp(&priority(a)));
            assert_eq!(sampler.order, sorted);
            for _ in 0..chance.below(8) {
                let index = u32::try_from(chance.below(u64::from(index) + 1)).unwrap();
                // Few values, so that many are equal.
                let error = f64::from(u32::try_from(chance.below(5)).unwrap());
                sampler.learned(index, error);
            }
        }
    }
}
