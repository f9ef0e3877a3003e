//! Searches and runs as [`Work`]: a task is a trial, each attempt at which is recorded. Several
//! processes may carry on the same one.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use super::attempt::{Attempt, Fact};
use super::keeper::Keeper;
use super::news::{News, Report, Seen, Task};
use super::pool::Pool;
use super::presence::{Absence, Presence};
use super::series::Reusable;
use super::session::{Session, SessionError};
use super::{Ending, Engine, EngineError, LOST_IN_A_ROW_MAX, Machine, SoFar, Work};
use crate::agent::trials::{ATTEMPTS_MAX, Computer, Status, Trial};
use crate::agent::{Decision, Impossible, Terms, Training};
use crate::config::recipe::Precision;
use crate::events::{
    ArtifactReleased, AttemptLost, AttemptStarted, CheckpointKept, Continues, Event, Recorded,
    Resumed, Scope, folding,
};
use crate::log::artifacts::ArtifactHash;
use crate::log::{EventLog, LogError};
use crate::trainer::cut;
use crate::trainer::protocol::{
    Answer, Arithmetic, DataRequest, Hello, InitialRequest, ResumeRequest, TrainRequest,
};

/// How often to look for what others recorded, and whether they still live.
const LOOK: Duration = Duration::from_millis(50);

/// A search or run, as this process carries it on.
pub struct Trainings<'a> {
    /// The state.
    pub job: &'a mut dyn Training,
    /// This process among those that carry it on.
    pub presence: &'a mut dyn Presence,
    /// Results that are taken over instead of trained.
    pub reusable: Reusable,
    /// When it was last looked what others do.
    pub looked: Option<Instant>,
    /// Trials that are left to others, as of then: one broken trainer does not use up all attempts.
    pub left: Vec<u32>,
    /// Whether trainers of this process lost an attempt and another process works, as of then.
    pub others_work: bool,
}

impl Trainings<'_> {
    fn trial(&self, ordinal: u32) -> Option<&Trial> {
        self.job.trials().get(ordinal)
    }

    pub(super) fn is_at(&self, trial: u32, attempt: u32) -> bool {
        self.trial(trial).is_some_and(|trial| trial.is_at(attempt))
    }

    /// Finds what is left to others: waiting trials that trainers of this process lost, and that a
    /// process which works has not lost.
    fn leave(&mut self) {
        let me = self.presence.name();
        let all = self.job.trials().all();
        (self.left, self.others_work) = (Vec::new(), false);
        if !all.iter().any(|trial| trial.lost_by.iter().any(|worker| worker == me)) {
            return;
        }
        let others: BTreeSet<&str> = all
            .iter()
            .map(|trial| trial.worker.as_str())
            .filter(|worker| !worker.is_empty() && *worker != me)
            .collect();
        let living: Vec<&str> =
            others.into_iter().filter(|worker| self.presence.absent(worker).is_none()).collect();
        let has_lost = |trial: &Trial, worker: &str| trial.lost_by.iter().any(|one| one == worker);
        let left = all.iter().filter(|trial| {
            trial.status == Status::Planned
                && has_lost(trial, me)
                && living.iter().any(|worker| !has_lost(trial, worker))
        });
        self.others_work = !living.is_empty();
        self.left = left.map(|trial| trial.planned.trial).collect();
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
}

