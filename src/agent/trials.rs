//! The trials of a search or a run: planned, running, finished, failed, lost.

use std::collections::HashMap;

use super::Impossible;
use crate::arch::Architecture;
use crate::events::{
    CheckpointKept, EpochFinished, Event, Fold, Hash, Outcome, Recorded, TrialFinished,
    TrialPlanned,
};

/// Attempts that may be lost before a trial is given up.
pub const ATTEMPTS_MAX: u32 = 3;

/// One training of one architecture.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// What was planned.
    pub planned: TrialPlanned,
    /// How far it is.
    pub status: Status,
    /// Attempts so far, whatever came of them.
    pub attempts: u32,
    /// Attempts lost on the machine's account since it was last retried.
    pub lost: u32,
    /// The processes whose trainers lost these attempts.
    pub lost_by: Vec<String>,
    /// How often it was given up and tried again.
    pub retried: u32,
    /// The process whose trainer has it, or had it last.
    pub worker: String,
    /// Epochs of the running attempt, and of those it goes on from; none once the trial ended.
    pub epochs: Vec<EpochFinished>,
    /// Where the next attempt can go on.
    pub checkpoint: Option<CheckpointKept>,
    /// Checkpoints that nothing goes on from any more, and that are not released yet.
    pub stale: Vec<Hash>,
}

impl Trial {
    fn new(planned: TrialPlanned) -> Self {
        Self {
            planned,
            status: Status::Planned,
            attempts: 0,
            lost: 0,
            lost_by: Vec::new(),
            retried: 0,
            worker: String::new(),
            epochs: Vec::new(),
            checkpoint: None,
            stale: Vec::new(),
        }
    }

    /// Whether it has not ended.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.status, Status::Planned | Status::Running)
    }

    /// Whether this attempt is the one that is running.
    #[must_use]
    pub fn is_at(&self, attempt: u32) -> bool {
        self.status == Status::Running && self.attempts == attempt
    }

    /// It ended: nothing goes on from here.
    fn end(&mut self, status: Status) {
        self.status = status;
        self.epochs = Vec::new();
        self.stale.extend(self.checkpoint.take().map(|checkpoint| checkpoint.artifact));
    }
}

/// How far a trial is.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    /// Waits for a trainer.
    Planned,
    /// A trainer has it.
    Running,
    /// It ended.
    Finished(Outcome),
    /// It was given up.
    Lost,
}

/// All trials of one search or run, by ordinal from 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trials {
    list: Vec<Trial>,
    computers: Vec<Computer>,
    measured: HashMap<u32, Measured>,
}

/// What a training that ended took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Epochs done in the last restart.
    pub epochs: u32,
    /// Restarts used.
    pub restarts: u32,
    /// Seconds and, if known, bytes: facts of the machine. None if it was not trained here.
    pub machine: Option<(f64, Option<u64>)>,
}

impl Measured {
    fn of(finished: &TrialFinished) -> Self {
        let memory = Some(finished.peak_memory).filter(|&bytes| bytes > 0);
        let (epochs, restarts) = (finished.epochs, finished.restarts);
        Self { epochs, restarts, machine: Some((finished.seconds, memory)) }
    }
}

/// What training computes with, as far as its results depend on it bit by bit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computer {
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Trainer program and version.
    pub trainer: String,
    /// Numerical library and version.
    pub library: String,
    /// Instruction set of its CPU kernels.
    pub isa: String,
    /// `f32`, `bf16` or `bf16 emulated`.
    pub precision: String,
}

impl Computer {
    /// Whether the results of both can be expected to be equal: another number of the same kind of
    /// device does not matter.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let kind = |device: &str| device.split(':').next().map(ToOwned::to_owned);
        kind(&self.device) == kind(&other.device)
            && (&self.trainer, &self.library, &self.isa)
                == (&other.trainer, &other.library, &other.isa)
            && self.precision == other.precision
    }
}

impl Trials {
    /// All of them, in order.
    #[must_use]
    pub fn all(&self) -> &[Trial] {
        &self.list
    }

    /// The trial of this ordinal.
    #[must_use]
    pub fn get(&self, ordinal: u32) -> Option<&Trial> {
        self.list.get((ordinal as usize).checked_sub(1)?)
    }

