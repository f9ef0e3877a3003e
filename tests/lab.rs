//! The replay lab against whole histories: a search of our own, and the MetaQNN authors' log.
//!
//! The authors' file is not part of this repository. `QTRAIL_METAQNN` names the folder with
//! `replay_database.csv`; without it these tests look beside the checkout, and skip with a notice.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, clippy::cast_possible_truncation)]

mod common;
mod history;

use std::path::{Path, PathBuf};

use common::World;
use qtrail::agent::replay::Order;
use qtrail::config::replay::Policy;
use qtrail::events::{Event, Fold as _, Recorded, Scope};
use qtrail::lab::history::{History, HistoryFold};
use qtrail::lab::laws::Uniform;
use qtrail::lab::measure::{PathValue, Reference, measure};
use qtrail::lab::rederive::{Check, Duplicates, Task, rederive};

/// The history of the search number `number`.
fn fold(events: &[Recorded], number: u32) -> History {
    let of = events.iter().filter(|recorded| recorded.scope == Scope::Search(number));
    HistoryFold::default().folded(of).unwrap().finish().unwrap()
}

/// A policy with the settings of the search.
fn task(history: &History, policy: Policy) -> Task {
    Task {
        policy,
        draws: history.config.replay.draws,
        learning: history.config.learning,
        order: Order::Backward,
        duplicates: Duplicates::First,
        path_value: PathValue::Mean,
    }
}

/// The digests on record, in order.
fn digests(events: &[Recorded]) -> Vec<qtrail::events::Hash> {
    let of = |recorded: &Recorded| match &recorded.event {
        Event::ReplayUpdated(update) => Some(update.q),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

#[test]
fn a_search_of_our_own_comes_back_bit_for_bit() {
    let events = history::finished().events;
    let (history, digests) = (fold(&events, 1), digests(&events));
    assert!(digests.len() >= 12);
    let as_logged = rederive(&history, &task(&history, Policy::AsLogged), 0).unwrap();
    assert_eq!(as_logged.check, Check::Equal(digests.len()));
    assert_eq!(as_logged.q.digest(), digests.last().unwrap().0);

    // Its own policy and seed give its own draws; another seed gives others.
    let seed = history.started.seed;
    let again = rederive(&history, &task(&history, Policy::Uniform), seed).unwrap();
    assert_eq!(again.counts, as_logged.counts);
    assert_eq!(again.q.digest(), as_logged.q.digest());
    let other = rederive(&history, &task(&history, Policy::Uniform), seed + 1).unwrap();
    assert_ne!(other.counts, as_logged.counts);

    let reference = Reference::of(&as_logged.q);
    let rms = |derived| {
        let task = task(&history, Policy::Uniform);
        measure(&history, &task, derived, Some(&reference)).figures.rms.unwrap()
    };
    assert_eq!(rms(&again), 0.0);
    assert!(rms(&other) > 0.0);
}

/// Draws of every experience against the exact laws: z-scores within ±4, and their mean square
/// about 1.
#[test]
fn uniform_follows_its_laws() {
    let history = fold(&history::finished().events, 1);
    let count = history.experiences.len() as u32;
    let mut task = task(&history, Policy::Uniform);
    task.draws = 5_000;
    let derived = rederive(&history, &task, 1).unwrap();
    let law = Uniform { draws: task.draws, experiences: count };
    let mut squares = 0.0;
    for (i, &drawn) in (1..=count).zip(&derived.counts) {
        let z = (f64::from(drawn) - law.expected(i)) / law.variance(i).sqrt();
        assert!(z.abs() < 4.0, "experience {i}: {drawn} draws, z {z}");
        squares += z * z;
    }
    assert!((0.2..2.5).contains(&(squares / f64::from(count))), "{squares}");
    assert_eq!(derived.counts.iter().sum::<u32>(), task.draws * count);
}

fn folder() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/metaqnn-svhn");
    std::env::var_os("QTRAIL_METAQNN").map_or(beside, PathBuf::from)
}

/// A world whose store `m` holds the authors' log, or a notice.
fn authors() -> Option<World> {
    let file = folder().join("replay_database.csv");
    if !file.exists() {
        eprintln!("skipped: the authors' log is not at {}", file.display());
        return None;
    }
    let world = World::new();
    let (file, q) = (file.display().to_string(), folder().join("q_values.csv"));
    let q = q.display().to_string();
    world.run("m", &["import", "metaqnn", &file, "--q-values", &q]).code(0);
    Some(world)
}

/// Values by pair, from an exported file: the authors' 17 columns, of which the last is the value.
fn exported(world: &World, name: &str) -> Vec<(String, f64)> {
    let text = std::fs::read_to_string(world.path(name)).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next().unwrap().split(',').count(), 17);
    let row = |line: &str| {
        let (pair, value) = line.rsplit_once(',').unwrap();
        (pair.to_owned(), value.parse().unwrap())
    };
    lines.map(row).collect()
}

