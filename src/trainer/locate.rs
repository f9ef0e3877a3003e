//! Where the trainer program is looked for.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use crate::paths;

/// Name of the trainer that comes with qtrail.
pub const PROGRAM: &str = "qtrail-torch";

/// The places, in order.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// `--trainer`, or `$QTRAIL_TRAINER`: if given, nothing else is tried.
    pub told: Option<PathBuf>,
    /// Folder of the running program.
    pub beside: Option<PathBuf>,
    /// Folders of `$PATH`.
    pub path: Vec<PathBuf>,
}

/// No trainer was found.
#[derive(Debug, thiserror::Error)]
pub enum NotFound {
    /// The one that was named does not exist.
    #[error("there is no trainer {}", .0.display())]
    Told(PathBuf),
    /// None in any of the places.
    #[error("the trainer `{PROGRAM}` is neither beside qtrail nor on PATH")]
    Anywhere,
    /// The system does not say whether it is there.
    #[error("cannot look at {}: {}", .0.display(), .1)]
    Unseen(PathBuf, io::Error),
}

impl Places {
    /// The trainer program.
    ///
    /// # Errors
    /// [`NotFound`] if there is none.
    pub fn find(&self) -> Result<PathBuf, NotFound> {
        if let Some(told) = &self.told {
            let absolute = std::path::absolute(told).unwrap_or_else(|_| told.clone());
            return match paths::is_file(&absolute) {
                Ok(true) => Ok(absolute),
                Ok(false) => Err(NotFound::Told(absolute)),
                Err(error) => Err(NotFound::Unseen(absolute, error)),
            };
        }
        for folder in self.beside.iter().chain(&self.path) {
            let program = folder.join(PROGRAM);
            match paths::is_file(&program) {
                Ok(true) => return Ok(program),
                // Not everybody may look into every folder of $PATH.
                Err(error) if error.kind() != ErrorKind::PermissionDenied => {
                    return Err(NotFound::Unseen(program, error));
                }
                _ => {}
            }
        }
        Err(NotFound::Anywhere)
    }
}
