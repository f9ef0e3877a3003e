//! After the search: final training and transfer, killed, interrupted and resumed. The trainer is
//! the example in Python.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, clippy::cast_possible_truncation)]

mod common;

use std::collections::HashSet;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::World;
use qtrail::events::digest::Digests;
use qtrail::events::{Event, Fold as _, Hash, Outcome, PredictedPart, Recorded, RunModel, Scope};

const RUN: Scope = Scope::Run(1);
const FINAL: [&str; 9] =
    ["final", "s1", "--top", "3", "--recipe", "short", "--threads", "1", "--seed=5"];

fn kill(signal: &str, pid: u32) {
    Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
}

#[track_caller]
fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(5));
    }
}

/// A world with a finished search in the store `a`.
fn searched() -> World {
    let world = World::new();
    world.run("a", &World::tiny("1")).code(0);
    world
}

fn digest(events: &[Recorded], scope: Scope) -> Hash {
    let digests = Digests::default().folded(events).unwrap();
    digests.finish().into_iter().find(|(of, _)| *of == scope).unwrap().1
}

fn models(events: &[Recorded]) -> Vec<RunModel> {
    let model = |recorded: &Recorded| match &recorded.event {
        Event::RunModel(model) => Some(model.clone()),
        _ => None,
    };
    events.iter().filter_map(model).collect()
}

