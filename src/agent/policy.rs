//! Epsilon-greedy sampling of an architecture (Baker et al. 2017, section 3.2 and Algorithm 2).

use super::qtable::QTable;
use super::space::{PairId, Space, StateId, Trajectory};
use crate::chance::Stream;
use crate::config::learning::Epsilon;

/// Samples an architecture: at each step with probability `epsilon` any action, otherwise one of
/// those with the highest Q-value, equals equally likely.
#[must_use]
pub fn sample(space: &Space, q: &QTable, epsilon: Epsilon, chance: &mut Stream) -> Trajectory {
    let mut trajectory = Vec::new();
    let mut place = Some(space.start());
    while let Some(here) = place {
        let pair = if chance.below(Epsilon::WHOLE.into()) < epsilon.parts().into() {
            let pairs = space.pairs(here.state);
            pairs.start + chance.index(pairs.len())
        } else {
            greedy(space, q, here.state, chance)
        };
        #[expect(clippy::cast_possible_truncation, reason = "pair ids are u32")]
        let pair = pair as PairId;
        trajectory.push(pair);
        place = space.follow(here, pair);
    }
    trajectory
}

/// One of some pairs: with probability `epsilon` any of them, otherwise one of the highest Q-value
/// among them, equals equally likely. Of no pairs the first of all.
pub(super) fn choose(
    pairs: &[PairId],
    q: &QTable,
    epsilon: Epsilon,
    chance: &mut Stream,
) -> PairId {
    let value = |pair: PairId| q.values()[pair as usize];
    if chance.below(Epsilon::WHOLE.into()) < epsilon.parts().into() {
        return pairs.get(chance.index(pairs.len())).copied().unwrap_or_default();
    }
    let best = pairs.iter().map(|&pair| value(pair)).fold(f64::NEG_INFINITY, f64::max);
    let mut ties = pairs.iter().copied().filter(|&pair| value(pair) == best);
    let count = ties.clone().count();
    ties.nth(chance.index(count)).unwrap_or_default()
}

fn greedy(space: &Space, q: &QTable, state: StateId, chance: &mut Stream) -> usize {
    let best = q.best(space, state);
    let mut ties = space.pairs(state).filter(|&pair| q.values()[pair] == best);
    let count = ties.clone().count();
    ties.nth(chance.index(count)).unwrap_or_else(|| space.pairs(state).start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::learning::Learning;
    use crate::config::space::SpaceConfig;

    fn world() -> (Space, QTable) {
        let space = Space::new(&SpaceConfig::paper(12), 32, 10).unwrap();
        let q = QTable::new(space.pair_count(), 0.5);
        (space, q)
    }

    fn epsilon(share: f64) -> Epsilon {
        Epsilon::new(share).unwrap()
    }

    #[test]
    fn greedy_follows_the_values() {
        let (space, mut q) = world();
        let good = space.trajectory(&"[C(64,3,1), P(2,2), SM(10)]".parse().unwrap()).unwrap();
        for _ in 0..200 {
            q.learn(&space, &good, 0.9, Learning { alpha: 0.5, ..Learning::default() });
        }
        for episode in 0..20 {
            let mut chance = Stream::new(1, "sample", episode);
            assert_eq!(sample(&space, &q, epsilon(0.0), &mut chance), good);
        }
    }

    #[test]
    fn ties_are_fair_and_so_is_exploration() {
        let (space, q) = world();
        for share in [0.0, 1.0] {
            let mut counts = [0_u32; 14];
            for episode in 0..14_000 {
                let mut chance = Stream::new(3, "sample", episode);
                counts[sample(&space, &q, epsilon(share), &mut chance)[0] as usize] += 1;
            }
            // Binomial(14000, 1/14): mean 1000, sd 30.5; ±4.5 sd.
            assert!(counts.iter().all(|n| (863..=1137).contains(n)), "{counts:?}");
        }
    }

    #[test]
    fn the_same_address_gives_the_same_architecture() {
        let (space, q) = world();
        let once =
            |episode| sample(&space, &q, epsilon(0.5), &mut Stream::new(7, "sample", episode));
        assert_eq!(once(4), once(4));
    }
}
