//! Sampling within limits: an action is masked if no architecture below it is within them, by true
//! shapes. The cheapest completion counts, and placing softmax has its own parameters too.
//!
//! Only sampling is masked. The Q-table holds all actions, and the maximum that an update looks
//! ahead to runs over all of them, so that a table means the same with limits and without.

use std::collections::HashMap;

use super::policy;
use super::qtable::QTable;
use super::space::{Action, Kind, Place, Space, Trajectory};
use crate::arch::shape::{LayerShape, Map, layer_shape};
use crate::arch::{Architecture, GapHead, Layer, PoolRule, Shapes};
use crate::chance::Stream;
use crate::config::learning::Epsilon;
use crate::config::limits::Limits;

/// Architectures counted at most.
const COUNTED_MAX: u128 = 100_000;

/// What is spent, in what is limited; the other stays 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Cost {
    params: u64,
    madds: u64,
}

/// What may be sampled within limits.
#[derive(Debug, Clone)]
pub struct Mask {
    limits: Limits,
    input: Map,
    gap: GapHead,
    classes: u32,
    /// What the cheapest completions cost from a place with so many channels: none of them costs as
    /// much as another one in both.
    cheapest: HashMap<(Place, u32), Vec<Cost>>,
    /// Architectures within the limits, as far as they were counted.
    count: u128,
}

/// No architecture of a space is within the limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no architecture of the space is within the limits: the smallest has {params} parameters, \
     the one of least work {madds} multiply-adds for an image"
)]
pub struct NothingLegal {
    /// Fewest parameters of any.
    pub params: u64,
    /// Fewest multiply-adds of any.
    pub madds: u64,
}

/// Where an architecture under construction is.
#[derive(Debug, Clone, Copy)]
struct Walk {
    place: Place,
    map: Map,
    spent: Cost,
}

impl Mask {
    /// What may be sampled of a space on images of `input` channels and side.
    ///
    /// # Errors
    /// [`NothingLegal`] if that is nothing.
    pub fn new(
        space: &Space,
        limits: Limits,
        (input, classes): (Map, u32),
        gap: GapHead,
    ) -> Result<Self, NothingLegal> {
        let mut mask = Self { limits, input, gap, classes, cheapest: HashMap::new(), count: 0 };
        mask.find_cheapest(space, space.start(), input);
        let start = mask.start(space);
        if mask.allowed(space, start).is_empty() {
            return Err(NothingLegal {
                params: mask.least(space, |layer| layer.parameters),
                madds: mask.least(space, |layer| layer.multiply_adds),
            });
        }
        mask.count_from(space, start);
        Ok(mask)
    }

    /// Samples an architecture within the limits: at each step with probability `epsilon` any
    /// action that is left, otherwise one of the highest Q-value among those, equals equally likely.
    #[must_use]
    pub fn sample(
        &self,
        space: &Space,
        q: &QTable,
        epsilon: Epsilon,
        chance: &mut Stream,
    ) -> Trajectory {
        let mut trajectory = Vec::new();
        let mut here = Some(self.start(space));
        while let Some(walk) = here {
            let allowed = self.allowed(space, walk);
            let pair = policy::choose(&allowed, q, epsilon, chance);
            trajectory.push(pair);
            here = self.step(space, walk, pair);
        }
        trajectory
    }

    /// Architectures within the limits; `None` if they are too many to count.
    #[must_use]
    pub fn count(&self) -> Option<u128> {
        (self.count < COUNTED_MAX).then_some(self.count)
    }

    /// Whether an architecture is within the limits.
    #[must_use]
    pub fn holds(&self, architecture: &Architecture) -> bool {
        let shapes = Shapes::of(architecture, self.input, self.gap, PoolRule::True);
        shapes.is_ok_and(|shapes| self.limits.hold(shapes.parameters(), shapes.multiply_adds()))
    }

    fn start(&self, space: &Space) -> Walk {
        Walk { place: space.start(), map: self.input, spent: Cost::default() }
    }

    /// The layer that a pair places, with its shapes; `None` if it does not fit.
    fn layer(&self, space: &Space, (place, map): (Place, Map), pair: u32) -> Option<LayerShape> {
        let layer = match space.action(pair) {
            Action::Place(layer) => layer,
            Action::Terminate => Layer::Softmax { classes: self.classes },
        };
        let after_gap = space.states()[place.state as usize].kind == Kind::GlobalAverage;
        layer_shape(layer, map, after_gap && self.gap == GapHead::Direct, PoolRule::True, 1).ok()
    }

