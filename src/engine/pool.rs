//! The pool of trainers: one worker per device, each with a trainer, the folder in which that leaves
//! files, and at most one task.
//!
//! Whatever a trainer is asked, here is what becomes of it when it ends, hangs, cannot be spoken to or
//! talks nonsense: the task is lost, and the trainer is replaced. What its answers mean, those who
//! asked find out.

use std::path::PathBuf;
use std::time::Duration;

use super::TICK;
use super::faults::{MachineFault, Reported, Room};
use super::inbox::Inbox;
use crate::trainer::process::{Said, StartError};
use crate::trainer::protocol::{Answer, ErrorCause, Hello, Request};
use crate::trainer::{Start, Talk, cut};

/// Bytes kept of what a trainer says is wrong.
const COMPLAINT_MAX: usize = 1_000;

/// All workers; each may be at a task of type `T`.
pub struct Pool<T> {
    workers: Vec<Worker<T>>,
    last_id: u64,
    /// The worker that is heard first the next time: none has to wait for one that says much.
    turn: usize,
}

/// Where a worker's trainer computes, and how it is started.
pub struct Post {
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Starts trainers.
    pub start: Box<dyn Start>,
}

/// One device, its trainer, its task.
struct Worker<T> {
    post: Post,
    /// Where the trainer leaves files; nowhere for logs in memory.
    inbox: Option<Inbox>,
    trainer: Option<Box<dyn Talk>>,
    /// The number of the last request.
    request: u64,
    task: Option<T>,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("device", &self.device).finish_non_exhaustive()
    }
}

/// What came of listening.
#[derive(Debug)]
pub enum Heard<T> {
    /// A worker's trainer answers its request.
    Answer(usize, Answer),
    /// A task was lost, and its trainer with it.
    Lost(T, Loss),
}

/// Why a task has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What happened.
    pub reason: String,
    /// Who is to blame.
    pub blame: Blame,
}

/// Who is to blame for a lost task, as far as the trainer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blame {
    /// Nobody said: it died or talked nonsense, perhaps because of what it was asked.
    Unknown,
    /// The same, and it hung.
    Hung,
    /// The trainer says that it cannot do what it was asked.
    Trainer(String),
    /// A fault of the machine.
    Machine(Reported),
}

impl<T> Pool<T> {
    /// A worker for each post, with the folder in which its trainer leaves files, if there is one.
    #[must_use]
    pub fn new(posts: Vec<Post>, inboxes: Vec<Inbox>) -> Self {
        let inboxes = inboxes.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
        let worker = |(post, inbox)| Worker { post, inbox, trainer: None, request: 0, task: None };
        Self { workers: posts.into_iter().zip(inboxes).map(worker).collect(), last_id: 0, turn: 0 }
    }

    /// Workers that are free.
    #[must_use]
    pub fn idle(&self) -> Vec<usize> {
        (0..self.workers.len()).filter(|&worker| self.task(worker).is_none()).collect()
    }

