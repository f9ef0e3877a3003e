//! Opening the read model for a query: current, or saying why not.
//!
//! `HEAD` is read without a lock. If the model shows that position, the log is never opened. If it
//! is behind, the log is entered and read, **left**, and only then is SQLite's write lock taken:
//! nobody waits for the log while holding SQLite.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::ahead::{Ahead, read_ahead};
use super::files::{Files, failed};
use super::guard::{self, Meter};
use super::model::read_stamp;
use super::{Applied, ReadModel, ViewError, build, database};
use crate::events::Recorded;
use crate::events::codec::decode;
use crate::events::frame::{Frame, Head, Position};
use crate::log::head::State;
use crate::log::store::StoreId;
use crate::log::{EventLog, LogError, Options, Reader, Store, read_on};

/// Events read in one go.
const CHUNK: usize = 1_000;
/// A process that records is this far behind its own `HEAD` at most: it is given that long before
/// the log is taken from it.
const GRACE: Duration = Duration::from_millis(30);

/// A point in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// After this event.
    Position(Position),
    /// After the last event recorded at or before this time, in milliseconds since 1970 UTC.
    Time(i64),
}

/// Why an answer does not show the end of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// The end of the log.
    pub log: Position,
    /// What keeps this process from reading it.
    pub because: String,
}

/// A model that can be asked. It stays as it is, whatever is recorded meanwhile.
#[derive(Debug)]
pub struct Answer {
    pub(super) connection: Connection,
    pub(super) meter: Meter,
    /// The end of the log as far as it is shown.
    pub as_of: Head,
    /// Set if the log went on.
    pub behind: Option<Behind>,
    /// What a person should know about how the answer came about.
    pub notes: Vec<String>,
    /// Whether a question brought parameters of its own.
    pub(super) has_arguments: bool,
    /// Holds the files while they are needed; after the connection, so that it is dropped last.
    temporary: Option<TempDir>,
}

/// Opens the read model of a store for queries.
///
/// # Errors
/// [`ViewError`] if the log is damaged, the history cannot be, or the system refuses.
/// [`LogError::Busy`] only where nothing else can be answered (`at`).
pub fn open(store: &Store, options: &Options, at: Option<At>) -> Result<Answer, ViewError> {
    match at {
        None => newest(store, options),
        Some(At::Position(position)) => past(store, position),
        Some(At::Time(time)) => {
            let position = newest(store, options)?.position_at(time)?;
            past(store, position)
        }
    }
}

fn newest(store: &Store, options: &Options) -> Result<Answer, ViewError> {
    if !is_writable(store.root()) {
        return read_only(store, options);
    }
    let mut model = ReadModel::open(store.root(), store.id(), options.wait)?;
    let target = store.read_head()?.record.head;
    if build::is_worthwhile(&model, target)? {
        let because = build::build(store, (model.generation(), target))?;
        drop(model);
        model = ReadModel::open(store.root(), store.id(), options.wait)?;
        if let Some(because) = because {
            let behind = Behind { log: target.position, because };
            return Answer::new(model.into_connection(), Some(behind));
        }
    }
    let behind = match catch_up(&mut model, store) {
        Err(error) if error.is_unusable() => {
            model.replace()?;
            catch_up(&mut model, store)?
        }
        other => other?,
    };
    Answer::new(model.into_connection(), behind)
}

/// The model as it was after an event: built anew, in memory.
fn past(store: &Store, end: Position) -> Result<Answer, ViewError> {
    let log_end = store.read_head()?.record.head.position;
    if end > log_end {
        let message = format!("the log ends at event {log_end}, before {end}");
        let hint = Some("give an event up to there, or leave --at out".to_owned());
        return Err(super::Mistake { message, hint, ..super::Mistake::default() }.into());
    }
    let model = rebuild(&mut Reader::open(store)?, store.id(), end)?;
    Answer::new(model.into_connection(), None)
}

/// Folds a log up to `end` into a model in memory.
///
/// # Errors
/// [`ViewError`] naming the first event that cannot be.
pub fn rebuild<L: EventLog>(
    log: &mut L,
    store: StoreId,
    end: Position,
) -> Result<ReadModel, ViewError> {
    let mut model = ReadModel::in_memory(store)?;
    let mut head = Head::default();
    while head.position < end {
        let left = usize::try_from(end.0 - head.position.0).unwrap_or(CHUNK);
        let (frames, next) = read_on(log, head, left.min(CHUNK))?;
        if frames.is_empty() {
            break;
        }
        model.apply(&decoded(head.position, &frames)?, next)?;
        head = next;
    }
    Ok(model)
}

