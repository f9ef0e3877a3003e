//! Faults of the machine, told apart from faults of a trainer: they never count.
//!
//! A search must not depend on a full disk, a folder that is gone or a failing device. When an
//! attempt ends badly, this looks for such a cause; if there is one, the attempt does not count, and
//! the search stops until a person has dealt with it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::io::Errno;

use super::EngineError;
use super::journal::JournalError;
use crate::log::{Kind, LogError};
use crate::trainer::process::PipeFault;

/// Free space that is needed besides what a trial leaves: for the log and the read model.
pub const MARGIN: u64 = 1 << 20;
/// Free space below which a person is warned.
pub const LOW: u64 = 2 << 30;
/// Free file numbers that are needed.
const FILES: u64 = 16;

/// Why the machine cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum MachineFault {
    /// A file system is full, or will be.
    #[error(
        "{} has {} of free space; the next trial needs {}", folder.display(), size(*free), size(*needed)
    )]
    Space {
        /// A folder on it.
        folder: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// A file system has no room for further files.
    #[error("the file system of {} has no room for another file (inodes)", .0.display())]
    Files(PathBuf),
    /// A file system cannot be written to.
    #[error("{} is read-only", .0.display())]
    ReadOnly(PathBuf),
    /// A file or folder is not there any more.
    #[error("{} is gone: it was moved, deleted or unmounted", .0.display())]
    Gone(PathBuf),
    /// A folder is not the one it was.
    #[error("{} was replaced while it was in use", .0.display())]
    Replaced(PathBuf),
    /// A file or folder cannot be looked at.
    #[error("cannot look at {}: {source}", path.display())]
    Unseen {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The machine failed between the trainer and qtrail, or the trainer says so.
    #[error(transparent)]
    Reported(#[from] Reported),
}

/// A fault of the machine that came with a trainer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reported {
    /// The trainer said that the machine failed it.
    #[error("the trainer reports a fault of this machine: {0}")]
    Said(String),
    /// It could not be spoken to or heard.
    #[error(transparent)]
    Pipe(#[from] PipeFault),
}

impl EngineError {
    /// Whether the machine is at fault: nothing of it counts, and it is worth another try later.
    #[must_use]
    pub fn is_of_machine(&self) -> bool {
        match self {
            Self::Machine(_) => true,
            Self::Log(error) | Self::Journal(JournalError::Log(error)) => {
                matches!(error.kind(), Kind::NoSpace | Kind::Io)
            }
            Self::Trainer(error) => error.is_of_machine(),
            _ => false,
        }
    }
}

/// A folder that has to stay where and what it was.
#[derive(Debug)]
struct Anchor {
    path: PathBuf,
    identity: (u64, u64),
}

impl Anchor {
    fn new(path: &Path) -> Result<Self, MachineFault> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }

    fn check(&self) -> Result<(), MachineFault> {
        match identity(&self.path)? == self.identity {
            true => Ok(()),
            false => Err(MachineFault::Replaced(self.path.clone())),
        }
    }
}

/// Device and number of a folder.
fn identity(path: &Path) -> Result<(u64, u64), MachineFault> {
    let meta = fs::metadata(path).map_err(unseen(path))?;
    match meta.is_dir() {
        true => Ok((meta.dev(), meta.ino())),
        false => Err(MachineFault::Replaced(path.to_owned())),
    }
}

fn unseen(path: &Path) -> impl FnOnce(std::io::Error) -> MachineFault + '_ {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    move |source| match source.kind() {
        NotFound | NotADirectory => MachineFault::Gone(path.to_owned()),
        _ => MachineFault::Unseen { path: path.to_owned(), source },
    }
}

/// The room on a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// A folder on it.
    pub folder: PathBuf,
    /// Free bytes; the most there can be if that is not known.
    pub free: u64,
}

/// The folders that work depends on.
#[derive(Debug)]
pub struct Places(Vec<Anchor>);

