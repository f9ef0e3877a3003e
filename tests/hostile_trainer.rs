//! Trainers that lie, hang, die and do harm (`tests/hostile_trainer.py`): each way ends as a lost
//! attempt, a failed trial or a clear error, never as a panic, a result or a full memory.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, clippy::cast_possible_truncation)]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Ran, World};
use qtrail::events::{Event, FailedReason, Hash, Outcome};

const TRAIN: [&str; 9] = [
    "train",
    "[C(8,3,1), SM(10)]",
    "--preset",
    "tiny",
    "--data",
    "data",
    "--threads",
    "1",
    "--set=keep-weights=\"all\"",
];

/// The program with a trainer that does harm in one way.
fn hostile(world: &World, store: &str, arguments: &[&str], way: &str) -> Command {
    let trainer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile_trainer.py");
    let mut command = world.qtrail(store, arguments);
    command.env("QTRAIL_TRAINER", trainer).env("QTRAIL_HOSTILE", way);
    // Silence that is a hang, and with it standing still, after a short time.
    command.env("QTRAIL_TRAINER_SILENCE", "0.4").env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn train(world: &World, way: &str) -> Ran {
    Ran(hostile(world, way, &TRAIN, way).output().unwrap())
}

/// Why the attempts of a store were lost.
fn losses(world: &World, store: &str) -> Vec<(bool, String)> {
    let events = world.events(store);
    let lost = events.into_iter().filter_map(|recorded| match recorded.event {
        Event::AttemptLost(lost) => Some((lost.counts, lost.reason)),
        _ => None,
    });
    lost.collect()
}

fn outcomes(world: &World, store: &str) -> Vec<Outcome> {
    let events = world.events(store);
    let ended = events.into_iter().filter_map(|recorded| match recorded.event {
        Event::TrialFinished(finished) => Some(finished.outcome),
        _ => None,
    });
    ended.collect()
}

#[track_caller]
fn is_lost(world: &World, way: &str, expected: &str) {
    let ran = three_attempts(world, way, true, expected);
    let code = ran.0.status.code();
    assert!(matches!(code, Some(0 | 6)), "{way}: {code:?}\n{}", ran.stderr());
}

/// Three attempts end with this reason; `counted` says whether they count.
#[track_caller]
fn three_attempts(world: &World, way: &str, counted: bool, expected: &str) -> Ran {
    let ran = train(world, way);
    let losses = losses(world, way);
    assert_eq!(losses.len(), 3, "{way}: {losses:?}");
    for (counts, reason) in losses {
        assert_eq!(counts, counted, "{way}: {reason:?}");
        assert!(reason.contains(expected), "{way}: {reason:?} has no {expected:?}");
        assert!(reason.len() <= 2_000, "{way}: {}", reason.len());
    }
    assert_eq!(outcomes(world, way), [], "{way}");
    ran
}

/// A trainer that says that it cannot do what it is asked.
#[test]
fn a_trainer_that_refuses_three_times_stops_the_work_and_nothing_counts() {
    let world = World::new();
    for (way, expected) in [("long-error", "\u{1F600}"), ("control", "owned")] {
        let ran = three_attempts(&world, way, false, expected);
        ran.code(6)
            .says("the trainer reported three errors in a row; the last: ")
            .says("qtrail resume");
        assert!(ran.stderr().len() < 6_000, "{way}: {}", ran.stderr().len());
        assert!(!ran.stderr().contains('\u{1b}'), "{way}: {:?}", ran.stderr());
    }
}

#[test]
fn a_trainer_that_ends_hangs_or_talks_nonsense_is_lost() {
    let world = World::new();
    for (way, expected) in [
        ("exit", "the trainer ended"),
        ("dies", "its last words: out of luck"),
        ("half-a-line", "it said \"{\\\"type"),
        ("hangs", "it said nothing for"),
        ("endless-line", "it said \"xxx"),
        ("deep", "it said \"{\\\"type"),
        ("not-utf8", "it said \"{\\\"type"),
        ("noise", "its last words"),
        ("orphan", "the trainer ended (exit status: 1)"),
        ("other-id", "no answer to the request"),
    ] {
        is_lost(&world, way, expected);
    }
}

#[test]
fn numbers_that_cannot_be_are_not_recorded() {
    let world = World::new();
    for (way, expected) in [
        ("nan", "it said"),
        ("infinite", "it said"),
        ("negative-count", "it said"),
        ("too-many-correct", "it reported 1000000000 of 200 training"),
        ("one-image", "it reported 200 training and 1 validation images; the split has 200 and"),
        ("all-images", "4294967295 validation images; the split has"),
        ("negative-seconds", "it reported a duration of -1000000000000, which cannot be"),
        ("endless-seconds", "it reported a duration of 1000000"),
        ("negative-rate", "it reported a learning rate of -5, which cannot be"),
        ("epoch-2-first", "out of order"),
        ("no-epochs", "no answer to the request"),
        ("other-epoch", "it reported progress of epoch 4294967295"),
        ("memory", "it reported 18446744073709551615 bytes of memory"),
    ] {
        is_lost(&world, way, expected);
    }
}

#[test]
fn files_that_are_none_are_not_taken() {
    let world = World::new();
    for way in ["no-file", "outside", "absolute", "long-name", "link", "directory", "pipe"] {
        is_lost(&world, way, "the trainer left no file");
    }
    let sparse = "the trainer left \"w\" with 42949672960 bytes; at most 67108864 are taken";
    is_lost(&world, "sparse", sparse);
    assert!(world.path("data/train-labels-idx1-ubyte").exists());
}

#[test]
fn files_of_final_trainings_are_not_trusted_either() {
    let world = World::new();
    world.run("a", &World::tiny("1")).code(0);
    for (way, expected) in
        [("checkpoint", "at most 67108864 are taken"), ("probabilities", "at most")]
    {
        let copy = format!("a-{way}");
        world.copy(&world.path("a"), &copy);
        let arguments = ["final", "s1", "--top", "1", "--recipe", "short", "--threads", "1"];
        let ran = Ran(hostile(&world, &copy, &arguments, way).output().unwrap());
        assert!(matches!(ran.0.status.code(), Some(0 | 6)), "{}", ran.stderr());
        let losses = losses(&world, &copy);
        assert!(losses.len() >= 3, "{losses:?}");
        assert!(losses.iter().all(|(counts, why)| *counts && why.contains(expected)), "{losses:?}");
    }
}

/// Whatever a trainer does while a model is tried, nothing is recorded.
#[test]
fn models_that_the_trainer_does_not_survive_are_refused() {
    let world = World::new();
    world.run("a", &World::tiny("1")).code(0);
    std::fs::write(world.path("net.pt"), "PK\u{3}\u{4}").unwrap();
    let before = world.position("a");
    let model = ["attack", "--model", "torchscript:net.pt", "--data", "data", "--threads", "1"];
    for (way, expected) in [
        ("segfault", "net.pt makes the trainer crash, so it cannot be attacked: the trainer ended"),
        ("segfault", "SIGSEGV"),
        // Whoever killed it, it was not the model.
        ("killed-once", "net.pt cannot be attacked: this one lives"),
        ("no-logits", "net.pt cannot be attacked: the trainer left no file \"l\""),
        ("no-classes", "the trainer says that the model has 0 classes"),
        ("", "net.pt cannot be attacked: this trainer only trains"),
    ] {
        Ran(hostile(&world, "a", &model, way).output().unwrap()).code(2).says(expected);
        assert_eq!(world.position("a"), before, "{way}");
    }
}

/// Lines that come faster than they are read wait in the pipe, and do not keep a trainer that gets
/// nowhere alive.
#[test]
fn endless_progress_ends_and_takes_no_memory() {
    let world = World::new();
    for way in ["flood", "forever"] {
        let mut command = hostile(&world, way, &TRAIN, way);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (began, mut most) = (Instant::now(), 0);
        while child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < Duration::from_secs(90), "{way} does not end");
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
            let resident = status.unwrap_or_default().lines().find_map(|line| {
                line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok()
            });
            most = most.max(resident.unwrap_or(0));
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!((1..300_000).contains(&most), "{way}: {most} kB");
        let losses = losses(&world, way);
        assert_eq!(losses.len(), 3, "{way}: {losses:?}");
        assert!(losses.iter().all(|(_, why)| why.contains("the same progress for")), "{losses:?}");
    }
}

