//! The crew: one worker per device, each with a trainer and at most one task.
//!
//! A worker turns what its trainer says into facts, and checks all of it: an answer that does not
//! fit the request is nonsense, and a trainer that talks nonsense is replaced.

use std::time::{Duration, Instant};

use super::faults::Reported;
use crate::events::{CheckpointKept, EpochFinished, FailedReason, Hash};
use crate::trainer::process::{Said, StartError};
use crate::trainer::protocol::{
    Answer, EpochAnswer, ErrorCause, Hello, PredictionAnswer, Request, TrainRequest,
};
use crate::trainer::{Start, Talk, cut};

/// A trainer may measure an epoch by another clock: so much more than the time since the request
/// is taken as it is, and beyond that the time since the request.
const CLOCKS_DIFFER: f64 = 60.0;
/// Seconds beyond which a duration is a lie (a year), and bytes beyond which a size of memory is.
const SECONDS_MAX: f64 = 3.2e7;
const MEMORY_MAX: u64 = 1 << 50;
/// Bytes kept of what a trainer says is wrong.
const COMPLAINT_MAX: usize = 1_000;

/// All workers.
pub struct Crew {
    workers: Vec<Worker>,
    next_id: u64,
}

/// Where a worker's trainer computes, and how it is started.
pub struct Post {
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Starts trainers.
    pub start: Box<dyn Start>,
}

/// One device, its trainer, its task.
struct Worker {
    post: Post,
    trainer: Option<Box<dyn Talk>>,
    task: Option<Task>,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("device", &self.device).finish_non_exhaustive()
    }
}

/// A worker that is free, and its trainer.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Number of the worker, from 0.
    pub worker: usize,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// What the trainer says of itself.
    pub hello: Hello,
}

/// What a worker is at.
#[derive(Debug, Clone)]
pub struct Task {
    /// Number of the worker, from 0: in whose staging folder files are.
    pub worker: usize,
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

/// What came of listening.
#[derive(Debug, Clone)]
pub enum Heard {
    /// Nothing new.
    Nothing,
    /// Still at work.
    Progress {
        /// Ordinal of the trial.
        trial: u32,
        /// Epoch, from 1.
        epoch: u32,
        /// Share of the epoch that is done.
        share: f64,
    },
    /// An epoch ended.
    Epoch(EpochFinished),
    /// All that is needed to go on after the last epoch is in a file of the staging folder.
    Checkpoint {
        /// The worker in whose staging folder it is.
        worker: usize,
        /// What is to be recorded once the file is an artifact.
        kept: CheckpointKept,
        /// Its name.
        file: String,
    },
    /// The task ended with a result.
    Ended(Box<Ended>),
    /// The task was lost, and its trainer with it.
    Lost {
        /// Ordinal of the trial.
        trial: u32,
        /// The attempt.
        attempt: u32,
        /// What happened.
        reason: String,
        /// Who is to blame.
        blame: Blame,
    },
}

/// Who is to blame for a lost task, as far as the trainer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blame {
    /// Nobody said: it died, hung or talked nonsense, perhaps because of what it trained.
    Unknown,
    /// The trainer says that it cannot do what it was asked.
    Trainer(String),
    /// A fault of the machine.
    Machine(Reported),
}

/// A task that ended with a result.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The task.
    pub task: Task,
    /// What came of it.
    pub result: TaskResult,
    /// Duration in seconds.
    pub seconds: f64,
    /// Peak memory in bytes, 0 if unknown.
    pub peak_memory: u64,
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

impl Task {
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

