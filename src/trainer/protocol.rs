//! The messages between qtrail and a trainer: JSON objects, one a line, UTF-8.
//!
//! `schema/trainer.md` is the reference for whoever writes a trainer of their own. qtrail speaks
//! first; the trainer answers with the id of the request it works on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use super::attack::{
    CraftRequest, CraftedAnswer, Member, MemoryAnswer, ModelRequest, NetworkRequest, ScoreRequest,
    ScoredAnswer,
};
use crate::arch::Architecture;
pub use crate::config::recipe::WeightsOf;
use crate::config::recipe::{Precision, Recipe};
pub use crate::events::{FailedReason, Fit, PredictedPart};

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
    /// The weights to start from; unset: from scratch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<InitialRequest>,
    /// Whether a checkpoint is wanted after each epoch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checkpoints: bool,
    /// The checkpoint to go on from; unset: from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<ResumeRequest>,
    /// Whether class probabilities of the validation and the test images are wanted at the end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub predict: bool,
}

/// Weights to start from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitialRequest {
    /// A weights file, as a trainer left it.
    pub file: PathBuf,
    /// Numbers, from 1, of the layers to take over; the other ones begin as always.
    pub layers: Vec<u16>,
    /// So many layers from the first on are not to be trained.
    pub freeze: u16,
}

/// A checkpoint to go on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeRequest {
    /// The file, as a trainer left it.
    pub file: PathBuf,
    /// Restarts before it, from 0.
    pub restart: u32,
    /// The epoch after which it was made.
    pub epoch: u32,
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
    /// Side in pixels to which all images are resampled, as `schema/trainer.md` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<u32>,
    /// Whether the set's extra images follow those of its training part.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extra: bool,
    /// Seed that draws the test images of pictures that lie in no folder of a part.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seed: u64,
    /// Which of both to train on.
    #[serde(default)]
    pub fit: Fit,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
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
    /// All that is needed to go on after the epoch just reported is in a file.
    Checkpoint {
        /// The request's id.
        id: u64,
        /// Restarts before it, from 0.
        restart: u32,
        /// The epoch.
        epoch: u32,
        /// Name of the file in the staging folder.
        file: String,
    },
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
        /// `machine`: a file or a device failed. The attempt then does not count, and qtrail stops
        /// until the fault is dealt with. Unset: anything else; the attempt counts as lost.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<ErrorCause>,
        /// The error number of the operating system, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        errno: Option<i32>,
    },
}

impl Answer {
    /// The request that it answers; none if it introduces the trainer.
    #[must_use]
    pub const fn id(&self) -> Option<u64> {
        match self {
            Self::Hello(_) => None,
            Self::Progress { id, .. }
            | Self::Checkpoint { id, .. }
            | Self::Failed { id, .. }
            | Self::Error { id, .. } => Some(*id),
            Self::Epoch(epoch) => Some(epoch.id),
            Self::Finished(finished) => Some(finished.id),
            Self::Crafted(crafted) => Some(crafted.id),
            Self::Scored(scored) => Some(scored.id),
        }
    }
}

/// What a trainer's error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCause {
    /// The machine: no space, an input/output error, a missing or read-only folder.
    Machine,
    /// Anything else, also what a later version of the protocol may name.
    #[serde(other)]
    Other,
}

/// Longest program, library and instruction set names, in bytes: they are recorded.
pub const NAME_MAX: usize = 200;
/// Most devices of a trainer.
pub const DEVICES_MAX: usize = 64;
/// Longest name of a device, in bytes.
pub const DEVICE_MAX: usize = 32;

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
    /// Those of the devices that have instructions for bfloat16; on the others it is emulated. Unset:
    /// it cannot train in bfloat16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bf16: Option<Vec<String>>,
}

/// How a trainer computes in a precision on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// By instructions of the device.
    Native,
    /// By other instructions: slower than single precision.
    Emulated,
}

impl Hello {
    /// How it trains in `precision` on `device`; `None` if it does not say that it can.
    #[must_use]
    pub fn arithmetic(&self, device: &str, precision: Precision) -> Option<Arithmetic> {
        let native = match (precision, &self.bf16) {
            (Precision::F32, _) => true,
            (Precision::Bf16, Some(devices)) => devices.iter().any(|native| native == device),
            (Precision::Bf16, None) => return None,
        };
        Some(if native { Arithmetic::Native } else { Arithmetic::Emulated })
    }

