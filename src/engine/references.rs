//! Which artifacts a log names, and what for: the one fold that says which files are needed.
//!
//! A name stands until an `artifact-released` takes it back. Two kinds of names end by themselves:
//! the weights that a run starts from, and those of attacked trials, are needed until that run or
//! attack is finished; their trial names them on its own account.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;

use crate::events::frame::Position;
use crate::events::{Event, Fold, Hash, Outcome, Recorded, Scope, Victim};
use crate::log::artifacts::Artifacts;
use crate::log::{Kind, LogError};

/// What an artifact is named for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Which images are trained on and validated on.
    Split,
    /// True labels of images.
    Labels,
    /// Weights that a run starts from.
    Initial,
    /// Weights of a trial.
    Weights,
    /// What a training goes on from.
    Checkpoint,
    /// Class probabilities.
    Probabilities,
    /// The model that an attack is aimed at.
    Model,
    /// Crafted images.
    Images,
}

impl Role {
    /// For tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Labels => "labels",
            Self::Initial => "initial weights",
            Self::Weights => "weights",
            Self::Checkpoint => "checkpoint",
            Self::Probabilities => "probabilities",
            Self::Model => "attacked model",
            Self::Images => "crafted images",
        }
    }
}

/// A name that the log gives to an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// What for.
    pub role: Role,
    /// The search, run or attack.
    pub scope: Scope,
    /// The ordinal of the trial in it, if it is about one.
    pub trial: Option<u32>,
    /// The event that named it first.
    pub position: Position,
    /// When that was recorded, in milliseconds since 1970.
    pub since: i64,
    /// How often; equal checkpoints are released one by one.
    times: u32,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.trial {
            Some(trial) => write!(f, "{} of trial {trial} of {}", self.role.name(), self.scope),
            None => write!(f, "{} of {}", self.role.name(), self.scope),
        }
    }
}

/// The artifacts that a log names.
#[derive(Debug, Clone, Default)]
pub struct References {
    /// Also those that were named once, without a name.
    names: BTreeMap<Hash, Vec<Name>>,
    /// What is named until the end of a run or an attack.
    until_finished: BTreeMap<Scope, Vec<Hash>>,
}

impl Fold for References {
    type Error = Infallible;

