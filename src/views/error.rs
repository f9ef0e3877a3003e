//! What can go wrong with the read model.

use std::path::PathBuf;

use crate::events::Hash;
use crate::events::codec::CodecError;
use crate::events::frame::Position;
use crate::log::LogError;

/// What can go wrong with the read model or a query.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The log refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An event that cannot be read.
    #[error("event {position}: {source}")]
    Event {
        /// Where it stands.
        position: Position,
        /// What is wrong with it.
        source: CodecError,
    },
    /// An event that cannot follow what came before.
    #[error("event {position}, {kind}, cannot follow what came before: {why}")]
    Impossible {
        /// Where it stands.
        position: Position,
        /// Its kind.
        kind: &'static str,
        /// The rule it breaks.
        why: String,
    },
    /// Learning again from the recorded draws gives another Q-table.
    #[error(
        "event {position}: the Q-table after episode {episode} is {found}, recorded was {recorded}"
    )]
    Digest {
        /// Where the replay update stands.
        position: Position,
        /// Its episode.
        episode: u32,
        /// The digest in the log.
        recorded: Hash,
        /// The digest found.
        found: Hash,
    },
    /// The file is not what this program left there; the next generation replaces it.
    #[error("the read model {} is unusable: {found}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// Another process writes to the file.
    #[error("the read model {} is being written by another process", .path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A query that cannot be understood.
    #[error("{0}")]
    Mistake(Box<Mistake>),
    /// A query that took too long.
    #[error("the query was stopped after {seconds} s")]
    TooLong {
        /// The limit.
        seconds: f64,
    },
    /// SQLite refused something else.
    #[error("the read model: {0}")]
    Sqlite(#[source] rusqlite::Error),
    /// The system refused something.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Whoever took the rows could not go on (a closed pipe).
    #[error("cannot write the result: {0}")]
    Output(#[from] std::io::Error),
}

/// A mistake in a query, and where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Mistake {
    /// What is wrong.
    pub message: String,
    /// The text it is in.
    pub text: String,
    /// The bytes of the text it is about.
    pub at: Option<(usize, usize)>,
    /// What to do next.
    pub hint: Option<String>,
}

impl From<Mistake> for ViewError {
    fn from(mistake: Mistake) -> Self {
        Self::Mistake(Box::new(mistake))
    }
}

impl From<rusqlite::Error> for ViewError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl ViewError {
    /// The system refuses another thread.
    pub(super) fn thread(source: std::io::Error) -> Self {
        Self::Io { action: "read", path: "with another thread".into(), source }
    }

    /// The event it is about, if it is about one.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Event { position, .. }
            | Self::Impossible { position, .. }
            | Self::Digest { position, .. } => Some(*position),
            _ => None,
        }
    }

    /// Whether the file must be replaced by the next generation.
    pub(super) fn is_unusable(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Unusable { .. } => true,
            Self::Sqlite(error) => {
                matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
            }
            _ => false,
        }
    }

    /// Whether there is no space left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match self {
            Self::Sqlite(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Self::Io { source, .. } => {
                matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge)
            }
            _ => false,
        }
    }

    /// Whether the system refused to read or write a file of the read model.
    #[must_use]
    pub fn is_of_storage(&self) -> bool {
        use rusqlite::ErrorCode::{
            CannotOpen, DiskFull, FileLockingProtocolFailed, PermissionDenied, ReadOnly,
            SystemIoFailure,
        };
        match self {
            Self::Io { .. } => true,
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    CannotOpen
                        | DiskFull
                        | FileLockingProtocolFailed
                        | PermissionDenied
                        | ReadOnly
                        | SystemIoFailure
                )
            ),
            _ => false,
        }
    }

    /// Whether it is about the file alone: the log answers without it.
    pub(super) fn is_of_the_file(&self) -> bool {
        matches!(
            self,
            Self::Unusable { .. } | Self::Busy { .. } | Self::Io { .. } | Self::Sqlite(_)
        )
    }

    /// Whether the system refused to read or write the file.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        use rusqlite::ErrorCode::{
            CannotOpen, FileLockingProtocolFailed, NoLargeFileSupport, PermissionDenied, ReadOnly,
            SystemIoFailure,
        };
        matches!(self, Self::Sqlite(error) if matches!(
            error.sqlite_error_code(),
            Some(
                CannotOpen | FileLockingProtocolFailed | NoLargeFileSupport | PermissionDenied
                    | ReadOnly | SystemIoFailure
            )
        ))
    }

    /// Whether somebody else has the file.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        match self {
            Self::Busy { .. } => true,
            Self::Sqlite(error) => {
                matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
            }
            _ => false,
        }
    }
}
