//! Facts about attacks: images crafted against models, and what models made of them.
//!
//! What is recorded is the finest fact that is cheap: for each image the rank of its true class and
//! a few confidences, never a rate. Accuracies, destruction rates and transfer matrices are queries.
//!
//! An attack has a pool of images of the test part (in the order in which they were drawn), victims
//! (models, which are also the judges), specifications (how images are crafted) and transformations
//! (what happens to an image before a judge sees it). All four are numbered from 0 within the
//! attack, images by their place in the pool.

use serde::{Deserialize, Serialize};

use super::ids::{Hash, Scope};
use super::subject::{Subject, place};

/// An attack begins. Its configuration (`config-part`), pool, victims, specifications and
/// transformations follow, as many as it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackStarted {
    /// What people call it; may be empty.
    pub name: String,
    /// `kurakin2017`, `small` or `custom`.
    pub protocol: String,
    /// Seed of all draws: the pool, random targets and starts, noise, samples of tables.
    pub seed: u64,
    /// Name of the scheme of [`crate::chance`].
    pub chance: String,
    /// The images.
    pub data: AttackData,
    /// The folder they were in.
    pub folder: String,
    /// Hash of the pool: indices into the test part, each a u32 in little-endian, in drawn order.
    pub pool: Hash,
    /// Images in the pool.
    pub images: u32,
    /// Number of `pool-part` events that follow.
    pub pool_parts: u16,
    /// Images of a micro-batch; the last one may be smaller. At most [`ImagesCrafted::IMAGES`].
    pub batch: u16,
    /// Number of `attack-victim` events that follow.
    pub victims: u16,
    /// Number of `attack-specified` events that follow.
    pub specifications: u16,
    /// Number of `attack-transformation` events that follow.
    pub transformations: u16,
    /// Images that will be crafted: victims × specifications that craft some × images.
    pub to_craft: u64,
    /// Scores that will be recorded, one an image.
    pub to_score: u64,
    /// Hash of the configuration text.
    pub config: Hash,
    /// Number of `config-part` events that follow.
    pub config_parts: u16,
    /// Threads a trainer computes with on a CPU.
    pub threads: u32,
    /// Program name and version.
    pub program: String,
}

/// Which images an attack sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackData {
    /// Name of the data set.
    pub name: String,
    /// Hash of the test part (images, then labels).
    pub content: Hash,
    /// Colour channels.
    pub channels: u32,
    /// Side in pixels.
    pub side: u32,
    /// Number of classes of the images; a model may have more (`attack-outputs`).
    pub classes: u32,
    /// Images in the test part.
    pub images: u32,
}

/// A model that is attacked, and judges images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackVictim {
    /// From 0, without gaps, in its attack.
    pub victim: u16,
    /// What it is.
    pub what: Victim,
    /// For people: `t17`, the name of an ensemble or of a file.
    pub label: String,
    /// What it is made of, in the notation of architectures; empty if that is not known.
    pub architecture: String,
    /// Hashes of its weights, a member each; of a TorchScript file the hash of the file.
    pub weights: Vec<Hash>,
}

/// How many classes a model tells apart, where that is not the number of classes of the images.
/// Follows the `attack-victim` that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackOutputs {
    /// The model.
    pub victim: u16,
    /// Its outputs: ranks and targets are among them.
    pub outputs: u32,
}

/// What kind of model a victim is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Victim {
    /// A trained model of this store.
    Trial(TrialOf),
    /// Several, whose probabilities are averaged.
    Ensemble {
        /// Its name; may be empty.
        name: String,
        /// At most [`AttackVictim::MEMBERS`].
        members: Vec<TrialOf>,
    },
    /// A file that others made.
    Torchscript {
        /// Its name, without folders.
        file: String,
    },
}

impl AttackVictim {
    /// Most members of an ensemble.
    pub const MEMBERS: usize = 64;
}

/// A trial as the log knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialOf {
    /// Its search or run.
    pub scope: Scope,
    /// Its ordinal there.
    pub trial: u32,
}

/// How images are crafted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackSpecified {
    /// From 0, without gaps, in its attack.
    pub spec: u16,
    /// `fast`, `basic`, `least-likely`, `least-likely-step`, `random-target`; `random-noise`, after which
    /// nothing is crafted.
    pub method: String,
    /// Largest change of a pixel value, of 255.
    pub eps: u16,
    /// Hash of the text: results can be compared if it is the same.
    pub hash: Hash,
    /// All settings, canonical TOML; at most [`AttackSpecified::BYTES`] bytes.
    pub text: String,
}