    fn cost(&self, layer: &LayerShape) -> Cost {
        Cost {
            params: self.limits.params.map_or(0, |_| layer.parameters),
            madds: self.limits.madds.map_or(0, |_| layer.multiply_adds),
        }
    }

    fn holds_cost(&self, cost: Cost) -> bool {
        self.limits.hold(cost.params, cost.madds)
    }

    fn step(&self, space: &Space, walk: Walk, pair: u32) -> Option<Walk> {
        let place = space.follow(walk.place, pair)?;
        let layer = self.layer(space, (walk.place, walk.map), pair)?;
        Some(Walk { place, map: layer.output, spent: walk.spent.and(self.cost(&layer)) })
    }

    /// The pairs below which something is within the limits.
    fn allowed(&self, space: &Space, walk: Walk) -> Vec<u32> {
        let pairs = space.pairs(walk.place.state).filter_map(|pair| u32::try_from(pair).ok());
        let is_allowed = |&pair: &u32| {
            let Some(layer) = self.layer(space, (walk.place, walk.map), pair) else { return false };
            let spent = walk.spent.and(self.cost(&layer));
            match space.follow(walk.place, pair) {
                None => self.holds_cost(spent),
                Some(next) => {
                    let ends = self.cheapest.get(&(next, layer.output.channels));
                    ends.is_some_and(|ends| ends.iter().any(|end| self.holds_cost(spent.and(*end))))
                }
            }
        };
        pairs.filter(is_allowed).collect()
    }

    fn find_cheapest(&mut self, space: &Space, place: Place, map: Map) {
        if self.cheapest.contains_key(&(place, map.channels)) {
            return;
        }
        let mut ends: Vec<Cost> = Vec::new();
        for pair in space.pairs(place.state).filter_map(|pair| u32::try_from(pair).ok()) {
            let Some(layer) = self.layer(space, (place, map), pair) else { continue };
            let own = self.cost(&layer);
            match space.follow(place, pair) {
                None => ends.push(own),
                Some(next) => {
                    self.find_cheapest(space, next, layer.output);
                    let below = &self.cheapest[&(next, layer.output.channels)];
                    ends.extend(below.iter().map(|end| own.and(*end)));
                }
            }
        }
        ends.retain(|end| self.limits.hold(end.params, end.madds));
        self.cheapest.insert((place, map.channels), undominated(ends));
    }

    /// Counts complete architectures, until they are enough.
    fn count_from(&mut self, space: &Space, walk: Walk) {
        for pair in self.allowed(space, walk) {
            match self.step(space, walk, pair) {
                _ if self.count >= COUNTED_MAX => return,
                Some(next) => self.count_from(space, next),
                None => self.count += 1,
            }
        }
    }

    /// The least sum over the layers of any architecture.
    fn least(&self, space: &Space, of: fn(&LayerShape) -> u64) -> u64 {
        fn below(
            mask: &Mask,
            space: &Space,
            (place, map): (Place, Map),
            of: fn(&LayerShape) -> u64,
            known: &mut HashMap<(Place, u32), u64>,
        ) -> u64 {
            if let Some(&known) = known.get(&(place, map.channels)) {
                return known;
            }
            let mut least = u64::MAX;
            for pair in space.pairs(place.state).filter_map(|pair| u32::try_from(pair).ok()) {
                let Some(layer) = mask.layer(space, (place, map), pair) else { continue };
                let rest = match space.follow(place, pair) {
                    Some(next) => below(mask, space, (next, layer.output), of, known),
                    None => 0,
                };
                least = least.min(of(&layer).saturating_add(rest));
            }
            known.insert((place, map.channels), least);
            least
        }
        below(self, space, (space.start(), self.input), of, &mut HashMap::new())
    }
}

impl Cost {
    fn and(self, other: Self) -> Self {
        Self {
            params: self.params.saturating_add(other.params),
            madds: self.madds.saturating_add(other.madds),
        }
    }
}

