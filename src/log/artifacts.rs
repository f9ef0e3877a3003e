//! Artifacts: large immutable blobs (weights, probabilities, perturbations), named by their hash.
//!
//! An event names an artifact only after the artifact is durable, so whatever the log refers to is
//! there, unless it was released on purpose. Adding the same bytes twice is adding them once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::LogError;
use super::error::Damage;
use super::files::{failed, from_hex, make_folder, names, sync_folder};

/// BLAKE3 hash of an artifact's bytes: its name, written as 64 hexadecimal digits.
pub use crate::events::ids::Hash as ArtifactHash;

/// The artifacts of one store.
#[derive(Debug, Clone)]
pub struct Artifacts {
    folder: PathBuf,
}

/// A folder on the same file system in which others prepare files to be adopted.
#[derive(Debug)]
pub struct Staging {
    folder: PathBuf,
}

impl Staging {
    /// The folder, for example to tell a trainer.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Artifacts {
    /// Artifacts in `folder`, which need not exist yet.
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self { folder }
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
        self.path(hash).is_file()
    }

    /// An emptied staging folder. `owner` is a name that only this process uses now: that of a
    /// named lock it holds (`device-cpu`). What an earlier owner of that name left is deleted.
    ///
    /// # Errors
    /// What the file system says.
    pub fn staging(&self, owner: &str) -> Result<Staging, LogError> {
        let folder = self.folder.join("staging").join(owner);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(failed("empty", &folder)(error));
            }
            _ => {}
        }
        make_folder(&folder)?;
        Ok(Staging { folder })
    }

    /// Adds bytes as an artifact; durable on return.
    ///
    /// # Errors
    /// [`LogError::NoSpace`], or what else the file system says.
    pub fn put(&self, bytes: &[u8]) -> Result<ArtifactHash, LogError> {
        let staging = self.folder.join("staging");
        make_folder(&staging)?;
        let path = staging.join(own_name());
        let write = || {
            let mut file = File::create(&path)?;
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
        let staging = self.folder.join("staging");
        make_folder(&staging)?;
        let path = staging.join(own_name());
        let mut copy = || {
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
        let path = staging.folder.join(name);
        let refused = || LogError::NotStaged { name: name.to_owned() };
        let plain = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
        if !plain || path.parent() != Some(&*staging.folder) || name.contains('/') {
            return Err(refused());
        }
        let mut file = OpenOptions::new().read(true).open(&path).map_err(failed("read", &path))?;
        let (hash, length) = hash_of(&mut file).map_err(failed("read", &path))?;
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

    /// Opens an artifact, at its first byte, after checking that its bytes fit its name.
    ///
    /// # Errors
    /// [`LogError::NoArtifact`] if it is not there, [`LogError::Damaged`] if the bytes differ.
    pub fn open(&self, hash: ArtifactHash) -> Result<File, LogError> {
        let path = self.path(hash);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(LogError::NoArtifact { hash });
            }
            Err(error) => return Err(failed("open", &path)(error)),
        };
        let (found, _) = hash_of(&mut file).map_err(failed("read", &path))?;
        if found != hash {
            let found = format!("the artifact's bytes have hash {found}");
            return Err(Damage::of_file(path, found).into());
        }
        file.rewind().map_err(failed("read", &path))?;
        Ok(file)
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

    /// Removes an artifact; `false` if it was not there. Record the release in the log first.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(&self, hash: ArtifactHash) -> Result<bool, LogError> {
        let path = self.path(hash);
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(&self.folder).map(|()| true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("remove", &path)(error)),
        }
    }

    /// Hash and length of every artifact, in order of hash.
    ///
    /// # Errors
    /// What the file system says.
    pub fn list(&self) -> Result<Vec<(ArtifactHash, u64)>, LogError> {
        let mut list = Vec::new();
        for hash in names(&self.folder)?.iter().filter_map(|name| from_hex(name)) {
            let hash = ArtifactHash(hash);
            let path = self.path(hash);
            match fs::metadata(&path) {
                Ok(meta) => list.push((hash, meta.len())),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed("read", &path)(error)),
            }
        }
        Ok(list)
    }

    /// Deletes what [`Artifacts::put`] left in processes that ended in the middle of it. Returns
    /// how many files that were. Staging folders are left to their next owner.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sweep(&self) -> Result<usize, LogError> {
        let staging = self.folder.join("staging");
        if !staging.is_dir() {
            return Ok(0);
        }
        let mut swept = 0;
        for name in names(&staging)? {
            let pid = name.strip_prefix("put-").and_then(|rest| rest.split('-').next());
            if pid.and_then(|pid| pid.parse().ok()).is_some_and(has_ended) {
                let path = staging.join(name);
                fs::remove_file(&path).map_err(failed("remove", &path))?;
                swept += 1;
            }
        }
        Ok(swept)
    }
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
mod tests {
    use super::*;
    use crate::log::Kind;