impl Work for Trainings<'_> {
    type Task = u32;
    type Piece = Attempt;
    const REFUSALS_COUNT: bool = false;

    fn decide(&self, _: &Pool<Attempt>, idle: &[usize]) -> Decision<(usize, u32)> {
        self.job.decide(!idle.is_empty(), &self.left).and_then(|ordinal| {
            let reused = self.trial(ordinal).and_then(|trial| self.reusable.get(trial));
            match (reused, idle) {
                (Some(reused), _) => Decision::Record(vec![reused.into()]),
                (None, [worker, ..]) => Decision::Do((*worker, ordinal)),
                (None, []) => Decision::Wait,
            }
        })
    }

    fn apply(&mut self, recorded: &Recorded) -> Result<(), Impossible> {
        self.job.apply(recorded)
    }

    fn seen(&self) -> Seen<'_> {
        Seen::Training(&*self.job)
    }

    fn expected_bytes(&self, ordinal: u32) -> u64 {
        self.expected_bytes_of(ordinal)
    }

    fn task(piece: &Attempt) -> u32 {
        piece.trial
    }

    fn has_others(&self) -> bool {
        self.job.trials().running().next().is_some() || !self.left.is_empty()
    }

    fn losses_max(&self) -> u32 {
        if self.others_work { ATTEMPTS_MAX } else { LOST_IN_A_ROW_MAX }
    }

    fn begin<L: EventLog>(
        engine: &mut Engine<'_, L, Self>,
        worker: usize,
        ordinal: u32,
        hello: Hello,
    ) -> Result<(), EngineError> {
        let device = engine.pool.device(worker);
        let Some(trial) = engine.work.trial(ordinal).cloned() else { return Ok(()) };
        let attempt = trial.attempts + 1;
        let mut request = engine.request(&trial, worker, device.clone())?;
        let precision = precision_text(&hello, &device, request.recipe.precision);
        engine.warn_of_another_computer(&Computer {
            device: device.clone(),
            trainer: hello.program.clone(),
            library: hello.library.clone(),
            isa: hello.isa.clone(),
            precision: precision.clone(),
        });
        let mut from = None;
        if let Some(&CheckpointKept { attempt, restart, epoch, artifact, .. }) =
            trial.checkpoint.as_ref()
            && let Some(file) = engine.keeper.sound(artifact)?
        {
            request.resume = Some(ResumeRequest { file, restart, epoch });
            from = Some(Continues { attempt, restart, epoch });
        }
        if trial.checkpoint.is_some() && from.is_none() {
            engine.tell(&News::Anew(ordinal));
        }
        let started = AttemptStarted {
            trial: ordinal,
            attempt,
            device,
            threads: request.threads,
            trainer: hello.program,
            library: hello.library,
            isa: hello.isa,
            host: engine.machine.host.clone(),
            continues: from,
            worker: engine.work.presence.name().to_owned(),
            precision,
        };
        if !engine.record(&[started.into()])? {
            return Ok(()); // somebody else may have the trial now
        }
        let done = engine.work.trial(ordinal).map_or(&[][..], |trial| &trial.epochs);
        let totals = engine.work.totals(ordinal);
        let attempt = Attempt::new((ordinal, attempt), request, totals, done);
        engine.pool.assign(worker, attempt);
        Ok(())
    }

    fn hear<L: EventLog>(
        engine: &mut Engine<'_, L, Self>,
        worker: usize,
        answer: Answer,
    ) -> Result<(), EngineError> {
        let Some(attempt) = engine.pool.task_mut(worker) else { return Ok(()) };
        let (trial, number) = (attempt.trial, attempt.attempt);
        match attempt.hear(answer) {
            Err(complaint) => engine.complain(worker, complaint),
            Ok(Fact::Progress(epoch, share)) => {
                engine.tell(&News::Progress { task: Task::Trial(trial), epoch, share });
                Ok(())
            }
            Ok(Fact::Epoch(epoch)) => {
                // One that was given up may still end the trial.
                let open = |work: &Self| {
                    let goes_on = |trial: &Trial| trial.is_open() && number <= trial.attempts;
                    work.trial(trial).is_some_and(goes_on)
                };
                engine.record_while(open, &[epoch.into()]).map(drop)
            }
            Ok(Fact::Checkpoint(kept, file)) => engine.keep_checkpoint(worker, kept, &file),
            Ok(Fact::Ended(result, memory)) => match engine.pool.release(worker) {
                Some(attempt) => engine.finish(worker, attempt, result, memory),
                None => Ok(()),
            },
        }
    }

    fn lost<L: EventLog>(
        engine: &mut Engine<'_, L, Self>,
        attempt: Attempt,
        reason: String,
        counts: bool,
    ) -> Result<(), EngineError> {
        let Attempt { trial, attempt, .. } = attempt;
        engine.work.looked = None; // before it is given to anybody
        let reason = cut(reason, AttemptLost::BYTES);
        engine.record_loss(AttemptLost { trial, attempt, counts, reason })
    }

    fn look<L: EventLog>(engine: &mut Engine<'_, L, Self>) -> Result<(), EngineError> {
        engine.look_at_others()?;
        engine.release_surplus()
    }

    fn wait<L: EventLog>(engine: &mut Engine<'_, L, Self>) -> Result<(), EngineError> {
        engine.take_over()
    }
}