    /// Whether this can be recorded and printed. Names of devices become names of lock files.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let names = [("program", &self.program), ("library", &self.library), ("isa", &self.isa)];
        for (what, name) in names {
            let length = name.len();
            if length > NAME_MAX {
                return Err(format!(
                    "names a {what} of {length} bytes; at most {NAME_MAX} are taken"
                ));
            }
            if name.chars().any(char::is_control) {
                return Err(format!("names a {what} with control characters: {name:?}"));
            }
        }
        if self.program.trim().is_empty() {
            return Err("does not name its program".into());
        }
        if self.devices.is_empty() {
            return Err("names no device to train on".into());
        }
        let count = self.devices.len();
        if count > DEVICES_MAX {
            return Err(format!("names {count} devices; at most {DEVICES_MAX} are taken"));
        }
        let safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:-".contains(c);
        let sound =
            |name: &&String| (1..=DEVICE_MAX).contains(&name.len()) && name.chars().all(safe);
        if let Some(name) = self.devices.iter().find(|name| !sound(name)) {
            let name = super::cut(name.clone(), NAME_MAX);
            return Err(format!(
                "names a device {name:?}; names have 1 to {DEVICE_MAX} of the characters \
                 a-z, 0-9, `:`, `_` and `-`, as `cpu` and `cuda:0`"
            ));
        }
        let mut bf16 = self.bf16.iter().flatten();
        match bf16.find(|name| !self.devices.contains(name)) {
            None => Ok(()),
            Some(name) => {
                let name = super::cut(name.clone(), NAME_MAX);
                Err(format!("says that {name:?} has bf16, which is none of its devices"))
            }
        }
    }
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
    /// Class probabilities by the weights that were left, if they were wanted.
    #[serde(default)]
    pub predictions: Vec<PredictionAnswer>,
}

/// Class probabilities of a set of images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictionAnswer {
    /// Which images.
    pub part: PredictedPart,
    /// Name of the file in the staging folder: images x classes, row-major, little-endian f32.
    pub file: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut Hello);

    fn hello() -> Hello {
        Hello {
            protocol: PROTOCOL,
            program: "p 1".into(),
            library: String::new(),
            devices: vec!["cuda:0".into(), "cpu".into()],
            isa: "avx2".into(),
            threads: 2,
            bf16: Some(vec!["cuda:0".into()]),
        }
    }

    #[test]
    fn a_hello_is_checked_before_anything_of_it_is_used() {
        assert_eq!(hello().check(), Ok(()));
        let wrong: [(Change, &str); 12] = [
            (|h| h.program = "p".repeat(201), "a program of 201 bytes"),
            (|h| h.program = " ".into(), "does not name its program"),
            (|h| h.program = "p\u{1b}]0;x\u{7}".into(), "control characters"),
            (|h| h.library = "l".repeat(4000), "a library of 4000 bytes"),
            (|h| h.isa = "a\nb".into(), "control characters"),
            (|h| h.devices.clear(), "no device"),
            (|h| h.devices = vec!["cpu".into(); 65], "65 devices"),
            (|h| h.devices[0] = "../../tmp/x".into(), "a device"),
            (|h| h.devices[0] = "d".repeat(33), "a device"),
            (|h| h.devices[0] = "x\n".into(), "a device"),
            (|h| h.devices[0] = String::new(), "a device"),
            (|h| h.bf16 = Some(vec!["d".repeat(999)]), "has bf16"),
        ];
        for (change, expected) in wrong {
            let mut hello = hello();
            change(&mut hello);
            let error = hello.check().unwrap_err();
            assert!(error.contains(expected) && error.len() < 600, "{error}");
        }
    }

    #[test]
    fn a_trainer_says_where_it_has_bf16() {
        let hello = hello();
        let of = |device| hello.arithmetic(device, Precision::Bf16);
        assert_eq!(of("cuda:0"), Some(Arithmetic::Native));
        assert_eq!(of("cpu"), Some(Arithmetic::Emulated));
        assert_eq!(hello.arithmetic("cpu", Precision::F32), Some(Arithmetic::Native));
        let text = r#"{"protocol":1,"program":"p 1","devices":["cpu"]}"#;
        let silent: Hello = serde_json::from_str(text).unwrap();
        assert_eq!(silent.arithmetic("cpu", Precision::Bf16), None);
        assert_eq!(silent.arithmetic("cpu", Precision::F32), Some(Arithmetic::Native));
    }

    #[test]
    fn the_cause_of_an_error_is_optional_and_unknown_ones_are_no_mistake() {
        let read = |text: &str| match serde_json::from_str(text).unwrap() {
            Answer::Error { cause, errno, .. } => (cause, errno),
            other => panic!("{other:?}"),
        };
        let plain = r#"{"type":"error","id":1,"message":"no"}"#;
        assert_eq!(read(plain), (None, None));
        let answer = Answer::Error { id: 1, message: "no".into(), cause: None, errno: None };
        assert_eq!(serde_json::to_string(&answer).unwrap(), plain);
        let with = |more: &str| read(&plain.replace('}', more));
        assert_eq!(
            with(r#","cause":"machine","errno":28}"#),
            (Some(ErrorCause::Machine), Some(28))
        );
        assert_eq!(with(r#","cause":"moon"}"#), (Some(ErrorCause::Other), None));
    }
}
