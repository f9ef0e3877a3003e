//! What comes of an attempt: a result, files that become artifacts, or a loss, which counts unless
//! the machine is at fault.

use super::attempt::{Attempt, TaskResult, Totals};
use super::inbox::{Inbox, Refusal};
use super::pool::Loss;
use super::trainings::Trainings;
use super::{Engine, EngineError, predictions};
use crate::agent::Terms;
use crate::agent::trials::{Status, Trial};
use crate::arch::shape::{Map, PoolRule, Shapes};
use crate::events::{
    AttemptLost, CheckpointKept, Event, Fit, Outcome, Predicted, PredictedPart,
    PredictionsRecorded, ResultLate, TrialFinished,
};
use crate::log::EventLog;
use crate::trainer::cut;
use crate::trainer::protocol::PredictionAnswer;

/// Bytes kept of why an architecture cannot be trained.
const MESSAGE_MAX: usize = 500;
/// Files of a trainer may be so many times as large as the parameters are: a checkpoint holds the
/// parameters, the best ones and the state of the optimiser, four times in all.
const FILE_FACTOR: u64 = 8;
/// Whatever the parameters, files of a trainer may be that large, and not larger, in bytes.
const FILE_MAX: std::ops::RangeInclusive<u64> = 64 << 20..=16 << 30;

impl<L: EventLog> Engine<'_, L, Trainings<'_>> {
    /// Makes a checkpoint an artifact.
    pub(super) fn keep_checkpoint(
        &mut self,
        worker: usize,
        mut kept: CheckpointKept,
        file: &str,
    ) -> Result<(), EngineError> {
        let most = self.work.file_max(kept.trial);
        match self.keeper.adopt(self.pool.inbox(worker), file, most) {
            Err(refusal) => {
                self.pool.dismiss(worker, String::new());
                self.pool.release(worker).map_or(Ok(()), |attempt| self.refuse(attempt, refusal))
            }
            Ok(None) => Ok(()),
            Ok(Some(artifact)) => {
                kept.artifact = artifact;
                // An attempt that somebody took over leaves none.
                let goes_on = |work: &Trainings<'_>| work.is_at(kept.trial, kept.attempt);
                self.record_while(goes_on, &[kept.clone().into()])?;
                match self.so_far.stopping {
                    true => self.interrupt(worker, &kept),
                    false => Ok(()),
                }
            }
        }
    }

    /// Ends an attempt whose files cannot be taken.
    fn refuse(&mut self, attempt: Attempt, why: Refusal) -> Result<(), EngineError> {
        match why {
            Refusal::Trainer(reason) => self.lose(attempt, Loss::from(reason)),
            Refusal::Engine(error) if error.is_of_machine() => Err(self.excuse(attempt, "", error)),
            Refusal::Engine(error) => Err(error),
        }
    }

    /// Records the result of an attempt.
    pub(super) fn finish(
        &mut self,
        worker: usize,
        task: Attempt,
        result: TaskResult,
        peak_memory: u64,
    ) -> Result<(), EngineError> {
        self.succeed();
        let (seconds, inbox) = (task.seconds(), self.pool.inbox(worker));
        let open = self.work.job.trials().get(task.trial).is_some_and(Trial::is_open);
        let mut batch = Vec::new();
        let outcome = match (result, task.best(), task.last()) {
            (TaskResult::Failed(reason, message), ..) => {
                Outcome::Failed { reason, message: cut(message, MESSAGE_MAX) }
            }
            (TaskResult::Trained { weights, predictions }, Some(best), Some(last)) => {
                if let Some(predicted) = self.work.job.terms(task.trial).predicted.filter(|_| open)
                {
                    match self.predictions(&task, inbox, &predicted, &predictions) {
                        Ok(made) => batch.extend(made.into_iter().map(Event::from)),
                        Err(refusal) => return self.refuse(task, refusal),
                    }
                }
                let counts = self.work.job.config().reward.accuracy;
                let correct = counts.of(best.validation_correct, last.validation_correct);
                let most = self.work.file_max(task.trial);
                let take = |name: String| {
                    self.keeper.take(self.work.job, (inbox, &name), most, (open, correct))
                };
                let taken = match weights.map(take).transpose() {
                    Ok(taken) => taken.flatten(),
                    Err(refusal) => return self.refuse(task, refusal),
                };
                Outcome::Trained {
                    best_epoch: best.epoch,
                    best_correct: best.validation_correct,
                    last_correct: last.validation_correct,
                    total: last.validation_total,
                    weights: taken.map(|(hash, _)| hash),
                    kept: taken.is_some_and(|(_, kept)| kept),
                }
            }
            // No training is reported as ended before its last epoch.
            (TaskResult::Trained { .. }, ..) => return Ok(()),
        };
        let last = task.last();
        let finished = TrialFinished {
            trial: task.trial,
            attempt: task.attempt,
            outcome,
            epochs: last.map_or(0, |last| last.epoch),
            restarts: last.map_or(0, |last| last.restart),
            seconds,
            peak_memory,
        };
        self.record_result(&batch, &finished)
    }

