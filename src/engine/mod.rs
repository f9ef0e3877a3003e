//! The engine: carries out a search, a run or an attack, event by event.
//!
//! One thread owns the state. It asks the job what happens next, records it, gives tasks to the
//! trainers of its [`pool`] and listens to them. Whatever it knows it knows from the log, so it can be
//! killed anywhere and resumed. What is particular to a kind of job is its [`Work`]: [`trainings`] or
//! [`attack`].

pub mod attack;
pub mod attacks;
pub mod attempt;
pub mod collecting;
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
pub mod news;
pub mod openings;
pub mod pool;
pub mod posts;
pub mod predictions;
pub mod preflight;
pub mod prepare;
pub mod presence;
pub mod references;
pub mod repairs;
mod results;
pub mod rows;
pub mod series;
pub mod session;
pub mod studies;
pub mod trainings;
pub mod watch;

use std::path::PathBuf;
use std::time::Duration;

use crate::agent::trials::ATTEMPTS_MAX;
use crate::data::DataError;
use crate::events::job::{Decision, Impossible};
use crate::events::{Event, Fold as _, Recorded, Scope, folding};
use crate::log::{EventLog, LogError};
use crate::trainer::process::StartError;
use crate::trainer::protocol::{Answer, Hello};
use faults::MachineFault;
use jobs::Index;
use journal::{Journal, JournalError};
use keeper::Keeper;
use news::{News, Report, Seen};
use pool::{Blame, Heard, Loss, Pool};

/// How long to listen to trainers before looking whether a stop was asked for.
const TICK: Duration = Duration::from_millis(10);
/// How long to listen for results that come too late to count.
const LATE: Duration = Duration::from_millis(250);
/// Tasks in a row that are lost by the trainers of a process, three for each of three trials,
/// after which it gives up: something is wrong with the machine. Others may go on.
pub const LOST_IN_A_ROW_MAX: u32 = 3 * ATTEMPTS_MAX;
/// Errors in a row after which no trainer is asked any more.
pub const REFUSED_IN_A_ROW_MAX: u32 = 3;

/// How a job came to an end, for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Nothing is left to do.
    Finished,
    /// It was asked to stop; it can be resumed.
    Interrupted,
    /// Too many tasks were lost in a row, or one too often; it can be resumed. The reason of the last loss.
    Lost(String),
    /// The trainer cannot do what it is asked, and says so again and again; it can be resumed. What
    /// it says.
    Refused(String),
}

/// What can go wrong while a job is carried out.
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
    /// Nothing can be decided, and nothing is waited for: a mistake in this program.
    #[error("the work is not finished, but there is nothing left to do")]
    Stuck,
}

/// Where things lie on this machine, and how it computes. Recorded, but never decisive.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Folder of the data set.
    pub data: PathBuf,
    /// File with the split; none in an attack.
    pub split: PathBuf,
    /// Host name.
    pub host: String,
    /// Threads a trainer computes with on a CPU.
    pub threads: u32,
}

impl Machine {
    /// This host, where nothing is read but what requests name.
    #[must_use]
    pub fn here(threads: u32) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { data: PathBuf::new(), split: PathBuf::new(), host, threads }
    }
}

/// A kind of job: what its tasks are, how trainers are asked, and what becomes of their answers.
pub trait Work: Sized {
    /// What is given to a trainer.
    type Task: Copy;
    /// A task that a trainer is at.
    type Piece;
    /// Whether a trainer that says that it cannot do a task counts as one that lost it. Otherwise the
    /// engine stops when that is said again and again.
    const REFUSALS_COUNT: bool;

    /// What happens next; a task comes with the one of the `idle` workers that is to do it.
    fn decide(&self, pool: &Pool<Self::Piece>, idle: &[usize]) -> Decision<(usize, Self::Task)>;

    /// Takes in one recorded event.
    ///
    /// # Errors
    /// [`Impossible`] if it cannot follow what came before.
    fn apply(&mut self, recorded: &Recorded) -> Result<(), Impossible>;

    /// The job, for whoever watches.
    fn seen(&self) -> Seen<'_>;

    /// Bytes of what a task is expected to leave at a time.
    fn expected_bytes(&self, task: Self::Task) -> u64;

    /// The task of a piece.
    fn task(piece: &Self::Piece) -> Self::Task;

    /// Whether a task was lost too often.
    fn is_hopeless(&self) -> bool {
        false
    }

    /// Whether other processes are at tasks.
    fn has_others(&self) -> bool {
        false
    }

