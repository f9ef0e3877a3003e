//! The log in a store: what was appended is read, by whom and after what ever.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod log_common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log_common::{batch, copy_folder, fill, head_at};
use proptest::prelude::*;
use qtrail::events::frame::{Head, Position};
use qtrail::log::head::{State, read};
use qtrail::log::verify::verify_store;
use qtrail::log::{
    BATCH_MAX, Damage, EventLog, Kind, LogError, MemoryLog, Options, SledLog, Store, read_on,
};

fn store(folder: &Path) -> Store {
    Store::open_or_create(&folder.join("store")).unwrap()
}

fn open(store: &Store) -> Result<SledLog, LogError> {
    let options = Options { wait: Duration::from_millis(500), ..Options::default() };
    SledLog::open(store.clone(), options)
}

fn state(store: &Store) -> State {
    read(&store.head_path()).unwrap().record.state
}

#[test]
fn what_is_appended_is_read_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut log = open(&store).unwrap();
    assert_eq!(log.head().unwrap(), Head::default());
    let (frames, head) = batch(Head::default(), BATCH_MAX);
    assert_eq!(log.append(Head::default(), &frames).unwrap(), head);
    assert_eq!(store.read_head().unwrap().record.head, head, "acknowledged at once");
    assert!(matches!(state(&store), State::Open { pid } if pid == std::process::id()));
    log.close().unwrap();
    assert_eq!(state(&store), State::Closed);

    let mut log = open(&store).unwrap();
    assert_eq!(log.head().unwrap(), head);
    assert_eq!(log.read(Position(0), 1000).unwrap(), frames);
    assert_eq!(log.read(Position(98), 1000).unwrap(), frames[98..]);
    assert_eq!(log.read(Position(40), 2).unwrap(), frames[40..42]);
    assert_eq!(log.read(Position(100), 10).unwrap(), []);
    assert_eq!(log.read(Position(u64::MAX - 1), 10).unwrap(), []);
    assert!(!store.aside_folder().exists(), "a clean end needs no copy");
}

#[test]
fn a_log_given_up_is_entered_again_by_whatever_needs_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let (mut first, mut second) =
        (open(&store).unwrap(), SledLog::outside(store.clone(), Options::default()));
    let head = fill(&mut first, 5, 5);
    assert!(!first.yield_if_wanted().unwrap(), "nobody waits");
    first.release().unwrap();
    assert!(!first.is_inside());
    let (frames, later) = batch(head, 1);
    second.append(head, &frames).unwrap();
    second.release().unwrap();
    let error = first.append(head, &frames).unwrap_err();
    assert!(matches!(error, LogError::Conflict { actual } if actual == later), "{error}");
    let (read, now) = read_on(&mut first, head, 10).unwrap();
    assert_eq!((read, now), (frames, later));
    fill(&mut first, 1, 1);
}

#[test]
fn a_second_log_is_busy_with_the_holders_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let options = Options { command: "qtrail search".to_owned(), ..Options::default() };
    let _first = SledLog::open(store.clone(), options).unwrap();
    let error = open(&store).unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    let text = error.to_string();
    let pid = std::process::id();
    assert!(text.starts_with(&format!("log is held by process {pid} (qtrail search)")), "{text}");
}

#[test]
fn an_unsynced_batch_is_visible_here_and_acknowledged_with_the_tenth() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut log = open(&store).unwrap();
    let mut head = Head::default();
    for count in 1..=10 {
        let (frames, next) = batch(head, 3);
        head = log.append_unsynced(head, &frames).unwrap();
        assert_eq!((head, log.head().unwrap()), (next, next));
        let acknowledged = store.read_head().unwrap().record.head.position.0;
        assert_eq!(acknowledged, if count == 10 { 30 } else { 0 });
    }
    let (frames, next) = batch(head, 3);
    log.append_unsynced(head, &frames).unwrap();
    log.release().unwrap();
    assert_eq!(store.read_head().unwrap().record.head, next, "giving up syncs");
}

