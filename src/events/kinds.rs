//! The kinds of events, each in its newest version.
//!
//! `schema/events.toml` registers them; numbers are never reused. A field that tells of the
//! machine rather than of the science (time, duration, host, device, threads, versions, attempt)
//! is cleared by [`Event::logical`] before a digest is taken.

use serde::{Deserialize, Serialize};

use super::attacks::{
    AttackFinished, AttackOutputs, AttackSpecified, AttackStarted, AttackTrainer,
    AttackTransformation, AttackVictim, ImagesCrafted, ImagesScored, PoolPart,
};
use super::ensembles::EnsembleSaved;
use super::forks::{ForkFinished, ForkStarted, Inherited, ScheduleExtended};
use super::ids::Hash;
use super::imports::{ImportFinished, ImportStarted, ImportedQ, ImportedRow};
use super::registry::{Class, Kind, kinds};
use super::repairs::LogRepaired;
use super::runs::{
    CheckpointKept, Continues, PredictionsRecorded, RunFinished, RunModel, RunStarted,
};
use super::series::{SeriesJoined, TrialReused};
use super::studies::{StudyFinished, StudyRow, StudyStarted};
use super::subject::{Subject, attempt, end, episode, epoch_number, part, place, trial};
use crate::arch::Architecture;

kinds! {
    1 SearchStarted "search-started" version 1 Logical,
    2 ConfigPart "config-part" version 1 Logical |of| part(of.index),
    3 EpisodeSampled "episode-sampled" version 1 Logical |of| episode(of.episode),
    4 TrialPlanned "trial-planned" version 1 Logical |of| trial(of.trial).asked_by(of.episode),
    5 AttemptStarted "attempt-started" version 4 Operational |of| attempt(of.trial, of.attempt),
    6 EpochFinished "epoch-finished" version 1 Logical |of| attempt(of.trial, of.attempt).at(epoch_number(of.restart, of.epoch)),
    7 TrialFinished "trial-finished" version 1 Logical |of| attempt(of.trial, of.attempt),
    8 AttemptLost "attempt-lost" version 1 Operational |of| attempt(of.trial, of.attempt),
    9 TrialLost "trial-lost" version 1 Logical |of| trial(of.trial),
    10 ExperienceRecorded "experience-recorded" version 1 Logical |of| episode(of.episode),
    11 ReplayUpdated "replay-updated" version 1 Logical |of| episode(of.episode),
    12 PhaseEnded "phase-ended" version 1 Logical |of| place(of.episode, u32::MAX).at(of.phase),
    13 SearchFinished "search-finished" version 1 Logical |of| end().at(of.episodes),
    14 Resumed "resumed" version 1 Operational,
    15 RunStarted "run-started" version 1 Logical,
    16 RunFinished "run-finished" version 1 Logical |_| end(),
    17 ArtifactReleased "artifact-released" version 1 Operational |of| trial(of.trial),
    18 ImportStarted "import-started" version 1 Logical |_| Subject::default().counts(false),
    19 ImportedRow "imported-row" version 1 Logical |of| episode(of.row.saturating_add(1)),
    20 ImportedQ "imported-q" version 1 Logical |of| part(of.first),
    21 ImportFinished "import-finished" version 1 Logical |_| end().counts(true),
    22 ForkStarted "fork-started" version 1 Logical |_| Subject::default().counts(false),
    23 Inherited "inherited" version 1 Logical |of| part(of.first),
    24 ForkFinished "fork-finished" version 1 Logical |_| Subject::default().counts(true),
    25 StudyStarted "study-started" version 1 Operational,
    26 StudyRow "study-row" version 1 Operational,
    27 StudyFinished "study-finished" version 1 Operational,
    28 ScheduleExtended "schedule-extended" version 1 Logical |of| end().at(of.phase),
    30 AttackStarted "attack-started" version 1 Logical,
    31 AttackVictim "attack-victim" version 1 Logical |of| part(of.victim),
    32 AttackSpecified "attack-specified" version 1 Logical |of| part(of.spec),
    33 AttackTransformation "attack-transformation" version 1 Logical |of| part(of.transformation),
    34 ImagesCrafted "images-crafted" version 2 Logical |of| of.subject(),
    35 ImagesScored "images-scored" version 1 Logical |of| of.subject(),
    36 AttackFinished "attack-finished" version 1 Logical |_| end(),
    37 PoolPart "pool-part" version 1 Logical |of| part(of.first),
    38 AttackTrainer "attack-trainer" version 1 Operational,
    39 AttackOutputs "attack-outputs" version 1 Logical |of| part(of.victim),
    40 PredictionsRecorded "predictions-recorded" version 1 Logical |of| attempt(of.trial, of.attempt).at(of.part as u64),
    41 RunModel "run-model" version 1 Logical |of| part(of.index),
    42 CheckpointKept "checkpoint-kept" version 1 Operational |of| attempt(of.trial, of.attempt),
    45 SeriesJoined "series-joined" version 1 Operational,
    46 TrialReused "trial-reused" version 1 Logical |of| trial(of.trial),
    47 EnsembleSaved "ensemble-saved" version 1 Operational,
    48 LogRepaired "log-repaired" version 1 Operational,
    49 ResultLate "result-late" version 1 Operational |of| attempt(of.trial, of.attempt),
    50 TrialRetried "trial-retried" version 1 Logical |of| trial(of.trial).at(of.before),
}

