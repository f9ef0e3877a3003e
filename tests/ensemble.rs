//! Ensembles from recorded probabilities, as people ask for them: a store made by the library.
#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

mod history;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use assert_cmd::cargo::cargo_bin;
use history::{History, config, data};
use qtrail::agent::run::Run;
use qtrail::agent::{Decision, Job as _};
use qtrail::events::*;
use qtrail::log::Store;

const VALIDATION: usize = 100;
const TEST: usize = 200;
const CLASSES: usize = 10;

fn labels(images: usize) -> Vec<u8> {
    (0..images).map(|image| (image % CLASSES) as u8).collect()
}

/// A model that is wrong on every image of which this holds, and as sure of it as of the others.
fn probabilities(images: usize, sure: f32, wrong: impl Fn(usize) -> bool) -> Vec<u8> {
    let row = |image: usize| {
        let decided = (image + usize::from(wrong(image))) % CLASSES;
        let rest = (1.0 - sure) / (CLASSES - 1) as f32;
        (0..CLASSES).map(move |class| if class == decided { sure } else { rest })
    };
    (0..images).flat_map(row).flat_map(f32::to_le_bytes).collect()
}

/// What a model gets wrong: validation images, test images.
type Wrong = (fn(usize) -> bool, fn(usize) -> bool);

struct World {
    folder: tempfile::TempDir,
    store: Store,
    history: History,
    artifacts: Vec<Vec<u8>>,
}

impl World {
    /// A finished search (t1 to t12 or so), and a run of its best with these faults.
    fn new(fit: Fit, models: &[Wrong]) -> Self {
        let mut history = History::default();
        history.search(1, "first", 3, usize::MAX);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(&folder.path().join("store")).unwrap();
        let mut world = Self { folder, store, history, artifacts: Vec::new() };
        world.run(1, fit, models);
        world.history.store(&world.path("store"));
        for bytes in &world.artifacts {
            world.store.artifacts().put(bytes).unwrap();
        }
        world
    }

    fn keep(&mut self, bytes: Vec<u8>) -> Hash {
        let hash = Hash::of(&bytes);
        self.artifacts.push(bytes);
        hash
    }

    fn run(&mut self, number: u32, fit: Fit, models: &[Wrong]) {
        let config = config();
        let text = config.to_toml();
        let parts = ConfigPart::cut(&text);
        let (validation_labels, test_labels) =
            (self.keep(labels(VALIDATION)), self.keep(labels(TEST)));
        let predicted = Predicted {
            validation_labels,
            test: Hash([9; 32]),
            test_images: TEST as u32,
            test_labels,
        };
        let started = RunStarted {
            purpose: Purpose::Final,
            models: models.len() as u16,
            repeats: 1,
            recipe: "short".into(),
            fit,
            predicted: Some(predicted),
            seed: 1,
            chance: qtrail::chance::SCHEME.into(),
            data: DataFacts { name: "mnist".into(), ..data() },
            folder: "/data".into(),
            config: Hash::of(text.as_bytes()),
            config_parts: parts.len() as u16,
            threads: 1,
            program: "qtrail 0".into(),
        };
        let trained: Vec<u32> = self
            .history
            .events
            .iter()
            .filter_map(|recorded| match &recorded.event {
                Event::TrialFinished(finished)
                    if matches!(finished.outcome, Outcome::Trained { .. }) =>
                {
                    Some(finished.trial)
                }
                _ => None,
            })
            .collect();
        let model = |index: usize| RunModel {
            index: index as u16,
            architecture: format!("[C({},3,1), SM(10)]", 8 + index).parse().unwrap(),
            source: Some(Source { scope: Scope::Search(1), trial: trained[index] }),
            initial: None,
        };
        let of_run: Vec<RunModel> = (0..models.len()).map(model).collect();
        let mut run = Run::new(started.clone(), of_run.clone(), config).unwrap();
        let scope = Scope::Run(number);
        let rest = of_run.into_iter().map(Event::from).chain(parts.into_iter().map(Event::from));
        self.history.record(scope, std::iter::once(started.into()).chain(rest).collect());
        loop {
            let events = match run.decide(true, &[]) {
                Decision::Record(events) => events,
                Decision::Do(trial) => self.trained(trial, models[trial as usize - 1]),
                Decision::Wait | Decision::Done => return,
            };
            for event in &events {
                run.apply(&Recorded::unplaced(event.clone())).unwrap();
            }
            self.history.record(scope, events);
        }
    }