    /// Records the result of an attempt, with what belongs to it. It ends its trial, whoever else is
    /// training that by now; if the trial has ended, it is late.
    fn record_result(
        &mut self,
        with: &[Event],
        finished: &TrialFinished,
    ) -> Result<(), EngineError> {
        loop {
            let trial = self.work.job.trials().get(finished.trial);
            let batch = match trial.filter(|trial| trial.is_open()) {
                None => vec![late(finished.clone()).into()],
                Some(trial) => {
                    let running = trial.status == Status::Running;
                    let other =
                        Some(trial.attempts).filter(|&at| running && at != finished.attempt);
                    let superseded = other.map(|attempt| AttemptLost {
                        trial: finished.trial,
                        attempt,
                        counts: false,
                        reason: format!("attempt {} gave a result first", finished.attempt),
                    });
                    let superseded = superseded.map(Event::from).into_iter();
                    superseded
                        .chain(with.iter().cloned())
                        .chain([finished.clone().into()])
                        .collect()
                }
            };
            if self.record(&batch)? {
                return Ok(());
            }
        }
    }

    /// Takes in what a trainer left of class probabilities.
    fn predictions(
        &self,
        task: &Attempt,
        inbox: Option<&Inbox>,
        predicted: &Predicted,
        answers: &[PredictionAnswer],
    ) -> Result<Vec<PredictionsRecorded>, Refusal> {
        let classes = self.work.job.data().classes;
        let mut made = Vec::new();
        for part in PredictedPart::ALL {
            let labels = match part {
                PredictedPart::Validation => predicted.validation_labels,
                PredictedPart::Test => predicted.test_labels,
            };
            let Some(answer) = answers.iter().find(|answer| answer.part == part) else {
                let part = part.name();
                let none = format!("the trainer left no probabilities of {part} images");
                return Err(Refusal::Trainer(none));
            };
            let truth = self.keeper.read(labels)?;
            let most = 4 * truth.len() as u64 * u64::from(classes);
            let check = |bytes: &[u8]| predictions::check(bytes, &truth, classes);
            if let Some((probabilities, correct)) =
                self.keeper.adopt_checked((inbox, &answer.file), most, check)?
            {
                made.push(PredictionsRecorded {
                    trial: task.trial,
                    attempt: task.attempt,
                    part,
                    images: u32::try_from(truth.len()).unwrap_or(u32::MAX),
                    classes,
                    correct,
                    probabilities,
                    labels,
                });
            }
        }
        Ok(made)
    }
}

impl Trainings<'_> {
    /// What the counts of a trial's epochs must add up to.
    pub(super) fn totals(&self, ordinal: u32) -> Totals {
        let (data, fit) = (self.job.data(), self.job.terms(ordinal).fit);
        let also = if fit == Fit::TrainAndValidation { data.validation } else { 0 };
        Totals { train: data.train.saturating_add(also), validation: data.validation }
    }

    /// Bytes of the parameters of a trial.
    fn parameter_bytes(&self, ordinal: u32) -> u64 {
        let (data, gap) = (self.job.data(), self.job.config().recipe.gap);
        let Some(trial) = self.job.trials().get(ordinal) else { return 0 };
        let input = Map { channels: data.channels, side: data.side };
        let shapes = Shapes::of(&trial.planned.architecture, input, gap, PoolRule::True);
        shapes.map_or(0, |shapes| shapes.parameters().saturating_mul(4))
    }

    /// The largest file that is taken from the trainer of a trial.
    fn file_max(&self, ordinal: u32) -> u64 {
        let most = self.parameter_bytes(ordinal).saturating_mul(FILE_FACTOR);
        most.clamp(*FILE_MAX.start(), *FILE_MAX.end())
    }

    /// Bytes of what a trial is expected to leave at a time.
    pub(super) fn expected_bytes_of(&self, ordinal: u32) -> u64 {
        let Terms { predicted, by_epoch, .. } = self.job.terms(ordinal);
        let data = self.job.data();
        let images = predicted
            .map_or(0, |shown| u64::from(shown.test_images).saturating_add(data.validation.into()));
        let files = if by_epoch { 5 } else { 1 };
        let parameters = self.parameter_bytes(ordinal).saturating_mul(files);
        parameters.saturating_add(images.saturating_mul(4 * u64::from(data.classes)))
    }
}

/// A result that comes after its trial has ended.
fn late(finished: TrialFinished) -> ResultLate {
    let TrialFinished { trial, attempt, mut outcome, epochs, restarts, seconds, peak_memory } =
        finished;
    if let Outcome::Trained { kept, .. } = &mut outcome {
        *kept = false;
    }
    ResultLate { trial, attempt, outcome, epochs, restarts, seconds, peak_memory }
}
