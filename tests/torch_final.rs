//! Final training through libtorch, killed after epochs and resumed: the same digest, which has
//! the hashes of weights and of probabilities in it.
#![cfg(feature = "train")]
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::process::{Command, Stdio};

use common::World;
use qtrail::events::digest::Digests;
use qtrail::events::{Event, Fold as _, Hash, Outcome, Recorded, Scope};

/// One network with dropout, long enough to be killed in.
const RUN: [&str; 16] = [
    "transfer",
    "t1",
    "--data",
    "data",
    "--init",
    "scratch",
    "--recipe",
    "short",
    "--threads",
    "1",
    "--set",
    "recipe.epochs=12",
    "--set",
    "recipe.batch=16",
    "--set",
    "recipe.augment={mirror=true,translate=2}",
];

fn qtrail(world: &World, store: &str, arguments: &[&str]) -> Command {
    let mut command = world.qtrail(store, arguments);
    command.env("QTRAIL_TRAINER", env!("CARGO_BIN_EXE_qtrail-torch")).env("QTRAIL_CUDA", "0");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn epochs(events: &[Recorded]) -> usize {
    events.iter().filter(|recorded| matches!(recorded.event, Event::EpochFinished(_))).count()
}

fn digest(events: &[Recorded]) -> (Hash, Option<Hash>) {
    let digests = Digests::default().folded(events).unwrap();
    let run = digests.finish().into_iter().find(|(scope, _)| *scope == Scope::Run(2)).unwrap();
    let weights = events.iter().rev().find_map(|recorded| match &recorded.event {
        Event::TrialFinished(finished) => match finished.outcome {
            Outcome::Trained { weights, .. } => weights,
            Outcome::Failed { .. } => None,
        },
        _ => None,
    });
    (run.1, weights)
}

#[test]
fn killed_after_epochs_it_ends_with_the_same_weights_and_probabilities() {
    let world = World::new();
    let net = "[C(4,3,1), P(4,4), FC(8), SM(10)]";
    let train = ["train", net, "--preset", "tiny", "--data", "data", "--threads", "1"];
    let train = [&train[..], &["--set", "recipe.chance=0"]].concat();
    assert!(qtrail(&world, "a", &train).status().unwrap().success());
    let copied = Command::new("cp").args(["-r", "a", "whole"]).current_dir(world.path("")).status();
    assert!(copied.unwrap().success());
    assert!(qtrail(&world, "whole", &RUN).status().unwrap().success());
    let whole = world.events("whole");

    // An epoch is three events: its end, its checkpoint, the release of the one before.
    let mut child = qtrail(&world, "a", &RUN).spawn().unwrap();
    for more in [9, 8, 13] {
        world.kill_after("a", &mut child, more);
        child = qtrail(&world, "a", &["resume"]).spawn().unwrap();
    }
    assert!(child.wait().unwrap().success());
    let events = world.events("a");
    let went_on = |recorded: &&Recorded| matches!(&recorded.event, Event::AttemptStarted(started) if started.continues.is_some());
    assert!(events.iter().filter(went_on).count() >= 2);
    assert!(epochs(&events) < 2 * epochs(&whole), "it did not go on where it stopped");
    assert!(digest(&whole).1.is_some());
    assert_eq!(digest(&events), digest(&whole));
}
