//! What is carried out event by event: a search, a run or an attack. What is next follows from what
//! is recorded, so it can be killed anywhere and resumed.

use std::borrow::Cow;

use super::{Event, Hash};

/// What happens next.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision<T> {
    /// Record this batch.
    Record(Vec<Event>),
    /// Give this task to an idle trainer.
    Do(T),
    /// Nothing can be decided before a running task ends.
    Wait,
    /// All is done.
    Done,
}

impl<T> Decision<T> {
    /// The same, but for what becomes of a task.
    pub fn and_then<U>(self, task: impl FnOnce(T) -> Decision<U>) -> Decision<U> {
        match self {
            Self::Record(batch) => Decision::Record(batch),
            Self::Do(this) => task(this),
            Self::Wait => Decision::Wait,
            Self::Done => Decision::Done,
        }
    }
}

/// Something that is carried out event by event. It decides and folds; it does no IO and reads no
/// clock.
pub trait Job {
    /// What is given to a trainer.
    type Task;

    /// What happens next; `idle` says whether a trainer is free, `busy` which tasks must not be given
    /// to it: those that other trainers are at.
    fn decide(&self, idle: bool, busy: &[Self::Task]) -> Decision<Self::Task>;

    /// Takes in one recorded event.
    ///
    /// # Errors
    /// [`Impossible`] if it cannot follow what came before; the state is then undefined.
    fn apply(&mut self, event: &Event) -> Result<(), Impossible>;

    /// Whether nothing is left to do.
    fn is_finished(&self) -> bool;
}

/// A history that cannot have happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// An event that cannot follow what came before.
    #[error("{event} cannot follow what came before: {why}")]
    Event {
        /// Name of the kind.
        event: &'static str,
        /// The rule it breaks.
        why: Cow<'static, str>,
    },
    /// Learning again from the recorded draws gives another Q-table.
    #[error("the Q-table after episode {episode} is {found}, recorded was {recorded}")]
    Digest {
        /// The episode.
        episode: u32,
        /// The digest in the log.
        recorded: Hash,
        /// The digest found.
        found: Hash,
    },
}

impl Impossible {
    /// An event that breaks a rule.
    pub fn of(event: &Event, why: impl Into<Cow<'static, str>>) -> Self {
        Self::Event { event: event.kind().name, why: why.into() }
    }
}
