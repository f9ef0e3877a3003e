//! The engine: carries out a search or a run, event by event.
//!
//! One thread owns the state. It asks the job what happens next, records it, gives tasks to
//! trainers and listens to them. Whatever it knows it knows from the log, so it can be killed
//! anywhere and taken up again.

pub mod attack;
pub mod attacks;
pub mod collecting;
pub mod crew;
pub mod devices;
pub mod ensembles;
pub mod error;
pub mod estimate;
pub mod faults;
pub mod forking;
pub mod importing;
pub mod inbox;
pub mod jobs;
pub mod journal;
pub mod keeper;
pub mod measure;
mod micro_batch;
mod openings;
pub mod posts;
pub mod predictions;
pub mod preflight;
pub mod prepare;
pub mod presence;
pub mod references;
pub mod repairs;
mod results;
pub mod series;
pub mod session;
pub mod studies;
pub mod watch;
pub mod workplace;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::agent::trials::{ATTEMPTS_MAX, Computer, Trial};
use crate::agent::{Decision, Impossible, Job, Terms};
use crate::data::DataError;
use crate::events::{
    ArtifactReleased, AttemptLost, AttemptStarted, CheckpointKept, Continues, Event, Fold as _,
    Recorded, Resumed, Scope, folding,
};
use crate::log::{EventLog, LogError};
use crate::trainer::process::StartError;
use crate::trainer::protocol::{DataRequest, Hello, InitialRequest, ResumeRequest, TrainRequest};
use crew::{Crew, Heard, Ready};
use faults::{MachineFault, Room};
use jobs::Index;
use journal::{Journal, JournalError};
use keeper::Keeper;
use presence::{Absence, Presence};

/// How long to listen to trainers before looking whether a stop was asked for.
const TICK: Duration = Duration::from_millis(10);
/// How long to listen for results that come too late to count.
const LATE: Duration = Duration::from_millis(250);
/// How often to look for what others recorded, and whether they still live.
const LOOK: Duration = Duration::from_millis(50);
/// Attempts in a row that are lost by the trainers of a process, three for each of three trials,
/// after which it gives up: something is wrong with the machine. Others may go on.
pub const LOST_IN_A_ROW_MAX: u32 = 3 * ATTEMPTS_MAX;
/// Errors in a row after which no trainer is asked any more.
pub const REFUSED_IN_A_ROW_MAX: u32 = 3;

/// How a search or run came to an end, for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Nothing is left to do.
    Finished,
    /// It was asked to stop; it can be resumed.
    Interrupted,
    /// Too many trials were lost in a row; it can be resumed. The reason of the last loss.
    Lost(String),
    /// The trainer cannot do what it is asked, and says so again and again; it can be resumed. What
    /// it says.
    Refused(String),
}