    fn artifacts() -> (tempfile::TempDir, Artifacts) {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::new(folder.path().join("artifacts"));
        (folder, artifacts)
    }

    #[test]
    fn bytes_read_back_and_are_kept_once() {
        let (_folder, artifacts) = artifacts();
        let hash = artifacts.put(b"weights").unwrap();
        assert_eq!(artifacts.put(b"weights").unwrap(), hash);
        assert_eq!(artifacts.read(hash).unwrap(), b"weights");
        assert_eq!(artifacts.list().unwrap(), [(hash, 7)]);
        assert!(artifacts.remove(hash).unwrap());
        assert!(!artifacts.remove(hash).unwrap());
        assert!(matches!(artifacts.open(hash), Err(LogError::NoArtifact { .. })));
    }

    #[test]
    fn a_staged_file_is_adopted_under_the_hash_of_its_bytes() {
        let (_folder, artifacts) = artifacts();
        let staging = artifacts.staging("device-cpu").unwrap();
        for _ in 0..2 {
            fs::write(staging.folder().join("out"), b"probabilities").unwrap();
            let (hash, length) = artifacts.adopt(&staging, "out").unwrap();
            assert_eq!(length, 13);
            assert_eq!(artifacts.read(hash).unwrap(), b"probabilities");
        }
        assert_eq!(artifacts.list().unwrap().len(), 1);
        assert_eq!(fs::read_dir(staging.folder()).unwrap().count(), 0);
    }

    #[test]
    fn only_plain_files_in_the_staging_folder_are_adopted() {
        let (folder, artifacts) = artifacts();
        let staging = artifacts.staging("device-cpu").unwrap();
        let outside = folder.path().join("outside");
        fs::write(&outside, b"secret").unwrap();
        std::os::unix::fs::symlink(&outside, staging.folder().join("link")).unwrap();
        fs::create_dir(staging.folder().join("dir")).unwrap();
        fs::write(staging.folder().join("dir/file"), b"x").unwrap();
        let absolute = outside.to_str().unwrap();
        for name in ["link", "dir", "dir/file", "../../../outside", absolute, "", ".", "missing"] {
            let error = artifacts.adopt(&staging, name).unwrap_err();
            assert!(matches!(error, LogError::NotStaged { .. }), "{name}: {error}");
        }
    }

    #[test]
    fn a_copy_is_not_changed_by_what_is_written_to_the_original_later() {
        let (folder, artifacts) = artifacts();
        let path = folder.path().join("original");
        fs::write(&path, b"weights").unwrap();
        let (hash, length) = artifacts.put_copy(&File::open(&path).unwrap()).unwrap();
        assert_eq!((hash, length), (ArtifactHash::of(b"weights"), 7));
        fs::write(&path, b"weighty").unwrap();
        assert_eq!(artifacts.read(hash).unwrap(), b"weights");
    }

    #[test]
    fn a_changed_byte_is_noticed_and_healed_by_adding_again() {
        let (_folder, artifacts) = artifacts();
        let hash = artifacts.put(b"weights").unwrap();
        fs::write(artifacts.path(hash), b"weighty").unwrap();
        assert_eq!(artifacts.read(hash).unwrap_err().kind(), Kind::Damaged);
        artifacts.put(b"weights").unwrap();
        assert_eq!(artifacts.read(hash).unwrap(), b"weights");
    }

    #[test]
    fn leftovers_go_with_their_owners() {
        let (_folder, artifacts) = artifacts();
        let staging = artifacts.staging("device-cpu").unwrap();
        fs::write(staging.folder().join("half"), b"").unwrap();
        let staging = artifacts.staging("device-cpu").unwrap();
        assert_eq!(fs::read_dir(staging.folder()).unwrap().count(), 0);
        let puts = staging.folder().parent().unwrap();
        fs::write(puts.join(own_name()), b"").unwrap();
        // Above the largest process id of Linux.
        fs::write(puts.join("put-2000000000-0"), b"").unwrap();
        assert_eq!(artifacts.sweep().unwrap(), 1);
        assert_eq!(artifacts.sweep().unwrap(), 0);
    }
}
