//! The keeper of what trainers leave: what becomes an artifact, and what is released again.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::agent::Job;
use crate::agent::trials::{Status, Trial};
use crate::config::KeepWeights;
use crate::events::{Hash, Outcome};
use crate::log::artifacts::{Artifacts, Staging};
use crate::log::{LogError, Removal};

/// Keeps weights in a store, or nowhere.
#[derive(Debug)]
pub struct Keeper {
    place: Option<(Artifacts, Staging)>,
    /// Released, and still to be removed.
    released: Vec<Hash>,
}

/// The hash of a file and what was found in it, or what is wrong with it.
pub type Checked<T> = Result<(Hash, T), String>;

/// Weights or a checkpoint to be released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surplus {
    /// Ordinal of the trial.
    pub trial: u32,
    /// The artifact.
    pub artifact: Hash,
}

impl Keeper {
    /// Keeps weights among `artifacts`; trainers leave them in `staging`.
    #[must_use]
    pub fn new(artifacts: Artifacts, staging: Staging) -> Self {
        Self { place: Some((artifacts, staging)), released: Vec::new() }
    }

    /// Keeps nothing: for logs in memory.
    #[must_use]
    pub fn nowhere() -> Self {
        Self { place: None, released: Vec::new() }
    }

    /// The folder in which trainers leave files.
    #[must_use]
    pub fn staging(&self) -> std::path::PathBuf {
        self.place.as_ref().map(|(_, staging)| staging.folder().to_owned()).unwrap_or_default()
    }

    /// Takes in the weights file `name` of a trial that scored `correct`: its hash, and whether it
    /// was kept.
    ///
    /// # Errors
    /// [`LogError`] if the file is none, or cannot be moved.
    pub fn take(
        &self,
        job: &dyn Job,
        name: &str,
        correct: u32,
    ) -> Result<Option<(Hash, bool)>, LogError> {
        let Some((artifacts, staging)) = &self.place else { return Ok(None) };
        let keep = match job.config().keep_weights {
            KeepWeights::All => true,
            KeepWeights::None => false,
            KeepWeights::Top(n) => {
                let kept = kept(job);
                kept.len() < n as usize || kept.iter().any(|(_, _, worst)| correct > *worst)
            }
        };
        if keep {
            let (hash, _) = artifacts.adopt(staging, name)?;
            return Ok(Some((Hash(hash.0), true)));
        }
        let path = staging.folder().join(name);
        let plain = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
        if !plain || name.contains('/') {
            return Err(LogError::NotStaged { name: name.to_owned() });
        }
        let mut hasher = blake3::Hasher::new();
        let read = File::open(&path).and_then(|file| hasher.update_reader(file).map(drop));
        let refused = |source| LogError::Io { action: "read", path: path.clone(), source };
        read.map_err(refused)?;
        let _ = fs::remove_file(&path); // the next task empties the folder anyway
        Ok(Some((Hash(*hasher.finalize().as_bytes()), false)))
    }

    /// Makes the staged file `name` an artifact, whatever it holds; `None` if nothing is kept.
    ///
    /// # Errors
    /// [`LogError`] if the file is none, or cannot be moved.
    pub fn adopt(&self, name: &str) -> Result<Option<Hash>, LogError> {
        let Some((artifacts, staging)) = &self.place else { return Ok(None) };
        Ok(Some(Hash(artifacts.adopt(staging, name)?.0.0)))
    }

    /// Makes the staged file `name` an artifact if `check` finds its bytes right: its hash and what
    /// was found; `None` if nothing is kept. A file of more than `most` bytes is not looked at.
    ///
    /// # Errors
    /// [`LogError`] if the file is none, or cannot be read or moved; inside, what is wrong with it.
    pub fn adopt_checked<T>(
        &self,
        name: &str,
        most: u64,
        check: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<Option<Checked<T>>, LogError> {
        let Some((artifacts, staging)) = &self.place else { return Ok(None) };
        let path = staging.folder().join(name);
        let plain = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
        if !plain || name.contains('/') {
            return Err(LogError::NotStaged { name: name.to_owned() });
        }
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
        let refused = |source| LogError::Io { action: "read", path: path.clone(), source };
        read.map_err(refused)?;
        let _ = fs::remove_file(&path); // the next task empties the folder anyway
        Ok(Some(match check(&bytes) {
            Ok(found) => Ok((Hash(artifacts.put(&bytes)?.0), found)),
            Err(wrong) => Err(wrong),
        }))
    }

    /// All bytes of an artifact; none if nothing is kept.
    ///
    /// # Errors
    /// [`LogError`] if it is not there, or not what it was.
    pub fn read(&self, artifact: Hash) -> Result<Vec<u8>, LogError> {
        match &self.place {
            Some((artifacts, _)) => artifacts.read(crate::log::artifacts::ArtifactHash(artifact.0)),
            None => Ok(Vec::new()),
        }
    }

    /// Where an artifact lies, if it is there and what it was.
    #[must_use]
    pub fn sound(&self, artifact: Hash) -> Option<PathBuf> {
        let (artifacts, _) = self.place.as_ref()?;
        let hash = crate::log::artifacts::ArtifactHash(artifact.0);
        artifacts.open(hash).is_ok().then(|| artifacts.path(hash))
    }

    /// Checkpoints that nothing goes on from, and weights kept beyond the configured number: the
    /// worst, the newest of equals.
    #[must_use]
    pub fn surplus(&self, job: &dyn Job) -> Option<Surplus> {
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
        if let Some((artifacts, _)) = &self.place {
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
        match &self.place {
            Some((artifacts, _)) if !self.released.is_empty() => {
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
        let Some((artifacts, _)) = &self.place else { return Ok(()) };
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
pub fn beyond(job: &dyn Job, n: usize) -> Vec<Surplus> {
    let mut kept = kept(job);
    kept.sort_by_key(|&(trial, _, correct)| (correct, std::cmp::Reverse(trial)));
    kept.truncate(kept.len().saturating_sub(n));
    kept.into_iter().map(|(trial, artifact, _)| Surplus { trial, artifact }).collect()
}

/// Trials whose weights are kept: ordinal, artifact, right validation images.
fn kept(job: &dyn Job) -> Vec<(u32, Hash, u32)> {
    let entry = |trial: &Trial| match trial.status {
        Status::Finished(Outcome::Trained {
            weights: Some(hash),
            kept: true,
            best_correct,
            last_correct,
            ..
        }) => {
            let correct = match job.config().reward.accuracy {
                crate::config::recipe::WeightsOf::Best => best_correct,
                crate::config::recipe::WeightsOf::Last => last_correct,
            };
            Some((trial.planned.trial, hash, correct))
        }
        _ => None,
    };
    job.trials().all().iter().filter_map(entry).collect()
}
