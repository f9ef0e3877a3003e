//! Processes that die, wait for each other, or run out of space.
//!
//! This test runs itself: without the harness of `cargo test`, so that its first argument can make
//! it the child that appends, holds the log, or probes a copy.

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

use log_common::{Dice, batch, head_at};
use qtrail::events::frame::Head;
use qtrail::log::verify::verify_store;
use qtrail::log::{
    EventLog as _, Kind, LogError, Options, PROBE_ARGUMENT, SledLog, Store, probe_main, read_on,
};

type Test = (&'static str, fn(&Path));

const TESTS: [Test; 6] = [
    ("a_killed_process_loses_nothing_acknowledged", a_killed_process_loses_nothing_acknowledged),
    ("creation_killed_anywhere_leaves_a_store_or_none", creation_killed_anywhere),
    ("out_of_space_is_typed_and_loses_nothing", out_of_space_is_typed_and_loses_nothing),
    ("a_holder_lets_a_waiter_in", a_holder_lets_a_waiter_in),
    ("a_holder_that_does_not_yield_is_named", a_holder_that_does_not_yield_is_named),
    ("several_writers_all_get_their_turn", several_writers_all_get_their_turn),
];

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let first = arguments.first().and_then(|first| first.to_str()).unwrap_or_default();
    let root = || Path::new(&arguments[1]);
    match first {
        PROBE_ARGUMENT => return probe_main(&arguments[1..], &mut std::io::stdout()),
        "__create" => child_create(root()),
        "__append" => child_append(root()),
        "__hold" => child_hold(root(), true),
        "__sit" => child_hold(root(), false),
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
    let probe = Some(std::env::current_exe().unwrap());
    Options { command: command.to_owned(), wait, probe }
}

fn open(root: &Path, command: &str) -> Result<SledLog, LogError> {
    SledLog::open(Store::open(root)?, options(command, Duration::from_secs(20)))
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
            log.seal()?;
        }
        if turn % 5 == 0 {
            log.release()?;
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
        if round % 10 == 9 {
            let report = verify_store(&mut log).unwrap();
            assert!(report.is_good() && report.good == head_at(end), "{report:?}");
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
        let mut running = limited(&root, 3000);
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
    let report = verify_store(&mut log).unwrap();
    assert!(report.is_good(), "{report:?}");
    assert!(report.end.position.0 >= acknowledged);
    assert_eq!(report.good, head_at(report.end.position.0));
    out_of_space_on_a_full_device(folder);
}

/// The same on a real file system, where this may mount one.
fn out_of_space_on_a_full_device(folder: &Path) {
    let mounted = folder.join("small");
    std::fs::create_dir(&mounted).unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"])
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
    log_common::copy_folder(&root, &folder.join("roomy"));
    let reopened = open(&root, "check").err().map(|error| error.kind());
    let unmounted = Command::new("umount").arg("-l").arg(&mounted).status().unwrap();
    assert!(unmounted.success());
    assert!(typed, "{:?}", lines.last());
    // A copy of the log does not fit there either.
    assert_eq!(reopened, Some(Kind::NoSpace));
    let end = open(&folder.join("roomy"), "check").unwrap().head().unwrap().position.0;
    assert!(end >= acknowledged, "{acknowledged} acknowledged, {end} left");
}

/// Holds the log until its standard input ends; then appends once more.
fn child_hold(root: &Path, yields: bool) {
    let mut log = open(root, "hold").unwrap();
    let (frames, _) = batch(log.head().unwrap(), 3);
    let head = log.head().unwrap();
    acknowledge(log.append(head, &frames).unwrap());
    let ended = std::thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let mut head = head_at(3);
    while !ended.is_finished() {
        if yields {
            log.yield_if_wanted().unwrap();
        }
        sleep(Duration::from_millis(10));
    }
    // Somebody appended meanwhile: told so, it reads on and appends behind that.
    let (frames, _) = batch(head, 1);
    let error = log.append(head, &frames).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    loop {
        let (frames, next) = read_on(&mut log, head, 10).unwrap();
        if frames.is_empty() {
            break;
        }
        head = next;
    }
    let (frames, _) = batch(head, 1);
    acknowledge(log.append(head, &frames).unwrap());
    log.close().unwrap();
}

fn a_holder_lets_a_waiter_in(folder: &Path) {
    let root = folder.join("store");
    Store::open_or_create(&root).unwrap();
    let mut holder = child("__hold", &root).spawn().unwrap();
    let mut acks = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert_eq!(acks.next().unwrap().unwrap(), "3");
    let started = Instant::now();
    let mut log = open(&root, "wait").unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "waited {:?}", started.elapsed());
    let head = log.head().unwrap();
    assert_eq!(head, head_at(3));
    let (frames, head) = batch(head, 2);
    log.append(head_at(3), &frames).unwrap();
    log.release().unwrap();
    drop(holder.stdin.take());
    assert_eq!(acks.next().unwrap().unwrap(), "6");
    assert!(holder.wait().unwrap().success());
    assert_eq!(log.head().unwrap(), batch(head, 1).1);
}

fn a_holder_that_does_not_yield_is_named(folder: &Path) {
    let root = folder.join("store");
    let store = Store::open_or_create(&root).unwrap();
    let mut holder = child("__sit", &root).spawn().unwrap();
    let mut acks = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert_eq!(acks.next().unwrap().unwrap(), "3");
    let wait = options("wait", Duration::from_millis(200));
    let error = SledLog::open(store.clone(), wait.clone()).unwrap_err();
    let LogError::Busy(busy) = error else { panic!("{error}") };
    let named = busy.holder.unwrap();
    assert_eq!((named.pid, named.command.as_str()), (holder.id(), "hold"));
    assert_eq!(store.read_head().unwrap().record.head, head_at(3), "HEAD needs no lock");
    // Its lock goes with it, whatever the lock file says.
    holder.kill().unwrap();
    holder.wait().unwrap();
    let mut log = SledLog::open(store, wait).unwrap();
    assert_eq!(log.head().unwrap(), head_at(3));
}

/// Appends 30 events as fast as the others let it.
fn child_turns(root: &Path) {
    let mut log = open(root, "turns").unwrap();
    let mut appended = 0;
    let mut longest = Duration::ZERO;
    while appended < 30 {
        let started = Instant::now();
        let head = log.head().unwrap();
        longest = longest.max(started.elapsed());
        let (frames, _) = batch(head, 1);
        log.append(head, &frames).unwrap();
        appended += 1;
        log.yield_if_wanted().unwrap();
    }
    log.close().unwrap();
    println!("{}", longest.as_millis());
}

fn several_writers_all_get_their_turn(folder: &Path) {
    let root = folder.join("store");
    Store::open_or_create(&root).unwrap();
    let writers: Vec<_> = (0..4).map(|_| child("__turns", &root).spawn().unwrap()).collect();
    for writer in writers {
        let output = writer.wait_with_output().unwrap();
        assert!(output.status.success());
        let longest = String::from_utf8(output.stdout).unwrap();
        println!("longest wait of a writer: {} ms", longest.trim());
    }
    let mut log = open(&root, "check").unwrap();
    assert_eq!(verify_store(&mut log).unwrap().good, head_at(120));
}
