//! Verification: every event against its checksum and the chain, and one copy against the other.

use std::time::Duration;

use super::error::Damage;
use super::sled::Trouble;
use super::{EventLog, LogError, Options, Reader, Store, engine};
use crate::events::frame::{Frame, Head, Position, parts, view};

/// Frames read in one go.
const CHUNK: usize = 1000;

/// Something wrong with the events of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// The first position affected, if it is about one.
    pub(super) position: Option<Position>,
    /// What was found.
    pub(super) found: String,
}

/// Checks that `frame`, found at `position`, continues `head`.
fn follow(head: Head, position: Position, frame: &Frame) -> Result<Head, Finding> {
    let head = frame.view(position).and_then(|view| view.follows(head));
    head.map_err(|error| Finding { position: Some(position), found: error.to_string() })
}

/// Reads on from `from`: up to `max` frames, each checked (checksum, chain), and the head after
/// them. No frames: the end. This is how a fold reads a log.
///
/// # Errors
/// [`LogError::Damaged`] naming the first bad position, or what reading gives.
pub fn read_on(
    log: &mut dyn EventLog,
    from: Head,
    max: usize,
) -> Result<(Vec<Frame>, Head), LogError> {
    let frames = log.read(from.position, max)?;
    // Reading has looked at the checksums.
    let head = frames.iter().try_fold(from, |head, frame| {
        let next = parts(&frame.0).and_then(|view| view.follows(head));
        next.map_err(|error| {
            let position = Some(head.position.next());
            damage(&Finding { position, found: error.to_string() })
        })
    })?;
    Ok((frames, head))
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The last event up to which everything is right.
    pub good: Head,
    /// The end of the log, as the log says.
    pub end: Head,
    /// What is wrong, the first bad event first. Empty: nothing.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The event concerned, if it is about one.
    pub position: Option<Position>,
    /// What was found.
    pub found: String,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    fn note(&mut self, position: Option<Position>, found: impl Into<String>) {
        self.problems.push(Problem { position, found: found.into() });
    }
}

/// Checks every event of a log: positions without gaps from 1 to the end, checksums, chain.
/// Stops at the first bad event, because the chain says nothing behind it.
///
/// # Errors
/// What keeps the log from being read, other than damage, which is in the report.
pub fn verify(log: &mut dyn EventLog) -> Result<Report, LogError> {
    let mut report = Report { good: Head::default(), end: log.head()?, problems: Vec::new() };
    while report.good.position < report.end.position {
        let left = report.end.position.0 - report.good.position.0;
        let chunk = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let frames = match log.read(report.good.position, chunk) {
            Ok(frames) => frames,
            // A chunk fails as a whole; one by one the good events before the bad one are found.
            Err(LogError::Damaged(damage)) => {
                find_in_chunk(log, &mut report, &damage)?;
                return Ok(report);
            }
            Err(error) => return Err(error),
        };
        if !accept(&mut report, &frames) {
            return Ok(report);
        }
    }
    if report.good != report.end {
        report.note(Some(report.end.position), "the last event is not the end of the log");
    }
    Ok(report)
}

/// Follows the chain through `frames`; `false` at the first bad one.
fn accept(report: &mut Report, frames: &[Frame]) -> bool {
    if frames.is_empty() {
        report.note(Some(report.good.position.next()), "the event is missing");
        return false;
    }
    for frame in frames {
        match follow(report.good, report.good.position.next(), frame) {
            Ok(head) => report.good = head,
            Err(Finding { position, found }) => {
                report.note(position, found);
                return false;
            }
        }
    }
    true
}

