//! An attempt at a trial, at a trainer: what the trainer says of it becomes facts, and all of it is
//! checked. An answer that does not fit the request is nonsense.

use std::time::Instant;

use super::pool::{Pool, no_answer, share};
use crate::events::{CheckpointKept, EpochFinished, FailedReason, Hash};
use crate::trainer::protocol::{Answer, EpochAnswer, PredictionAnswer, Request, TrainRequest};

/// A trainer may measure an epoch by another clock: so much more than the time since the request
/// is taken as it is, and beyond that the time since the request.
const CLOCKS_DIFFER: f64 = 60.0;
/// Seconds beyond which a duration is a lie (a year), and bytes beyond which a size of memory is.
const SECONDS_MAX: f64 = 3.2e7;
const MEMORY_MAX: u64 = 1 << 50;

/// An attempt that a trainer is at.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Ordinal of the trial.
    pub trial: u32,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The request.
    pub request: TrainRequest,
    /// Images of the split.
    totals: Totals,
    started: Instant,
    /// Epochs of the current restart, those of an earlier attempt too if it goes on from one.
    epochs: Vec<EpochAnswer>,
    /// Seconds that the earlier attempts took for theirs.
    before: f64,
}

/// How many images the two parts of a split have: what the counts of a trainer must add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Images that are trained on.
    pub train: u32,
    /// Images that are validated on.
    pub validation: u32,
}

/// What a trainer says of an attempt.
#[derive(Debug, Clone)]
pub enum Fact {
    /// Still at work: the epoch, from 1, and the fraction of it that is done.
    Progress(u32, f64),
    /// An epoch ended.
    Epoch(EpochFinished),
    /// All that is needed to go on after the last epoch is in a file of the staging folder: what is to
    /// be recorded once that is an artifact, and its name.
    Checkpoint(CheckpointKept, String),
    /// The attempt ended with a result, and this peak memory in bytes, 0 if unknown.
    Ended(TaskResult, u64),
}

/// What came of a task.
#[derive(Debug, Clone)]
pub enum TaskResult {
    /// Trained.
    Trained {
        /// Name of the weights file in the staging folder, if there is one.
        weights: Option<String>,
        /// What was left of class probabilities.
        predictions: Vec<PredictionAnswer>,
    },
    /// Failed.
    Failed(FailedReason, String),
}

impl Attempt {
    /// An attempt that begins now; `done` are the epochs that it goes on from.
    #[must_use]
    pub fn new(
        (trial, attempt): (u32, u32),
        request: TrainRequest,
        totals: Totals,
        done: &[EpochFinished],
    ) -> Self {
        let before = done.iter().map(|epoch| epoch.seconds).sum();
        let restart = done.last().map_or(0, |last| last.restart);
        let current = done.iter().filter(|epoch| epoch.restart == restart);
        let epochs = current.map(|epoch| answered(request.id, epoch)).collect();
        Self { trial, attempt, request, totals, started: Instant::now(), epochs, before }
    }

    /// Seconds that it took, with the attempts that it went on from.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    /// The epoch with the most right validation images, the earliest of equals.
    #[must_use]
    pub fn best(&self) -> Option<&EpochAnswer> {
        self.epochs.iter().rev().max_by_key(|epoch| epoch.validation_correct)
    }

    /// The last epoch.
    #[must_use]
    pub fn last(&self) -> Option<&EpochAnswer> {
        self.epochs.last()
    }

    /// What an answer to its request means.
    ///
    /// # Errors
    /// Why it cannot be that.
    pub fn hear(&mut self, answer: Answer) -> Result<Fact, String> {
        match answer {
            Answer::Progress { epoch, batch, batches, .. } => {
                match (1..=self.request.recipe.epochs).contains(&epoch) {
                    true => Ok(Fact::Progress(epoch, share(batch, batches))),
                    false => Err(format!("it reported progress of epoch {epoch}")),
                }
            }
            Answer::Epoch(epoch) => self.push(epoch).map(Fact::Epoch),
            Answer::Checkpoint { restart, epoch, file, .. } => self
                .checkpoint(restart, epoch)
                .map(|kept| Fact::Checkpoint(kept, file))
                .ok_or_else(|| "it left a checkpoint of another epoch than the last".to_owned()),
            Answer::Finished(finished) if self.is_complete() => {
                let memory = finished.peak_memory;
                if memory > MEMORY_MAX {
                    return Err(format!("it reported {memory} bytes of memory, which cannot be"));
                }
                let (weights, predictions) = (finished.weights, finished.predictions);
                Ok(Fact::Ended(TaskResult::Trained { weights, predictions }, memory))
            }
            Answer::Failed { reason, message, .. } => {
                Ok(Fact::Ended(TaskResult::Failed(reason, message), 0))
            }
            other => Err(no_answer(&other)),
        }
    }