    fn apply(&mut self, recorded: &Recorded) -> Result<(), Infallible> {
        let Recorded { position, at, scope, .. } = *recorded;
        let mut name = |artifact: Hash, role: Role, trial: Option<u32>| {
            self.name(artifact, Name { role, scope, trial, position, since: at, times: 1 });
        };
        match &recorded.event {
            Event::SearchStarted(started) => name(started.data.split, Role::Split, None),
            Event::RunStarted(started) => {
                name(started.data.split, Role::Split, None);
                if let Some(predicted) = &started.predicted {
                    name(predicted.validation_labels, Role::Labels, None);
                    name(predicted.test_labels, Role::Labels, None);
                }
            }
            Event::RunModel(model) => {
                if let Some(initial) = &model.initial {
                    name(initial.weights, Role::Initial, None);
                    self.until_finished.entry(scope).or_default().push(initial.weights);
                }
            }
            Event::TrialFinished(finished) => {
                if let Outcome::Trained { weights: Some(hash), kept: true, .. } = finished.outcome {
                    name(hash, Role::Weights, Some(finished.trial));
                }
            }
            Event::CheckpointKept(kept) => name(kept.artifact, Role::Checkpoint, Some(kept.trial)),
            Event::PredictionsRecorded(made) => {
                name(made.probabilities, Role::Probabilities, Some(made.trial));
                name(made.labels, Role::Labels, Some(made.trial));
            }
            Event::AttackVictim(victim) => {
                for &weights in &victim.weights {
                    name(weights, Role::Model, None);
                }
                // Of a file that others made there is nothing but this artifact.
                if !matches!(victim.what, Victim::Torchscript { .. }) {
                    self.until_finished.entry(scope).or_default().extend(&victim.weights);
                }
            }
            Event::ImagesCrafted(crafted) => name(crafted.artifact, Role::Images, None),
            Event::ArtifactReleased(released) => {
                // In the order in which a trial is told: a checkpoint that is stale, then weights.
                let roles = [Role::Checkpoint, Role::Weights];
                let _ = roles
                    .into_iter()
                    .any(|role| self.unname(released.artifact, role, scope, Some(released.trial)));
            }
            Event::RunFinished(_) | Event::AttackFinished(_) => {
                for artifact in self.until_finished.remove(&scope).unwrap_or_default() {
                    let _ = self.unname(artifact, Role::Initial, scope, None)
                        || self.unname(artifact, Role::Model, scope, None);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl References {
    fn name(&mut self, artifact: Hash, name: Name) {
        // Imports know of no split.
        if artifact == Hash::default() {
            return;
        }
        let names = self.names.entry(artifact).or_default();
        let same = |known: &&mut Name| {
            (known.role, known.scope, known.trial) == (name.role, name.scope, name.trial)
        };
        match names.iter_mut().find(same) {
            Some(known) => known.times += 1,
            None => names.push(name),
        }
    }

    /// Takes back a name once; `false` if there is none.
    fn unname(&mut self, artifact: Hash, role: Role, scope: Scope, trial: Option<u32>) -> bool {
        let Some(names) = self.names.get_mut(&artifact) else { return false };
        let same = |name: &Name| (name.role, name.scope, name.trial) == (role, scope, trial);
        let Some(at) = names.iter().position(same) else { return false };
        names[at].times -= 1;
        if names[at].times == 0 {
            names.swap_remove(at);
        }
        true
    }

    /// Every artifact that is named, in order of hash, with its names.
    pub fn iter(&self) -> impl Iterator<Item = (Hash, &[Name])> {
        let named = self.names.iter().filter(|(_, names)| !names.is_empty());
        named.map(|(hash, names)| (*hash, &names[..]))
    }

    /// The names of an artifact.
    #[must_use]
    pub fn names(&self, artifact: Hash) -> &[Name] {
        self.names.get(&artifact).map_or(&[], Vec::as_slice)
    }

    /// Whether an artifact was named once: it was released, and is of no use to anybody.
    #[must_use]
    pub fn was_named(&self, artifact: Hash) -> bool {
        self.names.contains_key(&artifact)
    }
}

/// An artifact that is named, and is not there or not what it was.
#[derive(Debug)]
pub struct Flaw {
    /// Its hash.
    pub artifact: Hash,
    /// Its names.
    pub names: Vec<Name>,
    /// What is wrong: [`LogError::NoArtifact`], [`LogError::Damaged`], or why it cannot be read.
    pub error: LogError,
}

impl Flaw {
    /// Whether it is missing or altered, and not merely unreadable just now.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        self.error.kind() == Kind::Damaged
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.names {
            [] => {}
            [name] => write!(f, "{name}: ")?,
            [name, rest @ ..] => write!(f, "{name} (and {} more): ", rest.len())?,
        }
        write!(f, "{}", self.error)
    }
}

/// Reads every artifact that is named and compares its bytes with its hash. Hold a
/// [`Pin`](crate::log::Pin) since before the log was read: otherwise one may have been released
/// meanwhile. `between` is called before each of them.
///
/// # Errors
/// What `between` says.
pub fn check<E>(
    references: &References,
    artifacts: &Artifacts,
    mut between: impl FnMut() -> Result<(), E>,
) -> Result<Vec<Flaw>, E> {
    let mut flaws = Vec::new();
    for (artifact, names) in references.iter() {
        between()?;
        if let Err(error) = artifacts.open(artifact) {
            flaws.push(Flaw { artifact, names: names.to_vec(), error });
        }
    }
    Ok(flaws)
}

/// Checks that all that a batch names is there, before it is recorded. Hold a
/// [`Pin`](crate::log::Pin): otherwise it may be removed in between.
///
/// # Errors
/// [`LogError::NoArtifact`] if something is not: its release was recorded a moment ago.
pub(super) fn check_named(events: &[Event], artifacts: &Artifacts) -> Result<(), LogError> {
    let mut references = References::default();
    for event in events {
        let Ok(()) = references.apply(&Recorded::unplaced(event.clone()));
    }
    let missing = references.iter().find(|(hash, _)| !artifacts.contains(*hash));
    missing.map_or(Ok(()), |(hash, _)| Err(LogError::NoArtifact { hash }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{ArtifactReleased, CheckpointKept, TrialFinished};

    const S1: Scope = Scope::Search(1);

    fn fold(events: &[(Scope, Event)]) -> References {
        let mut references = References::default();
        for ((scope, event), position) in events.iter().zip(1..) {
            let (scope, event, position) = (*scope, event.clone(), Position(position));
            let Ok(()) = references.apply(&Recorded { position, at: 7, scope, event });
        }
        references
    }

    fn weights(trial: u32, bytes: &[u8]) -> Event {
        let outcome = Outcome::Trained {
            best_epoch: 1,
            best_correct: 1,
            last_correct: 1,
            total: 1,
            weights: Some(Hash::of(bytes)),
            kept: true,
        };
        let (attempt, epochs, restarts, seconds, peak_memory) = (1, 1, 0, 0.0, 0);
        TrialFinished { trial, attempt, outcome, epochs, restarts, seconds, peak_memory }.into()
    }

    fn checkpoint(trial: u32, attempt: u32, bytes: &[u8]) -> Event {
        let (restart, epoch, artifact) = (0, 1, Hash::of(bytes));
        CheckpointKept { trial, attempt, restart, epoch, artifact }.into()
    }

    fn released(trial: u32, bytes: &[u8]) -> Event {
        ArtifactReleased { trial, artifact: Hash::of(bytes) }.into()
    }

    fn texts(references: &References, bytes: &[u8]) -> Vec<String> {
        references.names(Hash::of(bytes)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_name_stands_until_it_is_released_by_its_own_trial() {
        let mut events = vec![
            (S1, weights(1, b"w")),
            (Scope::Search(2), weights(1, b"w")),
            (S1, released(2, b"w")),
            (Scope::Run(1), released(1, b"w")),
        ];
        let references = fold(&events);
        let expected = ["weights of trial 1 of s1", "weights of trial 1 of s2"];
        assert_eq!(texts(&references, b"w"), expected);
        assert_eq!(references.names(Hash::of(b"w"))[1].position, Position(2));
        events.push((S1, released(1, b"w")));
        assert_eq!(texts(&fold(&events), b"w"), expected[1..]);
        events.push((Scope::Search(2), released(1, b"w")));
        let references = fold(&events);
        assert_eq!(references.iter().count(), 0);
        assert!(references.was_named(Hash::of(b"w")) && !references.was_named(Hash::of(b"x")));
    }

    #[test]
    fn equal_checkpoints_are_released_one_by_one() {
        let run = Scope::Run(1);
        let mut events = vec![(run, checkpoint(1, 1, b"c")), (run, checkpoint(1, 2, b"c"))];
        events.push((run, released(1, b"c")));
        assert_eq!(texts(&fold(&events), b"c"), ["checkpoint of trial 1 of r1"]);
        events.push((run, released(1, b"c")));
        assert_eq!(texts(&fold(&events), b"c"), [""; 0]);
    }
}
