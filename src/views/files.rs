//! The files of the read model: `views-<schema hash>-<generation>.sqlite`.
//!
//! A name is never used twice and no file is ever renamed over another: SQLite would replay the
//! write-ahead log of one into the other, without a word. What is wrong is replaced by the next
//! generation.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ViewError;

/// The files of one schema in a folder.
#[derive(Debug, Clone)]
pub(super) struct Files {
    folder: PathBuf,
    hash: String,
}

impl Files {
    /// The files of this program's schema in `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), hash: super::schema::hash() }
    }

    /// The folder they are in.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Path of a generation.
    pub(super) fn path(&self, generation: u64) -> PathBuf {
        self.folder.join(format!("views-{}-{generation}.sqlite", self.hash))
    }

    /// The newest generation, if there is one.
    pub(super) fn newest(&self) -> Result<Option<u64>, ViewError> {
        Ok(self.generations()?.into_iter().max())
    }

    fn generations(&self) -> Result<Vec<u64>, ViewError> {
        let prefix = format!("views-{}-", self.hash);
        let entries = fs::read_dir(&self.folder).map_err(failed("list", &self.folder))?;
        let generation =
            |name: &str| name.strip_prefix(&prefix)?.strip_suffix(".sqlite")?.parse().ok();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| generation(&name)).collect())
    }

    /// Makes the generation after `after`, empty. Another process may be faster: that is as good.
    pub(super) fn create(&self, after: Option<u64>) -> Result<u64, ViewError> {
        let generation = after.map_or(1, |after| after + 1);
        let path = self.path(generation);
        match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("create", &path)(error)),
        }
        Ok(generation)
    }

    /// Points `views.sqlite` at a generation, for people and other tools, and removes older ones
    /// of this schema. Both are a courtesy: failing is no failure.
    pub(super) fn publish(&self, generation: u64) {
        let path = self.path(generation);
        let (Some(name), link) = (path.file_name(), self.folder.join("views.sqlite")) else {
            return;
        };
        if fs::read_link(&link).is_ok_and(|target| target == Path::new(name)) {
            return;
        }
        // A link is made aside and renamed, so that there is one at any time. Only a link is ever
        // replaced.
        if fs::symlink_metadata(&link).is_ok_and(|found| !found.is_symlink()) {
            return;
        }
        let aside = self.folder.join(format!(".views.sqlite.{}", std::process::id()));
        let linked = std::os::unix::fs::symlink(name, &aside);
        if linked.and_then(|()| fs::rename(&aside, &link)).is_err() {
            let _ = fs::remove_file(&aside);
        }
        let older = self.generations().unwrap_or_default().into_iter();
        for old in older.filter(|old| *old < generation) {
            for suffix in ["", "-wal", "-shm"] {
                let mut path = self.path(old).into_os_string();
                path.push(suffix);
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Turns what the system said into an error.
pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ViewError {
    let path = path.to_owned();
    move |source| ViewError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_go_on_and_older_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path());
        assert_eq!(files.newest().unwrap(), None);
        let first = files.create(None).unwrap();
        assert_eq!((first, files.create(None).unwrap()), (1, 1));
        files.publish(first);
        let second = files.create(Some(first)).unwrap();
        files.publish(second);
        assert_eq!((second, files.newest().unwrap()), (2, Some(2)));
        assert!(!files.path(1).exists());
        let link = fs::read_link(folder.path().join("views.sqlite")).unwrap();
        assert_eq!(link, files.path(2).file_name().unwrap());
    }

    #[test]
    fn a_file_of_that_name_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("views.sqlite"), "mine").unwrap();
        let files = Files::new(folder.path());
        files.publish(files.create(None).unwrap());
        assert_eq!(fs::read(folder.path().join("views.sqlite")).unwrap(), b"mine");
    }
}