impl AttackSpecified {
    /// Most bytes of text.
    pub const BYTES: usize = 3_500;
}

/// What happens to images before a judge sees them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttackTransformation {
    /// From 0, without gaps, in its attack; 0 is the identity.
    pub transformation: u16,
    /// `identity`, `brightness`, `contrast`, `blur`, `noise`, `jpeg`, `camera` …
    pub name: String,
    /// How much of it.
    pub parameter: f64,
    /// Times it is done to each image: more than one only if it is random.
    pub repeats: u16,
    /// Whether each time gives another image.
    pub random: bool,
    /// Its definition, canonical TOML; at most [`AttackSpecified::BYTES`] bytes.
    pub text: String,
}

/// Images of the pool. All parts follow the beginning of the attack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolPart {
    /// Place of the first one in the pool.
    pub first: u32,
    /// Indices into the test part, in drawn order; at most [`PoolPart::IMAGES`].
    pub indices: Vec<u32>,
    /// The true class of each, as the images number classes.
    pub labels: Vec<u16>,
}

impl PoolPart {
    /// Most images in one event.
    pub const IMAGES: usize = 500;
}

/// A micro-batch was crafted after one specification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImagesCrafted {
    /// The model it was crafted against.
    pub victim: u16,
    /// How.
    pub spec: u16,
    /// Place of the first image in the pool.
    pub first: u32,
    /// Iterations that were run.
    pub iterations: u16,
    /// The packed differences; all specifications of one micro-batch may share an artifact.
    pub artifact: Hash,
    /// In the order of the pool; at most [`ImagesCrafted::IMAGES`].
    pub images: Vec<CraftedImage>,
    /// For each image, values whose gradient was NaN or infinite in the first iteration; unset if
    /// there are none. Since version 2.
    pub invalid_gradient: Option<Vec<u32>>,
}

impl ImagesCrafted {
    /// Most images in one event.
    pub const IMAGES: usize = 100;

    /// Images of one specification follow each other.
    pub(super) fn subject(&self) -> Subject {
        place(u32::from(self.victim) + 1, u32::from(self.spec) + 1).at(self.first)
    }

    /// Values of an image whose gradient was NaN or infinite in the first iteration.
    #[must_use]
    pub fn invalid(&self, image: usize) -> u32 {
        let counts = self.invalid_gradient.as_ref();
        counts.and_then(|counts| counts.get(image)).copied().unwrap_or(0)
    }
}

/// What was done to one image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CraftedImage {
    /// The output aimed at; that of the true class if the attack only moves away from it.
    pub target: u16,
    /// Largest change of a value, of 255.
    pub linf: u8,
    /// Euclidean length of the change, in values of 0 to 255.
    pub l2: f32,
    /// Values (pixels × channels) that changed.
    pub changed: u32,
    /// Values whose gradient was exactly 0 in the first iteration.
    pub zero_gradient: u32,
    /// Loss of the label that the attack uses, on the clean image.
    pub loss_before: f32,
    /// The same on the crafted image.
    pub loss_after: f32,
}

/// What one judge made of a micro-batch, clean or crafted, after one transformation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImagesScored {
    /// The victim whose model looked.
    pub judge: u16,
    /// What crafted the images; nothing if they are clean.
    pub source: Option<Crafting>,
    /// What happened to them first.
    pub transformation: u16,
    /// Which time, from 0.
    pub repeat: u16,
    /// Place of the first image in the pool.
    pub first: u32,
    /// In the order of the pool; at most [`ImagesScored::IMAGES`].
    pub images: Vec<ScoredImage>,
}

impl ImagesScored {
    /// Most images in one event.
    pub const IMAGES: usize = 200;

    /// Images of one judge and source follow each other: clean ones first.
    pub(super) fn subject(&self) -> Subject {
        let source = self.source.map_or(0, |Crafting { victim, spec }| {
            (u32::from(victim) << 16 | u32::from(spec)).saturating_add(1)
        });
        let how = u64::from(self.transformation) << 16 | u64::from(self.repeat);
        let index = how << 32 | u64::from(self.first);
        place(u32::from(self.judge) + 1, source).at(index)
    }
}

