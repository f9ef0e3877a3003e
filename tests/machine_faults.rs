//! Faults of the machine: full disks, folders that go, stopped processes. They never count, so the
//! resumed search is the unbroken one.
//!
//! Some tests mount a small file system. Where that is not permitted, they say so and end.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, clippy::cast_possible_truncation)]

mod common;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Ran, World};
use qtrail::events::{Event, Hash};

/// The program with the trainer of `tests/hostile_trainer.py`.
fn hostile(world: &World, store: &str, arguments: &[&str], way: &str, delay: &str) -> Command {
    let trainer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile_trainer.py");
    let mut command = world.qtrail(store, arguments);
    command.env("QTRAIL_TRAINER", trainer).env("QTRAIL_HOSTILE", way);
    command.env("QTRAIL_EXAMPLE_DELAY", delay).env("PYTHONDONTWRITEBYTECODE", "1");
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// The digest of an unbroken search.
fn unbroken(world: &World, way: &str) -> Hash {
    let whole = hostile(world, "whole", &World::tiny("7"), way, "0").output().unwrap();
    Ran(whole).code(0);
    world.digest("whole")
}

fn ended(child: Child) -> Ran {
    Ran(child.wait_with_output().unwrap())
}

/// Waits until so many events are on record.
#[track_caller]
fn recorded(world: &World, store: &str, events: u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while world.position(store) < events {
        assert!(Instant::now() < deadline, "nothing is recorded");
        sleep(Duration::from_millis(5));
    }
}

/// Attempts lost: those that count, and those that do not.
fn lost(world: &World, store: &str) -> (usize, usize) {
    let counts = |event: &Event| matches!(event, Event::AttemptLost(lost) if lost.counts);
    let free = |event: &Event| matches!(event, Event::AttemptLost(lost) if !lost.counts);
    (world.count(store, counts), world.count(store, free))
}

/// A small file system of its own; unmounted in the end.
struct Small(PathBuf);

impl Small {
    fn mount(path: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&path);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("skipped: a file system cannot be mounted here");
        }
        mounted.then_some(Self(path))
    }

    fn remount(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{options}")]).arg(&self.0);
        assert!(mount.status().unwrap().success());
    }

    /// Fills it, but for so many bytes.
    fn fill(&self, free: usize) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(free as u64)).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_fills_up_stops_a_search_and_changes_nothing() {
    let world = World::new();
    let expected = unbroken(&world, "");
    // Whether the trainer explains what the system refuses, or just dies.
    for way in ["", "unexplained"] {
        let Some(small) = Small::mount(world.path("small"), "24m") else { return };
        let store = "small/store";
        let mut child = hostile(&world, store, &World::tiny("7"), way, "0.05").spawn().unwrap();
        for events in [12, 30, 48] {
            recorded(&world, store, events);
            small.fill(0);
            let ran = ended(child);
            ran.code(5);
            small.empty();
            assert_eq!(lost(&world, store).0, 0, "{}", ran.stderr());
            child = hostile(&world, store, &["resume"], way, "0.05").spawn().unwrap();
        }
        ended(child).code(0);
        assert_eq!(world.digest(store), expected);
        assert_eq!(lost(&world, store).0, 0);
        assert_eq!(world.count(store, |event| matches!(event, Event::TrialLost(_))), 0);
    }
}

#[test]
fn no_trial_is_begun_without_room_for_what_it_leaves() {
    let world = World::new();
    let Some(small) = Small::mount(world.path("small"), "24m") else { return };
    let expected = unbroken(&world, "");
    let store = "small/store";
    let mut child = hostile(&world, store, &World::tiny("7"), "", "0.1").spawn().unwrap();
    world.kill_after(store, &mut child, 20);
    let started = |event: &Event| matches!(event, Event::AttemptStarted(_));
    let before = world.count(store, started);
    small.fill(600 << 10);
    let ran = ended(hostile(&world, store, &["resume"], "", "0").spawn().unwrap());
    ran.code(5).says("of free space; the next trial needs").says("qtrail resume");
    assert_eq!(world.count(store, started), before);
    small.empty();
    let ran = ended(hostile(&world, store, &["resume"], "", "0").spawn().unwrap());
    ran.code(0);
    let warnings = ran.stderr().matches("warning: only").count();
    assert_eq!(warnings, 1, "{}", ran.stderr());
    assert_eq!(world.digest(store), expected);
}

