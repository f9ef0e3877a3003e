//! Where the trainer program is looked for.

use std::path::{Path, PathBuf};

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
}

impl Places {
    /// The trainer program.
    ///
    /// # Errors
    /// [`NotFound`] if there is none.
    pub fn find(&self) -> Result<PathBuf, NotFound> {
        if let Some(told) = &self.told {
            let absolute = std::path::absolute(told).unwrap_or_else(|_| told.clone());
            return if absolute.is_file() { Ok(absolute) } else { Err(NotFound::Told(absolute)) };
        }
        let folders = self.beside.iter().chain(&self.path).map(PathBuf::as_path);
        let programs = folders.map(|folder: &Path| folder.join(PROGRAM));
        programs.into_iter().find(|program| program.is_file()).ok_or(NotFound::Anywhere)
    }
}
