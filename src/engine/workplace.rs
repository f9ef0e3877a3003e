//! A device with its trainer: requests that are answered by files.

use std::fs;
use std::path::PathBuf;

use super::TICK;
use crate::log::LogError;
use crate::log::artifacts::Staging;
use crate::trainer::process::{Said, StartError};
use crate::trainer::protocol::{Answer, Hello, Request};
use crate::trainer::{Start, Talk};

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
    pub staging: Staging,
    /// Number of the last request.
    pub last_id: u64,
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
        let _ = trainer.send(request); // one that cannot hear is heard to have ended
        let complaint = loop {
            meanwhile(None)?;
            match trainer.listen(TICK) {
                None => match trainer.hangs() {
                    None => {}
                    Some(silent) => break format!("it said nothing for {} s", silent.as_secs()),
                },
                Some(Said::Ended) => break String::new(),
                Some(Said::Nonsense(line)) => break format!("it said {line:?}"),
                Some(Said::Answer(Answer::Progress { id: of, batch, batches, .. })) if of == id => {
                    meanwhile(Some(f64::from(batch) / f64::from(batches.max(1))))?;
                }
                Some(Said::Answer(Answer::Error { id: of, message })) if of == id => {
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
        format!("{complaint}{separator}{end}")
    }

    /// A number for the next request.
    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Writes a file for the trainer to read.
    ///
    /// # Errors
    /// [`LogError`] if that fails.
    pub fn give(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, LogError> {
        let path = self.staging.folder().join(name);
        let failed = |source| LogError::Io { action: "write", path: path.clone(), source };
        fs::write(&path, bytes).map_err(failed)?;
        Ok(path)
    }

    /// Takes a file of `length` bytes that the trainer left.
    ///
    /// # Errors
    /// Why it cannot be that.
    pub fn take(&self, name: &str, length: usize) -> Result<Vec<u8>, Lost> {
        let path = self.staging.folder().join(name);
        let plain = fs::symlink_metadata(&path).ok().filter(std::fs::Metadata::is_file);
        let found = match plain {
            Some(found) if !name.contains('/') => found.len(),
            _ => return Err(format!("the trainer left no file {name:?}")),
        };
        if found != length as u64 {
            return Err(format!("the trainer left {name:?} with {found} bytes, not {length}"));
        }
        let bytes = fs::read(&path).map_err(|error| format!("{name:?} is not read: {error}"))?;
        let _ = fs::remove_file(&path);
        Ok(bytes)
    }

    /// Takes logits of `count` images: a row each.
    ///
    /// # Errors
    /// Why they cannot be those.
    pub fn take_logits(&self, name: &str, count: usize, classes: u32) -> Result<Rows, Lost> {
        let wide = classes as usize;
        if !(2..=usize::from(u16::MAX)).contains(&wide) {
            return Err(format!("the model has {classes} classes"));
        }
        let bytes = self.take(name, count * wide * 4)?;
        let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        Ok(Rows { values: bytes.chunks_exact(4).map(number).collect(), wide })
    }
}

/// Logits, a row an image.
pub struct Rows {
    values: Vec<f32>,
    wide: usize,
}

impl Rows {
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
