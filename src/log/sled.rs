//! The engine: the only file that names the crate `sled`.
//!
//! A thin cover with the few operations that the log needs. What it adds: errors and panics of the
//! crate become [`Trouble`], and a flush is followed by fdatasync, because the crate's own flush
//! does not reach the disk (`schema/README.md`).
//!
//! A value holds one or more frames, up to [`VALUE_MAX`] bytes, under the position of the last one:
//! an insertion costs about as much for one event as for twenty. Behind [`SHORT`] they stand without
//! their checksums, which are made again on the way out: sled has checksums of its own, and the chain
//! hash of each frame is checked by everybody who reads.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::LogError;
use super::files::{failed, names, sync_folder};
use super::journal::record::split_frames;
use super::lease::wait_for;
use super::plain::open_plain;
use crate::events::frame::{Frame, HEADER_LEN, PAYLOAD_MAX, Position, TRAILER_LEN};
use crate::guard;

/// The one tree. Named, because exports of the default tree differ between releases.
const TREE: &str = "events";
/// Pages kept in memory, in bytes as they are on disk; in memory they take twice that. A log is read
/// from one end to the other, so what was read is hardly ever read again. The default is 1 GiB.
const CACHE: u64 = 16 << 20;
/// How often the crate's own thread writes and collects garbage.
const FLUSH_EVERY_MS: u64 = 500;
/// Most bytes of a value: one frame of the largest size. sled moves larger pages to files of their
/// own that it never makes durable; at this limit it never does.
const VALUE_MAX: usize = HEADER_LEN + PAYLOAD_MAX + TRAILER_LEN;
/// The first byte of a value whose frames have no checksums. A value without it begins with the
/// format of a frame, which is smaller: frames as they are, as earlier states of this program wrote.
const SHORT: u8 = b'S';
/// Bytes of a frame's checksum, its last.
const CHECKSUM_LEN: usize = 4;
/// How long a dropped instance, or one in a dying process, may go on holding the crate's lock.
const FREE_WITHIN: Duration = Duration::from_secs(2);

/// What the crate said, or did.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The system refused: nothing about the bytes is known.
    Io(io::Error),
    /// The bytes cannot be what was written.
    Broken(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Broken(found) => found.fmt(f),
        }
    }
}

impl From<sled::Error> for Trouble {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                    Self::Broken(error.to_string())
                }
                _ => Self::Io(error),
            },
            sled::Error::Corruption { at: Some(at), .. } => {
                Self::Broken(format!("damage at {at:?}"))
            }
            sled::Error::Corruption { .. } => Self::Broken("damage in a snapshot".to_owned()),
            other => Self::Broken(other.to_string()),
        }
    }
}

/// Whether this is a thread of the crate, whose panics come back as errors of calls.
#[must_use]
pub fn is_thread_of_sled() -> bool {
    std::thread::current().name().is_some_and(|name| name.starts_with("sled"))
}

/// Runs a call into the crate. Damaged files make it panic here and there; that is an answer too.
fn guarded<T>(call: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    guard::guarded(call).unwrap_or_else(|text| {
        Err(match of_the_system(&text) {
            Some(error) => Trouble::Io(error),
            None => Trouble::Broken(format!("the engine gave up: {text}")),
        })
    })
}

/// The answer of the system in the text of a panic: the crate unwraps such results here and there.
fn of_the_system(panic: &str) -> Option<io::Error> {
    let (_, rest) = panic.split_once("Os { code: ")?;
    let (code, _) = rest.split_once(',')?;
    code.parse().ok().map(io::Error::from_raw_os_error)
}

