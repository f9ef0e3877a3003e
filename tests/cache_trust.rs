//! The read model is a cache. It decides nothing that is recorded, its definitions are those of the
//! program, whatever is wrong with it is not blamed on the log, and no answer depends on being able
//! to write it. What it has shown is evidence against a log that was put back.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{Ran, World};
use qtrail::events::{EnsembleMember, Event, RunModel, Scope, StudyRow};
use qtrail::log::{LogError, Options, Store};
use qtrail::views::{ViewError, discard, newest_stamp, refuse_rollback};

/// A world with a finished search in the store `a`.
fn searched() -> World {
    let world = World::new();
    world.run("a", &World::tiny("1")).code(0);
    world
}

fn copy(world: &World, from: &str, to: &str) {
    let [from, to] = [from, to].map(|name| world.path(name));
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// The files of the read model in a store, without the link and what SQLite puts beside them.
fn models(world: &World, store: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.path(store)).unwrap().flatten().map(|entry| entry.path());
    let is_model = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("views-") && name.ends_with(".sqlite")
    };
    let mut models: Vec<PathBuf> = entries.filter(is_model).collect();
    models.sort();
    models
}

fn remove_models(world: &World, store: &str) {
    for entry in fs::read_dir(world.path(store)).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("views") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

/// Changes the read model of a store as a decayed disk, or another program, would.
fn alter(world: &World, store: &str, sql: &str) {
    let model = rusqlite::Connection::open(&models(world, store)[0]).unwrap();
    model.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
    model.execute_batch(sql).unwrap();
}

fn top(world: &World, store: &str) -> String {
    let top =
        ["table", "top", "--search", "s1", "--columns", "trial,accuracy,arch", "--format", "csv"];
    world.run(store, &top).code(0).stdout()
}

/// The program under a limit of file sizes, in units of 1024 bytes: a disk that is full.
fn run_on_a_full_disk(world: &World, store: &str, limit: u32, arguments: &[&str]) -> Ran {
    let program = world.qtrail(store, arguments);
    let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"");
    let mut command = Command::new("bash");
    command.arg("-c").arg(script).arg(program.get_program()).args(program.get_args());
    command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ran(command.current_dir(world.path("")).stdin(Stdio::null()).output().unwrap())
}

/// What the verbs have recorded that choose.
#[derive(Debug, Default, PartialEq)]
struct Recorded {
    models: Vec<RunModel>,
    members: Vec<Vec<EnsembleMember>>,
    rows: Vec<StudyRow>,
}

fn recorded(world: &World, store: &str, after: u64) -> Recorded {
    let mut recorded = Recorded::default();
    for event in world.events(store).into_iter().filter(|event| event.position.0 > after) {
        match event.event {
            Event::RunModel(model) => recorded.models.push(model),
            Event::EnsembleSaved(saved) => recorded.members.push(saved.members),
            Event::StudyRow(row) => recorded.rows.push(row),
            _ => {}
        }
    }
    recorded
}

