//! The replay memory: experiences in the order in which they were recorded.

use super::qtable::QTable;
use super::space::{PairId, Space};
use crate::chance::Stream;
use crate::config::learning::Learning;

/// Experiences, their trajectories laid end to end.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    pairs: Vec<PairId>,
    /// Where each trajectory ends in `pairs`.
    ends: Vec<usize>,
    rewards: Vec<f64>,
}

impl Memory {
    /// Adds an experience.
    pub fn push(&mut self, trajectory: &[PairId], reward: f64) {
        self.pairs.extend(trajectory);
        self.ends.push(self.pairs.len());
        self.rewards.push(reward);
    }

    /// Number of experiences.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Trajectory and reward of an experience.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<(&[PairId], f64)> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some((&self.pairs[start..end], self.rewards[index]))
    }

    /// Learns from the experiences at `draws`, in that order. An index outside is left out.
    pub fn replay(&self, space: &Space, q: &mut QTable, draws: &[u32], with: Learning) {
        for (trajectory, reward) in draws.iter().filter_map(|&draw| self.get(draw as usize)) {
            q.learn(space, trajectory, reward, with);
        }
    }
}

/// `count` indices below `len`, uniform, with replacement (Baker et al. 2017, Algorithm 1).
#[must_use]
pub fn draw_uniform(len: usize, count: u32, chance: &mut Stream) -> Vec<u32> {
    let index = |_| u32::try_from(chance.index(len)).unwrap_or(u32::MAX);
    (0..count).map(index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_uniform_with_replacement() {
        let draws = draw_uniform(10, 100_000, &mut Stream::new(5, "replay", 1));
        let mut counts = [0_u32; 10];
        draws.iter().for_each(|&draw| counts[draw as usize] += 1);
        // Binomial(100000, 1/10): mean 10000, sd 95; ±4.5 sd.
        assert!(counts.iter().all(|n| (9_573..=10_427).contains(n)), "{counts:?}");
    }

    #[test]
    fn trajectories_come_back() {
        let mut memory = Memory::default();
        memory.push(&[1, 2, 3], 0.5);
        memory.push(&[4], 0.25);
        assert_eq!(memory.get(0), Some((&[1, 2, 3][..], 0.5)));
        assert_eq!(memory.get(1), Some((&[4][..], 0.25)));
        assert_eq!((memory.get(2), memory.len()), (None, 2));
    }
}
