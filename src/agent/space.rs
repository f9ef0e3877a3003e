//! The state space: which layer may follow which (Baker et al. 2017, section 4.1; the authors'
//! code, `state_enumerator.py`, with its pool rule repaired).
//!
//! A state is a layer with its depth and the *bin* of the map's side: over 7, 4 to 7, up to 3. The
//! true side is kept beside it while an architecture is built, so that pooling is deterministic in
//! truth and hidden by the bin. States and pairs (state, action) have dense ids in order of
//! discovery, and the actions of a state lie next to each other: Q-values are one slice a state.

use std::collections::HashMap;
use std::ops::Range;

use crate::arch::{Architecture, Layer, PoolRule, shape::pool_side};
use crate::config::space::{SpaceConfig, SpaceError};

/// The kind of layer a state stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Before the first layer.
    Start,
    /// After a convolution.
    Conv,
    /// After pooling.
    Pool,
    /// After global average pooling.
    GlobalAverage,
    /// After a fully connected layer.
    Full,
}

impl Kind {
    /// The name in the authors' files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Conv => "conv",
            Self::Pool => "pool",
            Self::GlobalAverage => "gap",
            Self::Full => "fc",
        }
    }
}

/// A state, as the authors' tuple without `terminate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// What was placed last.
    pub kind: Kind,
    /// Layers placed so far.
    pub depth: u32,
    /// Filters of a convolution; 1 at the start; for FC the number of FC layers before it.
    pub filters: u32,
    /// Field of a convolution or pooling layer.
    pub field: u32,
    /// Stride of a convolution or pooling layer.
    pub stride: u32,
    /// Bin of the map's side: 8, 4 or 1. FC and GAP have bin 1.
    pub bin: u32,
    /// Width of a fully connected layer.
    pub width: u32,
}

impl State {
    const START: Self =
        Self { kind: Kind::Start, depth: 0, filters: 1, field: 0, stride: 0, bin: 0, width: 0 };
}

/// What may be done in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Place softmax: the architecture is complete.
    Terminate,
    /// Place this layer.
    Place(Layer),
}

/// Dense id of a state.
pub type StateId = u32;
/// Dense id of a (state, action) pair.
pub type PairId = u32;

/// The pairs from start to softmax: one transition a layer.
pub type Trajectory = Vec<PairId>;

/// The bin of a map's side, named by its lower edge (Baker et al. 2017, section 4.1).
#[must_use]
pub fn bin(side: u32) -> u32 {
    match side {
        8.. => 8,
        4..=7 => 4,
        _ => 1,
    }
}

/// A place while an architecture is built: the state, and the truth its bin hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The state by which Q-values are looked up.
    pub state: StateId,
    /// True side of the map in pixels; 1 once it is flat.
    pub side: u32,
}

/// Most pairs of a space. The largest of the papers has 6,656; a configuration in somebody
/// else's log may ask for hundreds of millions.
const PAIRS_MAX: usize = 500_000;
/// Most actions looked at while a space is explored: each state is met with several true sides.
const STEPS_MAX: usize = 10_000_000;

/// All states that can be reached, with their actions.
#[derive(Debug, Clone)]
pub struct Space {
    side: u32,
    classes: u32,
    states: Vec<State>,
    /// `first[s]..first[s + 1]` are the pairs of state `s`.
    first: Vec<PairId>,
    actions: Vec<Action>,
    /// The state of each pair.
    owners: Vec<StateId>,
    /// Where each action leads, by bin of the side afterwards; absent for `Terminate`.
    next: HashMap<(PairId, u32), StateId>,
    architectures: u128,
}

impl Space {
    /// Enumerates the space for images of `side` pixels in `classes` classes.
    ///
    /// # Errors
    /// [`SpaceError`] naming the first setting outside its range, or that the space is too large.
    pub fn new(config: &SpaceConfig, side: u32, classes: u32) -> Result<Self, SpaceError> {
        config.check(side, classes)?;
        let mut space = Self {
            side,
            classes,
            states: Vec::new(),
            first: vec![0],
            actions: Vec::new(),
            owners: Vec::new(),
            next: HashMap::new(),
            architectures: 0,
        };
        space.explore(config)?;
        space.architectures = space.count(space.start(), &mut HashMap::new());
        Ok(space)
    }

