//! The keeper of what trainers leave: what becomes an artifact, and what is released again.

use std::path::PathBuf;
use std::time::Duration;

use super::EngineError;
use super::inbox::{Inbox, Refusal};
use crate::agent::Training;
use crate::agent::trials::{Status, Trial};
use crate::config::KeepWeights;
use crate::events::{Hash, Outcome};
use crate::log::artifacts::Artifacts;
use crate::log::{Kind, LogError, Removal};

/// Keeps files in a store, or nowhere.
#[derive(Debug)]
pub struct Keeper {
    artifacts: Option<Artifacts>,
    /// Released, and still to be removed.
    released: Vec<Hash>,
}

/// Weights or a checkpoint to be released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surplus {
    /// Ordinal of the trial.
    pub trial: u32,
    /// The artifact.
    pub artifact: Hash,
}

impl Keeper {
    /// Keeps files among `artifacts`; without them it keeps nothing, which is for logs in memory.
    #[must_use]
    pub const fn new(artifacts: Option<Artifacts>) -> Self {
        Self { artifacts, released: Vec::new() }
    }

    /// Takes in the weights file `name`, of at most `most` bytes, of a trial that is `open` and scored
    /// `correct`: its hash, and whether it was kept.
    ///
    /// # Errors
    /// [`Refusal`] if the file is none, or cannot be copied.
    pub fn take(
        &self,
        job: &dyn Training,
        (inbox, name): (Option<&Inbox>, &str),
        most: u64,
        (open, correct): (bool, u32),
    ) -> Result<Option<(Hash, bool)>, Refusal> {
        let Some((artifacts, inbox)) = self.artifacts.as_ref().zip(inbox) else { return Ok(None) };
        let keep = match job.config().keep_weights {
            _ if !open => false,
            KeepWeights::All => true,
            KeepWeights::None => false,
            KeepWeights::Top(n) => {
                let kept = kept(job);
                kept.len() < n as usize || kept.iter().any(|(_, _, worst)| correct > *worst)
            }
        };
        let hash = match keep {
            true => inbox.adopt(artifacts, name, most)?,
            false => inbox.hash(name, most)?,
        };
        Ok(Some((hash, keep)))
    }

    /// Makes the staged file `name`, of at most `most` bytes, an artifact, whatever it holds; `None`
    /// if nothing is kept.
    ///
    /// # Errors
    /// [`Refusal`] if the file is none, or cannot be copied.
    pub fn adopt(
        &self,
        inbox: Option<&Inbox>,
        name: &str,
        most: u64,
    ) -> Result<Option<Hash>, Refusal> {
        let Some((artifacts, inbox)) = self.artifacts.as_ref().zip(inbox) else { return Ok(None) };
        inbox.adopt(artifacts, name, most).map(Some)
    }

