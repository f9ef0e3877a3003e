//! The log in a store: what was appended is read, by whom and after what ever; and one copy of the
//! events is put right from the other.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test fails by panicking")]

mod log_common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log_common::{batch, copy_folder, fill, head_at, verified};
use proptest::prelude::*;
use qtrail::events::frame::{Head, Position};
use qtrail::log::head::{State, read};
use qtrail::log::repair::repair;
use qtrail::log::{
    BATCH_MAX, Damage, EventLog, Kind, LocalLog, LogError, MemoryLog, Options, Reader, Store,
    read_on,
};

fn store(folder: &Path) -> Store {
    Store::open_or_create(&folder.join("store")).unwrap()
}

fn options() -> Options {
    Options { wait: Duration::from_millis(500), ..Options::default() }
}

fn open(store: &Store) -> Result<LocalLog, LogError> {
    LocalLog::open(store.clone(), options())
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

    let reads = |log: &mut dyn EventLog| {
        assert_eq!(log.head().unwrap(), head);
        assert_eq!(log.read(Position(0), 1000).unwrap(), frames);
        assert_eq!(log.read(Position(98), 1000).unwrap(), frames[98..]);
        assert_eq!(log.read(Position(40), 2).unwrap(), frames[40..42]);
        assert_eq!(log.read(Position(100), 10).unwrap(), []);
        assert_eq!(log.read(Position(u64::MAX - 1), 10).unwrap(), []);
    };
    let mut first = open(&store).unwrap();
    reads(&mut first);
    // The second one has no sled, and reads the journal.
    reads(&mut open(&store).unwrap());
    reads(&mut Reader::open(&store).unwrap());
    assert_eq!(
        verified(&{
            drop(first);
            store.clone()
        })
        .unwrap(),
        Ok(head)
    );
    assert!(!store.aside_folder().exists(), "nothing was repaired");
}

#[test]
fn several_have_the_log_open_and_append_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let (mut first, mut second) = (open(&store).unwrap(), open(&store).unwrap());
    let head = fill(&mut first, 5, 5);
    let (frames, later) = batch(head, 1);
    second.append(head, &frames).unwrap();
    let error = first.append(head, &frames).unwrap_err();
    assert!(matches!(error, LogError::Conflict { actual } if actual == later), "{error}");
    let (read, now) = read_on(&mut first, head, 10).unwrap();
    assert_eq!((read, now), (frames, later));
    let mut head = fill(&mut first, 1, 1);
    // Over several segments, the one that has sled closing in between.
    for turn in 0..60 {
        let log = if turn % 2 == 0 { &mut first } else { &mut second };
        head = fill(log, 1_000, 100);
        if turn == 30 {
            first.close().unwrap();
            first = open(&store).unwrap();
        }
    }
    assert!(fs::read_dir(store.journal_folder()).unwrap().count() > 1);
    first.close().unwrap();
    assert_eq!(verified(&store).unwrap(), Ok(head), "closing brings both copies to the end");
    second.close().unwrap();
    assert_eq!(verified(&store).unwrap(), Ok(head));
    assert_eq!(head, head_at(60_007));
}

#[test]
fn relaxed_batches_are_read_here_and_acknowledged_with_the_tenth() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut log = open(&store).unwrap();
    let mut head = Head::default();
    for count in 1..=10 {
        let (frames, next) = batch(head, 3);
        head = log.append_relaxed(head, &frames).unwrap();
        assert_eq!((head, log.head().unwrap()), (next, next));
        let acknowledged = store.read_head().unwrap().record.head.position.0;
        assert_eq!(acknowledged, if count == 10 { 30 } else { 0 });
    }
    let (frames, next) = batch(head, 3);
    log.append_relaxed(head, &frames).unwrap();
    assert!(matches!(open(&store), Err(LogError::Busy(_))), "the lock is held meanwhile");
    assert_eq!(log.read(Position(30), 10).unwrap(), frames);
    assert_eq!(store.read_head().unwrap().record.head, next, "reading makes it durable");
    log.append_relaxed(next, &batch(next, 3).0).unwrap();
    log.close().unwrap();
    assert_eq!(store.read_head().unwrap().record.head.position.0, 36, "closing too");
}

/// A store whose process "died": the log is neither closed nor dropped. The files are a copy, so
/// that what this process still holds is out of the way.
fn after_a_crash(folder: &Path, events: usize) -> Store {
    let made = folder.join("made");
    let store = Store::open_or_create(&made).unwrap();
    let mut log = open(&store).unwrap();
    for _ in 0..events / 10 {
        let head = log.head().unwrap();
        log.append(head, &batch(head, 10).0).unwrap();
    }
    std::mem::forget(log);
    let crashed = folder.join("crashed");
    copy_folder(&made, &crashed);
    Store::open(&crashed).unwrap()
}

fn segment(store: &Store) -> PathBuf {
    store.journal_folder().join(format!("{:020}", 1))
}

/// Cuts the last `bytes` off a file.
fn cut(path: &Path, bytes: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
}

