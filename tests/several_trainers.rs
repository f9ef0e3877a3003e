//! Several trainers on one machine, and searches that cannot begin. The trainer is the example in
//! Python.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]
#![allow(clippy::cast_possible_truncation)]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::World;
use qtrail::events::{Event, Hash};

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

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
    assert_eq!(digest(&world, "auto", &["--trainers", "auto", "--in-flight", "4"]), four);
    // All of them are at work.
    let most_at_once = |store: &str| {
        let running = world.events(store).into_iter().scan(0, |running, recorded| {
            match recorded.event {
                Event::AttemptStarted(_) => *running += 1,
                Event::TrialFinished(_) | Event::AttemptLost(_) => *running -= 1,
                _ => {}
            }
            Some(*running)
        });
        running.max().unwrap()
    };
    assert_eq!(most_at_once("three"), 3);
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(most_at_once("auto"), cores.min(4));
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
        (
            ["--device", "gpu"],
            "\"gpu\" is not a device; expected auto alone, or a list of cpu and cuda:N",
        ),
        (["--device", "cuda:0"], "the trainer cannot use cuda:0; it offers cpu"),
        (["--device", "cpu,cpu"], "cpu is listed twice; cpu*2 starts two trainers on it"),
        (["--in-flight", "0"], "--in-flight <W>': expected a whole number from 1 to 10000"),
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

/// The example trainer with a hello that names the devices with bf16.
fn bf16_trainer(world: &World, devices: &str) -> String {
    let folder = common::trainer().parent().unwrap().to_owned();
    let script = format!(
        "#!/usr/bin/env python3\nimport sys\nsys.path.insert(0, {folder:?})\nimport trainer\n\
         trainer.main(bf16={devices})\n"
    );
    let program = world.script(&format!("bf16-{}.py", devices.len()), &script);
    program.to_str().unwrap().to_owned()
}