/// A search begins. Its whole configuration follows in the same batch as `config-part` events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchStarted {
    /// What people call it; may be empty.
    pub name: String,
    /// Seed of all choices of the agent and of training.
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
    /// Threads a trainer computes with on a CPU; a resumed search uses them again.
    pub threads: u32,
    /// Program name and version.
    pub program: String,
}

/// Which images a search or a run sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFacts {
    /// Name of the data set.
    pub name: String,
    /// Hash of the training part (images, then labels).
    pub content: Hash,
    /// Colour channels.
    pub channels: u32,
    /// Side in pixels.
    pub side: u32,
    /// Number of classes.
    pub classes: u32,
    /// Images trained on.
    pub train: u32,
    /// Images validated on.
    pub validation: u32,
    /// Hash of the split: the indices of both, also the name of an artifact that holds them.
    pub split: Hash,
}

/// A piece of the configuration's text (TOML).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigPart {
    /// From 0.
    pub index: u16,
    /// At most [`ConfigPart::BYTES`] bytes.
    pub text: String,
}

/// The agent sampled an architecture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpisodeSampled {
    /// From 1, without gaps, in its search.
    pub episode: u32,
    /// Phase of the schedule, from 0.
    pub phase: u16,
    /// Share of random actions.
    pub epsilon: f64,
    /// What was sampled.
    pub architecture: Architecture,
    /// The ordinal of the trial that answers it; new if it is the next one.
    pub trial: u32,
    /// Whether the architecture was known already in this search.
    pub duplicate: bool,
}

/// An architecture is to be trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialPlanned {
    /// From 1, without gaps, in its search or run.
    pub trial: u32,
    /// The episode that asked for it; 0 outside a search.
    pub episode: u32,
    /// What to train.
    pub architecture: Architecture,
    /// Seed of weights, order of images and dropout.
    pub seed: u64,
    /// Which repetition of the same training it is, from 0.
    pub repeat: u32,
    /// Weights and biases, by [`crate::arch::shape`].
    pub parameters: u64,
    /// Multiplications with a weight for one image.
    pub multiply_adds: u64,
}

/// A trainer was given a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptStarted {
    /// The trial's ordinal.
    pub trial: u32,
    /// From 1.
    pub attempt: u32,
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
    /// Where it goes on, unless it starts anew.
    pub continues: Option<Continues>,
    /// The process that trains; empty if it was recorded before processes had names.
    pub worker: String,
    /// What it computes in: `f32`, `bf16`, or `bf16 emulated` on a device without instructions for it.
    /// Empty if it was recorded before there was another one than `f32`.
    pub precision: String,
}

impl AttemptStarted {
    /// What it computes in, of older attempts too.
    #[must_use]
    pub fn computes_in(&self) -> &str {
        if self.precision.is_empty() { "f32" } else { &self.precision }
    }
}