fn find_in_chunk(
    log: &mut dyn EventLog,
    report: &mut Report,
    damage: &Damage,
) -> Result<(), LogError> {
    for _ in 0..CHUNK {
        match log.read(report.good.position, 1) {
            Ok(frames) if accept(report, &frames) => {}
            Ok(_) => return Ok(()),
            Err(LogError::Damaged(single)) => {
                report.note(Some(report.good.position.next()), single.found);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    report.note(damage.position, damage.found.clone());
    Ok(())
}

/// How sled compares with the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copy {
    /// It has the same events, up to this one. What it lacks it gets when the log is opened next.
    Same(Position),
    /// It is damaged, or holds other events; it is made anew when the log is opened next.
    Differs(Problem),
    /// Another process has it open.
    InUse(String),
    /// The system refused to read or copy it: nothing is known.
    Unknown(String),
}

/// Compares sled with the journal up to `end`, event by event. sled writes when it is opened, so a
/// copy of its files is opened, in a temporary folder.
///
/// # Errors
/// What keeps the journal from being read, damage included.
pub fn compare_copies(store: &Store, options: &Options, end: Head) -> Result<Copy, LogError> {
    match compare_once(store, options, end)? {
        // sled takes a read that failed for damage. Damage is there the second time too.
        Copy::Differs(_) => compare_once(store, options, end),
        other => Ok(other),
    }
}

fn compare_once(store: &Store, options: &Options, end: Head) -> Result<Copy, LogError> {
    let once = Options { wait: Duration::ZERO, ..options.clone() };
    let lock = match once.locks(store).named(engine::LOCK) {
        Ok(lock) => Some(lock),
        Err(LogError::Busy(busy)) => return Ok(Copy::InUse(busy.to_string())),
        // A store that can only be read: nobody else writes to it either.
        Err(_) => None,
    };
    let differs = |position, found: String| Ok(Copy::Differs(Problem { position, found }));
    let unknown = |error: &dyn std::fmt::Display| {
        Ok(Copy::Unknown(format!("sled could not be copied: {error}")))
    };
    let copied = match tempfile::Builder::new().prefix("qtrail-").tempdir() {
        Ok(folder) => engine::copied(store, folder),
        Err(error) => return unknown(&error),
    };
    drop(lock);
    let copied = match copied {
        Ok(copied) => copied,
        Err(Trouble::Broken(found)) => return differs(None, found),
        Err(Trouble::Io(error)) => return unknown(&error),
    };
    let database = &copied.database;
    let mut reader = Reader::up_to(store, end);
    let mut good = Position(0);
    while good < end.position {
        let pairs = match database.read(good, CHUNK) {
            Ok(pairs) => pairs,
            Err(Trouble::Io(error)) => return unknown(&error),
            Err(trouble) => return differs(Some(good.next()), trouble.to_string()),
        };
        // Behind `end` is what was appended since.
        let pairs: Vec<_> = pairs.into_iter().filter(|(at, _)| *at <= end.position).collect();
        if pairs.is_empty() {
            break;
        }
        let there = match checked(good, pairs.len(), pairs) {
            Ok(frames) => frames,
            Err(Finding { position, found }) => return differs(position, found),
        };
        let here = reader.read_within(good, there.len())?;
        if let Some(at) = here.iter().zip(&there).position(|(here, there)| here != there) {
            let position = Position(good.0 + 1 + at as u64);
            return differs(Some(position), "sled has another event than the journal".to_owned());
        }
        good = Position(good.0 + there.len() as u64);
    }
    match database.strangers() {
        Ok(0) => Ok(Copy::Same(good)),
        Ok(count) => differs(None, format!("sled holds {count} other trees or separate values")),
        Err(Trouble::Io(error)) => unknown(&error),
        Err(trouble) => differs(None, trouble.to_string()),
    }
}

/// Checks that `pairs` are exactly the `wanted` frames after `after`, each with a valid checksum.
pub(super) fn checked(
    after: Position,
    wanted: usize,
    pairs: Vec<(Position, Frame)>,
) -> Result<Vec<Frame>, Finding> {
    let mut next = after;
    let mut frames = Vec::with_capacity(pairs.len());
    for (position, frame) in pairs {
        next = next.next();
        if position != next {
            let found = format!("the event is missing; the next one is {position}");
            return Err(Finding { position: Some(next), found });
        }
        if let Err(error) = view(position, &frame.0) {
            return Err(Finding { position: Some(position), found: error.to_string() });
        }
        frames.push(frame);
    }
    if frames.len() < wanted {
        let found = "the event is missing, and all behind it".to_owned();
        return Err(Finding { position: Some(next.next()), found });
    }
    Ok(frames)
}

/// A finding in a log whose files are not known here.
fn damage(finding: &Finding) -> LogError {
    let Finding { position, found } = finding.clone();
    Damage { position, found, original: None }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::MemoryLog;
    use crate::log::memory::tests::{batch, filled};

    #[test]
    fn a_whole_log_is_good() {
        for events in [0, 1, 999, 1000, 1001, 2500] {
            let mut log = filled(events);
            let report = verify(&mut log).unwrap();
            assert!(report.is_good(), "{report:?}");
            assert_eq!((report.good, report.end.position.0), (report.end, events));
        }
    }

    #[test]
    fn the_first_bad_event_is_named() {
        for at in [1, 2, 999, 1000, 1001, 1500] {
            let mut log = filled(1500);
            log.frames_mut()[at - 1].0[12] ^= 1;
            let report = verify(&mut log).unwrap();
            assert_eq!(report.problems[0].position, Some(Position(at as u64)));
            assert_eq!(report.good.position, Position(at as u64 - 1));
        }
    }

    #[test]
    fn a_missing_and_an_exchanged_event_are_named() {
        let mut log = filled(10);
        log.frames_mut().remove(4);
        assert_eq!(verify(&mut log).unwrap().problems[0].position, Some(Position(5)));
        let mut log = filled(10);
        log.frames_mut().pop();
        assert_eq!(verify(&mut log).unwrap().problems[0].position, Some(Position(10)));
        // Valid by itself, but from another history.
        let (frames, _) = batch(Head { position: Position(6), ..Head::default() }, 1);
        let mut log = filled(10);
        log.frames_mut()[6] = frames[0].clone();
        let report = verify(&mut log).unwrap();
        assert_eq!(report.problems[0].position, Some(Position(7)));
    }

    #[test]
    fn reading_on_follows_the_chain_in_chunks() {
        let mut log = filled(25);
        let (mut head, mut count) = (Head::default(), 0);
        loop {
            let (frames, next) = read_on(&mut log, head, 10).unwrap();
            if frames.is_empty() {
                break;
            }
            count += frames.len();
            head = next;
        }
        assert_eq!((count, head), (25, log.head().unwrap()));
        let mut empty = MemoryLog::default();
        let (frames, head) = read_on(&mut empty, Head::default(), 10).unwrap();
        assert_eq!((frames.len(), head), (0, Head::default()));
    }
}