fn ends(values: &[(String, f64)]) -> (f64, f64) {
    let values = values.iter().map(|(_, value)| *value);
    (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max))
}

#[test]
fn a_sweep_of_the_authors_log_gives_the_known_values() {
    let Some(world) = authors() else { return };
    let sweep = |more: &[&str]| {
        let fixed = ["replay", "--policy", "sweep", "--export-q", "q.csv", "--columns", "updates"];
        let arguments = [&fixed[..], &["--format", "csv", "--no-header"], more].concat();
        let ran = world.run("m", &arguments);
        ran.code(0);
        let updates = ran.stdout().split(',').next().unwrap().trim().to_owned();
        (updates, exported(&world, "q.csv"))
    };
    let (updates, first) = sweep(&[]);
    assert_eq!((updates.as_str(), first.len()), ("15106.0", 4_058));
    assert_eq!(ends(&first), (0.237_844_873_339_007_08, 0.589_020_636_416_017_2));
    for rule in ["own", "best", "mean"] {
        assert_eq!(sweep(&["--duplicates", rule]).1, first, "{rule}");
    }
    let (updates, all) = sweep(&["--include-quarantined"]);
    assert_eq!(updates, "15571.0");
    assert_eq!(ends(&all), (0.271_955_605_409_557_4, 8.657_220_420_603_656));
    let (start, value) = &all[0];
    assert_eq!(start, "0,1,0,8,1,start,0,1,0,1,0,8,0,start,0,0");
    assert_eq!(*value, 0.373_021_838_004_154_8);
}