/// Two stores with the same log, one with a cache that says the opposite, choose the same.
#[test]
fn what_is_recorded_and_handed_over_is_chosen_from_the_log() {
    let world = searched();
    world.run("a", &["final", "s1", "--top", "3", "--recipe", "short", "--threads", "1"]).code(0);
    let best = top(&world, "a").lines().nth(1).unwrap().split(',').next().unwrap().to_owned();
    copy(&world, "a", "b");
    alter(
        &world,
        "b",
        "UPDATE trial SET accuracy = 1 - accuracy;
         UPDATE trial SET architecture = (SELECT max(architecture) FROM trial) - architecture + 1
           WHERE architecture > 0;
         UPDATE trial SET weights = (SELECT max(weights) FROM trial);
         UPDATE prediction SET artifact = (SELECT max(artifact) FROM prediction p
           WHERE p.part = prediction.part);
         UPDATE pair SET value = 0.5;",
    );
    assert_ne!(top(&world, "a"), top(&world, "b"), "the cache is read, and another one");
    let begun = world.position("a");
    let init = ["--init", "scratch", "--recipe", "short", "--threads", "1"];
    let transfer = [&["transfer", best.as_str(), "--data", "data"][..], &init].concat();
    let verbs: [&[&str]; 4] = [
        &["final", "s1", "--top", "1", "--recipe", "short", "--threads", "1"],
        &["ensemble", "save", "best", "--members", "top:2"],
        &transfer,
        &[
            "replay",
            "s1",
            "--policy",
            "sweep",
            "--reward",
            "accuracy + depth/100",
            "--save",
            "other",
            "--path-value",
            "min",
        ],
    ];
    let file = world.path("file");
    let weights = ["export", "weights", best.as_str(), "-o", "file", "--format", "safetensors"];
    let qtable: [&str; 6] = ["export", "qtable", "--search", "s1", "-o", "file"];
    let exports: [&[&str]; 2] = [&weights, &qtable];
    let mut handed_over = Vec::new();
    for store in ["a", "b"] {
        for verb in verbs {
            world.run(store, verb).code(0);
        }
        for export in exports {
            world.run(store, export).code(0);
            handed_over.push(fs::read(&file).unwrap());
            fs::remove_file(&file).unwrap();
        }
    }
    let chosen = recorded(&world, "a", begun);
    assert_eq!((chosen.models.len(), chosen.members.len()), (2, 1));
    assert!(!chosen.rows.is_empty());
    assert!(chosen.models[0].source.is_some_and(|source| source.scope == Scope::Search(1)));
    assert_eq!(chosen, recorded(&world, "b", begun));
    assert!(handed_over[..2] == handed_over[2..], "the same files");
    // This trainer leaves when it is to attack; the verb says of which model.
    let leaves = world.path("leaves.py");
    fs::write(&leaves, LEAVES).unwrap();
    fs::set_permissions(&leaves, fs::Permissions::from_mode(0o755)).unwrap();
    let said = |store| {
        let mut attack =
            world.qtrail(store, &["attack", "--top", "1", "--search", "s1", "--threads", "1"]);
        Ran(attack.env("QTRAIL_TRAINER", &leaves).output().unwrap()).stderr()
    };
    let refused = format!("{best} makes the trainer crash, so it cannot be attacked");
    assert!(said("a").contains(&refused), "{}", said("a"));
    assert_eq!(said("a"), said("b"));
}

/// A trainer that says hello, and nothing else.
const LEAVES: &str = r#"#!/usr/bin/env python3
import json, sys
for line in sys.stdin:
    if json.loads(line)["type"] != "hello":
        sys.exit(1)
    print(json.dumps({"type": "hello", "protocol": 1, "program": "leaves 1", "devices": ["cpu"], "threads": 1}), flush=True)
"#;

/// A changed view once made every accuracy 0, and verifying called it good.
#[test]
fn definitions_are_those_of_the_program() {
    let world = searched();
    let expected = top(&world, "a");
    let changes = [
        "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = replace(sql, 't.accuracy AS', '0.0 AS')
         WHERE name = 'top'",
        "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = replace(sql, 'accuracy DESC', 'accuracy ASC')
         WHERE name = 'trial_best'",
        "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = x'00ff' WHERE name = 'top'",
        "DROP VIEW finals",
        "DROP INDEX trial_accuracy",
        "CREATE TRIGGER more AFTER INSERT ON trial BEGIN DELETE FROM epoch; END",
        "DROP VIEW trials; CREATE VIEW trials AS SELECT 1 AS trial",
    ];
    for change in changes {
        copy(&world, "a", "b");
        alter(&world, "b", change);
        let verify = ["log", "verify", "--deep"];
        world.run("b", &verify).code(4).says("the tables are not what follows");
        assert_eq!(top(&world, "b"), expected, "{change}");
        world.run("b", &verify).code(0).says("definitions, indices, rows");
        world.run("b", &["log", "verify"]).code(0);
        assert_eq!(models(&world, "b").len(), 1, "the other file is gone");
        fs::remove_dir_all(world.path("b")).unwrap();
    }
}