/// What can go wrong while a search or run is carried out.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The log refused.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An artifact could not be kept.
    #[error(transparent)]
    Log(#[from] LogError),
    /// No trainer could be started.
    #[error(transparent)]
    Trainer(#[from] StartError),
    /// The machine cannot go on: no space, a folder that is gone, a device that fails.
    #[error(transparent)]
    Machine(#[from] MachineFault),
    /// An image is gone, or is another one than before.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The engine recorded what cannot be: a mistake in this program.
    #[error("{0}")]
    Impossible(#[from] Impossible),
    /// The same in an attack.
    #[error("{0}")]
    Attack(#[from] crate::adversary::job::Impossible),
}

/// Where things lie on this machine, and how it computes. Recorded, but never decisive.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Folder of the data set.
    pub data: PathBuf,
    /// File with the split.
    pub split: PathBuf,
    /// Host name.
    pub host: String,
    /// Threads a trainer computes with on a CPU.
    pub threads: u32,
}

/// What a person may want to see.
#[derive(Debug)]
pub enum News<'a> {
    /// An event was recorded and is part of the state.
    Recorded(&'a Event),
    /// A trainer was started.
    Trainer(&'a Hello),
    /// A trial is being trained.
    Progress {
        /// Its ordinal.
        trial: u32,
        /// Epoch, from 1.
        epoch: u32,
        /// Share of the epoch that is done.
        share: f64,
    },
    /// Training goes on with something else than before: its results may differ in some bits.
    OtherComputer {
        /// What the last attempt computed with.
        before: Computer,
        /// What the next one will.
        now: Computer,
    },
    /// The checkpoint of this trial is gone or damaged: it starts anew.
    Anew(u32),
    /// There is little free space.
    LowSpace(&'a Room),
    /// Asked to stop: the running trial, or its running epoch, is the last.
    Stopping,
}

/// Sees what happens.
pub trait Report {
    /// Something happened; `job` is the state after it.
    fn news(&mut self, job: &dyn Job, news: &News<'_>);
}

impl Report for () {
    fn news(&mut self, _: &dyn Job, _: &News<'_>) {}
}

/// Everything needed to carry out one job.
pub struct Engine<'a, L> {
    /// Whose events they are.
    pub scope: Scope,
    /// The state.
    pub job: &'a mut dyn Job,
    /// The way into the log.
    pub journal: &'a mut Journal<L>,
    /// What else the log holds.
    pub index: &'a mut Index,
    /// This process among those that carry the job on.
    pub presence: &'a mut dyn Presence,
    /// Who trains.
    pub crew: Crew,
    /// Who keeps weights.
    pub keeper: Keeper,
    /// Results that are taken over instead of trained.
    pub reusable: series::Reusable,
    /// Where things lie.
    pub machine: Machine,
    /// Whether it was asked to stop.
    pub stop: &'a dyn Fn() -> bool,
    /// Who watches.
    pub report: &'a mut dyn Report,
    /// Whether a person was warned of little free space.
    pub warned: bool,
    /// How often in a row trainers said that they cannot do what they were asked, and in which words
    /// last.
    pub refused: Option<(u32, String)>,
    /// Attempts in a row that the trainers of this process lost.
    pub lost_in_a_row: u32,
    /// When it was last looked what others do.
    pub looked: Option<Instant>,
}

impl<L: EventLog> Engine<'_, L> {
    /// Says that this process goes on with a job that others may have begun. Before the first trial
    /// there is nothing to go on with.
    ///
    /// # Errors
    /// [`EngineError`] if that cannot be recorded.
    pub fn resume(&mut self, resumed: Resumed) -> Result<(), EngineError> {
        let event = [Event::from(resumed)];
        self.read_on()?;
        while !self.job.trials().all().is_empty() && !self.record(&event)? {}
        Ok(())
    }

    /// Carries on until nothing is left to do, or it is asked to stop. Other processes may carry on the
    /// same job: each decides from the same record, so the first to record is right, and the others
    /// decide again.
    ///
    /// # Errors
    /// [`EngineError`]. What is recorded by then is whole, and can be resumed.
    pub fn run(&mut self) -> Result<Ending, EngineError> {
        let (mut told, mut last_loss) = (false, String::new());
        loop {
            self.look()?;
            self.release_surplus()?;
            if let Some((REFUSED_IN_A_ROW_MAX.., said)) = &self.refused {
                return Ok(Ending::Refused(said.clone()));
            }
            let stopping = (self.stop)();
            if stopping && !told {
                told = true;
                self.report.news(self.job, &News::Stopping);
            }
            match self.job.decide(self.crew.has_idle() && !stopping) {
                Decision::Record(batch) => drop(self.record(&batch)?),
                Decision::Train(_) if self.lost_in_a_row >= LOST_IN_A_ROW_MAX => {
                    return Ok(Ending::Lost(last_loss));
                }
                Decision::Train(trial) => self.assign(trial)?,
                Decision::Wait if self.crew.is_busy() => match self.listen(TICK)? {
                    Heard::Lost { reason, .. } => last_loss = reason,
                    // All that was done is kept: nothing has to be waited for.
                    Heard::Checkpoint { kept, .. } if stopping => self.interrupt(&kept)?,
                    _ => self.take_over()?,
                },
                Decision::Wait if stopping || self.job.trials().running().next().is_none() => {
                    return Ok(Ending::Interrupted);
                }
                Decision::Wait => {
                    // Others are at work.
                    self.take_over()?;
                    std::thread::sleep(TICK);
                }
                Decision::Done => {
                    self.hear_late_results()?;
                    return Ok(Ending::Finished);
                }
            }
        }
    }

    /// Records a batch that was decided from the job's state. `false`: another process recorded
    /// something of this job first, which is taken in; it has to be decided again.
    fn record(&mut self, batch: &[Event]) -> Result<bool, EngineError> {
        let (scope, index) = (self.scope, &mut *self.index);
        let mut others = Vec::new();
        let recorded = self.journal.record(scope, batch, |recorded| {
            let Ok(()) = index.apply(recorded);
            others.extend(Some(recorded.clone()).filter(|recorded| recorded.scope == scope));
        })?;
        let ours = recorded.map(<[Recorded]>::to_vec);
        if let Some(ours) = &ours {
            self.keeper.settled();
            ours.iter().for_each(folding(index));
        }
        self.follow(&others)?;
        self.follow(ours.as_deref().unwrap_or_default())?;
        Ok(ours.is_some())
    }

    /// Records facts about an attempt of this process, unless its trial has ended: then `false`.
    fn record_facts(
        &mut self,
        (trial, attempt): (u32, u32),
        facts: &[Event],
    ) -> Result<bool, EngineError> {
        let goes_on = |trial: &Trial| trial.is_open() && attempt <= trial.attempts;
        while self.job.trials().get(trial).is_some_and(goes_on) {
            if self.record(facts)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Records that an attempt gave no result, unless that is recorded already.
    fn record_loss(&mut self, lost: AttemptLost) -> Result<(), EngineError> {
        let (trial, attempt) = (lost.trial, lost.attempt);
        let event = [Event::from(lost)];
        while self.job.trials().get(trial).is_some_and(|trial| trial.is_at(attempt)) {
            if self.record(&event)? {
                break;
            }
        }
        Ok(())
    }

    /// Takes in what was recorded of this job.
    fn follow(&mut self, recorded: &[Recorded]) -> Result<(), EngineError> {
        for recorded in recorded {
            self.job.apply(recorded)?;
            self.report.news(self.job, &News::Recorded(&recorded.event));
        }
        Ok(())
    }

    /// Takes in what others recorded.
    fn read_on(&mut self) -> Result<(), EngineError> {
        let (scope, index) = (self.scope, &mut *self.index);
        let mut others = Vec::new();
        self.journal.catch_up(|recorded| {
            let Ok(()) = index.apply(recorded);
            others.extend(Some(recorded.clone()).filter(|recorded| recorded.scope == scope));
        })?;
        self.follow(&others)
    }

    /// Now and then: says that this process is at work, takes in what others recorded, and gives up
    /// the attempts of those that have ended. Such attempts count against nobody.
    fn look(&mut self) -> Result<(), EngineError> {
        self.presence.beat();
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return Ok(());
        }
        self.read_on()?;
        self.looked = Some(Instant::now());
        for (trial, attempt, absence) in self.absent() {
            if absence == Absence::Ended {
                let reason = "qtrail ended before the trainer did".to_owned();
                self.record_loss(AttemptLost { trial, attempt, counts: false, reason })?;
            }
        }
        Ok(())
    }

    /// With nothing else to do, gives up an attempt of a process that is suspended: its trial is
    /// trained here. Should its result come all the same, the first of both counts.
    fn take_over(&mut self) -> Result<(), EngineError> {
        if !self.crew.has_idle() || (self.stop)() {
            return Ok(());
        }
        let silent =
            self.absent().into_iter().find_map(|(trial, attempt, absence)| match absence {
                Absence::Silent(time) => Some((trial, attempt, time)),
                Absence::Ended => None,
            });
        let Some((trial, attempt, time)) = silent else { return Ok(()) };
        let reason = format!("its process was not heard of for {:.0} s", time.as_secs_f64());
        self.record_loss(AttemptLost { trial, attempt, counts: false, reason })
    }

    /// Running attempts of other processes that do not work.
    fn absent(&self) -> Vec<(u32, u32, Absence)> {
        let running = self.job.trials().running();
        let others = running.filter(|trial| trial.worker != self.presence.name());
        let absent = others.filter_map(|trial| {
            Some((trial.planned.trial, trial.attempts, self.presence.absent(&trial.worker)?))
        });
        absent.collect()
    }

    /// All is done, and a trainer of this process may have done some of it too: what it has to say
    /// by now is recorded.
    fn hear_late_results(&mut self) -> Result<(), EngineError> {
        while self.crew.is_busy() && !matches!(self.listen(LATE)?, Heard::Nothing) {}
        Ok(())
    }

    fn assign(&mut self, ordinal: u32) -> Result<(), EngineError> {
        let trial = self.job.trials().get(ordinal);
        if let Some(reused) = trial.and_then(|trial| self.reusable.get(trial)) {
            return self.record(&[reused.into()]).map(drop);
        }
        let room = self.keeper.check(self.expected_bytes(ordinal))?;
        if let Some(room) = room.filter(|room| room.free < faults::LOW && !self.warned) {
            self.warned = true;
            self.report.news(self.job, &News::LowSpace(&room));
        }
        let Some(Ready { worker, device, hello }) = self.crew.muster()? else { return Ok(()) };
        self.keeper.sweep(worker);
        self.report.news(self.job, &News::Trainer(&hello));
        self.warn_of_another_computer(&device, &hello);
        let Some(trial) = self.job.trials().get(ordinal).cloned() else { return Ok(()) };
        let attempt = trial.attempts + 1;
        let mut request = self.request(&trial, worker, device.clone())?;
        let mut from = None;
        if let Some(&CheckpointKept { attempt, restart, epoch, artifact, .. }) =
            trial.checkpoint.as_ref()
            && let Some(file) = self.keeper.sound(artifact)?
        {
            request.resume = Some(ResumeRequest { file, restart, epoch });
            from = Some(Continues { attempt, restart, epoch });
        }
        if trial.checkpoint.is_some() && from.is_none() {
            self.report.news(self.job, &News::Anew(ordinal));
        }
        let started = AttemptStarted {
            trial: ordinal,
            attempt,
            device,
            threads: request.threads,
            trainer: hello.program,
            library: hello.library,
            isa: hello.isa,
            host: self.machine.host.clone(),
            continues: from,
            worker: self.presence.name().to_owned(),
        };
        if !self.record(&[started.into()])? {
            return Ok(()); // somebody else may have the trial now
        }
        let done = self.job.trials().get(ordinal).map_or(&[][..], |trial| &trial.epochs);
        let totals = self.totals(ordinal);
        self.crew.assign(worker, (ordinal, attempt), request, totals, done);
        Ok(())
    }

    fn warn_of_another_computer(&mut self, device: &str, hello: &Hello) {
        let now = Computer {
            device: device.to_owned(),
            trainer: hello.program.clone(),
            library: hello.library.clone(),
            isa: hello.isa.clone(),
        };
        let computers = self.job.trials().computers();
        if let Some(before) = computers.last().cloned()
            && !computers.iter().any(|known| known.is_like(&now))
        {
            self.report.news(self.job, &News::OtherComputer { before, now });
        }
    }

    fn request(
        &self,
        trial: &Trial,
        worker: usize,
        device: String,
    ) -> Result<TrainRequest, EngineError> {
        let (config, data) = (self.job.config(), self.job.data());
        let Terms { fit, initial, predicted, by_epoch } = self.job.terms(trial.planned.trial);
        let initial = match initial {
            None => None,
            Some(initial) => {
                let gone = LogError::NoArtifact { hash: initial.weights };
                let file = self.keeper.sound(initial.weights)?.ok_or(gone)?;
                Some(InitialRequest { file, layers: initial.layers, freeze: initial.freeze })
            }
        };
        Ok(TrainRequest {
            id: 0, // the crew numbers requests
            architecture: trial.planned.architecture.clone(),
            recipe: config.recipe.clone(),
            seed: trial.planned.seed,
            data: DataRequest {
                name: data.name.clone(),
                folder: self.machine.data.clone(),
                channels: data.channels,
                side: data.side,
                classes: data.classes,
                split: self.machine.split.clone(),
                resize: config.data.resize,
                extra: config.data.extra,
                seed: config.data.seed,
                fit,
            },
            device,
            threads: self.machine.threads,
            weights: config.reward.accuracy,
            staging: self.keeper.staging(worker),
            initial,
            checkpoints: by_epoch,
            resume: None,
            predict: predicted.is_some(),
        })
    }

    fn listen(&mut self, patience: Duration) -> Result<Heard, EngineError> {
        let heard = self.crew.listen(patience);
        match heard.clone() {
            Heard::Nothing => {}
            Heard::Progress { trial, epoch, share } => {
                self.report.news(self.job, &News::Progress { trial, epoch, share });
            }
            Heard::Epoch(epoch) => {
                let of = (epoch.trial, epoch.attempt);
                self.record_facts(of, &[epoch.into()])?;
            }
            Heard::Checkpoint { worker, kept, file } => {
                self.keep_checkpoint(worker, kept, &file)?;
            }
            Heard::Ended(ended) => self.finish(*ended)?,
            Heard::Lost { trial, attempt, reason, blame } => {
                self.lose(trial, attempt, reason, blame)?;
            }
        }
        Ok(heard)
    }

    /// Ends a training that can go on from a checkpoint.
    fn interrupt(&mut self, kept: &CheckpointKept) -> Result<(), EngineError> {
        let CheckpointKept { trial, attempt, epoch, .. } = *kept;
        if !self.job.trials().get(trial).is_some_and(|trial| trial.is_at(attempt)) {
            return Ok(()); // it was lost
        }
        self.crew.abandon(trial);
        let reason = format!("interrupted after epoch {epoch}");
        self.record_loss(AttemptLost { trial, attempt, counts: false, reason })
    }

    fn release_surplus(&mut self) -> Result<(), EngineError> {
        while let Some(surplus) = self.keeper.surplus(self.job) {
            let (trial, artifact) = (surplus.trial, surplus.artifact);
            if self.record(&[ArtifactReleased { trial, artifact }.into()])? {
                self.keeper.released(artifact);
            }
        }
        self.remove_released()
    }

    /// Removes the files of what was released, unless somebody relies on artifacts just now: then
    /// it is tried again later. What is left in the end, `qtrail artifacts gc` removes.
    fn remove_released(&mut self) -> Result<(), EngineError> {
        let Some(removal) = self.keeper.removal()? else { return Ok(()) };
        // Somebody else may have named the same bytes meanwhile.
        self.read_on()?;
        let references = self.index.references();
        Ok(self.keeper.remove_released(&removal, |hash| !references.names(hash).is_empty())?)
    }
}

#[cfg(test)]
mod run_tests;
#[cfg(test)]
mod tests;
