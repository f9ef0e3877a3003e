//! [`Appender`]: keeps the read model current behind a process that records.
//!
//! It runs after an event is durable, so it must never fail the recording: what goes wrong is kept
//! to be told once, and queries bring the model up to date themselves.

use std::time::Duration;

use super::model::rolled_back;
use super::{Applied, ReadModel, ViewError};
use crate::events::Recorded;
use crate::events::frame::Head;
use crate::log::Store;

/// Events kept while other processes write to the model; beyond, queries have to read the log.
const PENDING_MAX: usize = 10_000;

/// Applies what is recorded to the read model of a store.
#[derive(Debug)]
pub struct Appender {
    store: Store,
    model: Option<ReadModel>,
    pending: Vec<Recorded>,
    /// The head before the first of them.
    before: Head,
    /// The head after the last that was handed over.
    last: Head,
    /// Told when something goes wrong, once.
    warn: fn(&str),
}

impl Appender {
    /// The appender of a store. `warn` is told if the model cannot be kept current.
    #[must_use]
    pub fn new(store: Store, warn: fn(&str)) -> Self {
        let (before, last) = (Head::default(), Head::default());
        let mut appender = Self { store, model: None, pending: Vec::new(), before, last, warn };
        appender.reopen();
        appender
    }

    fn reopen(&mut self) {
        // Others who write are not waited for: the batch goes with the next.
        match ReadModel::open(self.store.root(), self.store.id(), Duration::ZERO) {
            Ok(model) => self.model = Some(model),
            Err(error) if error.is_busy() => self.model = None,
            Err(error) => self.give_up(&error),
        }
    }

    fn give_up(&mut self, error: &ViewError) {
        (self.warn)(&format!("the tables are not kept current: {error}"));
        (self.model, self.warn) = (None, |_: &str| {});
    }

    /// Whether the model shows later events.
    fn is_beyond(&self, head: Head) -> bool {
        let stamp = self.model.as_ref().and_then(|model| model.stamp().ok());
        stamp.is_some_and(|stamp| stamp.position > head.position)
    }

    fn apply(&mut self, head: Head) -> Result<Applied, ViewError> {
        let Some(model) = &mut self.model else { return Ok(Applied::Busy) };
        if model.is_superseded()? {
            *model = ReadModel::open(self.store.root(), self.store.id(), Duration::ZERO)?;
        }
        let stamp = model.stamp();
        if let Ok(stamp) = &stamp
            && stamp.position == self.before.position
            && *stamp != self.before
        {
            return Err(rolled_back(*stamp, head).into());
        }
        match stamp.and_then(|_| model.apply(&self.pending, head)) {
            Err(error) if error.is_unusable() => {
                model.replace()?;
                model.apply(&self.pending, head)
            }
            other => other,
        }
    }

    /// New events, durable by now, and the head after them.
    pub fn recorded(&mut self, events: &[Recorded], head: Head) {
        if self.model.is_none() {
            self.reopen();
        }
        if self.pending.is_empty() && self.is_beyond(head) {
            self.last = head; // an old one, read again
            return;
        }
        if self.pending.len() + events.len() > PENDING_MAX.max(events.len()) {
            self.pending.clear(); // the gap is noticed, and closed by the next query
        }
        if self.pending.is_empty() {
            self.before = self.last;
        }
        self.last = head;
        self.pending.extend_from_slice(events);
        match self.apply(head) {
            Ok(Applied::Busy) => {}
            Ok(Applied::Done | Applied::Known | Applied::Gap) => self.pending.clear(),
            Err(error) if error.is_busy() => {}
            Err(error) => {
                self.pending.clear();
                self.give_up(&error);
            }
        }
    }
}