    /// Gives a task to a worker whose trainer is there.
    ///
    /// # Errors
    /// [`EngineError`] if the engine cannot go on.
    fn begin<L: EventLog>(
        engine: &mut Engine<'_, L, Self>,
        worker: usize,
        task: Self::Task,
        hello: Hello,
    ) -> Result<(), EngineError>;

    /// Takes in what a worker's trainer answers.
    ///
    /// # Errors
    /// As [`Work::begin`].
    fn hear<L: EventLog>(
        engine: &mut Engine<'_, L, Self>,
        worker: usize,
        answer: Answer,
    ) -> Result<(), EngineError>;

    /// Takes in that a piece has no result; it counts unless the machine is at fault, or the trainer
    /// was asked what it cannot do.
    ///
    /// # Errors
    /// As [`Work::begin`].
    fn lost<L: EventLog>(
        engine: &mut Engine<'_, L, Self>,
        piece: Self::Piece,
        reason: String,
        counts: bool,
    ) -> Result<(), EngineError>;

    /// What is done each time before it is decided what happens next.
    ///
    /// # Errors
    /// As [`Work::begin`].
    fn look<L: EventLog>(_: &mut Engine<'_, L, Self>) -> Result<(), EngineError> {
        Ok(())
    }

    /// Losses in a row after which the trainers of this process are given no more tasks.
    fn losses_max(&self) -> u32 {
        LOST_IN_A_ROW_MAX
    }

    /// What is done when nothing can be decided.
    ///
    /// # Errors
    /// As [`Work::begin`].
    fn wait<L: EventLog>(_: &mut Engine<'_, L, Self>) -> Result<(), EngineError> {
        Ok(())
    }
}

/// Everything needed to carry out one job.
pub struct Engine<'a, L, W: Work> {
    /// Whose events they are.
    pub scope: Scope,
    /// The job.
    pub work: W,
    /// The way into the log.
    pub journal: &'a mut Journal<L>,
    /// What else the log holds.
    pub index: &'a mut Index,
    /// Who computes.
    pub pool: Pool<W::Piece>,
    /// Who keeps files.
    pub keeper: Keeper,
    /// Where things lie.
    pub machine: Machine,
    /// Whether it was asked to stop.
    pub stop: &'a dyn Fn() -> bool,
    /// Who watches.
    pub report: &'a mut dyn Report,
    /// What happened to this process.
    pub so_far: SoFar,
}

/// What happened to a process that carries out a job.
#[derive(Debug, Default)]
pub struct SoFar {
    /// Whether it was asked to stop.
    stopping: bool,
    /// Whether a person was warned of little free space.
    warned: bool,
    /// How often in a row trainers said that they cannot do what they were asked, and in which words
    /// last.
    refused: Option<(u32, String)>,
    /// Tasks in a row that its trainers lost, and why the last one.
    lost: (u32, String),
}