/// A store holds what the file held when it was taken.
#[test]
fn artifacts_cannot_be_changed_by_the_trainer_that_left_them() {
    let world = World::new();
    for way in ["hard-link", "later"] {
        train(&world, way).code(0);
        let [Outcome::Trained { weights: Some(weights), kept: true, .. }] =
            outcomes(&world, way)[..]
        else {
            panic!("{way}: no weights")
        };
        assert_eq!(weights, Hash::of(&[b'A'; 1000]));
        std::thread::sleep(Duration::from_millis(500));
        let path = world.path(way).join("artifacts").join(weights.to_string());
        assert_eq!(std::fs::read(path).unwrap(), [b'A'; 1000], "{way}");
    }
}

#[test]
fn durations_are_bounded_by_the_time_that_passed() {
    let world = World::new();
    train(&world, "hours").code(0);
    let mut epochs = 0;
    for recorded in world.events("hours") {
        if let Event::EpochFinished(epoch) = recorded.event {
            assert!((0.0..60.0).contains(&epoch.seconds), "{}", epoch.seconds);
            epochs += 1;
        }
    }
    assert!(epochs > 0);
}

#[test]
fn a_long_reason_of_failure_is_cut() {
    let world = World::new();
    train(&world, "long-failure").code(0);
    let [Outcome::Failed { reason: FailedReason::Chance, message }] =
        &outcomes(&world, "long-failure")[..]
    else {
        panic!("not failed")
    };
    assert_eq!(message.len(), 500);
}

