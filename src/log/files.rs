//! Small durable file operations, with errors that name the file.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use super::LogError;
use crate::paths;

/// Turns an [`io::Error`] into a [`LogError`] that names what was done to which file.
pub(super) fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> LogError + 'a {
    move |source| {
        let path = path.to_path_buf();
        if is_out_of_space(&source) {
            LogError::NoSpace { action, path, source }
        } else if source.raw_os_error() == Some(NOT_PLAIN.raw_os_error()) {
            LogError::NotPlain { path }
        } else {
            LogError::Io { action, path, source }
        }
    }
}

/// What opening a symbolic link says where none may be followed.
pub(super) const NOT_PLAIN: rustix::io::Errno = rustix::io::Errno::LOOP;

/// Whether an error means that the device (ENOSPC), the quota (EDQUOT) or the limit on file sizes
/// (EFBIG) is exhausted. By kind, because sled keeps only the kind of an error it repeats.
fn is_out_of_space(error: &io::Error) -> bool {
    use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Makes a folder's names durable: a rename or a new file counts only after this.
pub(super) fn sync_folder(path: &Path) -> Result<(), LogError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed("sync", path))
}

/// Makes every file and folder below `path`, and `path` itself, durable.
pub(super) fn sync_tree(path: &Path) -> Result<(), LogError> {
    for entry in fs::read_dir(path).map_err(failed("list", path))? {
        let entry = entry.map_err(failed("list", path))?;
        let inner = entry.path();
        if entry.file_type().map_err(failed("look at", &inner))?.is_dir() {
            sync_tree(&inner)?;
        } else {
            File::open(&inner).and_then(|file| file.sync_all()).map_err(failed("sync", &inner))?;
        }
    }
    sync_folder(path)
}

/// Whether something is at `path`, be it a link that leads nowhere. What cannot be looked at is not
/// missing.
pub(super) fn is_there(path: &Path) -> Result<bool, LogError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if paths::says_nothing_is_there(&error) => Ok(false),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

/// Writes a new file and makes its bytes (not yet its name) durable.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), LogError> {
    let write = || {
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(failed("write", path))
}

/// Makes a folder, and those above it, where missing; the new names are durable.
pub(super) fn make_folder(path: &Path) -> Result<(), LogError> {
    let is_folder = || paths::is_folder(path).map_err(failed("look at", path));
    if is_folder()? {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), make_folder)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists || !is_folder()? => {
            return Err(failed("create", path)(error));
        }
        _ => {}
    }
    parent.map_or(Ok(()), sync_folder)
}

/// Names in a folder, as text, in order; names that are not text are not ours and left out.
pub(super) fn names(path: &Path) -> Result<Vec<String>, LogError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed("list", path))? {
        let name = entry.map_err(failed("list", path))?.file_name();
        names.extend(name.into_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of exactly `2 * N` lower-case hexadecimal digits.
pub(super) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

const fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_reads_back_and_is_strict() {
        assert_eq!(from_hex(&hex(&[0, 0x9a, 0xff])), Some([0, 0x9a, 0xff]));
        for text in ["", "0", "0g", "0A", "000", "+1"] {
            assert_eq!(from_hex::<1>(text), None, "{text:?}");
        }
    }

    #[test]
    fn running_out_of_space_is_told_apart() {
        // ENOSPC, EDQUOT, EFBIG; then EIO.
        for (code, expected) in [(28, true), (122, true), (27, true), (5, false)] {
            let error = failed("write", Path::new("x"))(io::Error::from_raw_os_error(code));
            assert_eq!(matches!(error, LogError::NoSpace { .. }), expected, "errno {code}");
        }
    }
}
