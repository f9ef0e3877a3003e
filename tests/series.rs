//! Series of searches: interrupted and resumed they are the same, and what they say of each other
//! is right. The trainer is the example in Python.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, clippy::cast_possible_truncation)]

mod common;

use std::collections::HashMap;

use common::World;
use qtrail::events::digest::Digests;
use qtrail::events::{Event, Fold as _, Hash, Scope};

fn series<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&World::tiny("7")[..], &["--repeat", "3", "--name", "night"], more].concat()
}

/// The logical digests of all searches in a store.
fn digests(world: &World, store: &str) -> Vec<(Scope, Hash)> {
    Digests::default().folded(&world.events(store)).unwrap().finish()
}

fn rows(world: &World, store: &str, sql: &str) -> Vec<Vec<String>> {
    let ran = world.run(store, &["sql", sql, "--format", "tsv", "--no-header"]);
    ran.code(0);
    let cells = |line: &str| line.split('\t').map(ToOwned::to_owned).collect();
    ran.stdout().lines().map(cells).collect()
}

/// The same command in several terminals: one begins the series, the others join it.
#[test]
fn a_series_begun_at_once_by_several_processes_is_one() {
    let world = World::new();
    world.run("whole", &series(&[])).code(0);
    let again = series(&["--or-resume"]);
    let mut children: Vec<_> = (0..3).map(|_| world.start("a", &again, "0.02")).collect();
    let ended = children.iter_mut().map(|child| child.wait().unwrap().code());
    assert_eq!(ended.collect::<Vec<_>>(), [Some(0); 3]);
    assert_eq!(digests(&world, "a"), digests(&world, "whole"));
    let other = [&World::tiny("9")[..], &["--repeat", "3", "--name", "night", "--or-resume"]];
    let kept = "series 1 (night) keeps the settings that it began with: seed is ";
    world.run("a", &other.concat()).code(0).says(kept).says("nothing is left to do");
}

#[test]
fn a_series_killed_at_any_moment_and_resumed_is_the_same() {
    let world = World::new();
    let ran = world.run("whole", &series(&[]));
    ran.code(0).says("series 1 (night) is finished: 3 searches").says("search 2 of 3");
    let expected = digests(&world, "whole");
    assert_eq!(expected.len(), 3);

    let mut child = world.start("killed", &series(&[]), "0.05");
    let mut kills = 0_u64;
    let again = series(&["--or-resume"]);
    while kills < 8 {
        world.kill_after("killed", &mut child, 4 + kills * 5 % 7);
        kills += 1;
        // By the verb and by the same command in turns.
        let command = if kills.is_multiple_of(2) { vec!["resume"] } else { again.clone() };
        child = world.start("killed", &command, "0.05");
    }
    child.wait().unwrap();
    world.run("killed", &["resume", "night"]).code(0);
    assert_eq!(digests(&world, "killed"), expected);
    let joined = world.count("killed", |event| matches!(event, Event::SeriesJoined(_)));
    assert_eq!(joined, 3);
    world.run("killed", &["resume", "night"]).code(0).says("nothing is left to do");
    world.run("killed", &again).code(0).says("nothing is left to do");
    world.run("killed", &["resume"]).code(0).says("nothing is left to do");
    let other = [&World::tiny("7")[..], &["--repeat", "4", "--name", "night", "--or-resume"]];
    world.run("killed", &other.concat()).code(2).says("series 1 (night) has 3 searches");
    world.run("killed", &series(&[])).code(2).says("a series called night is in the store already");
}

#[test]
fn a_repetition_is_the_search_with_its_seed_and_all_see_the_same_split() {
    let world = World::new();
    world.run("a", &series(&[])).code(0);
    let events = world.events("a");
    let started = |recorded: &qtrail::events::Recorded| match &recorded.event {
        Event::SearchStarted(started) => Some((started.name.clone(), started.clone())),
        _ => None,
    };
    let started: Vec<_> = events.iter().filter_map(started).collect();
    let names: Vec<&str> = started.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["night.1", "night.2", "night.3"]);
    assert!(started.iter().all(|(_, one)| one.data == started[0].1.data));
    let seed = started[1].1.seed.to_string();
    let mut alone = World::tiny("0");
    let place = alone.iter().position(|argument| *argument == "--seed").unwrap();
    alone.splice(place..place + 2, ["--seed", &seed]);
    world.run("alone", &alone).code(0);
    assert_eq!(digests(&world, "alone")[0].1, digests(&world, "a")[1].1);
}