/// The log has room, the artifacts have none: the attempt is recorded as one that does not count.
#[test]
fn a_trainer_that_dies_on_a_full_or_read_only_disk_is_not_counted() {
    let world = World::new();
    let expected = unbroken(&world, "large");
    let mut child = hostile(&world, "a", &World::tiny("7"), "large", "0.1").spawn().unwrap();
    world.kill_after("a", &mut child, 12);
    let artifacts = world.path("a/artifacts");
    fs::rename(&artifacts, world.path("aside")).unwrap();
    let Some(small) = Small::mount(artifacts.clone(), "40m") else { return };
    let copied = Command::new("cp").arg("-a").arg(world.path("aside/.")).arg(&artifacts).status();
    assert!(copied.unwrap().success());
    let resume = || hostile(&world, "a", &["resume"], "large", "0.1").spawn().unwrap();
    let began = world.position("a");

    // Room enough for a trial to begin, not for its 3 MB.
    small.fill(2 << 20);
    ended(resume()).code(5).says("of free space; the next trial needs");
    let (counted, free) = lost(&world, "a");
    assert!(counted == 0 && free >= 1, "{counted} {free}");
    small.empty();

    let child = resume();
    recorded(&world, "a", began + 8);
    small.remount("ro");
    let ran = ended(child);
    ran.code(5).says("ead-only");
    small.remount("rw");
    assert_eq!(lost(&world, "a").0, 0, "{}", ran.stderr());

    ended(resume()).code(0);
    assert_eq!(lost(&world, "a").0, 0);
    assert_eq!(world.digest("a"), expected);
}

#[test]
fn folders_that_go_stop_a_search_and_change_nothing() {
    let world = World::new();
    let expected = unbroken(&world, "unexplained");
    let start = |arguments: &[&str]| {
        let child = hostile(&world, "a", arguments, "unexplained", "0.1").spawn().unwrap();
        recorded(&world, "a", 8);
        child
    };
    let rename = |from: &str, to: &str| fs::rename(world.path(from), world.path(to)).unwrap();

    let child = start(&World::tiny("7"));
    rename("data", "elsewhere");
    ended(child).code(5).says("/data is gone: it was moved, deleted or unmounted");
    rename("elsewhere", "data");

    let more = world.position("a") + 6;
    let child = start(&["resume"]);
    recorded(&world, "a", more);
    let mut staging = fs::read_dir(world.path("a/artifacts/staging")).unwrap().flatten();
    let own = staging.next().unwrap().file_name().into_string().unwrap();
    assert!(own.starts_with("worker-") && staging.next().is_none(), "{own}");
    rename(&format!("a/artifacts/staging/{own}"), "elsewhere");
    ended(child).code(5).says(&format!("/artifacts/staging/{own} is gone"));

    let more = world.position("a") + 6;
    let child = start(&["resume"]);
    recorded(&world, "a", more);
    rename("a", "moved");
    ended(child).code(5);
    assert!(!world.path("a/artifacts").exists(), "something is written where the store was");
    rename("moved", "a");

    ended(start(&["resume"])).code(0);
    assert_eq!(lost(&world, "a").0, 0);
    assert_eq!(world.digest("a"), expected);
}

#[test]
fn what_a_trainer_reports_of_the_machine_does_not_count() {
    let world = World::new();
    let expected = unbroken(&world, "");
    for (way, text) in [
        ("input-output", "the trainer reports a fault of this machine: cannot read"),
        ("no-descriptors", "Too many open files"),
    ] {
        let ran = ended(hostile(&world, way, &World::tiny("7"), way, "0").spawn().unwrap());
        ran.code(5).says(text).says("qtrail resume");
        assert_eq!(lost(&world, way), (0, 1), "{}", ran.stderr());
        ended(hostile(&world, way, &["resume"], "", "0").spawn().unwrap()).code(0);
        assert_eq!(world.digest(way), expected);
    }
}