    /// Makes the staged file `name` an artifact if `check` finds its bytes right: its hash and what
    /// was found; `None` if nothing is kept. A file of more than `most` bytes is not looked at.
    ///
    /// # Errors
    /// [`Refusal`] if the file is none, or `check` finds it wrong, or it cannot be written.
    pub fn adopt_checked<T>(
        &self,
        (inbox, name): (Option<&Inbox>, &str),
        most: u64,
        check: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<Option<(Hash, T)>, Refusal> {
        let Some((artifacts, inbox)) = self.artifacts.as_ref().zip(inbox) else { return Ok(None) };
        let bytes = inbox.take(name, most)?;
        let found = check(&bytes).map_err(|wrong| Refusal::Trainer(format!("{name}: {wrong}")))?;
        let hash = inbox.publish(|| artifacts.put(&bytes))?;
        Ok(Some((hash, found)))
    }

    /// Makes bytes an artifact, if the folders of `inbox` are in place.
    ///
    /// # Errors
    /// [`EngineError`] if it cannot be written, or the store is not where it was.
    pub fn put(&self, inbox: Option<&Inbox>, bytes: &[u8]) -> Result<Hash, EngineError> {
        match self.artifacts.as_ref().zip(inbox) {
            Some((artifacts, inbox)) => inbox.publish(|| artifacts.put(bytes)),
            None => Ok(Hash::of(bytes)),
        }
    }

    /// All bytes of an artifact; none if nothing is kept.
    ///
    /// # Errors
    /// [`LogError`] if it is not there, or not what it was.
    pub fn read(&self, artifact: Hash) -> Result<Vec<u8>, LogError> {
        match &self.artifacts {
            Some(artifacts) => artifacts.read(artifact),
            None => Ok(Vec::new()),
        }
    }

    /// Where an artifact lies, if it is there and what it was.
    ///
    /// # Errors
    /// [`LogError`] if that cannot be found out.
    pub fn sound(&self, artifact: Hash) -> Result<Option<PathBuf>, LogError> {
        let Some(artifacts) = &self.artifacts else { return Ok(None) };
        let hash = artifact;
        match artifacts.open(hash) {
            Ok(_) => Ok(Some(artifacts.path(hash))),
            Err(error) if error.kind() == Kind::Damaged => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Checkpoints that nothing goes on from, and weights kept beyond the configured number: the
    /// worst, the newest of equals.
    #[must_use]
    pub fn surplus(&self, job: &dyn Training) -> Option<Surplus> {
        let stale = |trial: &Trial| {
            let (trial, stale) = (trial.planned.trial, trial.stale.first());
            stale.map(|&artifact| Surplus { trial, artifact })
        };
        if let Some(surplus) = job.trials().all().iter().find_map(stale) {
            return Some(surplus);
        }
        let KeepWeights::Top(n) = job.config().keep_weights else { return None };
        beyond(job, n as usize).first().copied()
    }

    /// Says that events name all that was kept so far.
    pub fn settled(&self) {
        if let Some(artifacts) = &self.artifacts {
            artifacts.settled();
        }
    }

    /// Takes note of an artifact whose release is recorded: its file is to be removed.
    pub fn released(&mut self, artifact: Hash) {
        self.released.push(artifact);
    }

    /// The right to remove what was released, if there is anything and nobody relies on artifacts
    /// just now. Nobody is waited for.
    ///
    /// # Errors
    /// [`LogError`] if the lock cannot be opened.
    pub fn removal(&self) -> Result<Option<Removal>, LogError> {
        match &self.artifacts {
            Some(artifacts) if !self.released.is_empty() => {
                match artifacts.removal(Duration::ZERO) {
                    Err(LogError::Busy(_)) => Ok(None),
                    other => other.map(Some),
                }
            }
            _ => Ok(None),
        }
    }

    /// Removes what was released, but not what is `named` as of now.
    ///
    /// # Errors
    /// [`LogError`] if the file system refuses.
    pub fn remove_released(
        &mut self,
        removal: &Removal,
        named: impl Fn(Hash) -> bool,
    ) -> Result<(), LogError> {
        let Some(artifacts) = &self.artifacts else { return Ok(()) };
        while let Some(&artifact) = self.released.last() {
            if !named(artifact) {
                artifacts.remove(removal, artifact)?;
            }
            self.released.pop();
        }
        Ok(())
    }
}

/// Weights kept beyond the best `n`, the worst first, of equals the newest.
#[must_use]
pub fn beyond(job: &dyn Training, n: usize) -> Vec<Surplus> {
    let mut kept = kept(job);
    kept.sort_by_key(|&(trial, _, correct)| (correct, std::cmp::Reverse(trial)));
    kept.truncate(kept.len().saturating_sub(n));
    kept.into_iter().map(|(trial, artifact, _)| Surplus { trial, artifact }).collect()
}

/// Trials whose weights are kept: ordinal, artifact, right validation images.
fn kept(job: &dyn Training) -> Vec<(u32, Hash, u32)> {
    let entry = |trial: &Trial| {
        let Status::Finished(outcome) = &trial.status else { return None };
        let Outcome::Trained { weights: Some(hash), kept: true, .. } = *outcome else {
            return None;
        };
        let (correct, _) = job.config().reward.accuracy.correct(outcome)?;
        Some((trial.planned.trial, hash, correct))
    };
    job.trials().all().iter().filter_map(entry).collect()
}
