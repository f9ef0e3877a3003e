//! The agent: state space, Q-table, epsilon-greedy policy, schedule, replay. Pure.
//!
//! A [`Job`] is what the engine carries out: a [`search::Search`] or a [`run::Run`]. It decides
//! and folds; it does no IO, reads no clock, and takes chance from addressed streams only.

pub mod foreign;
pub mod fork;
pub mod limits;
pub mod memory;
pub mod policy;
pub mod qtable;
pub mod replay;
pub mod run;
pub mod search;
pub mod space;
pub mod trials;

use crate::config::SearchConfig;
use crate::events::{DataFacts, Event, Fit, Fold, Hash, Initial, Predicted};
use trials::Status;

/// What happens next.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Record this batch.
    Record(Vec<Event>),
    /// Give the trial of this ordinal to an idle trainer.
    Train(u32),
    /// Nothing can be decided before a running trial ends.
    Wait,
    /// All is done.
    Done,
}

/// How a trial is trained, beyond its recipe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// On which images.
    pub fit: Fit,
    /// From which weights; none: from scratch.
    pub initial: Option<Initial>,
    /// What the trained network is shown, if anything.
    pub predicted: Option<Predicted>,
    /// Whether it can be interrupted after any epoch, and goes on from there.
    pub by_epoch: bool,
}

/// Something the engine carries out, event by event.
pub trait Job: Fold<Error = Impossible> + std::fmt::Debug {
    /// What happens next; `idle` says whether a trainer is free.
    fn decide(&self, idle: bool) -> Decision;

    /// Its trials.
    fn trials(&self) -> &trials::Trials;

    /// What it was told.
    fn config(&self) -> &SearchConfig;

    /// The images it sees.
    fn data(&self) -> &DataFacts;

    /// The folder they were in when it began.
    fn folder(&self) -> &str;

    /// Threads a trainer computes with on a CPU.
    fn threads(&self) -> u32;

    /// Whether nothing is left to do.
    fn is_finished(&self) -> bool;

    /// The search, if it is one.
    fn as_search(&self) -> Option<&search::Search> {
        None
    }

    /// How the trial of this ordinal is trained.
    fn terms(&self, _ordinal: u32) -> Terms {
        Terms::default()
    }

    /// The validation accuracy of the trial of this ordinal: that of the epoch that counts. `None` if
    /// it has none: it did not end, it failed, or it was trained on the validation images too.
    fn accuracy(&self, ordinal: u32) -> Option<f64> {
        let Status::Finished(outcome) = &self.trials().get(ordinal)?.status else { return None };
        let held_out = self.terms(ordinal).fit == Fit::Train;
        held_out.then(|| self.config().reward.accuracy.accuracy(outcome)).flatten()
    }

    /// Trials to be trained in all, as far as that is known.
    fn planned_models(&self) -> u32;
}

/// A history that cannot have happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// An event that cannot follow what came before.
    #[error("{event} cannot follow what came before: {why}")]
    Event {
        /// Name of the kind.
        event: &'static str,
        /// The rule it breaks.
        why: &'static str,
    },
    /// Learning again from the recorded draws gives another Q-table.
    #[error("the Q-table after episode {episode} is {found}, recorded was {recorded}")]
    Digest {
        /// The episode.
        episode: u32,
        /// The digest in the log.
        recorded: Hash,
        /// The digest found.
        found: Hash,
    },
}

impl Impossible {
    fn of(event: &Event, why: &'static str) -> Self {
        Self::Event { event: event.kind().name, why }
    }
}

#[cfg(test)]
mod tests;