    /// Breadth first over (state, true side); a state's actions follow from the state alone.
    fn explore(&mut self, config: &SpaceConfig) -> Result<(), SpaceError> {
        let mut ids: HashMap<State, StateId> = HashMap::new();
        let start = State { bin: bin(self.side), ..State::START };
        let mut queue = vec![(start, self.side)];
        let mut seen: std::collections::HashSet<_> = queue.iter().copied().collect();
        self.discover(start, &mut ids);
        // States get their pairs in order of discovery; a queue keeps that order.
        let (mut head, mut steps) = (0, 0);
        while let Some(&(state, side)) = queue.get(head) {
            head += 1;
            let id = ids[&state];
            if id as usize + 1 == self.first.len() {
                self.add_actions(state, config);
            }
            steps += self.pairs(id).len();
            if self.actions.len() > PAIRS_MAX || steps > STEPS_MAX {
                return Err(SpaceError {
                    rule: "space: at most 500000 pairs of state and action; lower layer-limit, or name \
                           fewer filters, fields, pools or widths",
                });
            }
            for pair in self.pairs(id).map(self::id) {
                let Some((after, side)) = step(state, side, self.action(pair)) else { continue };
                let to = self.discover(after, &mut ids);
                self.next.insert((pair, after.bin), to);
                if seen.insert((after, side)) {
                    queue.push((after, side));
                }
            }
        }
        Ok(())
    }

    fn discover(&mut self, state: State, ids: &mut HashMap<State, StateId>) -> StateId {
        *ids.entry(state).or_insert_with(|| {
            self.states.push(state);
            id(self.states.len() - 1)
        })
    }

    fn add_actions(&mut self, state: State, config: &SpaceConfig) {
        let owner = id(self.first.len() - 1);
        self.actions.extend(actions(state, config, self.classes));
        self.owners.resize(self.actions.len(), owner);
        self.first.push(id(self.actions.len()));
    }

    fn count(&self, place: Place, memo: &mut HashMap<Place, u128>) -> u128 {
        if let Some(&known) = memo.get(&place) {
            return known;
        }
        let mut total = 0;
        for pair in self.pairs(place.state) {
            total += match self.follow(place, id(pair)) {
                Some(next) => self.count(next, memo),
                None => 1,
            };
        }
        memo.insert(place, total);
        total
    }

    /// Number of states (the terminal one, which has no actions, is not counted).
    #[must_use]
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// Number of (state, action) pairs.
    #[must_use]
    pub fn pair_count(&self) -> usize {
        self.actions.len()
    }

    /// Number of architectures that can be sampled.
    #[must_use]
    pub fn architectures(&self) -> u128 {
        self.architectures
    }

    /// Side of the images in pixels.
    #[must_use]
    pub fn side(&self) -> u32 {
        self.side
    }

    /// Where every architecture begins.
    #[must_use]
    pub fn start(&self) -> Place {
        Place { state: 0, side: self.side }
    }

    /// The pairs of a state, in stored order, as a range of ids.
    #[must_use]
    pub fn pairs(&self, state: StateId) -> Range<usize> {
        self.first[state as usize] as usize..self.first[state as usize + 1] as usize
    }

    /// The action of a pair.
    #[must_use]
    pub fn action(&self, pair: PairId) -> Action {
        self.actions[pair as usize]
    }

    /// The state of a pair.
    #[must_use]
    pub fn owner(&self, pair: PairId) -> StateId {
        self.owners[pair as usize]
    }

    /// Where a pair leads from a place, or `None` if it terminates.
    #[must_use]
    pub fn follow(&self, place: Place, pair: PairId) -> Option<Place> {
        let state = self.states[place.state as usize];
        let (after, side) = step(state, place.side, self.action(pair))?;
        Some(Place { state: self.next[&(pair, after.bin)], side })
    }

    /// The architecture of a complete trajectory.
    ///
    /// # Panics
    /// If the trajectory did not come from this space.
    #[must_use]
    pub fn architecture(&self, trajectory: &[PairId]) -> Architecture {
        let placed = trajectory.iter().filter_map(|&pair| match self.action(pair) {
            Action::Place(layer) => Some(layer),
            Action::Terminate => None,
        });
        let softmax = Layer::Softmax { classes: self.classes };
        #[expect(clippy::expect_used, reason = "the rules of the space are stricter")]
        Architecture::new(placed.chain([softmax]).collect()).expect("a trajectory is legal")
    }

