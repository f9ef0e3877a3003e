//! The Q-table and its update (Baker et al. 2017, section 3 and Algorithm 1).

use super::space::{PairId, Space, StateId};
use crate::config::learning::Learning;

/// Q-values and update counts of all pairs of a space, in the order of pair ids.
#[derive(Debug, Clone, PartialEq)]
pub struct QTable {
    values: Vec<f64>,
    updates: Vec<u32>,
}

impl QTable {
    /// A table of `pairs` untouched values.
    #[must_use]
    pub fn new(pairs: usize, init: f64) -> Self {
        Self { values: vec![init; pairs], updates: vec![0; pairs] }
    }

    /// A table as it was read back: values and update counts by pair id, equally many.
    #[must_use]
    pub fn from_parts(values: Vec<f64>, mut updates: Vec<u32>) -> Self {
        updates.resize(values.len(), 0);
        Self { values, updates }
    }

    /// Q-values by pair id.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Number of updates by pair id.
    #[must_use]
    pub fn updates(&self) -> &[u32] {
        &self.updates
    }

    /// Values and update counts, to be changed together.
    pub(super) fn parts_mut(&mut self) -> (&mut [f64], &mut [u32]) {
        (&mut self.values, &mut self.updates)
    }

    /// The value of the best action of a state; untried actions count with their initial value.
    #[must_use]
    pub fn best(&self, space: &Space, state: StateId) -> f64 {
        greatest(&self.values[space.pairs(state)])
    }

    /// Learns from one experience: backwards and in place, so that the maximum of a state already
    /// contains the update just made. The reward is that of the last transition, the others have 0.
    ///
    /// The order of operations is part of the format: `q + alpha * ((r + gamma * m) - q)`, without
    /// fused multiply-add. Any other order gives other bits.
    pub fn learn(&mut self, space: &Space, trajectory: &[PairId], reward: f64, with: Learning) {
        let (mut reward, mut maximum) = (reward, 0.0);
        for &pair in trajectory.iter().rev() {
            let index = pair as usize;
            let q = self.values[index];
            self.values[index] = q + with.alpha * ((reward + with.gamma * maximum) - q);
            self.updates[index] = self.updates[index].saturating_add(1);
            maximum = self.best(space, space.owner(pair));
            reward = 0.0;
        }
    }

    /// BLAKE3 over the bits of all values (little-endian, in the order of pair ids).
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        // A piece at a time: large enough for the hash to work on in parallel, and no allocation.
        let (mut hasher, mut bytes) = (blake3::Hasher::new(), [0; 16_384]);
        for values in self.values.chunks(bytes.len() / 8) {
            for (place, value) in bytes.chunks_exact_mut(8).zip(values) {
                place.copy_from_slice(&value.to_bits().to_le_bytes());
            }
            hasher.update(&bytes[..values.len() * 8]);
        }
        *hasher.finalize().as_bytes()
    }
}

/// The greatest value. Four lanes, because replay spends its time here, and one comparison would
/// wait for the other; the greatest is the same in any order.
pub(super) fn greatest(values: &[f64]) -> f64 {
    let greater = |a: f64, b: f64| if b > a { b } else { a };
    let (fours, rest) = values.as_chunks::<4>();
    let lanes = fours.iter().fold([f64::NEG_INFINITY; 4], |lanes, four| {
        std::array::from_fn(|lane| greater(lanes[lane], four[lane]))
    });
    lanes.into_iter().chain(rest.iter().copied()).fold(f64::NEG_INFINITY, greater)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::space::SpaceConfig;

    /// The toy example: A = [C(64,3,1), P(2,2), SM(10)] 0.9, B = [C(64,3,1), SM(10)] 0.4, A again.
    #[test]
    fn toy_example() {
        let space = Space::new(&SpaceConfig::paper(12), 32, 10).unwrap();
        let mut q = QTable::new(space.pair_count(), 0.5);
        let path = |text: &str| space.trajectory(&text.parse().unwrap()).unwrap();
        let (a, b) = (path("[C(64,3,1), P(2,2), SM(10)]"), path("[C(64,3,1), SM(10)]"));
        let at = |q: &QTable, pair: PairId| q.values()[pair as usize];

        q.learn(&space, &a, 0.9, Learning::default());
        assert_eq!([at(&q, a[2]), at(&q, a[1]), at(&q, a[0])], [0.504, 0.50004, 0.500_000_4]);
        q.learn(&space, &b, 0.4, Learning::default());
        assert_eq!([at(&q, b[1]), at(&q, b[0])], [0.499, 0.500_000_796]);
        q.learn(&space, &a, 0.9, Learning::default());
        assert_eq!(at(&q, a[2]), 0.50796);
        assert_eq!(at(&q, a[1]).to_bits(), 0x3fe0_00f9_fb03_40fd);
        assert_eq!(at(&q, a[0]).to_bits(), 0x3fe0_0004_2706_a01d);
        assert_eq!(q.updates().iter().sum::<u32>(), 8);
    }

    #[test]
    fn the_greatest_is_found_wherever_it_is() {
        assert_eq!(greatest(&[]), f64::NEG_INFINITY);
        for length in 1..=11 {
            for at in 0..length {
                let mut values = vec![-0.25; length];
                values[at] = 0.75;
                assert_eq!(greatest(&values), 0.75, "{at} of {length}");
            }
        }
    }

    /// The digest is of the bytes as a whole, however they are handed over.
    #[test]
    fn the_digest_is_that_of_all_bytes() {
        for pairs in [0, 1, 2_047, 2_048, 2_049, 5_000] {
            let values: Vec<f64> = (0..pairs).map(f64::from).collect();
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
            let q = QTable::from_parts(values, Vec::new());
            assert_eq!(q.digest(), *blake3::hash(&bytes).as_bytes());
        }
    }

    #[test]
    fn the_digest_sees_every_bit() {
        let mut q = QTable::new(3, 0.5);
        let before = q.digest();
        q.values[2] = f64::from_bits(q.values[2].to_bits() + 1);
        assert_ne!(q.digest(), before);
    }
}
