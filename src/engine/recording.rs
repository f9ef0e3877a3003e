//! Recording as a session does: what is recorded is taken in by the index of the session at once.

use super::journal::Durable;
use super::session::{Session, SessionError};
use crate::events::{Event, Fold as _, Recorded, Scope, folding};

impl Session {
    /// Records one batch, durably; none if it is empty.
    pub(super) fn record(&mut self, scope: Scope, batch: &[Event]) -> Result<(), SessionError> {
        self.put(scope, batch, Durable::Now)
    }

    /// Records one batch, durable when `durable` says.
    pub(super) fn put(
        &mut self,
        scope: Scope,
        batch: &[Event],
        durable: Durable,
    ) -> Result<(), SessionError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.journal.put(scope, batch, durable, folding(&mut self.index))?;
        let position = self.journal.position();
        for event in batch {
            let recorded = Recorded { position, at: 0, scope, event: event.clone() };
            let Ok(()) = self.index.apply(&recorded);
        }
        Ok(())
    }
}
