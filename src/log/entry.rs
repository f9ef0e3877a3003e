//! Coming in: from a closed folder to an open database whose end agrees with `HEAD`.

use std::path::PathBuf;

use super::error::Damage;
use super::files::failed;
use super::head::{HeadFile, State};
use super::lease::Lease;
use super::sled::{Trouble, delete_unfinished_snapshots};
use super::{Database, LogError, Options, Store, aside, probe};
use crate::events::frame::{Frame, Head, Position};

/// Frames looked at in one go behind `HEAD`.
const CHUNK: usize = 1000;

/// Something wrong with the events of a database, before it is known where copies are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// The first position affected, if it is about one.
    pub(super) position: Option<Position>,
    /// What was found.
    pub(super) found: String,
}

/// Why the end of a database could not be confirmed.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The events are not what `HEAD` says.
    Finding(Finding),
    /// The engine did not answer.
    Trouble(Trouble),
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Broken(found) => Self::Finding(Finding { position: None, found }),
            Trouble::Io(_) => Self::Trouble(trouble),
        }
    }
}

impl Refusal {
    /// As an error that names the files concerned.
    pub(super) fn into_error(
        self,
        store: &Store,
        copy: Option<PathBuf>,
        untouched: bool,
    ) -> LogError {
        let folder = store.sled_folder();
        let (position, found) = match self {
            Self::Trouble(Trouble::Io(error)) => return failed("use", &folder)(error),
            Self::Trouble(Trouble::Broken(found)) => (None, found),
            Self::Finding(Finding { position, found }) => (position, found),
        };
        Damage { position, found, original: Some(folder), untouched, copy }.into()
    }
}

/// The database, opened, and everything that goes with being in it.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) database: Database,
    pub(super) head_file: HeadFile,
    /// The end of the log: durable, and what `HEAD` says.
    pub(super) end: Head,
    /// The copy taken on the way in, if one was.
    pub(super) copy: Option<PathBuf>,
    pub(super) lease: Lease,
}

/// Enters the log: lease, rehearsal on a copy if it was not closed properly, `HEAD` := open,
/// database, comparison.
pub(super) fn enter(store: &Store, options: &Options) -> Result<Entered, LogError> {
    let lease = Lease::enter(&options.locks(store))?;
    let (mut head_file, reading) = HeadFile::open(&store.head_path())?;
    let expected = reading.record.head;
    let folder = store.sled_folder();
    let hold = Database::wait_until_free(&folder).map_err(|error| unfree(store, error))?;
    let copy = if reading.is_clean() { None } else { Some(rehearse(store, options, expected)?) };
    // From here on a crash leaves HEAD open, so that the next one in rehearses.
    head_file.write(expected, State::Open { pid: std::process::id() })?;
    delete_unfinished_snapshots(&folder)?;
    drop(hold);
    let refused = |refusal: Refusal| refusal.into_error(store, copy.clone(), false);
    let database = Database::open(&folder).map_err(|trouble| refused(trouble.into()))?;
    let end = confirm(&database, expected).map_err(refused)?;
    if end != expected {
        // Written, but never acknowledged. Before anybody builds on it, it must be durable.
        database.sync().map_err(|trouble| refused(trouble.into()))?;
        head_file.write(end, State::Open { pid: std::process::id() })?;
    }
    Ok(Entered { database, head_file, end, copy, lease })
}

/// Opens a copy first; if that goes wrong, the original stays as it is.
fn rehearse(store: &Store, options: &Options, expected: Head) -> Result<PathBuf, LogError> {
    let copy = aside::copy(store)?;
    match probe::probe(&copy, expected, options.probe.as_deref()) {
        Ok(_) => Ok(copy),
        Err(refusal) => Err(refusal.into_error(store, Some(copy), true)),
    }
}

fn unfree(store: &Store, error: std::io::Error) -> LogError {
    let file = store.sled_folder().join("db");
    if error.kind() == std::io::ErrorKind::NotFound {
        return Damage::of_file(file, "sled/db is missing").into();
    }
    failed("lock", &file)(error)
}

/// Compares a database with what was acknowledged: not shorter, the same chain there, and whole
/// from there to its end, which it returns.
pub(super) fn confirm(database: &Database, expected: Head) -> Result<Head, Refusal> {
    let last = database.last()?;
    if last < expected.position {
        let missing = expected.position.0 - last.0;
        let found = format!(
            "{missing} acknowledged events are missing: the log ends at {last}, HEAD says {}",
            expected.position
        );
        return Err(finding(Some(last.next()), found));
    }
    let mut head = expected;
    if expected.position > Position(0) {
        let before = Position(expected.position.0 - 1);
        let chain = match database.read(before, 1)?.first() {
            Some((position, frame)) if *position == expected.position => {
                frame
                    .view(*position)
                    .map_err(|error| finding(Some(*position), error.to_string()))?
                    .chain
            }
            _ => return Err(finding(Some(expected.position), "the event is missing".to_owned())),
        };
        if chain != expected.chain {
            let found = "the chain there is not the one in HEAD".to_owned();
            return Err(finding(Some(expected.position), found));
        }
    }
    loop {
        let frames = database.read(head.position, CHUNK)?;
        if frames.is_empty() {
            return Ok(head);
        }
        for (position, frame) in frames {
            head = follow(head, position, &frame).map_err(Refusal::Finding)?;
        }
    }
}

/// Checks that `frame`, found at `position`, continues `head`.
pub(super) fn follow(head: Head, position: Position, frame: &Frame) -> Result<Head, Finding> {
    let next = head.position.next();
    if position != next {
        let found = format!("the event is missing; the next one is {position}");
        return Err(Finding { position: Some(next), found });
    }
    let head = frame.view(position).and_then(|view| view.follows(head));
    head.map_err(|error| Finding { position: Some(position), found: error.to_string() })
}

fn finding(position: Option<Position>, found: String) -> Refusal {
    Refusal::Finding(Finding { position, found })
}
