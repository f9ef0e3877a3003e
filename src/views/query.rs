//! Opening the read model for a query: current, or saying why not.
//!
//! `HEAD` is read without a lock. If the model shows that position, the log is never opened. If it
//! is behind, the log is read, also without a lock.
//!
//! A file that cannot be used, for want of space or because it is not ours, keeps no answer back:
//! the same tables are then folded for this answer alone.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::ahead::{Ahead, read_ahead};
use super::files::Files;
use super::guard::{self, Meter};
use super::{Applied, ReadModel, ViewError, build, elsewhere, model, rollback, stamp};
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
    /// The file it is from, unless it has no name.
    file: Option<(Files, u64)>,
    /// Holds the files while they are needed; after the connection, so that it is dropped last.
    pub(super) temporary: Option<TempDir>,
}

/// Opens the read model of a store for queries.
///
/// # Errors
/// [`ViewError`] if the log is damaged, the history cannot be, or the system refuses;
/// [`LogError::RolledBack`] if the read model has shown what the log does not have.
pub fn open(store: &Store, options: &Options, at: Option<At>) -> Result<Answer, ViewError> {
    match at {
        None => newest(store, options),
        Some(At::Position(position)) => past(store, Some(position)),
        Some(At::Time(time)) => {
            let position = newest(store, options)?.position_at(time)?;
            past(store, Some(position))
        }
    }
}

/// Folds the log of a store for one answer, without looking at any file of the read model. What is
/// recorded, trained or handed to others is chosen by such an answer: a cache decides nothing.
///
/// # Errors
/// As [`open`].
pub fn open_from_log(
    store: &Store,
    options: &Options,
    at: Option<At>,
) -> Result<Answer, ViewError> {
    rollback::refuse_rollback(store, options)?;
    let position = match at {
        None => None,
        Some(At::Position(position)) => Some(position),
        Some(At::Time(time)) => Some(past(store, None)?.position_at(time)?),
    };
    past(store, position)
}

fn newest(store: &Store, options: &Options) -> Result<Answer, ViewError> {
    if !is_writable(store.root()) {
        return elsewhere::read_only(store, options);
    }
    match in_place(store, options) {
        Err(error) if error.is_of_the_file() => {
            elsewhere::from_log(store, options, &format!("the read model is not used ({error})"))
        }
        other => other,
    }
}

/// The model in the file of the store, brought to the end of the log.
fn in_place(store: &Store, options: &Options) -> Result<Answer, ViewError> {
    let mut model = ReadModel::open(store.root(), store.id(), options.wait)?;
    let target = store.read_head()?.record.head;
    if model.stamp()? == target {
        return Answer::new(model, None);
    }
    // Before anything is built or removed.
    rollback::refuse_rollback(store, options)?;
    if build::is_worthwhile(&model, target)? {
        let because = build::build(store, (model.generation(), target))?;
        drop(model);
        model = ReadModel::open(store.root(), store.id(), options.wait)?;
        if let Some(because) = because {
            let behind = Behind { log: target.position, because };
            return Answer::new(model, Some(behind));
        }
    }
    let behind = match catch_up(&mut model, store, options) {
        Err(error) if error.is_unusable() => {
            model.replace()?;
            catch_up(&mut model, store, options)?
        }
        other => other?,
    };
    model.retire_older()?;
    Answer::new(model, behind)
}

/// The model as it was after an event, or as it is, folded for this answer.
fn past(store: &Store, end: Option<Position>) -> Result<Answer, ViewError> {
    Answer::new(folded(store, end)?, None)
}

/// The log of a store folded up to `end`, or to its end.
pub(super) fn folded(store: &Store, end: Option<Position>) -> Result<ReadModel, ViewError> {
    let mut log = Reader::open(store)?;
    let log_end = log.head()?.position;
    if let Some(end) = end.filter(|end| *end > log_end) {
        let message = format!("the log ends at event {log_end}, before {end}");
        let hint = Some("give an event up to there, or leave --at out".to_owned());
        return Err(super::Mistake { message, hint, ..super::Mistake::default() }.into());
    }
    let end = end.unwrap_or(log_end);
    let mut into = |mut model: ReadModel| fold(&mut model, &mut log, end).map(|()| model);
    match ReadModel::temporary(store.id()).and_then(&mut into) {
        // A temporary file could not be written, but it may fit into memory.
        Err(error) if error.is_of_storage() => into(ReadModel::in_memory(store.id())?),
        other => other,
    }
}

/// Folds a log up to `end` into a model in memory, comparing every digest.
///
/// # Errors
/// [`ViewError`] naming the first event that cannot be.
pub fn rebuild<L: EventLog>(
    log: &mut L,
    store: StoreId,
    end: Position,
) -> Result<ReadModel, ViewError> {
    let mut model = ReadModel::in_memory(store)?;
    fold(&mut model, log, end)?;
    Ok(model)
}

