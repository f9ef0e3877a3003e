//! Processes that die, wait for each other, or run out of space.
//!
//! This test runs itself: without the harness of `cargo test`, so that its first argument can make
//! it the child that appends, or stops in the middle of it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells"
)]

mod log_common;

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use log_common::{Dice, batch, head_at, verified};
use qtrail::events::frame::Head;
use qtrail::log::{EventLog as _, Kind, LocalLog, LogError, Options, Reader, Store, read_on};

type Test = (&'static str, fn(&Path));

const TESTS: [Test; 5] = [
    ("a_killed_process_loses_nothing_acknowledged", a_killed_process_loses_nothing_acknowledged),
    ("creation_killed_anywhere_leaves_a_store_or_none", creation_killed_anywhere),
    ("out_of_space_is_typed_and_loses_nothing", out_of_space_is_typed_and_loses_nothing),
    ("a_holder_of_the_lock_is_named", a_holder_of_the_lock_is_named),
    ("several_writers_all_get_their_turn", several_writers_all_get_their_turn),
];

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let first = arguments.first().and_then(|first| first.to_str()).unwrap_or_default();
    let root = || Path::new(&arguments[1]);
    match first {
        "__create" => child_create(root()),
        "__append" => child_append(root()),
        "__sit" => child_sit(root()),
        "__turns" => child_turns(root()),
        "--list" => TESTS.iter().for_each(|(name, _)| println!("{name}: test")),
        filter => {
            let filter = if filter.starts_with('-') { "" } else { filter };
            run_tests(filter);
        }
    }
    ExitCode::SUCCESS
}

fn run_tests(filter: &str) {
    for (name, test) in TESTS.iter().filter(|(name, _)| name.contains(filter)) {
        let folder = tempfile::tempdir().unwrap();
        let started = Instant::now();
        test(folder.path());
        println!("test {name} ... ok ({:.1} s)", started.elapsed().as_secs_f64());
    }
}

fn child(verb: &str, root: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(verb).arg(root).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn options(command: &str, wait: Duration) -> Options {
    Options { command: command.to_owned(), wait, ..Options::default() }
}

fn open(root: &Path, command: &str) -> Result<LocalLog, LogError> {
    LocalLog::open(Store::open(root)?, options(command, Duration::from_secs(20)))
}

/// Tells the parent that everything up to `head` was acknowledged.
fn acknowledge(head: Head) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", head.position).and_then(|()| out.flush()).unwrap();
}

/// The size of the batch that starts behind a position. Fixed, so that a batch that is there in
/// part is recognised from the length of the log alone.
fn batch_size(position: u64) -> usize {
    usize::try_from(1 + position * 7 % 10).unwrap()
}

fn is_batch_boundary(position: u64) -> bool {
    let mut at = 0;
    while at < position {
        at += batch_size(at) as u64;
    }
    at == position
}

fn child_create(root: &Path) {
    Store::open_or_create(root).unwrap();
}

/// Appends until killed or refused, and does everything else a process does with a log.
fn child_append(root: &Path) {
    let refused = append_on(root).unwrap_err();
    println!("{:?}", refused.kind());
}

fn append_on(root: &Path) -> Result<(), LogError> {
    let mut log = open(root, "append")?;
    for turn in 1_u32.. {
        let head = log.head()?;
        let (frames, _) = batch(head, batch_size(head.position.0));
        acknowledge(log.append(head, &frames)?);
        if turn % 7 == 0 {
            log.close()?;
            log = open(root, "append")?;
        }
    }
    Ok(())
}

