//! Artifacts: large immutable blobs (weights, probabilities, perturbations), named by their hash.
//!
//! An event names an artifact only after the artifact is durable, so whatever the log refers to is
//! there, unless it was released on purpose. Adding the same bytes twice is adding them once.
//!
//! Nothing here follows a symbolic link: a store may come from somebody else.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::error::Damage;
use super::files::{failed, from_hex, make_folder, names, sync_folder};
use super::pins::{Pin, Removal};
use super::plain::{is_not_plain, no_folder, open_plain, own_folder, remove_whole, size};
use super::{Locks, LogError, lease};

/// BLAKE3 hash of an artifact's bytes: its name, written as 64 hexadecimal digits.
pub use crate::events::ids::Hash as ArtifactHash;

/// How long adding an artifact waits for a removal. One takes milliseconds, unless it is stopped.
const PATIENCE: Duration = Duration::from_secs(60);

/// The artifacts of one store.
///
/// What is added through it, or through a clone, is safe from removal until
/// [`Artifacts::settled`] or until the last clone is dropped: by then an event names it.
#[derive(Debug, Clone)]
pub struct Artifacts {
    folder: PathBuf,
    unnamed: Arc<Mutex<Option<Pin>>>,
}

/// A folder on the same file system in which others prepare files to be adopted.
#[derive(Debug)]
pub struct Staging {
    folder: PathBuf,
}

/// What the file system says of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Its length.
    pub bytes: u64,
    /// When its bytes or its name changed last, in milliseconds since 1970.
    pub changed: i64,
}

/// What somebody who has ended left in `staging`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoned {
    /// The file or folder.
    pub path: PathBuf,
    /// Bytes in it.
    pub bytes: u64,
}

/// What came of copying an artifact.
#[derive(Debug)]
pub enum Copied {
    /// All its bytes were copied, so many.
    Whole(u64),
    /// The bytes have this hash instead; the copy is of no use.
    Altered(ArtifactHash),
    /// Some bytes could not be read; the copy is of no use.
    Unreadable(io::Error),
}

impl Staging {
    /// The folder, for example to tell a trainer.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A folder of its own inside, for one of several trainers of the same owner.
    ///
    /// # Errors
    /// What the file system says.
    pub fn part(&self, number: usize) -> Result<Self, LogError> {
        let folder = self.folder.join(number.to_string());
        make_folder(&folder)?;
        Ok(Self { folder })
    }

    /// Opens the file `name` in it.
    ///
    /// # Errors
    /// [`LogError::NotStaged`] unless `name` is a plain file directly in the folder;
    /// otherwise what the file system says.
    pub fn open(&self, name: &str) -> Result<File, LogError> {
        let path = self.folder.join(name);
        let refused = || LogError::NotStaged { name: name.to_owned() };
        if path.parent() != Some(&*self.folder) || name.contains('/') {
            return Err(refused());
        }
        own_folder(&self.folder)?;
        open_plain(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => refused(),
            _ if is_not_plain(&error) => refused(),
            _ => failed("read", &path)(error),
        })
    }
}