    /// The trajectory that samples an architecture, or `None` if it is not in the space.
    #[must_use]
    pub fn trajectory(&self, architecture: &Architecture) -> Option<Trajectory> {
        let (last, layers) = architecture.layers().split_last()?;
        if *last != (Layer::Softmax { classes: self.classes }) {
            return None;
        }
        let mut place = self.start();
        let mut trajectory = Vec::with_capacity(layers.len() + 1);
        for &layer in layers {
            let pair = self.find(place.state, Action::Place(layer))?;
            place = self.follow(place, pair)?;
            trajectory.push(pair);
        }
        trajectory.push(self.find(place.state, Action::Terminate)?);
        Some(trajectory)
    }

    /// Every architecture that can be sampled, in stored order: a state's actions one after the
    /// other, what follows from one before the next.
    #[must_use]
    pub fn all(&self) -> Vec<Architecture> {
        let (mut all, mut trajectory) = (Vec::new(), Vec::new());
        self.visit(self.start(), &mut trajectory, &mut all);
        all
    }

    fn visit(&self, place: Place, trajectory: &mut Trajectory, all: &mut Vec<Architecture>) {
        for pair in self.pairs(place.state).map(id) {
            trajectory.push(pair);
            match self.follow(place, pair) {
                Some(next) => self.visit(next, trajectory, all),
                None => all.push(self.architecture(trajectory)),
            }
            trajectory.pop();
        }
    }

    fn find(&self, state: StateId, action: Action) -> Option<PairId> {
        self.pairs(state).map(id).find(|&pair| self.action(pair) == action)
    }
}

