//! What lies at a path. Unlike those of the standard library, these answer "no" only if nothing is
//! there: what the system refuses to look at is an error, never a file that is missing.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Whether a file is there, perhaps behind a link.
///
/// # Errors
/// What the system says, unless that is that there is nothing.
pub fn is_file(path: &Path) -> io::Result<bool> {
    Ok(look(path)?.is_some_and(|found| found.is_file()))
}

/// Whether a folder is there, perhaps behind a link.
///
/// # Errors
/// As [`is_file`].
pub fn is_folder(path: &Path) -> io::Result<bool> {
    Ok(look(path)?.is_some_and(|found| found.is_dir()))
}

/// Whether anything is there, behind links.
///
/// # Errors
/// As [`is_file`].
pub fn is_there(path: &Path) -> io::Result<bool> {
    Ok(look(path)?.is_some())
}

fn look(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if says_nothing_is_there(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an error means that nothing has that name.
#[must_use]
pub fn says_nothing_is_there(error: &io::Error) -> bool {
    use ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | InvalidFilename | InvalidInput)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_there_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        let long = "n".repeat(300);
        let found = |name: &str| (is_there(&at(name)).ok(), is_file(&at(name)).ok());
        assert_eq!(found("file"), (Some(true), Some(true)));
        assert_eq!(found(""), (Some(true), Some(false)));
        for missing in ["none", "file/below", "nul\0", &long] {
            assert_eq!(found(missing), (Some(false), Some(false)), "{missing}");
        }
        // The system does not say what is there.
        assert_eq!(found("loop"), (None, None));
        assert!(is_folder(folder.path()).unwrap() && !is_folder(&at("file")).unwrap());
    }
}
