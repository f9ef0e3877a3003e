//! Where a data set is put together before it takes its place.
//!
//! Fetched or made, it is put together in a staging folder, which lies in the data home, beside the
//! place itself, so that a rename is enough to put the set there. Its owner holds a lock on the file
//! `owner` in it; a staging folder whose lock nobody holds was left by a process that died, and is
//! swept away by the next.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::DataError;
use crate::paths;

const PREFIX: &str = ".fetch-";
const OWNER: &str = "owner";

/// A folder for one attempt at one source. Removed when dropped.
#[derive(Debug)]
pub(super) struct Staging {
    root: PathBuf,
    dir: TempDir,
    /// The files of the set, and nothing else.
    set: PathBuf,
    /// Locked for as long as this lives.
    _owner: File,
}

/// What came of placing a set.
pub(super) enum Placed {
    /// Somebody else has placed it in the meantime.
    WasThere,
    /// It is there now.
    Now {
        /// Where that went which was in its place.
        moved_aside: Option<PathBuf>,
    },
}

impl Staging {
    /// Makes a staging folder in the data home `root`, and sweeps dead ones away.
    pub(super) fn create(root: &Path) -> Result<Self, DataError> {
        fs::create_dir_all(root).map_err(DataError::io("create", root))?;
        let _gate = gate(root)?;
        sweep(root);
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(root);
        let dir = dir.map_err(DataError::io("create a folder in", root))?;
        let (owner, set) = (dir.path().join(OWNER), dir.path().join("set"));
        let file = File::create(&owner).map_err(DataError::io("create", &owner))?;
        file.lock().map_err(DataError::io("lock", &owner))?;
        fs::create_dir(&set).map_err(DataError::io("create", &set))?;
        Ok(Self { root: root.to_path_buf(), dir, set, _owner: file })
    }

    /// The folder for the files of the set.
    pub(super) fn set(&self) -> &Path {
        &self.set
    }

    /// A folder for anything else.
    pub(super) fn scratch(&self) -> Result<PathBuf, DataError> {
        let scratch = self.dir.path().join("scratch");
        fs::create_dir_all(&scratch).map_err(DataError::io("create", &scratch))?;
        Ok(scratch)
    }

    /// Copies the file at `from` in as `name`.
    pub(super) fn copy_in(&self, from: &Path, name: &str, limit: u64) -> Result<(), DataError> {
        let mut input = File::open(from).map_err(DataError::io("open", from))?;
        write_synced(&mut input, &self.set.join(name), limit, from, &mut |_| ())
    }

    /// Renames the file `name` of the staged set into the folder `target`, in the place of any other
    /// of that name.
    pub(super) fn place_file(&self, name: &str, target: &Path) -> Result<(), DataError> {
        let _gate = gate(&self.root)?;
        let to = target.join(name);
        fs::rename(self.set.join(name), &to).map_err(DataError::io("rename a file to", &to))?;
        sync(target)
    }

    /// What is wrong, for a line that names the source already. The staging folder is not named:
    /// it will be gone when this is read.
    pub(super) fn tell(&self, error: &DataError) -> String {
        let file = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
        match error {
            DataError::NotTheKnownFile { path, hash, expected, found, .. } => {
                format!("{}: {hash} is {found}, not {expected}", file(path))
            }
            DataError::MissingFile { folder, .. }
                if matches!(paths::is_there(folder), Ok(false)) =>
            {
                "there is no such folder".to_owned()
            }
            DataError::MissingFile { file, .. } => format!("it has no {file}"),
            DataError::Download { url, reason } => format!("{}: {reason}", file(Path::new(url))),
            other => other
                .to_string()
                .replace(&format!("{}/", self.set.display()), "")
                .replace(&format!("{}/scratch/", self.dir.path().display()), ""),
        }
    }

    /// Renames the set to `target`, unless what `is_whole` accepts is there by now. Anything else
    /// that is there is moved aside, never deleted: it may be somebody's own.
    pub(super) fn place(
        &self,
        target: &Path,
        is_whole: impl Fn(&Path) -> bool,
    ) -> Result<Placed, DataError> {
        let _gate = gate(&self.root)?;
        if is_whole(target) {
            return Ok(Placed::WasThere);
        }
        let moved_aside = move_aside(target)?;
        sync(&self.set)?;
        fs::rename(&self.set, target).map_err(DataError::io("rename a folder to", target))?;
        sync(&self.root)?;
        Ok(Placed::Now { moved_aside })
    }
}

/// Writes `input` (which is `source`, for messages) to a new file at `to`, at most `limit` bytes,
/// and makes it durable. `seen` hears of the bytes so far.
pub(super) fn write_synced(
    input: &mut dyn Read,
    to: &Path,
    limit: u64,
    source: &Path,
    seen: &mut dyn FnMut(u64),
) -> Result<(), DataError> {
    let mut output = File::create_new(to).map_err(DataError::io("create", to))?;
    let (mut block, mut done) = (vec![0; 1 << 16], 0_u64);
    loop {
        let n = match input.read(&mut block) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(DataError::io("read", source)(error)),
        };
        if n == 0 {
            break;
        }
        done += n as u64;
        if done > limit {
            return Err(DataError::Oversized { path: source.to_path_buf(), limit });
        }
        io::Write::write_all(&mut output, &block[..n]).map_err(DataError::io("write", to))?;
        seen(done);
    }
    output.sync_all().map_err(DataError::io("write", to))
}

/// Only one process at a time sweeps, starts or places. Held briefly, never during a transfer. The
/// file stays: unlinking a lock file would let two processes hold "the" lock.
fn gate(root: &Path) -> Result<File, DataError> {
    let path = root.join(".lock");
    let file = File::create(&path).map_err(DataError::io("create", &path))?;
    file.lock().map_err(DataError::io("lock", &path))?;
    Ok(file)
}

/// Removes staging folders whose owner is gone. What cannot be removed is left: it only costs room.
fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let is_staging = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // Whoever makes or sweeps one holds the gate until its owner is locked or all of it gone: a
        // folder without that file was half made or half swept by a process that died.
        let is_dead = || match File::open(entry.path().join(OWNER)) {
            Ok(owner) => owner.try_lock().is_ok(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if is_staging && is_dead() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Makes room at `target`: an empty folder goes, anything else is renamed to the first free
/// `NAME.aside-N`.
fn move_aside(target: &Path) -> Result<Option<PathBuf>, DataError> {
    if fs::symlink_metadata(target).is_err() || fs::remove_dir(target).is_ok() {
        return Ok(None);
    }
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".aside-");
    let free = (1_u32..)
        .map(|n| {
            let mut name = name.clone();
            name.push(n.to_string());
            target.with_file_name(name)
        })
        .find(|path| fs::symlink_metadata(path).is_err());
    let Some(free) = free else { return Ok(None) };
    fs::rename(target, &free).map_err(DataError::io("rename", target))?;
    Ok(Some(free))
}

fn sync(folder: &Path) -> Result<(), DataError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(DataError::io("sync", folder))
}