impl Artifacts {
    /// Artifacts in `folder`, which need not exist yet.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, unnamed: Arc::default() }
    }

    /// The folder of the artifacts.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the artifact of this hash is, or would be.
    #[must_use]
    pub fn path(&self, hash: ArtifactHash) -> PathBuf {
        self.folder.join(hash.to_string())
    }

    /// Whether there is an artifact of this hash. Its bytes are not looked at.
    #[must_use]
    pub fn contains(&self, hash: ArtifactHash) -> bool {
        matches!(self.facts(hash), Ok(Some(_)))
    }

    /// Keeps every artifact where it is, until dropped. Whoever copies what the log names takes
    /// this first and reads the log afterwards.
    ///
    /// # Errors
    /// [`LogError::Busy`] if files are being removed for longer than `wait`;
    /// [`LogError::Io`] if the lock cannot be opened.
    pub fn pin(&self, wait: Duration) -> Result<Pin, LogError> {
        Pin::take(&self.locks(), wait)
    }

    /// The right to remove artifacts that no event names. Read on in the log after taking it: what
    /// others added before is named by then.
    ///
    /// # Errors
    /// [`LogError::Busy`] if somebody relies on artifacts for longer than `wait`;
    /// [`LogError::Io`] if the lock cannot be opened.
    pub fn removal(&self, wait: Duration) -> Result<Removal, LogError> {
        Removal::take(&self.locks(), wait)
    }

    /// Says that events name all that was added so far, or that none will.
    pub fn settled(&self) {
        drop(self.unnamed.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn locks(&self) -> PathBuf {
        self.folder.with_file_name("lock")
    }

    /// Pins what is about to be added.
    fn begin_adding(&self) -> Result<(), LogError> {
        let mut unnamed = self.unnamed.lock().unwrap_or_else(PoisonError::into_inner);
        if unnamed.is_none() {
            *unnamed = Some(self.pin(PATIENCE)?);
        }
        Ok(())
    }

    /// The folder for unfinished files, made if missing.
    fn staging_root(&self) -> Result<PathBuf, LogError> {
        let staging = self.folder.join("staging");
        for folder in [&self.folder, &staging] {
            make_folder(folder)?;
            own_folder(folder)?;
        }
        Ok(staging)
    }

    /// An emptied staging folder. `owner` is a name that only this process uses now: that of a
    /// named lock it holds (`device-cpu`). What an earlier owner of that name left is deleted.
    ///
    /// # Errors
    /// What the file system says.
    pub fn staging(&self, owner: &str) -> Result<Staging, LogError> {
        let folder = self.staging_root()?.join(owner);
        remove_whole(&folder)?;
        make_folder(&folder)?;
        Ok(Staging { folder })
    }

    /// Adds bytes as an artifact; durable on return.
    ///
    /// # Errors
    /// [`LogError::NoSpace`], or what else the file system says.
    pub fn put(&self, bytes: &[u8]) -> Result<ArtifactHash, LogError> {
        self.begin_adding()?;
        let path = self.staging_root()?.join(own_name());
        let write = || {
            // A process of the same id may have left one.
            let _ = fs::remove_file(&path);
            let mut file = File::create_new(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        let hash = ArtifactHash::of(bytes);
        let put = write().map_err(failed("write", &path)).and_then(|()| self.publish(&path, hash));
        if put.is_err() {
            // Best effort; `sweep` finds it later.
            let _ = fs::remove_file(&path);
        }
        put.map(|()| hash)
    }

    /// Adds a copy of what `from` holds from its first byte on; durable on return. Whoever can still
    /// write to `from` cannot change the artifact. Returns its hash and its length in bytes.
    ///
    /// # Errors
    /// [`LogError::NoSpace`], or what else the file system says.
    pub fn put_copy(&self, mut from: &File) -> Result<(ArtifactHash, u64), LogError> {
        self.begin_adding()?;
        let path = self.staging_root()?.join(own_name());
        let mut copy = || {
            // A process of the same id may have left one.
            let _ = fs::remove_file(&path);
            let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
            from.rewind()?;
            io::copy(&mut from, &mut file)?;
            file.rewind()?;
            // The copy is hashed, not the original: that one may change meanwhile.
            let found = hash_of(&mut file)?;
            file.sync_all().map(|()| found)
        };
        let copied = copy().map_err(failed("write", &path));
        let put = copied.and_then(|found| self.publish(&path, found.0).map(|()| found));
        if put.is_err() {
            let _ = fs::remove_file(&path); // best effort; `sweep` finds it later
        }
        put
    }

    /// Makes the staged file `name` an artifact: hashed, durable, renamed. Returns its hash and
    /// its length in bytes. The hash is of the bytes found, whatever anybody said of them.
    ///
    /// # Errors
    /// [`LogError::NotStaged`] unless `name` is a plain file directly in the staging folder;
    /// otherwise what the file system says.
    pub fn adopt(&self, staging: &Staging, name: &str) -> Result<(ArtifactHash, u64), LogError> {
        self.begin_adding()?;
        let (mut file, path) = (staging.open(name)?, staging.folder.join(name));
        let (hash, length) = hash_of(&mut file).map_err(failed("read", &path))?;
        share(&file, staging).map_err(failed("change the mode of", &path))?;
        file.sync_all().map_err(failed("sync", &path))?;
        self.publish(&path, hash)?;
        Ok((hash, length))
    }

    /// Gives a durable file its final name. Over an existing one too: it has the same bytes, or it
    /// has decayed and is healed by this.
    fn publish(&self, from: &Path, hash: ArtifactHash) -> Result<(), LogError> {
        let to = self.path(hash);
        fs::rename(from, &to).map_err(failed("create", &to))?;
        sync_folder(&self.folder)
    }

    /// Opens an artifact without looking at its bytes.
    ///
    /// # Errors
    /// [`LogError::NoArtifact`] if it is not there, [`LogError::Damaged`] if it is no plain file.
    pub fn open_unchecked(&self, hash: ArtifactHash) -> Result<File, LogError> {
        let path = self.path(hash);
        let opened = match fs::symlink_metadata(&self.folder) {
            Ok(found) if !found.is_dir() => return Err(no_folder(&self.folder)),
            _ => open_plain(&path),
        };
        opened.map_err(|error| match error.kind() {
            ErrorKind::NotFound => LogError::NoArtifact { hash },
            _ if is_not_plain(&error) => {
                Damage::of_file(path, "the artifact is not a plain file").into()
            }
            _ => failed("open", &path)(error),
        })
    }

    /// Opens an artifact, at its first byte, after checking that its bytes fit its name.
    ///
    /// # Errors
    /// As [`Artifacts::open_unchecked`]; [`LogError::Damaged`] if the bytes differ.
    pub fn open(&self, hash: ArtifactHash) -> Result<File, LogError> {
        let path = self.path(hash);
        let mut file = self.open_unchecked(hash)?;
        let (found, _) = hash_of(&mut file).map_err(failed("read", &path))?;
        if found != hash {
            return Err(self.altered(hash, found));
        }
        file.rewind().map_err(failed("read", &path))?;
        Ok(file)
    }

    /// The error that says that an artifact's bytes have the hash `found`.
    #[must_use]
    pub fn altered(&self, hash: ArtifactHash, found: ArtifactHash) -> LogError {
        let found = format!("the artifact's bytes have hash {found}");
        Damage::of_file(self.path(hash), found).into()
    }

    /// All bytes of an artifact, checked.
    ///
    /// # Errors
    /// As [`Artifacts::open`].
    pub fn read(&self, hash: ArtifactHash) -> Result<Vec<u8>, LogError> {
        let mut bytes = Vec::new();
        let mut file = self.open(hash)?;
        file.read_to_end(&mut bytes).map_err(failed("read", &self.path(hash)))?;
        Ok(bytes)
    }

    /// Removes an artifact; `false` if it was not there. Only if no event names it, as of a moment
    /// after `removal` was taken.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(&self, _: &Removal, hash: ArtifactHash) -> Result<bool, LogError> {
        own_folder(&self.folder)?;
        let path = self.path(hash);
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(&self.folder).map(|()| true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("remove", &path)(error)),
        }
    }

    /// What the file system says of an artifact; `None` if it is not there or is no plain file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn facts(&self, hash: ArtifactHash) -> Result<Option<Facts>, LogError> {
        let path = self.path(hash);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => {
                let newest = (found.mtime(), found.mtime_nsec());
                let newest = newest.max((found.ctime(), found.ctime_nsec()));
                let changed = newest.0.saturating_mul(1000).saturating_add(newest.1 / 1_000_000);
                Ok(Some(Facts { bytes: found.len(), changed }))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// Hash and length of every artifact, in order of hash.
    ///
    /// # Errors
    /// What the file system says.
    pub fn list(&self) -> Result<Vec<(ArtifactHash, u64)>, LogError> {
        let mut list = Vec::new();
        if fs::symlink_metadata(&self.folder).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            return Ok(list);
        }
        own_folder(&self.folder)?;
        for hash in names(&self.folder)?.iter().filter_map(|name| from_hex(name)) {
            let hash = ArtifactHash(hash);
            list.extend(self.facts(hash)?.map(|facts| (hash, facts.bytes)));
        }
        Ok(list)
    }

    /// What processes that have ended left in `staging`: files of [`Artifacts::put`], and folders
    /// whose owner's lock is free.
    ///
    /// # Errors
    /// What the file system says.
    pub fn abandoned(&self, locks: &Locks) -> Result<Vec<Abandoned>, LogError> {
        let mut found = Vec::new();
        self.each_abandoned(locks, |path| {
            found.push(Abandoned { bytes: size(path), path: path.to_owned() });
            Ok(())
        })?;
        Ok(found)
    }

    /// Removes what [`Artifacts::abandoned`] finds. Returns how many files and folders that were.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sweep(&self, locks: &Locks) -> Result<usize, LogError> {
        let mut swept = 0;
        self.each_abandoned(locks, |path| {
            swept += 1;
            remove_whole(path)
        })?;
        Ok(swept)
    }

    fn each_abandoned(
        &self,
        locks: &Locks,
        mut each: impl FnMut(&Path) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let staging = self.folder.join("staging");
        for folder in [&self.folder, &staging] {
            match fs::symlink_metadata(folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                _ => own_folder(folder)?,
            }
        }
        for name in names(&staging)? {
            let path = staging.join(&name);
            let pid = name.strip_prefix("put-").and_then(|rest| rest.split('-').next());
            match pid {
                Some(pid) if pid.parse().is_ok_and(has_ended) => each(&path)?,
                Some(_) => {}
                // The lock is held until the folder is gone.
                None => match locks.free(&name)? {
                    None => {}
                    Some(lock) => {
                        each(&path)?;
                        if name.starts_with(lease::WORKER) {
                            locks.forget_own(&lock);
                        }
                    }
                },
            }
        }
        Ok(())
    }
}

