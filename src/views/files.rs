//! The files of the read model: `views-<schema hash>-<generation>.sqlite`.
//!
//! A name is never used twice and no file is ever renamed over another: SQLite would replay the
//! write-ahead log of one into the other, without a word. What is wrong is replaced by the next
//! generation.
//!
//! A store may come from somebody else. Only plain files are opened, because a link may lead to
//! another database, and only plain files are removed.

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
        let generation = |name: &str| {
            // More than this program ever counts to: somebody else's.
            let number: u32 = name.strip_prefix(&prefix)?.strip_suffix(".sqlite")?.parse().ok()?;
            Some(u64::from(number))
        };
        Ok(names(&self.folder)?.iter().filter_map(|name| generation(name)).collect())
    }

    /// Makes the generation after `after`, empty. Another process may be faster: that is as good.
    pub(super) fn create(&self, after: Option<u64>) -> Result<u64, ViewError> {
        let generation = after.map_or(1, |after| after + 1);
        let path = self.path(generation);
        if generation > u64::from(u32::MAX) {
            let found = "there is no name left for a new file".to_owned();
            return Err(ViewError::Unusable { path, found });
        }
        match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("create", &path)(error)),
        }
        Ok(generation)
    }

    /// Points `views.sqlite` at a generation, for people and other tools. It is a courtesy: failing
    /// is no failure.
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
        if linked.and_then(|()| fs::rename(&aside, &link)).is_err()
            && fs::symlink_metadata(&aside).is_ok_and(|found| found.is_symlink())
        {
            let _ = fs::remove_file(&aside);
        }
    }

    /// Removes the generations before `generation` that `needless` says so of. Failing is no
    /// failure.
    pub(super) fn retire(&self, generation: u64, needless: impl Fn(&Path) -> bool) {
        let older = self.generations().unwrap_or_default().into_iter();
        let paths = older.filter(|old| *old < generation).map(|old| self.path(old));
        for path in paths.filter(|path| needless(path)) {
            let _ = remove(&path);
        }
    }
}

/// What SQLite puts beside a file, and the file itself, which goes last.
const SUFFIXES: [&str; 4] = ["-wal", "-shm", "-journal", ""];

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(suffix);
    path.into()
}

/// Refuses a path, and what SQLite would open beside it, where something else than a plain file is.
///
/// # Errors
/// [`ViewError::Unusable`] if so.
pub(super) fn check_plain(path: &Path) -> Result<(), ViewError> {
    for path in SUFFIXES.map(|suffix| with(path, suffix)) {
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            let found = "it is not a plain file".to_owned();
            return Err(ViewError::Unusable { path, found });
        }
    }
    Ok(())
}

/// Path of the write-ahead log of a file.
pub(super) fn wal(path: &Path) -> PathBuf {
    with(path, "-wal")
}

/// Whether a file has a write-ahead log with something in it.
pub(super) fn has_wal(path: &Path) -> bool {
    fs::symlink_metadata(wal(path)).is_ok_and(|wal| wal.is_file() && wal.len() > 0)
}

/// Removes a file with what SQLite put beside it, as far as these are plain files.
pub(super) fn remove(path: &Path) -> Result<(), ViewError> {
    for path in SUFFIXES.map(|suffix| with(path, suffix)) {
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
    }
    Ok(())
}

/// The files of every program version in a folder.
pub(super) fn all(folder: &Path) -> Result<Vec<PathBuf>, ViewError> {
    let is_model = |name: &String| name.starts_with("views-") && name.ends_with(".sqlite");
    Ok(names(folder)?.iter().filter(|name| is_model(name)).map(|name| folder.join(name)).collect())
}

/// Names in a folder; what is no text is not ours.
fn names(folder: &Path) -> Result<Vec<String>, ViewError> {
    let entries = fs::read_dir(folder).map_err(failed("list", folder))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
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
        files.retire(second, |_| false);
        assert!(crate::paths::is_there(&files.path(1)).unwrap());
        files.retire(second, |_| true);
        assert_eq!((second, files.newest().unwrap()), (2, Some(2)));
        assert!(!crate::paths::is_there(&files.path(1)).unwrap());
        let link = fs::read_link(folder.path().join("views.sqlite")).unwrap();
        assert_eq!(link, files.path(2).file_name().unwrap());
    }

    /// A store from somebody else may hold anything under these names.
    #[test]
    fn what_is_no_plain_file_is_neither_opened_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path());
        let other = folder.path().join("other");
        fs::write(&other, "mine").unwrap();
        std::os::unix::fs::symlink(&other, files.path(3)).unwrap();
        assert!(check_plain(&files.path(3)).is_err());
        std::os::unix::fs::symlink(&other, wal(&files.path(2))).unwrap();
        assert!(check_plain(&files.path(2)).is_err());
        fs::create_dir(files.path(4)).unwrap();
        assert!(check_plain(&files.path(4)).is_err());
        files.retire(5, |_| true);
        assert!(files.path(3).is_symlink() && crate::paths::is_folder(&files.path(4)).unwrap());
        // Names that cannot be counted on from.
        let last = u64::from(u32::MAX);
        for generation in [last + 1, u64::MAX] {
            fs::write(files.path(generation), "").unwrap();
        }
        assert_eq!(files.newest().unwrap(), Some(4));
        assert!(files.create(Some(last)).is_err());
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
