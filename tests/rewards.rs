//! Rewards by an expression and limits in searches that run. The trainer is the example in Python.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, clippy::cast_possible_truncation)]

mod common;

use common::{Ran, World};
use qtrail::events::Event;

fn tiny(world: &World, store: &str, more: &[&str]) -> Ran {
    world.run(store, &[&World::tiny("7")[..], more].concat())
}

fn rows(world: &World, store: &str, sql: &str) -> Vec<Vec<String>> {
    let ran = world.run(store, &["sql", sql, "--format", "tsv", "--no-header"]);
    ran.code(0);
    let cells = |line: &str| line.split('\t').map(ToOwned::to_owned).collect();
    ran.stdout().lines().map(cells).collect()
}

#[test]
fn what_is_learned_from_is_the_reward_and_tables_still_show_accuracies() {
    let world = World::new();
    let reward = "accuracy - 0.05*ln(params/1e3)";
    tiny(&world, "a", &["--reward", reward]).code(0);
    let sql = "SELECT abs(e.reward - (t.accuracy - 0.05*ln(t.params/1e3))) < 1e-12,
           e.accuracy = t.accuracy,
           t.accuracy = (t.best_correct * 1.0 / t.total) OR t.failed
         FROM episodes e JOIN trials t ON t.trial = e.trial";
    let found = rows(&world, "a", sql);
    assert!(found.len() >= 12);
    assert!(found.iter().all(|row| *row == ["1", "1", "1"]), "{found:?}");
    let mean = "SELECT count(*) FROM epsilon s WHERE abs(mean_accuracy -
        (SELECT avg(accuracy) FROM episodes WHERE epsilon = s.epsilon)) > 1e-12";
    assert_eq!(rows(&world, "a", mean), [["0"]]);
    world.run("a", &["show", "s1"]).code(0).says(reward);
    // It is learned again from what is on record; and evaluated again it is the same.
    world.run("a", &["replay", "--policy", "as-logged"]).code(0).says("all equal");
    world
        .run("a", &["replay", "--policy", "as-logged", "--reward", reward])
        .code(0)
        .says("all equal");
    let other = world.run("a", &["replay", "--policy", "as-logged", "--reward", "accuracy"]);
    assert!(!other.code(0).stderr().contains("all equal"));
    let exposure = ["replay", "--policy", "sweep", "--exposure", "--columns", "accuracy"];
    let exposure = [&exposure[..], &["--format", "csv", "--no-header"]].concat();
    let shown = world.run("a", &exposure).stdout();
    let accuracies = rows(&world, "a", "SELECT accuracy FROM episodes ORDER BY episode").concat();
    assert_eq!(shown.lines().collect::<Vec<_>>(), accuracies);
    // Rebuilt from the log the tables are the same; the read model is thrown away.
    let before = world.run("a", &["table", "episodes", "--format", "csv"]).stdout();
    for file in std::fs::read_dir(world.path("a")).unwrap().flatten() {
        if file.file_name().to_string_lossy().starts_with("views") {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    assert_eq!(world.run("a", &["table", "episodes", "--format", "csv"]).stdout(), before);
}

#[test]
fn killed_and_resumed_the_rewards_are_the_same() {
    let world = World::new();
    let reward = ["--reward", "accuracy / sqrt(madds)", "--max-params", "3000"];
    tiny(&world, "whole", &reward).code(0);
    let command = [&World::tiny("7")[..], &reward].concat();
    let mut child = world.start("killed", &command, "0.05");
    for _ in 0..5 {
        world.kill_after("killed", &mut child, 7);
        child = world.start("killed", &["resume"], "0.05");
    }
    child.wait().unwrap();
    world.run("killed", &["resume"]).code(0);
    assert_eq!(world.digest("killed"), world.digest("whole"));
}

#[test]
fn facts_of_the_machine_need_to_be_asked_for_and_are_told_of() {
    let world = World::new();
    let reward = ["--reward", "accuracy - seconds/1000"];
    tiny(&world, "a", &reward).code(2).says("seconds and peak_memory depend on the machine");
    assert!(!world.path("a").exists());
    tiny(&world, "a", &["--not-reproducible"]).code(2);
    tiny(&world, "a", &["--reward", "acuracy"]).code(2).says("^^^^^^^").says("accuracy");
    tiny(&world, "a", &[&reward[..], &["--not-reproducible"]].concat()).code(0);
    let digest = world.run("a", &["log", "digest", "--logical"]);
    digest.code(0).says("s1 is not reproducible: its reward depends on the machine (seconds)");
    assert_eq!(digest.stdout().lines().count(), 1);
    let sql = "SELECT count(*) FROM episodes e JOIN trials t ON t.trial = e.trial
               WHERE abs(e.reward - (t.accuracy - t.seconds/1000)) > 1e-12";
    assert_eq!(rows(&world, "a", sql), [["0"]]);
    let series = [&reward[..], &["--not-reproducible", "--repeat", "2", "--reuse-trials"]].concat();
    tiny(&world, "b", &series).code(2).says("has no seconds");
}

#[test]
fn nothing_larger_than_the_limits_is_sampled() {
    let world = World::new();
    tiny(&world, "a", &["--max-params", "3000", "--max-madds", "100000"]).code(0);
    let sql = "SELECT max(params) <= 3000, max(madds) <= 100000, count(*) FROM trials";
    assert_eq!(rows(&world, "a", sql)[0][..2], ["1", "1"]);
    let config = rows(&world, "a", "SELECT instr(config, 'params = 3000') > 0 FROM job");
    assert_eq!(config, [["1"]]);
    // Only sampling is masked: the Q-table has all pairs.
    tiny(&world, "b", &[]).code(0);
    let pairs = |store| rows(&world, store, "SELECT count(*) FROM qtable");
    assert_eq!(pairs("a"), pairs("b"));
    assert!(
        world.count("b", |event| {
            matches!(event, Event::TrialPlanned(planned) if planned.parameters > 3_000)
        }) > 0
    );

    tiny(&world, "c", &["--max-params", "5"])
        .code(2)
        .says("no architecture of the space is within");
    assert!(!world.path("c").exists(), "bad input changes nothing");
    tiny(&world, "c", &["--max-params", "0"]).code(2);
}
