//! The lock `artifacts`: who relies on artifact files, and who may remove them.
//!
//! Shared ([`Pin`]) by every process that copies or checks artifacts, or has added some that no
//! event names yet. Exclusive ([`Removal`]) for the moment in which files are removed. Under a
//! [`Removal`] the log therefore names everything that somebody relies on. A removal is never
//! waited for by a search: it is tried, and postponed if somebody holds a [`Pin`].

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::files::failed;
use super::plain::{open_plain, open_with};
use super::{Busy, LogError};

/// Name of the lock and of its file.
const NAME: &str = "artifacts";
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(1);

/// While it is held, no artifact file is removed.
#[derive(Debug)]
pub struct Pin {
    /// `None`: the store cannot be written, so nothing in it can be removed.
    _file: Option<File>,
}

/// While it is held, no [`Pin`] is: files that no event names may be removed.
#[derive(Debug)]
pub struct Removal {
    _file: File,
}

impl Pin {
    /// Waits until no removal is under way, at most `wait`.
    pub(super) fn take(locks: &Path, wait: Duration) -> Result<Self, LogError> {
        match open(locks, true) {
            Ok(file) => {
                within(&file, wait, File::try_lock_shared).map_err(|error| busy(locks, error))?;
                Ok(Self { _file: Some(file) })
            }
            // A lock file that cannot be made: nobody removes anything from a store that cannot be
            // written, and there is none to lock.
            Err(error) if read_only(&error) => Ok(Self { _file: None }),
            Err(error) => Err(failed("open", &locks.join(NAME))(error)),
        }
    }
}

impl Removal {
    /// Waits until nobody holds a pin, at most `wait`.
    pub(super) fn take(locks: &Path, wait: Duration) -> Result<Self, LogError> {
        let file = open(locks, false).map_err(failed("open", &locks.join(NAME)))?;
        within(&file, wait, File::try_lock).map_err(|error| busy(locks, error))?;
        Ok(Self { _file: file })
    }
}

/// Opens the lock file, made if missing, with its folder. A link is not followed.
fn open(locks: &Path, reading: bool) -> io::Result<File> {
    let path = locks.join(NAME);
    match open_plain(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        opened if reading => return opened,
        _ => {}
    }
    match fs::create_dir(locks) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    open_with(&path, OpenOptions::new().read(true).write(true).create(true))
}

fn read_only(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied | ErrorKind::StorageFull
    )
}

/// Why a lock was not had.
enum Refused {
    /// Somebody else held it all the time.
    Held(Duration),
    /// The system said no.
    Io(io::Error),
}

fn busy(locks: &Path, refused: Refused) -> LogError {
    match refused {
        Refused::Held(waited) => Busy { lock: NAME.to_owned(), holder: None, waited }.into(),
        Refused::Io(error) => failed("lock", &locks.join(NAME))(error),
    }
}

fn within(
    file: &File,
    wait: Duration,
    lock: fn(&File) -> Result<(), TryLockError>,
) -> Result<(), Refused> {
    let started = Instant::now();
    loop {
        match lock(file) {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(Refused::Io(error)),
            Err(TryLockError::WouldBlock) if started.elapsed() >= wait => {
                return Err(Refused::Held(started.elapsed()));
            }
            Err(TryLockError::WouldBlock) => sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_go_together_and_exclude_a_removal() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (
            Pin::take(folder.path(), Duration::ZERO).unwrap(),
            Pin::take(folder.path(), Duration::ZERO).unwrap(),
        );
        let refused = Removal::take(folder.path(), Duration::from_millis(5)).unwrap_err();
        assert!(matches!(refused, LogError::Busy(_)), "{refused}");
        drop((first, second));
        let removal = Removal::take(folder.path(), Duration::ZERO).unwrap();
        let refused = Pin::take(folder.path(), Duration::ZERO).unwrap_err();
        assert!(matches!(refused, LogError::Busy(_)), "{refused}");
        drop(removal);
        Pin::take(folder.path(), Duration::ZERO).unwrap();
    }

    #[test]
    fn a_link_in_the_place_of_the_lock_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        std::os::unix::fs::symlink(&outside, folder.path().join(NAME)).unwrap();
        assert!(Pin::take(folder.path(), Duration::ZERO).is_err());
        assert!(Removal::take(folder.path(), Duration::ZERO).is_err());
        assert!(!crate::paths::is_there(&outside).unwrap());
    }
}