#[test]
fn stability_is_mean_and_deviation_over_searches() {
    let world = World::new();
    world.run("a", &series(&[])).code(0);
    let sql = "SELECT e.search, e.epsilon, e.accuracy FROM episodes e";
    let mut means: HashMap<(String, String), Vec<f64>> = HashMap::new();
    for row in rows(&world, "a", sql) {
        let accuracy = row[2].parse().unwrap();
        means.entry((row[1].clone(), row[0].clone())).or_default().push(accuracy);
    }
    let sql = "SELECT epsilon, mean_accuracy, sd, searches FROM stability";
    let table = rows(&world, "a", sql);
    assert!(table.len() >= 2, "{table:?}");
    for row in &table {
        let of_epsilon: Vec<f64> = means
            .iter()
            .filter(|((epsilon, _), _)| *epsilon == row[0])
            .map(|(_, samples)| samples.iter().sum::<f64>() / samples.len() as f64)
            .collect();
        assert_eq!(row[3], "3");
        let mean = of_epsilon.iter().sum::<f64>() / 3.0;
        let squares: f64 = of_epsilon.iter().map(|one| (one - mean).powi(2)).sum();
        let near = |text: &str, value: f64| (text.parse::<f64>().unwrap() - value).abs() < 1e-12;
        assert!(near(&row[1], mean) && near(&row[2], (squares / 2.0).sqrt()), "{row:?}");
    }
    world.run("a", &["table", "repetitions"]).code(0).says("night");
    world.run("a", &["table", "stability", "--search", "s1"]).code(2).says("is not about searches");
    world.run("a", &["plot", "stability", "-o", "a.svg"]).code(0);
    let svg = std::fs::read_to_string(world.path("a.svg")).unwrap();
    assert!(svg.contains("series 1 (night) on data, 3 of 3 searches, seed 7"), "{svg}");
    world.run("a", &["plot", "stability", "--series", "night"]).code(0).says("b: each search");
    world
        .run("a", &["plot", "stability", "--series", "x"])
        .code(2)
        .says("no series is called that");
    world.run("a", &["plot", "top", "--series", "1"]).code(2);
    world.run("a", &["plot", "learning", "--series", "1"]).code(2).says("shows no series");
}

/// Half a phase has another mean than a whole one.
#[test]
fn a_phase_that_has_not_ended_is_in_no_mean() {
    let world = World::new();
    let mut child = world.start("a", &series(&[]), "0.05");
    world.kill_after("a", &mut child, 40);
    let ended = rows(&world, "a", "SELECT count(*) FROM phases").remove(0).remove(0);
    let counted = rows(&world, "a", "SELECT coalesce(sum(searches), 0) FROM stability").remove(0);
    assert_eq!(counted, [ended]);
}

#[test]
fn results_are_taken_over_only_where_that_was_asked_for_and_the_digest_says_so() {
    let world = World::new();
    world.run("alone", &series(&[])).code(0);
    let reused = |store: &str| world.count(store, |event| matches!(event, Event::TrialReused(_)));
    assert_eq!(reused("alone"), 0);

    let ran = world.run("shared", &series(&["--reuse-trials"]));
    ran.code(0);
    assert!(reused("shared") > 0);
    let (alone, shared) = (digests(&world, "alone"), digests(&world, "shared"));
    assert_eq!(alone[0], shared[0], "the first has nothing to take over");
    assert_ne!(alone[2], shared[2]);
    let digest = world.run("shared", &["log", "digest", "--logical"]);
    digest.code(0).says("were taken over from earlier searches of its series");
    assert_eq!(digest.stdout().lines().count(), 3);

    // The results are those of the trials named, which were trained.
    let sql = "SELECT t.accuracy = o.accuracy, t.arch = o.arch, o.reused IS NULL, t.attempts,
                 t.seconds IS NULL, t.search <> o.search
               FROM trials t JOIN trials o ON o.trial = t.reused";
    let rows = rows(&world, "shared", sql);
    assert_eq!(rows.len(), reused("shared"));
    assert!(rows.iter().all(|row| *row == ["1", "1", "1", "0", "1", "1"]), "{rows:?}");

    // Killed in the middle it takes over the same.
    let mut child = world.start("killed", &series(&["--reuse-trials"]), "0.05");
    for _ in 0..4 {
        world.kill_after("killed", &mut child, 9);
        child = world.start("killed", &["resume"], "0.05");
    }
    child.wait().unwrap();
    world.run("killed", &["resume"]).code(0);
    assert_eq!(digests(&world, "killed"), shared);
}
