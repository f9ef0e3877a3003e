//! A model built from nothing, aside: nobody knows its file before it is complete. So it needs no
//! journal and is made durable once, at its end; indices that only make questions faster are made
//! last. Whoever is killed while building leaves a file that counts for nothing, and that the next
//! one building removes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::files::{Files, failed};
use super::query::read_and_apply;
use super::{ReadModel, ViewError};
use crate::events::frame::Head;
use crate::log::artifacts::has_ended;
use crate::log::{Reader, Store};

/// Events from which on it is worth it.
pub(super) const WORTHWHILE: u64 = 5_000;

/// Builds the model of the log up to `target` and gives it the name of the generation after
/// `after`. Another process may be faster, which is as good. Says what kept it from reading the
/// log, if something did: nothing has changed then.
pub(super) fn build(
    store: &Store,
    (after, target): (u64, Head),
) -> Result<Option<String>, ViewError> {
    let files = Files::new(store.root());
    let aside = Aside::new(store.root())?;
    let mut model = ReadModel::aside(&aside.path, &files, (after + 1, store.id()))?;
    let log = Reader::open(store)?;
    if let Some(because) = read_and_apply(&mut model, log, target)? {
        return Ok(Some(because));
    }
    model.complete()?;
    let synced = File::open(&aside.path).and_then(|file| file.sync_all());
    synced.map_err(failed("sync", &aside.path))?;
    let path = files.path(after + 1);
    // Not renamed: that would replace the file of whoever was faster. Where there are no links, the
    // model in place grows event by event instead.
    let _ = fs::hard_link(&aside.path, &path);
    Ok(None)
}

/// A file in the making; dropped, its name is gone.
#[derive(Debug)]
struct Aside {
    path: PathBuf,
}

impl Aside {
    const PREFIX: &str = ".views.building-";

    fn new(folder: &Path) -> Result<Self, ViewError> {
        remove_leftovers(folder)?;
        // Several threads of one process may build at the same time.
        for attempt in 0_u32.. {
            let path = folder.join(format!("{}{}-{attempt}", Self::PREFIX, std::process::id()));
            match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(_) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("create", &path)(error)),
            }
        }
        let (path, found) = (folder.to_owned(), "too much is being built there".to_owned());
        Err(ViewError::Unusable { path, found })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes what processes that were killed while building have left.
fn remove_leftovers(folder: &Path) -> Result<(), ViewError> {
    for entry in fs::read_dir(folder).map_err(failed("list", folder))?.flatten() {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.strip_prefix(Aside::PREFIX))
            .and_then(|rest| rest.split('-').next())
            .and_then(|pid| pid.parse().ok());
        if pid.is_some_and(has_ended) {
            let _ = fs::remove_file(entry.path()); // somebody else may have been faster
        }
    }
    Ok(())
}

/// Whether a model is to be built aside instead of where it is.
pub(super) fn is_worthwhile(model: &ReadModel, target: Head) -> Result<bool, ViewError> {
    Ok(target.position.0 >= WORTHWHILE && model.stamp()?.position.0 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::codec::encode;
    use crate::events::frame::seal;
    use crate::events::{ArtifactReleased, Event, Hash, Scope};
    use crate::log::{EventLog as _, LocalLog, Options};
    use crate::views::query::rebuild;

    fn store(root: &Path, events: u32) -> (Store, Head) {
        let store = Store::open_or_create(root).unwrap();
        let mut log = LocalLog::open(store.clone(), Options::default()).unwrap();
        for trial in 0..events {
            let event = ArtifactReleased { trial, artifact: Hash::default() };
            let payload = encode(0, Scope::Store, &Event::from(event)).unwrap();
            let head = log.head().unwrap();
            log.append(head, &[seal(head, &payload).unwrap().0]).unwrap();
        }
        let head = log.head().unwrap();
        log.close().unwrap();
        (store, head)
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name.contains("views"));
        names.sort();
        names
    }

    #[test]
    fn what_is_built_aside_is_what_grows_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let (store, head) = store(&folder.path().join("s"), 7);
        // Above the largest process id of Linux: killed in the middle.
        fs::write(store.root().join(".views.building-2000000000-0"), "half").unwrap();
        assert_eq!(build(&store, (3, head)).unwrap(), None);
        let files = Files::new(store.root());
        assert_eq!(files.newest().unwrap(), Some(4));
        assert_eq!(names(store.root()).len(), 1, "{:?}", names(store.root()));

        let built = ReadModel::open(store.root(), store.id(), std::time::Duration::ZERO).unwrap();
        let mut log = Reader::open(&store).unwrap();
        let grown = rebuild(&mut log, store.id(), head.position).unwrap();
        assert_eq!(built.stamp().unwrap(), head);
        assert_eq!(built.fingerprint().unwrap(), grown.fingerprint().unwrap());
        assert_eq!(built.indices().unwrap(), grown.indices().unwrap());
    }

    #[test]
    fn who_is_faster_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (store, head) = store(&folder.path().join("s"), 3);
        let taken = Files::new(store.root()).path(1);
        fs::write(&taken, "another's").unwrap();
        assert_eq!(build(&store, (0, head)).unwrap(), None);
        assert_eq!(fs::read(&taken).unwrap(), b"another's");
        assert_eq!(names(store.root()).len(), 1);
    }
}
