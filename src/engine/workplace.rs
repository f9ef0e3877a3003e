//! A device with its trainer: requests that are answered by files.

use super::faults::{MachineFault, Reported};
use super::inbox::{Inbox, Refusal};
use super::{EngineError, TICK};
use crate::trainer::process::{Said, StartError};
use crate::trainer::protocol::{Answer, ErrorCause, Hello, Request};
use crate::trainer::{Start, Talk, cut};

/// Bytes kept of why a step has no result.
const LOST_MAX: usize = 2_000;
/// The most bytes of logits: what is held in memory at once.
const LOGITS_MAX: usize = 1 << 30;

/// A device with its trainer.
pub struct Workplace {
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Host name.
    pub host: String,
    /// Threads on a CPU.
    pub threads: u32,
    /// Starts trainers.
    pub start: Box<dyn Start>,
    /// The trainer at work.
    pub trainer: Option<Box<dyn Talk>>,
    /// Where it leaves files.
    pub inbox: Inbox,
    /// Number of the last request.
    pub last_id: u64,
    /// The fault of the machine that the trainer reported with its last answer.
    pub reported: Option<Reported>,
    /// Whether the trainer was ended because it hung with the last request.
    pub hung: bool,
}

/// Why a step has no result: a fact of the machine.
pub type Lost = String;

impl Workplace {
    /// Makes sure that there is a trainer.
    ///
    /// # Errors
    /// [`StartError`] if none can be started.
    pub fn muster(&mut self) -> Result<Hello, StartError> {
        let trainer = match self.trainer.take() {
            Some(trainer) => trainer,
            None => self.start.start()?,
        };
        let hello = trainer.hello().clone();
        self.trainer = Some(trainer);
        Ok(hello)
    }

    /// Asks, and waits for the answer that ends the request. `meanwhile` is called often, with
    /// the share that is done when that is heard.
    ///
    /// # Errors
    /// What `meanwhile` says; inside, why there is no answer.
    pub fn ask<E>(
        &mut self,
        request: &Request,
        id: u64,
        mut meanwhile: impl FnMut(Option<f64>) -> Result<(), E>,
    ) -> Result<Result<Answer, Lost>, E> {
        let Some(trainer) = &mut self.trainer else { return Ok(Err("no trainer".to_owned())) };
        self.hung = false;
        let _ = trainer.send(request); // one that cannot hear is heard to have ended
        let complaint = loop {
            meanwhile(None)?;
            match trainer.listen(TICK) {
                None => {}
                Some(Said::Hangs(why)) => {
                    self.hung = true;
                    break why;
                }
                Some(Said::Cut(fault)) => {
                    self.reported = Some(fault.into());
                    break String::new();
                }
                Some(Said::Ended) => break String::new(),
                Some(Said::Nonsense(line)) => break format!("it said {line:?}"),
                Some(Said::Answer(Answer::Progress { id: of, batch, batches, .. })) if of == id => {
                    let share = f64::from(batch) / f64::from(batches.max(1));
                    meanwhile(Some(share.min(1.0)))?;
                }
                Some(Said::Answer(Answer::Error { id: of, message, cause, .. })) if of == id => {
                    let message = cut(message, LOST_MAX);
                    if cause == Some(ErrorCause::Machine) {
                        self.reported = Some(Reported::Said(message.clone()));
                    }
                    return Ok(Err(message));
                }
                Some(Said::Answer(answer)) => match &answer {
                    Answer::Crafted(crafted) if crafted.id == id => return Ok(Ok(answer)),
                    Answer::Scored(scored) if scored.id == id => return Ok(Ok(answer)),
                    _ => break format!("it said {answer:?}, which is no answer to the request"),
                },
            }
        };
        Ok(Err(self.dismiss(&complaint)))
    }

    /// Ends the trainer: what state it is in is not known.
    pub fn dismiss(&mut self, complaint: &str) -> Lost {
        let end = self.trainer.take().map(Talk::end).unwrap_or_default();
        let separator = if complaint.is_empty() || end.is_empty() { "" } else { "; " };
        cut(format!("{complaint}{separator}{end}"), LOST_MAX)
    }

    /// The fault of the machine that the last step was lost to, if it was; a step needs so many
    /// bytes of free space.
    ///
    /// # Errors
    /// [`MachineFault`].
    pub fn look_for_faults(&mut self, needed: u64) -> Result<(), MachineFault> {
        match self.reported.take() {
            Some(reported) => Err(reported.into()),
            None => self.inbox.check(needed).map(drop),
        }
    }

    /// A number for the next request.
    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Takes a file of `length` bytes that the trainer left.
    ///
    /// # Errors
    /// [`EngineError`] if the machine fails; inside, why it cannot be that.
    pub fn take(&self, name: &str, length: usize) -> Result<Result<Vec<u8>, Lost>, EngineError> {
        Ok(match self.inbox.take(name, length as u64) {
            Ok(bytes) if bytes.len() == length => Ok(bytes),
            Ok(bytes) => {
                let found = bytes.len();
                Err(format!("the trainer left {name:?} with {found} bytes, not {length}"))
            }
            Err(Refusal::Trainer(reason)) => Err(reason),
            Err(Refusal::Engine(error)) => return Err(error),
        })
    }

    /// Takes `count` numbers that the trainer counted.
    ///
    /// # Errors
    /// As [`Workplace::take`].
    pub fn take_counts(
        &self,
        name: &str,
        count: usize,
    ) -> Result<Result<Vec<u32>, Lost>, EngineError> {
        let number = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let taken = self.take(name, count.saturating_mul(4))?;
        Ok(taken.map(|bytes| bytes.chunks_exact(4).map(number).collect()))
    }

    /// Takes logits of `count` images: a row each.
    ///
    /// # Errors
    /// [`EngineError`] if the machine fails; inside, why they cannot be those.
    pub fn take_logits(
        &self,
        name: &str,
        count: usize,
        classes: u32,
    ) -> Result<Result<Rows, Lost>, EngineError> {
        let (wide, least) = (classes as usize, 2);
        let length = count.checked_mul(wide * 4).filter(|&length| length <= LOGITS_MAX);
        let Some(length) = length.filter(|_| (least..=usize::from(u16::MAX)).contains(&wide))
        else {
            return Ok(Err(format!("the trainer says that the model has {classes} classes")));
        };
        let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let rows =
            |bytes: Vec<u8>| Rows { values: bytes.chunks_exact(4).map(number).collect(), wide };
        Ok(self.take(name, length)?.map(rows))
    }
}

/// Logits, a row an image.
#[derive(Debug, Default)]
pub struct Rows {
    values: Vec<f32>,
    wide: usize,
}

impl Rows {
    /// Takes in more rows after these.
    ///
    /// # Errors
    /// If they are of another model: of another length.
    pub fn append(&mut self, mut more: Self) -> Result<(), Lost> {
        if !self.values.is_empty() && self.wide != more.wide {
            let (before, now) = (self.wide, more.wide);
            return Err(format!("the trainer says {before} classes, and then {now}"));
        }
        self.wide = more.wide;
        self.values.append(&mut more.values);
        Ok(())
    }

    /// The logits of an image.
    #[must_use]
    pub fn row(&self, image: usize) -> &[f32] {
        &self.values[image * self.wide..(image + 1) * self.wide]
    }

    /// The same in double precision.
    #[must_use]
    pub fn wide_row(&self, image: usize) -> Vec<f64> {
        self.row(image).iter().map(|&score| score.into()).collect()
    }
}
