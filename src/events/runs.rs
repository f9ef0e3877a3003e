//! Facts about training outside of a search: runs, what their models make of images, and the
//! checkpoints by which a long training goes on where it stopped.

use serde::{Deserialize, Serialize};

use super::ids::{Hash, Scope};
use super::kinds::DataFacts;
use crate::arch::Architecture;

/// A training run outside any search begins. Its models follow in the same batch as `run-model`
/// events, its configuration as `config-part` events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// What it is for.
    pub purpose: Purpose,
    /// Number of `run-model` events that follow.
    pub models: u16,
    /// How often each model is trained, each time with another seed.
    pub repeats: u32,
    /// What people call the recipe; empty if it is the configuration's own.
    pub recipe: String,
    /// Which images are trained on.
    pub fit: Fit,
    /// What the trained models are shown afterwards, if anything.
    pub predicted: Option<Predicted>,
    /// Seed of training.
    pub seed: u64,
    /// Name of the scheme of [`crate::chance`].
    pub chance: String,
    /// The images.
    pub data: DataFacts,
    /// The folder they were in.
    pub folder: String,
    /// Hash of the configuration text.
    pub config: Hash,
    /// Number of `config-part` events that follow.
    pub config_parts: u16,
    /// Threads on a CPU.
    pub threads: u32,
    /// Program name and version.
    pub program: String,
}

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// One architecture, given by hand.
    #[default]
    Train,
    /// The best of a search, trained long.
    Final,
    /// An architecture of one data set on another.
    Transfer,
}

impl Purpose {
    /// For tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Final => "final",
            Self::Transfer => "transfer",
        }
    }
}

/// Which images are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Fit {
    /// The training images of the split.
    #[default]
    #[serde(rename = "train")]
    Train,
    /// Those to validate on too: then a validation accuracy says nothing about new images.
    #[serde(rename = "train+val")]
    TrainAndValidation,
}

impl Fit {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::TrainAndValidation => "train+val",
        }
    }
}

impl std::str::FromStr for Fit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "train" => Ok(Self::Train),
            "train+val" => Ok(Self::TrainAndValidation),
            _ => Err(format!("`{text}` is neither `train` nor `train+val`")),
        }
    }
}

/// The images of which class probabilities are recorded. True labels are artifacts: one byte an
/// image, in the order of the split and of the test part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predicted {
    /// Artifact with the labels of the validation images.
    pub validation_labels: Hash,
    /// Hash of the test part (images, then labels).
    pub test: Hash,
    /// Images in it.
    pub test_images: u32,
    /// Artifact with their labels.
    pub test_labels: Hash,
}

/// A model of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunModel {
    /// From 0.
    pub index: u16,
    /// What is trained.
    pub architecture: Architecture,
    /// The trial it was taken from.
    pub source: Option<Source>,
    /// The weights it starts from; none: from scratch.
    pub initial: Option<Initial>,
}

/// The trial that a model was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its search or run.
    pub scope: Scope,
    /// Its ordinal there.
    pub trial: u32,
}

/// Weights that a model starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Initial {
    /// Artifact with the weights.
    pub weights: Hash,
    /// Numbers, from 1, of the layers taken over; the other ones begin anew.
    pub layers: Vec<u16>,
    /// So many layers from the first on are not trained.
    pub freeze: u16,
}

/// A training run is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFinished {
    /// Trials in it.
    pub trials: u32,
}

/// What the weights that stand for a trial make of a set of images. Recorded in the same batch as,
/// and before, the end of the trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictionsRecorded {
    /// The trial's ordinal.
    pub trial: u32,
    /// The attempt.
    pub attempt: u32,
    /// Which images.
    pub part: PredictedPart,
    /// How many.
    pub images: u32,
    /// Number of classes.
    pub classes: u32,
    /// Images whose likeliest class (the first of equals) is the true one.
    pub correct: u32,
    /// Artifact with the probabilities: images x classes, row-major, little-endian f32, in the
    /// order of the split or of the test part.
    pub probabilities: Hash,
    /// Artifact with the true labels: one byte an image, in the same order.
    pub labels: Hash,
}

/// Images that a trained model is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PredictedPart {
    /// The validation images of the split.
    Validation,
    /// The test part of the data set.
    Test,
}

impl PredictedPart {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Validation, Self::Test];

    /// For tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// All that a training needs to go on after an epoch is kept. It stands until it is released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointKept {
    /// The trial's ordinal.
    pub trial: u32,
    /// The attempt.
    pub attempt: u32,
    /// Restarts before it, from 0.
    pub restart: u32,
    /// The epoch after which it was made.
    pub epoch: u32,
    /// The artifact.
    pub artifact: Hash,
}

/// Where an attempt goes on: after this epoch of an earlier one, whose epochs so far count as its
/// own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continues {
    /// The earlier attempt.
    pub attempt: u32,
    /// Restarts before the epoch.
    pub restart: u32,
    /// The epoch.
    pub epoch: u32,
}