/// Copies the artifact `hash`, hashing it on the way.
///
/// # Errors
/// What keeps `to` from being written.
pub fn copy(hash: ArtifactHash, from: &mut impl Read, to: &mut impl Write) -> io::Result<Copied> {
    let (mut hasher, mut buffer, mut length) = (blake3::Hasher::new(), vec![0; 1 << 16], 0);
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => &buffer[..read],
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Copied::Unreadable(error)),
        };
        hasher.update(read);
        to.write_all(read)?;
        length += read.len() as u64;
    }
    let found = ArtifactHash(*hasher.finalize().as_bytes());
    Ok(if found == hash { Copied::Whole(length) } else { Copied::Altered(found) })
}

/// Gives a file of somebody else the mode of a file of this process, as the umask has it: programs
/// that write by way of temporary files leave them to their owner alone.
fn share(file: &File, staging: &Staging) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    // The folder was made by this process.
    let own = fs::metadata(&staging.folder)?.permissions().mode() & 0o666;
    let mut permissions = file.metadata()?.permissions();
    if permissions.mode() & 0o777 == own {
        return Ok(());
    }
    permissions.set_mode(own);
    file.set_permissions(permissions)
}

/// A file name that no other call and no other running process uses.
fn own_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("put-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Whether no process of this id runs. A reused id only delays the cleaning.
pub(crate) fn has_ended(pid: i32) -> bool {
    rustix::process::Pid::from_raw(pid)
        .is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

/// Hash and length of the bytes of a file from its first byte on.
fn hash_of(file: &mut File) -> io::Result<(ArtifactHash, u64)> {
    let mut hasher = blake3::Hasher::new();
    let length = io::copy(file, &mut hasher)?;
    Ok((ArtifactHash(*hasher.finalize().as_bytes()), length))
}

#[cfg(test)]
mod tests;