/// An open database.
pub(super) struct Database {
    /// There until it is closed.
    open: Option<(sled::Db, sled::Tree)>,
    /// A second descriptor of the data file, for fdatasync. Closing it leaves the lock alone.
    file: File,
    folder: PathBuf,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Database {
    /// Makes an empty database in an existing folder, and closes it.
    pub(super) fn create(folder: &Path) -> Result<(), LogError> {
        let make = || {
            let db = config(folder).open()?;
            db.open_tree(TREE)?;
            db.flush()?;
            Ok(())
        };
        guarded(make).map_err(|trouble| match trouble {
            Trouble::Io(error) => failed("create", folder)(error),
            Trouble::Broken(found) => failed("create", folder)(io::Error::other(found)),
        })?;
        Self::wait_until_free(folder).map(drop).map_err(failed("create", folder))
    }

    /// Opens an existing database. What sled would quietly replace by something empty (a missing
    /// file, a missing tree) is refused.
    pub(super) fn open(folder: &Path) -> Result<Self, Trouble> {
        for name in ["db", "conf"] {
            match fs::symlink_metadata(folder.join(name)) {
                Ok(there) if there.is_file() => {}
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Trouble::Io(error));
                }
                _ => return Err(Trouble::Broken(format!("sled/{name} is missing"))),
            }
        }
        let database = guarded(|| {
            let db = config(folder).open()?;
            if !db.tree_names().iter().any(|name| name == TREE.as_bytes()) {
                return Err(Trouble::Broken("the tree of events is missing".to_owned()));
            }
            let events = db.open_tree(TREE)?;
            let file = File::open(folder.join("db")).map_err(Trouble::Io)?;
            Ok(Self { open: Some((db, events)), file, folder: folder.to_path_buf() })
        })?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(Trouble::Io)?;
        Ok(database)
    }

    fn events(&self) -> Result<&sled::Tree, Trouble> {
        let closed = || Trouble::Broken("the engine is closed".to_owned());
        self.open.as_ref().map(|(_, events)| events).ok_or_else(closed)
    }

    /// The last position, 0 if there is none.
    pub(super) fn last(&self) -> Result<Position, Trouble> {
        guarded(|| match self.events()?.last()? {
            Some((key, _)) => position(&key),
            None => Ok(Position(0)),
        })
    }

    /// Up to `max` frames after `after`, with their positions.
    pub(super) fn read(
        &self,
        after: Position,
        max: usize,
    ) -> Result<Vec<(Position, Frame)>, Trouble> {
        guarded(|| {
            let from = after.next().key();
            let mut frames = Vec::new();
            for pair in self.events()?.range(from..) {
                let (key, value) = pair?;
                let last = position(&key)?;
                let (short, bytes) = match value.split_first() {
                    Some((&SHORT, short)) => (true, short),
                    _ => (false, &*value),
                };
                let split = || split_frames(bytes, if short { CHECKSUM_LEN } else { 0 });
                let count = split().count() as u64;
                let first = (last.0 + 1).checked_sub(count).filter(|_| count > 0);
                let broken = || Trouble::Broken(format!("the value at {last} is no frames"));
                let positions = (first.ok_or_else(broken)?..).map(Position);
                for (position, frame) in positions.zip(split()) {
                    if frames.len() == max {
                        return Ok(frames);
                    }
                    if position > after {
                        let frame = frame.ok_or_else(broken)?;
                        frames.push((
                            position,
                            match short {
                                true => Frame::with_checksum(position, frame),
                                false => Frame(frame.to_vec()),
                            },
                        ));
                    }
                }
                if frames.len() == max {
                    break;
                }
            }
            Ok(frames)
        })
    }

    /// Writes frames from position `first` on; not durable before [`Self::sync`].
    pub(super) fn apply(&self, first: Position, frames: &[Frame]) -> Result<(), Trouble> {
        guarded(|| {
            let mut value: Vec<u8> = Vec::with_capacity(VALUE_MAX);
            let mut rest = frames.iter().zip(first.0..).peekable();
            while let Some((frame, position)) = rest.next() {
                let Some((unchecked, _)) = frame.0.split_last_chunk::<CHECKSUM_LEN>() else {
                    return Err(Trouble::Broken(format!("event {position} is no frame")));
                };
                if value.is_empty() {
                    value.push(SHORT);
                }
                value.extend_from_slice(unchecked);
                let fits = |next: &Frame| value.len() + next.0.len() - CHECKSUM_LEN <= VALUE_MAX;
                if !rest.peek().is_some_and(|(next, _)| fits(next)) {
                    self.events()?.insert(Position(position).key(), value.as_slice())?;
                    value.clear();
                }
            }
            Ok(())
        })
    }

    /// Makes everything written durable.
    pub(super) fn sync(&self) -> Result<(), Trouble> {
        guarded(|| {
            self.events()?.flush()?;
            self.file.sync_data().map_err(Trouble::Io)
        })
    }

    /// Syncs, closes, and waits until the files are free. Dropping would ignore errors, and a
    /// thread of the crate may hold the files a moment longer than that.
    pub(super) fn close(mut self) -> Result<(), Trouble> {
        self.sync()?;
        self.shut()?;
        // Dropping may have written; what it wrote is not needed, but it is to be there.
        self.file.sync_data().map_err(Trouble::Io)?;
        Self::wait_until_free(&self.folder).map(drop).map_err(Trouble::Io)
    }

    /// Ends the engine, which writes, and panics if the system refuses that.
    fn shut(&mut self) -> Result<(), Trouble> {
        let open = self.open.take();
        guarded(|| {
            drop(open);
            Ok(())
        })
    }

    /// Waits until no instance holds the files, and returns a hold on them.
    pub(super) fn wait_until_free(folder: &Path) -> io::Result<Hold> {
        let file = open_plain(&folder.join("db"))?;
        match wait_for(&file, FREE_WITHIN)? {
            Some(()) => Ok(Hold(file)),
            None => Err(io::Error::new(io::ErrorKind::ResourceBusy, "another program has it open")),
        }
    }

    /// What should not be there: other trees, and values in files of their own, which sled never
    /// makes durable.
    pub(super) fn strangers(&self) -> Result<usize, Trouble> {
        let default: &[u8] = b"__sled__default";
        let trees =
            guarded(|| Ok(self.open.as_ref().map(|(db, _)| db.tree_names())))?.unwrap_or_default();
        let others = trees.iter().filter(|name| *name != TREE.as_bytes() && *name != default);
        let blobs = fs::read_dir(self.folder.join("blobs"));
        let blobs = blobs.and_then(Iterator::collect::<io::Result<Vec<_>>>);
        Ok(others.count() + blobs.map_err(Trouble::Io)?.len())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Nobody asks what becomes of it: whoever does, closes it.
        let _ = self.shut();
    }
}

