//! Where events live: the trait [`EventLog`], the log in a folder and its in-memory twin.
//!
//! This module moves frames. It does not know what an event means. Every event is in two copies:
//! the journal, which is made durable first and is the truth, and sled.
//!
//! | file | what it holds |
//! |---|---|
//! | `store` | the folder: creating it whole, recognising it, the names inside |
//! | `head` | `HEAD`: how far the log was acknowledged, readable without a lock |
//! | `journal` | the first copy: records, segments, reading without a lock, mending |
//! | `sled` | the second copy; the only file that names the crate |
//! | `engine` | keeping sled up to date with the journal, making it anew |
//! | `opening` | what the files say when the log is opened, and making them whole |
//! | `local` | [`LocalLog`]: the order of operations of append and close |
//! | `memory` | [`MemoryLog`]: the twin for tests, with faults to inject |
//! | `lease` | who may append now, and named locks |
//! | `verify` | checking every event, and one copy against the other |
//! | `repair` | what can be restored from damaged copies, and what is lost |
//! | `building` | a store made aside and given its name only when all of it is there |
//! | `leftovers` | folders in the making, and sweeping what killed processes left of them |
//! | `artifacts` | large immutable blobs, named by their hash |
//! | `pins` | who relies on artifact files, and who may remove them |
//! | `plain` | opening files and folders that are what they seem |
//!
//! The order of operations, and why each crash point is harmless, is in `schema/README.md`.

pub mod artifacts;
mod building;
mod engine;
mod error;
mod files;
pub mod head;
pub mod journal;
pub mod lease;
mod leftovers;
mod local;
mod memory;
mod opening;
mod pins;
pub mod plain;
pub mod repair;
mod sled;
pub mod store;
pub mod verify;

use self::sled::Database;
pub use self::sled::is_thread_of_sled;
pub use building::Building;
pub use error::{Damage, Kind, LogError};
pub use journal::Reader;
pub use lease::{Busy, Holder, Locks, NamedLock};
pub use local::{LocalLog, Options, Repair};
pub use memory::{Fault, MemoryLog};
pub use pins::{Pin, Removal};
pub use store::{Aside, Store, random_name};
pub use verify::read_on;

use crate::events::frame::{Frame, Head, Position};

/// Most frames in one batch.
pub const BATCH_MAX: usize = 100;

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

    /// Appends a batch (1 to [`BATCH_MAX`] frames) atomically and durably after `expected`.
    ///
    /// # Errors
    /// [`LogError::Conflict`] if the log ends elsewhere by now: nothing was written. Read on from
    /// the expected head, seal again, try again. [`LogError::Batch`] and [`LogError::Frame`] if
    /// the batch itself is wrong: nothing was written. Any other error leaves the log unusable
    /// until it is reopened, and whether the batch is in it is known only then.
    fn append(&mut self, expected: Head, frames: &[Frame]) -> Result<Head, LogError>;

    /// Appends a batch that need not be durable before the next one that is appended as usual.
    /// For what counts for nothing before a closing event: a crash may take it back.
    ///
    /// # Errors
    /// As [`EventLog::append`].
    fn append_relaxed(&mut self, expected: Head, frames: &[Frame]) -> Result<Head, LogError> {
        self.append(expected, frames)
    }
}

/// Checks that a batch has a legal size and continues `expected`; returns the head after it.
///
/// Every implementation calls this first: what is in a log can be read back, always.
fn check_batch(expected: Head, frames: &[Frame]) -> Result<Head, LogError> {
    if frames.is_empty() || frames.len() > BATCH_MAX {
        return Err(LogError::Batch { found: frames.len() });
    }
    frames.iter().try_fold(expected, |head, frame| {
        let position = head.position.next();
        let next = frame.view(position).and_then(|view| view.follows(head));
        next.map_err(|source| LogError::Frame { position, source })
    })
}