    /// Whether a worker has a task.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.tasks().next().is_some()
    }

    /// How many workers there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.workers.len()
    }

    /// What the workers are at.
    pub fn tasks(&self) -> impl Iterator<Item = &T> {
        self.workers.iter().filter_map(|worker| worker.task.as_ref())
    }

    /// What a worker is at.
    #[must_use]
    pub fn task(&self, worker: usize) -> Option<&T> {
        self.workers.get(worker)?.task.as_ref()
    }

    /// The same, to be changed.
    pub fn task_mut(&mut self, worker: usize) -> Option<&mut T> {
        self.workers.get_mut(worker)?.task.as_mut()
    }

    /// The device of a worker.
    #[must_use]
    pub fn device(&self, worker: usize) -> String {
        self.workers.get(worker).map(|worker| worker.post.device.clone()).unwrap_or_default()
    }

    /// The devices of all workers, each once.
    #[must_use]
    pub fn devices(&self) -> String {
        let mut devices: Vec<&str> =
            self.workers.iter().map(|worker| worker.post.device.as_str()).collect();
        devices.dedup();
        devices.join(", ")
    }

    /// How many workers share the device of a worker, itself among them.
    #[must_use]
    pub fn sharing(&self, worker: usize) -> usize {
        let device = self.device(worker);
        self.workers.iter().filter(|other| other.post.device == device).count()
    }

    /// Where the trainer of a worker leaves files.
    #[must_use]
    pub fn inbox(&self, worker: usize) -> Option<&Inbox> {
        self.workers.get(worker)?.inbox.as_ref()
    }

    /// The folder of [`Pool::inbox`].
    #[must_use]
    pub fn staging(&self, worker: usize) -> PathBuf {
        self.inbox(worker).map(|inbox| inbox.path().to_owned()).unwrap_or_default()
    }

    /// Whether all folders are in place and a task that leaves files of up to `expected` bytes finds
    /// room: twice that, because what is kept is copied. The least room; `None` if nothing is kept.
    ///
    /// # Errors
    /// [`MachineFault`] if not.
    pub fn check(&self, expected: u64) -> Result<Option<Room>, MachineFault> {
        let inboxes = || self.workers.iter().filter_map(|worker| worker.inbox.as_ref());
        let largest = inboxes().map(Inbox::largest).max().unwrap_or(0);
        let needed = expected.max(largest).saturating_mul(2);
        let needed = needed.saturating_add(super::faults::MARGIN);
        let rooms = inboxes().map(|inbox| inbox.check(needed)).collect::<Result<Vec<_>, _>>()?;
        Ok(rooms.into_iter().min_by_key(|room| room.free))
    }

    /// Makes sure that a worker has a trainer, and says who that is.
    ///
    /// # Errors
    /// [`StartError`] if a trainer cannot be started.
    pub fn acquire(&mut self, worker: usize) -> Result<Option<Hello>, StartError> {
        let Some(worker) = self.workers.get_mut(worker) else { return Ok(None) };
        let trainer = match worker.trainer.take() {
            Some(trainer) => trainer,
            None => worker.post.start.start()?,
        };
        let hello = trainer.hello().clone();
        worker.trainer = Some(trainer);
        Ok(Some(hello))
    }

    /// A number for the next request.
    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Gives a task, or a further request of it, to a worker whose trainer is there. One that cannot
    /// hear it any more will be heard to have ended.
    pub fn give(&mut self, worker: usize, id: u64, request: &Request, task: T) {
        let Some(worker) = self.workers.get_mut(worker) else { return };
        worker.send(id, request);
        worker.task = Some(task);
    }

    /// Ends the task of a worker, which has a result; its trainer stays.
    pub fn release(&mut self, worker: usize) -> Option<T> {
        self.workers.get_mut(worker)?.task.take()
    }

    /// Ends the trainer of a worker that did what it must not: what state it is in is not known. Says
    /// why its task is lost.
    pub fn dismiss(&mut self, worker: usize, complaint: String) -> Loss {
        match self.workers.get_mut(worker) {
            Some(worker) => worker.end(complaint.into()),
            None => complaint.into(),
        }
    }

    /// What one of the busy workers has to say, waiting at most `patience` in all.
    pub fn listen(&mut self, patience: Duration) -> Option<Heard<T>> {
        let (busy, all) = (self.tasks().count(), self.workers.len());
        let share = patience / u32::try_from(busy.max(1)).unwrap_or(1);
        let turn = self.turn;
        for number in (0..all).map(|at| (turn + at) % all) {
            let worker = &mut self.workers[number];
            let heard = worker.task.is_some().then(|| worker.listen(share)).flatten();
            let Some(heard) = heard else { continue };
            self.turn = number + 1;
            match heard {
                Ok(answer) => return Some(Heard::Answer(number, answer)),
                Err(loss) => {
                    let loss = worker.end(loss);
                    return worker.task.take().map(|task| Heard::Lost(task, loss));
                }
            }
        }
        None
    }

    /// Asks a worker whose trainer is there, and waits for the answer that ends the request. `meanwhile`
    /// is called often, with the fraction that is done when that is heard; if it fails, the trainer is
    /// ended.
    ///
    /// # Errors
    /// What `meanwhile` says; inside, why there is no answer. A trainer that refuses lives on.
    pub fn ask<E>(
        &mut self,
        worker: usize,
        id: u64,
        request: &Request,
        mut meanwhile: impl FnMut(Option<f64>) -> Result<(), E>,
    ) -> Result<Result<Answer, Loss>, E> {
        let Some(worker) = self.workers.get_mut(worker) else {
            return Ok(Err("no trainer".to_owned().into()));
        };
        worker.send(id, request);
        loop {
            let done = match worker.listen(TICK) {
                None => None,
                Some(Ok(Answer::Progress { batch, batches, .. })) => Some(share(batch, batches)),
                Some(Ok(answer)) => return Ok(Ok(answer)),
                Some(Err(loss)) if loss.was_said() => return Ok(Err(loss)),
                Some(Err(loss)) => return Ok(Err(worker.end(loss))),
            };
            if let Err(error) = meanwhile(done) {
                worker.end(String::new().into()); // nobody waits for it any more
                return Err(error);
            }
        }
    }
}

