//! What comes of an attempt: a result, files that become artifacts, or a loss, which counts unless
//! the machine is at fault.

use super::crew::{Blame, Ended, Task, TaskResult, Totals};
use super::faults::{self, MachineFault};
use super::inbox::Refusal;
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

impl<L: EventLog> Engine<'_, L> {
    /// Makes a checkpoint an artifact.
    pub(super) fn keep_checkpoint(
        &mut self,
        worker: usize,
        mut kept: CheckpointKept,
        file: &str,
    ) -> Result<(), EngineError> {
        match self.keeper.adopt(worker, file, self.file_max(kept.trial)) {
            Err(refusal) => self.refuse(kept.trial, kept.attempt, refusal),
            Ok(None) => Ok(()),
            Ok(Some(artifact)) => {
                kept.artifact = artifact;
                let of = (kept.trial, kept.attempt);
                let event = [Event::from(kept)];
                // An attempt that somebody took over leaves none.
                while self.job.trials().get(of.0).is_some_and(|trial| trial.is_at(of.1)) {
                    if self.record(&event)? {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// Ends an attempt that gave no result. It counts, unless the machine is at fault: then the
    /// search ends too; or the trainer says that it cannot do this: then it ends if that is said
    /// again and again.
    pub(super) fn lose(
        &mut self,
        trial: u32,
        attempt: u32,
        reason: String,
        blame: Blame,
    ) -> Result<(), EngineError> {
        let (found, refusal) = match blame {
            Blame::Machine(reported) => (Err(reported.into()), None),
            Blame::Trainer(said) => (self.look_for_faults(trial), Some(said)),
            Blame::Unknown => (self.look_for_faults(trial), None),
        };
        if let Err(fault) = found {
            return Err(self.excuse(trial, attempt, &reason, fault.into()));
        }
        let reason = cut(reason, AttemptLost::BYTES);
        let counts = refusal.is_none();
        if let Some(said) = refusal {
            let times = self.refused.as_ref().map_or(0, |(times, _)| *times);
            self.refused = Some((times + 1, said));
        }
        self.lost_in_a_row += u32::from(counts);
        self.record_loss(AttemptLost { trial, attempt, counts, reason })
    }

    /// Looks for a fault of the machine that may have ended an attempt.
    fn look_for_faults(&self, trial: u32) -> Result<(), MachineFault> {
        self.keeper.check(self.expected_bytes(trial))?;
        let read = [&self.machine.data, &self.machine.split];
        let mut read = read.into_iter().filter(|path| !path.as_os_str().is_empty());
        read.try_for_each(|path| faults::readable(path))
    }

    /// Ends an attempt that a fault of the machine ended: it does not count. Says how the search
    /// ends.
    fn excuse(
        &mut self,
        trial: u32,
        attempt: u32,
        reason: &str,
        fault: EngineError,
    ) -> EngineError {
        self.crew.abandon(trial);
        let separator = if reason.is_empty() { "" } else { "; " };
        let reason = cut(format!("{fault}{separator}{reason}"), AttemptLost::BYTES);
        let lost = AttemptLost { trial, attempt, counts: false, reason };
        match self.record_loss(lost) {
            // On a full disk that cannot be recorded either. Whoever resumes abandons the attempt.
            Err(error) if !error.is_of_machine() => error,
            _ => fault,
        }
    }

    /// Ends an attempt whose files cannot be taken.
    fn refuse(&mut self, trial: u32, attempt: u32, why: Refusal) -> Result<(), EngineError> {
        self.crew.abandon(trial);
        match why {
            Refusal::Trainer(reason) => self.lose(trial, attempt, reason, Blame::Unknown),
            Refusal::Engine(error) if error.is_of_machine() => {
                Err(self.excuse(trial, attempt, "", error))
            }
            Refusal::Engine(error) => Err(error),
        }
    }

    /// Records the result of a task.
    pub(super) fn finish(&mut self, ended: Ended) -> Result<(), EngineError> {
        let Ended { task, result, seconds, peak_memory } = ended;
        (self.refused, self.lost_in_a_row) = (None, 0);
        let open = self.job.trials().get(task.trial).is_some_and(Trial::is_open);
        let mut batch = Vec::new();
        let outcome = match (result, task.best(), task.last()) {
            (TaskResult::Failed(reason, message), ..) => {
                Outcome::Failed { reason, message: cut(message, MESSAGE_MAX) }
            }
            (TaskResult::Trained { weights, predictions }, Some(best), Some(last)) => {
                if let Some(predicted) = self.job.terms(task.trial).predicted.filter(|_| open) {
                    match self.predictions(&task, &predicted, &predictions) {
                        Ok(made) => batch.extend(made.into_iter().map(Event::from)),
                        Err(refusal) => return self.refuse(task.trial, task.attempt, refusal),
                    }
                }
                let counts = self.job.config().reward.accuracy;
                let correct = counts.of(best.validation_correct, last.validation_correct);
                let most = self.file_max(task.trial);
                let take = |name: String| {
                    self.keeper.take(self.job, (task.worker, &name), most, (open, correct))
                };
                let taken = match weights.map(take).transpose() {
                    Ok(taken) => taken.flatten(),
                    Err(refusal) => return self.refuse(task.trial, task.attempt, refusal),
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
            // The crew reports no training as ended before its last epoch.
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
        self.record_result(batch, finished)
    }

    /// Records the result of an attempt, with what belongs to it. It ends its trial, whoever else is
    /// training that by now; if the trial has ended, it is late.
    fn record_result(
        &mut self,
        with: Vec<Event>,
        finished: TrialFinished,
    ) -> Result<(), EngineError> {
        loop {
            let trial = self.job.trials().get(finished.trial);
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
                    superseded.chain(with.clone()).chain([finished.clone().into()]).collect()
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
        task: &Task,
        predicted: &Predicted,
        answers: &[PredictionAnswer],
    ) -> Result<Vec<PredictionsRecorded>, Refusal> {
        let classes = self.job.data().classes;
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
                self.keeper.adopt_checked((task.worker, &answer.file), most, check)?
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
    pub(super) fn expected_bytes(&self, ordinal: u32) -> u64 {
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