/// Those than which no other is as cheap in both.
fn undominated(mut costs: Vec<Cost>) -> Vec<Cost> {
    costs.sort_unstable_by_key(|cost| (cost.params, cost.madds));
    let mut kept: Vec<Cost> = Vec::new();
    for cost in costs {
        if kept.last().is_none_or(|last| cost.madds < last.madds) {
            kept.push(cost);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::config::space::SpaceConfig;

    const INPUT: Map = Map { channels: 1, side: 28 };

    fn space(limit: u32) -> Space {
        let config = SpaceConfig {
            layer_limit: limit,
            filters: vec![8, 16],
            fields: vec![1, 3],
            pools: vec![(3, 2), (2, 2)],
            widths: vec![32],
            max_full: 2,
        };
        Space::new(&config, 28, 10).unwrap()
    }

    fn mask(space: &Space, params: Option<u64>, madds: Option<u64>) -> Result<Mask, NothingLegal> {
        Mask::new(space, Limits { params, madds }, (INPUT, 10), GapHead::Direct)
    }

    /// What is counted, and what is sampled sooner or later, is exactly what is within the limits.
    #[test]
    fn all_that_is_within_the_limits_and_nothing_else() {
        let space = space(3);
        let q = QTable::new(space.pair_count(), 0.5);
        let all = space.all();
        let sizes: Vec<(u64, u64)> = all
            .iter()
            .map(|net| Shapes::of(net, INPUT, GapHead::Direct, PoolRule::True).unwrap())
            .map(|shapes| (shapes.parameters(), shapes.multiply_adds()))
            .collect();
        for gap in [None, Some(2_000), Some(20_000), Some(60_000)] {
            for madds in [None, Some(20_000), Some(200_000), Some(900_000)] {
                let limits = Limits { params: gap, madds };
                let within: HashSet<&Architecture> = all
                    .iter()
                    .zip(&sizes)
                    .filter(|(_, (params, madds))| limits.hold(*params, *madds))
                    .map(|(net, _)| net)
                    .collect();
                let Ok(mask) = mask(&space, gap, madds) else {
                    assert!(within.is_empty(), "{limits:?}");
                    continue;
                };
                assert_eq!(mask.count(), Some(within.len() as u128), "{limits:?}");
                let mut seen = HashSet::new();
                for episode in 0..20_000 {
                    let mut chance = Stream::new(1, "sample", episode);
                    let epsilon = Epsilon::new(if episode % 2 == 0 { 1.0 } else { 0.3 }).unwrap();
                    let net = space.architecture(&mask.sample(&space, &q, epsilon, &mut chance));
                    assert!(within.contains(&net) && mask.holds(&net), "{limits:?}: {net}");
                    seen.insert(net);
                }
                assert_eq!(seen.len(), within.len(), "{limits:?}");
            }
        }
    }

    #[test]
    fn nothing_within_the_limits_says_what_the_least_would_be() {
        let space = space(3);
        let error = mask(&space, Some(3), None).unwrap_err();
        let sizes = space
            .all()
            .into_iter()
            .map(|net| Shapes::of(&net, INPUT, GapHead::Direct, PoolRule::True).unwrap());
        let (params, madds): (Vec<u64>, Vec<u64>) =
            sizes.map(|shapes| (shapes.parameters(), shapes.multiply_adds())).unzip();
        let least = (params.into_iter().min(), madds.into_iter().min());
        assert_eq!((Some(error.params), Some(error.madds)), least);
        assert!(mask(&space, Some(error.params), None).is_ok());
        assert!(mask(&space, Some(error.params - 1), None).is_err());
        assert!(mask(&space, None, Some(error.madds - 1)).is_err());
    }

    /// Limits that exclude nothing change nothing: the same choices from the same stream.
    #[test]
    fn wide_limits_are_none() {
        let space = Space::new(&SpaceConfig::paper(12), 32, 10).unwrap();
        let q = QTable::new(space.pair_count(), 0.5);
        let limits = Limits { params: Some(u64::MAX), madds: Some(u64::MAX) };
        let input = Map { channels: 3, side: 32 };
        let mask = Mask::new(&space, limits, (input, 10), GapHead::Direct).unwrap();
        assert_eq!(mask.count(), None);
        for episode in 0..200 {
            let epsilon = Epsilon::new(0.5).unwrap();
            let stream = || Stream::new(7, "sample", episode);
            let plain = policy::sample(&space, &q, epsilon, &mut stream());
            assert_eq!(mask.sample(&space, &q, epsilon, &mut stream()), plain);
        }
    }
}