fn a_killed_process_loses_nothing_acknowledged(folder: &Path) {
    let root = folder.join("store");
    Store::open_or_create(&root).unwrap();
    let mut dice = Dice(3);
    let mut acknowledged = 0;
    for round in 0..60 {
        let mut running = child("__append", &root).spawn().unwrap();
        let mut acks = BufReader::new(running.stdout.take().unwrap()).lines();
        // Half of the rounds are killed while opening, the others a moment after appending began.
        if round % 2 == 0 {
            sleep(Duration::from_micros(dice.below(30_000)));
        } else {
            acknowledged = acks.next().unwrap().unwrap().parse().unwrap();
            sleep(Duration::from_micros(dice.below(60_000)));
        }
        running.kill().unwrap();
        running.wait().unwrap();
        if let Some(last) = acks.map_while(Result::ok).filter_map(|line| line.parse().ok()).last() {
            acknowledged = last;
        }
        let mut log = open(&root, "check").unwrap();
        let end = log.head().unwrap().position.0;
        assert!(end >= acknowledged, "round {round}: {acknowledged} acknowledged, {end} left");
        assert!(end - acknowledged <= 10, "round {round}: more than one batch not acknowledged");
        assert!(is_batch_boundary(end), "round {round}: a torn batch at the end, {end}");
        assert_eq!(log.take_repairs(), [], "round {round}: a kill is no damage");
        if round % 10 == 9 {
            log.close().unwrap();
            let store = Store::open(&root).unwrap();
            assert_eq!(verified(&store).unwrap(), Ok(head_at(end)), "round {round}");
        }
        // Opening has acknowledged what was not; the next round may take nothing of it back.
        acknowledged = end;
    }
    assert!(acknowledged >= 30, "half of the rounds have appended: {acknowledged} events");
}

fn creation_killed_anywhere(folder: &Path) {
    let mut dice = Dice(4);
    for round in 0..20 {
        let root = folder.join(format!("store-{round}"));
        let mut running = child("__create", &root).spawn().unwrap();
        sleep(Duration::from_micros(dice.below(25_000)));
        running.kill().unwrap();
        running.wait().unwrap();
        match Store::open(&root) {
            Ok(store) => assert_eq!(store.root(), root.canonicalize().unwrap()),
            Err(error) => assert_eq!(error.kind(), Kind::Missing, "{error}"),
        }
        Store::open_or_create(&root).unwrap();
        let mut log = open(&root, "check").unwrap();
        assert_eq!(log.head().unwrap(), Head::default());
    }
}

/// The child may write no file larger than this many blocks of 512 bytes: EFBIG then, the same
/// class of error as a full device.
fn limited(root: &Path, blocks: u32) -> Child {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(std::env::current_exe().unwrap());
    command.arg("__append").arg(root).stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

fn out_of_space_is_typed_and_loses_nothing(folder: &Path) {
    let root = folder.join("store");
    Store::open_or_create(&root).unwrap();
    let mut acknowledged = 0;
    // The first child runs into the limit while appending, the second one while opening.
    for _ in 0..2 {
        let mut running = limited(&root, 1200);
        let mut output = String::new();
        running.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        running.wait().unwrap();
        let lines: Vec<_> = output.lines().collect();
        let (last, acks) = lines.split_last().unwrap();
        assert_eq!(*last, "NoSpace", "after {} acknowledgements", acks.len());
        acknowledged = acks.last().map_or(acknowledged, |ack| ack.parse().unwrap());
        assert!(acknowledged > 0);
    }
    let mut log = open(&root, "check").unwrap();
    let end = log.head().unwrap();
    assert!(end.position.0 >= acknowledged);
    assert_eq!(end, head_at(end.position.0));
    log.close().unwrap();
    assert_eq!(verified(&Store::open(&root).unwrap()).unwrap(), Ok(end));
    out_of_space_on_a_full_device(folder);
}

/// The same on a real file system, where this may mount one.
fn out_of_space_on_a_full_device(folder: &Path) {
    let mounted = folder.join("small");
    std::fs::create_dir(&mounted).unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
        .arg(&mounted)
        .stderr(Stdio::null())
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        println!("notice: no small file system could be mounted; tested with EFBIG only");
        return;
    }
    let root = mounted.join("store");
    Store::open_or_create(&root).unwrap();
    let output = child("__append", &root).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = output.lines().collect();
    let acknowledged: u64 = lines[lines.len() - 2].parse().unwrap();
    let typed = lines.last() == Some(&"NoSpace");
    // A reader needs no room.
    let mut reader = Reader::open(&Store::open(&root).unwrap()).unwrap();
    let shown = reader.head().unwrap();
    let (read, _) = read_on(&mut reader, Head::default(), usize::MAX).unwrap();
    log_common::copy_folder(&root, &folder.join("roomy"));
    let unmounted = Command::new("umount").arg("-l").arg(&mounted).status().unwrap();
    assert!(unmounted.success());
    assert!(typed, "{:?}", lines.last());
    assert_eq!((shown, read.len() as u64), (head_at(acknowledged), acknowledged));
    let end = open(&folder.join("roomy"), "check").unwrap().head().unwrap().position.0;
    assert!(end >= acknowledged, "{acknowledged} acknowledged, {end} left");
}