#[test]
fn deep_verification_compares_rows_and_indices() {
    let world = searched();
    let verify = ["log", "verify", "--deep"];
    world.run("a", &verify).code(0).says("definitions, indices, rows");
    // An index that lacks a row; then it is defined as before.
    let hollow = "
        DROP INDEX trial_accuracy;
        CREATE INDEX trial_accuracy ON trial (accuracy, params) WHERE id > 1;
        PRAGMA writable_schema = 1;
        UPDATE sqlite_master SET sql = 'CREATE INDEX trial_accuracy ON trial (accuracy, params)'
          WHERE name = 'trial_accuracy';";
    let cases = [
        (
            "UPDATE trial SET accuracy = 0.99 WHERE id = 1",
            "trial, row 1: accuracy is 0.99, folded anew",
        ),
        ("UPDATE trial SET kept = 1 - kept", "rows differ)"),
        ("DELETE FROM epoch WHERE trial = (SELECT max(trial) FROM epoch)", "it is missing"),
        ("INSERT INTO phase VALUES (9, 9, 0.5, 'quota', 1, 1, 1)", "it follows from no event"),
        ("UPDATE args SET window = 7", "args, row 1: window is 7"),
        (hollow, "trial_accuracy"),
    ];
    for (change, told) in cases {
        copy(&world, "a", "b");
        alter(&world, "b", change);
        world.run("b", &verify).code(4).says(told).says("the log is good");
        world.run("b", &["log", "verify"]).code(0);
        fs::remove_dir_all(world.path("b")).unwrap();
    }
}

/// Also what a process leaves that was killed while it began a file, or built one.
#[test]
fn an_empty_half_built_locked_or_stale_file_is_not_damage() {
    let world = searched();
    let expected = top(&world, "a");
    let verify = |store: &str| world.run(store, &["log", "verify", "--deep"]);
    copy(&world, "a", "stale");
    world.run("stale", &["final", "--top", "1", "--recipe", "short", "--threads", "1"]).code(0);
    let model = models(&world, "a")[0].clone();
    let name = model.file_name().unwrap();
    remove_models(&world, "stale");
    fs::copy(&model, world.path("stale").join(name)).unwrap();
    verify("stale").code(0).says("definitions, indices, rows");
    world.run("stale", &["table", "finals"]).code(0).says("r1");

    for content in [&b""[..], b"only begun"] {
        copy(&world, "a", "b");
        remove_models(&world, "b");
        let path = world.path("b").join(name);
        match content {
            b"" => fs::write(&path, content).unwrap(),
            _ => {
                let begun = rusqlite::Connection::open(&path).unwrap();
                begun.pragma_update(None, "journal_mode", "WAL").unwrap();
            }
        }
        fs::write(world.path("b/.views.building-2000000000-0"), "half").unwrap();
        verify("b").code(0).says("there are none; the next query builds them");
        assert_eq!(top(&world, "b"), expected);
        verify("b").code(0).says("definitions, indices, rows");
        fs::remove_dir_all(world.path("b")).unwrap();
    }

    // Another program keeps the file for itself: the log answers.
    let other = rusqlite::Connection::open(&model).unwrap();
    other
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; SELECT * FROM stamp")
        .unwrap();
    verify("a").code(0).says("in use by another process");
    let ran = world.run(
        "a",
        &["--wait", "0.1", "table", "top", "--columns", "trial,accuracy,arch", "--format", "csv"],
    );
    assert_eq!(ran.code(0).stdout(), expected);
    ran.says("the tables are folded from the log for this answer");
}

#[test]
fn beside_a_running_search_nothing_is_called_damage() {
    let world = World::new();
    let mut search = world.start("a", &World::tiny("2"), "0.2");
    while world.position("a") < 10 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let (mut rounds, mut compared) = (0, 0);
    while search.try_wait().unwrap().is_none() {
        let ran = world.run("a", &["log", "verify", "--deep"]);
        compared += usize::from(ran.code(0).stdout().contains("definitions, indices, rows"));
        world.run("a", &["table", "top"]).code(0);
        rounds += 1;
    }
    assert!(rounds > 2 && compared > 0, "{rounds} rounds, {compared} compared");
    world.run("a", &["log", "verify", "--deep"]).code(0);
}

/// Puts the log of a store back to an earlier state, and leaves the read model.
fn put_back(world: &World, earlier: &str, later: &str, to: &str) {
    copy(world, earlier, to);
    remove_models(world, to);
    let model = &models(world, later)[0];
    fs::copy(model, world.path(to).join(model.file_name().unwrap())).unwrap();
}

