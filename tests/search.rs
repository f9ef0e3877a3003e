//! The program itself: killed, interrupted, contended for. The trainer is the example in Python.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, clippy::cast_possible_truncation)]

mod common;

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::World;
use qtrail::events::Event;

fn kill(signal: &str, pid: u32) {
    Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
}

/// Pids of the trainers whose parent is, or was, `qtrail` with this store.
fn trainers(world: &World) -> Vec<u32> {
    let here = world.path("").to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let command = String::from_utf8_lossy(&read("cmdline")).into_owned();
        let folder = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        if command.contains("trainer.py") && folder.starts_with(here.trim_end_matches('/')) {
            found.push(pid);
        }
    }
    found
}

#[track_caller]
fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn killed_at_any_moment_and_resumed_it_is_the_same_search() {
    let world = World::new();
    world.run("whole", &World::tiny("7")).code(0).says("s1 is finished: 12 models");
    let expected = world.digest("whole");
    let wide = [&World::tiny("7")[..], &["--set", "space.widths=[16,8]"]].concat();
    world
        .run("wide", &wide)
        .code(0)
        .says("widths below the 10 classes are left out (space.widths): 8\n");

    // What is killed: qtrail, its trainer, or both; after ever other times.
    let staging = world.path("killed/artifacts/staging");
    let begun = || std::fs::read_dir(&staging).is_ok_and(|mut folders| folders.next().is_some());
    let mut child = world.start("killed", &World::tiny("7"), "0.1");
    soon("the search did not begin", begun);
    let ended = || world.count("killed", |event| matches!(event, Event::TrialFinished(_)));
    let mut before_alone = 0;
    for kills in 0..12_u64 {
        // However busy the machine is: something is recorded in each round.
        let before = world.position("killed");
        soon("nothing is recorded", || {
            world.position("killed") > before || child.try_wait().unwrap().is_some()
        });
        sleep(Duration::from_millis(kills * 167 % 400));
        // A trainer that dies alone costs its trial an attempt, of which it has three: no trial
        // meets that twice here. One that dies after its qtrail costs nothing.
        if kills % 3 == 1 {
            let enough = before_alone + usize::from(kills > 1);
            soon("no trial ends", || ended() >= enough || child.try_wait().unwrap().is_some());
            before_alone = ended();
        }
        let trainers = trainers(&world);
        if kills % 3 != 1 {
            kill("-9", child.id());
            child.wait().unwrap();
        }
        if kills % 3 != 0 {
            trainers.iter().for_each(|&pid| kill("-9", pid));
        }
        if kills % 3 != 1 {
            soon("a trainer outlives qtrail", || self::trainers(&world).is_empty());
            child = world.start("killed", &["resume"], "0.1");
        }
    }
    child.wait().unwrap();
    world.run("killed", &["resume"]).code(0);
    let count = |wanted| world.count("killed", wanted);
    assert_eq!(count(|event| matches!(event, Event::SearchStarted(_))), 1);
    assert_eq!(count(|event| matches!(event, Event::TrialLost(_))), 0);
    assert!(count(|event| matches!(event, Event::Resumed(_))) >= 3, "killed too late to matter");
    assert_eq!(world.digest("killed"), expected);
}

#[test]
fn a_killed_trainer_costs_an_attempt_and_nothing_else() {
    let world = World::new();
    let mut child = world.start("a", &World::tiny("1"), "0.05");
    // Search begun (2 events), episode and trial (2), attempt (1): it is training.
    soon("no trial", || world.position("a") >= 5);
    trainers(&world).into_iter().for_each(|pid| kill("-9", pid));
    assert!(child.wait().unwrap().success());
    let lost = world.count("a", |event| matches!(event, Event::AttemptLost(lost) if lost.counts));
    assert!(lost >= 1);
    world.run("b", &World::tiny("1")).code(0);
    assert_eq!(world.digest("a"), world.digest("b"));
}

