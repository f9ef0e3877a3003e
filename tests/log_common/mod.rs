//! What the tests of the log share: events whose bytes follow from their position, so that any
//! log made of them can be checked without remembering what was written.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::path::Path;

use qtrail::events::frame::{Frame, Head, Payload, seal};
use qtrail::log::verify::{Copy, compare_copies, verify};
use qtrail::log::{EventLog, LocalLog, LogError, Options, Reader, Store};

/// The event at the position after `head`.
pub(crate) fn event(head: Head) -> (Frame, Head) {
    let position = head.position.next().0;
    let length = 20 + usize::try_from(position * 37 % 150).unwrap();
    let bytes = (0..length).map(|i| (i as u64 ^ position).to_le_bytes()[0]).collect();
    seal(head, &Payload { kind: 1, version: 1, bytes }).unwrap()
}

/// `count` events after `head`, and the head after them.
pub(crate) fn batch(head: Head, count: usize) -> (Vec<Frame>, Head) {
    let mut head = head;
    let mut frames = Vec::with_capacity(count);
    for _ in 0..count {
        let (frame, next) = event(head);
        frames.push(frame);
        head = next;
    }
    (frames, head)
}

/// The head of a log of `count` such events.
pub(crate) fn head_at(count: u64) -> Head {
    (0..count).fold(Head::default(), |head, _| event(head).1)
}

/// Appends `count` events in batches of `size`; the log is at `head_at(n)` before.
pub(crate) fn fill(log: &mut LocalLog, count: usize, size: usize) -> Head {
    let mut head = log.head().unwrap();
    let mut left = count;
    while left > 0 {
        let (frames, next) = batch(head, size.min(left));
        assert_eq!(log.append_relaxed(head, &frames).unwrap(), next);
        left -= frames.len();
        head = next;
    }
    log.sync().unwrap();
    head
}

/// Checks both copies of the events, event by event; returns the end, or what is wrong.
pub(crate) fn verified(store: &Store) -> Result<Result<Head, String>, LogError> {
    let report = verify(&mut Reader::open(store)?)?;
    if let Some(problem) = report.problems.first() {
        return Ok(Err(format!("journal: {problem:?}")));
    }
    match compare_copies(store, &Options::default(), report.end)? {
        Copy::Same(_) => Ok(Ok(report.end)),
        other => Ok(Err(format!("sled: {other:?}"))),
    }
}

/// Copies a folder with all in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Small and repeatable: tests are to fail the same way twice.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}
