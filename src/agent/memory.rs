//! The replay memory: experiences in the order in which they were recorded.

use super::space::PairId;

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

    /// Changes what an experience is worth.
    pub fn revalue(&mut self, index: usize, reward: f64) {
        if let Some(place) = self.rewards.get_mut(index) {
            *place = reward;
        }
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
