//! How an attack starts: without a store, on pictures as people have them, within memory; and how it
//! is found again. With a trainer that needs no libtorch.
#![allow(clippy::disallowed_methods, missing_docs, clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Ran, World};
use qtrail::data::pictures;
use qtrail::events::{AttackStarted, Event};

/// A short attack on a model of somebody else.
const SHORT: [&str; 13] = [
    "attack",
    "--model",
    "torchscript:net.pt",
    "--method",
    "fast",
    "--eps",
    "8",
    "--transform",
    "none",
    "--threads",
    "1",
    "--images",
    "20",
];

struct Place(World);

impl Place {
    /// A world with two models, one of which cannot be used.
    fn new() -> Self {
        let world = World::new();
        for name in ["net.pt", "other.pt", "refused.pt"] {
            std::fs::write(world.path(name), format!("PK {name}")).unwrap();
        }
        Self(world)
    }

    fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> std::process::Command {
        let mut command = self.0.qtrail("s", arguments);
        let trainer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacker.py");
        command.env("QTRAIL_TRAINER", trainer).envs(environment.iter().copied());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[])
    }

    fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        Ran(self.command(arguments, environment).output().unwrap())
    }

    /// How the attacks in the store began.
    fn started(&self) -> Vec<AttackStarted> {
        let events = self.0.events("s").into_iter();
        let started = events.filter_map(|recorded| match recorded.event {
            Event::AttackStarted(started) => Some(started),
            _ => None,
        });
        started.collect()
    }

    /// What lies in the folder of the world, also what is hidden.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path(".")).unwrap().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    /// Folders of classes with so many pictures each, in a folder of this world.
    fn pictures(&self, folder: &str, classes: &[&str], each: u8) -> PathBuf {
        let folder = self.0.path(folder);
        for (class, name) in (0_u8..).zip(classes) {
            std::fs::create_dir_all(folder.join(name)).unwrap();
            for number in 0..each {
                let pixels: Vec<u8> =
                    (0..3 * 64).map(|at| class * 40 + number * 3 + at % 8).collect();
                let picture = pictures::png(3, 8, &pixels).unwrap();
                std::fs::write(folder.join(name).join(format!("{number}.png")), picture).unwrap();
            }
        }
        folder
    }
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    SHORT.iter().copied().chain(more.iter().copied()).collect()
}

#[test]
fn an_attack_on_models_of_others_makes_the_store_once_they_were_tried() {
    let place = Place::new();
    let before = place.names();
    let refused: [(&[&str], &str); 5] = [
        (&["--data", "data", "--model", "torchscript:refused.pt"], "refused.pt cannot be attacked"),
        (&["--data", "nowhere"], "there is no data set and no folder `nowhere`"),
        (&[], "which images are to be changed is not known"),
        (&["--data", "data", "--model", "torchscript:none.pt"], "cannot read"),
        (&["--data", "data", "--trainer", "/none"], "/none"),
    ];
    for (more, expected) in refused {
        place.run(&with(more)).code(2).says(expected);
        assert_eq!(place.names(), before, "{more:?} left something");
    }
    // Trials are those of a store.
    place.run(&["attack", "t1", "--data", "data"]).code(2).says("there is no store");
    assert_eq!(place.names(), before);

    let ran = place.run(&with(&["--data", "data"]));
    ran.code(0).says("a1: 20 images of data against net.pt; 1 attack (eps 8) of 1 gradient, ");
    ran.says(
        "a1: 20 images to craft by 20 gradients, 60 scores, in micro-batches of 100; very roughly",
    );
    ran.says("on cpu, up to 1 MB on disk").says("a1 is finished: 20 images crafted");
    place.run(&with(&["--data", "data"])).code(0).says("nothing is left to do: a1 is this attack");
    let mut after = before;
    after.push("s".to_owned());
    assert_eq!(place.names(), after, "the store, and nothing beside it");
}