#[test]
fn ctrl_c_finishes_the_trial_and_says_how_to_go_on() {
    let world = World::new();
    let mut command = world.qtrail("a", &World::tiny("1"));
    command.env("QTRAIL_EXAMPLE_DELAY", "0.2").stdout(std::process::Stdio::null());
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    soon("no trial", || world.position("a") >= 5);
    kill("-INT", child.id());
    let ran = common::Ran(child.wait_with_output().unwrap());
    ran.code(6).says("s1 was interrupted").says("`qtrail resume s1` goes on");
    // Only whole trials: nothing is running.
    let started = world.count("a", |event| matches!(event, Event::AttemptStarted(_)));
    assert_eq!(started, world.count("a", |event| matches!(event, Event::TrialFinished(_))));
    world.run("a", &["resume"]).code(0).says("s1 is finished");
    world.run("a", &["resume"]).code(0).says("nothing is left to do");
    world.run("a", &["resume", "s1"]).code(0).says("nothing is left to do: s1 is finished");
    world.run("a", &["resume", "s9"]).code(2).says("no search, run or attack is called s9");
}

#[test]
fn two_signals_end_it_at_once_and_no_trainer_stays() {
    let world = World::new();
    let mut child = world.start("a", &World::tiny("1"), "30");
    soon("no trial", || world.position("a") >= 5);
    kill("-TERM", child.id());
    sleep(Duration::from_millis(100));
    assert_eq!(child.try_wait().unwrap(), None, "the first signal waits for the trial");
    let asked = Instant::now();
    kill("-TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(6));
    soon("a trainer stays", || trainers(&world).is_empty());
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[test]
fn a_named_search_is_begun_once() {
    let world = World::new();
    let mut named = World::tiny("1");
    named.extend(["--name", "mine", "--or-resume"]);
    world.run("a", &named).code(0).says("s1 is finished");
    world.run("a", &named).code(0).says("nothing is left to do: s1 is finished");
    named.pop();
    world.run("a", &named).code(2).says("a search called mine is in the store already");
    world.run("a", &World::tiny("1")).code(0).says("s2 is finished");
    world.run("a", &["resume", "mine"]).code(0).says("s1 is finished");
}

#[test]
fn reading_verbs_answer_while_a_search_runs() {
    let world = World::new();
    let mut child = world.start("a", &World::tiny("1"), "0.4");
    soon("no trial ended", || world.position("a") >= 12);
    for arguments in [
        vec!["status"],
        vec!["table", "epsilon"],
        vec!["table", "top", "--format", "json"],
        vec!["table", "trials", "--where", "accuracy > 0.1", "--sort", "-accuracy"],
        vec!["table", "qtable"],
        vec!["sql", "SELECT count(*) AS n FROM event"],
        vec!["show", "s1"],
        vec!["log", "stat"],
        vec!["log", "show", "--limit", "3"],
        vec!["log", "digest", "--logical"],
        vec!["log", "verify"],
        vec!["data", "check", "data"],
    ] {
        let asked = Instant::now();
        world.run("a", &arguments).code(0);
        assert!(
            asked.elapsed() < Duration::from_secs(5),
            "{arguments:?} took {:?}",
            asked.elapsed()
        );
    }
    assert_eq!(child.try_wait().unwrap(), None, "the search ended too soon to matter");
    kill("-9", child.id());
    child.wait().unwrap();
    let status = world.run("a", &["status"]);
    status.code(0).says("stopped: qtrail resume s1");
}

#[test]
fn one_architecture_can_be_trained_alone() {
    let world = World::new();
    let train =
        ["train", "[C(8,3,1), SM(10)]", "--preset", "tiny", "--data", "data", "--repeats", "3"];
    world.run("a", &train).code(0).says("r1 is finished: 3 models");
    let mut seeds: Vec<u64> = world
        .events("a")
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::TrialPlanned(planned) => Some(planned.seed),
            _ => None,
        })
        .collect();
    seeds.dedup();
    assert_eq!(seeds.len(), 3);
    world.run("a", &train).code(0).says("r2 is finished");
}