/// Folds a log on from where a model is, up to `end`.
pub(super) fn fold<L: EventLog>(
    model: &mut ReadModel,
    log: &mut L,
    end: Position,
) -> Result<(), ViewError> {
    let mut head = model.stamp()?;
    while head.position < end {
        let left = usize::try_from(end.0 - head.position.0).unwrap_or(CHUNK);
        let (frames, next) = read_on(log, head, left.min(CHUNK))?;
        if frames.is_empty() {
            break;
        }
        model.apply(&decoded(head.position, &frames)?, next)?;
        head = next;
    }
    Ok(())
}

impl Answer {
    /// An answer from a model; it is asked no more than this.
    pub(super) fn new(model: ReadModel, behind: Option<Behind>) -> Result<Self, ViewError> {
        let store = model.store();
        let (connection, file) = model.into_parts();
        let answer = Self::of(connection, store)?;
        Ok(Self { behind, file, ..answer })
    }

    /// An answer from a connection.
    pub(super) fn of(mut connection: Connection, store: StoreId) -> Result<Self, ViewError> {
        super::database::make_temporary(&connection)?;
        // One snapshot for all that is asked.
        connection.execute_batch("BEGIN")?;
        let as_of = stamp::read(&connection, store)?;
        let meter = guard::make_read_only(&mut connection)?;
        let (behind, notes, file, temporary) = (None, Vec::new(), None, None);
        let has_arguments = false;
        Ok(Self { connection, meter, as_of, behind, notes, has_arguments, file, temporary })
    }

    /// Stops statements once they have taken this long, all together; `None`: never. Time in which
    /// rows wait for a reader does not count. Unless told otherwise it is a minute.
    pub fn limit_time(&self, most: Option<Duration>) {
        self.meter.set_limit(most);
    }

    /// What is told of an error while it was asked. Should the file be damaged, the next question
    /// is answered from a new one.
    pub(super) fn failed(&self, error: ViewError) -> ViewError {
        match &self.file {
            Some((files, generation)) if error.is_unusable() => {
                let _ = files.create(Some(*generation));
                let found = format!("its pages are damaged ({error})");
                ViewError::Unusable { path: files.path(*generation), found }
            }
            _ => error,
        }
    }

    fn position_at(&self, time: i64) -> Result<Position, ViewError> {
        let sql = "SELECT coalesce(max(position), 0) FROM event WHERE recorded_at <= ?";
        let position: i64 = self.connection.query_row(sql, [time], |row| row.get(0))?;
        Ok(Position(u64::try_from(position).unwrap_or(0)))
    }
}

/// Brings a model to the end of the log.
fn catch_up(
    model: &mut ReadModel,
    store: &Store,
    options: &Options,
) -> Result<Option<Behind>, ViewError> {
    let reading = store.read_head()?;
    let target = reading.record.head;
    let shown = |model: &ReadModel| shows(model, target, store, options);
    if shown(model)? {
        return Ok(None);
    }
    if let State::Open { pid } = reading.record.state
        && pid != std::process::id()
    {
        for _ in 0..6 {
            sleep(GRACE / 6);
            if shown(model)? {
                return Ok(None);
            }
        }
    }
    while !shown(model)? {
        if let Some(because) = read_and_apply(model, Reader::open(store)?, target)? {
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
    let stamp = model.stamp()?;
    let foreign = model::rolled_back(stamp, target).into();
    std::thread::scope(|scope| {
        let Ahead { legs, done } = read_ahead(scope, log, (stamp, target), foreign)?;
        for leg in legs {
            let (events, head) = match leg {
                Err(ViewError::Log(LogError::Busy(busy))) => return Ok(Some(busy.to_string())),
                other => other?,
            };
            match model.apply(&events, head)? {
                Applied::Done | Applied::Known => {}
                // Another process has replaced or rebuilt what this one saw.
                Applied::Gap => return Err(model.changed()),
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
fn shows(
    model: &ReadModel,
    target: Head,
    store: &Store,
    options: &Options,
) -> Result<bool, ViewError> {
    let stamp = model.stamp()?;
    if stamp.position < target.position {
        return Ok(false);
    }
    if stamp != target {
        // The log went on since, or back.
        rollback::confirm(store, options, stamp)?;
    }
    Ok(true)
}

/// Decodes frames that follow position `after`.
pub(super) fn decoded(after: Position, frames: &[Frame]) -> Result<Vec<Recorded>, ViewError> {
    let positions = (after.0 + 1..).map(Position);
    let decoded = frames.iter().zip(positions).map(|(frame, position)| {
        decode(position, frame).map_err(|source| ViewError::Event { position, source })
    });
    decoded.collect()
}

/// Whether files can be made in a folder.
fn is_writable(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
}