#[test]
fn memory_bounds_micro_batches_and_the_attack_is_found_again() {
    let place = Place::new();
    let gigabyte = ("QTRAIL_EXAMPLE_MEMORY", "1000000000");
    let attack = with(&["--data", "data"]);
    let ran = place.run_with(&attack, &[gigabyte]);
    ran.code(0)
        .says("in micro-batches of 3;")
        .says("an image takes 1000 MB; --memory allows larger");
    // More memory, or less, at another time: it is the same attack.
    let half = ("QTRAIL_EXAMPLE_MEMORY", "500000000");
    place.run_with(&attack, &[half]).code(0).says("a1 is this attack");
    place.run(&with(&["--data", "data", "--batch", "20"])).code(0).says("a2 is finished");
    let roomy = with(&["--data", "data", "--memory", "12GiB", "--seed", "1"]);
    place.run_with(&roomy, &[gigabyte]).code(0).says("in micro-batches of 8;");
    let batches: Vec<u16> = place.started().iter().map(|started| started.batch).collect();
    assert_eq!(batches, [3, 20, 8]);
    for size in ["4", "GiB", "0GiB", "4XB", "99999999999999999999GiB"] {
        place
            .run(&with(&["--data", "data", "--memory", size]))
            .code(2)
            .says("is not an amount of memory");
    }
    place.run(&with(&["--data", "data", "--memory", "1GiB", "--batch", "1"])).code(2);
}