/// An epoch of a trial ended. Counts only for the attempt that ended the trial, and for those that
/// this one goes on from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochFinished {
    /// The trial's ordinal.
    pub trial: u32,
    /// From 1.
    pub attempt: u32,
    /// Restarts before it, from 0.
    pub restart: u32,
    /// From 1.
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
    /// Duration in seconds.
    pub seconds: f64,
}

/// A trial ended: trained, or failed for a reason that lies in the architecture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialFinished {
    /// The trial's ordinal.
    pub trial: u32,
    /// The attempt that ended it.
    pub attempt: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// Epochs done in the last restart.
    pub epochs: u32,
    /// Restarts used.
    pub restarts: u32,
    /// Duration of the attempt in seconds.
    pub seconds: f64,
    /// Peak memory in bytes; 0 if unknown.
    pub peak_memory: u64,
}

/// A trial that was given up is to be tried again: it waits for a trainer, as if no attempt had been
/// lost. Until it ends, nothing else is sampled or learned from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialRetried {
    /// The trial's ordinal.
    pub trial: u32,
    /// How often it was retried before.
    pub before: u32,
}

/// An attempt gave a result after its trial had ended: two trainings of one trial. Nothing counts
/// it; it says whether both agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultLate {
    /// The trial's ordinal.
    pub trial: u32,
    /// The attempt that was late.
    pub attempt: u32,
    /// What came of it; its weights are not kept.
    pub outcome: Outcome,
    /// Epochs done in the last restart.
    pub epochs: u32,
    /// Restarts used.
    pub restarts: u32,
    /// Duration of the attempt in seconds.
    pub seconds: f64,
    /// Peak memory in bytes; 0 if unknown.
    pub peak_memory: u64,
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was trained.
    Trained {
        /// Epoch of the highest validation accuracy, the earliest of equals.
        best_epoch: u32,
        /// Validation images right after it.
        best_correct: u32,
        /// Validation images right after the last epoch.
        last_correct: u32,
        /// Validation images.
        total: u32,
        /// Hash of the weights that the trainer left, kept or not.
        weights: Option<Hash>,
        /// Whether they were kept as an artifact.
        kept: bool,
    },
    /// It failed.
    Failed {
        /// Why.
        reason: FailedReason,
        /// The trainer's words.
        message: String,
    },
}

/// Why an architecture failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailedReason {
    /// No better than chance after the first epoch, at every learning rate.
    Chance,
    /// The loss was infinite or not a number.
    NonFinite,
    /// Memory for it could not be allocated.
    TooLarge,
}

impl FailedReason {
    /// For tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chance => "chance",
            Self::NonFinite => "non-finite",
            Self::TooLarge => "too-large",
        }
    }
}

/// An attempt ended without a result, for a reason that lies in the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptLost {
    /// The trial's ordinal.
    pub trial: u32,
    /// From 1.
    pub attempt: u32,
    /// Whether it counts against the trial. An attempt that qtrail itself cut short does not.
    pub counts: bool,
    /// What happened, with the trainer's last words; at most [`AttemptLost::BYTES`] bytes.
    pub reason: String,
}

impl AttemptLost {
    /// Most bytes of a reason.
    pub const BYTES: usize = 2_000;
}

/// A trial was given up after too many lost attempts: no experience, not counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialLost {
    /// The trial's ordinal.
    pub trial: u32,
}

/// An episode's (trajectory, reward) entered the replay memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExperienceRecorded {
    /// The episode.
    pub episode: u32,
    /// Its reward, computed once.
    pub reward: f64,
}

/// Experiences were drawn from the memory and learned from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayUpdated {
    /// The episode after whose experience this happened.
    pub episode: u32,
    /// Learning rate.
    pub alpha: f64,
    /// Discount factor.
    pub gamma: f64,
    /// Indices into the memory, from 0 in the order in which experiences were recorded.
    pub draws: Vec<u32>,
    /// What the learning rate was multiplied by, for each draw; empty if by 1 for all.
    pub weights: Vec<f64>,
    /// Digest of the Q-table afterwards.
    pub q: Hash,
}

