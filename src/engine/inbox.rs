//! The inbox: what a trainer leaves in its staging folder, taken without trust.
//!
//! The folder is opened once, and every file in it by its name relative to that: whoever puts a link
//! or another folder in its place gets nothing read or written elsewhere. Only plain files count,
//! of the size that they can have. What becomes an artifact is a copy, so that a hard link or a
//! descriptor that the trainer still holds cannot change it later.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use super::EngineError;
use super::faults::{MachineFault, Places, Room, refused};
use crate::events::Hash;
use crate::log::LogError;
use crate::log::artifacts::{Artifacts, Staging};

/// Longest file name that a trainer may use, in bytes.
const NAME_MAX: usize = 255;

/// The staging folder of one trainer.
#[derive(Debug)]
pub struct Inbox {
    staging: Staging,
    folder: OwnedFd,
    places: Places,
    /// The largest file taken so far, in bytes: the next trial may need as much.
    largest: Cell<u64>,
}

/// Why a file was not taken.
#[derive(Debug)]
pub enum Refusal {
    /// The trainer's fault: the attempt is lost.
    Trainer(String),
    /// Not the trainer's fault.
    Engine(EngineError),
}

impl From<LogError> for Refusal {
    fn from(error: LogError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<MachineFault> for Refusal {
    fn from(fault: MachineFault) -> Self {
        Self::Engine(fault.into())
    }
}

impl Inbox {
    /// The inbox in a staging folder of `artifacts`.
    ///
    /// # Errors
    /// [`EngineError`] if it cannot be opened.
    pub fn new(artifacts: &Artifacts, staging: Staging) -> Result<Self, EngineError> {
        let path = staging.folder();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty());
        let folder = folder.map_err(|errno| refused("open", path, errno.into()))?;
        let store = artifacts.folder().parent();
        let folders: Vec<&Path> =
            store.into_iter().chain([artifacts.folder(), staging.folder()]).collect();
        let places = Places::new(&folders)?;
        Ok(Self { staging, folder, places, largest: Cell::new(0) })
    }

    /// The folder, for example to tell a trainer.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.staging.folder()
    }

    /// Whether the store, its artifacts and this folder are in place, writable, and have `needed`
    /// bytes of free space.
    ///
    /// # Errors
    /// [`MachineFault`] if not.
    pub fn check(&self, needed: u64) -> Result<Room, MachineFault> {
        self.places.check(needed)
    }

    /// Bytes of the largest file taken so far.
    #[must_use]
    pub fn largest(&self) -> u64 {
        self.largest.get()
    }

