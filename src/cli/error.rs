//! What a person is told when something goes wrong, and the exit code.

use std::fmt;
use std::io;
use std::path::Path;

use crate::config::ConfigError;
use crate::data::DataError;
use crate::engine::EngineError;
use crate::engine::devices::DeviceError;
use crate::engine::journal::JournalError;
use crate::engine::session::SessionError;
use crate::log::{Kind, LogError};
use crate::trainer::process::StartError;

/// Exit codes; a promise (README).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Nothing is left to say, as after `--help`, or nobody reads on: success.
    Done = 0,
    /// The answer is no.
    No = 1,
    /// Usage or bad input.
    Usage = 2,
    /// Somebody else holds what is needed.
    Busy = 3,
    /// The store is damaged, or too new.
    Damaged = 4,
    /// The system refused: no space is left, or reading or writing failed.
    System = 5,
    /// Interrupted; can be resumed.
    Interrupted = 6,
    /// A mistake in this program.
    Bug = 70,
}

impl Exit {
    /// The exit code for an answer of the system: bad input if another path is the remedy.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        use io::ErrorKind as E;
        match error.kind() {
            E::NotFound
            | E::PermissionDenied
            | E::AlreadyExists
            | E::NotADirectory
            | E::IsADirectory
            | E::DirectoryNotEmpty
            | E::InvalidFilename
            | E::InvalidInput
            | E::InvalidData
            | E::UnexpectedEof => Self::Usage,
            _ => Self::System,
        }
    }
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

    /// An end of which all was told already.
    #[must_use]
    pub fn told(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// stdout cannot be written to. A closed pipe is success, and has nothing to say.
    #[must_use]
    pub fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::told(Exit::Done),
            _ => Self::new(Exit::System, format!("cannot write to stdout: {error}")),
        }
    }

    /// The system refused to do something (a verb) with a file or folder.
    #[must_use]
    pub fn file(action: &str, path: &Path, error: &io::Error) -> Self {
        let message = format!("cannot {action} {}: {error}", path.display());
        let told = Self::new(Exit::of(error), message);
        match error.kind() {
            io::ErrorKind::StorageFull => told.hint("make room"),
            _ => told,
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
            _ if matches!(error, LogError::Unreadable { .. }) => (
                Exit::System,
                "nothing was changed; try again, for the next reading may succeed. If the disk is failing, \
                 copy the store to another one with a tool that goes on after errors, and repair the copy",
            ),
            _ if matches!(error, LogError::RolledBack { .. }) => (Exit::Damaged, ROLLED_BACK),
            _ if matches!(&error, LogError::Busy(busy) if busy.lock.starts_with("cuda:")) => (
                Exit::Busy,
                "wait for it (--wait, in seconds), or name a free device with --device",
            ),
            Kind::Busy => (Exit::Busy, "wait for it, or give --wait a longer time in seconds"),
            Kind::Missing => (
                Exit::Usage,
                "give the right --store, or make one with `qtrail search`, `train` or an import",
            ),
            Kind::Damaged => (
                Exit::Damaged,
                "`qtrail log verify` says more, and `qtrail log repair` what can be restored",
            ),
            Kind::TooNew => (Exit::Damaged, "use a newer qtrail"),
            Kind::NoSpace => {
                (Exit::System, "make room, then `qtrail resume`; nothing recorded is lost")
            }
            Kind::Io => {
                (Exit::System, "see that the store can be read and written, then `qtrail resume`")
            }
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
            EngineError::Data(error) => error.into(),
            EngineError::Machine(error) => Self::new(Exit::System, error)
                .hint("deal with that, then `qtrail resume`; nothing recorded is lost, and no trial counts as lost"),
            EngineError::Trainer(error) if error.is_of_machine() => Self::new(Exit::System, error)
                .hint("see what the machine lacks, then `qtrail resume`; nothing recorded is lost"),
            EngineError::Trainer(error) => {
                let exit = match &error {
                    StartError::Spawn { source, .. } => Exit::of(source),
                    _ => Exit::Usage,
                };
                let hint =
                    "`make setup` and `make build` bring qtrail-torch; --trainer names another";
                Self::new(exit, error).hint(hint)
            }
            EngineError::Impossible(_) | EngineError::Stuck => Self::new(Exit::Bug, error).hint("please report this"),
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
            SessionError::Device(DeviceError::Emulated { .. }) => Self::usage(error).hint(
                "--emulate-bf16 allows it, slower than f32; else begin with --precision f32, \
                 or name another --device",
            ),
            SessionError::Device(DeviceError::Precision { .. }) => Self::usage(error).hint(
                "begin with --precision f32, or name another --trainer (schema/trainer.md: bf16)",
            ),
            SessionError::Device(_) => Self::usage(error).hint("choose one with --device"),
            SessionError::Settings(_) => Self::usage(error),
            SessionError::Overtaken => Self::new(Exit::Busy, error),
            SessionError::Hung { .. } => Self::usage(error).hint(
                "a trainer may be silent for $QTRAIL_TRAINER_SILENCE seconds (default 120); if the \
                 model needs longer for an image, set more",
            ),
            SessionError::Stopped => {
                Self::new(Exit::Interrupted, error).hint("the same command tries the models again")
            }
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
        let refused = |error: &DataError| match error {
            DataError::Io { source, .. } => Some(Exit::of(source)),
            _ => None,
        };
        let exit = match &error {
            DataError::Several(errors) => errors.iter().find_map(refused),
            one => refused(one),
        };
        Self { hint, ..Self::new(exit.unwrap_or(Exit::Usage), error) }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::usage(error).hint("`qtrail search --preset NAME --print-config` prints one to edit")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_system_are_told_from_wrong_paths() {
        // ENOENT, EACCES, EEXIST, ENOTDIR, EISDIR, EINVAL, ENAMETOOLONG.
        for code in [2, 13, 17, 20, 21, 22, 36] {
            assert_eq!(Exit::of(&io::Error::from_raw_os_error(code)), Exit::Usage, "errno {code}");
        }
        // EIO, EAGAIN, ENOMEM, ENFILE, EMFILE, EFBIG, ENOSPC, EROFS, ESTALE, EDQUOT.
        for code in [5, 11, 12, 23, 24, 27, 28, 30, 116, 122] {
            assert_eq!(Exit::of(&io::Error::from_raw_os_error(code)), Exit::System, "errno {code}");
        }
    }
}
