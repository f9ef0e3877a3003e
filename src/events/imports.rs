//! Facts about imports: a search that somebody else carried out, taken over from their files.
//!
//! The first event of an import is `import-started`, before `search-started`: whoever reads the
//! log from its beginning knows from the first event on that nothing of this search counts before
//! its `import-finished`.

use serde::{Deserialize, Serialize};

use super::ids::Hash;
use crate::arch::Architecture;
use crate::arch::dropout::DropoutRule;

/// A foreign log is being taken over as a search. `search-started` and its configuration follow in
/// the same batch; nothing of them counts before `import-finished`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportStarted {
    /// What the file is: `metaqnn`.
    pub format: String,
    /// Its name.
    pub file: String,
    /// Hash of its bytes.
    pub content: Hash,
    /// Rows in it.
    pub rows: u32,
    /// Name of the file with Q-values, if there is one.
    pub q_file: Option<String>,
    /// Hash of its bytes.
    pub q_content: Option<Hash>,
    /// Pairs in it.
    pub pairs: u32,
}

/// One row of a foreign log: an architecture that was sampled, with what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportedRow {
    /// From 0, without gaps, as the authors' tools count.
    pub row: u32,
    /// Line of the file it begins on, from 1.
    pub line: u32,
    /// What was sampled.
    pub architecture: Architecture,
    /// The rule its dropout marks follow; `None` if none that is known.
    pub dropout: Option<DropoutRule>,
    /// Highest validation accuracy: the reward.
    pub best: f64,
    /// Iteration of it; 0 if training failed.
    pub best_iteration: u32,
    /// Validation accuracy at the end.
    pub last: f64,
    /// Iteration of it.
    pub last_iteration: u32,
    /// Highest test accuracy, if there was one.
    pub best_test: Option<f64>,
    /// Test accuracy at the end, if there was one.
    pub last_test: Option<f64>,
    /// Number of the update of the Q-table that followed; equal for rows of one batch.
    pub update: u32,
    /// Share of random actions.
    pub epsilon: f64,
    /// When it was finished, in seconds since 1970; 0 if unknown.
    pub time_finished: f64,
    /// The machine it ran on.
    pub machine: String,
    /// Whether training failed: what is recorded is what failing was worth.
    pub failed: bool,
    /// Why it counts for nothing, if so.
    pub quarantine: Option<String>,
}

impl ImportedRow {
    /// Most bytes of the name of a machine or a reason.
    pub const BYTES: usize = 200;
}

/// Q-values of a foreign search, in the order of their file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportedQ {
    /// Number of the first of them, from 0.
    pub first: u32,
    /// At most [`ImportedQ::PAIRS`].
    pub pairs: Vec<ImportedPair>,
}

impl ImportedQ {
    /// Most pairs in one event.
    pub const PAIRS: usize = 50;
}

/// A foreign state, an action as the state it leads to, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ImportedPair {
    /// Where the action is taken.
    pub start: ForeignState,
    /// What it leads to, with the size of `start` where the layer keeps it to itself.
    pub end: ForeignState,
    /// The Q-value.
    pub value: f64,
}

/// A state as the authors write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ForeignState {
    /// The kind of layer.
    pub layer_type: LayerType,
    /// Layers placed so far.
    pub layer_depth: u16,
    /// Filters; of a fully connected layer the number of those before it.
    pub filter_depth: u16,
    /// Field.
    pub filter_size: u16,
    /// Stride.
    pub stride: u16,
    /// Size of the map, or the bin that stands for it.
    pub image_size: u16,
    /// Width of a fully connected layer.
    pub fc_size: u16,
    /// Whether it ends the architecture.
    pub terminate: bool,
}

/// The kinds of layers that the authors' states know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerType {
    /// Before the first layer.
    Start,
    /// A convolution.
    Conv,
    /// Pooling.
    Pool,
    /// Global average pooling.
    Gap,
    /// A fully connected layer.
    Fc,
}

impl LayerType {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Start, Self::Conv, Self::Pool, Self::Gap, Self::Fc];

    /// The name in the authors' files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Conv => "conv",
            Self::Pool => "pool",
            Self::Gap => "gap",
            Self::Fc => "fc",
        }
    }
}

/// An import is complete: from here on it counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportFinished {
    /// Rows that count.
    pub episodes: u32,
    /// Distinct architectures among them.
    pub trials: u32,
    /// Architectures among them that occur more than once.
    pub repeated: u32,
    /// Repeated architectures whose accuracies differ.
    pub conflicts: u32,
    /// Rows that count for nothing.
    pub quarantined: u32,
    /// Repeated architectures whose accuracies would differ if those rows counted too.
    pub conflicts_with_quarantined: u32,
    /// Update numbers that are missing between the first and the last; the first
    /// [`ImportFinished::MISSING`] of them.
    pub missing: Vec<u32>,
    /// Pairs of the Q-table whose state or action is not in the space.
    pub foreign_pairs: u32,
}

impl ImportFinished {
    /// Most missing numbers that are listed.
    pub const MISSING: usize = 500;
}