/// How the file of a store compares with a model built from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// The same rows.
    Same,
    /// It shows the same position with other rows.
    Differs,
    /// It shows another position, which is no mistake.
    At(Position),
    /// There is none, which is no mistake either.
    Absent,
    /// It cannot be read.
    Unusable(String),
}

/// Compares the file of a store with a model built from the log, and changes nothing.
///
/// # Errors
/// [`ViewError`] if the built model or the folder cannot be read.
pub fn compare(store: &Store, built: &ReadModel) -> Result<Comparison, ViewError> {
    let files = Files::new(store.root());
    let Some(generation) = files.newest()? else { return Ok(Comparison::Absent) };
    let read = ReadModel::existing(&files, generation, store.id(), Duration::from_secs(1))
        .and_then(|model| Ok((model.stamp()?, model.fingerprint()?)));
    match read {
        Err(error) if error.is_busy() => Err(error),
        Err(error) => Ok(Comparison::Unusable(error.to_string())),
        Ok((stamp, _)) if stamp.position != built.stamp()?.position => {
            Ok(Comparison::At(stamp.position))
        }
        Ok((stamp, rows)) if stamp == built.stamp()? && rows == built.fingerprint()? => {
            Ok(Comparison::Same)
        }
        Ok(_) => Ok(Comparison::Differs),
    }
}

impl Answer {
    fn new(mut connection: Connection, behind: Option<Behind>) -> Result<Self, ViewError> {
        super::database::make_temporary(&connection)?;
        // One snapshot for all that is asked.
        connection.execute_batch("BEGIN")?;
        let as_of = read_stamp(&connection)?;
        let meter = guard::make_read_only(&mut connection)?;
        let (notes, temporary) = (Vec::new(), None);
        Ok(Self { connection, meter, as_of, behind, notes, has_arguments: false, temporary })
    }

    /// Stops statements once they have taken this long, all together; `None`: never. Time in which
    /// rows wait for a reader does not count. Unless told otherwise it is a minute.
    pub fn limit_time(&self, most: Option<Duration>) {
        self.meter.set_limit(most);
    }

    fn position_at(&self, time: i64) -> Result<Position, ViewError> {
        let sql = "SELECT coalesce(max(position), 0) FROM event WHERE recorded_at <= ?";
        let position: i64 = self.connection.query_row(sql, [time], |row| row.get(0))?;
        Ok(Position(u64::try_from(position).unwrap_or(0)))
    }
}

/// Brings a model to the end of the log.
fn catch_up(model: &mut ReadModel, store: &Store) -> Result<Option<Behind>, ViewError> {
    let reading = store.read_head()?;
    let target = reading.record.head;
    if shows(model, target, store)? {
        return Ok(None);
    }
    if let State::Open { pid } = reading.record.state
        && pid != std::process::id()
    {
        for _ in 0..6 {
            sleep(GRACE / 6);
            if shows(model, target, store)? {
                return Ok(None);
            }
        }
    }
    while !shows(model, target, store)? {
        let log = Reader::open(store)?;
        if let Some(because) = read_and_apply(model, log, target)? {
            return Ok(Some(Behind { log: target.position, because }));
        }
    }
    Ok(None)
}

/// Applies what the model lacks up to `target`; says what kept it from that.
pub(super) fn read_and_apply(
    model: &mut ReadModel,
    log: Reader,
    target: Head,
) -> Result<Option<String>, ViewError> {
    let (stamp, foreign) = (model.stamp()?, model.foreign());
    std::thread::scope(|scope| {
        let Ahead { legs, done } = read_ahead(scope, log, (stamp, target), foreign);
        for leg in legs {
            let (events, head) = match leg {
                Err(ViewError::Log(LogError::Busy(busy))) => return Ok(Some(busy.to_string())),
                other => other?,
            };
            match model.apply(&events, head)? {
                Applied::Done | Applied::Known => {}
                // Another process has replaced or rebuilt what this one saw.
                Applied::Gap => return Err(model.foreign()),
                Applied::Busy => {
                    return Ok(Some("another process is writing to the read model".to_owned()));
                }
            }
            let _ = done.send(events); // the reader may have ended
        }
        Ok(None)
    })
}

/// Whether a model shows the log up to `target`.
fn shows(model: &ReadModel, target: Head, store: &Store) -> Result<bool, ViewError> {
    let stamp = model.stamp()?;
    if stamp.position < target.position {
        return Ok(false);
    }
    let end = if stamp.position == target.position {
        target
    } else {
        store.read_head()?.record.head // the log went on since
    };
    let other = stamp.position == end.position && stamp.chain != end.chain;
    if other || stamp.position > end.position { Err(model.foreign()) } else { Ok(true) }
}

