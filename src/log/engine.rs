//! The second copy of the events: sled, held by one process at a time, brought up to date from the
//! journal, and made anew from it when it is damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::Damage;
use super::files::{failed, is_there, make_folder, names, sync_folder};
use super::journal::Reader;
use super::journal::tail::chain_of;
use super::lease::NamedLock;
use super::sled::{
    Database, Trouble, delete_unfinished_snapshots, is_unfinished_snapshot, refuse_others,
};
use super::verify::checked;
use super::{LogError, Options, Repair, Store};
use crate::events::frame::{Frame, Head, Position};

/// Name of the lock that says who has sled open.
pub(super) const LOCK: &str = "sled";
/// Frames copied in one go.
const CHUNK: usize = 1_000;
/// Events after which it is made durable. Until then the journal has them alone.
const SYNC_EVERY: u64 = 5_000;

/// sled, open.
#[derive(Debug)]
pub(super) struct Engine {
    database: Database,
    store: Store,
    /// The last event in it.
    end: Position,
    unsynced: u64,
    // After the database: dropped last.
    _lock: NamedLock,
}

impl Engine {
    /// Takes sled, unless another process has it. The database may be damaged: [`Held::open`].
    pub(super) fn take(store: &Store, options: &Options) -> Result<Option<Held>, LogError> {
        let once = Options { wait: Duration::ZERO, ..options.clone() };
        match once.locks(store).named(LOCK) {
            Ok(lock) => Ok(Some(Held { store: store.clone(), lock })),
            Err(LogError::Busy(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The last event in it.
    pub(super) const fn end(&self) -> Position {
        self.end
    }

    /// The database itself.
    pub(super) const fn database(&self) -> &Database {
        &self.database
    }

    /// Appends frames of the journal that follow what is in it.
    pub(super) fn apply(&mut self, frames: &[Frame]) -> Result<(), LogError> {
        self.database.apply(self.end.next(), frames).map_err(|t| trouble(&self.store, t))?;
        self.end = Position(self.end.0 + frames.len() as u64);
        self.unsynced += frames.len() as u64;
        if self.unsynced >= SYNC_EVERY { self.sync() } else { Ok(()) }
    }

    /// Takes in what it lacks of the journal up to `end`.
    pub(super) fn catch_up(&mut self, end: Head) -> Result<(), LogError> {
        let mut reader = Reader::up_to(&self.store, end);
        while self.end < end.position {
            let left = usize::try_from(end.position.0 - self.end.0).unwrap_or(CHUNK);
            let frames = reader.read_within(self.end, left.min(CHUNK))?;
            self.apply(&frames)?;
        }
        Ok(())
    }

    /// Makes all of it durable.
    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        if self.unsynced > 0 {
            self.database.sync().map_err(|t| trouble(&self.store, t))?;
            self.unsynced = 0;
        }
        Ok(())
    }

    /// Exactly `wanted` frames after `after`, each with a valid checksum.
    pub(super) fn read(&self, after: Position, wanted: usize) -> Result<Vec<Frame>, LogError> {
        let pairs = self.database.read(after, wanted).map_err(|t| trouble(&self.store, t))?;
        checked(after, wanted, pairs).map_err(|finding| {
            let original = Some(self.store.sled_folder());
            Damage { position: finding.position, found: finding.found, original }.into()
        })
    }

    /// Syncs and closes it.
    pub(super) fn close(self) -> Result<(), LogError> {
        self.database.close().map_err(|t| trouble(&self.store, t))
    }

    /// Puts the database aside and makes it anew from the journal up to `end`.
    pub(super) fn remake(self, end: Head, found: &str) -> Result<(Self, Repair), LogError> {
        let Self { database, store, _lock: lock, .. } = self;
        // What closing says does not matter: the files are put aside.
        let _ = database.close();
        Held { store, lock }.remake(end, found)
    }
}

/// The right to open sled.
#[derive(Debug)]
pub(super) struct Held {
    store: Store,
    lock: NamedLock,
}

impl Held {
    /// Opens the database as it is.
    pub(super) fn open(self) -> Result<Engine, (Self, Trouble)> {
        let folder = self.store.sled_folder();
        let ready = refuse_others(&folder).and_then(|()| {
            Database::wait_until_free(&folder).map(drop).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Trouble::Broken("sled/db is missing".to_owned()),
                _ => Trouble::Io(error),
            })
        });
        let tidy = || {
            delete_unfinished_snapshots(&folder).map_err(|error| match error {
                LogError::Io { source, .. } | LogError::NoSpace { source, .. } => {
                    Trouble::Io(source)
                }
                other => Trouble::Broken(other.to_string()),
            })
        };
        let opened = ready.and_then(|()| tidy()).and_then(|()| {
            let database = Database::open(&folder)?;
            let end = database.last()?;
            Ok((database, end))
        });
        match opened {
            Ok((database, end)) => {
                Ok(Engine { database, store: self.store, end, unsynced: 0, _lock: self.lock })
            }
            Err(trouble) => Err((self, trouble)),
        }
    }

    /// Opens the database and brings it to `end`, the end of the journal; makes it anew if it is
    /// damaged. `closed` is what it had when it was closed properly, if it was.
    ///
    /// # Errors
    /// [`Ahead`](LogError) is not an error here: a database with more events than the journal is
    /// handed out as it is, for the journal to be mended from it.
    pub(super) fn open_at(
        self,
        end: Head,
        closed: Option<Position>,
    ) -> Result<(Engine, Option<Repair>), LogError> {
        let store = self.store.clone();
        let mut engine = match self.open() {
            Ok(engine) => engine,
            Err((held, Trouble::Broken(found))) => {
                return held.remake(end, &found).map(|(engine, repair)| (engine, Some(repair)));
            }
            Err((_, trouble)) => return Err(self::trouble(&store, trouble)),
        };
        if engine.end > end.position {
            return Ok((engine, None));
        }
        if let Some(found) = engine.disagrees(end)? {
            return engine.remake(end, &found).map(|(engine, repair)| (engine, Some(repair)));
        }
        let lacking = closed.map_or(0, |closed| closed.0.saturating_sub(engine.end.0));
        engine.catch_up(end)?;
        let found = "it lacked events that it had when it was closed".to_owned();
        let repair = Repair { part: "sled", found, restored: lacking, lost: 0, aside: None };
        Ok((engine, (lacking > 0).then_some(repair)))
    }

    /// Puts the database aside and makes it anew from the journal up to `end`.
    fn remake(self, end: Head, found: &str) -> Result<(Engine, Repair), LogError> {
        let folder = self.store.sled_folder();
        let aside = next_aside(&self.store, "sled")?;
        if is_there(&folder)? {
            make_folder(&self.store.aside_folder())?;
            fs::rename(&folder, &aside).map_err(failed("move", &folder))?;
        }
        make_folder(&folder)?;
        Database::create(&folder)?;
        sync_folder(self.store.root())?;
        let store = self.store.clone();
        let mut engine = self.open().map_err(|(_, trouble)| self::trouble(&store, trouble))?;
        engine.catch_up(end)?;
        engine.sync()?;
        let name = aside.strip_prefix(store.root()).unwrap_or(&aside).display().to_string();
        let (found, restored) = (found.to_owned(), end.position.0);
        Ok((engine, Repair { part: "sled", found, restored, lost: 0, aside: Some(name) }))
    }
}

impl Engine {
    /// Whether its last event is another one than the journal has there.
    fn disagrees(&self, end: Head) -> Result<Option<String>, LogError> {
        let Some(before) = self.end.0.checked_sub(1).map(Position) else { return Ok(None) };
        let here = match self.read(before, 1) {
            Err(LogError::Damaged(damage)) => return Ok(Some(damage.found)),
            other => other?,
        };
        let there = Reader::up_to(&self.store, end).read_within(before, 1)?;
        let chain = |frames: &[Frame]| frames.first().and_then(|frame| chain_of(&frame.0));
        let found = format!("event {} is not the one in the journal", self.end);
        Ok((chain(&here) != chain(&there)).then_some(found))
    }
}

/// A copy of sled's files, opened: sled writes when it is opened, and its recovery destroys what it
/// does not understand.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) database: Database,
    // After the database, which has it open.
    _folder: tempfile::TempDir,
}

