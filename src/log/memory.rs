//! [`MemoryLog`]: the in-memory twin, with faults to inject.
//!
//! It keeps every rule of the real one (batch limits, conflicts, poisoning), so that what is
//! tested with it holds there too; a property test drives both with the same calls.

use std::path::PathBuf;

use super::{EventLog, LogError, check_batch};
use crate::events::frame::{Frame, Head, Position};

/// A fault to happen at an append. All of them poison the log, as in the real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written; out of space.
    Full,
    /// Nothing is written; the system says no.
    Refused,
    /// The batch is written, but the caller is told it failed: a crash after the write, before
    /// the acknowledgement.
    Unacknowledged,
}

/// A log in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryLog {
    frames: Vec<Frame>,
    end: Head,
    /// Appends so far, failed ones included.
    appends: u64,
    faults: Vec<(u64, Fault)>,
    stop_after: Option<u64>,
    poisoned: bool,
}

impl MemoryLog {
    /// Lets the `nth` append from now (1: the next one) meet a fault. May be called repeatedly.
    #[must_use]
    pub fn with_fault(mut self, nth: u64, fault: Fault) -> Self {
        self.faults.push((self.appends + nth, fault));
        self
    }

    /// Refuses any batch that would make the log longer than `events`: a process killed there.
    #[must_use]
    pub const fn stopping_after(mut self, events: u64) -> Self {
        self.stop_after = Some(events);
        self
    }

    /// The same events in a log without faults: what the next process finds.
    #[must_use]
    pub fn reopened(self) -> Self {
        Self { frames: self.frames, end: self.end, ..Self::default() }
    }

    /// The events, to be damaged by a test.
    pub const fn frames_mut(&mut self) -> &mut Vec<Frame> {
        &mut self.frames
    }

    fn fault(&self, frames: usize) -> Option<Fault> {
        let fault = self.faults.iter().find(|(at, _)| *at == self.appends).map(|(_, fault)| *fault);
        let room = self.stop_after.is_none_or(|most| self.end.position.0 + frames as u64 <= most);
        fault.or(if room { None } else { Some(Fault::Refused) })
    }

    fn usable(&self) -> Result<(), LogError> {
        if self.poisoned { Err(LogError::Poisoned) } else { Ok(()) }
    }
}

impl EventLog for MemoryLog {
    fn head(&mut self) -> Result<Head, LogError> {
        self.usable()?;
        Ok(self.end)
    }

    fn read(&mut self, after: Position, max: usize) -> Result<Vec<Frame>, LogError> {
        self.usable()?;
        let after = usize::try_from(after.0).unwrap_or(usize::MAX);
        Ok(self.frames.iter().skip(after).take(max).cloned().collect())
    }

    fn append(&mut self, expected: Head, frames: &[Frame]) -> Result<Head, LogError> {
        let end = check_batch(expected, frames)?;
        self.usable()?;
        if expected != self.end {
            return Err(LogError::Conflict { actual: self.end });
        }
        self.appends += 1;
        let fault = self.fault(frames.len());
        if fault.is_none_or(|fault| fault == Fault::Unacknowledged) {
            self.frames.extend_from_slice(frames);
            self.end = end;
        }
        self.poisoned = fault.is_some();
        fault.map_or(Ok(end), |fault| Err(injected(fault)))
    }
}

fn injected(fault: Fault) -> LogError {
    let (action, path) = ("append to", PathBuf::from("the log in memory"));
    let source = std::io::Error::other("injected by a test");
    match fault {
        Fault::Full => LogError::NoSpace { action, path, source },
        Fault::Refused | Fault::Unacknowledged => LogError::Io { action, path, source },
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::events::frame::{Payload, seal};
    use crate::log::{BATCH_MAX, Kind};

    /// `count` frames that follow `head`, and the head after them.
    pub(in crate::log) fn batch(head: Head, count: usize) -> (Vec<Frame>, Head) {
        let mut head = head;
        let frames = (0..count).map(|_| {
            let bytes = format!("event {}", head.position.next()).into_bytes();
            let (frame, next) = seal(head, &Payload { kind: 1, version: 1, bytes }).unwrap();
            head = next;
            frame
        });
        (frames.collect(), head)
    }

    /// A log with `count` events.
    pub(in crate::log) fn filled(count: u64) -> MemoryLog {
        let mut log = MemoryLog::default();
        let mut head = Head::default();
        while head.position.0 < count {
            let size = (count - head.position.0).min(BATCH_MAX as u64);
            let (frames, next) = batch(head, usize::try_from(size).unwrap());
            assert_eq!(log.append(head, &frames).unwrap(), next);
            head = next;
        }
        log
    }

    #[test]
    fn batches_are_checked_before_anything_is_written() {
        let mut log = filled(3);
        let head = log.head().unwrap();
        assert_eq!(log.append(head, &[]).unwrap_err().kind(), Kind::Bug);
        let (many, _) = batch(head, BATCH_MAX + 1);
        assert_eq!(log.append(head, &many).unwrap_err().kind(), Kind::Bug);
        let (foreign, _) = batch(Head::default(), 1);
        assert!(matches!(log.append(head, &foreign), Err(LogError::Frame { .. })));
        let error = log.append(Head::default(), &foreign).unwrap_err();
        assert!(matches!(error, LogError::Conflict { actual } if actual == head));
        assert_eq!(log.head().unwrap(), head, "none of these poisons");
    }

    #[test]
    fn a_fault_poisons_until_reopening() {
        for (fault, kind, left) in [
            (Fault::Full, Kind::NoSpace, 0),
            (Fault::Refused, Kind::Io, 0),
            (Fault::Unacknowledged, Kind::Io, 4),
        ] {
            let mut log = MemoryLog::default().with_fault(1, fault);
            let (frames, _) = batch(Head::default(), 4);
            assert_eq!(log.append(Head::default(), &frames).unwrap_err().kind(), kind);
            assert!(matches!(log.head(), Err(LogError::Poisoned)));
            assert_eq!(log.reopened().head().unwrap().position, Position(left));
        }
    }

    #[test]
    fn a_batch_over_the_stop_is_absent_as_a_whole() {
        let mut log = filled(5).stopping_after(7);
        let head = log.head().unwrap();
        let (frames, _) = batch(head, 3);
        log.append(head, &frames).unwrap_err();
        let mut log = log.reopened().stopping_after(7);
        let (frames, next) = batch(head, 2);
        assert_eq!(log.append(head, &frames).unwrap(), next);
    }
}