#[test]
fn many_events_are_sealed_on_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut log = open(&store).unwrap();
    let snapshots = || {
        let names = fs::read_dir(store.sled_folder()).unwrap().map(|e| e.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("snap")).collect::<Vec<_>>()
    };
    fill(&mut log, 10_000, 100);
    let before = snapshots();
    fill(&mut log, 100, 100);
    assert_ne!(before, snapshots(), "sealing writes a snapshot");
    let report = verify_store(&mut log).unwrap();
    assert!(report.is_good(), "{report:?}");
    assert_eq!(report.good, head_at(10_100));
    log.close().unwrap();
}

/// A store whose process "died": the log is neither closed nor dropped. The files are a copy, so
/// that what this process still holds is out of the way.
fn after_a_crash(folder: &Path, events: usize) -> Store {
    let made = folder.join("made");
    let store = Store::open_or_create(&made).unwrap();
    let mut log = open(&store).unwrap();
    fill(&mut log, events, 10);
    std::mem::forget(log);
    let crashed = folder.join("crashed");
    copy_folder(&made, &crashed);
    Store::open(&crashed).unwrap()
}

#[test]
fn after_a_crash_a_copy_is_opened_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = after_a_crash(folder.path(), 50);
    let log = open(&store).unwrap();
    assert!(store.aside_folder().join("copy-1/db").is_file());
    log.close().unwrap();
    open(&store).unwrap().close().unwrap();
    assert!(!store.aside_folder().join("copy-2").exists());
}

#[test]
fn written_but_never_acknowledged_events_are_taken_and_made_durable() {
    let folder = tempfile::tempdir().unwrap();
    let store = after_a_crash(folder.path(), 50);
    let older = folder.path().join("older");
    fs::create_dir(&older).unwrap();
    let acknowledged_less = after_a_crash(&older, 40);
    fs::copy(acknowledged_less.head_path(), store.head_path()).unwrap();
    let mut log = open(&store).unwrap();
    assert_eq!(log.head().unwrap(), head_at(50));
    assert_eq!(store.read_head().unwrap().record.head, head_at(50));
    drop(log);
    assert_eq!(state(&store), State::Closed, "dropping closes as well as it can");
}

#[test]
fn an_unfinished_snapshot_does_not_keep_a_log_from_opening() {
    let folder = tempfile::tempdir().unwrap();
    let closed = store(folder.path());
    let mut log = open(&closed).unwrap();
    fill(&mut log, 50, 10);
    log.close().unwrap();
    let crashed = folder.path().join("x");
    fs::create_dir(&crashed).unwrap();
    for store in [closed, after_a_crash(&crashed, 50)] {
        let leftover = store.sled_folder().join("snap.FFFFFFFFFFFF.generating");
        fs::write(&leftover, "half a snapshot").unwrap();
        let mut log = open(&store).unwrap();
        assert_eq!(log.head().unwrap(), head_at(50));
        assert!(!leftover.exists());
    }
}

fn damage(result: Result<SledLog, LogError>) -> Damage {
    match result {
        Err(LogError::Damaged(damage)) => *damage,
        other => panic!("no damage reported: {other:?}"),
    }
}

/// Every file below a folder, with its bytes.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    files.sort_unstable();
    files
}

#[test]
fn a_missing_end_is_reported_and_the_original_stays_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let store = after_a_crash(folder.path(), 50);
    let older = folder.path().join("older");
    fs::create_dir(&older).unwrap();
    let longer = after_a_crash(&older, 60);
    fs::copy(longer.head_path(), store.head_path()).unwrap();
    let before = contents(&store.sled_folder());
    for copy in ["copy-1", "copy-2", "copy-3"] {
        let damage = damage(open(&store));
        assert_eq!(damage.position, Some(Position(51)));
        assert!(damage.found.starts_with("10 acknowledged events are missing"), "{damage}");
        assert_eq!((damage.original, damage.untouched), (Some(store.sled_folder()), true));
        assert_eq!(damage.copy, Some(store.aside_folder().join(copy)));
        assert_eq!(before, contents(&store.sled_folder()));
    }
    assert_eq!(fs::read_dir(store.aside_folder()).unwrap().count(), 2);
}

