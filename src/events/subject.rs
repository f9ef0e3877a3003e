//! What an event is about, and where it stands among the events of its search, run or attack. The
//! table of kinds says it of each kind, in its own line.

use super::kinds::{Event, Outcome};

/// (episode, ordinal of the trial, kind, index): unique among the logical events of a search, run
/// or attack. A digest sorts by it.
pub type Key = (u32, u32, u16, u64);

/// A number for an epoch of an attempt that rises with restarts and epochs.
pub(super) fn epoch_number(restart: u32, epoch: u32) -> u64 {
    u64::from(restart) << 32 | u64::from(epoch)
}

/// What an event is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Subject {
    episode: Option<u32>,
    trial: Option<u32>,
    attempt: Option<u32>,
    /// What stands in the key for the episode and the trial where there is none.
    place: (u32, u32),
    /// Its number among those of its kind, episode and trial.
    index: u64,
    /// Whether the events of its search count from here on, if it changes that.
    counts: Option<bool>,
}

/// An episode.
pub(super) fn episode(episode: u32) -> Subject {
    Subject { episode: Some(episode), ..Subject::default() }
}

/// A trial.
pub(super) fn trial(trial: u32) -> Subject {
    Subject { trial: Some(trial), ..Subject::default() }
}

/// An attempt at a trial.
pub(super) fn attempt(trial: u32, attempt: u32) -> Subject {
    Subject { attempt: Some(attempt), ..self::trial(trial) }
}

/// No episode and no trial, but sorted like one.
pub(super) fn place(episode: u32, trial: u32) -> Subject {
    Subject { place: (episode, trial), ..Subject::default() }
}

/// All of the search, run or attack, which has ended.
pub(super) fn end() -> Subject {
    place(u32::MAX, u32::MAX)
}

/// A numbered part of the search, run or attack.
pub(super) fn part(index: impl Into<u64>) -> Subject {
    Subject::default().at(index)
}

impl Subject {
    /// The same, asked for by an episode; 0 is none.
    pub(super) fn asked_by(self, episode: u32) -> Self {
        Self { episode: Some(episode).filter(|&episode| episode > 0), ..self }
    }

    /// The same; from here on the events of its search count, or do not.
    pub(super) fn counts(self, counts: bool) -> Self {
        Self { counts: Some(counts), ..self }
    }

    /// The same, with a number among those of its kind.
    pub(super) fn at(self, index: impl Into<u64>) -> Self {
        Self { index: index.into(), ..self }
    }
}

impl Event {
    /// The episode it is about, as far as it says so.
    #[must_use]
    pub fn episode(&self) -> Option<u32> {
        self.subject().episode
    }

    /// The ordinal of the trial it is about.
    #[must_use]
    pub fn trial(&self) -> Option<u32> {
        self.subject().trial
    }

    /// The number of the attempt at that trial it is about.
    #[must_use]
    pub fn attempt(&self) -> Option<u32> {
        self.subject().attempt
    }

    /// What came of the trial it is about, if it ends it.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::TrialFinished(finished) => Some(&finished.outcome),
            Self::TrialReused(reused) => Some(&reused.outcome),
            _ => None,
        }
    }

    /// Whether the events of its search count from here on, if it changes that: an import and a fork
    /// count once their closing event is there.
    #[must_use]
    pub fn counts(&self) -> Option<bool> {
        self.subject().counts
    }

    /// Its logical key. The episode of a trial is 0 unless the event says it: `trial-planned` does.
    #[must_use]
    pub fn key(&self) -> Key {
        let Subject { episode, trial, place, index, .. } = self.subject();
        (episode.unwrap_or(place.0), trial.unwrap_or(place.1), self.kind().number, index)
    }
}
