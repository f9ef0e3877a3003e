//! Answers where the file of the read model cannot be used: the store is read-only or from somebody
//! else, the disk is full. The tables are read as they lie if they are current, else folded for this
//! answer; the log is all that is needed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::files::{self, Files, failed};
use super::query::folded;
use super::{Answer, ViewError, database, model, rollback, stamp};
use crate::log::head::State;
use crate::log::{Options, Store};

/// Answers about a store that cannot be written to.
pub(super) fn read_only(store: &Store, options: &Options) -> Result<Answer, ViewError> {
    let because = "the store cannot be written to";
    let reading = store.read_head()?.record;
    // While somebody has the log open the file may be written to, and is not read without a lock.
    if reading.state == State::Closed
        && let Ok(Some((connection, temporary))) = as_it_lies(store)
        && stamp::read(&connection, store.id()).is_ok_and(|stamp| stamp == reading.head)
    {
        let mut answer = Answer::of(connection, store.id())?;
        answer.temporary = temporary;
        answer.notes.push(format!("{because}; its tables are read as they lie"));
        return Ok(answer);
    }
    from_log(store, options, because)
}

/// Answers without the file of the read model. `because` says to people why.
pub(super) fn from_log(
    store: &Store,
    options: &Options,
    because: &str,
) -> Result<Answer, ViewError> {
    rollback::refuse_rollback(store, options)?;
    let mut answer = Answer::new(folded(store, None)?, None)?;
    answer.notes.push(format!("{because}; the tables are folded from the log for this answer"));
    Ok(answer)
}

/// The newest file in a folder, read without writing. Its write-ahead log cannot be read in place,
/// so where there is one, both are copied.
fn as_it_lies(store: &Store) -> Result<Option<(Connection, Option<TempDir>)>, ViewError> {
    let files = Files::new(store.root());
    let Some(generation) = files.newest()? else { return Ok(None) };
    let path = files.path(generation);
    files::check_plain(&path)?;
    let (connection, temporary) = match files::has_wal(&path) {
        false => (database::open_immutable(&path)?, None),
        true => {
            let temporary = temporary()?;
            let folder = temporary.path();
            let folder = folder.canonicalize().map_err(failed("find", folder))?;
            let copy = folder.join("views.sqlite");
            for (from, to) in [(path.clone(), copy.clone()), (files::wal(&path), files::wal(&copy))]
            {
                fs::copy(&from, to).map_err(failed("copy", &from))?;
            }
            (database::open(&copy, Duration::ZERO)?, Some(temporary))
        }
    };
    model::check(&connection, &path, store.id())?;
    Ok(Some((connection, temporary)))
}

fn temporary() -> Result<TempDir, ViewError> {
    tempfile::Builder::new()
        .prefix("qtrail-")
        .tempdir()
        .map_err(failed("create", Path::new("a temporary folder")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::codec::encode;
    use crate::events::frame::Position;
    use crate::events::frame::seal;
    use crate::events::{Event, Hash, Scope};
    use crate::log::{EventLog as _, LocalLog};
    use crate::views::open;

    /// A store with `events` events.
    fn store(root: &Path, events: u32) -> Store {
        let store = Store::open_or_create(root).unwrap();
        let mut log = LocalLog::open(store.clone(), Options::default()).unwrap();
        for trial in 0..events {
            let event = crate::events::ArtifactReleased { trial, artifact: Hash::default() };
            let payload = encode(0, Scope::Store, &Event::from(event)).unwrap();
            let head = log.head().unwrap();
            log.append(head, &[seal(head, &payload).unwrap().0]).unwrap();
        }
        log.close().unwrap();
        store
    }

    /// Called directly: whoever runs the tests may be able to write everywhere.
    #[test]
    fn a_store_that_cannot_be_written_is_read_as_it_lies_or_built_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder.path().join("a"), 3);
        let listing = || {
            let entries = fs::read_dir(store.root()).unwrap().map(|e| e.unwrap().file_name());
            let mut names: Vec<_> = entries.collect();
            names.sort();
            names
        };
        let before = listing();
        let built = read_only(&store, &Options::default()).unwrap();
        assert_eq!(built.as_of.position, Position(3));
        assert!(built.notes[0].contains("folded from the log"), "{:?}", built.notes);
        assert_eq!(listing(), before, "nothing was written");

        drop(open(&store, &Options::default(), None).unwrap());
        let lies = read_only(&store, &Options::default()).unwrap();
        assert_eq!(lies.as_of.position, Position(3));
        assert!(lies.notes[0].contains("as they lie"), "{:?}", lies.notes);
    }

    #[test]
    fn a_write_ahead_log_is_read_too() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder.path().join("a"), 3);
        // Kept open, so that its write-ahead log is not folded in.
        let model = open(&store, &Options::default(), None).unwrap();
        let files = Files::new(store.root());
        let wal = format!("{}-wal", files.path(1).display());
        assert!(fs::metadata(wal).unwrap().len() > 0);
        let lies = read_only(&store, &Options::default()).unwrap();
        assert_eq!(lies.as_of, model.as_of);
    }
}
