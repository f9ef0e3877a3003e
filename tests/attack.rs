//! `qtrail attack` through the program and the trainer that comes with it.
#![cfg(feature = "train")]
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Ran, World};
use qtrail::events::digest::Digests;
use qtrail::events::{Event, Fold as _, Hash, Scope};

const TRAINER: &str = env!("CARGO_BIN_EXE_qtrail-torch");
/// A short attack, with one transformation of each kind of chance.
const SHORT: [&str; 15] = [
    "attack",
    "--threads",
    "1",
    "--top",
    "2",
    "--images",
    "60",
    "--batch",
    "20",
    "--eps",
    "4,16",
    "--transform",
    "blur=1",
    "--transform",
    "noise=8x2",
];

struct Attacked(World);

impl Attacked {
    /// A store `a` with a tiny search in it.
    fn new() -> Self {
        let world = Self(World::new());
        world.run("a", &World::tiny("7")).code(0);
        world
    }

    fn run(&self, store: &str, arguments: &[&str]) -> Ran {
        Ran(self.command(store, arguments).output().unwrap())
    }

    fn command(&self, store: &str, arguments: &[&str]) -> std::process::Command {
        let mut command = self.0.qtrail(store, arguments);
        command.env("QTRAIL_TRAINER", TRAINER).env("QTRAIL_CUDA", "0");
        command
    }

