//! Facts about the log itself.

use serde::{Deserialize, Serialize};

/// A copy of the events, or `HEAD`, was damaged and put right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRepaired {
    /// `journal`, `sled`, `HEAD`, or `log` where an earlier state of it was accepted.
    pub part: String,
    /// What was wrong with it; at most [`LogRepaired::BYTES`] bytes.
    pub found: String,
    /// Events that were restored from the other copy.
    pub restored: u64,
    /// Events that neither copy has any more: those with the positions before this event were kept.
    pub lost: u64,
    /// Where the damaged files were put, within the store; empty if none were.
    pub aside: String,
}

impl LogRepaired {
    /// Most bytes of `found`.
    pub const BYTES: usize = 1_000;
}
