//! The messages of attacks: crafting images and judging them.
//!
//! Images and numbers go through files, since a line holds little: images are bytes (image after
//! image, in it channel after channel, row after row), logits are f32 and counts u32, both
//! little-endian. The trainer differentiates and evaluates, nothing else: what its answers mean,
//! and whether they can be, is worked out by qtrail.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::protocol::DataRequest;
use crate::adversary::range::InputRange;
use crate::adversary::sweep::Chain;
use crate::arch::Architecture;
use crate::config::recipe::{Precision, Recipe};

/// A model: one network, or several whose probabilities are averaged. Its logits are then the
/// logarithms of the mean probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelRequest {
    /// At least one.
    pub members: Vec<Member>,
    /// Colour channels of an image.
    pub channels: u32,
    /// Side of an image in pixels.
    pub side: u32,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Member {
    /// One that a trainer left.
    Network(Box<NetworkRequest>),
    /// A TorchScript file. It gets images of its input range, count x channels x side x side, and
    /// gives logits, count x classes.
    Torchscript {
        /// The file.
        file: PathBuf,
        /// What it expects in the place of bytes; the conversion is differentiated too.
        #[serde(default, rename = "input-range", skip_serializing_if = "InputRange::is_bytes")]
        input: InputRange,
    },
}

/// A network that a trainer left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkRequest {
    /// The network, in the papers' notation.
    pub architecture: Architecture,
    /// How it was trained: how it is built, and what happens to pixels.
    pub recipe: Recipe,
    /// The weights file (safetensors).
    pub weights: PathBuf,
    /// What it was trained on: statistics of these images are part of what happens to pixels.
    pub data: DataRequest,
}

/// Craft images against a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CraftRequest {
    /// Repeated in every answer.
    pub id: u64,
    /// The model, in evaluation mode.
    pub model: ModelRequest,
    /// File with the clean images, then one block of first iterates for each chain that has a
    /// random start, in their order.
    pub images: PathBuf,
    /// Images.
    pub count: u32,
    /// The true class of each.
    pub labels: Vec<u16>,
    /// The class that random targets aim at, for each; may be empty if no chain does.
    pub targets: Vec<u16>,
    /// What to do; every end becomes a block of the answer, in the order of their `spec`.
    pub chains: Vec<Chain>,
    /// What gradients are computed in.
    pub dtype: Precision,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads to compute with on a CPU.
    pub threads: u32,
    /// Folder in which the trainer leaves files.
    pub staging: PathBuf,
    /// Whether the memory that it takes is wanted too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub measure: bool,
}

/// Judge images by a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreRequest {
    /// Repeated in every answer.
    pub id: u64,
    /// The model, in evaluation mode.
    pub model: ModelRequest,
    /// File with the images.
    pub images: PathBuf,
    /// Images.
    pub count: u32,
    /// Images evaluated at once.
    pub batch: u32,
    /// What is computed in.
    pub dtype: Precision,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads to compute with on a CPU.
    pub threads: u32,
    /// Folder in which the trainer leaves files.
    pub staging: PathBuf,
}

/// Images were crafted. The names are those of files in the staging folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CraftedAnswer {
    /// The request's id.
    pub id: u64,
    /// The crafted images, a block for each end.
    pub images: String,
    /// Logits: of the clean images, then of each block.
    pub logits: String,
    /// Values whose gradient was exactly 0 in the first iteration: for each chain, for each image.
    pub zeros: String,
    /// Values whose gradient was NaN or infinite in the first iteration: the same.
    pub invalid: String,
    /// Classes of the model.
    pub classes: u32,
    /// The memory that it took, if that was asked for and is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryAnswer>,
}

/// Memory of a device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryAnswer {
    /// The most that was in use: of a CPU by the trainer alone, of a GPU by all who use it.
    pub peak: u64,
    /// What is free.
    pub free: u64,
}

/// Images were judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoredAnswer {
    /// The request's id.
    pub id: u64,
    /// Name of the file with the logits.
    pub logits: String,
    /// Classes of the model.
    pub classes: u32,
    /// Which of several outputs of the model these are, for people; unset if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}