impl<L: EventLog> Engine<'_, L, Trainings<'_>> {
    /// Says that this process goes on with a job that others may have begun. Before the first trial
    /// there is nothing to go on with.
    ///
    /// # Errors
    /// [`EngineError`] if that cannot be recorded.
    pub fn resume(&mut self, resumed: Resumed) -> Result<(), EngineError> {
        let event = [Event::from(resumed)];
        self.read_on()?;
        let has_begun = |work: &Trainings<'_>| !work.job.trials().all().is_empty();
        self.record_while(has_begun, &event).map(drop)
    }

    /// Records that an attempt gave no result, unless that is recorded already.
    fn record_loss(&mut self, lost: AttemptLost) -> Result<(), EngineError> {
        let (trial, attempt) = (lost.trial, lost.attempt);
        self.record_while(|work| work.is_at(trial, attempt), &[lost.into()]).map(drop)
    }

    /// Now and then: says that this process is at work, takes in what others recorded, and gives up
    /// the attempts of those that have ended. Such attempts count against nobody.
    fn look_at_others(&mut self) -> Result<(), EngineError> {
        self.work.presence.beat();
        if self.work.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return Ok(());
        }
        self.read_on()?;
        self.work.looked = Some(Instant::now());
        for (trial, attempt, absence) in self.work.absent() {
            if absence == Absence::Ended {
                let reason = "qtrail ended before the trainer did".to_owned();
                self.record_loss(AttemptLost { trial, attempt, counts: false, reason })?;
            }
        }
        self.work.leave();
        Ok(())
    }

    /// With nothing else to do, gives up an attempt of a process that is suspended: its trial is
    /// trained here. Should its result come all the same, the first of both counts.
    fn take_over(&mut self) -> Result<(), EngineError> {
        if self.pool.idle().is_empty() || self.so_far.stopping {
            return Ok(());
        }
        let silent =
            self.work.absent().into_iter().find_map(|(trial, attempt, absence)| match absence {
                Absence::Silent(time) => Some((trial, attempt, time)),
                Absence::Ended => None,
            });
        let Some((trial, attempt, time)) = silent else { return Ok(()) };
        let reason = format!("its process was not heard of for {:.0} s", time.as_secs_f64());
        self.record_loss(AttemptLost { trial, attempt, counts: false, reason })
    }

    fn warn_of_another_computer(&mut self, now: &Computer) {
        let computers = self.work.job.trials().computers();
        if let Some(before) = computers.last()
            && !computers.iter().any(|known| known.is_like(now))
        {
            let line = |c: &Computer| {
                let Computer { device, trainer, library, isa, precision } = c;
                format!("{trainer} {library} on {device} ({isa}, {precision})")
            };
            let (before, now) = (line(before), line(now));
            self.tell(&News::OtherComputer { before, now });
        }
    }

    fn request(
        &self,
        trial: &Trial,
        worker: usize,
        device: String,
    ) -> Result<TrainRequest, EngineError> {
        let (config, data) = (self.work.job.config(), self.work.job.data());
        let Terms { fit, initial, predicted, by_epoch } = self.work.job.terms(trial.planned.trial);
        let initial = match initial {
            None => None,
            Some(initial) => {
                let gone = LogError::NoArtifact { hash: initial.weights };
                let file = self.keeper.sound(initial.weights)?.ok_or(gone)?;
                Some(InitialRequest { file, layers: initial.layers, freeze: initial.freeze })
            }
        };
        Ok(TrainRequest {
            id: 0, // the pool numbers requests
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
            staging: self.pool.staging(worker),
            initial,
            checkpoints: by_epoch,
            resume: None,
            predict: predicted.is_some(),
        })
    }

    /// Ends an attempt that can go on from the checkpoint it left: all that was done is kept.
    pub(super) fn interrupt(
        &mut self,
        worker: usize,
        kept: &CheckpointKept,
    ) -> Result<(), EngineError> {
        let CheckpointKept { trial, attempt, epoch, .. } = *kept;
        self.pool.dismiss(worker, String::new());
        self.pool.release(worker);
        let reason = format!("interrupted after epoch {epoch}");
        self.record_loss(AttemptLost { trial, attempt, counts: false, reason })
    }

    fn release_surplus(&mut self) -> Result<(), EngineError> {
        while let Some(surplus) = self.keeper.surplus(self.work.job) {
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

/// What an attempt on `device` computes in, as it is recorded.
fn precision_text(hello: &Hello, device: &str, precision: Precision) -> String {
    match hello.arithmetic(device, precision) {
        Some(Arithmetic::Emulated) => format!("{precision} emulated"),
        Some(Arithmetic::Native) | None => precision.to_string(),
    }
}

/// Carries on a search or run whose lock is held, on the images in `folder`.
///
/// # Errors
/// [`SessionError`]. What is recorded by then is whole, and can be resumed.
pub fn carry_on(
    session: &mut Session,
    scope: Scope,
    job: &mut dyn Training,
    folder: &Path,
    stop: &dyn Fn() -> bool,
    report: &mut dyn Report,
) -> Result<Ending, SessionError> {
    let (pool, reusable) =
        (session.pool_for(job.config().recipe.precision)?, reusable(session, scope)?);
    let artifacts = session.store.artifacts();
    let threads = session.trainers().and_then(|one| one.threads).unwrap_or(job.threads());
    let split = artifacts.path(ArtifactHash(job.data().split.0));
    let machine = Machine { data: folder.to_owned(), split, ..Machine::here(threads) };
    let resumed =
        Resumed { program: session.surroundings.program.clone(), host: machine.host.clone() };
    session.presence()?;
    let Some(presence) = &mut session.presence else { return Ok(Ending::Interrupted) };
    let mut engine = Engine {
        scope,
        work: Trainings {
            job,
            presence,
            reusable,
            looked: None,
            left: Vec::new(),
            others_work: false,
        },
        journal: &mut session.journal,
        index: &mut session.index,
        pool,
        keeper: Keeper::new(Some(artifacts)),
        machine,
        stop,
        report,
        so_far: SoFar::default(),
    };
    engine.resume(resumed)?;
    Ok(engine.run()?)
}

/// How many other processes train trials of a search or run just now.
///
/// # Errors
/// [`SessionError`] if this process cannot say that it is at work.
pub fn others_at_work(session: &mut Session, job: &dyn Training) -> Result<usize, SessionError> {
    let presence = session.presence()?;
    let running = job.trials().running().map(|trial| trial.worker.as_str());
    let others: BTreeSet<&str> = running.filter(|worker| *worker != presence.name()).collect();
    let at_work = |worker: &&str| presence.absent(worker).is_none();
    Ok(others.into_iter().filter(at_work).count())
}

/// The results that the repetition `of` may take over, if its series says so: those of earlier
/// repetitions.
fn reusable(session: &mut Session, of: Scope) -> Result<Reusable, SessionError> {
    let series = session.index().series_of(of);
    let reusable = series.and_then(|series| Reusable::before(of, series));
    let Some(mut reusable) = reusable else { return Ok(Reusable::default()) };
    session.journal.reread(folding(&mut reusable))?;
    Ok(reusable)
}
