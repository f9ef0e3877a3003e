//! Facts about series: the same search carried out several times, each with a seed of its own.

use serde::{Deserialize, Serialize};

use super::kinds::Outcome;

/// A search is one of a series. In the batch that begins the search, so that a series is never
/// there without a search. A search is the same in a series and on its own: operational.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesJoined {
    /// From 1 in its store.
    pub series: u32,
    /// What people call the series; may be empty.
    pub name: String,
    /// Which of the searches it is, from 1.
    pub repetition: u32,
    /// Searches in the series once it is complete.
    pub repeats: u32,
    /// The seed that the seeds of the searches come from, at (seed, `repeat`, repetition).
    pub seed: u64,
    /// Whether a trial takes over the result of an equal one of an earlier repetition.
    pub reuse_trials: bool,
}

/// A trial was not trained: its result is that of an equal trial (architecture, recipe, images) of
/// an earlier repetition, whose training had another seed. It counts like one of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialReused {
    /// The trial's ordinal.
    pub trial: u32,
    /// Number of the search whose trial was trained; a number of the store, in no digest.
    pub search: u32,
    /// Which of the series that search is, from 1.
    pub repetition: u32,
    /// The ordinal of the trial there.
    pub of: u32,
    /// What came of it. Its weights are kept there, not here.
    pub outcome: Outcome,
    /// Epochs done in the last restart.
    pub epochs: u32,
    /// Restarts used.
    pub restarts: u32,
}