#[test]
fn a_hello_that_cannot_be_is_refused_and_nothing_is_trained() {
    let world = World::new();
    for (way, expected) in [
        ("long-program", "names a program of 50000 bytes; at most 200 are taken"),
        ("long-library", "names a library of 4000 bytes"),
        ("control-name", "names a program with control characters: \"evil\\u{1b}"),
        ("outside-device", "names a device \"../../../../tmp/device\"; names have 1 to 32"),
        ("control-device", "names a device \"x\\n"),
        ("long-device", "names a device \"ddd"),
        ("many-devices", "names 5000 devices; at most 64 are taken"),
        ("no-device", "names no device"),
        ("other-protocol", "speaks protocol 4294967295, not 1"),
        ("garbage", "instead of hello"),
    ] {
        let ran = train(&world, way);
        ran.code(2).says(expected);
        assert!(ran.stderr().len() < 3_000, "{way}: {}", ran.stderr().len());
        assert!(!ran.stderr().contains('\u{1b}'), "{way}: {:?}", ran.stderr());
        assert!(!world.path(way).exists(), "{way}: there is a store");
    }
}

/// Whoever took the folder away, nothing is read or written elsewhere, and the attempt is free.
#[test]
fn a_staging_folder_that_is_gone_or_a_link_stops_the_work() {
    let world = World::new();
    for (way, expected) in
        [("removes-staging", " is gone"), ("links-staging", " was replaced while it was in use")]
    {
        let ran = train(&world, way);
        ran.code(5).says("artifacts/staging/worker-").says(expected).says("qtrail resume");
        let losses = losses(&world, way);
        assert!(losses.iter().all(|(counts, _)| !counts), "{losses:?}");
        assert_eq!(outcomes(&world, way), []);
        let mut resumed = hostile(&world, way, &["resume"], "");
        Ran(resumed.output().unwrap()).code(0).says("r1 is finished");
    }
    assert_eq!(std::fs::read(world.path("elsewhere/w")).unwrap(), b"elsewhere");
}