impl<L: EventLog, W: Work> Engine<'_, L, W> {
    /// Carries on until nothing is left to do, or it is asked to stop. Other processes may carry on the
    /// same job: each decides from the same record, so the first to record is right, and the others
    /// decide again.
    ///
    /// # Errors
    /// [`EngineError`]. What is recorded by then is whole, and can be resumed.
    pub fn run(&mut self) -> Result<Ending, EngineError> {
        loop {
            W::look(self)?;
            if let Some((REFUSED_IN_A_ROW_MAX.., said)) = &self.so_far.refused {
                return Ok(Ending::Refused(said.clone()));
            }
            if !self.so_far.stopping && (self.stop)() {
                self.so_far.stopping = true;
                self.tell(&News::Stopping);
            }
            let stopping = self.so_far.stopping;
            let idle = if stopping { Vec::new() } else { self.pool.idle() };
            match self.work.decide(&self.pool, &idle) {
                Decision::Record(batch) => drop(self.record(&batch)?),
                // What its other trainers are at may still come to an end.
                Decision::Do(_)
                    if self.so_far.lost.0 >= self.work.losses_max()
                        && !self.work.is_hopeless()
                        && self.pool.is_busy() =>
                {
                    self.listen(TICK)?;
                }
                Decision::Do(_)
                    if self.so_far.lost.0 >= self.work.losses_max() || self.work.is_hopeless() =>
                {
                    return Ok(Ending::Lost(self.so_far.lost.1.clone()));
                }
                Decision::Do((worker, task)) => self.begin(worker, task)?,
                Decision::Wait if self.pool.is_busy() => {
                    self.listen(TICK)?;
                    W::wait(self)?;
                }
                Decision::Wait if stopping => return Ok(Ending::Interrupted),
                Decision::Wait if !self.work.has_others() => return Err(EngineError::Stuck),
                Decision::Wait => {
                    W::wait(self)?;
                    std::thread::sleep(TICK);
                }
                Decision::Done => {
                    // A trainer of this process may have done what others did too: what it has to say
                    // by now is recorded.
                    while self.pool.is_busy() && self.listen(LATE)? {}
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

    /// Records a batch as long as it is still to be recorded: whether it was.
    fn record_while(
        &mut self,
        wanted: impl Fn(&W) -> bool,
        batch: &[Event],
    ) -> Result<bool, EngineError> {
        while wanted(&self.work) {
            if self.record(batch)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes in what was recorded of this job.
    fn follow(&mut self, recorded: &[Recorded]) -> Result<(), EngineError> {
        for recorded in recorded {
            self.work.apply(recorded)?;
            self.tell(&News::Recorded(&recorded.event));
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

    fn tell(&mut self, news: &News<'_>) {
        self.report.news(self.work.seen(), news);
    }

    /// Gives a task to a worker.
    fn begin(&mut self, worker: usize, task: W::Task) -> Result<(), EngineError> {
        let room = self.pool.check(self.work.expected_bytes(task))?;
        if let Some(room) = room.filter(|room| room.free < faults::LOW && !self.so_far.warned) {
            self.so_far.warned = true;
            self.tell(&News::LowSpace(&room));
        }
        let Some(hello) = self.pool.acquire(worker)? else { return Ok(()) };
        if let Some(inbox) = self.pool.inbox(worker) {
            inbox.sweep();
        }
        W::begin(self, worker, task, hello)
    }

    /// Listens to the trainers; whether one had something to say.
    fn listen(&mut self, patience: Duration) -> Result<bool, EngineError> {
        match self.pool.listen(patience) {
            None => return Ok(false),
            Some(Heard::Answer(worker, answer)) => W::hear(self, worker, answer)?,
            Some(Heard::Lost(piece, loss)) => self.lose(piece, loss)?,
        }
        Ok(true)
    }

    /// Ends the task of a worker whose trainer did what it must not.
    fn complain(&mut self, worker: usize, complaint: String) -> Result<(), EngineError> {
        let loss = self.pool.dismiss(worker, complaint);
        self.pool.release(worker).map_or(Ok(()), |piece| self.lose(piece, loss))
    }

    /// Takes in that a task gave no result. That counts, unless the machine is at fault: then the
    /// engine stops; or the trainer says that it cannot do this: then it stops if that is said again
    /// and again.
    fn lose(&mut self, piece: W::Piece, Loss { reason, blame }: Loss) -> Result<(), EngineError> {
        let found = match &blame {
            Blame::Machine(reported) => Err(reported.clone().into()),
            _ => self.look_for_faults(W::task(&piece)),
        };
        if let Err(fault) = found {
            return Err(self.excuse(piece, &reason, fault.into()));
        }
        let counts = match blame {
            Blame::Trainer(said) if !W::REFUSALS_COUNT => {
                let times = self.so_far.refused.as_ref().map_or(0, |(times, _)| *times);
                self.so_far.refused = Some((times + 1, said));
                false
            }
            _ => true,
        };
        self.so_far.lost = (self.so_far.lost.0 + u32::from(counts), reason.clone());
        W::lost(self, piece, reason, counts)
    }

    /// A task has a result: whatever was lost before, the trainers can work.
    fn succeed(&mut self) {
        (self.so_far.refused, self.so_far.lost.0) = (None, 0);
    }

    /// Looks for a fault of the machine that may have ended a task.
    fn look_for_faults(&self, task: W::Task) -> Result<(), MachineFault> {
        self.pool.check(self.work.expected_bytes(task))?;
        let read = [&self.machine.data, &self.machine.split];
        let mut read = read.into_iter().filter(|path| !path.as_os_str().is_empty());
        read.try_for_each(|path| faults::readable(path))
    }

    /// Takes in that a fault of the machine ended a task: it does not count. Says how the engine stops.
    fn excuse(&mut self, piece: W::Piece, reason: &str, fault: EngineError) -> EngineError {
        let separator = if reason.is_empty() { "" } else { "; " };
        match W::lost(self, piece, format!("{fault}{separator}{reason}"), false) {
            // On a full disk that cannot be recorded either. Whoever resumes abandons the attempt.
            Err(error) if !error.is_of_machine() => error,
            _ => fault,
        }
    }
}

#[cfg(test)]
mod run_tests;
#[cfg(test)]
mod shared_tests;
#[cfg(test)]
mod tests;