impl Loss {
    /// Whether the trainer itself said so: it lives.
    const fn was_said(&self) -> bool {
        matches!(self.blame, Blame::Trainer(_) | Blame::Machine(Reported::Said(_)))
    }
}

/// The fraction that is done.
pub(super) fn share(batch: u32, batches: u32) -> f64 {
    (f64::from(batch) / f64::from(batches.max(1))).min(1.0)
}

/// What is wrong with an answer to something else.
pub(super) fn no_answer(answer: &Answer) -> String {
    format!("it said {answer:?}, which is no answer to the request")
}

impl From<String> for Loss {
    fn from(reason: String) -> Self {
        Self { reason: cut(reason, COMPLAINT_MAX), blame: Blame::Unknown }
    }
}

impl<T> Worker<T> {
    fn send(&mut self, id: u64, request: &Request) {
        self.request = id;
        if let Some(trainer) = &mut self.trainer {
            let _ = trainer.send(request);
        }
    }

    /// What the trainer says to the last request: an answer that belongs to it, or why there is none.
    fn listen(&mut self, patience: Duration) -> Option<Result<Answer, Loss>> {
        let Some(trainer) = &mut self.trainer else { return Some(Err(String::new().into())) };
        Some(match trainer.listen(patience)? {
            Said::Hangs(why) => Err(Loss { blame: Blame::Hung, ..why.into() }),
            Said::Cut(fault) => {
                Err(Loss { reason: String::new(), blame: Blame::Machine(fault.into()) })
            }
            Said::Ended => Err(String::new().into()),
            Said::Nonsense(line) => Err(format!("it said {line:?}").into()),
            Said::Answer(answer) if answer.id() != Some(self.request) => {
                Err(no_answer(&answer).into())
            }
            Said::Answer(Answer::Error { message, cause, .. }) => {
                let reason = cut(message, COMPLAINT_MAX);
                let blame = match cause {
                    Some(ErrorCause::Machine) => Blame::Machine(Reported::Said(reason.clone())),
                    _ => Blame::Trainer(reason.clone()),
                };
                Err(Loss { reason, blame })
            }
            Said::Answer(answer) => Ok(answer),
        })
    }

    /// Ends the trainer; says how it ended.
    fn end(&mut self, loss: Loss) -> Loss {
        let end = self.trainer.take().map(Talk::end).unwrap_or_default();
        let Loss { reason, blame } = loss;
        let separator = if reason.is_empty() || end.is_empty() { "" } else { "; " };
        Loss { reason: format!("{reason}{separator}{end}"), blame }
    }
}