/// Decodes frames that follow position `after`.
pub(super) fn decoded(after: Position, frames: &[Frame]) -> Result<Vec<Recorded>, ViewError> {
    let positions = (after.0 + 1..).map(Position);
    let decoded = frames.iter().zip(positions).map(|(frame, position)| {
        decode(position, frame).map_err(|source| ViewError::Event { position, source })
    });
    decoded.collect()
}

fn is_writable(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
}

/// A folder that cannot be written: the model as it lies there if it is current, else one built in
/// a temporary folder.
fn read_only(store: &Store, options: &Options) -> Result<Answer, ViewError> {
    let end = store.read_head()?.record.head;
    if let Ok(Some((connection, temporary))) = as_it_lies(store.root())
        && read_stamp(&connection).is_ok_and(|stamp| stamp == end)
    {
        let mut answer = Answer::new(connection, None)?;
        answer.temporary = temporary;
        answer.notes.push("the store cannot be written to; its tables are read as they lie".into());
        return Ok(answer);
    }
    let temporary = temporary()?;
    let root = temporary.path().join("store");
    copy_store(store, &root)?;
    let mut answer = newest(&Store::open(&root)?, options)?;
    let note = format!(
        "the store cannot be written to; its tables were built in a temporary folder ({})",
        temporary.path().display()
    );
    answer.notes.push(note);
    answer.temporary = Some(temporary);
    Ok(answer)
}

fn temporary() -> Result<TempDir, ViewError> {
    tempfile::Builder::new()
        .prefix("qtrail-")
        .tempdir()
        .map_err(failed("create", Path::new("a temporary folder")))
}

/// The newest file in a folder, read without writing. Its write-ahead log cannot be read in place,
/// so where there is one, both are copied.
fn as_it_lies(folder: &Path) -> Result<Option<(Connection, Option<TempDir>)>, ViewError> {
    let files = Files::new(folder);
    let Some(generation) = files.newest()? else { return Ok(None) };
    let path = files.path(generation);
    let mut wal = path.clone().into_os_string();
    wal.push("-wal");
    if !fs::metadata(&wal).is_ok_and(|wal| wal.len() > 0) {
        return Ok(Some((database::open_immutable(&path)?, None)));
    }
    let temporary = temporary()?;
    let copy = temporary.path().join("views.sqlite");
    fs::copy(&path, &copy).map_err(failed("copy", &path))?;
    fs::copy(&wal, temporary.path().join("views.sqlite-wal")).map_err(failed("copy", &path))?;
    Ok(Some((database::open(&copy, Duration::ZERO)?, Some(temporary))))
}

/// Copies what is needed to read the log.
fn copy_store(store: &Store, to: &Path) -> Result<(), ViewError> {
    for folder in ["sled", "lock", "artifacts"] {
        let folder = to.join(folder);
        fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
    }
    for name in ["STORE", "HEAD"] {
        let from = store.root().join(name);
        fs::copy(&from, to.join(name)).map_err(failed("copy", &from))?;
    }
    copy_folder(&store.sled_folder(), &to.join("sled"))
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), ViewError> {
    fs::create_dir_all(to).map_err(failed("create", to))?;
    for entry in fs::read_dir(from).map_err(failed("list", from))? {
        let path = entry.map_err(failed("list", from))?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            copy_folder(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name)).map_err(failed("copy", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::codec::encode;
    use crate::events::frame::seal;
    use crate::events::{Event, Hash, Scope};
    use crate::log::LocalLog;

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
        assert!(built.notes[0].contains("temporary folder"), "{:?}", built.notes);
        assert_eq!(listing(), before, "nothing was written");

        drop(newest(&store, &Options::default()).unwrap());
        let lies = read_only(&store, &Options::default()).unwrap();
        assert_eq!(lies.as_of.position, Position(3));
        assert!(lies.notes[0].contains("as they lie"), "{:?}", lies.notes);
    }

    #[test]
    fn a_write_ahead_log_is_read_too() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder.path().join("a"), 3);
        // Kept open, so that its write-ahead log is not folded in.
        let model = newest(&store, &Options::default()).unwrap();
        let files = Files::new(store.root());
        let wal = format!("{}-wal", files.path(1).display());
        assert!(fs::metadata(wal).unwrap().len() > 0);
        let lies = read_only(&store, &Options::default()).unwrap();
        assert_eq!(lies.as_of, model.as_of);
    }
}