/// What crafted an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Crafting {
    /// The model it was crafted against.
    pub victim: u16,
    /// How.
    pub spec: u16,
}

/// What a model made of one image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoredImage {
    /// Classes ranked above the true one (higher score, or the same and a lower index): it is among
    /// the k likeliest if this is below k. [`ScoredImage::NONE`] if the scores were not finite.
    pub rank: u16,
    /// The output ranked first.
    pub top1: u16,
    /// Its probability.
    pub p_top1: f32,
    /// The probability of the true class.
    pub p_true: f32,
    /// Classes ranked above the one the attack aimed at; of a clean image above the least likely
    /// one, which is the number of classes less one.
    pub target_rank: u16,
    /// [`ScoredImage::NOT_FINITE`], [`ScoredImage::DROPPED`].
    pub flags: u8,
}

impl ScoredImage {
    /// A rank where there is none: wrong for every k.
    pub const NONE: u16 = u16::MAX;
    /// Some score was infinite or not a number: the image counts as wrong.
    pub const NOT_FINITE: u8 = 1;
    /// The image was lost on the way (a photograph that could not be read): it counts in no sum.
    pub const DROPPED: u8 = 2;
}

/// An attack is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackFinished {
    /// Images crafted.
    pub crafted: u64,
    /// Scores recorded.
    pub scored: u64,
}

/// A trainer works on an attack from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackTrainer {
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads on a CPU.
    pub threads: u32,
    /// Trainer program and version.
    pub trainer: String,
    /// Numerical library and version.
    pub library: String,
    /// Instruction set of its CPU kernels.
    pub isa: String,
    /// Host name.
    pub host: String,
}

impl Victim {
    /// Without what counts per store or tells of a machine: the weights say which model it is.
    pub(super) fn clear(&mut self) {
        const NO_TRIAL: TrialOf = TrialOf { scope: Scope::Store, trial: 0 };
        match self {
            Self::Trial(trial) => *trial = NO_TRIAL,
            Self::Ensemble { name, members } => {
                name.clear();
                members.clear();
            }
            Self::Torchscript { file } => file.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::super::codec::encode;
    use super::*;

    /// As many images as an event may have, with numbers as long as they get, fit its 4 KiB.
    #[test]
    fn the_largest_events_fit() {
        let crafted = CraftedImage {
            target: u16::MAX,
            linf: u8::MAX,
            l2: f32::MAX,
            changed: u32::MAX,
            zero_gradient: u32::MAX,
            loss_before: f32::NAN,
            loss_after: f32::INFINITY,
        };
        let crafted = ImagesCrafted {
            victim: u16::MAX,
            spec: u16::MAX,
            first: u32::MAX,
            iterations: u16::MAX,
            artifact: Hash([255; 32]),
            images: vec![crafted; ImagesCrafted::IMAGES],
            invalid_gradient: Some(vec![u32::MAX; ImagesCrafted::IMAGES]),
        };
        let scored = ScoredImage {
            rank: u16::MAX,
            top1: u16::MAX,
            p_top1: 1.0,
            p_true: 0.0,
            target_rank: u16::MAX,
            flags: u8::MAX,
        };
        let scored = ImagesScored {
            judge: u16::MAX,
            source: Some(Crafting { victim: u16::MAX, spec: u16::MAX }),
            transformation: u16::MAX,
            repeat: u16::MAX,
            first: u32::MAX,
            images: vec![scored; ImagesScored::IMAGES],
        };
        let part = PoolPart {
            first: u32::MAX,
            indices: vec![u32::MAX; PoolPart::IMAGES],
            labels: vec![u16::MAX; PoolPart::IMAGES],
        };
        let member = TrialOf { scope: Scope::Search(u32::MAX), trial: u32::MAX };
        let members = vec![member; AttackVictim::MEMBERS];
        let victim = AttackVictim {
            victim: u16::MAX,
            what: Victim::Ensemble { name: "n".repeat(200), members },
            label: "n".repeat(200),
            architecture: String::new(),
            weights: vec![Hash([255; 32]); AttackVictim::MEMBERS],
        };
        let events: [Event; 4] = [crafted.into(), scored.into(), part.into(), victim.into()];
        for event in events {
            let name = event.kind().name;
            let payload = encode(i64::MAX, Scope::Attack(u32::MAX), &event);
            assert!(payload.is_ok(), "{name}: {payload:?}");
        }
    }
}
