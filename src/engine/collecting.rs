//! Releasing weights that nobody wants to keep any longer, search by search.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::jobs::{FoldError, State};
use super::keeper::{Surplus, beyond};
use super::session::{Session, SessionError};
use crate::events::frame::Position;
use crate::events::{ArtifactReleased, Event, Fold, Recorded, Scope};
use crate::log::{BATCH_MAX, LogError};

/// The searches of a log, folded to see which weights they keep.
#[derive(Debug, Default)]
pub struct Searches {
    states: BTreeMap<Scope, Result<State, FoldError>>,
    last: BTreeMap<Scope, Position>,
}

impl Fold for Searches {
    type Error = Infallible;

    fn apply(&mut self, recorded: &Recorded) -> Result<(), Infallible> {
        let scope = recorded.scope;
        if !matches!(scope, Scope::Search(_)) {
            return Ok(());
        }
        self.last.insert(scope, recorded.position);
        self.states.entry(scope).or_insert_with(|| Ok(State::default())).apply(recorded)
    }
}

impl Searches {
    /// The weights of each search beyond its best `n`, as far as there are any; and why some
    /// searches cannot be followed.
    #[must_use]
    pub fn beyond(&self, n: usize) -> (Vec<Beyond>, Vec<&FoldError>) {
        let (mut list, mut wrong) = (Vec::new(), Vec::new());
        for (&scope, state) in &self.states {
            match state {
                Ok(State::Open(job)) => {
                    let surplus = beyond(&**job, n);
                    let last = self.last.get(&scope).copied().unwrap_or_default();
                    list.push(Beyond { scope, last, surplus });
                }
                Ok(_) => {} // it has not begun; an import that was not finished
                Err(error) => wrong.push(error),
            }
        }
        list.retain(|beyond| !beyond.surplus.is_empty());
        (list, wrong)
    }
}

/// The weights of a search beyond its best ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beyond {
    /// The search.
    pub scope: Scope,
    /// Its last event then.
    pub last: Position,
    /// The weights.
    pub surplus: Vec<Surplus>,
}

/// Why weights were not released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReleased {
    /// The search is being carried on; its setting `keep-weights` decides.
    Running,
    /// Something was recorded of it after the weights were chosen.
    MovedOn,
}

/// Records that weights are released, durably. Their files stay; see
/// [`Artifacts::remove`](crate::log::artifacts::Artifacts::remove).
///
/// # Errors
/// [`SessionError`] if the log refuses; inside, why nothing was recorded.
pub fn release(
    session: &mut Session,
    beyond: &Beyond,
) -> Result<Result<(), NotReleased>, SessionError> {
    let scope = beyond.scope;
    let _lock = match session.lock_now(scope) {
        Err(SessionError::Log(LogError::Busy(_))) => return Ok(Err(NotReleased::Running)),
        lock => lock?,
    };
    session.catch_up()?;
    if session.index().entries().get(&scope).map(|entry| entry.last) != Some(beyond.last) {
        return Ok(Err(NotReleased::MovedOn));
    }
    for part in beyond.surplus.chunks(BATCH_MAX) {
        let event = |one: &Surplus| {
            Event::from(ArtifactReleased { trial: one.trial, artifact: one.artifact })
        };
        let batch: Vec<Event> = part.iter().map(event).collect();
        session.record(scope, &batch)?;
    }
    Ok(Ok(()))
}