/// Files among the artifacts of a store.
fn artifacts(world: &World, store: &str) -> HashSet<String> {
    let entries = std::fs::read_dir(world.path(store).join("artifacts")).unwrap().flatten();
    let names = entries.filter(|entry| entry.path().is_file());
    names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Copies a store that nobody works in.
fn copy(world: &World, from: &str, to: &str) {
    let [from, to] = [from, to].map(|name| world.path(name));
    assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
}

#[test]
fn the_best_of_a_search_are_trained_long_and_shown_the_test_images() {
    let world = searched();
    let ran = world.run("a", &FINAL);
    ran.code(0)
        .says("the 3 best of s1 by validation accuracy, recipe short")
        .says("r1 is finished");
    let events = world.events("a");
    let top =
        world.run("a", &["table", "top", "--search", "s1", "--limit", "3", "--format", "csv"]);
    for (line, model) in top.stdout().lines().skip(1).zip(models(&events)) {
        assert!(line.contains(&model.architecture.to_string()), "{line} {model:?}");
        assert!(model.source.is_some_and(|source| source.scope == Scope::Search(1)));
    }
    let mut trained = 0;
    for (index, recorded) in events.iter().enumerate().filter(|(_, r)| r.scope == RUN) {
        let Event::TrialFinished(finished) = &recorded.event else { continue };
        if !matches!(finished.outcome, Outcome::Trained { kept: true, .. }) {
            continue;
        }
        trained += 1;
        // Both in the same batch, before the end: recorded at the same time.
        for (made, part) in events[index - 2..index].iter().zip(PredictedPart::ALL) {
            let Event::PredictionsRecorded(made) = &made.event else { panic!("{made:?}") };
            assert_eq!((made.part, made.classes, made.trial), (part, 10, finished.trial));
            let read = |hash: Hash| {
                std::fs::read(world.path("a/artifacts").join(hash.to_string())).unwrap()
            };
            let (rows, labels) = (read(made.probabilities), read(made.labels));
            assert_eq!(
                (rows.len(), labels.len()),
                (made.images as usize * 40, made.images as usize)
            );
            let correct = qtrail::engine::predictions::check(&rows, &labels, 10).unwrap();
            assert_eq!(correct, made.correct);
        }
    }
    assert!(trained >= 2, "{trained}");
    let columns = "trial,test_accuracy,purpose,recipe,fit,source,epochs";
    let table = world.run("a", &["table", "trials", "--search", "r1", "--columns", columns]);
    table.code(0).says("final").says("short").says("train");
    world.run("a", &["table", "searches"]).code(0).says("final");
    let trial = format!("t{}", 12 + 1);
    world.run("a", &["show", &trial]).code(0).says("final of t").says("recipe short");
    world.run("a", &["show", "r1"]).code(0).says("purpose");
    // A test error is in the comparison only where the data set is one of the papers'.
    world.run("a", &["table", "published"]).code(0);
}

#[test]
fn killed_at_any_epoch_and_resumed_it_is_the_same_training() {
    let world = searched();
    copy(&world, "a", "whole");
    world.run("whole", &FINAL).code(0);
    let expected = world.events("whole");
    // An epoch is three events: its end, its checkpoint, the release of the one before.
    let mut child = world.start("a", &FINAL, "0.05");
    for more in [16, 8, 10, 9, 12, 7] {
        world.kill_after("a", &mut child, more);
        child = world.start("a", &["resume"], "0.05");
    }
    child.wait().unwrap();
    world.run("a", &["resume"]).code(0);
    let events = world.events("a");
    let goes_on = |recorded: &&Recorded| matches!(&recorded.event, Event::AttemptStarted(started) if started.continues.is_some());
    assert!(events.iter().filter(goes_on).count() >= 2, "it was never taken up in the middle");
    assert_eq!(digest(&events, RUN), digest(&expected, RUN));
    // No checkpoint stays, but for what a kill left between a file and its event.
    let (mine, whole) = (artifacts(&world, "a"), artifacts(&world, "whole"));
    assert!(mine.is_superset(&whole) && mine.len() - whole.len() <= 6, "{mine:?} {whole:?}");
    // Epochs that count are there once each, also in the tables.
    for store in ["a", "whole"] {
        let epochs =
            ["table", "epochs", "--search", "r1", "--where", "lost = 0", "--format", "csv"];
        let counted =
            [&epochs[..], &["--columns", "trial,restart,epoch,validation_accuracy"]].concat();
        let lines = world.run(store, &counted).stdout();
        let distinct: HashSet<&str> = lines.lines().collect();
        assert_eq!(distinct.len(), lines.lines().count(), "{lines}");
        assert_eq!(lines.lines().count(), world.run("whole", &counted).stdout().lines().count());
    }
}

#[test]
fn ctrl_c_stops_after_the_epoch() {
    let world = searched();
    copy(&world, "a", "whole");
    world.run("whole", &FINAL).code(0);
    let begun = world.position("a");
    let mut command = world.qtrail("a", &FINAL);
    command.env("QTRAIL_EXAMPLE_DELAY", "0.3").stdout(std::process::Stdio::null());
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    // The beginning (1 + 3 models + configuration), trial, attempt, an epoch.
    soon("no epoch", || world.position("a") > begun + 8);
    kill("-INT", child.id());
    let asked = Instant::now();
    let ran = common::Ran(child.wait_with_output().unwrap());
    ran.code(6).says("stopping after the running epoch").says("`qtrail resume r1` goes on");
    assert!(asked.elapsed() < Duration::from_millis(1_500), "{:?}", asked.elapsed());
    let interrupted = world.count("a", |event| {
        matches!(event, Event::AttemptLost(lost) if !lost.counts && lost.reason.contains("interrupted after epoch"))
    });
    assert_eq!(interrupted, 1);
    world.run("a", &["status"]).code(0).says("stopped: qtrail resume r1");
    world.run("a", &["resume"]).code(0).says("r1 is finished");
    assert_eq!(digest(&world.events("a"), RUN), digest(&world.events("whole"), RUN));
    // Without its checkpoint a training starts anew, and says so.
    let mut child = world.start("a", &FINAL, "0.3");
    let kept = |recorded: &Recorded| {
        recorded.scope == Scope::Run(2) && matches!(recorded.event, Event::CheckpointKept(_))
    };
    soon("no checkpoint", || world.events("a").iter().any(kept));
    kill("-9", child.id());
    child.wait().unwrap();
    let newest = world.events("a").iter().rev().find_map(|recorded| match &recorded.event {
        Event::CheckpointKept(kept) => Some(kept.artifact),
        _ => None,
    });
    std::fs::remove_file(world.path("a/artifacts").join(newest.unwrap().to_string())).unwrap();
    world.run("a", &["resume"]).code(0).says("is gone or damaged: it starts anew");
    let (mine, whole) = (digest(&world.events("a"), Scope::Run(2)), world.events("whole"));
    assert_eq!(mine, digest(&whole, RUN));
}

#[test]
fn validation_images_that_are_trained_on_say_nothing() {
    let world = searched();
    let fit = [&FINAL[..], &["--fit", "train+val", "--set", "recipe.epochs=2"]].concat();
    world.run("a", &fit).code(0).says("validation images are trained on too");
    let columns = ["--columns", "fit,accuracy,test_accuracy,recipe", "--format", "csv"];
    let table =
        [&["table", "trials", "--search", "r1", "--where", "status = 'trained'"], &columns[..]];
    let lines = world.run("a", &table.concat()).stdout();
    for line in lines.lines().skip(1) {
        assert!(line.starts_with("train+val,,0."), "{line}");
        assert!(line.ends_with(",short (changed)"), "{line}");
    }
}

#[test]
fn an_architecture_is_taken_to_other_images() {
    let world = searched();
    common::write_images(&world.path("other"), 20, 40);
    let top = ["table", "top", "--search", "s1", "--limit", "1", "--columns", "trial"];
    let best = world.run("a", &[&top[..], &["--format", "csv", "--no-header"]].concat()).stdout();
    let best = best.trim();
    for init in ["scratch", "weights"] {
        let run = ["transfer", best, "--data", "other", "--init", init, "--recipe", "short"];
        let ran = world.run("a", &[&run[..], &["--repeats", "3"]].concat());
        ran.code(0).says("is finished: 3 models").says("20 x 20 pixels");
        if init == "weights" {
            ran.says(&format!("from {best}: "));
        }
    }
    let table = world.run("a", &["table", "transfer", "--format", "csv"]);
    table.code(0).says("cifar100,27.14,34.93,24.28");
    let here = table.stdout().lines().find(|line| line.starts_with("other,")).unwrap().to_owned();
    assert!(here.contains(best) && here.contains("this store"), "{here}");
    let errors: Vec<f64> =
        here.split(',').skip(1).take(2).map(|error| error.parse().unwrap()).collect();
    assert!(errors.iter().all(|error| (0.0..100.0).contains(error)), "{here}");
    let initial = models(&world.events("a")).into_iter().map(|model| model.initial);
    let [None, Some(initial)] = &initial.collect::<Vec<_>>()[..] else { panic!() };
    assert!(initial.freeze == 0 && !initial.layers.is_empty());
}

#[test]
fn mistakes_have_a_clear_message_and_change_nothing() {
    let world = searched();
    common::write_images(&world.path("small"), 4, 40);
    std::fs::write(world.path("bad.toml"), "epoch = 3").unwrap();
    let broken = std::fs::read_to_string(common::trainer()).unwrap();
    let broken =
        broken.replace("    name, seed, recipe", "    os._exit(1)\n    name, seed, recipe");
    std::fs::write(world.path("broken.py"), broken).unwrap();
    Command::new("chmod").arg("755").arg(world.path("broken.py")).status().unwrap();
    let search = [&World::tiny("1")[..], &["--trainer", "broken.py"]].concat();
    world.run("empty", &search).code(6).says("lost several attempts of s1 in a row");
    world.run("empty", &["final"]).code(2).says("s1 has no trained model");
    let position = world.position("a");
    let deep = "t1";
    for (arguments, message) in [
        (vec!["final", "s9"], "no search or run is called s9"),
        (vec!["final", "--recipe", "long"], "no recipe is called long"),
        (vec!["final", "--recipe", "help"], "the recipes are"),
        (vec!["final", "--recipe", "bad.toml"], "unknown field `epoch`"),
        (vec!["final", "--top", "0"], "0 is not in 1..=50"),
        (vec!["final", "--fit", "all"], "neither `train` nor `train+val`"),
        (vec!["final", "--data", "nowhere"], "nowhere"),
        (vec!["final", "--trainer", "none.py"], "there is no trainer"),
        (vec!["final", "--set", "recipe.epochs=0"], "recipe.epochs = 0"),
        (vec!["transfer", deep, "--init", "scratch"], "transfer to which images?"),
        (vec!["transfer", "t99", "--init", "scratch", "--data", "data"], "there is no trial t99"),
        (vec!["transfer", "x", "--init", "scratch", "--data", "data"], "there is no trial x"),
        (
            vec!["transfer", deep, "--init", "scratch", "--data", "data", "--freeze", "1"],
            "from scratch there are none",
        ),
    ] {
        world.run("a", &arguments).code(2).says(message);
        assert_eq!(world.position("a"), position, "{arguments:?}");
    }
    world.run("none", &["final"]).code(2).says("there is no store at");
    // Images that are gone, or others.
    std::fs::rename(world.path("data"), world.path("moved")).unwrap();
    world.run("a", &["final", "--recipe", "short"]).code(2).says("data");
    common::write_images(&world.path("data"), 28, 41);
    let other = world.run("a", &["final", "--recipe", "short"]);
    other.code(2).says("is not the one that s1 began with");
    assert_eq!(world.position("a"), position);
    world.run("a", &["final", "--recipe", "short", "--data", "moved", "--top", "1"]).code(0);
}

#[test]
fn what_is_taken_over_is_said_and_what_cannot_be_frozen_is_refused() {
    let world = World::new();
    for (name, side) in [("same-size", 28), ("small", 20), ("tiny", 4)] {
        common::write_images(&world.path(name), side, 41);
    }
    let net = "[C(8,3,1), P(5,3), C(8,3,1), FC(16), SM(10)]";
    world.run("a", &["train", net, "--preset", "tiny", "--data", "data", "--seed", "1"]).code(0);
    let transfer = |data: &'static str, more: &[&'static str]| {
        let start = ["transfer", "t1", "--data", data, "--init", "weights", "--recipe", "short"];
        world.run("a", &[&start[..], more].concat())
    };
    // The head knows other classes, even if they are as many.
    let ran = transfer("same-size", &["--freeze", "3"]);
    ran.code(0).says("layers taken over from t1: 1, 3, 4; begin anew: 5, SM(10)");
    // The first fully connected layer reads a map of another size.
    let ran = transfer("small", &[]);
    ran.code(0).says("layers taken over from t1: 1, 3; begin anew: 4, FC(16); 5, SM(10)");
    let position = world.position("a");
    let ran = transfer("small", &["--freeze", "4"]);
    ran.code(2)
        .says("layer 4, FC(16), begins anew, so it has to be trained")
        .says("--freeze 3 at most");
    transfer("same-size", &["--freeze", "5"]).code(2).says("nothing would be left to train");
    transfer("tiny", &[]).code(2).says("t1 does not fit tiny: layer 2, P(5,3): its field exceeds");
    assert_eq!(world.position("a"), position);
    let models = models(&world.events("a"));
    let initial: Vec<_> = models.iter().filter_map(|model| model.initial.clone()).collect();
    assert_eq!((initial[0].freeze, &initial[0].layers[..]), (3, &[1, 3, 4][..]));
}