    /// How much of an epoch is done.
    fn share(&self, epoch: u32, batch: u32, batches: u32) -> Option<f64> {
        let share = f64::from(batch) / f64::from(batches.max(1));
        (1..=self.request.recipe.epochs).contains(&epoch).then_some(share.min(1.0))
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

impl Crew {
    /// A crew with one worker for each post.
    #[must_use]
    pub fn new(posts: Vec<Post>) -> Self {
        let worker = |post| Worker { post, trainer: None, task: None };
        Self { workers: posts.into_iter().map(worker).collect(), next_id: 1 }
    }

    /// Whether a worker is free.
    #[must_use]
    pub fn has_idle(&self) -> bool {
        self.workers.iter().any(|worker| worker.task.is_none())
    }

    /// Whether a worker has a task.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.workers.iter().any(|worker| worker.task.is_some())
    }

    /// Makes sure that a free worker has a trainer, and says who that is.
    ///
    /// # Errors
    /// [`StartError`] if a trainer cannot be started.
    pub fn muster(&mut self) -> Result<Option<Ready>, StartError> {
        let mut workers = self.workers.iter_mut().enumerate();
        let Some((number, worker)) = workers.find(|(_, worker)| worker.task.is_none()) else {
            return Ok(None);
        };
        let trainer = match worker.trainer.take() {
            Some(trainer) => trainer,
            None => worker.post.start.start()?,
        };
        let (hello, device) = (trainer.hello().clone(), worker.post.device.clone());
        worker.trainer = Some(trainer);
        Ok(Some(Ready { worker: number, device, hello }))
    }

    /// Gives a task to the worker that [`Crew::muster`] found. One that cannot hear it any more
    /// will be heard to have ended. `done` are the epochs that an attempt goes on from.
    pub fn assign(
        &mut self,
        worker: usize,
        (trial, attempt): (u32, u32),
        mut request: TrainRequest,
        totals: Totals,
        done: &[EpochFinished],
    ) {
        request.id = self.next_id;
        self.next_id += 1;
        let number = worker;
        let Some(worker) = self.workers.get_mut(worker) else { return };
        if let Some(trainer) = &mut worker.trainer {
            let _ = trainer.send(&Request::Train(Box::new(request.clone())));
        }
        let before = done.iter().map(|epoch| epoch.seconds).sum();
        let restart = done.last().map_or(0, |last| last.restart);
        let current = done.iter().filter(|epoch| epoch.restart == restart);
        let epochs = current.map(|epoch| answered(request.id, epoch)).collect();
        let started = Instant::now();
        let worker_task =
            Task { worker: number, trial, attempt, request, totals, started, epochs, before };
        worker.task = Some(worker_task);
    }

    /// Ends the task of a trial, and its trainer with it.
    pub fn abandon(&mut self, trial: u32) {
        let at_it = |worker: &&mut Worker| worker.task.as_ref().is_some_and(|t| t.trial == trial);
        if let Some(worker) = self.workers.iter_mut().find(at_it) {
            worker.lose("", Blame::Unknown);
        }
    }

    /// What one of the busy workers has to say, waiting at most `patience` in all.
    pub fn listen(&mut self, patience: Duration) -> Heard {
        let busy = self.workers.iter().filter(|worker| worker.task.is_some()).count();
        let share = patience / u32::try_from(busy.max(1)).unwrap_or(1);
        for worker in &mut self.workers {
            match worker.listen(share) {
                Heard::Nothing => {}
                heard => return heard,
            }
        }
        Heard::Nothing
    }
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

impl Worker {
    fn listen(&mut self, patience: Duration) -> Heard {
        let (Some(task), Some(trainer)) = (&mut self.task, &mut self.trainer) else {
            return Heard::Nothing;
        };
        let id = task.request.id;
        let complaint = match trainer.listen(patience) {
            None => return Heard::Nothing,
            Some(Said::Hangs(why)) => why,
            Some(Said::Cut(fault)) => return self.lose("", Blame::Machine(fault.into())),
            Some(Said::Ended) => String::new(),
            Some(Said::Nonsense(line)) => format!("it said {line:?}"),
            Some(Said::Answer(answer)) => match answer {
                Answer::Progress { id: of, epoch, batch, batches } if of == id => {
                    match task.share(epoch, batch, batches) {
                        Some(share) => return Heard::Progress { trial: task.trial, epoch, share },
                        None => format!("it reported progress of epoch {epoch}"),
                    }
                }
                Answer::Epoch(epoch) if epoch.id == id => match task.push(epoch) {
                    Ok(finished) => return Heard::Epoch(finished),
                    Err(complaint) => complaint,
                },
                Answer::Checkpoint { id: of, restart, epoch, file } if of == id => {
                    match task.checkpoint(restart, epoch) {
                        Some(kept) => {
                            return Heard::Checkpoint { worker: task.worker, kept, file };
                        }
                        None => "it left a checkpoint of another epoch than the last".to_owned(),
                    }
                }
                Answer::Finished(finished) if finished.id == id && task.is_complete() => {
                    if finished.peak_memory <= MEMORY_MAX {
                        let (weights, predictions) = (finished.weights, finished.predictions);
                        let result = TaskResult::Trained { weights, predictions };
                        return self.ended(result, finished.peak_memory);
                    }
                    format!("it reported {} bytes of memory, which cannot be", finished.peak_memory)
                }
                Answer::Failed { id: of, reason, message } if of == id => {
                    return self.ended(TaskResult::Failed(reason, message), 0);
                }
                Answer::Error { id: of, message, cause, .. } if of == id => {
                    let message = cut(message, COMPLAINT_MAX);
                    let blame = match cause {
                        Some(ErrorCause::Machine) => {
                            Blame::Machine(Reported::Said(message.clone()))
                        }
                        _ => Blame::Trainer(message.clone()),
                    };
                    return self.lose(&message, blame);
                }
                other => format!("it said {other:?}, which is no answer to the request"),
            },
        };
        self.lose(&cut(complaint, COMPLAINT_MAX), Blame::Unknown)
    }

    fn ended(&mut self, result: TaskResult, peak_memory: u64) -> Heard {
        let Some(task) = self.task.take() else { return Heard::Nothing };
        let seconds = task.before + task.started.elapsed().as_secs_f64();
        Heard::Ended(Box::new(Ended { task, result, seconds, peak_memory }))
    }

    /// The trainer goes with the task: what state it is in is not known.
    fn lose(&mut self, complaint: &str, blame: Blame) -> Heard {
        let end = self.trainer.take().map(Talk::end).unwrap_or_default();
        let separator = if complaint.is_empty() { "" } else { "; " };
        let reason = format!("{complaint}{separator}{end}");
        match self.task.take() {
            Some(Task { trial, attempt, .. }) => Heard::Lost { trial, attempt, reason, blame },
            None => Heard::Nothing,
        }
    }
}