#[test]
fn a_log_that_was_put_back_is_noticed_and_the_evidence_stays() {
    let world = searched();
    let run =
        ["train", "[C(8,3,1), SM(10)]", "--data", "data", "--preset", "tiny", "--threads", "1"];
    copy(&world, "a", "later");
    world.run("later", &run).code(0);
    world.run("later", &["table", "top"]).code(0);
    let (shown, log) = (world.position("later"), world.position("a"));
    assert!(shown > log);
    put_back(&world, "a", "later", "b");
    let store = Store::open(&world.path("b")).unwrap();
    let numbers = [format!("ends at event {log}"), format!("shown event {shown}")];
    let before = models(&world, "b");
    for verb in [
        &["table", "top"][..],
        &["status"],
        &["log", "verify"],
        &["log", "verify", "--deep"],
        &["final", "--top", "1", "--recipe", "short", "--threads", "1"],
        &["export", "qtable"],
        &["ensemble", "save", "best"],
        &run,
        &World::tiny("5"),
    ] {
        let ran = world.run("b", verb);
        ran.code(4).says("--accept-rollback");
        ran.says(&numbers[0]).says(&numbers[1]);
        assert_eq!((models(&world, "b"), world.position("b")), (before.clone(), log), "{verb:?}");
    }
    assert_eq!(newest_stamp(&store).unwrap().position.0, shown);
    // Also if the file cannot answer any more, or another one was begun after it.
    alter(&world, "b", "DROP VIEW top");
    world.run("b", &["table", "top"]).code(4).says(&numbers[0]);
    assert_eq!(newest_stamp(&store).unwrap().position.0, shown);
    let error = refuse_rollback(&store, &Options::default()).unwrap_err();
    assert!(
        matches!(error, ViewError::Log(LogError::RolledBack { shown: s, log: l }) if (s.0, l.0) == (shown, log)),
        "{error}"
    );
    // Once a person has accepted it.
    discard(&store).unwrap();
    assert_eq!(newest_stamp(&store), None);
    assert_eq!(top(&world, "b"), top(&world, "a"));
    world.run("b", &["log", "verify", "--deep"]).code(0);
}

/// `HEAD` alone says less than the events that are there, as after a power cut: nothing is lost.
#[test]
fn a_head_that_lags_behind_is_not_a_log_that_was_put_back() {
    let world = searched();
    let run =
        ["train", "[C(8,3,1), SM(10)]", "--data", "data", "--preset", "tiny", "--threads", "1"];
    copy(&world, "a", "later");
    world.run("later", &run).code(0);
    let end = world.position("later");
    for verb in [
        &["table", "searches"][..],
        &["log", "verify", "--deep"],
        &["export", "qtable", "--search", "s1"],
        &["final", "s1", "--top", "1", "--recipe", "short", "--threads", "1"],
    ] {
        copy(&world, "later", "b");
        fs::copy(world.path("a/HEAD"), world.path("b/HEAD")).unwrap();
        world.run("b", verb).code(0);
        assert!(world.position("b") >= end, "{verb:?}");
        world.run("b", &["table", "searches"]).code(0).says("r1");
        world.run("b", &["log", "verify", "--deep"]).code(0).says("definitions, indices, rows");
        fs::remove_dir_all(world.path("b")).unwrap();
    }
}

/// The log was put back, and then continued otherwise.
#[test]
fn another_history_under_the_same_positions_is_noticed() {
    let world = searched();
    let train = |seed: &'static str, repeats: &'static str| {
        let start = ["train", "[C(8,3,1), SM(10)]", "--data", "data", "--preset", "tiny"];
        [&start[..], &["--threads", "1", "--seed", seed, "--repeats", repeats]].concat()
    };
    copy(&world, "a", "one");
    copy(&world, "a", "other");
    copy(&world, "a", "longer");
    world.run("one", &train("1", "1")).code(0);
    world.run("other", &train("2", "1")).code(0);
    world.run("longer", &train("3", "3")).code(0);
    assert!(world.position("one") <= world.position("other"));
    for log in ["other", "longer"] {
        put_back(&world, log, "one", "b");
        for verb in [&["table", "top"][..], &["log", "verify", "--deep"]] {
            world.run("b", verb).code(4).says("--accept-rollback");
        }
        assert_eq!(models(&world, "b").len(), 1);
        fs::remove_dir_all(world.path("b")).unwrap();
    }
}

/// A decayed stamp is no evidence: the file is built anew, without a word of damage.
#[test]
fn a_stamp_that_does_not_fit_its_checksum_is_no_evidence() {
    let world = searched();
    let expected = top(&world, "a");
    for change in
        ["position = position + 1", "position = 1 << 40", "chain = replace(chain, 'a', 'b')"]
    {
        alter(&world, "a", &format!("UPDATE stamp SET {change}"));
        assert_eq!(top(&world, "a"), expected, "{change}");
        world.run("a", &["log", "verify", "--deep"]).code(0);
    }
}