    /// Takes in an epoch, if it can be the next one.
    fn push(&mut self, epoch: EpochAnswer) -> Result<EpochFinished, String> {
        let before = self.epochs.last().map_or((0, 0), |last| (last.restart, last.epoch));
        let continues = (epoch.restart, epoch.epoch) == (before.0, before.1 + 1);
        let restarts = (epoch.restart, epoch.epoch) == (before.0 + 1, 1) && before.1 == 1;
        let recipe = &self.request.recipe;
        let in_range = epoch.epoch <= recipe.epochs && epoch.restart <= recipe.restarts;
        if !in_range || !(continues || restarts) {
            let (restart, epoch) = (epoch.restart, epoch.epoch);
            return Err(format!("reported epoch {epoch} of restart {restart} out of order"));
        }
        let since = self.started.elapsed().as_secs_f64();
        let epoch = checked(epoch, self.totals, since)?;
        if restarts {
            self.epochs.clear();
        }
        self.epochs.push(epoch);
        Ok(EpochFinished {
            trial: self.trial,
            attempt: self.attempt,
            restart: epoch.restart,
            epoch: epoch.epoch,
            learning_rate: epoch.learning_rate,
            train_loss: epoch.train_loss,
            train_correct: epoch.train_correct,
            train_total: epoch.train_total,
            validation_loss: epoch.validation_loss,
            validation_correct: epoch.validation_correct,
            validation_total: epoch.validation_total,
            seconds: epoch.seconds,
        })
    }

    /// A checkpoint, if it is of the last epoch.
    fn checkpoint(&self, restart: u32, epoch: u32) -> Option<CheckpointKept> {
        let last = self.epochs.last().map(|last| (last.restart, last.epoch));
        let (trial, attempt, artifact) = (self.trial, self.attempt, Hash::default());
        let kept = CheckpointKept { trial, attempt, restart, epoch, artifact };
        (self.request.checkpoints && last == Some((restart, epoch))).then_some(kept)
    }

    fn is_complete(&self) -> bool {
        self.epochs.last().is_some_and(|last| last.epoch == self.request.recipe.epochs)
    }
}

/// An epoch as a trainer said it, if its numbers can be, `since` seconds after the request.
fn checked(mut epoch: EpochAnswer, totals: Totals, since: f64) -> Result<EpochAnswer, String> {
    let found = Totals { train: epoch.train_total, validation: epoch.validation_total };
    if found != totals {
        return Err(format!(
            "it reported {} training and {} validation images; the split has {} and {}",
            found.train, found.validation, totals.train, totals.validation
        ));
    }
    if epoch.train_correct > totals.train || epoch.validation_correct > totals.validation {
        return Err(format!(
            "it reported {} of {} training and {} of {} validation images as correct",
            epoch.train_correct, totals.train, epoch.validation_correct, totals.validation
        ));
    }
    for (what, number, least, most) in [
        ("training loss", epoch.train_loss, f64::MIN, f64::MAX),
        ("validation loss", epoch.validation_loss, f64::MIN, f64::MAX),
        ("learning rate", epoch.learning_rate, 0.0, f64::MAX),
        ("duration", epoch.seconds, 0.0, SECONDS_MAX),
    ] {
        if !(least..=most).contains(&number) {
            return Err(format!("it reported a {what} of {number}, which cannot be"));
        }
    }
    if epoch.seconds > since + CLOCKS_DIFFER {
        epoch.seconds = since;
    }
    Ok(epoch)
}

/// An epoch as a trainer said it.
fn answered(id: u64, epoch: &EpochFinished) -> EpochAnswer {
    EpochAnswer {
        id,
        restart: epoch.restart,
        epoch: epoch.epoch,
        learning_rate: epoch.learning_rate,
        train_loss: epoch.train_loss,
        train_correct: epoch.train_correct,
        train_total: epoch.train_total,
        validation_loss: epoch.validation_loss,
        validation_correct: epoch.validation_correct,
        validation_total: epoch.validation_total,
        seconds: epoch.seconds,
    }
}

impl Pool<Attempt> {
    /// Gives an attempt to a worker whose trainer is there.
    pub fn assign(&mut self, worker: usize, mut attempt: Attempt) {
        attempt.request.id = self.next_id();
        let request = Request::Train(Box::new(attempt.request.clone()));
        self.give(worker, attempt.request.id, &request, attempt);
    }
}