/// Flips a bit of a byte of a file.
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

#[test]
fn written_but_never_acknowledged_events_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let store = after_a_crash(folder.path(), 50);
    let older = folder.path().join("older");
    fs::create_dir(&older).unwrap();
    let acknowledged_less = after_a_crash(&older, 40);
    fs::copy(acknowledged_less.head_path(), store.head_path()).unwrap();
    let mut reader = Reader::open(&store).unwrap();
    assert_eq!(reader.head().unwrap(), head_at(40), "a reader sees what was acknowledged");
    let mut log = open(&store).unwrap();
    assert_eq!(log.head().unwrap(), head_at(50));
    assert_eq!(reader.head().unwrap(), head_at(50));
    drop(log);
    assert_eq!(state(&store), State::Closed, "dropping closes as well as it can");
    assert_eq!(verified(&store).unwrap(), Ok(head_at(50)));
}

#[test]
fn a_write_cut_short_is_cut_off() {
    for cut_off in [1, 30, 200] {
        let folder = tempfile::tempdir().unwrap();
        let store = after_a_crash(folder.path(), 50);
        // Nothing else knows of the last batch.
        let older = folder.path().join("older");
        fs::create_dir(&older).unwrap();
        let less = after_a_crash(&older, 40);
        fs::copy(less.head_path(), store.head_path()).unwrap();
        fs::remove_dir_all(store.sled_folder()).unwrap();
        copy_folder(&less.sled_folder(), &store.sled_folder());
        cut(&segment(&store), cut_off);
        let mut log = open(&store).unwrap();
        assert_eq!(log.head().unwrap(), head_at(40));
        assert_eq!(log.take_repairs(), []);
        assert_eq!(fill(&mut log, 20, 10), head_at(60));
        log.close().unwrap();
        assert_eq!(verified(&store).unwrap(), Ok(head_at(60)));
    }
}

#[test]
fn an_unfinished_snapshot_does_not_keep_a_log_from_opening() {
    let folder = tempfile::tempdir().unwrap();
    let store = after_a_crash(folder.path(), 50);
    let leftover = store.sled_folder().join("snap.FFFFFFFFFFFF.generating");
    fs::write(&leftover, "half a snapshot").unwrap();
    let mut log = open(&store).unwrap();
    assert_eq!((log.head().unwrap(), log.take_repairs()), (head_at(50), vec![]));
    assert!(!leftover.exists());
}

fn damage(result: Result<LocalLog, LogError>) -> Damage {
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

/// Opening it for reading would wait for ever.
fn pipe(path: &Path) {
    let _ = fs::remove_file(path);
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn what_one_copy_lacks_comes_back_from_the_other() {
    type Harm = (&'static str, fn(&Store));
    let harms: [Harm; 12] = [
        ("sled is missing", |store| fs::remove_dir_all(store.sled_folder()).unwrap()),
        ("its data file is missing", |store| {
            fs::remove_file(store.sled_folder().join("db")).unwrap();
        }),
        ("its settings are missing", |store| {
            fs::remove_file(store.sled_folder().join("conf")).unwrap();
        }),
        ("its data file is a pipe", |store| pipe(&store.sled_folder().join("db"))),
        ("a snapshot is a pipe", |store| pipe(&store.sled_folder().join("snap.FF"))),
        ("its data file is empty", |store| fs::write(store.sled_folder().join("db"), "").unwrap()),
        ("a bit of the journal", |store| flip(&segment(store), 1_000)),
        ("the header of a segment", |store| flip(&segment(store), 40)),
        ("the end of the journal", |store| cut(&segment(store), 700)),
        ("a segment is missing", |store| fs::remove_file(segment(store)).unwrap()),
        ("the journal is missing", |store| fs::remove_dir_all(store.journal_folder()).unwrap()),
        ("HEAD is missing", |store| fs::remove_file(store.head_path()).unwrap()),
    ];
    for (what, harm) in harms {
        for closed in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let store = after_a_crash(folder.path(), 50);
            if closed {
                open(&store).unwrap().close().unwrap();
            }
            let mut log = open(&store).unwrap();
            fill(&mut log, 50, 10);
            log.close().unwrap();
            harm(&store);
            let mut log = open(&store).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(log.head().unwrap(), head_at(100), "{what}");
            let repairs = log.take_repairs();
            assert!(!repairs.is_empty(), "{what}: it is told");
            let lost: u64 = repairs.iter().map(|repair| repair.lost).sum();
            assert_eq!(lost, 0, "{what}");
            fill(&mut log, 10, 10);
            log.close().unwrap();
            assert_eq!(verified(&store).unwrap(), Ok(head_at(110)), "{what}");
            let mut log = open(&store).unwrap();
            assert_eq!(log.take_repairs(), [], "{what}: once");
        }
    }
}

#[test]
fn what_both_copies_lack_is_reported_and_given_up_only_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = after_a_crash(folder.path(), 50);
    open(&store).unwrap().close().unwrap();
    flip(&segment(&store), 3_000);
    fs::remove_dir_all(store.sled_folder()).unwrap();
    let before = contents(&store.journal_folder());
    let damage = damage(open(&store));
    let first = damage.position.unwrap();
    assert!(first > Position(1) && first < Position(50), "{damage}");
    assert!(damage.found.contains("in neither copy"), "{damage}");
    assert_eq!(before, contents(&store.journal_folder()));

    let plan = repair(&store, &options(), false).unwrap();
    assert_eq!(plan.end.position.next(), first);
    assert_eq!(plan.lost(), 51 - first.0);
    assert_eq!(before, contents(&store.journal_folder()), "looking changes nothing");

    assert_eq!(repair(&store, &options(), true).unwrap(), plan);
    let aside = contents(&store.aside_folder().join("journal-1"));
    assert_eq!(aside[0].1, before[0].1, "what was damaged is kept");
    let mut log = open(&store).unwrap();
    assert_eq!(log.head().unwrap(), plan.end);
    fill(&mut log, 10, 10);
    log.close().unwrap();
    assert_eq!(verified(&store).unwrap().unwrap().position.0, first.0 + 9);
    assert_eq!(repair(&store, &options(), false).unwrap().repairs, []);
}

#[test]
fn a_head_of_another_history_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let store = after_a_crash(folder.path(), 50);
    let other = Store::open_or_create(&folder.path().join("other")).unwrap();
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
fn a_log_put_back_to_an_earlier_state_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = after_a_crash(folder.path(), 50);
    let seen = |witness| {
        let options = Options { witness: Some(witness), ..options() };
        LocalLog::open(store.clone(), options).map(|log| log.close().unwrap())
    };
    seen(|_| Some(head_at(50))).unwrap();
    seen(|_| Some(head_at(49))).unwrap();
    seen(|_| None).unwrap();
    let error = seen(|_| Some(head_at(60))).unwrap_err();
    assert!(
        matches!(error, LogError::RolledBack { shown, log }
        if (shown.0, log.0) == (60, 50)),
        "{error}"
    );
    assert_eq!(error.kind(), Kind::Damaged);
    let error = seen(|_| Some(Head { position: Position(50), ..Head::default() })).unwrap_err();
    assert!(matches!(error, LogError::RolledBack { .. }), "{error}");
}