    /// The ordinal of the next trial.
    #[must_use]
    pub fn next_ordinal(&self) -> u32 {
        u32::try_from(self.list.len()).unwrap_or(u32::MAX) + 1
    }

    /// What the training of this ordinal took.
    #[must_use]
    pub fn measured(&self, ordinal: u32) -> Option<Measured> {
        self.measured.get(&ordinal).copied()
    }

    /// What the attempts so far computed with, each once, in the order of first use.
    #[must_use]
    pub fn computers(&self) -> &[Computer] {
        &self.computers
    }

    /// The first trial that must be given up.
    #[must_use]
    pub fn hopeless(&self) -> Option<&Trial> {
        self.waiting().find(|trial| trial.lost >= ATTEMPTS_MAX)
    }

    /// The first trial that waits for a trainer, but for these.
    #[must_use]
    pub fn next_waiting(&self, left: &[u32]) -> Option<&Trial> {
        let wanted = |trial: &&Trial| !left.contains(&trial.planned.trial);
        self.waiting().filter(wanted).find(|trial| trial.lost < ATTEMPTS_MAX)
    }

    fn waiting(&self) -> impl Iterator<Item = &Trial> {
        self.list.iter().filter(|trial| trial.status == Status::Planned)
    }

    /// Trials that were given up.
    pub fn lost(&self) -> impl Iterator<Item = &Trial> {
        self.list.iter().filter(|trial| trial.status == Status::Lost)
    }

    /// Trials that a trainer has.
    pub fn running(&self) -> impl Iterator<Item = &Trial> {
        self.list.iter().filter(|trial| trial.status == Status::Running)
    }

    /// Trials that have not ended.
    #[must_use]
    pub fn open(&self) -> usize {
        self.list.iter().filter(|trial| trial.is_open()).count()
    }
}

/// Takes in events that concern trials; others are ignored.
impl Fold for Trials {
    type Error = Impossible;