impl Places {
    /// These folders, as they are now.
    ///
    /// # Errors
    /// [`MachineFault`] if one is none.
    pub fn new(folders: &[&Path]) -> Result<Self, MachineFault> {
        folders.iter().map(|folder| Anchor::new(folder)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether they are still there, and the same.
    ///
    /// # Errors
    /// [`MachineFault`] naming the first that is not.
    pub fn in_place(&self) -> Result<(), MachineFault> {
        self.0.iter().try_for_each(Anchor::check)
    }

    /// Whether they are there, can be written to and have `needed` bytes of free space: the least
    /// room among them.
    ///
    /// # Errors
    /// [`MachineFault`] naming the first that has not.
    pub fn check(&self, needed: u64) -> Result<Room, MachineFault> {
        self.in_place()?;
        let mut least = Room { folder: PathBuf::new(), free: u64::MAX };
        for Anchor { path, .. } in &self.0 {
            let free = free(path)?;
            if free < needed {
                return Err(MachineFault::Space { folder: path.clone(), free, needed });
            }
            if free <= least.free {
                least = Room { folder: path.clone(), free };
            }
        }
        Ok(least)
    }
}

/// Whether what a trainer reads is there.
///
/// # Errors
/// [`MachineFault`] if it is not.
pub fn readable(path: &Path) -> Result<(), MachineFault> {
    fs::metadata(path).map(drop).map_err(unseen(path))
}

/// Free bytes of the file system of a folder that is to be written to.
fn free(path: &Path) -> Result<u64, MachineFault> {
    let found = statvfs(path).map_err(|errno| unseen(path)(errno.into()))?;
    let writable = rustix::fs::access(path, rustix::fs::Access::WRITE_OK);
    if found.f_flag.contains(StatVfsMountFlags::RDONLY)
        || matches!(writable, Err(Errno::ROFS | Errno::ACCESS | Errno::PERM))
    {
        return Err(MachineFault::ReadOnly(path.to_owned()));
    }
    if found.f_files > 0 && found.f_favail < FILES {
        return Err(MachineFault::Files(path.to_owned()));
    }
    // Some file systems have no size of their own.
    let sized = found.f_blocks > 0;
    Ok(if sized { found.f_bavail.saturating_mul(found.f_frsize) } else { u64::MAX })
}

/// What the system refused about a file, as the log says it.
pub(super) fn refused(action: &'static str, path: &Path, source: std::io::Error) -> LogError {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let path = path.to_owned();
    match source.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => LogError::NoSpace { action, path, source },
        _ => LogError::Io { action, path, source },
    }
}

/// `12.5 MiB`, `900 KiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_are_gone_or_replaced_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("a")).unwrap();
        fs::create_dir(path("b")).unwrap();
        let places = Places::new(&[&path("a"), &path("b")]).unwrap();
        assert!(places.check(1).unwrap().free > 1);
        let error = places.check(u64::MAX - 1).unwrap_err().to_string();
        assert!(error.contains("/a has ") && error.contains("the next trial needs"), "{error}");
        fs::rename(path("b"), path("c")).unwrap();
        assert!(
            places
                .check(1)
                .unwrap_err()
                .to_string()
                .ends_with("/b is gone: it was moved, deleted or unmounted")
        );
        std::os::unix::fs::symlink(path("a"), path("b")).unwrap();
        assert!(
            places.check(1).unwrap_err().to_string().ends_with("was replaced while it was in use")
        );
        fs::remove_file(path("b")).unwrap();
        fs::create_dir(path("b")).unwrap();
        assert!(matches!(places.check(1), Err(MachineFault::Replaced(_))));
        fs::remove_dir(path("b")).unwrap();
        fs::rename(path("c"), path("b")).unwrap();
        assert!(places.check(1).is_ok());
    }

    #[test]
    fn sizes_are_written_in_binary_units() {
        assert_eq!([size(0), size(1 << 20), size(3 << 29)], ["0.0 KiB", "1.0 MiB", "1.5 GiB"]);
    }
}