/// Keeps every instance of the engine out while it lives.
#[derive(Debug)]
pub(super) struct Hold(File);

impl Drop for Hold {
    fn drop(&mut self) {
        // Explicitly, see `Lease`; closing does the same a moment later.
        let _ = self.0.unlock();
    }
}

/// Refuses what sled would open and read without an end: pipes and devices in the place of its files.
pub(super) fn refuse_others(folder: &Path) -> Result<(), Trouble> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Trouble::Broken("sled is missing".to_owned()));
        }
        other => other.map_err(Trouble::Io)?,
    };
    for entry in entries {
        let entry = entry.map_err(Trouble::Io)?;
        let (name, kind) = (entry.file_name(), entry.file_type().map_err(Trouble::Io)?);
        let fits = if name == "blobs" { kind.is_dir() } else { kind.is_file() };
        if !fits {
            return Err(Trouble::Broken(format!("sled/{} is no plain file", name.display())));
        }
    }
    Ok(())
}

/// Whether this is the file of a snapshot that was not finished. sled would take it for the newest
/// one and refuse to open; a snapshot counts from its rename on, so deleting it is safe.
pub(super) fn is_unfinished_snapshot(name: &str) -> bool {
    name.starts_with("snap.") && name.ends_with(".generating")
}

/// Deletes unfinished snapshots. The caller holds the files: see [`Database::wait_until_free`].
pub(super) fn delete_unfinished_snapshots(folder: &Path) -> Result<(), LogError> {
    let unfinished: Vec<_> =
        names(folder)?.into_iter().filter(|n| is_unfinished_snapshot(n)).collect();
    for name in &unfinished {
        let path = folder.join(name);
        fs::remove_file(&path).map_err(failed("remove", &path))?;
    }
    if unfinished.is_empty() { Ok(()) } else { sync_folder(folder) }
}

fn config(folder: &Path) -> sled::Config {
    sled::Config::new().path(folder).cache_capacity(CACHE).flush_every_ms(Some(FLUSH_EVERY_MS))
}

fn position(key: &[u8]) -> Result<Position, Trouble> {
    let bytes =
        key.try_into().map_err(|_| Trouble::Broken(format!("key {key:?} is no position")))?;
    Ok(Position(u64::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_system_in_a_panic_is_no_damage() {
        let refused = || -> Result<(), Trouble> {
            let full = io::Error::from_raw_os_error(28);
            panic!("called `Result::unwrap()` on an `Err` value: {full:?}")
        };
        assert!(
            matches!(guarded(refused), Err(Trouble::Io(error)) if error.raw_os_error() == Some(28))
        );
        let broken = || -> Result<(), Trouble> { panic!("assertion failed: Os is no code") };
        assert!(matches!(guarded(broken), Err(Trouble::Broken(_))));
    }
}
