//! Several trainers on one machine, and searches that cannot begin. The trainer is the example in
//! Python.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]
#![allow(clippy::cast_possible_truncation)]

mod common;

use std::thread::sleep;
use std::time::{Duration, Instant};

use common::World;
use qtrail::events::{Event, Hash};

/// The digest of a search with these options.
fn digest(world: &World, store: &str, options: &[&str]) -> Hash {
    let arguments = [&World::tiny("7")[..], options].concat();
    world.run(store, &arguments).code(0).says("s1 is finished: 12 models");
    world.digest(store)
}

#[test]
fn the_number_of_trainers_changes_nothing_and_the_window_does() {
    let world = World::new();
    let one = digest(&world, "one", &[]);
    assert_eq!(digest(&world, "two", &["--device", "cpu*2"]), one);
    let four = digest(&world, "four", &["--in-flight", "4"]);
    assert_ne!(four, one);
    assert_eq!(digest(&world, "three", &["--device", "cpu*3", "--in-flight", "4"]), four);
    // All of them are at work.
    let mut running = 0;
    let most = world.events("three").into_iter().map(|recorded| {
        match recorded.event {
            Event::AttemptStarted(_) => running += 1,
            Event::TrialFinished(_) | Event::AttemptLost(_) => running -= 1,
            _ => {}
        }
        running
    });
    assert_eq!(most.max(), Some(3));
    let settings = world.run("four", &["sql", "select config from job"]);
    settings.code(0).says("in-flight = 4");
}

#[test]
fn what_cannot_begin_leaves_nothing() {
    let world = World::new();
    let tiny = World::tiny("7");
    let refused = |store: &str, options: &[&str], words: &str| {
        let arguments = [&tiny[..], options].concat();
        world.run(store, &arguments).code(2).says(words);
    };
    let kinds = [
        (["--device", "gpu"], "\"gpu\" is no device; expected auto, cpu, cuda:N"),
        (["--device", "cuda:0"], "the trainer cannot use cuda:0; it offers cpu"),
        (["--device", "cpu,cpu"], "cpu is there twice; cpu*2 starts two trainers on it"),
        (["--in-flight", "0"], "schedule.in-flight"),
        (["--trainer", "/bin/true"], "ended before it said hello"),
    ];
    for (options, words) in &kinds[..4] {
        refused("none", options, words);
    }
    let broken = [&tiny[..], &kinds[4].0].concat();
    assert_ne!(world.run("none", &broken).0.status.code(), Some(0));
    let threads = ["search", "--preset", "tiny", "--data", "data", "--threads", "65535"];
    world.run("none", &threads).code(2).says("this machine has ");
    assert!(!world.path("none").exists(), "a store without a search");
    // Where there is a store, the tables go on to be about the search that is there.
    world.run("there", &tiny).code(0);
    let before = (world.position("there"), world.run("there", &["table", "top"]).stdout());
    for (options, words) in &kinds[..4] {
        refused("there", options, words);
    }
    world.run("there", &broken);
    assert_eq!((world.position("there"), world.run("there", &["table", "top"]).stdout()), before);
    let named = [&tiny[..], &["--name", "a"]].concat();
    world.run("there", &named).code(0);
    world.run("there", &named).code(2).says("a search called a is in the store already");
    world.run("there", &named).says("--or-resume goes on with it");
}

/// A trainer that does nothing but complain.
const COMPLAINS: &str = r#"#!/usr/bin/env python3
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    answer = {"type": "hello", "protocol": 1, "program": "complains 1", "devices": ["cuda:0"], "threads": 1}
    if request["type"] != "hello":
        answer = {"type": "error", "id": request["id"], "message": "out of sorts"}
    print(json.dumps(answer), flush=True)
"#;

#[test]
fn a_trainer_that_only_complains_is_asked_three_times() {
    let world = World::new();
    let program = world.script("complains", COMPLAINS);
    let told = [&World::tiny("7")[..], &["--trainer", program.to_str().unwrap()]].concat();
    world
        .run("a", &told)
        .code(6)
        .says("the trainer reported three errors in a row; the last: out of sorts");
    assert_eq!(world.count("a", |event| matches!(event, Event::TrialLost(_))), 0);
    world.run("a", &["resume"]).code(0).says("s1 is finished: 12 models");
    assert_eq!(world.digest("a"), digest(&world, "b", &[]));
}

/// A GPU belongs to one process of the host, whatever the store.
#[test]
fn a_gpu_is_taken_once_on_a_host() {
    let world = World::new();
    let program = world.script(
        "gpu",
        &COMPLAINS.replace(
            "answer = {\"type\": \"error\"",
            "import time; time.sleep(60); answer = {\"type\": \"error\"",
        ),
    );
    let told = [&World::tiny("7")[..], &["--trainer", program.to_str().unwrap()]].concat();
    let mut first =
        world.qtrail("a", &told).env("XDG_RUNTIME_DIR", world.path("run")).spawn().unwrap();
    let lock = world.path("run/qtrail/device-cuda0");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !(lock.exists() && world.path("a").exists()) {
        assert!(Instant::now() < deadline, "it does not begin");
        sleep(Duration::from_millis(10));
    }
    let mut second = world.qtrail("b", &["--wait", "0"]);
    second.args(&told).env("XDG_RUNTIME_DIR", world.path("run"));
    common::Ran(second.output().unwrap()).code(3).says("device-cuda0 is held by process");
    assert!(!world.path("b").exists());
    first.kill().unwrap();
    first.wait().unwrap();
}

/// What is inherited is learned from before anything is sampled, whatever may be in flight.
#[test]
fn a_search_with_several_in_flight_can_be_forked() {
    let world = World::new();
    digest(&world, "a", &["--in-flight", "6"]);
    world.run("a", &["fork", "s1", "--at", "80", "--name", "f"]).code(0);
    world.run("a", &["resume", "f"]).code(0).says("s2 is finished");
    world.run("a", &["log", "verify"]).code(0);
}

/// Whoever waited for a search sees what was recorded in the meantime.
#[test]
fn a_search_that_ended_while_its_lock_was_waited_for_is_finished() {
    let world = World::new();
    let told = [&World::tiny("7")[..], &["--name", "o", "--or-resume"]].concat();
    let mut first = world.start("a", &told, "0.05");
    let deadline = Instant::now() + Duration::from_secs(60);
    while world.position("a") < 8 {
        assert!(Instant::now() < deadline, "it does not begin");
        sleep(Duration::from_millis(10));
    }
    let mut second = world.qtrail("a", &["--wait", "120"]);
    let second = common::Ran(second.args(&told).output().unwrap());
    second.code(0).says("nothing is left to do: s1 is finished");
    assert!(first.wait().unwrap().success());
    world.run("a", &["log", "verify"]).code(0);
    world.run("a", &["table", "top"]).code(0);
}
