//! What a person is told when something goes wrong, and the exit code.

use std::fmt;

use crate::config::ConfigError;
use crate::data::DataError;
use crate::engine::EngineError;
use crate::engine::journal::JournalError;
use crate::engine::session::SessionError;
use crate::log::{Kind, LogError};

/// Exit codes; a promise (README).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Nobody reads on: success.
    ClosedPipe = 0,
    /// The answer is no.
    No = 1,
    /// Usage or bad input.
    Usage = 2,
    /// Somebody else holds what is needed.
    Busy = 3,
    /// The store is damaged, or too new.
    Damaged = 4,
    /// Out of space.
    Space = 5,
    /// Interrupted; can be resumed.
    Interrupted = 6,
    /// A mistake in this program.
    Bug = 70,
}

/// An error as a person sees it: the thing, what is wrong with it, what to do next.
#[derive(Debug)]
pub struct CliError {
    /// The exit code.
    pub exit: Exit,
    /// The thing and what is wrong with it.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl CliError {
    /// An error with an exit code.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string(), hint: None }
    }

    /// Bad usage or input.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// stdout cannot be written to. A closed pipe is success, and has nothing to say.
    #[must_use]
    pub fn output(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::new(Exit::ClosedPipe, ""),
            std::io::ErrorKind::StorageFull => Self::new(Exit::Space, "no space left on stdout"),
            _ => Self::usage(format!("cannot write to stdout: {error}")),
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }
}

/// What to do about a log that was put back to an earlier state.
pub const ROLLED_BACK: &str = "bring the newer state of the store back; if it is lost for good, \
     `qtrail log repair --accept-rollback` goes on from the earlier one";

impl From<LogError> for CliError {
    fn from(error: LogError) -> Self {
        let (exit, hint) = match error.kind() {
            _ if matches!(error, LogError::Exists { .. }) => {
                (Exit::Usage, "give a path where nothing is yet")
            }
            _ if matches!(error, LogError::RolledBack { .. }) => (Exit::Damaged, ROLLED_BACK),
            Kind::Busy => (Exit::Busy, "wait for it, or give --wait a longer time in seconds"),
            Kind::Missing => (
                Exit::Usage,
                "give the right --store, or make one with `qtrail search`, `train` or an import",
            ),
            Kind::Damaged => (
                Exit::Damaged,
                "keep a copy of the store before anything else is tried; `qtrail log verify` says more",
            ),
            Kind::TooNew => (Exit::Damaged, "use a newer qtrail"),
            Kind::NoSpace => {
                (Exit::Space, "make room, then `qtrail resume`; nothing recorded is lost")
            }
            Kind::Io => (Exit::Usage, "see that the store can be read and written"),
            Kind::Conflict | Kind::Bug => (Exit::Bug, "please report this"),
        };
        Self::new(exit, error).hint(hint)
    }
}

impl From<JournalError> for CliError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Log(error) => error.into(),
            JournalError::Encode(_) => Self::new(Exit::Bug, error).hint("please report this"),
            JournalError::Decode { .. } => {
                Self::new(Exit::Damaged, error).hint("`qtrail log verify` says more")
            }
        }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Journal(error) => error.into(),
            EngineError::Log(error) => error.into(),
            EngineError::Trainer(error) => Self::usage(error)
                .hint("`make setup` and `make build` bring qtrail-torch; --trainer names another"),
            EngineError::Impossible(_) | EngineError::Attack(_) => {
                Self::new(Exit::Bug, error).hint("please report this")
            }
        }
    }
}

impl From<SessionError> for CliError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Engine(error) => error.into(),
            SessionError::Log(error) => error.into(),
            SessionError::Data(error) => error.into(),
            SessionError::Fold(_) => {
                Self::new(Exit::Damaged, error).hint("`qtrail log verify` says more")
            }
            SessionError::OtherData { .. } => {
                Self::usage(error).hint("name the right folder with --data")
            }
            SessionError::Device { .. } => Self::usage(error).hint("choose one with --device"),
            SessionError::Settings(_) => Self::usage(error),
        }
    }
}

impl From<DataError> for CliError {
    fn from(error: DataError) -> Self {
        let hint = match &error {
            DataError::NotFetched { name, .. } => {
                Some(format!("`qtrail data fetch {name}` brings it"))
            }
            _ => None,
        };
        let exit = if error.is_out_of_space() { Exit::Space } else { Exit::Usage };
        Self { hint, ..Self::new(exit, error) }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::usage(error).hint("`qtrail search --preset NAME --print-config` prints one to edit")
    }
}
