//! Facts about ensembles: which trained models decide together.

use serde::{Deserialize, Serialize};

use super::runs::Source;

/// An ensemble was given a name. It belongs to the store, not to a search: operational.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnsembleSaved {
    /// From 1 in its store.
    pub ensemble: u32,
    /// What people call it; not that of another ensemble.
    pub name: String,
    /// Its members, each once, at most [`EnsembleSaved::MEMBERS`].
    pub members: Vec<EnsembleMember>,
    /// How they are combined: mean, geometric, vote or weighted.
    pub combine: String,
    /// How they were chosen: `greedy:5 by val`.
    pub chosen: String,
    /// The last event that was known then.
    pub position: u64,
    /// Validation images, and how many of them it decides wrongly; none if a member was fitted to
    /// them.
    pub validation: Option<Decided>,
    /// The same for test images.
    pub test: Option<Decided>,
    /// Program name and version.
    pub program: String,
}

impl EnsembleSaved {
    /// Most members.
    pub const MEMBERS: usize = 60;
}

/// A member of an ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EnsembleMember {
    /// The trial.
    pub trial: Source,
    /// Its weight among those of the others.
    pub weight: f64,
}

/// Images, and how many of them were decided wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// Decided wrongly.
    pub wrong: u32,
    /// All.
    pub images: u32,
}