    /// Opens the file `name`, of at most `most` bytes, for reading.
    ///
    /// # Errors
    /// [`Refusal::Trainer`] unless it is a plain file directly in this folder, and no larger.
    pub fn open(&self, name: &str, most: u64) -> Result<File, Refusal> {
        let shown = || crate::trainer::cut(name.to_owned(), NAME_MAX);
        let none = || Refusal::Trainer(format!("the trainer left no file {:?}", shown()));
        if name.is_empty() || name.len() > NAME_MAX || name.contains(['/', '\0']) {
            return Err(none());
        }
        // Without waiting: a pipe would have somebody to wait for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.folder, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => {
                self.places.in_place()?;
                return Err(none());
            }
            Err(errno) => return Err(refused("open", &self.at(name), errno.into()).into()),
        };
        let meta = file.metadata().map_err(|error| refused("open", &self.at(name), error))?;
        if !meta.is_file() {
            return Err(none());
        }
        if meta.len() > most {
            let (name, found) = (shown(), meta.len());
            return Err(Refusal::Trainer(format!(
                "the trainer left {name:?} with {found} bytes; at most {most} are taken"
            )));
        }
        self.largest.set(self.largest.get().max(meta.len()));
        Ok(file)
    }

    /// Takes all bytes of the file `name`: at most `most`.
    ///
    /// # Errors
    /// As [`Inbox::open`].
    pub fn take(&self, name: &str, most: u64) -> Result<Vec<u8>, Refusal> {
        let file = self.open(name, most)?;
        let mut bytes = Vec::new();
        let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| refused("read", &self.at(name), error))?;
        self.remove(name);
        Ok(bytes)
    }

    /// The hash of the file `name`, which is removed.
    ///
    /// # Errors
    /// As [`Inbox::open`].
    pub fn hash(&self, name: &str, most: u64) -> Result<Hash, Refusal> {
        let file = self.open(name, most)?;
        let mut hasher = blake3::Hasher::new();
        let read = hasher.update_reader(file.take(most));
        read.map_err(|error| refused("read", &self.at(name), error))?;
        self.remove(name);
        Ok(Hash(*hasher.finalize().as_bytes()))
    }

    /// Makes the file `name` an artifact.
    ///
    /// # Errors
    /// As [`Inbox::open`]; [`Refusal::Engine`] if the artifact cannot be written, or the store is
    /// not where it was.
    pub fn adopt(&self, artifacts: &Artifacts, name: &str, most: u64) -> Result<Hash, Refusal> {
        let file = self.open(name, most)?;
        let put = self.publish(|| artifacts.put_copy(&file).map(|(hash, _)| hash))?;
        self.remove(name);
        Ok(put)
    }

    /// Writes an artifact, if the store is in place before and after that: otherwise an event would
    /// name an artifact of another folder.
    ///
    /// # Errors
    /// [`EngineError`] if it cannot be written, or the store is not where it was.
    pub fn publish<T>(&self, put: impl FnOnce() -> Result<T, LogError>) -> Result<T, EngineError> {
        self.places.in_place()?;
        let done = put()?;
        self.places.in_place()?;
        Ok(done)
    }

    /// Writes a new file for the trainer to read.
    ///
    /// # Errors
    /// [`EngineError`] if that fails.
    pub fn give(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, EngineError> {
        self.places.in_place()?;
        self.remove(name);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.at(name);
        let mode = Mode::from_raw_mode(0o666);
        let written = openat(&self.folder, name, flags, mode)
            .map_err(std::io::Error::from)
            .and_then(|file| File::from(file).write_all(bytes));
        written.map_err(|error| refused("write", &path, error))?;
        Ok(path)
    }

    /// Empties the folder of what a trainer that is gone left there.
    pub fn sweep(&self) {
        let Ok(mut entries) = rustix::fs::Dir::read_from(&self.folder) else { return };
        while let Some(Ok(entry)) = entries.read() {
            let name = entry.file_name();
            let own = matches!(name.to_bytes(), b"." | b"..");
            if own || unlinkat(&self.folder, name, AtFlags::empty()).is_ok() {
                continue;
            }
            // A folder; links in it are not followed.
            if self.places.in_place().is_ok() {
                let _ =
                    std::fs::remove_dir_all(self.path().join(OsStr::from_bytes(name.to_bytes())));
            }
        }
    }

    fn remove(&self, name: &str) {
        let _ = unlinkat(&self.folder, name, AtFlags::empty()); // `sweep` or the next session does
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Store;
    use std::fs;
    use std::os::unix::fs::symlink;

    const MOST: u64 = 100;

    struct World {
        folder: tempfile::TempDir,
        artifacts: Artifacts,
        inbox: Inbox,
    }

    fn world() -> World {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Store::open_or_create(&folder.path().join("store")).unwrap().artifacts();
        let inbox = Inbox::new(&artifacts, artifacts.staging("device-cpu").unwrap()).unwrap();
        World { folder, artifacts, inbox }
    }

    #[track_caller]
    fn trainers_fault<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
        match result {
            Err(Refusal::Trainer(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_plain_files_of_the_right_size_are_taken() {
        let World { folder, artifacts, inbox } = world();
        let (outside, at) = (folder.path().join("outside"), |name: &str| inbox.path().join(name));
        fs::write(&outside, b"secret").unwrap();
        symlink(&outside, at("link")).unwrap();
        fs::create_dir(at("dir")).unwrap();
        fs::write(at("dir/file"), b"x").unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, Mode::RWXU, 0)
            .unwrap();
        let absolute = outside.to_str().unwrap().to_owned();
        let long = "x".repeat(60_000);
        for name in [
            "link",
            "dir",
            "dir/file",
            "pipe",
            "../../../../outside",
            &absolute,
            "",
            ".",
            "..",
            "none",
            &long,
        ] {
            let reason = trainers_fault(inbox.adopt(&artifacts, name, MOST));
            assert!(
                reason.starts_with("the trainer left no file") && reason.len() < 600,
                "{reason}"
            );
            trainers_fault(inbox.take(name, MOST));
        }
        File::create(at("sparse")).unwrap().set_len(40 << 30).unwrap();
        let reason = trainers_fault(inbox.hash("sparse", MOST));
        assert_eq!(
            reason,
            r#"the trainer left "sparse" with 42949672960 bytes; at most 100 are taken"#
        );
        assert_eq!(artifacts.list().unwrap(), []);
        assert_eq!(fs::read(&outside).unwrap(), b"secret");
    }

    #[test]
    fn what_became_an_artifact_cannot_be_changed_through_the_file_it_came_from() {
        let World { folder, artifacts, inbox } = world();
        let (outside, staged) = (folder.path().join("outside"), inbox.path().join("weights"));
        fs::write(&outside, b"weights").unwrap();
        fs::hard_link(&outside, &staged).unwrap();
        let mut held = File::options().write(true).open(&staged).unwrap();
        let hash = inbox.adopt(&artifacts, "weights", MOST).unwrap();
        held.write_all(b"changed").unwrap();
        let hash = crate::log::artifacts::ArtifactHash(hash.0);
        assert_eq!(artifacts.read(hash).unwrap(), b"weights");
        assert!(!crate::paths::is_there(&staged).unwrap());
        assert_eq!(inbox.largest(), 7);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let World { folder, inbox, .. } = world();
        let outside = folder.path().join("outside");
        fs::write(&outside, b"mine").unwrap();
        symlink(&outside, inbox.path().join("clean")).unwrap();
        let path = inbox.give("clean", b"images").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"images");
        assert_eq!(fs::read(&outside).unwrap(), b"mine");
    }

    #[test]
    fn a_folder_that_was_replaced_or_moved_is_a_fault_of_the_machine() {
        let World { folder, artifacts, inbox } = world();
        let path = inbox.path().to_owned();
        fs::write(path.join("weights"), b"weights").unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        let adopt = || match inbox.adopt(&artifacts, "weights", MOST) {
            Err(Refusal::Engine(EngineError::Machine(fault))) => fault,
            other => panic!("{other:?}"),
        };
        assert!(matches!(adopt(), MachineFault::Gone(_)));
        symlink(folder.path(), &path).unwrap();
        assert!(matches!(adopt(), MachineFault::Replaced(_)));
        assert!(inbox.give("clean", b"images").is_err());
        fs::remove_file(&path).unwrap();
        // The whole store moved: nothing is written where it was.
        fs::rename(&elsewhere, &path).unwrap();
        let store = folder.path().join("store");
        fs::rename(&store, folder.path().join("moved")).unwrap();
        assert!(matches!(adopt(), MachineFault::Gone(_)));
        assert!(!crate::paths::is_there(&store).unwrap());
    }

    #[test]
    fn what_a_gone_trainer_left_is_swept() {
        let World { folder, inbox, .. } = world();
        let (outside, at) = (folder.path().join("outside"), |name: &str| inbox.path().join(name));
        fs::write(&outside, b"mine").unwrap();
        fs::write(at("half"), b"x").unwrap();
        symlink("/nowhere", at("link")).unwrap();
        fs::create_dir_all(at("dir/inner")).unwrap();
        symlink(folder.path(), at("dir/inner/link")).unwrap();
        inbox.sweep();
        assert_eq!(fs::read_dir(inbox.path()).unwrap().count(), 0);
        assert!(inbox.check(1).is_ok() && crate::paths::is_there(&outside).unwrap());
    }
}
