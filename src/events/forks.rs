//! Facts about forks, searches that begin with what another one experienced, and about schedules
//! that are extended.
//!
//! A fork stands on its own: what it inherits is copied into its events, so that it can be carried
//! on, learned from and compared without its source. Where that is in the store is for people, and
//! in no digest. The first event of a fork is `fork-started`, before `search-started`: whoever
//! reads the log from its beginning knows from the first event on that nothing of this search
//! counts before its `fork-finished`.

use serde::{Deserialize, Serialize};

use super::kinds::Outcome;
use crate::arch::Architecture;

/// A search is being forked. `search-started`, its configuration, what it inherits and the ends of
/// the phases that are over follow, in the order in which they happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkStarted {
    /// The search it is forked from: `s1`.
    pub source: String,
    /// The last event it knows of.
    pub position: u64,
    /// Experiences that follow.
    pub episodes: u32,
}

/// Experiences that a fork begins with, in the order in which they were recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inherited {
    /// Number of the first of them, from 0; its episode in the fork is one more.
    pub first: u32,
    /// As many as an event holds.
    pub experiences: Vec<InheritedExperience>,
}

/// An experience of another search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InheritedExperience {
    /// Its episode there.
    pub episode: u32,
    /// Phase of the schedule, from 0.
    pub phase: u16,
    /// Share of random actions.
    pub epsilon: f64,
    /// What was sampled.
    pub architecture: Architecture,
    /// Ordinal there of the trial that answered it.
    pub trial: u32,
    /// What came of that; its weights stay with it.
    pub outcome: Outcome,
    /// The reward, as recorded.
    pub reward: f64,
}

impl Inherited {
    /// Bytes of one event that experiences may take.
    const BYTES: usize = 3_600;
    /// Most bytes of an experience besides its architecture.
    const REST: usize = 60;

    /// Cuts experiences into events; `first` is the number of the first of them.
    #[must_use]
    pub fn cut(first: u32, experiences: Vec<InheritedExperience>) -> Vec<Self> {
        let (mut parts, mut bytes): (Vec<Self>, usize) = (Vec::new(), 0);
        for (number, one) in (first..).zip(experiences) {
            let size = one.architecture.to_string().len() + Self::REST;
            bytes += size;
            match parts.last_mut().filter(|_| bytes <= Self::BYTES) {
                Some(part) => part.experiences.push(one),
                None => {
                    parts.push(Self { first: number, experiences: vec![one] });
                    bytes = size;
                }
            }
        }
        parts
    }
}

/// A fork has all it inherits: from here on it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkFinished {
    /// Experiences inherited.
    pub episodes: u32,
    /// Distinct architectures among them.
    pub trials: u32,
}

/// Phases are added to the schedule of a finished search, which goes on with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleExtended {
    /// The number of the first of them, from 0.
    pub phase: u16,
    /// At most [`ScheduleExtended::PHASES`].
    pub phases: Vec<AddedPhase>,
}

impl ScheduleExtended {
    /// Most phases in one event.
    pub const PHASES: usize = 200;
}

/// A phase that is added to a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AddedPhase {
    /// Share of random actions.
    pub epsilon: f64,
    /// New architectures to train.
    pub models: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::codec::encode;
    use crate::events::{FailedReason, Scope};

    /// Whatever is inherited, no event is too large, and none is left out.
    #[test]
    fn experiences_are_cut_into_events_that_fit() {
        let long = format!("[{}SM(10)]", "C(512,11,1), ".repeat(30));
        let one = |number: u32| InheritedExperience {
            episode: u32::MAX - number,
            phase: u16::MAX,
            epsilon: 0.7,
            architecture: if number.is_multiple_of(3) { &long } else { "[SM(10)]" }
                .parse()
                .unwrap(),
            trial: u32::MAX,
            outcome: match number % 2 {
                0 => Outcome::Failed { reason: FailedReason::Chance, message: String::new() },
                _ => Outcome::Trained {
                    best_epoch: u32::MAX,
                    best_correct: u32::MAX,
                    last_correct: u32::MAX,
                    total: u32::MAX,
                    weights: None,
                    kept: false,
                },
            },
            reward: 0.1,
        };
        let all: Vec<_> = (0..500).map(one).collect();
        let parts = Inherited::cut(7, all.clone());
        assert!(parts.len() > 10);
        let mut next = 7;
        for part in &parts {
            assert_eq!(part.first, next);
            next += u32::try_from(part.experiences.len()).unwrap();
            let bytes = encode(i64::MAX, Scope::Search(u32::MAX), &part.clone().into()).unwrap();
            assert!(bytes.bytes.len() <= 4_096, "{}", bytes.bytes.len());
        }
        assert_eq!(parts.into_iter().flat_map(|part| part.experiences).collect::<Vec<_>>(), all);
        assert!(Inherited::cut(0, Vec::new()).is_empty());
    }
}
