//! Flipped bits and cut files: each is either harmless (every event is there, unchanged, and both
//! copies are whole afterwards) or reported. None is silent.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells"
)]

mod log_common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log_common::{Dice, copy_folder, fill, head_at, verified};
use qtrail::log::{EventLog as _, Kind, LocalLog, LogError, Options, Store};

const EVENTS: u64 = 2_000;
const JOURNAL: &str = "journal/00000000000000000001";

fn open(store: Store) -> Result<LocalLog, LogError> {
    LocalLog::open(store, Options { wait: Duration::from_secs(5), ..Options::default() })
}

/// How the last process left the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Killed,
}

/// A store with `EVENTS` events, left in this way.
fn template(folder: &Path, end: End) -> PathBuf {
    let made = folder.join(format!("made-{end:?}"));
    let mut log = open(Store::open_or_create(&made).unwrap()).unwrap();
    assert_eq!(fill(&mut log, usize::try_from(EVENTS).unwrap(), 10), head_at(EVENTS));
    match end {
        End::Closed => log.close().unwrap(),
        End::Killed => std::mem::forget(log),
    }
    let copy = folder.join(format!("template-{end:?}"));
    copy_folder(&made, &copy);
    copy
}

/// What a user who opens and verifies a damaged store gets to know.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Every event is there, and nothing had to be said.
    Harmless,
    /// Every event is there, restored from the other copy, which is told.
    Repaired,
    RefusedAtOpening,
    /// Never to be seen.
    Silent,
}

fn outcome(root: &Path) -> Outcome {
    let opened = Store::open(root).and_then(|store| {
        let mut log = open(store)?;
        let end = log.head()?;
        let repairs = log.take_repairs();
        log.close()?;
        Ok((end, repairs))
    });
    let (end, repairs) = match opened {
        Err(error) => {
            assert_eq!(error.kind(), Kind::Damaged, "{error}");
            return Outcome::RefusedAtOpening;
        }
        Ok(opened) => opened,
    };
    let store = Store::open(root).unwrap();
    let after = verified(&store);
    if end != head_at(EVENTS) || repairs.iter().any(|repair| repair.lost > 0) {
        return Outcome::Silent;
    }
    match after.unwrap() {
        Ok(verified) if verified != end => Outcome::Silent,
        Ok(_) if repairs.is_empty() => Outcome::Harmless,
        Ok(_) => Outcome::Repaired,
        // Damage in the middle is found by verifying, and repaired then.
        Err(_) => {
            let plan = qtrail::log::repair::repair(&store, &Options::default(), true).unwrap();
            assert_eq!((plan.end, plan.lost()), (end, 0));
            open(store.clone()).unwrap().close().unwrap();
            assert_eq!(verified(&store).unwrap(), Ok(end));
            Outcome::Repaired
        }
    }
}

/// Damages fresh copies of a store, one after the other, and counts what becomes of them.
fn count(
    (template, end): (&Path, End),
    file: &str,
    times: u64,
    mut harm: impl FnMut(&mut Vec<u8>, u64),
) -> BTreeMap<Outcome, u32> {
    let folder = tempfile::tempdir().unwrap();
    let mut outcomes = BTreeMap::new();
    for turn in 0..times {
        let root = folder.path().join(turn.to_string());
        copy_folder(template, &root);
        let path = root.join(file);
        let mut bytes = fs::read(&path).unwrap();
        harm(&mut bytes, turn);
        fs::write(&path, bytes).unwrap();
        let outcome = outcome(&root);
        assert_ne!(outcome, Outcome::Silent, "{file}, turn {turn}");
        // One damaged file is never the end of both copies, once both were durable.
        let only_copy = file == "STORE" || (file == JOURNAL && end == End::Killed);
        assert!(only_copy || outcome != Outcome::RefusedAtOpening, "{file}, turn {turn}");
        *outcomes.entry(outcome).or_default() += 1;
        fs::remove_dir_all(&root).unwrap();
    }
    outcomes
}

/// Flips one bit of a byte that is not zero: most zeros are the unused end of a segment.
fn flip(bytes: &mut [u8], dice: &mut Dice) {
    let length = bytes.len() as u64;
    loop {
        let at = usize::try_from(dice.below(length)).unwrap();
        if bytes[at] != 0 {
            bytes[at] ^= 1 << dice.below(8);
            return;
        }
    }
}

fn files(template: &Path) -> Vec<String> {
    let sled = fs::read_dir(template.join("sled")).unwrap().map(|entry| entry.unwrap());
    let sled = sled.filter(|entry| entry.file_type().unwrap().is_file());
    let mut names: Vec<_> =
        sled.map(|entry| format!("sled/{}", entry.file_name().to_string_lossy())).collect();
    names.extend([JOURNAL.to_owned(), "HEAD".to_owned(), "STORE".to_owned()]);
    names
}

fn flips_are_never_silent(end: End) {
    let folder = tempfile::tempdir().unwrap();
    let template = template(folder.path(), end);
    assert_eq!(
        count((&template, end), "STORE", 1, |_, _| {}).keys().collect::<Vec<_>>(),
        [&Outcome::Harmless]
    );
    let mut dice = Dice(1);
    for file in files(&template) {
        let times = if file == "sled/db" || file == JOURNAL { 60 } else { 12 };
        let outcomes = count((&template, end), &file, times, |bytes, _| flip(bytes, &mut dice));
        println!("{end:?}, {file}: {outcomes:?}");
    }
}

#[test]
fn flips_in_a_closed_log_are_never_silent() {
    flips_are_never_silent(End::Closed);
}

#[test]
fn flips_in_a_log_whose_process_was_killed_are_never_silent() {
    flips_are_never_silent(End::Killed);
}

#[test]
fn cuts_are_never_silent() {
    let folder = tempfile::tempdir().unwrap();
    for end in [End::Closed, End::Killed] {
        let template = template(folder.path(), end);
        let mut dice = Dice(2);
        for file in files(&template) {
            let times = if file == "sled/db" || file == JOURNAL { 40 } else { 8 };
            let outcomes = count((&template, end), &file, times, |bytes, turn| {
                let length = if turn == 0 { 0 } else { dice.below(bytes.len() as u64) };
                bytes.truncate(usize::try_from(length).unwrap());
            });
            println!("{end:?}, {file}: {outcomes:?}");
        }
    }
}
