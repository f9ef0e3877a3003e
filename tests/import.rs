//! `qtrail import`: a hand-made log, and the authors' own, whose numbers are known.
//!
//! The authors' files are not part of this repository. `QTRAIL_METAQNN` names their folder; without
//! it these tests look beside the checkout, and skip with a notice.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods)]
#![allow(clippy::cast_possible_truncation)]

mod common;
mod history;

use std::path::{Path, PathBuf};

use common::World;
use history::{IMPORTED_LOG, IMPORTED_Q};

fn world() -> World {
    let world = World::new();
    std::fs::write(world.path("log.csv"), IMPORTED_LOG).unwrap();
    std::fs::write(world.path("q.csv"), IMPORTED_Q).unwrap();
    world
}

/// The folder of the authors' files, or a notice.
fn authors() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/metaqnn-svhn");
    let folder = std::env::var_os("QTRAIL_METAQNN").map_or(beside, PathBuf::from);
    let found = folder.join("replay_database.csv").is_file();
    if !found {
        eprintln!("skipped: the authors' log is not in {}", folder.display());
    }
    found.then_some(folder)
}

/// What a statement answers, as CSV without a header.
#[track_caller]
fn csv(world: &World, arguments: &[&str]) -> String {
    let options = ["--format", "csv", "--no-header"];
    world.run("store", &[arguments, &options].concat()).code(0).stdout()
}

#[test]
fn a_small_log_is_taken_over() {
    let world = world();
    let ran = world.run("store", &["import", "metaqnn", "log.csv", "--q-values", "q.csv"]);
    ran.code(0).says("s1: 10 rows of log.csv: 7 episodes, 6 trials, 1 architecture repeated");
    ran.says("3 rows are in quarantine").says("gaps in ix_q_value_update: 3 (");
    ran.says("0 architectures have several accuracies (1 with the rows in quarantine)");
    ran.says("8 Q-values").says("1 pairs of 1 phantom states");
    let columns = ["--columns", "epsilon,samples,new,failed"];
    let table = csv(&world, &[&["table", "epsilon"][..], &columns].concat());
    assert_eq!(table, "1.0,3,3,1\n0.5,4,3,1\n");
    let failed = csv(&world, &["table", "episodes", "--where", "failed", "--columns", "arch"]);
    assert_eq!(failed, "\"[C(64,3,1), GAP(10), SM(10)]\"\n[SM(10)]\n");
    world.run("store", &["resume", "s1"]).code(0).says("s1 was imported, and is finished");
    world.run("store", &["resume"]).code(0).says("nothing is left to do");
    world.run("store", &["log", "verify"]).code(0);
}