#[test]
fn bf16_needs_instructions_or_leave_to_emulate_them() {
    let world = World::new();
    let (native, without) = (bf16_trainer(&world, "['cpu']"), bf16_trainer(&world, "[]"));
    let search = |more: &[&'static str]| [&World::tiny("7")[..], more].concat();
    let half = search(&["--precision", "bf16"]);
    let on = |trainer: &str, arguments: &[&str], store: &str| {
        let mut command = world.qtrail(store, arguments);
        common::Ran(command.env("QTRAIL_TRAINER", trainer).output().unwrap())
    };
    // A trainer that does not know bf16 would train in something else.
    for more in [&["--precision", "bf16"][..], &["--precision", "bf16", "--emulate-bf16"]] {
        let words = "the trainer \"example 1\" does not say that it can train in bf16";
        world.run("none", &search(more)).code(2).says(words);
    }
    let no = "cpu has no bf16 instructions";
    on(&without, &half, "none").code(2).says(no).says("--emulate-bf16 allows it");
    let net =
        ["train", "[FC(8), SM(10)]", "--preset", "tiny", "--data", "data", "--precision", "bf16"];
    on(&without, &net, "none").code(2).says(no);
    on(&without, &search(&["--precision", "f16"]), "none").code(2).says("expected f32 or bf16");
    assert!(!world.path("none").exists(), "a store without a search");

    let precisions = |store: &str| {
        let events = world.events(store).into_iter();
        let started = events.filter_map(|recorded| match recorded.event {
            Event::AttemptStarted(started) => Some(started.precision),
            _ => None,
        });
        let mut all: Vec<String> = started.collect();
        all.dedup();
        all
    };
    on(&native, &half, "native").code(0);
    assert_eq!(precisions("native"), ["bf16"]);
    on(&without, &search(&["--precision", "bf16", "--emulate-bf16"]), "a").code(0);
    assert_eq!(precisions("a"), ["bf16 emulated"]);
    let attempts = ["sql", "select distinct precision from attempts"];
    world.run("a", &attempts).code(0).says("bf16 emulated");
    world.run("a", &["sql", "select config from job"]).code(0).says("precision = \"bf16\"");
    assert_eq!(world.digest("a"), world.digest("native"), "where it is computed is no result");

    // What goes on, and what follows from it, needs the same.
    world.run("a", &["search", "s1", "--extend", "0.1:1"]).code(0);
    let before = world.position("a");
    on(&without, &["resume"], "a").code(2).says(no);
    on(&without, &["final", "s1", "--top", "1", "--recipe", "short"], "a").code(2).says(no);
    assert_eq!(world.position("a"), before);
    on(&without, &["resume", "--emulate-bf16"], "a").code(0).says("s1 is finished: 13 models");
    let last = ["final", "s1", "--top", "1", "--recipe", "short", "--precision", "f32"];
    on(&without, &last, "a").code(0);
    assert_eq!(precisions("a"), ["bf16 emulated", "f32"]);

    // Nothing is written of what is as it always was.
    let full = digest(&world, "f32", &["--precision", "f32"]);
    assert_eq!(full, digest(&world, "plain", &[]));
    assert_ne!(full, world.digest("a"));
    assert_eq!(precisions("plain"), ["f32"]);
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
    common::Ran(second.output().unwrap())
        .code(3)
        .says("cuda:0 is held by process")
        .says("--device");
    assert!(!world.path("b").exists());
    first.kill().unwrap();
    first.wait().unwrap();
}

/// Nothing is said of devices: each process takes one that is free.
#[test]
fn a_second_process_takes_the_second_gpu() {
    let world = World::new();
    let text = std::fs::read_to_string(tests().join("trainer.py")).unwrap();
    let (one, three) = (r#""devices": ["cpu"]"#, r#""devices": ["cuda:0", "cuda:1", "cpu"]"#);
    assert!(text.contains(one));
    let program = world.script("gpus", &text.replace(one, three));
    let process = |arguments: &[&str]| {
        let mut command = world.qtrail("a", &["--wait", "0"]);
        command.args(arguments).args(["--trainer", program.to_str().unwrap()]);
        command.env("QTRAIL_EXAMPLE_DELAY", "0.2").env("XDG_RUNTIME_DIR", world.path("run"));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut first = process(&[&World::tiny("7")[..], &["--in-flight", "4"]].concat());
    until("it does not begin", || world.position("a") > 8);
    let mut second = process(&["resume", "s1"]);
    assert!(first.wait().unwrap().success() && second.wait().unwrap().success());
    let devices: BTreeSet<String> = world
        .events("a")
        .into_iter()
        .filter_map(|recorded| match recorded.event {
            Event::AttemptStarted(started) => Some(started.device),
            _ => None,
        })
        .collect();
    assert_eq!(devices.into_iter().collect::<Vec<_>>(), ["cuda:0", "cuda:1"]);
}

/// A process whose trainers die costs a trial one try at most while others work, and then gives up.
#[test]
fn a_broken_trainer_that_joins_does_not_change_the_search() {
    let world = World::new();
    let told = [&World::tiny("7")[..], &["--in-flight", "4"]].concat();
    world.run("unbroken", &told).code(0);
    let mut first = world.start("a", &told, "0.4");
    until("it does not begin", || world.position("a") > 8);
    let mut broken = world.qtrail("a", &["resume", "s1", "--device", "cpu*2"]);
    broken.env("QTRAIL_TRAINER", tests().join("hostile_trainer.py"));
    broken.env("QTRAIL_HOSTILE", "dies").env("PYTHONDONTWRITEBYTECODE", "1");
    let broken = common::Ran(broken.output().unwrap());
    broken.code(6).says("another process is working on it; this process joins; 4 trials at a time");
    broken.says("the trainers of this process lost several attempts of s1 in a row; the last: ");
    assert!(first.wait().unwrap().success());
    assert_eq!(world.count("a", |event| matches!(event, Event::TrialLost(_))), 0);
    assert!(world.count("a", |event| matches!(event, Event::AttemptLost(_))) >= 3);
    assert_eq!(world.digest("a"), world.digest("unbroken"));
}

/// What a trial reached is in the tables when it ends, though it may be learned from much later.
#[test]
fn tables_do_not_wait_for_the_agent() {
    let world = World::new();
    let told = [&World::tiny("7")[..], &["--in-flight", "4"]].concat();
    let mut slow = world.start("a", &told, "30");
    until("it does not begin", || world.position("a") > 0);
    let mut fast = world.start("a", &["resume", "s1"], "0");
    let ended = |event: &Event| matches!(event, Event::TrialFinished(_));
    until("nobody joins", || world.count("a", ended) >= 3);
    let sql = "select count(*), count(accuracy) from trial where status in ('trained', 'failed')";
    let ran = world.run("a", &["sql", sql, "--format", "tsv", "--no-header"]);
    let (trained, known) =
        ran.stdout().trim().split_once('\t').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert!(trained == known && trained != "0", "{trained} {known}");
    assert_eq!(world.count("a", |event| matches!(event, Event::ExperienceRecorded(_))), 0);
    for process in [&mut slow, &mut fast] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
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

/// Waits until something is so.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(10));
    }
}

/// A search that another process carries on is joined, by `resume` or by the command that began it.
#[test]
fn a_running_search_is_joined_and_either_process_may_be_killed() {
    let world = World::new();
    let told =
        [&World::tiny("7")[..], &["--in-flight", "4", "--name", "o", "--or-resume"]].concat();
    world.run("unbroken", &told).code(0);
    let staging = std::fs::read_dir(world.path("unbroken/artifacts/staging")).unwrap();
    assert_eq!(staging.count(), 0, "a process that has ended leaves nothing");
    let mut first = world.start("a", &told, "0.5");
    until("it does not begin", || world.position("a") > 8);
    let mut second = world.start("a", &told, "0.2");
    let mut third = world.start("a", &["resume", "o"], "0.2");
    let workers = |world: &World| {
        let started = world.events("a").into_iter().filter_map(|recorded| match recorded.event {
            Event::AttemptStarted(started) => Some(started.worker),
            _ => None,
        });
        started.collect::<std::collections::BTreeSet<_>>().len()
    };
    until("nobody joins", || workers(&world) == 3);
    world.run("a", &["status"]).code(0).says("running, process ");
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(second.wait().unwrap().success() && third.wait().unwrap().success());
    assert_eq!(world.digest("a"), world.digest("unbroken"));
    world.run("a", &["log", "verify"]).code(0);
    world.run("a", &["resume"]).code(0).says("nothing is left to do");
    // That of the killed one is swept by those that went on.
    let left = std::fs::read_dir(world.path("a/lock")).unwrap().flatten();
    let names = left.filter_map(|entry| entry.file_name().into_string().ok());
    assert_eq!(names.filter(|name| name.starts_with("worker-")).count(), 0);
}

/// Whoever joins a search is told what is not as it says.
#[test]
fn settings_that_differ_are_named() {
    let world = World::new();
    let named =
        |seed: &'static str| [&World::tiny(seed)[..], &["--name", "o", "--or-resume"]].concat();
    world.run("a", &named("7")).code(0);
    let other = [&named("8")[..], &["--in-flight", "4"]].concat();
    world
        .run("a", &other)
        .code(0)
        .says("s1 keeps the settings that it began with: schedule.in-flight is the default, not 4; seed is 7, not 8");
    let events = world.events("a").len();
    let series = [&named("7")[..], &["--repeat", "2"]].concat();
    world.run("a", &series).code(2).says("o is s1, not a series of searches");
    assert_eq!(world.events("a").len(), events);
}

/// Whoever is suspended loses its trial to those that have nothing else to do; what it has to say when
/// it comes back is recorded beside it.
#[test]
fn a_suspended_process_holds_nobody_up_and_its_result_is_late() {
    let world = World::new();
    let told = [&World::tiny("7")[..], &["--name", "o"]].concat();
    world.run("unbroken", &told).code(0);
    let mut first = world.start("a", &told, "0.4");
    until("it does not begin", || {
        world.path("a").exists()
            && world.count("a", |event| matches!(event, Event::AttemptStarted(_))) > 1
    });
    sleep(Duration::from_millis(100)); // its trainer is asked after that is recorded
    let pid = rustix::process::Pid::from_child(&first);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let mut second = world.qtrail("a", &["resume", "o"]);
    let second = second.env("QTRAIL_TRAINER_SILENCE", "3").env("QTRAIL_EXAMPLE_DELAY", "0.01");
    common::Ran(second.output().unwrap()).code(0).says("s1 is finished: 12 models");
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    assert!(first.wait().unwrap().success());
    assert_eq!(world.digest("a"), world.digest("unbroken"));
    let events = world.events("a");
    let silent = |event: &Event| matches!(event, Event::AttemptLost(lost) if lost.reason.starts_with("its process was not heard of for "));
    assert!(events.iter().any(|recorded| silent(&recorded.event)), "nobody took over");
    assert_eq!(world.count("a", |event| matches!(event, Event::ResultLate(_))), 1);
    let columns =
        ["table", "repeats", "--columns", "same_result", "--format", "csv", "--no-header"];
    assert_eq!(world.run("a", &columns).code(0).stdout().trim(), "1");
    world.run("a", &["log", "verify", "--deep"]).code(0);
}

/// Dies of every training while there is a file that says so; else it is the example.
const BROKEN: &str = r#"#!/usr/bin/env python3
import os, sys
if os.path.exists("BROKEN") and "RUN" not in os.environ:
    for line in sys.stdin:
        if '"train"' in line:
            sys.exit(1)
        print('{"type":"hello","protocol":1,"program":"broken 1","devices":["cpu"],"threads":1}', flush=True)
os.execv("TRAINER", ["TRAINER"] + sys.argv[1:])
"#;

#[test]
fn lost_trials_are_tried_again_when_that_is_asked_for() {
    let world = World::new();
    let (mark, trainer) = (world.path("broken-now"), common::trainer());
    let script = BROKEN
        .replace("BROKEN", mark.to_str().unwrap())
        .replace("TRAINER", trainer.to_str().unwrap());
    let program = world.script("broken", &script);
    let program = ["--trainer", program.to_str().unwrap()];
    std::fs::write(&mark, "").unwrap();
    let told = [&World::tiny("7")[..], &program].concat();
    let ran = world.run("a", &told);
    ran.code(6).says("the trainers of this process lost several attempts of s1 in a row");
    ran.says("--retry-lost retries 3 lost trials");
    let lost = |world: &World| {
        let columns =
            ["sql", "SELECT count(*) FROM trial WHERE status = 'lost'", "--format", "csv"];
        world.run("a", &[&columns[..], &["--no-header"]].concat()).code(0).stdout()
    };
    assert_eq!(lost(&world).trim(), "3");
    std::fs::remove_file(&mark).unwrap();
    let resume = [&["resume", "s1", "--retry-lost"][..], &program].concat();
    world.run("a", &resume).code(0).says("s1: 3 trials that were given up are tried again");
    assert_eq!(lost(&world).trim(), "0");
    // They are learned from before anything else, and count once.
    let planned = world.count("a", |event| matches!(event, Event::TrialPlanned(_)));
    assert_eq!(world.count("a", |event| matches!(event, Event::TrialFinished(_))), planned);
    world.run("a", &["log", "verify", "--deep"]).code(0);
    world.run("a", &resume).code(0).says("s1: no trial was given up");
    world.run("a", &["replay", "s1", "--policy", "uniform", "--seeds", "0..1"]).code(0);
    world.run("a", &["fork", "s1", "--extend", "0.1:2", "--name", "f"]).code(0);
    world.run("a", &["resume", "f"]).code(0);
}

/// One of several trainers that cannot start leaves nothing, like the first.
#[test]
fn all_trainers_are_there_before_anything_is_recorded() {
    let world = World::new();
    let script = r#"#!/usr/bin/env python3
import os, sys
try:
    os.mkdir("ONCE")
except FileExistsError:
    sys.exit(1)
os.execv("TRAINER", ["TRAINER"])
"#;
    let script = script
        .replace("ONCE", world.path("once").to_str().unwrap())
        .replace("TRAINER", common::trainer().to_str().unwrap());
    let program = world.script("once.py", &script);
    let told = [&World::tiny("7")[..], &["--device", "cpu*2", "--trainer"]].concat();
    let told = [&told[..], &[program.to_str().unwrap()]].concat();
    assert_ne!(world.run("a", &told).0.status.code(), Some(0));
    assert!(!world.path("a").exists());
}
