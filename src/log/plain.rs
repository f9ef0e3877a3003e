//! Files and folders that are what they seem: no links, no pipes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

use super::LogError;
use super::error::Damage;
use super::files::failed;

/// Opens a plain file to read it. Links are not followed, and pipes are not waited for.
///
/// # Errors
/// What the file system says; see [`is_not_plain`].
pub fn open_plain(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(ErrorKind::IsADirectory, "it is not a plain file"))
}

/// Whether an error of [`open_plain`] means that something else than a plain file is there.
#[must_use]
pub fn is_not_plain(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let links = [Errno::LOOP, Errno::NXIO].map(|errno| Some(errno.raw_os_error()));
    error.kind() == ErrorKind::IsADirectory || links.contains(&error.raw_os_error())
}

/// Checks that something is a folder, and no link to one.
pub(super) fn own_folder(path: &Path) -> Result<(), LogError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(no_folder(path)),
        Err(error) => Err(failed("open", path)(error)),
    }
}

pub(super) fn no_folder(path: &Path) -> LogError {
    Damage::of_file(path.to_owned(), "a folder of the store is a link or a file").into()
}

/// Removes a file, a link or a folder with all that is in it, if it is there.
pub(super) fn remove_whole(path: &Path) -> Result<(), LogError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Bytes in a file, or in the files of a folder; what cannot be read counts as nothing.
pub(super) fn size(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| size(&entry.path())).sum()
        }
        Ok(found) => found.len(),
        Err(_) => 0,
    }
}