impl ReplayUpdated {
    /// Most draws in one event.
    pub const DRAWS: u32 = 700;
    /// Most draws in one event where they have weights.
    pub const WEIGHTED_DRAWS: u32 = 300;

    /// The weight of a draw.
    #[must_use]
    pub fn weight(&self, draw: usize) -> f64 {
        self.weights.get(draw).copied().unwrap_or(1.0)
    }
}

/// A phase of the schedule ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseEnded {
    /// From 0.
    pub phase: u16,
    /// Share of random actions in it.
    pub epsilon: f64,
    /// Why it ended.
    pub reason: PhaseEnd,
    /// New architectures trained in it.
    pub models: u32,
    /// The last episode so far.
    pub episode: u32,
}

/// Why a phase ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseEnd {
    /// Its quota of new architectures is met.
    Quota,
    /// Too many architectures in a row were known already.
    Duplicates,
    /// Every architecture of the space is known.
    Exhausted,
}

impl PhaseEnd {
    /// For tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Duplicates => "duplicates",
            Self::Exhausted => "exhausted",
        }
    }
}

/// A search is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchFinished {
    /// Episodes in it.
    pub episodes: u32,
    /// Trials in it.
    pub trials: u32,
}

/// A process took up an unfinished search or run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// Program name and version.
    pub program: String,
    /// Host name.
    pub host: String,
}

/// An artifact is no longer kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactReleased {
    /// The trial whose weights or checkpoint it held.
    pub trial: u32,
    /// Its hash.
    pub artifact: Hash,
}

impl Event {
    /// The event without what tells whose machine it was: host names and folders. Its logical
    /// digest stays as it is.
    #[must_use]
    pub fn anonymous(mut self) -> Self {
        match &mut self {
            Self::SearchStarted(fields) => fields.folder.clear(),
            Self::RunStarted(fields) => fields.folder.clear(),
            Self::AttemptStarted(fields) => fields.host.clear(),
            Self::Resumed(fields) => fields.host.clear(),
            Self::ImportedRow(fields) => fields.machine.clear(),
            Self::AttackStarted(fields) => fields.folder.clear(),
            Self::AttackTrainer(fields) => fields.host.clear(),
            // What the system said may name a folder.
            Self::LogRepaired(fields) => fields.found.clear(),
            _ => {}
        }
        self
    }

    /// The event with everything cleared that tells of the machine: what a digest sees.
    /// `None` for operational kinds.
    #[must_use]
    pub fn logical(self) -> Option<Self> {
        if self.kind().class == Class::Operational {
            return None;
        }
        let mut event = self.anonymous();
        match &mut event {
            Self::SearchStarted(fields) => {
                fields.program.clear();
                fields.threads = 0;
                fields.name.clear();
            }
            Self::RunStarted(fields) => {
                fields.program.clear();
                fields.threads = 0;
            }
            Self::RunModel(fields) => fields.source = None,
            Self::PredictionsRecorded(fields) => fields.attempt = 0,
            Self::EpochFinished(fields) => {
                fields.attempt = 0;
                fields.seconds = 0.0;
            }
            Self::TrialFinished(fields) => {
                fields.attempt = 0;
                fields.seconds = 0.0;
                fields.peak_memory = 0;
                // Which weights are kept is a matter of space; what they are is not.
                match &mut fields.outcome {
                    Outcome::Trained { kept, .. } => *kept = false,
                    Outcome::Failed { message, .. } => message.clear(),
                }
            }
            Self::ForkStarted(fields) => {
                fields.source.clear();
                fields.position = 0;
            }
            Self::TrialReused(fields) => fields.search = 0,
            Self::ImportStarted(fields) => {
                fields.file.clear();
                fields.q_file = None;
            }
            Self::ImportedRow(fields) => fields.time_finished = 0.0,
            Self::AttackStarted(fields) => {
                fields.name.clear();
                fields.program.clear();
                fields.threads = 0;
            }
            Self::AttackVictim(fields) => {
                fields.label.clear();
                fields.what.clear();
            }
            _ => {}
        }
        Some(event)
    }
}