#[test]
fn status_and_resume_know_attacks() {
    let place = Place::new();
    place.run(&World::tiny("3")).code(0);
    place.run(&["status"]).code(0).says("every search, run and attack in the store is finished");
    let slow = ("QTRAIL_EXAMPLE_DELAY", "0.1");
    let begun = place.0.position("s");
    let attack = with(&["--data", "data", "--batch", "1", "--name", "night"]);
    let mut command = place.command(&attack, &[slow]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while place.0.position("s") < begun + 12 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let running = place.run(&["status", "--format", "json"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let running = running.stdout();
    assert!(running.contains("\"a1\"") && running.contains("running, process"), "{running}");
    assert!(running.contains(" %\"") && !running.contains("100 %"), "{running}");
    let open = place.run(&["status"]);
    open.code(0).says("a1").says("stopped: qtrail resume a1");
    assert!(!open.stderr().contains("nothing is left"), "{}", open.stderr());
    place.run(&["resume"]).code(0).says("a1 is finished: 20 images crafted");
    place.run(&["status"]).code(0).says("nothing is left to do");
    place.run(&["resume", "night"]).code(0).says("nothing is left to do: a1 is finished");
}

/// Each trainer is at a step of its own, and what is recorded is the same attack.
#[test]
fn the_number_of_trainers_changes_nothing() {
    let Place(world) = Place::new();
    let trainer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacker.py");
    let run = |store: &str, arguments: &[&str]| {
        let mut command = world.qtrail(store, arguments);
        command.env("QTRAIL_TRAINER", &trainer).env("QTRAIL_EXAMPLE_DELAY", "0.02");
        Ran(command.output().unwrap())
    };
    let attack = ["--model", "torchscript:other.pt", "--data", "data", "--batch", "5"];
    let attack = [&SHORT[..], &attack[..]].concat();
    let mut found = Vec::new();
    for (store, device) in [("one", "cpu"), ("two", "cpu*2"), ("four", "cpu*4")] {
        let ran = run(store, &[&attack[..], &["--device", device]].concat());
        ran.code(0)
            .says("on cpu, up to")
            .says("a1 is finished: 40 images crafted against 2 models");
        let digest = run(store, &["log", "digest", "--logical"]).code(0).stdout();
        let steps = world.events(store).into_iter().filter_map(|recorded| match recorded.event {
            Event::ImagesCrafted(crafted) => Some((crafted.victim, crafted.first, true)),
            Event::ImagesScored(scored) => Some((scored.judge, scored.first, false)),
            _ => None,
        });
        found.push((digest, steps.collect::<Vec<_>>()));
        let trainers = world.count(store, |event| matches!(event, Event::AttackTrainer(_)));
        assert_eq!(trainers, 1, "all are alike");
    }
    assert_eq!(found[0].0, found[1].0);
    assert_eq!(found[0].0, found[2].0);
    // Steps end in another order: several trainers were at work.
    assert_ne!(found[0].1, found[2].1);
    // One that was begun by one trainer is carried on by two.
    let mut command = world.qtrail("cut", &attack);
    command.env("QTRAIL_TRAINER", &trainer).env("QTRAIL_EXAMPLE_DELAY", "0.05");
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    world.kill_after("cut", &mut child, 20);
    run("cut", &["resume", "a1", "--device", "cpu*2"]).code(0).says("a1 is finished");
    assert_eq!(run("cut", &["log", "digest", "--logical"]).code(0).stdout(), found[0].0);
}

#[test]
fn pictures_to_attack_need_no_training_part() {
    let place = Place::new();
    let classes = [("QTRAIL_EXAMPLE_CLASSES", "3")];
    place.pictures("tested/test", &["ant", "bee", "cat"], 7);
    place.pictures("validated/val", &["ant", "bee", "cat"], 7);
    for data in ["tested", "validated"] {
        let ran = place.run_with(&with(&["--data", data]), &classes);
        ran.code(0).says(&format!("20 images of {data} against net.pt"));
    }
    assert_eq!(place.started()[0].data.content, place.started()[1].data.content);
    // Oblong pictures are told what to do, and it can be done.
    let oblong = place.pictures("oblong/test", &["ant", "bee", "cat"], 7).join("bee/3.png");
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 12, 8);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&[9; 3 * 12 * 8]).unwrap();
    std::fs::write(oblong, file).unwrap();
    place.run_with(&with(&["--data", "oblong"]), &classes).code(2).says("--resize SIDE");
    let resized = with(&["--data", "oblong", "--resize", "6"]);
    place.run_with(&resized, &classes).code(0);
    assert_eq!(place.started()[2].data.side, 6);
    place.run_with(&resized, &classes).code(0).says("nothing is left to do: a3 is this attack");
}

#[test]
fn test_images_of_folders_of_classes_are_drawn_by_a_recorded_seed() {
    let place = Place::new();
    place.pictures("photos", &["ant", "bee", "cat"], 15);
    let classes = [("QTRAIL_EXAMPLE_CLASSES", "3")];
    let attack = |more: &[&'static str]| {
        let mut arguments = with(&["--data", "photos"]);
        arguments.truncate(11);
        arguments.extend(["--data", "photos", "--batch", "2"]);
        arguments.extend(more);
        arguments
    };
    let ran = place.run_with(&attack(&[]), &classes);
    ran.code(0)
        .says("one of 5 pictures of each class, drawn with the data seed 0, is a test image");
    ran.says("a1: 9 images of photos");
    // Another seed, other images; interrupted and resumed they are the same ones.
    let mut command = place.command(&attack(&["--data-seed", "5"]), &classes);
    command.env("QTRAIL_EXAMPLE_DELAY", "0.1").stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let begun = place.0.position("s");
    place.0.kill_after("s", &mut child, 15);
    assert!(place.0.position("s") >= begun + 15);
    place.run_with(&["resume"], &classes).code(0).says("a2 is finished");
    let started = place.started();
    assert_ne!(started[0].data.content, started[1].data.content);
    assert_eq!((started[1].data.images, started[1].images), (9, 9));
    let config = |number: u32| {
        let scope = qtrail::events::Scope::Attack(number);
        let events = place.0.events("s").into_iter().filter(move |r| r.scope == scope);
        let parts = events.filter_map(|recorded| match recorded.event {
            Event::ConfigPart(part) => Some(part.text),
            _ => None,
        });
        parts.collect::<String>()
    };
    assert!(config(2).contains("seed = 5\n"), "{}", config(2));
}

#[test]
fn a_trial_that_is_stopped_or_hangs_leaves_nothing_and_says_so() {
    let place = Place::new();
    std::fs::write(place.0.path("hangs.pt"), r#"PK{"levels": [10, 90], "hangs": true}"#).unwrap();
    let before = place.names();
    let attack = ["attack", "--model", "torchscript:hangs.pt", "--data", "data", "--threads", "1"];
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let mut command = place.command(&attack, &[]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        // The first line says that the trial has begun, with which model and what is done.
        let mut reader = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        std::io::BufRead::read_line(&mut reader, &mut said).unwrap();
        assert!(said.contains("trying hangs.pt (1 of 1), nothing is recorded yet: "), "{said}");
        assert!(said.contains("scoring pairs of images twice"), "{said}");
        assert_eq!(place.names().len(), before.len() + 1, "the store to try it in");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).unwrap();
        std::io::Read::read_to_string(&mut reader, &mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(6), "{said}");
        assert!(said.contains("nothing was recorded"), "{said}");
        assert_eq!(place.names(), before, "{signal:?}");
    }
    let ran = place.run_with(&attack, &[("QTRAIL_TRAINER_SILENCE", "1")]);
    ran.code(2)
        .says("hangs.pt cannot be attacked: the trainer hangs with it; it said nothing for ");
    ran.says("QTRAIL_TRAINER_SILENCE");
    assert_eq!(place.names(), before);
    // So it is where a store is already.
    qtrail::log::Store::open_or_create(&place.0.path("s")).unwrap();
    let (position, before) = (place.0.position("s"), place.names());
    place.run_with(&attack, &[("QTRAIL_TRAINER_SILENCE", "1")]).code(2).says("the trainer hangs");
    assert_eq!((place.0.position("s"), place.names()), (position, before));
}