/// The draws that the objection to the method is about: exact laws, N = 1,910 and K = 128.
#[test]
fn uniform_on_the_authors_log_hardly_replays_the_latest() {
    let Some(world) = authors() else { return };
    let ran =
        world.run("m", &["replay", "--policy", "uniform", "--seeds", "0..3", "--format", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&ran.code(0).stdout()).unwrap();
    let figure = |name: &str| rows[0][name].as_f64().unwrap();
    // Means over four seeds; their standard deviations are 0.15 and 0.09.
    assert!((figure("first_tenth") - 422.4).abs() < 0.5);
    assert!((figure("last_tenth") - 6.66).abs() < 0.25);
    assert!((figure("never") * 1_910.0 - 14.3).abs() < 5.0);
    assert!((figure("gini") - 0.4997).abs() < 0.005);
    let again =
        world.run("m", &["replay", "--policy", "uniform", "--seeds", "0..3", "--format", "json"]);
    assert_eq!(again.stdout(), ran.stdout(), "the same seeds, the same bytes");
}

#[test]
fn what_cannot_be_is_said() {
    let Some(world) = authors() else { return };
    let said = |arguments: &[&str], text: &str| {
        let all = [&["replay"], arguments].concat();
        world.run("m", &all).code(2).says(text);
    };
    said(&["--policy", "as-logged"], "which experiences were drawn is not on record");
    said(&[], "no policy is named");
    said(&["--policy", "unifrm"], "unifrm");
    said(&["--policy", "sweep,sweep"], "twice");
    said(&["--policy", "uniform", "--export-q", "q.csv"], "one for each seed");
    said(&["--policy", "sweep", "--columns", "ginny"], "did you mean `gini`");
    said(&["--policy", "sweep", "--reward", "acuracy"], "^^^^^^^");
    said(&["--policy", "sweep", "--reward", "accuracy - seconds"], "1789 lack seconds");
    said(&["nobody", "--policy", "sweep"], "no search is called nobody");
}

/// The events of studies in a store.
fn studies(world: &World, store: &str) -> Vec<Event> {
    let events = world.events(store).into_iter().map(|recorded| recorded.event);
    let of_study = |event: &Event| {
        matches!(event, Event::StudyStarted(_) | Event::StudyRow(_) | Event::StudyFinished(_))
    };
    events.filter(of_study).collect()
}

#[test]
fn a_study_is_done_again_to_the_last_bit() {
    let world = World::new();
    history::finished().store(&world.path("s"));
    let digest = world.digest("s");
    let replay = ["replay", "--policy", "uniform,sweep,as-logged", "--seeds", "0..2"];
    let saved = [&replay[..], &["--path-value", "min", "--alpha", "0.3", "--save", "a"]].concat();
    world.run("s", &saved).code(0).says("saved as study 1, a");
    world.run("s", &saved).code(2).says("a study called a is in the store");
    let reward = ["--reward", "accuracy - depth/50", "--save", "b"];
    world.run("s", &[&replay[..2], &["sweep"], &reward].concat()).code(0).says("as study 2");
    for name in ["a", "b"] {
        world.run("s", &["replay", "--check", name]).code(0).says("all equal");
    }
    world.run("s", &["replay", "--check", "c"]).code(2).says("no study is called c");
    world.run("s", &["plot", "exposure", "--study", "a"]).code(0).says("as-logged: ");
    world.run("s", &["log", "verify"]).code(0);
    assert_eq!(world.digest("s"), digest, "a search is the same whether it was studied or not");

    // One bit of one number.
    let mut history = history::finished();
    let mut events = studies(&world, "s");
    let Event::StudyRow(row) = &mut events[1] else { panic!("{events:?}") };
    let mean = row.figures[2].mean.as_mut().unwrap();
    *mean = f64::from_bits(mean.to_bits() ^ 1);
    let name = row.figures[2].name.clone();
    history.record(Scope::Store, events);
    history.store(&world.path("other"));
    let check = world.run("other", &["replay", "--check", "a"]);
    check.code(1).says(&format!("uniform, {name}, mean: recorded")).says("1 numbers are not");
    world.run("other", &["replay", "--check", "b"]).code(0);
}

#[test]
fn a_study_counts_once_it_is_complete() {
    let world = World::new();
    history::finished().store(&world.path("s"));
    let replay = ["replay", "--policy", "sweep", "--save", "a"];
    world.run("s", &replay).code(0);
    let mut events = studies(&world, "s");
    events.pop();
    let mut history = history::finished();
    history.record(Scope::Store, events);
    history.store(&world.path("killed"));
    world.run("killed", &["table", "replays", "--require"]).code(1);
    world.run("killed", &["replay", "--check", "a"]).code(2);
    world.run("killed", &replay).code(0).says("saved as study 2, a");
    world.run("killed", &["replay", "--check", "a"]).code(0).says("1 policies");
}

#[test]
fn as_logged_compares_every_digest_on_record() {
    let world = World::new();
    history::imported().store(&world.path("s"));
    let replay =
        |more: &[&str]| world.run("s", &[&["replay", "--policy", "as-logged"], more].concat());
    let count = digests(&history::finished().events).len();
    replay(&["first"]).code(0).says(&format!("{count} digests of Q-tables on record, all equal"));
    // An import that was killed is no search; one that is complete has no draws.
    replay(&["killed"]).code(2).says("no search is called killed");
    replay(&["svhn"]).code(2).says("is not on record");
    replay(&["first", "--at", "40"]).code(0).says("as of event 40").says("all equal");
    let exposure = replay(&["first", "--exposure", "--format", "csv", "--no-header"]);
    let rows = exposure.code(0).stdout();
    assert_eq!(rows.lines().count(), fold(&history::finished().events, 1).experiences.len());
}

#[test]
fn rewards_by_an_expression() {
    let world = World::new();
    history::imported().store(&world.path("s"));
    let replay = |search: &str, policy: &str, reward: &[&str]| {
        let fixed = ["replay", search, "--policy", policy, "--format", "csv", "--no-header"];
        world.run("s", &[&fixed[..], &["--columns", "updates,rms", "--reward"], reward].concat())
    };
    // The accuracy on record is the reward on record, to the last bit.
    replay("first", "as-logged", &["accuracy"]).code(0).says("all equal");
    let other = replay("first", "as-logged", &["1 - accuracy"]);
    assert!(!other.code(0).stderr().contains("digests"), "{}", other.stderr());
    replay("first", "sweep", &["accuracy * 3"]).code(0).says("not from 0 to 1; --init (now 0.5)");
    // A quarter is left of a half: whole numbers are real.
    let half = replay("first", "sweep", &["accuracy * 1/2"]).stdout();
    assert_eq!(half, replay("first", "sweep", &["accuracy * 0.5"]).stdout());
    assert_ne!(half, replay("first", "sweep", &["accuracy"]).stdout());

    // The rows of an import do not say how long they took.
    let lacking = replay("svhn", "sweep", &["accuracy - seconds/1000"]);
    lacking.code(2).says("lack seconds").says("--missing skip");
    replay("svhn", "sweep", &["seconds", "--missing", "skip"]).code(2).says("no experiences");
    let some = replay("svhn", "sweep", &["sqrt(accuracy - 0.5)", "--missing", "skip"]);
    some.code(0).says("left out: ").says("no finite number");
    replay("svhn", "sweep", &["max(accuracy)"]).code(2).says("max takes 2 to 20 arguments");
}

/// The Q-table of a study, learned again, in the place of the one on record.
#[test]
fn tables_of_q_values_show_those_of_a_study() {
    let world = World::new();
    history::finished().store(&world.path("s"));
    let policies = "uniform,newest,as-logged";
    let study = ["replay", "--policy", policies, "--seeds", "3..4", "--save", "a"];
    world.run("s", &study).code(0);
    let values = |arguments: &[&str]| {
        let fixed = ["--format", "csv", "--no-header", "--columns", "value,updates,pair"];
        world.run("s", &[&["table", "qtable"], arguments, &fixed].concat()).code(0).stdout()
    };
    let exported = |policy: &str, seed: &str| {
        let fixed = ["replay", "--policy", policy, "--seeds", seed, "--export-q", "q.csv"];
        world.run("s", &fixed).code(0);
        self::exported(&world, "q.csv").into_iter().map(|(_, value)| value).collect::<Vec<f64>>()
    };
    let column = |text: &str| -> Vec<f64> {
        text.lines().map(|line| line.split(',').next().unwrap().parse().unwrap()).collect()
    };
    let recorded = values(&[]);
    assert_eq!(values(&["--q", "replay:a:as-logged"]), recorded, "to the last update");
    assert_eq!(column(&values(&["--q", "replay:a"])), exported("uniform", "3"));
    assert_eq!(column(&values(&["--q", "replay:a:uniform:4"])), exported("uniform", "4"));
    assert_eq!(column(&values(&["--q", "replay:a:newest"])), exported("newest", "3"));
    // They are named wherever they are shown.
    let name = "replay:a:uniform:4";
    for arguments in [
        ["table", "qdepth", "--q", name].as_slice(),
        &["table", "qfield", "--q", name],
        &["show", "t1", "--q", name],
        &["plot", "qdepth", "--q", name],
        &["plot", "qfield", "--q", name],
    ] {
        world.run("s", arguments).code(0).says(name);
    }
    world.run("s", &["report", "--q", name, "-o", "r.html"]).code(0);
    assert!(std::fs::read_to_string(world.path("r.html")).unwrap().contains(name));
    world.run("s", &["export", "qtable", "--q", name, "-o", "e.csv"]).code(0);
    let found: Vec<f64> = self::exported(&world, "e.csv").into_iter().map(|pair| pair.1).collect();
    assert_eq!(found, exported("uniform", "4"));
    for (q, message) in [
        ("replay:b", "no study is called b"),
        ("replay:", "recorded, imported, or replay:STUDY"),
        ("replay:a:sweep", "study a has no sweep"),
        ("replay:a:uniform:9", "study a has no seed 9 of uniform"),
        ("replay:a:uniform:x", "x is no seed"),
        ("imported", "no imported Q-values"),
    ] {
        world.run("s", &["plot", "qdepth", "--q", q]).code(2).says(message);
    }
    world.run("s", &["table", "top", "--q", "replay:a"]).code(2).says("holds no Q-values");
    world.run("s", &["watch", "qdepth", "--q", "replay:a"]).code(2).says("does not change");
    assert_eq!(values(&[]), recorded, "what is on record stays");
}

/// Simulated searches as a study: saved, compared, drawn, and carried out again to the last bit.
#[test]
fn simulated_searches_can_be_saved_and_drawn() {
    let world = World::new();
    history::finished().store(&world.path("s"));
    let fixed = ["--seeds", "0..2", "--schedule", "1:20,0.1:10", "--policy", "uniform,newest"];
    let with = |first: &[&str], more: &[&str]| world.run("s", &[first, &fixed[..], more].concat());
    with(&["simulate"], &["--save", "sim"]).code(0).says("saved as study 1, sim");
    with(&["simulate"], &["--save", "sim"]).code(2).says("a study called sim is in the store");
    world
        .run("s", &["replay", "--check", "sim"])
        .code(0)
        .says("sim: 3 policies, ")
        .says("all equal");
    let rows = ["table", "replays", "--columns", "policy,sim_best,sim_best_vs_uniform,prequential"];
    let rows = world.run("s", &[&rows[..], &["--format", "csv", "--no-header"]].concat());
    let text = rows.code(0).stdout();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.starts_with("uniform,0."), "{text}");
    world.run("s", &["table", "qdepth", "--q", "replay:sim"]).code(2).says("from no history");
    world.run("s", &["plot", "exposure", "--study", "sim"]).code(2).says("from no history");
    let asked = with(&["plot", "simulate"], &["--format", "svg"]).code(0).stdout();
    let saved = world.run("s", &["plot", "simulate", "--study", "sim", "--format", "svg"]);
    // All but the line that says where the trials come from.
    let picture = |text: &str| text.split("Mean over seeds").next().unwrap().to_owned();
    assert_eq!(picture(&saved.code(0).stdout()), picture(&asked));
    for name in ["uniform", "newest", "random", "distinct models trained"] {
        assert!(asked.contains(name), "{name}");
    }
    world.run("s", &["plot", "simulate", "--shuffle"]).code(2).says("learns from no history");
    world.run("s", &["plot", "simulate", "--study", "no"]).code(2).says("no study is called no");
    world.run("s", &["plot", "qdepth", "--preset", "demo"]).code(2).says("simulates nothing");
    world.run("s", &["plot", "qdepth", "--draws", "3"]).code(2).says("what is on record");
    // A terminal of 80 columns has the intervals.
    let table = with(&["simulate"], &[]).code(0).stdout();
    let of_newest = table.lines().find(|line| line.trim_start().starts_with("newest")).unwrap();
    assert!(of_newest.contains('[') && of_newest.contains('±'), "{of_newest}");
    let wide = |line: &str| line.chars().count() > 80 && line.starts_with(' ');
    assert!(!table.lines().any(wide), "{table}");
}

