//! Folders in the making, beside the one they are to become: `.NAME.creating-PID-ID` and
//! `.NAME.building-PID-ID`.
//!
//! The process that makes one holds a lock on the folder itself, so that what killed processes
//! left can be told from what is being made, whatever became of their process ids. The process id
//! in the name is for people.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::LogError;
use super::files::failed;
use super::store::{StoreId, random_id};

/// What a folder in the making is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An empty store.
    Creating,
    /// A store that is restored or backed up.
    Building,
}

impl Purpose {
    const ALL: [Self; 2] = [Self::Creating, Self::Building];

    const fn infix(self) -> &'static str {
        match self {
            Self::Creating => ".creating-",
            Self::Building => ".building-",
        }
    }
}

/// A folder in the making, locked. Removed when dropped, unless it was renamed by then.
#[derive(Debug)]
pub(super) struct Sibling {
    path: PathBuf,
    id: StoreId,
    _lock: File,
}

impl Sibling {
    /// Sweeps `parent`, then makes an empty folder for `name` in it.
    pub(super) fn make(parent: &Path, name: &OsStr, purpose: Purpose) -> Result<Self, LogError> {
        sweep(parent);
        loop {
            let id = random_id()?;
            let mut own = OsString::from(".");
            own.push(name);
            own.push(format!("{}{}-{id}", purpose.infix(), std::process::id()));
            let path = parent.join(own);
            fs::create_dir(&path).map_err(failed("create", &path))?;
            // Somebody who sweeps may have been faster: then another one is made.
            if let Some(lock) = lock(&path).map_err(failed("lock", &path))? {
                return Ok(Self { path, id, _lock: lock });
            }
        }
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A random id: that of the store to be.
    pub(super) fn id(&self) -> StoreId {
        self.id
    }
}

impl Drop for Sibling {
    fn drop(&mut self) {
        // Best effort: what is left is swept by the next one.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes what killed processes have left in `parent`, for a store of any name. Best effort:
/// what belongs to somebody else stays.
pub(super) fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if is_one(&entry.file_name()) {
            let path = entry.path();
            // The lock is held until the folder is gone.
            if let Ok(Some(_lock)) = lock(&path) {
                let _ = fs::remove_dir_all(&path);
            }
        }
    }
}

/// Whether a name is that of a folder in the making. Earlier programs left out the process id when
/// creating.
fn is_one(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let after = |infix: &str| {
        let at = name.windows(infix.len()).rposition(|window| window == infix.as_bytes())?;
        (at > 1).then(|| &name[at + infix.len()..])
    };
    let fits = |rest: &[u8]| {
        let (pid, id) = match rest.iter().position(|&byte| byte == b'-') {
            Some(dash) => (&rest[..dash], &rest[dash + 1..]),
            None => (&b"0"[..], rest),
        };
        let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        !pid.is_empty()
            && pid.iter().all(u8::is_ascii_digit)
            && id.len() == 32
            && id.iter().all(hex)
    };
    name.first() == Some(&b'.')
        && Purpose::ALL.iter().any(|purpose| after(purpose.infix()).is_some_and(fits))
}

/// Locks a folder; `None` if somebody else has it, or it is gone by then.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let flags = (OFlags::NOFOLLOW | OFlags::DIRECTORY).bits().cast_signed();
    let folder = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match folder.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(None),
        Err(fs::TryLockError::Error(error)) => return Err(error),
    }
    let locked = folder.metadata()?;
    let there = fs::symlink_metadata(path).ok();
    let same =
        there.is_some_and(|there| (there.dev(), there.ino()) == (locked.dev(), locked.ino()));
    Ok(same.then_some(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_in_the_making_are_named_so() {
        let id = "0123456789abcdef0123456789abcdef";
        for (name, expected) in [
            (format!(".store.creating-{id}"), true),
            (format!(".store.creating-17-{id}"), true),
            (format!(".a.building-1.building-17-{id}"), true),
            (format!("..building-17-{id}"), false),
            (format!("store.building-17-{id}"), false),
            (format!(".store.building--{id}"), false),
            (format!(".store.building-x-{id}"), false),
            (format!(".store.building-17-{id}0"), false),
            (".store.building-17-thesis".to_owned(), false),
            (".store".to_owned(), false),
        ] {
            assert_eq!(is_one(OsStr::new(&name)), expected, "{name}");
        }
    }

    #[test]
    fn what_is_being_made_stays_and_what_was_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let living = Sibling::make(folder.path(), OsStr::new("one"), Purpose::Building).unwrap();
        // The same process id, no lock: it was reused.
        let pid = std::process::id();
        let id = random_id().unwrap();
        for name in [format!(".other.building-{pid}-{id}"), format!(".third.creating-{id}")] {
            fs::create_dir_all(folder.path().join(name).join("sled")).unwrap();
        }
        std::os::unix::fs::symlink("/", folder.path().join(format!(".l.creating-{id}"))).unwrap();
        sweep(folder.path());
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
        left.retain(|entry| entry.file_type().unwrap().is_dir());
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].path(), living.path());
        drop(living);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the link");
    }
}