/// Holds the lock of the log, with something pending, until it is killed.
fn child_sit(root: &Path) {
    let mut log = open(root, "sit").unwrap();
    let head = log.head().unwrap();
    log.append(head, &batch(head, 3).0).unwrap();
    let head = log.head().unwrap();
    log.append_relaxed(head, &batch(head, 1).0).unwrap();
    acknowledge(head);
    sleep(Duration::from_secs(600));
}

fn a_holder_of_the_lock_is_named(folder: &Path) {
    let root = folder.join("store");
    let store = Store::open_or_create(&root).unwrap();
    let mut holder = child("__sit", &root).spawn().unwrap();
    let mut acks = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert_eq!(acks.next().unwrap().unwrap(), "3");
    let wait = options("wait", Duration::from_millis(200));
    let error = LocalLog::open(store.clone(), wait.clone()).unwrap_err();
    let LogError::Busy(busy) = error else { panic!("{error}") };
    let named = busy.holder.unwrap();
    assert_eq!((named.pid, named.command.as_str()), (holder.id(), "sit"));
    let mut reader = Reader::open(&store).unwrap();
    let (frames, head) = read_on(&mut reader, Head::default(), 10).unwrap();
    assert_eq!((frames.len(), head), (3, head_at(3)), "reading needs no lock");
    // Its lock goes with it, whatever the lock file says.
    holder.kill().unwrap();
    holder.wait().unwrap();
    let mut log = LocalLog::open(store, wait).unwrap();
    assert_eq!(log.head().unwrap(), head_at(3));
}

/// Appends 30 events as fast as the others let it.
fn child_turns(root: &Path) {
    let mut log = open(root, "turns").unwrap();
    let (mut appended, mut longest) = (0, Duration::ZERO);
    let mut head = Head::default();
    while appended < 30 {
        let (frames, next) = batch(head, 1);
        let started = Instant::now();
        match log.append(head, &frames) {
            Ok(_) => (appended, head) = (appended + 1, next),
            Err(error) if error.kind() == Kind::Conflict => {
                while let Ok((frames, next)) = read_on(&mut log, head, 100)
                    && !frames.is_empty()
                {
                    head = next;
                }
            }
            Err(error) => panic!("{error}"),
        }
        longest = longest.max(started.elapsed());
    }
    log.close().unwrap();
    println!("{}", longest.as_millis());
}

fn several_writers_all_get_their_turn(folder: &Path) {
    let root = folder.join("store");
    let store = Store::open_or_create(&root).unwrap();
    let writers: Vec<_> = (0..4).map(|_| child("__turns", &root).spawn().unwrap()).collect();
    // A reader beside them sees nothing but whole histories.
    let mut reader = Reader::open(&store).unwrap();
    let mut head = Head::default();
    while head.position.0 < 120 {
        let (frames, next) = read_on(&mut reader, head, 1_000).unwrap();
        assert!(next == head_at(next.position.0) || frames.is_empty());
        head = next;
        sleep(Duration::from_micros(300));
    }
    for writer in writers {
        let output = writer.wait_with_output().unwrap();
        assert!(output.status.success());
        let longest = String::from_utf8(output.stdout).unwrap();
        println!("longest wait of a writer: {} ms", longest.trim());
    }
    open(&root, "check").unwrap().close().unwrap();
    assert_eq!(verified(&store).unwrap(), Ok(head_at(120)));
}
