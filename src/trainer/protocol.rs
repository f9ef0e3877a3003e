//! The messages between qtrail and a trainer: JSON objects, one a line, UTF-8.
//!
//! `schema/trainer.md` is the reference for whoever writes a trainer of their own. qtrail speaks
//! first; the trainer answers with the id of the request it works on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use super::attack::{
    CraftRequest, CraftedAnswer, Member, ModelRequest, NetworkRequest, ScoreRequest, ScoredAnswer,
};
use crate::arch::Architecture;
use crate::config::recipe::Recipe;
pub use crate::config::recipe::WeightsOf;
pub use crate::events::FailedReason;

/// Version of the protocol. A trainer that speaks another one is refused.
pub const PROTOCOL: u32 = 1;
/// Longest line accepted from a trainer, in bytes.
pub const LINE_MAX: usize = 64 * 1024;

/// What qtrail asks of a trainer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Request {
    /// The first line: who is there?
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
    },
    /// Train a network.
    Train(Box<TrainRequest>),
    /// Craft images against a model.
    Craft(Box<CraftRequest>),
    /// Judge images by a model.
    Score(Box<ScoreRequest>),
}

/// Train this architecture with this recipe and seed on this data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainRequest {
    /// Repeated in every answer.
    pub id: u64,
    /// The network, in the papers' notation.
    pub architecture: Architecture,
    /// How to train it.
    pub recipe: Recipe,
    /// Decides initial weights, order of images and dropout.
    pub seed: u64,
    /// The images.
    pub data: DataRequest,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads to compute with on a CPU.
    pub threads: u32,
    /// The epoch whose weights are wanted: best (earliest of equals) or last.
    pub weights: WeightsOf,
    /// Folder in which the trainer leaves files. qtrail takes them from there.
    pub staging: PathBuf,
}

/// Which images to train on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRequest {
    /// Name of the data set, for messages.
    pub name: String,
    /// Folder with the files of the data set.
    pub folder: PathBuf,
    /// Colour channels of an image.
    pub channels: u32,
    /// Side of an image in pixels.
    pub side: u32,
    /// Number of classes.
    pub classes: u32,
    /// File with the split: little-endian u32 count of training images, count of validation
    /// images, then the indices of both within the training part of the data set.
    pub split: PathBuf,
}

/// What a trainer answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Answer {
    /// The answer to [`Request::Hello`].
    Hello(Hello),
    /// Still at work; at least one line of any kind every 10 s of work.
    Progress {
        /// The request's id.
        id: u64,
        /// Epoch, from 1.
        epoch: u32,
        /// Batches done in this epoch.
        batch: u32,
        /// Batches in an epoch.
        batches: u32,
    },
    /// An epoch ended.
    Epoch(EpochAnswer),
    /// Training ended well.
    Finished(FinishedAnswer),
    /// Images were crafted.
    Crafted(CraftedAnswer),
    /// Images were judged.
    Scored(ScoredAnswer),
    /// This architecture cannot be trained: a fact about the architecture.
    Failed {
        /// The request's id.
        id: u64,
        /// Why.
        reason: FailedReason,
        /// For people.
        message: String,
    },
    /// The trainer could not do as asked: a fact about the machine or the request.
    Error {
        /// The request's id.
        id: u64,
        /// For people.
        message: String,
    },
}

/// Who a trainer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol it speaks.
    pub protocol: u32,
    /// Program name and version.
    pub program: String,
    /// Numerical library and version.
    #[serde(default)]
    pub library: String,
    /// Devices it can train on, best first: `cuda:0`, `cpu`.
    pub devices: Vec<String>,
    /// Instruction set its CPU kernels use.
    #[serde(default)]
    pub isa: String,
    /// Threads it would use on a CPU if not told otherwise.
    #[serde(default)]
    pub threads: u32,
}

/// Counts at the end of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochAnswer {
    /// The request's id.
    pub id: u64,
    /// Restarts before this attempt, from 0.
    pub restart: u32,
    /// Epoch, from 1.
    pub epoch: u32,
    /// Learning rate in this epoch.
    pub learning_rate: f64,
    /// Mean loss over the training images as they were seen.
    pub train_loss: f64,
    /// Training images that were right as they were seen.
    pub train_correct: u32,
    /// Training images.
    pub train_total: u32,
    /// Mean loss over the validation images.
    pub validation_loss: f64,
    /// Validation images that were right.
    pub validation_correct: u32,
    /// Validation images.
    pub validation_total: u32,
    /// Duration of the epoch with its evaluation.
    pub seconds: f64,
}

/// The end of a successful training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FinishedAnswer {
    /// The request's id.
    pub id: u64,
    /// Weights and biases trained, as the trainer counts them.
    pub parameters: u64,
    /// Name of the weights file in the staging folder (safetensors), if it left one.
    #[serde(default)]
    pub weights: Option<String>,
    /// Peak memory in bytes, 0 if unknown.
    #[serde(default)]
    pub peak_memory: u64,
}