/// A closed laptop lid stops everything, Ctrl-Z qtrail alone: neither is silence of the trainer.
#[test]
fn time_in_which_qtrail_is_stopped_is_not_silence() {
    let world = World::new();
    let expected = unbroken(&world, "");
    for everything in [true, false] {
        let store = if everything { "lid" } else { "ctrl-z" };
        let mut command = hostile(&world, store, &World::tiny("7"), "", "0.3");
        // A step of qtrail's clock counts for a second at most.
        command.env("QTRAIL_TRAINER_SILENCE", "2.5");
        let child = command.spawn().unwrap();
        for stop in 0..3_u32 {
            recorded(&world, store, 6 + 7 * u64::from(stop));
            let mut stopped = vec![child.id()];
            if everything {
                stopped.extend(children(child.id()));
            }
            let signal = |signal: &str| {
                let pids = stopped.iter().map(ToString::to_string);
                let sent = Command::new("kill").arg(signal).args(pids).status().unwrap();
                assert!(sent.success());
            };
            signal("-STOP");
            sleep(Duration::from_millis(3_500));
            signal("-CONT");
        }
        ended(child).code(0);
        assert_eq!(lost(&world, store), (0, 0));
        assert_eq!(world.digest(store), expected);
    }
}

/// Processes whose parent is this one.
fn children(pid: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parent = |number: &u32| -> Option<u32> {
        let status = fs::read_to_string(format!("/proc/{number}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
    };
    numbers.filter(|number| parent(number) == Some(pid)).collect()
}

/// Not even a repair gives up what the disk refuses to read once.
#[test]
fn a_repair_does_not_give_up_what_cannot_be_read_just_now() {
    let world = World::new();
    // Killed: sled has nothing yet that the journal has.
    let mut child = world.start("a", &World::tiny("7"), "0.05");
    world.kill_after("a", &mut child, 12);
    let before = world.position("a");
    let segment = fs::read_dir(world.path("a/journal")).unwrap().flatten().next().unwrap().path();
    let mut refused = 0;
    for call in ["read", "pread64", "statx", "openat"] {
        let program = world.qtrail("a", &["log", "repair", "--apply"]);
        let mut traced = Command::new("strace");
        traced.args(["-f", "-qq", "-o", "/dev/null", "-P"]).arg(&segment);
        traced.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:error=EIO")]);
        traced.arg(program.get_program()).args(program.get_args()).env_clear();
        traced.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let Ok(output) = traced.current_dir(world.path("")).output() else {
            assert!(std::env::var_os("QTRAIL_NO_SKIP").is_none(), "strace is missing");
            return eprintln!("skipped: strace is missing");
        };
        let ran = Ran(output);
        // Not every call reads it.
        if !ran.stderr().contains("nothing is wrong") {
            ran.code(5).says("cannot");
            refused += 1;
        }
        // What was written but not acknowledged may come to it.
        assert!(world.position("a") >= before, "{call}: {}{}", ran.stdout(), ran.stderr());
        world.run("a", &["log", "verify"]).code(0);
    }
    assert!(refused >= 2, "only {refused} kinds of calls were refused");
    world.run("a", &["log", "repair"]).code(0).says("nothing is wrong");
}

/// "No" is said only of what is not there: what the system refuses to look at is its error.
#[test]
fn what_cannot_be_looked_at_is_not_missing() {
    let world = World::new();
    std::os::unix::fs::symlink("loop", world.path("loop")).unwrap();
    let search = ["search", "--preset", "tiny", "--data", "loop", "--threads", "1"];
    world.run("a", &search).code(5).says("cannot look at loop");
    let mut told = world.qtrail("a", &World::tiny("1"));
    let told = told.env("QTRAIL_TRAINER", world.path("loop")).output().unwrap();
    Ran(told).code(5).says("cannot look at");
    let recipe = ["final", "--recipe", "loop"];
    world.run("b", &World::tiny("1")).code(0);
    world.run("b", &recipe).code(5).says("cannot look at loop");
    assert!(!world.path("a").exists());
}