    fn start(&self, store: &str, arguments: &[&str]) -> Child {
        let mut command = self.command(store, arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn copy(&self, from: &str, to: &str) {
        let (from, to) = (self.0.path(from), self.0.path(to));
        let mut copy = std::process::Command::new("cp");
        assert!(copy.arg("-r").arg(from).arg(to).status().unwrap().success());
    }

    /// The digest of the attack in a store, and the artifacts that its events name.
    fn outcome(&self, store: &str) -> (Hash, Vec<Hash>) {
        let (mut digests, mut artifacts) = (Digests::default(), Vec::new());
        for recorded in self.0.events(store) {
            digests.apply(&recorded).unwrap();
            if let Event::ImagesCrafted(crafted) = &recorded.event {
                artifacts.push(crafted.artifact);
            }
        }
        artifacts.sort_unstable();
        let attack = digests.finish().into_iter().find(|(scope, _)| *scope == Scope::Attack(1));
        (attack.unwrap().1, artifacts)
    }

    fn count(&self, store: &str, wanted: fn(&Event) -> bool) -> usize {
        self.0.count(store, wanted)
    }
}

fn scored(event: &Event) -> bool {
    matches!(event, Event::ImagesScored(_))
}

#[test]
fn killed_at_any_moment_and_repeated_it_is_the_same_attack() {
    let world = Attacked::new();
    world.copy("a", "b");
    world.run("a", &SHORT).code(0).says("a1 is finished: 720 images crafted against 2 models");
    world.run("a", &SHORT).code(0).says("nothing is left to do: a1 is this attack");
    world.run("a", &["resume", "a1"]).code(0).says("nothing is left to do");
    // An attack of an earlier version, which scored no noise, is found by the same command.
    world.copy("b", "earlier");
    let earlier = [&SHORT[..], &["--noise-images", "0"]].concat();
    world.run("earlier", &earlier).code(0).says("a1 is finished: 720 images crafted");
    world.run("earlier", &SHORT).code(0).says("nothing is left to do: a1 is this attack");
    let noise = |event: &Event| match event {
        Event::AttackSpecified(spec) => spec.method == "random-noise",
        _ => false,
    };
    assert_eq!((world.count("earlier", noise), world.count("a", noise)), (0, 2));
    let another = [&SHORT[..], &["--noise-images", "30"]].concat();
    world.run("earlier", &another).code(0).says("random noise on 30 images").says("a2 is finished");
    let expected = world.outcome("a");
    assert_eq!(expected.1.len(), 2 * 6 * 3);

    // Killed again and again, each time after a little more was recorded.
    let mut kills = 0;
    let mut before = world.0.position("b");
    for again in 0..40 {
        let verbs: &[&str] = if again % 2 == 0 { &SHORT } else { &["resume", "a1"] };
        if again % 2 == 1 && world.0.position("b") == before {
            continue; // not begun yet
        }
        let mut child = world.start("b", verbs);
        let deadline = Instant::now() + Duration::from_secs(60);
        let begun = world.0.position("b");
        while world.0.position("b") < begun + 20 + 7 * again && Instant::now() < deadline {
            if child.try_wait().unwrap().is_some() {
                break;
            }
            sleep(Duration::from_millis(2));
        }
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        before = begun.min(before);
    }
    assert!(kills >= 2, "killed too late to matter");
    world.run("b", &SHORT).code(0);
    assert_eq!(world.outcome("b"), expected);
    assert_eq!(world.count("b", |event| matches!(event, Event::AttackStarted(_))), 1);
    assert_eq!(world.count("a", scored), world.count("b", scored));
    assert!(world.count("b", |event| matches!(event, Event::Resumed(_))) >= 1);
    world.run("b", &["log", "verify"]).code(0);
}

#[test]
fn ctrl_c_finishes_the_micro_batch_and_says_how_to_go_on() {
    let world = Attacked::new();
    let begun = world.0.position("a");
    let mut command = world.command("a", &SHORT);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while world.0.position("a") <= begun && Instant::now() < deadline {
        sleep(Duration::from_millis(2));
    }
    let pid = child.id().to_string();
    std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
    let ran = Ran(child.wait_with_output().unwrap());
    ran.code(6).says("a1 was interrupted").says("`qtrail resume a1`, goes on");
    world.run("a", &["resume"]).code(0).says("a1 is finished");
}

#[test]
fn what_cannot_be_attacked_is_said_and_nothing_is_recorded() {
    let world = Attacked::new();
    let before = world.0.position("a");
    std::fs::write(world.0.path("text.pt"), "no model").unwrap();
    std::fs::write(world.0.path("zip.pt"), "PK\u{3}\u{4} no model either").unwrap();
    common::write_images(&world.0.path("small"), 20, 4);
    let refused: [(&[&str], &str); 14] = [
        (&["attack", "t1", "--method", "random-noise"], "--noise-images sets on how many"),
        (&["attack", "--ensemble", "mine"], "no ensemble is called mine"),
        (&["attack"], "which models"),
        (&["attack", "t99"], "there is no trial t99"),
        (&["attack", "x1"], "expected a trial, as t17, found x1"),
        (&["attack", "t1", "--eps", "0"], "0 is not in 1.."),
        (&["attack", "t1", "--eps", "256"], "256 is not in"),
        (&["attack", "t1", "t1"], "t1 is named twice"),
        (&["attack", "t1", "--images", "9999"], "has 400"),
        (&["attack", "t1", "--data", "small"], "sees images of 28 x 28"),
        (&["attack", "t1", "--transform", "sepia"], "no transformation is called that"),
        (&["attack", "--model", "torchscript:text.pt", "--data", "data"], "is no TorchScript file"),
        (&["attack", "--model", "torchscript:zip.pt", "--data", "data"], "is no TorchScript model"),
        (&["attack", "--model", "torchscript:none.pt", "--data", "data"], "cannot read"),
    ];
    for (arguments, expected) in refused {
        world.run("a", arguments).code(2).says(expected);
    }
    world.run("none", &["attack", "t1"]).code(2).says("none");
    assert_eq!(world.0.position("a"), before);
    // A trial whose weights are gone says how to have them again.
    let weights = world.0.events("a").into_iter().find_map(|recorded| match recorded.event {
        Event::TrialFinished(finished) => match finished.outcome {
            qtrail::events::Outcome::Trained { weights: Some(hash), kept: true, .. } => Some(hash),
            _ => None,
        },
        _ => None,
    });
    std::fs::remove_file(world.0.path("a/artifacts").join(weights.unwrap().to_string())).unwrap();
    let mut told = 0;
    for trial in 1..=12 {
        let name = format!("t{trial}");
        let one = ["attack", &name, "--images", "1", "--transform", "none", "--threads", "1"];
        let ran = world.run("a", &one);
        if ran.0.status.code() == Some(2) && ran.stderr().contains("the weights of") {
            ran.says("`qtrail train '[");
            told += 1;
        }
    }
    assert!(told >= 1);
}

#[test]
fn ensembles_and_the_protocol_of_the_paper() {
    let world = Attacked::new();
    let protocol = [
        "attack",
        "t1+t2",
        "--protocol",
        "kurakin2017",
        "--images",
        "20",
        "--transform",
        "camera=1",
        "--transform",
        "jpeg=50",
        "--batch",
        "10",
        "--name",
        "paper",
    ];
    let ran = world.run("a", &protocol);
    ran.code(0)
        .says("a1: 20 images of data against t1+t2; 12 attacks (eps 2, 4, 8, 16) of 46 gradients");
    let mut camera = 0;
    for recorded in world.0.events("a") {
        let Event::ImagesScored(scored) = recorded.event else { continue };
        let Some(source) = scored.source else { continue };
        camera += usize::from(scored.transformation == 1);
        // JPEG only for eps 16: the last size of each of the three methods.
        assert!(scored.transformation != 2 || source.spec % 4 == 3);
    }
    assert_eq!(camera, 12 * 2);
    let named = |event: &Event| match event {
        Event::AttackTransformation(what) => what.text.contains("simulation of a photograph"),
        _ => false,
    };
    assert_eq!(world.count("a", named), 1, "the camera is named a simulation");
}
