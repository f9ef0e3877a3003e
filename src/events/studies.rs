//! Facts about studies: what came of learning again from a history under other rules.
//!
//! A study belongs to the store, not to a search: a search is the same whether it was studied or
//! not. So these kinds are operational, and in no digest. Nothing of a study counts before its
//! closing event.

use serde::{Deserialize, Serialize};

/// A study is being recorded. Its rows follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudyStarted {
    /// From 1 in its store; those that were never finished have numbers too.
    pub study: u32,
    /// What people call it; not that of another study that is finished.
    pub name: String,
    /// What was done: `replay` or `simulate`.
    pub kind: String,
    /// The search it is about: `s1`; empty if it is about none.
    pub search: String,
    /// The last event it knew of.
    pub position: u64,
    /// Its settings, TOML: enough to do it again.
    pub settings: String,
    /// Rows that follow.
    pub rows: u32,
    /// Program name and version.
    pub program: String,
}

impl StudyStarted {
    /// Most bytes of a name.
    pub const NAME: usize = 100;
    /// Most bytes of settings.
    pub const SETTINGS: usize = 3_500;
}

/// What came of one policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyRow {
    /// Number of the study.
    pub study: u32,
    /// From 0.
    pub row: u32,
    /// The policy, as it is written.
    pub policy: String,
    /// Seeds it was run under; 0 if all give the same.
    pub seeds: u32,
    /// What the Q-table would choose; empty if nothing.
    pub greedy: String,
    /// Numbers, by name.
    pub figures: Vec<StudyFigure>,
}

/// A number of a study, over its seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyFigure {
    /// What it is called.
    pub name: String,
    /// Its mean, if there is such a number.
    pub mean: Option<f64>,
    /// Its standard deviation, if there are two or more.
    pub sd: Option<f64>,
    /// Lower end of its 95 % interval, if it has one.
    pub low: Option<f64>,
    /// Upper end of that.
    pub high: Option<f64>,
}

/// A study is complete: from here on it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudyFinished {
    /// Number of the study.
    pub study: u32,
    /// Rows in it.
    pub rows: u32,
}
