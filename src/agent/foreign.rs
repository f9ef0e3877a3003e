//! States and actions as the authors write them: tuples. An action is the tuple it leads to, but
//! with the bin of the state it starts from (1 for layers that flatten).

use std::collections::HashMap;

use super::space::{Action, Kind, PairId, Space, State};
use crate::arch::Layer;
use crate::events::{ForeignState, ImportedPair, LayerType};

/// The tuple by which the authors name an action, and whether it ends the architecture.
#[must_use]
pub fn target(state: State, action: Action) -> (State, bool) {
    let depth = state.depth + 1;
    let Action::Place(layer) = action else { return (State { depth, ..state }, true) };
    let blank = State { depth, filters: 0, field: 0, stride: 0, width: 0, ..state };
    let next = match layer {
        Layer::Conv { filters, field, stride } => {
            State { kind: Kind::Conv, filters, field, stride, ..blank }
        }
        Layer::Pool { field, stride } => State { kind: Kind::Pool, field, stride, ..blank },
        Layer::GlobalAverage { .. } => State { kind: Kind::GlobalAverage, bin: 1, ..blank },
        Layer::Full { width } => {
            let filters = if state.kind == Kind::Full { state.filters + 1 } else { 0 };
            State { kind: Kind::Full, filters, width, bin: 1, ..blank }
        }
        Layer::Softmax { .. } => return (blank, true),
    };
    (next, false)
}

/// A state as the authors' tuple; `None` if a number is larger than theirs can be.
#[must_use]
pub fn tuple(state: State, terminate: bool) -> Option<ForeignState> {
    let small = |number: u32| u16::try_from(number).ok();
    Some(ForeignState {
        layer_type: match state.kind {
            Kind::Start => LayerType::Start,
            Kind::Conv => LayerType::Conv,
            Kind::Pool => LayerType::Pool,
            Kind::GlobalAverage => LayerType::Gap,
            Kind::Full => LayerType::Fc,
        },
        layer_depth: small(state.depth)?,
        filter_depth: small(state.filters)?,
        filter_size: small(state.field)?,
        stride: small(state.stride)?,
        image_size: small(state.bin)?,
        fc_size: small(state.width)?,
        terminate,
    })
}

/// The pairs of a space by the authors' tuples.
#[derive(Debug)]
pub struct Keys(HashMap<(ForeignState, ForeignState), PairId>);

impl Keys {
    /// The keys of a space.
    #[must_use]
    pub fn of(space: &Space) -> Self {
        let pairs = 0..u32::try_from(space.pair_count()).unwrap_or(u32::MAX);
        let key = |pair: PairId| {
            let state = space.states()[space.owner(pair) as usize];
            let (next, terminate) = target(state, space.action(pair));
            Some(((tuple(state, false)?, tuple(next, terminate)?), pair))
        };
        Self(pairs.filter_map(key).collect())
    }

    /// The pair of the space that a foreign one is; `None` for one that the space does not have.
    #[must_use]
    pub fn find(&self, pair: &ImportedPair) -> Option<PairId> {
        self.0.get(&(pair.start, pair.end)).copied()
    }
}

/// The layer that a foreign action places, as it is written; `classes` stands in GAP and SM.
#[must_use]
pub fn action_name(end: &ForeignState, classes: u32) -> String {
    let ForeignState { filter_depth, filter_size, stride, fc_size, .. } = end;
    if end.terminate {
        return "SM".to_owned();
    }
    match end.layer_type {
        LayerType::Start => "start".to_owned(),
        LayerType::Conv => format!("C({filter_depth},{filter_size},{stride})"),
        LayerType::Pool => format!("P({filter_size},{stride})"),
        LayerType::Gap => format!("GAP({classes})"),
        LayerType::Fc => format!("FC({fc_size})"),
    }
}