#[test]
fn mistakes_have_a_clear_message_and_change_nothing() {
    let world = World::new();
    std::fs::write(world.path("bad.toml"), "schedule = 7").unwrap();
    std::fs::create_dir(world.path("other")).unwrap();
    std::fs::write(world.path("other/file"), "x").unwrap();
    let tiny = ["search", "--preset", "tiny"];
    let with = |more: &[&'static str]| [&tiny[..], more].concat();
    for (arguments, message) in [
        (vec!["search"], "a search needs --preset NAME or --config FILE"),
        (vec!["search", "--preset", "nope"], "no preset is called `nope`"),
        (vec!["search", "--config", "bad.toml"], "schedule"),
        (vec!["search", "--config", "none.toml"], "cannot read the configuration none.toml"),
        (with(&["--data", "nowhere"]), "nowhere"),
        (with(&["--data", "other"]), "other"),
        (with(&["--data", "data", "--set", "replay.draws=0"]), "replay.draws = 0: 1 to 700"),
        (
            with(&["--data", "data", "--set", "data.validation=9999"]),
            "9999 validation images wanted",
        ),
        (with(&["--data", "data", "--name", "s1"]), "unlike an id"),
        (with(&["--data", "data", "--trainer", "none.py"]), "there is no trainer"),
        (vec!["train", "[C(8,3,1)]", "--data", "data"], "the last layer must be SM(classes)"),
        (
            vec!["train", "[SM(9)]", "--preset", "tiny", "--data", "data"],
            "has 9 classes, data has 10",
        ),
        (
            vec!["train", "[P(40,2), SM(10)]", "--preset", "tiny", "--data", "data"],
            "exceeds the map",
        ),
        (vec!["resume"], "there is no store at"),
    ] {
        world.run("a", &arguments).code(2).says(message);
        if world.path("a").exists() {
            // Found out only against the images, once the store was made: then it is empty.
            assert!(arguments[0] == "train", "{arguments:?} made a store");
            assert_eq!(world.events("a").len(), 0, "{arguments:?}");
            std::fs::remove_dir_all(world.path("a")).unwrap();
        }
    }
}

#[test]
fn another_trainer_on_resume_is_warned_of() {
    let world = World::new();
    let mut child = world.start("a", &World::tiny("1"), "0.3");
    soon("no trial", || world.position("a") >= 5);
    kill("-9", child.id());
    child.wait().unwrap();
    let other = std::fs::read_to_string(common::trainer()).unwrap();
    std::fs::write(world.path("other.py"), other.replace("example 1", "example 2")).unwrap();
    Command::new("chmod").arg("755").arg(world.path("other.py")).status().unwrap();
    let ran = world.run("a", &["resume", "--trainer", "other.py"]);
    ran.code(0).says("until now training was done by example 1").says("from now on by example 2");
}

#[test]
fn other_images_are_noticed_on_resume() {
    let world = World::new();
    let mut child = world.start("a", &World::tiny("1"), "0.2");
    soon("no trial", || world.position("a") >= 5);
    kill("-9", child.id());
    child.wait().unwrap();
    common::write_images(&world.path("data"), 28, 41);
    world.run("a", &["resume"]).code(2).says("is not the one that s1 began with");
}

#[test]
fn the_configuration_can_be_printed_edited_and_used() {
    let world = World::new();
    let printed = world.run("a", &["search", "--preset", "tiny", "--print-config"]);
    printed.code(0);
    let edited = printed.stdout().replace("draws = 20", "draws = 5");
    std::fs::write(world.path("mine.toml"), edited).unwrap();
    world.run("a", &["search", "--config", "mine.toml", "--data", "data"]).code(0);
    let draws = world.events("a").into_iter().find_map(|recorded| match recorded.event {
        Event::ReplayUpdated(update) => Some(update.draws.len()),
        _ => None,
    });
    assert_eq!(draws, Some(5));
}
