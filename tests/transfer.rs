//! A log carried elsewhere and back, backed up and followed: whole, or not at all.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, clippy::cast_possible_truncation)]

mod common;
mod history;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Ran, World};
use history::several;
use qtrail::log::Store;

fn kill(signal: &str, child: &Child) {
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
}

#[track_caller]
fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(5));
    }
}

/// Names in the folder of a world.
fn names(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.path("")).unwrap().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A world with a store `a` and its export `a.jsonl`.
fn exported() -> World {
    let world = World::new();
    several().store(&world.path("a"));
    world.run("a", &["log", "export", "-o", "a.jsonl"]).code(0).says("events");
    world
}

#[test]
fn a_log_comes_back_with_equal_digests() {
    let world = exported();
    world.run("b", &["log", "import", "a.jsonl"]).code(0).says("restored");
    for digest in [&["log", "digest"][..], &["log", "digest", "--logical"]] {
        assert_eq!(world.run("a", digest).stdout(), world.run("b", digest).stdout());
    }
    world.run("b", &["log", "verify", "--no-artifacts"]).code(0);
    world.run("b", &["table", "top"]).code(0);
    let (a, b) = (world.run("a", &["log", "export"]), world.run("b", &["log", "export"]));
    assert_eq!(a.stdout(), b.stdout());
    assert_eq!(a.stdout(), fs::read_to_string(world.path("a.jsonl")).unwrap());
    assert_eq!(a.stdout().lines().count() as u64, world.position("a") + 1);
    let id = |store: &str| Store::open(&world.path(store)).unwrap().id();
    assert_ne!(id("a"), id("b"), "another store with the same log");
}

