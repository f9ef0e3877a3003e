//! The logical digest: equal for two runs of the same search, however often interrupted.
//!
//! BLAKE3 over the logical events of one search, run or attack, each cleared of everything that tells of
//! the machine, sorted by logical key. Events of an attempt count only for the attempt that ended
//! the trial, and for those it went on from, up to the epoch after which it did.

use std::collections::HashMap;

use super::attacks::{ImagesCrafted, ImagesScored};
use super::codec::{CodecError, Recorded, fields};
use super::ids::{Hash, Scope};
use super::kinds::Event;
use super::runs::Continues;

/// (episode, ordinal of the trial, kind, index): unique among the logical events of a search.
type Key = (u32, u32, u16, u64);

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
    /// Restart and epoch, of those that a later attempt may go on from.
    epoch: Option<(u32, u32)>,
    /// The bytes that count.
    bytes: Vec<u8>,
}

impl Digests {
    /// Takes in one event, in the order of the log.
    ///
    /// # Errors
    /// [`CodecError`] if the event cannot be encoded.
    pub fn push(&mut self, recorded: &Recorded) -> Result<(), CodecError> {
        if recorded.scope == Scope::Store {
            return Ok(());
        }
        let digest = self.scopes.entry(recorded.scope).or_default();
        match &recorded.event {
            Event::TrialPlanned(planned) => {
                digest.episodes.insert(planned.trial, planned.episode);
            }
            Event::TrialFinished(finished) => {
                digest.ended_by.insert(finished.trial, finished.attempt);
            }
            Event::ImportStarted(_) | Event::ForkStarted(_) => digest.unfinished = true,
            Event::ImportFinished(_) | Event::ForkFinished(_) => digest.unfinished = false,
            Event::AttemptStarted(started) => {
                if let Some(continues) = started.continues {
                    digest.continues.insert((started.trial, started.attempt), continues);
                }
            }
            _ => {}
        }
        let (attempt, epoch) = match &recorded.event {
            Event::EpochFinished(epoch) => {
                (Some((epoch.trial, epoch.attempt)), Some((epoch.restart, epoch.epoch)))
            }
            Event::PredictionsRecorded(made) => (Some((made.trial, made.attempt)), None),
            _ => (None, None),
        };
        let key = digest.key(&recorded.event);
        if let Some(logical) = recorded.event.clone().logical() {
            let bytes = counted(&logical)?;
            digest.events.push(Entry { key, attempt, epoch, bytes });
        }
        Ok(())
    }

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
    fn key(&self, event: &Event) -> Key {
        let of_trial = |trial| (self.episodes.get(&trial).copied().unwrap_or(0), trial);
        let ((episode, trial), index) = match event {
            Event::ConfigPart(part) => ((0, 0), part.index.into()),
            Event::EpisodeSampled(sampled) => ((sampled.episode, 0), 0),
            Event::TrialPlanned(planned) => ((planned.episode, planned.trial), 0),
            Event::EpochFinished(epoch) => {
                (of_trial(epoch.trial), (u64::from(epoch.restart) << 32) | u64::from(epoch.epoch))
            }
            Event::TrialFinished(finished) => (of_trial(finished.trial), 0),
            Event::PredictionsRecorded(made) => (of_trial(made.trial), made.part as u64),
            Event::RunModel(model) => ((0, 0), model.index.into()),
            Event::TrialLost(lost) => (of_trial(lost.trial), 0),
            Event::TrialRetried(retried) => (of_trial(retried.trial), retried.before.into()),
            Event::TrialReused(reused) => (of_trial(reused.trial), 0),
            Event::ExperienceRecorded(experience) => ((experience.episode, 0), 0),
            Event::ReplayUpdated(update) => ((update.episode, 0), 0),
            Event::PhaseEnded(ended) => ((ended.episode, u32::MAX), ended.phase.into()),
            Event::ImportedRow(row) => ((row.row.saturating_add(1), 0), 0),
            Event::ImportedQ(values) => ((0, 0), values.first.into()),
            Event::Inherited(part) => ((0, 0), part.first.into()),
            // A search whose schedule was extended is finished more than once.
            Event::SearchFinished(finished) => ((u32::MAX, u32::MAX), finished.episodes.into()),
            Event::ScheduleExtended(added) => ((u32::MAX, u32::MAX), added.phase.into()),
            Event::RunFinished(_) | Event::ImportFinished(_) | Event::AttackFinished(_) => {
                ((u32::MAX, u32::MAX), 0)
            }
            Event::PoolPart(part) => ((0, 0), part.first.into()),
            Event::AttackVictim(victim) => ((0, 0), victim.victim.into()),
            Event::AttackOutputs(outputs) => ((0, 0), outputs.victim.into()),
            Event::AttackSpecified(specified) => ((0, 0), specified.spec.into()),
            Event::AttackTransformation(what) => ((0, 0), what.transformation.into()),
            Event::ImagesCrafted(crafted) => {
                let victim = u32::from(crafted.victim) + 1;
                ((victim, u32::from(crafted.spec) + 1), crafted.first.into())
            }
            Event::ImagesScored(scored) => ((u32::from(scored.judge) + 1, source(scored)), {
                let how = u64::from(scored.transformation) << 16 | u64::from(scored.repeat);
                how << 32 | u64::from(scored.first)
            }),
            Event::SearchStarted(_)
            | Event::AttackStarted(_)
            | Event::AttackTrainer(_)
            | Event::RunStarted(_)
            | Event::ImportStarted(_)
            | Event::ForkStarted(_)
            | Event::ForkFinished(_)
            | Event::AttemptStarted(_)
            | Event::AttemptLost(_)
            | Event::Resumed(_)
            | Event::ArtifactReleased(_)
            | Event::CheckpointKept(_)
            | Event::StudyStarted(_)
            | Event::StudyRow(_)
            | Event::StudyFinished(_)
            | Event::SeriesJoined(_)
            | Event::EnsembleSaved(_)
            | Event::ResultLate(_)
            | Event::LogRepaired(_) => ((0, 0), 0),
        };
        (episode, trial, event.kind().number, index)
    }

    /// Whether an event of an attempt counts: the attempt ended the trial, or the one that did goes
    /// on, perhaps by way of others, from this epoch or a later one.
    fn counts(&self, (trial, attempt): (u32, u32), epoch: Option<(u32, u32)>) -> bool {
        let Some(&last) = self.ended_by.get(&trial) else { return false };
        let (mut at, mut until) = (last, (u32::MAX, u32::MAX));
        while at != attempt {
            match self.continues.get(&(trial, at)) {
                // An attempt can go on from earlier ones only.
                Some(from) if from.attempt < at => {
                    until = until.min((from.restart, from.epoch));
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

/// A number for what crafted the images: 0 if they are clean.
fn source(scored: &ImagesScored) -> u32 {
    scored.source.map_or(0, |crafting| {
        (u32::from(crafting.victim) << 16 | u32::from(crafting.spec)).saturating_add(1)
    })
}