#[test]
fn a_full_disk_answers() {
    let world = searched();
    let expected = top(&world, "a");
    let question =
        ["table", "top", "--search", "s1", "--columns", "trial,accuracy,arch", "--format", "csv"];
    // The file is current; there is no space for anything beside it.
    for limit in [0, 8, 16] {
        let ran = run_on_a_full_disk(&world, "a", limit, &question);
        assert_eq!(ran.code(0).stdout(), expected, "{limit}");
        ran.says("the tables are folded from the log for this answer");
        run_on_a_full_disk(&world, "a", limit, &["status"]).code(0);
    }
    // There is space for a part of it only, wherever that ends.
    for limit in [64, 128, 200, 400, 600] {
        remove_models(&world, "a");
        let ran = run_on_a_full_disk(&world, "a", limit, &question);
        assert_eq!(ran.code(0).stdout(), expected, "{limit}");
        world.run("a", &["log", "verify", "--deep"]).code(0);
        assert_eq!(top(&world, "a"), expected, "once there is space again");
    }
}

/// A store may come from somebody else.
#[test]
fn links_and_what_else_is_no_plain_file_are_neither_opened_nor_removed() {
    let world = searched();
    let expected = top(&world, "a");
    let mine = world.path("mine.sqlite");
    let other = rusqlite::Connection::open(&mine).unwrap();
    other.execute_batch("CREATE TABLE mine (a); INSERT INTO mine VALUES (1)").unwrap();
    drop(other);
    let before = fs::read(&mine).unwrap();
    let model = models(&world, "a")[0].clone();
    let named = |generation: &str| {
        let name = model.to_string_lossy().replace("-1.sqlite", &format!("-{generation}.sqlite"));
        PathBuf::from(name)
    };
    let (link, wal) =
        (named("7"), PathBuf::from(named("8").to_string_lossy().into_owned() + "-wal"));
    symlink(&mine, &link).unwrap();
    assert_eq!(top(&world, "a"), expected);
    assert_eq!(fs::read(&mine).unwrap(), before);
    assert!(link.is_symlink(), "it may be somebody's");
    // The file that answers now, with a link beside it.
    let _ = fs::remove_file(&wal);
    symlink(&mine, &wal).unwrap();
    fs::create_dir(named("12")).unwrap();
    for generation in ["4294967295", "18446744073709551615", "99999999999999999999"] {
        fs::write(named(generation), "").unwrap();
    }
    assert_eq!(top(&world, "a"), expected);
    world.run("a", &["log", "verify", "--deep"]).code(0);
    assert_eq!(fs::read(&mine).unwrap(), before);
    assert!(wal.is_symlink() && named("12").is_dir());
    assert!(!world.path("mine.sqlite-wal").exists() && !world.path("mine.sqlite-shm").exists());
}

#[test]
fn files_have_the_mode_that_the_umask_gives() {
    let world = searched();
    for (umask, mode) in [("027", 0o640), ("002", 0o664)] {
        remove_models(&world, "a");
        let program = world.qtrail("a", &["table", "top"]);
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("umask {umask}; exec \"$0\" \"$@\""));
        command.arg(program.get_program()).args(program.get_args()).env_clear();
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        assert!(command.current_dir(world.path("")).output().unwrap().status.success());
        let found = fs::metadata(&models(&world, "a")[0]).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{found:o}");
    }
}

/// Pages that decay are noticed when they are read; the next question is answered from a new file.
#[test]
fn decayed_pages_are_replaced() {
    let world = searched();
    let expected = top(&world, "a");
    copy(&world, "a", "b");
    let model = models(&world, "b")[0].clone();
    let bytes = fs::read(&model).unwrap();
    let mut noticed = 0;
    for page in (1..bytes.len() / 4096).step_by(5) {
        remove_models(&world, "b");
        let mut decayed = bytes.clone();
        decayed[page * 4096..(page + 1) * 4096].fill(0xa5);
        fs::write(&model, decayed).unwrap();
        let question = [
            "table",
            "top",
            "--search",
            "s1",
            "--columns",
            "trial,accuracy,arch",
            "--format",
            "csv",
        ];
        let ran = world.run("b", &question);
        if ran.0.status.code() == Some(4) {
            noticed += 1;
            ran.says("ask again");
        }
        assert_eq!(top(&world, "b"), expected, "page {page}");
        noticed += models(&world, "b").iter().filter(|path| **path != model).count();
    }
    assert!(noticed > 0, "no page mattered");
}