#[test]
fn what_is_not_a_whole_log_leaves_nothing_behind() {
    let world = exported();
    let text = fs::read_to_string(world.path("a.jsonl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.len();
    let without = |line: usize| {
        let mut lines = lines.clone();
        lines.remove(line - 1);
        lines.join("\n")
    };
    fs::write(world.path("long"), "x".repeat(3_000_000)).unwrap();
    fs::write(world.path("binary"), (0..=255).cycle().take(100_000).collect::<Vec<u8>>()).unwrap();
    fs::write(world.path("empty"), "").unwrap();
    fs::write(world.path("cut"), &text[..text.len() / 2]).unwrap();
    fs::write(world.path("gap"), without(7)).unwrap();
    fs::write(world.path("open"), without(last)).unwrap();
    fs::write(world.path("twice"), format!("{text}{text}")).unwrap();
    fs::write(world.path("nested"), "[".repeat(200_000)).unwrap();
    let before = names(&world);
    for (file, message) in [
        ("long", "line 1: the line is longer than"),
        ("binary", "line 1: it is no line of an exported log"),
        ("empty", "line 0: the file ends without a closing line"),
        ("cut", "is no line of an exported log"),
        ("gap", "line 7: it holds event 8; event 7 comes next"),
        ("open", "the file ends without a closing line"),
        ("twice", "the line before it closes the log"),
        ("nested", "line 1: it is no line of an exported log"),
        ("missing", "cannot read missing"),
        (".", "cannot read ."),
    ] {
        world.run("b", &["log", "import", file]).code(2).says(message);
        assert_eq!(names(&world), before, "{file}");
    }
    world.run("a", &["log", "import", "a.jsonl"]).code(2).says("already");
    world.run("data", &["log", "import", "a.jsonl"]).code(2).says("already");
    world.run("a", &["log", "export", "-o", "nowhere/file"]).code(2).says("cannot write");
    assert_eq!(names(&world), before);
}

/// Starts an import from a pipe and gives it the first lines.
fn half_way(world: &World) -> Child {
    let mut command = world.qtrail("b", &["log", "import", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let text = fs::read_to_string(world.path("a.jsonl")).unwrap();
    let half = text.lines().take(250).map(|line| format!("{line}\n")).collect::<String>();
    child.stdin.as_mut().unwrap().write_all(half.as_bytes()).unwrap();
    soon("the import did not begin", || names(world).iter().any(|name| name.contains("building")));
    sleep(Duration::from_millis(100));
    child
}

#[test]
fn killed_in_the_middle_there_is_no_store_and_the_next_one_cleans_up() {
    let world = exported();
    let before = names(&world);
    let mut child = half_way(&world);
    kill("-9", &child);
    child.wait().unwrap();
    world.run("b", &["table", "top"]).code(2).says("there is no store");
    world.run("b", &["log", "import", "a.jsonl"]).code(0);
    let mut after = before.clone();
    after.insert(
        after.iter().position(|name| name.as_str() > "b").unwrap_or(after.len()),
        "b".into(),
    );
    assert_eq!(names(&world), after);
}

#[test]
fn a_signal_ends_it_and_nothing_is_left() {
    let world = exported();
    let before = names(&world);
    let mut child = half_way(&world);
    kill("-TERM", &child);
    sleep(Duration::from_millis(100));
    drop(child.stdin.take());
    let code = child.wait().unwrap().code();
    // The end of the pipe may be seen before the signal is.
    assert!(code == Some(6) || code == Some(2), "{code:?}");
    assert_eq!(names(&world), before);
}

#[test]
fn a_backup_beside_a_running_search_is_a_store_that_goes_on_alike() {
    let world = World::new();
    world.run("whole", &World::tiny("7")).code(0);
    let mut child = world.start("a", &World::tiny("7"), "0.05");
    soon("the search did not begin", || world.position("a") > 20);
    for backup in ["one", "two"] {
        world.run("a", &["log", "backup", backup]).code(0).says("events");
        sleep(Duration::from_millis(300));
    }
    world.run("a", &["log", "backup", "one"]).code(2).says("already");
    assert!(child.wait().unwrap().success(), "the search was disturbed");
    let all = world.events("a");
    let events = world.events("one");
    assert!(!events.is_empty() && events[..] == all[..events.len()]);
    world.run("one", &["log", "verify"]).code(0);
    world.run("one", &["resume"]).code(0).says("s1 is finished");
    for store in ["a", "one"] {
        assert_eq!(world.digest(store), world.digest("whole"));
    }
}

#[test]
fn tail_prints_the_last_events_and_follows_a_running_search() {
    let world = exported();
    let last = world.position("a");
    let jsonl = world.run("a", &["log", "tail", "-n", "3", "--format", "jsonl"]);
    assert_eq!(jsonl.code(0).stdout().lines().count(), 3);
    jsonl.says(&format!("{{\"position\":{last},"));
    let kind = ["log", "tail", "-n", "2", "--kind", "search-started"];
    let found = world.run("a", &kind);
    assert_eq!(found.stdout().matches("search-started").count(), 2, "{}", found.stdout());
    world.run("a", &["log", "tail", "-f", "--format", "json"]).code(2).says("no end");
    world.run("a", &["log", "tail", "--kind", "none"]).code(2).says("no kind of event");

    let mut search = world.start("b", &World::tiny("1"), "0.05");
    soon("the search did not begin", || world.position("b") > 3);
    let follow = ["log", "tail", "-f", "-n", "1000", "--every", "0.1", "--format", "csv"];
    let mut tail = world.qtrail("b", &follow);
    let mut tail = tail.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("position,"));
    assert!(search.wait().unwrap().success());
    // All there is, each once, in order, though most of it came while it followed.
    for position in 1..=world.position("b") {
        let line = lines.next().unwrap().unwrap();
        assert!(line.starts_with(&format!("{position},")), "{line}");
    }
    kill("-INT", &tail);
    assert_eq!(tail.wait().unwrap().code(), Some(0));
}

#[test]
fn a_follower_whose_reader_left_ends_though_nothing_happens() {
    let world = exported();
    for arguments in [&["log", "tail", "-f"][..], &["watch", "top", "--search", "s1"]] {
        let mut child = world.qtrail("a", arguments);
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0; 20]).unwrap();
        drop(out);
        let ran = Ran(child.wait_with_output().unwrap());
        ran.code(0);
        assert_eq!(ran.stderr(), "", "{arguments:?}");
    }
}

#[test]
fn watch_prints_a_table_anew_when_it_changed() {
    let world = World::new();
    let mut search = world.start("a", &World::tiny("1"), "0.05");
    soon("no trial has ended", || world.position("a") > 12);
    let watch = [
        "watch",
        "trials",
        "--every",
        "0.1",
        "--where",
        "status = 'trained'",
        "--columns",
        "trial",
        "--format",
        "csv",
    ];
    let mut watch = world.qtrail("a", &watch);
    let mut watch = watch.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    assert!(search.wait().unwrap().success());
    sleep(Duration::from_millis(500));
    kill("-INT", &watch);
    let mut text = String::new();
    watch.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(0));
    let tables: Vec<&str> = text.split("trial\n").skip(1).collect();
    assert!(tables.len() >= 3, "{text}");
    assert!(tables.windows(2).all(|pair| pair[0] != pair[1]), "{text}");
    let now = [
        "table",
        "trials",
        "--where",
        "status = 'trained'",
        "--columns",
        "trial",
        "--format",
        "csv",
    ];
    assert_eq!(format!("trial\n{}", tables.last().unwrap()), world.run("a", &now).stdout());
}