#[test]
fn the_same_file_is_noticed_and_so_is_the_name() {
    let world = world();
    world.run("store", &["import", "metaqnn", "log.csv", "--name", "old"]).code(0);
    let before = world.position("store");
    world.run("store", &["import", "metaqnn", "log.csv"]).code(2).says("in the store already: s1");
    std::fs::write(world.path("other.csv"), IMPORTED_LOG.replace("ada", "eve")).unwrap();
    let taken = world.run("store", &["import", "metaqnn", "other.csv", "--name", "old"]);
    taken.code(2).says("a search called old is in the store already");
    assert_eq!(world.position("store"), before);
    world.run("store", &["import", "metaqnn", "other.csv"]).code(0).says("s2: 10 rows");
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_made() {
    let world = world();
    let wrong = IMPORTED_LOG.replace("0.85,10660.0,", "0.85,often,");
    std::fs::write(world.path("wrong.csv"), wrong).unwrap();
    std::fs::write(world.path("bytes.csv"), b"net\n\xff\n").unwrap();
    let cases: [(&[&str], &str); 5] = [
        (&["wrong.csv"], "wrong.csv: line 4: iter_best_val is `often`"),
        (&["bytes.csv"], "cannot read bytes.csv"),
        (&["absent.csv"], "cannot read absent.csv"),
        (
            &["log.csv", "--layer-limit", "2"],
            "line 4: net: [C(128,5,1), C(64,1,1), P(2,2), SM(10)] is not in the state space",
        ),
        (&["log.csv", "--q-values", "log.csv"], "log.csv: line 1: no column is called `net`"),
    ];
    for (arguments, expected) in cases {
        let ran = world.run("store", &[&["import", "metaqnn"], arguments].concat());
        ran.code(2).says(expected);
        assert!(!world.path("store").exists());
    }
}

/// Killed at any moment, an import leaves nothing to be seen, and can be repeated.
#[test]
fn a_killed_import_is_as_if_it_had_not_been() {
    let world = world();
    many(&world);
    world.run("store", &["import", "metaqnn", "log.csv", "--name", "first"]).code(0);
    let whole = world.position("store");
    let mut child = world.start("store", &["import", "metaqnn", "many.csv"], "0");
    while world.position("store") < whole + 500 {
        assert!(child.try_wait().unwrap().is_none(), "the import was too fast to be killed");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let searches = ["table", "searches", "--columns", "search,episodes"];
    assert_eq!(csv(&world, &searches), "s1,7\n");
    assert_eq!(world.run("store", &["log", "digest"]).code(0).stdout().lines().count(), 1);
    assert_eq!(csv(&world, &["sql", "select count(*) from episode"]), "7\n");
    world.run("store", &["import", "metaqnn", "many.csv"]).code(0).says("s3: 6000 rows");
    assert_eq!(csv(&world, &searches), "s1,7\ns3,6000\n");
    world.run("store", &["log", "verify"]).code(0);
}

/// Two at once: the second waits for the first, and then finds the file in the store.
#[test]
fn the_same_file_is_imported_once_though_two_begin() {
    let world = world();
    many(&world);
    let mut first = world.start("store", &["import", "metaqnn", "many.csv"], "0");
    while world.position("store") < 500 {
        assert!(first.try_wait().unwrap().is_none(), "the import was too fast to be met");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let second = world.run("store", &["--wait", "120", "import", "metaqnn", "many.csv"]);
    second.code(2).says("many.csv is in the store already: s1");
    assert!(first.wait().unwrap().success());
    assert_eq!(csv(&world, &["table", "searches", "--columns", "search"]), "s1\n");
}

/// Three at the same moment, none of which has recorded anything when the others look.
#[test]
fn of_three_that_begin_together_one_imports() {
    let world = world();
    many(&world);
    let import = ["--wait", "120", "import", "metaqnn", "many.csv"];
    let mut children: Vec<_> = (0..3).map(|_| world.start("store", &import, "0")).collect();
    let ended: Vec<_> = children.iter_mut().map(|child| child.wait().unwrap().success()).collect();
    assert_eq!(ended.iter().filter(|success| **success).count(), 1, "{ended:?}");
    assert_eq!(csv(&world, &["sql", "select count(*) from import where job not null"]), "1\n");
    world.run("store", &["log", "verify"]).code(0);
}

/// Killed at many moments, also between two syncs: nothing counts, and the log opens.
#[test]
fn wherever_an_import_is_killed_the_log_opens() {
    let world = world();
    many(&world);
    for at in [1_u64, 300, 900, 1_700, 2_600] {
        let mut child = world.start("store", &["import", "metaqnn", "many.csv"], "0");
        let begun = if world.path("store/HEAD").exists() { world.position("store") } else { 0 };
        while !world.path("store/HEAD").exists() || world.position("store") < begun + at {
            assert!(child.try_wait().unwrap().is_none(), "the import was too fast to be killed");
            std::thread::sleep(std::time::Duration::from_micros(300));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        world.run("store", &["log", "verify"]).code(0);
        assert_eq!(csv(&world, &["sql", "select count(*) from episode"]), "0\n");
        assert_eq!(csv(&world, &["table", "searches", "--columns", "search"]), "");
    }
    world.run("store", &["import", "metaqnn", "many.csv"]).code(0);
    assert_eq!(csv(&world, &["sql", "select count(*) from episode"]), "6000\n");
    world.run("store", &["log", "verify"]).code(0);
}

/// A file that takes a while.
fn many(world: &World) {
    let header = IMPORTED_LOG.lines().next().unwrap();
    let row = IMPORTED_LOG.lines().nth(1).unwrap();
    let many = format!("{header}\n{}", format!("{row}\n").repeat(6_000));
    std::fs::write(world.path("many.csv"), many).unwrap();
}

#[test]
fn the_same_log_has_the_same_digest_in_any_store() {
    let world = world();
    world.run("one", &["import", "metaqnn", "log.csv", "--name", "one"]).code(0);
    std::fs::copy(world.path("log.csv"), world.path("renamed.csv")).unwrap();
    world.run("two", &["import", "metaqnn", "renamed.csv"]).code(0);
    assert_eq!(world.digest("one"), world.digest("two"));
}

/// The numbers that are known of the authors' SVHN search.
#[test]
fn the_authors_log_gives_the_known_numbers() {
    let Some(folder) = authors() else { return };
    let world = World::new();
    let (log, q) = (folder.join("replay_database.csv"), folder.join("q_values.csv"));
    let (log, q) = (log.to_str().unwrap(), q.to_str().unwrap());
    let ran = world.run("store", &["import", "metaqnn", log, "--q-values", q]);
    ran.code(0).says("1910 episodes, 1789 trials, 34 architectures repeated");
    ran.says("73 rows are in quarantine").says("gaps in ix_q_value_update: 67 (");
    ran.says("0 architectures have several accuracies (11 with the rows in quarantine)");
    ran.says("logged 1983").says("slots 1583");
    ran.says("4161 Q-values").says("103 pairs of 61 phantom states");

    let means = csv(
        &world,
        &["sql", "select epsilon, round(mean_accuracy, 6), new from epsilon order by 1 desc"],
    );
    assert_eq!(means, "1.0,0.522514,1526\n0.9,0.52144,147\n0.8,0.536829,116\n");
    let gap = "select count(*) from episodes where arch like '%GAP(10)%' and failed";
    assert_eq!(csv(&world, &["sql", gap]), "562\n");
    let good = ["table", "top", "--where", "epsilon < 1 and accuracy >= 0.95"];
    let good = csv(&world, &[&good[..], &["--columns", "accuracy"]].concat());
    assert_eq!(good, "0.9528\n");
    let first = "select round(density, 3) from histogram where bin = 0 order by epsilon desc";
    assert_eq!(csv(&world, &["sql", first]), "54.357\n55.25\n51.917\n");
    let bins = "select count(*) from histogram group by epsilon order by epsilon desc";
    assert_eq!(csv(&world, &["sql", bins]), "40\n23\n23\n");
    let all = ["table", "epsilon", "--include-quarantined", "--where", "epsilon < 0.8"];
    let all = csv(&world, &[&all[..], &["--columns", "mean_accuracy,samples,new"]].concat());
    assert_eq!(all, "86.0,73,54\n");
    assert_eq!(csv(&world, &["sql", "select count(*) from quarantine"]), "73\n");
    let row_552 = "select accuracy from episodes where episode = 553";
    assert_eq!(csv(&world, &["sql", row_552]), "0.9514\n");
    let values = "select count(*), sum(phantom), sum(value = 0.5), sum(value > 1) from qtable";
    assert_eq!(csv(&world, &["sql", values]), "4161,103,1079,22\n");
    let phantoms =
        "select layer_type, image_size, count(*) from qtable where phantom group by 1, 2";
    assert_eq!(csv(&world, &["sql", phantoms]), "fc,4,83\ngap,4,8\ngap,8,12\n");
}