    fn trained(&mut self, trial: u32, wrong: Wrong) -> Vec<Event> {
        let text = String::new;
        let (device, trainer, library, isa, host) = (text(), text(), text(), text(), text());
        let (attempt, threads, continues) = (1, 1, None);
        let started = AttemptStarted {
            trial,
            attempt,
            device,
            threads,
            trainer,
            library,
            isa,
            host,
            continues,
            worker: String::new(),
            precision: String::new(),
        };
        let count = |images: usize, wrong: fn(usize) -> bool| {
            (0..images).filter(|image| !wrong(*image)).count() as u32
        };
        let epoch = EpochFinished {
            trial,
            attempt,
            restart: 0,
            epoch: 1,
            learning_rate: 0.1,
            train_loss: 0.5,
            train_correct: 1,
            train_total: 1,
            validation_loss: 0.5,
            validation_correct: count(VALIDATION, wrong.0),
            validation_total: VALIDATION as u32,
            seconds: 1.0,
        };
        let mut events: Vec<Event> = vec![started.into(), epoch.clone().into()];
        for (part, images, wrong) in
            [(PredictedPart::Validation, VALIDATION, wrong.0), (PredictedPart::Test, TEST, wrong.1)]
        {
            let probabilities = self.keep(probabilities(images, 0.8, wrong));
            let labels = self.keep(labels(images));
            let (images, classes, correct) = (images as u32, 10, count(images, wrong));
            events.push(
                PredictionsRecorded {
                    trial,
                    attempt,
                    part,
                    images,
                    classes,
                    correct,
                    probabilities,
                    labels,
                }
                .into(),
            );
        }
        let outcome = Outcome::Trained {
            best_epoch: 1,
            best_correct: epoch.validation_correct,
            last_correct: epoch.validation_correct,
            total: VALIDATION as u32,
            weights: None,
            kept: false,
        };
        let (epochs, restarts, seconds, peak_memory) = (1, 0, 1.0, 0);
        let finished =
            TrialFinished { trial, attempt, outcome, epochs, restarts, seconds, peak_memory };
        events.push(finished.into());
        events
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Exit code, stdout, stderr.
    fn ask(&self, arguments: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = Command::new(cargo_bin("qtrail"))
            .env_clear()
            .env("QTRAIL_STORE", "store")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    #[track_caller]
    fn rows(&self, arguments: &[&str]) -> Vec<Vec<String>> {
        let fixed = ["ensemble", "--format", "csv", "--no-header", "--replicates", "200"];
        let (code, stdout, stderr) = self.ask(&[&fixed[..], arguments].concat());
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
        let cells = |line: &str| line.split(',').map(ToOwned::to_owned).collect();
        stdout.lines().map(cells).collect()
    }

    #[track_caller]
    fn refuses(&self, arguments: &[&str], words: &[&str]) {
        let (code, stdout, stderr) = self.ask(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        words.iter().for_each(|word| assert!(stderr.contains(word), "{arguments:?}: {stderr}"));
    }

    /// The id of the first trial of the run, as a number.
    fn first(&self) -> u32 {
        let (_, stdout, _) = self.ask(&[
            "sql",
            "select min(trial) from prediction",
            "--format",
            "tsv",
            "--no-header",
        ]);
        stdout.trim().parse().unwrap()
    }
}

/// Four models: the first is best on both; the last is bad on validation, and perfect on test.
const MODELS: &[Wrong] = &[
    (|image| image < 10, |image| image < 20),
    (|image| (10..25).contains(&image), |image| (20..50).contains(&image)),
    (|image| (20..40).contains(&image), |image| (50..90).contains(&image)),
    (|image| image >= 60, |_| false),
];

#[test]
fn the_best_together_and_alone() {
    let world = World::new(Fit::Train, MODELS);
    let first = world.first();
    let rows = world.rows(&["--members", "top:3"]);
    let names: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    let trial = |place: u32| format!("t{}", first + place);
    assert_eq!(names, [&trial(0), &trial(1), &trial(2), "ensemble"]);
    // trial, weight, validation_error, test_error, low, high, ece, test_wrong, arch
    let column = |place: usize| rows.iter().map(|row| row[place].as_str()).collect::<Vec<_>>();
    // No two are wrong about the same test image; of the validation images two are about 20 to 24.
    assert_eq!(column(7), ["20", "30", "40", "0"]);
    assert_eq!(column(3), ["10.0", "15.0", "20.0", "0.0"]);
    assert_eq!(column(2), ["10.0", "15.0", "20.0", "5.0"]);
    let (low, high) = (rows[0][4].parse::<f64>().unwrap(), rows[0][5].parse::<f64>().unwrap());
    assert!(low < 10.0 && 10.0 < high && low > 4.0 && high < 17.0, "{low} {high}");
    // Sure to 0.8 and right on 0.9 of the images.
    assert!((rows[0][6].parse::<f64>().unwrap() - 10.0).abs() < 1e-4, "{rows:?}");
    assert_eq!(world.rows(&["--members", "top:3"]), rows, "chance is addressed");

    let sizes = world.rows(&["--members", "top:3", "--section", "sizes"]);
    assert_eq!(sizes.len(), 4, "all there are");
    let errors: Vec<(&str, &str)> =
        sizes.iter().map(|row| (row[0].as_str(), row[4].as_str())).collect();
    // Of two that are equally sure one is right: a tie goes to the class with the lower number.
    assert_eq!((errors[0], errors[2]), (("1", "20"), ("3", "0")));
    let pairs = world.rows(&["--members", "top:2", "--section", "pairs"]);
    assert_eq!(pairs[0][2..], ["75.0", "0.0"]);

    for combine in ["geometric", "vote", "weighted"] {
        let rows = world.rows(&["--members", "top:3", "--combine", combine]);
        assert_eq!(rows[3][7], "0", "{combine}");
    }
    let (code, shown, _) = world.ask(&["ensemble", "--members", "top:3"]);
    assert_eq!(code, 0);
    for text in
        ["both decide wrongly", "decide the same", "top:3 by val", "200 test images", "as of"]
    {
        assert!(shown.contains(text), "{shown}");
    }
}

#[test]
fn greedy_selection_never_looks_at_test_images() {
    let world = World::new(Fit::Train, MODELS);
    let chosen = |world: &World| -> Vec<(String, String)> {
        let rows = world.rows(&["--members", "greedy:5"]);
        rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
    };
    let before = chosen(&world);
    // The same models on validation images, and other ones on test images.
    let other: Vec<Wrong> = MODELS
        .iter()
        .rev()
        .map(|(_, test)| *test)
        .zip(MODELS)
        .map(|(test, (validation, _))| (*validation, test))
        .collect();
    let other = World::new(Fit::Train, &other);
    assert_eq!(chosen(&other), before);
    // While an oracle does look.
    let best = |world: &World| world.rows(&["--members", "top:1", "--by", "test"])[0][0].clone();
    assert_eq!(best(&world), format!("t{}", world.first() + 3));
    assert_eq!(best(&other), format!("t{}", other.first()));
    let (_, shown, _) = world.ask(&["ensemble", "--members", "top:1", "--by", "test"]);
    assert!(shown.contains("on new ones they will do"), "{shown}");
    world.refuses(&["ensemble", "--members", "greedy:5", "--by", "test"], &["validation images"]);
}

/// What a model makes of images it was fitted to says nothing: they neither choose nor weigh it.
#[test]
fn models_fitted_to_validation_images_are_not_judged_by_them() {
    let world = World::new(Fit::TrainAndValidation, MODELS);
    let reason = "were fitted to the validation images too (--fit train+val)";
    let ask = |more: &[&'static str]| [&["ensemble"], more].concat();
    world.refuses(&ask(&["--members", "greedy:3"]), &[reason, "--by search"]);
    world.refuses(&ask(&["--by", "val"]), &[reason]);
    world.refuses(&ask(&["--combine", "weighted"]), &[reason, "--combine mean"]);
    world.refuses(&["ensemble", "save", "a", "--by", "val"], &[reason]);
    let rows = world.rows(&["--members", "top:2"]);
    assert!(rows.iter().all(|row| row[2].is_empty()), "unknown: {rows:?}");
    // By the search: the trials the models were taken from.
    let (_, best, _) = world.ask(&[
        "sql",
        "select 't' || t.id from trial t join trial s on s.id = t.source
         order by s.accuracy desc, t.id limit 2",
        "--format",
        "tsv",
        "--no-header",
    ]);
    let names: Vec<&str> = rows.iter().map(|row| row[0].as_str()).take(2).collect();
    assert_eq!(names, best.lines().collect::<Vec<_>>());
}

#[test]
fn what_is_saved_is_listed_published_and_the_same_from_the_log() {
    let world = World::new(Fit::Train, MODELS);
    let saved = world.ask(&["ensemble", "save", "three", "--members", "top:3"]);
    assert_eq!(saved.0, 0, "{}", saved.2);
    let table = |name: &str| world.ask(&["table", name, "--format", "csv"]).1;
    let row = "three,0.0,5.0,3,t";
    assert!(table("ensembles").contains(row), "{}", table("ensembles"));
    assert!(table("published").contains("here: three (ensemble)"));
    world.refuses(&["ensemble", "save", "three"], &["an ensemble called three is in the store"]);
    world.refuses(&["ensemble", "save", "t3"], &["cannot be a name"]);
    world.refuses(&["ensemble", "save", "a+b"], &["a name has"]);
    for file in std::fs::read_dir(world.path("store")).unwrap().flatten() {
        if file.file_name().to_string_lossy().starts_with("views") {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    assert!(table("ensembles").contains(row), "{}", table("ensembles"));
    // Another one has the next number.
    assert_eq!(world.ask(&["ensemble", "save", "greedy", "--members", "greedy:4"]).0, 0);
    assert_eq!(table("ensembles").lines().count(), 3);
}

/// It would be another ensemble than the one that was saved.
#[test]
fn different_weights_are_not_attacked_as_a_plain_mean() {
    let history = history::series(); // in it `both`, the one member with twice the weight
    let folder = tempfile::tempdir().unwrap();
    let store = history.store(&folder.path().join("store"));
    let world = World { folder, store, history, artifacts: Vec::new() };
    world.refuses(&["attack", "--ensemble", "both"], &["both have different weights", "t3+t3"]);
    world.refuses(&["attack", "--ensemble", "bath"], &["no ensemble is called bath"]);
}

#[test]
fn mistakes_are_named() {
    let world = World::new(Fit::Train, MODELS);
    let first = world.first();
    let ask = |more: &[&'static str]| [&["ensemble"], more].concat();
    world.refuses(&ask(&["--members", "best"]), &["top:N"]);
    world.refuses(&ask(&["--members", "t1"]), &["t1 has no class probabilities on record"]);
    let twice = format!("t{first},t{first}");
    world.refuses(&["ensemble", "--members", &twice], &["is named twice"]);
    let named = format!("t{first}");
    world.refuses(&["ensemble", "--members", &named, "--by", "val"], &["the members are named"]);
    world.refuses(&ask(&["--search", "s1"]), &["no model has class probabilities"]);
    world.refuses(&ask(&["--search", "r9"]), &["no search or run is called r9"]);
    // A damaged artifact is not passed on.
    let hash = Hash::of(&world.artifacts[2]).to_string();
    let path = world.store.artifacts().path(Hash::of(&world.artifacts[2]));
    let mut bytes = world.artifacts[2].clone();
    bytes[5] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let (code, _, stderr) = world.ask(&["ensemble"]);
    assert!(code == 4 && stderr.contains(&hash[..8]), "{code} {stderr}");
    std::fs::remove_file(&path).unwrap();
    let (code, stdout, stderr) = world.ask(&["ensemble"]);
    assert!(code != 0 && stdout.is_empty() && stderr.contains(&hash[..8]), "{code} {stderr}");
}
