//! The logical digest: equal for two runs of the same search, however often interrupted.
//!
//! BLAKE3 over the logical events of one search, run or attack, each cleared of everything that tells of
//! the machine, sorted by logical key. Events of an attempt count only for the attempt that ended
//! the trial, and for those it went on from, up to the epoch after which it did.

use std::collections::HashMap;

use super::attacks::ImagesCrafted;
use super::codec::{CodecError, Recorded, fields};
use super::fold::Fold;
use super::ids::{Hash, Scope};
use super::kinds::Event;
use super::runs::Continues;
use super::subject::{Key, epoch_number};

/// Collects the events of all searches and runs of a log.
#[derive(Debug, Default)]
pub struct Digests {
    scopes: HashMap<Scope, Digest>,
}

#[derive(Debug, Default)]
struct Digest {
    /// The episode of each trial, by ordinal.
    episodes: HashMap<u32, u32>,
    /// The attempt that ended each trial.
    ended_by: HashMap<u32, u32>,
    /// Where an attempt (trial, attempt) went on, if it did not start anew.
    continues: HashMap<(u32, u32), Continues>,
    events: Vec<Entry>,
    /// It is an import or a fork whose end was not seen: it counts for nothing.
    unfinished: bool,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    /// Trial and attempt, if it counts only for the attempt that ended the trial.
    attempt: Option<(u32, u32)>,
    /// The number of the epoch, if a later attempt may go on from it.
    epoch: Option<u64>,
    /// The bytes that count.
    bytes: Vec<u8>,
}

impl Fold for Digests {
    /// The event cannot be encoded.
    type Error = CodecError;

    fn apply(&mut self, recorded: &Recorded) -> Result<(), CodecError> {
        if recorded.scope == Scope::Store {
            return Ok(());
        }
        self.scopes.entry(recorded.scope).or_default().take_in(&recorded.event)
    }
}

impl Digests {
    /// The digest of each search and run, in the order of their numbers.
    #[must_use]
    pub fn finish(self) -> Vec<(Scope, Hash)> {
        let counts = |(_, digest): &(_, Digest)| !digest.unfinished;
        let scopes = self.scopes.into_iter().filter(counts);
        let mut all: Vec<_> = scopes.map(|(scope, digest)| (scope, digest.finish())).collect();
        all.sort_unstable();
        all
    }
}

/// The bytes that count. A field that its kind got later does not as long as it is unset: what was
/// recorded before keeps its digest, and so does what is recorded anew without it.
fn counted(event: &Event) -> Result<Vec<u8>, CodecError> {
    let mut bytes = fields(event)?;
    if matches!(event, Event::ImagesCrafted(ImagesCrafted { invalid_gradient: None, .. })) {
        bytes.pop(); // the last field
    }
    Ok(bytes)
}

impl Digest {
    fn take_in(&mut self, event: &Event) -> Result<(), CodecError> {
        self.unfinished = event.counts().map_or(self.unfinished, |counts| !counts);
        match event {
            Event::TrialPlanned(planned) => {
                self.episodes.insert(planned.trial, planned.episode);
            }
            Event::TrialFinished(finished) => {
                self.ended_by.insert(finished.trial, finished.attempt);
            }
            Event::AttemptStarted(started) => {
                if let Some(continues) = started.continues {
                    self.continues.insert((started.trial, started.attempt), continues);
                }
            }
            _ => {}
        }
        let mut key = event.key();
        if let Some(trial) = event.trial() {
            key.0 = self.episodes.get(&trial).copied().unwrap_or(0);
        }
        let attempt = event.trial().zip(event.attempt());
        let epoch = matches!(event, Event::EpochFinished(_)).then_some(key.3);
        if let Some(logical) = event.clone().logical() {
            let bytes = counted(&logical)?;
            self.events.push(Entry { key, attempt, epoch, bytes });
        }
        Ok(())
    }

    /// Whether an event of an attempt counts: the attempt ended the trial, or the one that did goes
    /// on, perhaps by way of others, from this epoch or a later one.
    fn counts(&self, (trial, attempt): (u32, u32), epoch: Option<u64>) -> bool {
        let Some(&last) = self.ended_by.get(&trial) else { return false };
        let (mut at, mut until) = (last, u64::MAX);
        while at != attempt {
            match self.continues.get(&(trial, at)) {
                // An attempt can go on from earlier ones only.
                Some(from) if from.attempt < at => {
                    until = until.min(epoch_number(from.restart, from.epoch));
                    at = from.attempt;
                }
                _ => return false,
            }
        }
        at == last || epoch.is_some_and(|epoch| epoch <= until)
    }

    fn finish(mut self) -> Hash {
        let mut events = std::mem::take(&mut self.events);
        events
            .retain(|entry| entry.attempt.is_none_or(|attempt| self.counts(attempt, entry.epoch)));
        events.sort_unstable_by_key(|entry| entry.key);
        let mut hash = blake3::Hasher::new();
        for Entry { key, bytes, .. } in &events {
            hash.update(&key.2.to_le_bytes());
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        Hash(*hash.finalize().as_bytes())
    }
}