#[test]
fn no_link_in_a_store_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let mine = folder.path().join("mine");
    fs::write(&mine, "my only key").unwrap();
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    for name in ["lock/log", "lock/turn", "HEAD", "STORE", "journal/00000000000000000001"] {
        let store = after_a_crash(
            &{
                let inner = folder.path().join(name.replace('/', "-"));
                fs::create_dir(&inner).unwrap();
                inner
            },
            20,
        );
        let path = store.root().join(name);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&mine, &path).unwrap();
        let opened = Store::open(store.root()).and_then(|store| open(&store));
        assert!(matches!(opened, Err(LogError::NotPlain { .. })), "{name}: {opened:?}");
        assert_eq!(fs::read(&mine).unwrap(), b"my only key", "{name}");
    }
    for name in ["lock", "journal", "sled", "artifacts", "aside"] {
        let root = folder.path().join(format!("folder-{name}"));
        let store = Store::open_or_create(&root).unwrap();
        let path = store.root().join(name);
        let _ = fs::remove_dir_all(&path);
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(matches!(Store::open(&root), Err(LogError::NotPlain { .. })), "{name}");
    }
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[derive(Debug, Clone)]
enum Call {
    Append(usize),
    AppendStale(usize),
    Relaxed(usize),
    Read(u64, usize),
    Sync,
    Other(usize),
    Reopen,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (0..=BATCH_MAX + 1).prop_map(Call::Append),
        1 => (1..=3_usize).prop_map(Call::AppendStale),
        2 => (1..=20_usize).prop_map(Call::Relaxed),
        2 => (0..400_u64, 0..200_usize).prop_map(|(after, max)| Call::Read(after, max)),
        1 => Just(Call::Sync),
        1 => (1..=20_usize).prop_map(Call::Other),
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
                Call::Relaxed(count) => {
                    let (frames, _) = batch(head, count);
                    let here = log.append_relaxed(head, &frames);
                    prop_assert_eq!(seen(&here), seen(&twin.append(head, &frames)));
                }
                Call::Read(after, max) => {
                    let (here, there) =
                        (log.read(Position(after), max), twin.read(Position(after), max));
                    prop_assert_eq!(seen(&here), seen(&there));
                }
                Call::Sync => log.sync().unwrap(),
                Call::Other(count) => {
                    log.sync().unwrap();
                    let (frames, _) = batch(head, count);
                    open(&store).unwrap().append(head, &frames).unwrap();
                    twin.append(head, &frames).unwrap();
                }
                Call::Reopen => {
                    log.close().unwrap();
                    log = open(&store).unwrap();
                }
            }
        }
        log.close().unwrap();
        prop_assert_eq!(verified(&store).unwrap(), Ok(twin.head().unwrap()));
    }
}