/// Ids fit: a space has at most [`PAIRS_MAX`] pairs.
fn id(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// The legal actions of a state, in the authors' order.
fn actions(state: State, config: &SpaceConfig, classes: u32) -> Vec<Action> {
    let mut actions = vec![Action::Terminate];
    if state.depth >= config.layer_limit {
        return actions;
    }
    let mut place = |layer| actions.push(Action::Place(layer));
    let open = matches!(state.kind, Kind::Start | Kind::Conv | Kind::Pool);
    if open {
        for &filters in &config.filters {
            for &field in config.fields.iter().filter(|&&field| field < state.bin) {
                place(Layer::Conv { filters, field, stride: 1 });
            }
        }
        place(Layer::GlobalAverage { classes });
    }
    if state.kind == Kind::Conv {
        for &(field, stride) in config.pools.iter().filter(|(field, _)| *field < state.bin) {
            place(Layer::Pool { field, stride });
        }
    }
    let full_before = if state.kind == Kind::Full { state.filters + 1 } else { 0 };
    let full = (open && state.bin <= 4) || state.kind == Kind::Full;
    if full && full_before < config.max_full {
        let widest = if state.kind == Kind::Full { state.width } else { u32::MAX };
        for &width in config.widths.iter().filter(|&&width| width >= classes && width <= widest) {
            place(Layer::Full { width });
        }
    }
    actions
}

/// The state and true side after an action, or `None` after `Terminate`.
fn step(state: State, side: u32, action: Action) -> Option<(State, u32)> {
    let Action::Place(layer) = action else { return None };
    let flat = State { depth: state.depth + 1, bin: 1, ..State::START };
    Some(match layer {
        Layer::Conv { filters, field, stride } => {
            (State { kind: Kind::Conv, filters, field, stride, bin: bin(side), ..flat }, side)
        }
        Layer::Pool { field, stride } => {
            // A field below the bin is below the side, so the window always fits.
            let side = pool_side(side, field, stride, PoolRule::True)?;
            (State { kind: Kind::Pool, filters: 0, field, stride, bin: bin(side), ..flat }, side)
        }
        Layer::GlobalAverage { .. } => (State { kind: Kind::GlobalAverage, filters: 0, ..flat }, 1),
        Layer::Full { width } => {
            let before = if state.kind == Kind::Full { state.filters + 1 } else { 0 };
            (State { kind: Kind::Full, filters: before, width, ..flat }, 1)
        }
        Layer::Softmax { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(side: u32, limit: u32) -> (usize, usize, u128) {
        let space = Space::new(&SpaceConfig::paper(limit), side, 10).unwrap();
        (space.states().len(), space.pair_count(), space.architectures())
    }

    /// Every number is within its range, and there would be 200 million pairs.
    #[test]
    fn a_space_too_large_for_memory_is_refused() {
        let config = SpaceConfig {
            layer_limit: 60,
            filters: (1..=32).collect(),
            fields: (0..32).map(|n| 2 * n + 1).collect(),
            pools: (2..=33).map(|n| (n, n)).collect(),
            widths: (1..=32).rev().map(|n| 16 * n).collect(),
            max_full: 8,
        };
        let error = Space::new(&config, 4096, 10).map(|space| space.pair_count()).unwrap_err();
        assert!(error.rule.contains("500000"), "{error}");
    }

    #[test]
    fn sizes_of_the_papers_spaces() {
        assert_eq!(size(32, 12), (349, 4_058, 57_869_407_275_938));
        assert_eq!(size(28, 12), (351, 4_068, 53_501_710_400_882));
        assert_eq!(size(32, 18), (565, 6_656, 282_710_031_500_590_500_770));
    }

    fn small(limit: u32, pools: &[(u32, u32)], widths: &[u32]) -> SpaceConfig {
        SpaceConfig {
            layer_limit: limit,
            filters: vec![8, 16],
            fields: vec![1, 3],
            pools: pools.to_vec(),
            widths: widths.to_vec(),
            max_full: 2,
        }
    }

    #[test]
    fn sizes_of_small_spaces() {
        let count = |config: &SpaceConfig| Space::new(config, 28, 10).unwrap().architectures();
        assert_eq!(count(&small(4, &[(4, 4), (2, 2)], &[32])), 1_042);
        assert_eq!(count(&small(3, &[(3, 2), (2, 2)], &[32])), 186);
    }

    #[test]
    fn a_small_space_is_listed_in_full() {
        let space = Space::new(&small(3, &[(3, 2), (2, 2)], &[32]), 28, 10).unwrap();
        let all = space.all();
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!((all.len(), distinct.len()), (186, 186));
        assert_eq!(all[0].to_string(), "[SM(10)]");
        assert!(all.iter().all(|net| space.trajectory(net).is_some()));
    }

    /// Fan-out by kind and bin, as the authors' data has it.
    #[test]
    fn fan_out() {
        let space = Space::new(&SpaceConfig::paper(12), 32, 10).unwrap();
        for (index, state) in space.states().iter().enumerate() {
            let fan_out = space.pairs(id(index)).len();
            let expected = match (state.kind, state.bin) {
                _ if state.depth == 12 => 1,
                (Kind::Start, _) => 14,
                (Kind::Conv, 8) => 17,
                (Kind::Conv, _) => 15,
                (Kind::Pool, 8) => 14,
                (Kind::Pool, 4) => 13,
                (Kind::Pool, _) => 5,
                (Kind::GlobalAverage, _) => 1,
                (Kind::Full, _) if state.filters == 1 => 1,
                (Kind::Full, _) => match state.width {
                    128 => 2,
                    256 => 3,
                    _ => 4,
                },
            };
            assert_eq!(fan_out, expected, "{state:?}");
        }
    }

    #[test]
    fn trajectories_and_architectures_are_inverse() {
        let space = Space::new(&SpaceConfig::paper(12), 32, 10).unwrap();
        let net: Architecture =
            "[C(64,3,1), P(5,3), C(64,3,1), P(3,2), FC(512), FC(128), SM(10)]".parse().unwrap();
        let trajectory = space.trajectory(&net).unwrap();
        assert_eq!(space.architecture(&trajectory), net);
        let bins: Vec<_> =
            trajectory.iter().map(|&pair| space.states()[space.owner(pair) as usize].bin).collect();
        assert_eq!(bins, [8, 8, 8, 8, 4, 1, 1]);
        for illegal in ["[P(2,2), SM(10)]", "[FC(128), SM(10)]", "[C(64,7,1), SM(10)]", "[SM(9)]"] {
            assert_eq!(space.trajectory(&illegal.parse().unwrap()), None, "{illegal}");
        }
    }
}
