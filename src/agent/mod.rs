//! The agent: state space, Q-table, epsilon-greedy policy, schedule, replay. Pure.
//!
//! A [`Training`] is a job that the engine carries out: a [`search::Search`] or a [`run::Run`]. It takes
//! chance from addressed streams only.

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
pub use crate::events::job::{Decision, Impossible, Job};
use crate::events::{DataFacts, Fit, Initial, Predicted};
use trials::Status;

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

/// A job whose tasks are trials, named by their ordinals: a search or a run.
pub trait Training: Job<Task = u32> + std::fmt::Debug {
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

#[cfg(test)]
mod tests;
