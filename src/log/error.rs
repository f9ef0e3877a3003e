//! What can go wrong with a log, a store or an artifact.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::artifacts::ArtifactHash;
use super::lease::Busy;
use crate::events::frame::{FrameError, Head, Position};

/// What can go wrong with a log, a store or an artifact. [`LogError::kind`] sorts these by what a
/// caller can do about them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Somebody else appended in the meantime. Nothing was written.
    #[error("the log moved on to position {}", .actual.position)]
    Conflict {
        /// Where the log ends now.
        actual: Head,
    },
    /// A lock could not be had within the wait.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// There is no store at this path.
    #[error("there is no store at {}", .path.display())]
    Missing {
        /// Where a store was expected.
        path: PathBuf,
    },
    /// The folder holds other things: a store is not made in it.
    #[error("{} holds other files and is not a store", .path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// There is something at this path already, where a store is to be restored.
    #[error("there is something at {} already", .path.display())]
    Exists {
        /// Where the store was to be.
        path: PathBuf,
    },
    /// The store was written by a newer program.
    #[error("the store at {} has format {format}: it needs qtrail {minimum} or newer", .path.display())]
    TooNew {
        /// The store.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The oldest program version that reads it, as the store says.
        minimum: String,
    },
    /// Bytes are not what was written.
    #[error(transparent)]
    Damaged(Box<Damage>),
    /// The device, the quota or the limit on file sizes is exhausted.
    #[error("no space left to {action} {}: {source}", .path.display())]
    NoSpace {
        /// What was being done, as a verb.
        action: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused something else.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder or file of the store is a symbolic link, a pipe or a device.
    #[error("{} is not a plain file or folder, which all parts of a store are", .path.display())]
    NotPlain {
        /// What is none.
        path: PathBuf,
    },
    /// A cache of the same store shows a later event than the log has, or another one at its end:
    /// the log was replaced by an earlier copy of itself.
    #[error("the log ends at event {log}, but its tables have shown event {shown}{}: \
             the log was put back to an earlier state", if .shown <= .log { " with other contents" } else { "" })]
    RolledBack {
        /// The last event that was shown.
        shown: Position,
        /// The end of the log.
        log: Position,
    },
    /// A repair would give up events that the disk refuses to read just now.
    #[error("cannot read {}: a repair would give up the events that it alone holds", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
    },
    /// An append through something that only reads.
    #[error("this log is only read")]
    ReadOnly,
    /// An earlier write or sync failed; what the disk holds is known only after reopening.
    #[error("an earlier write failed: the log must be reopened")]
    Poisoned,
    /// A batch of no frames, or of too many.
    #[error("a batch holds 1 to {} events, not {found}", super::BATCH_MAX)]
    Batch {
        /// Frames in the batch.
        found: usize,
    },
    /// A frame handed in for appending does not belong there.
    #[error("the frame for position {position} cannot be appended: {source}")]
    Frame {
        /// Where it was to go.
        position: Position,
        /// What is wrong with it.
        source: FrameError,
    },
    /// No artifact of this hash is in the store.
    #[error("artifact {hash} is not in the store")]
    NoArtifact {
        /// The hash asked for.
        hash: ArtifactHash,
    },
    /// A file offered as an artifact is not a plain file in the staging folder.
    #[error("{name:?} is not a plain file in the staging folder")]
    NotStaged {
        /// The name offered.
        name: String,
    },
}

/// [`LogError`]s by what can be done about them; the command line maps these to exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Read on and try again.
    Conflict,
    /// Wait, or end the holder.
    Busy,
    /// Give the right path, or create the store.
    Missing,
    /// Repair, or go back to a backup.
    Damaged,
    /// Use a newer program.
    TooNew,
    /// Make room.
    NoSpace,
    /// The system said no; its message says why.
    Io,
    /// The caller broke a rule of this module.
    Bug,
}

impl LogError {
    /// What can be done about it.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Conflict { .. } => Kind::Conflict,
            Self::Busy(_) => Kind::Busy,
            Self::Missing { .. } | Self::Occupied { .. } | Self::Exists { .. } => Kind::Missing,
            Self::Damaged(_)
            | Self::NoArtifact { .. }
            | Self::NotPlain { .. }
            | Self::RolledBack { .. } => Kind::Damaged,
            Self::TooNew { .. } => Kind::TooNew,
            Self::NoSpace { .. } => Kind::NoSpace,
            Self::Io { .. } | Self::Unreadable { .. } | Self::Poisoned | Self::NotStaged { .. } => {
                Kind::Io
            }
            Self::Batch { .. } | Self::Frame { .. } | Self::ReadOnly => Kind::Bug,
        }
    }
}

impl From<Damage> for LogError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(Box::new(damage))
    }
}

/// Bytes that are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Damage {
    /// The first position known to be affected, if it is about one.
    pub position: Option<Position>,
    /// What was found.
    pub found: String,
    /// The damaged file or folder; `None` where the log is not one of files.
    pub original: Option<PathBuf>,
}

impl Damage {
    /// Damage to a file.
    pub(super) fn of_file(path: PathBuf, found: impl Into<String>) -> Self {
        Self { position: None, found: found.into(), original: Some(path) }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = self.position {
            write!(f, "event {position}: ")?;
        }
        f.write_str(&self.found)?;
        match &self.original {
            Some(original) => write!(f, " ({})", original.display()),
            None => Ok(()),
        }
    }
}
