//! Artifacts beside an exported log: a folder of files, each named by the hash of its bytes.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use tempfile::NamedTempFile;

use super::super::CliError;
use super::export::cannot_write;
use crate::events::Hash;
use crate::log::artifacts::{Artifacts, Staging};
use crate::log::{LogError, Store};

/// The folder that belongs to an exported file.
pub(super) fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".artifacts");
    name.into()
}

/// A file in the making, beside the one it is to become. Gone if it is dropped.
pub(super) fn aside(path: &Path) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".");
    tempfile::Builder::new()
        .prefix(&prefix)
        // As any new file: what the umask leaves.
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(parent.unwrap_or(Path::new(".")))
}

/// Copies all artifacts of a store into a folder, checked; returns their hashes.
pub(super) fn save(
    artifacts: &Artifacts,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<Vec<Hash>, CliError> {
    fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
    let mut saved = Vec::new();
    for (hash, _) in artifacts.list()? {
        super::going_on(stop)?;
        let mut from = match artifacts.open(hash) {
            // Released meanwhile.
            Err(LogError::NoArtifact { .. }) => continue,
            other => other?,
        };
        let path = folder.join(hash.to_string());
        let mut copy = || {
            let mut to = aside(&path)?;
            io::copy(&mut from, &mut to)?;
            to.as_file().sync_all()?;
            to.persist(&path).map_err(|error| error.error)
        };
        copy().map_err(|error| cannot_write(&path, &error))?;
        saved.push(hash);
    }
    Ok(saved)
}

/// Takes artifacts over into a store.
pub(super) struct Taking {
    artifacts: Artifacts,
    staging: Staging,
    /// How many so far.
    pub(super) taken: u64,
}

impl Taking {
    /// Into a store that nobody else uses.
    pub(super) fn into(store: &Store) -> Result<Self, CliError> {
        let artifacts = store.artifacts();
        let staging = artifacts.staging("taking")?;
        Ok(Self { artifacts, staging, taken: 0 })
    }

    /// Takes the file of this name from an exported folder. Its bytes must have that hash.
    pub(super) fn take_from_folder(&mut self, folder: &Path, hash: Hash) -> Result<(), CliError> {
        let path = folder.join(hash.to_string());
        let wrong = |what: &dyn std::fmt::Display| {
            CliError::usage(format!("artifact {}: {what}", path.display()))
                .hint("export again with --with-artifacts, or import without it")
        };
        // A plain file: a link could lead anywhere, a pipe would never end.
        let plain = fs::symlink_metadata(&path).map_err(|error| wrong(&error))?.is_file();
        if !plain {
            return Err(wrong(&"it is not a plain file"));
        }
        let mut from = File::open(&path).map_err(|error| wrong(&error))?;
        let found = self.take(&mut from)?;
        if found != hash {
            return Err(wrong(&format!("its bytes have hash {found}")));
        }
        Ok(())
    }

    /// Takes all artifacts of another store.
    pub(super) fn take_from_store(
        &mut self,
        from: &Artifacts,
        stop: &AtomicBool,
    ) -> Result<(), CliError> {
        for (hash, _) in from.list()? {
            super::going_on(stop)?;
            match from.open(hash) {
                Err(LogError::NoArtifact { .. }) => {}
                other => drop(self.take(&mut other?)?),
            }
        }
        Ok(())
    }

    fn take(&mut self, from: &mut File) -> Result<Hash, CliError> {
        let path = self.staging.folder().join("next");
        let copied = File::create(&path).and_then(|mut to| io::copy(from, &mut to));
        copied.map_err(|error| cannot_write(&path, &error))?;
        let (hash, _) = self.artifacts.adopt(&self.staging, "next")?;
        self.taken += 1;
        Ok(hash)
    }
}
