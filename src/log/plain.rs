//! Files and folders that are what they seem: no links, no pipes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

use super::LogError;
use super::error::Damage;
use super::files::{NOT_PLAIN, failed};

/// Opens a plain file of a store. A store may come from somebody else: a symbolic link in it could
/// lead anywhere and is not followed, and opening a pipe is not waited for.
///
/// # Errors
/// What the file system says; see [`is_not_plain`].
pub(super) fn open_with(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = options.clone().custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(NOT_PLAIN.into());
    }
    Ok(file)
}

/// Opens a plain file to read it, as `open_with` does.
///
/// # Errors
/// What the file system says; see [`is_not_plain`].
pub fn open_plain(path: &Path) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true))
}

/// All bytes of a plain file.
pub(super) fn read_plain(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_plain(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether an error of [`open_plain`] means that something else than a plain file is there.
#[must_use]
pub fn is_not_plain(error: &io::Error) -> bool {
    use rustix::io::Errno;
    // A folder opened for writing, a socket.
    let others = [NOT_PLAIN, Errno::NXIO].map(|errno| Some(errno.raw_os_error()));
    error.kind() == ErrorKind::IsADirectory || others.contains(&error.raw_os_error())
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