/// Copies sled's files into `folder` and opens the copy. The caller holds the files.
pub(super) fn copied(store: &Store, folder: tempfile::TempDir) -> Result<Copied, Trouble> {
    let copy = folder.path().join("sled");
    copy_folder(&store.sled_folder(), &copy).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Trouble::Broken("sled is missing".to_owned()),
        _ => Trouble::Io(error),
    })?;
    Ok(Copied { database: Database::open(&copy)?, _folder: folder })
}

/// Copies plain files and folders.
fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if kind.is_dir() {
            copy_folder(&entry.path(), &to.join(name))?;
        } else if kind.is_file() && !name.to_str().is_some_and(is_unfinished_snapshot) {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

impl Held {
    /// A copy of the database, to restore the journal from.
    pub(super) fn copied(&self) -> Result<Result<Copied, String>, LogError> {
        match self.copied_once()? {
            // sled takes a read that failed for damage. Damage is there the second time too.
            Err(_) => self.copied_once(),
            copied => Ok(copied),
        }
    }

    fn copied_once(&self) -> Result<Result<Copied, String>, LogError> {
        let aside = self.store.aside_folder();
        make_folder(&aside)?;
        let folder = tempfile::Builder::new().prefix("reading-").tempdir_in(&aside);
        match copied(&self.store, folder.map_err(failed("create", &aside))?) {
            Ok(copied) => Ok(Ok(copied)),
            Err(Trouble::Broken(found)) => Ok(Err(found)),
            Err(error) => Err(trouble(&self.store, error)),
        }
    }
}

/// The last event in a database; nothing if it is damaged.
pub(super) fn last_in(store: &Store, database: &Database) -> Result<Position, LogError> {
    match database.last() {
        Err(Trouble::Broken(_)) => Ok(Position(0)),
        other => other.map_err(|t| trouble(store, t)),
    }
}

/// A folder in `aside/` that is not there yet.
pub(super) fn next_aside(store: &Store, what: &str) -> Result<PathBuf, LogError> {
    let aside = store.aside_folder();
    let prefix = format!("{what}-");
    let there = if is_there(&aside)? { names(&aside)? } else { Vec::new() };
    let numbers = there.into_iter().filter_map(|name| {
        name.strip_prefix(&prefix).and_then(|number| number.parse::<u32>().ok())
    });
    let next = numbers.max().unwrap_or(0) + 1;
    Ok(aside.join(format!("{prefix}{next}")))
}

/// What the engine said, as an error that names its folder.
pub(super) fn trouble(store: &Store, trouble: Trouble) -> LogError {
    let folder = store.sled_folder();
    match trouble {
        Trouble::Io(error) => failed("use", &folder)(error),
        Trouble::Broken(found) => Damage::of_file(folder, found).into(),
    }
}
