//! Where events live: the trait [`EventLog`], its sled implementation and its in-memory twin.
//!
//! This module moves frames. It does not know what an event means.

use crate::events::frame::{Frame, Head, Position};

/// An append-only sequence of frames.
///
/// So narrow on purpose: three operations are all that another implementation has to offer.
/// Sealing (chain and checksum) is pure and happens above it, in [`crate::events::frame`].
pub trait EventLog {
    /// The end of the log.
    ///
    /// # Errors
    /// [`LogError`] if the log cannot be read.
    fn head(&mut self) -> Result<Head, LogError>;

    /// Up to `max` frames after position `after`, in order.
    ///
    /// # Errors
    /// [`LogError`] if the log cannot be read.
    fn read(&mut self, after: Position, max: usize) -> Result<Vec<Frame>, LogError>;

    /// Appends a batch (1 to 100 frames) atomically and durably after `expected`.
    ///
    /// # Errors
    /// [`LogError::Conflict`] if the log ends elsewhere by now: nothing was written. Read on from
    /// the expected head, seal again, try again. Any other error leaves the log unusable until it
    /// is reopened.
    fn append(&mut self, expected: Head, frames: &[Frame]) -> Result<Head, LogError>;
}

/// What can go wrong with a log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Somebody else appended in the meantime.
    #[error("the log moved on to position {}", .actual.position)]
    Conflict {
        /// Where the log ends now.
        actual: Head,
    },
}