/// Accuracies from a file, in the space of a preset: the same as the trials they were taken from.
#[test]
fn a_table_is_an_environment() {
    let world = World::new();
    let write = |name: &str, text: &str| std::fs::write(world.path(name), text).unwrap();
    let simulate = |more: &[&str]| {
        let fixed = ["simulate", "--seeds", "0..2", "--schedule", "1:2,0.1:1", "--format", "csv"];
        world.run("none", &[&fixed[..], more].concat())
    };
    let nets = ["[SM(10)]", "[C(8,3,1), SM(10)]", "[C(16,1,1), P(2,2), SM(10)]"];
    let row = |net: &str, accuracy: &str| format!("\"{net}\",{accuracy}\n");
    let rows = [row(nets[0], "0.5"), row(nets[1], "0.75"), row(nets[0], "0.5"), row(nets[2], "1")];
    write("t.csv", &format!("architecture,accuracy\n{}", rows.concat()));
    let resample = ["--table", "t.csv", "--unknown", "resample"];
    let ran = simulate(&resample);
    ran.code(0).says("accuracies of t.csv, in the state space of exhaustive-demo");
    assert!(ran.stdout().lines().nth(1).unwrap().starts_with("uniform,3.0,"), "{}", ran.stdout());
    assert!(ran.stdout().lines().nth(1).unwrap().contains(",1.0,0.0,"), "{}", ran.stdout());
    // As `table trials` writes it, with other columns and the short name.
    write("u.csv", &format!("accuracy,arch,status\n0.25,\"{}\",trained\n", nets[1]));
    let one = ["simulate", "--table", "u.csv", "--schedule", "1:1", "--unknown", "resample"];
    let one = world.run("none", &[&one[..], &["--format", "csv"]].concat()).code(0).stdout();
    assert!(one.contains("uniform,1.0,"), "{one}");
    for (name, text, message) in [
        ("a.csv", "arch,acc\n", "a.csv, line 1: no column is called accuracy"),
        ("b.csv", "architecture,accuracy\n", "line 1: there are no rows"),
        ("c.csv", "architecture,accuracy\n[SM(10)],0.5\n[SM(10)],x\n", "line 3: accuracy `x`"),
        (
            "d.csv",
            "architecture,accuracy\n[SM(10)],0.5\n\n[SM(10)],1.5\n",
            "line 4: accuracy `1.5`",
        ),
        ("e.csv", "architecture,accuracy\n[SM(10)],0.5\n[XM(10)],0.5\n", "e.csv, line 3: "),
        ("f.csv", "architecture,accuracy\n[SM(10)],0.5,7\n", "line 2: it is no CSV"),
        (
            "g.csv",
            "architecture,accuracy\n\"[C(99,3,1), SM(10)]\",0.5\n",
            "line 2: [C(99,3,1), SM(10)] is not in the state space",
        ),
        (
            "h.csv",
            "architecture,accuracy\n[SM(10)],0.5\n[SM(9)],0.5\n",
            "line 3: [SM(9)] is not in",
        ),
    ] {
        write(name, text);
        simulate(&["--table", name]).code(2).says(message);
    }
    simulate(&["--table", "no.csv"]).code(2).says("--table no.csv: ");
    assert!(!world.path("none").exists());

    // Saved with the hash of the file: another one is noticed.
    history::finished().store(&world.path("s"));
    let save = ["simulate", "--seeds", "0..2", "--schedule", "1:2", "--save", "t"];
    world.run("s", &[&save[..], &resample].concat()).code(0).says("saved as study 1");
    world.run("s", &["replay", "--check", "t"]).code(0).says("all equal");
    write("t.csv", &format!("architecture,accuracy\n{}", rows[0]));
    world.run("s", &["replay", "--check", "t"]).code(1).says("is not the file that it was");
}