#[test]
fn a_head_of_another_history_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let store = after_a_crash(folder.path(), 50);
    let other = folder.path().join("other");
    let other = Store::open_or_create(&other).unwrap();
    let mut log = open(&other).unwrap();
    let payload = qtrail::events::frame::Payload { kind: 2, version: 1, bytes: vec![1] };
    let (frame, head) = qtrail::events::frame::seal(Head::default(), &payload).unwrap();
    log.append(Head::default(), &[frame]).unwrap();
    assert_eq!(head.position, Position(1));
    std::mem::forget(log);
    fs::copy(other.head_path(), store.head_path()).unwrap();
    assert_eq!(damage(open(&store)).position, Some(Position(1)));
}

#[test]
fn a_probing_program_that_dies_leaves_the_original_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let store = after_a_crash(folder.path(), 50);
    let before = contents(&store.sled_folder());
    let options = Options { probe: Some("/bin/false".into()), ..Options::default() };
    let damage = damage(SledLog::open(store.clone(), options));
    assert!(damage.untouched && damage.copy.is_some(), "{damage}");
    assert_eq!(before, contents(&store.sled_folder()));
}

#[test]
fn missing_files_are_reported_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    for (number, name) in ["sled/db", "sled/conf", "HEAD", "sled"].iter().enumerate() {
        let store = Store::open_or_create(&folder.path().join(number.to_string())).unwrap();
        let path = store.root().join(name);
        fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path)).unwrap();
        for _ in 0..2 {
            damage(open(&store));
        }
        assert!(!path.exists(), "{name} was replaced");
    }
}

#[derive(Debug, Clone)]
enum Call {
    Append(usize),
    AppendStale(usize),
    Unsynced(usize),
    Read(u64, usize),
    Release,
    Seal,
    Reopen,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (0..=BATCH_MAX + 1).prop_map(Call::Append),
        1 => (1..=3_usize).prop_map(Call::AppendStale),
        2 => (1..=20_usize).prop_map(Call::Unsynced),
        2 => (0..400_u64, 0..200_usize).prop_map(|(after, max)| Call::Read(after, max)),
        1 => Just(Call::Release),
        1 => Just(Call::Seal),
        1 => Just(Call::Reopen),
    ]
}

/// What a caller can see of an outcome.
fn seen<T: std::fmt::Debug>(result: &Result<T, LogError>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?}: {error}", error.kind()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_twin_in_memory_behaves_the_same(calls in prop::collection::vec(call(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let (mut log, mut twin) = (open(&store).unwrap(), MemoryLog::default());
        for call in calls {
            let head = twin.head().unwrap();
            prop_assert_eq!(log.head().unwrap(), head);
            match call {
                Call::Append(count) => {
                    let (frames, _) = batch(head, count);
                    let (here, there) = (log.append(head, &frames), twin.append(head, &frames));
                    prop_assert_eq!(seen(&here), seen(&there));
                }
                Call::AppendStale(count) => {
                    let (frames, _) = batch(Head::default(), count);
                    let here = log.append(Head::default(), &frames);
                    let there = twin.append(Head::default(), &frames);
                    prop_assert_eq!(seen(&here), seen(&there));
                }
                Call::Unsynced(count) => {
                    let (frames, _) = batch(head, count);
                    let here = log.append_unsynced(head, &frames);
                    prop_assert_eq!(seen(&here), seen(&twin.append(head, &frames)));
                }
                Call::Read(after, max) => {
                    let (here, there) =
                        (log.read(Position(after), max), twin.read(Position(after), max));
                    prop_assert_eq!(seen(&here), seen(&there));
                }
                Call::Release => log.release().unwrap(),
                Call::Seal => log.seal().unwrap(),
                Call::Reopen => {
                    log.close().unwrap();
                    log = open(&store).unwrap();
                }
            }
        }
        prop_assert!(verify_store(&mut log).unwrap().is_good());
    }
}