    fn apply(&mut self, recorded: &Recorded) -> Result<(), Impossible> {
        let event = &recorded.event;
        match event {
            Event::TrialPlanned(planned) => {
                if planned.trial != self.next_ordinal() {
                    return Err(Impossible::of(event, "trials are numbered without gaps"));
                }
                self.list.push(Trial::new(planned.clone()));
            }
            Event::AttemptStarted(started) => {
                let trial = self.expect(started.trial, &Status::Planned, event)?;
                trial.attempts += 1;
                trial.status = Status::Running;
                trial.worker.clone_from(&started.worker);
                if started.attempt != trial.attempts {
                    return Err(Impossible::of(event, "attempts are numbered without gaps"));
                }
                match (started.continues, &trial.checkpoint) {
                    (None, _) => {
                        trial.epochs.clear();
                        trial.stale.extend(trial.checkpoint.take().map(|kept| kept.artifact));
                    }
                    (Some(from), Some(kept))
                        if (from.attempt, from.restart, from.epoch)
                            == (kept.attempt, kept.restart, kept.epoch) =>
                    {
                        let last = (from.restart, from.epoch);
                        trial.epochs.retain(|epoch| (epoch.restart, epoch.epoch) <= last);
                    }
                    _ => return Err(Impossible::of(event, "no such checkpoint is kept")),
                }
                let computer = Computer {
                    device: started.device.clone(),
                    trainer: started.trainer.clone(),
                    library: started.library.clone(),
                    isa: started.isa.clone(),
                    precision: started.computes_in().to_owned(),
                };
                if !self.computers.contains(&computer) {
                    self.computers.push(computer);
                }
            }
            Event::EpochFinished(epoch) => {
                let trial = self.expect_begun(epoch.trial, epoch.attempt, event)?;
                // One that was given up may still end the trial.
                if trial.is_at(epoch.attempt) {
                    trial.epochs.push(epoch.clone());
                }
            }
            Event::CheckpointKept(kept) => {
                let trial = self.expect_attempt(kept.trial, kept.attempt, event)?;
                let last = trial.epochs.last().map(|last| (last.restart, last.epoch));
                if last != Some((kept.restart, kept.epoch)) {
                    return Err(Impossible::of(event, "it is not of the last epoch"));
                }
                trial.stale.extend(trial.checkpoint.take().map(|before| before.artifact));
                trial.checkpoint = Some(kept.clone());
            }
            Event::PredictionsRecorded(made) => {
                self.expect_begun(made.trial, made.attempt, event)?;
            }
            Event::AttemptLost(lost) => {
                let trial = self.expect_attempt(lost.trial, lost.attempt, event)?;
                trial.status = Status::Planned;
                trial.lost += u32::from(lost.counts);
                if lost.counts && !trial.lost_by.contains(&trial.worker) {
                    trial.lost_by.push(trial.worker.clone());
                }
            }
            Event::TrialFinished(finished) => {
                self.measured.insert(finished.trial, Measured::of(finished));
                // Whoever was asked: the first result of an open trial ends it.
                let trial = self.expect_begun(finished.trial, finished.attempt, event)?;
                trial.end(Status::Finished(finished.outcome.clone()));
            }
            Event::TrialReused(reused) => {
                let (epochs, restarts) = (reused.epochs, reused.restarts);
                let measured = Measured { epochs, restarts, machine: None };
                self.measured.insert(reused.trial, measured);
                let trial = self.expect(reused.trial, &Status::Planned, event)?;
                trial.status = Status::Finished(reused.outcome.clone());
            }
            Event::TrialLost(lost) => {
                self.expect(lost.trial, &Status::Planned, event)?.end(Status::Lost);
            }
            Event::TrialRetried(retried) => {
                let trial = self.expect(retried.trial, &Status::Lost, event)?;
                if trial.retried != retried.before {
                    return Err(Impossible::of(event, "it was retried more or less often"));
                }
                (trial.status, trial.lost) = (Status::Planned, 0);
                trial.lost_by.clear();
                trial.retried += 1;
            }
            Event::ResultLate(late) => {
                let trial = self.get(late.trial).filter(|trial| !trial.is_open());
                if trial.is_none_or(|trial| !(1..=trial.attempts).contains(&late.attempt)) {
                    return Err(Impossible::of(event, "the trial has not ended"));
                }
            }
            Event::ArtifactReleased(released) => {
                let index = (released.trial as usize).wrapping_sub(1);
                let none = || Impossible::of(event, "nothing of this trial is kept");
                let trial = self.list.get_mut(index).ok_or_else(none)?;
                let stale = trial.stale.iter().position(|stale| *stale == released.artifact);
                match (stale, &mut trial.status) {
                    (Some(stale), _) => drop(trial.stale.swap_remove(stale)),
                    (None, Status::Finished(Outcome::Trained { kept, .. })) if *kept => {
                        *kept = false;
                    }
                    _ => return Err(none()),
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Trials {
    /// Takes in the trial of another search, which ended there.
    pub(super) fn inherit(&mut self, planned: TrialPlanned, outcome: Outcome) {
        let status = Status::Finished(outcome);
        self.list.push(Trial { status, ..Trial::new(planned) });
    }

    fn expect(
        &mut self,
        ordinal: u32,
        status: &Status,
        event: &Event,
    ) -> Result<&mut Trial, Impossible> {
        (ordinal as usize)
            .checked_sub(1)
            .and_then(|index| self.list.get_mut(index))
            .filter(|trial| trial.status == *status)
            .ok_or_else(|| Impossible::of(event, "the trial is not in that state"))
    }

    /// A trial that has not ended, and an attempt at it, running or given up.
    fn expect_begun(
        &mut self,
        ordinal: u32,
        attempt: u32,
        event: &Event,
    ) -> Result<&mut Trial, Impossible> {
        (ordinal as usize)
            .checked_sub(1)
            .and_then(|index| self.list.get_mut(index))
            .filter(|trial| trial.is_open() && (1..=trial.attempts).contains(&attempt))
            .ok_or_else(|| Impossible::of(event, "the trial has ended, or had no such attempt"))
    }

    fn expect_attempt(
        &mut self,
        ordinal: u32,
        attempt: u32,
        event: &Event,
    ) -> Result<&mut Trial, Impossible> {
        let trial = self.expect(ordinal, &Status::Running, event)?;
        if trial.attempts == attempt {
            Ok(trial)
        } else {
            Err(Impossible::of(event, "another attempt is running"))
        }
    }
}

/// Seed of a training: by search seed, topology and repetition, not by order.
#[must_use]
pub fn training_seed(seed: u64, architecture: &Architecture, repeat: u32) -> u64 {
    let purpose = format!("train {architecture}");
    crate::chance::Stream::new(seed, &purpose, repeat.into()).bits()
}