/// Without a store there are the results that come with the program; the same seeds give the same
/// bytes, and chance is always among the rows.
#[test]
fn simulated_searches() {
    let world = World::new();
    let simulate = |more: &[&str]| {
        let fixed = ["simulate", "--seeds", "0..3", "--schedule", "1:20,0.1:10", "--format", "csv"];
        world.run("none", &[&fixed[..], more].concat())
    };
    let ran = simulate(&["--policy", "uniform,prioritized(alpha=1,beta=0)"]);
    let text = ran.code(0).says("as they come with the program").stdout();
    let names: Vec<&str> =
        text.lines().skip(1).map(|line| line.split("),").next().unwrap()).collect();
    assert_eq!(names.len(), 3, "{text}");
    assert!(text.lines().last().unwrap().starts_with("random,30.0,"), "{text}");
    assert_eq!(simulate(&["--policy", "uniform,prioritized(alpha=1,beta=0)"]).stdout(), text);
    simulate(&["--policy", "sweep"]).code(2).says("would never learn");
    simulate(&["--policy", "unifrom"]).code(2).says("there are uniform,");
    simulate(&["--schedule", "1:0"]).code(2).says("EPSILON:MODELS");
    simulate(&["--preset", "demo"]).code(2).says("has no finished search that enumerated demo");
    assert!(!world.path("none").exists());

    // An import knows few architectures of its space.
    history::imported().store(&world.path("s"));
    let on = |unknown: &str| {
        let fixed = ["simulate", "svhn", "--seeds", "0..1", "--draws", "5", "--format", "csv"];
        world.run("s", &[&fixed[..], &["--schedule", "1:3,0.5:3", "--unknown", unknown]].concat())
    };
    on("stop").code(0).says("have no record");
    on("surrogate").code(0).says("not history").says("root mean square");
}
