//! The verbs that read, as people use them: an empty environment, a store made by the library.
#![allow(clippy::disallowed_methods, missing_docs, clippy::unwrap_used)]

mod history;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use assert_cmd::cargo::cargo_bin;
use history::attack::attacked;
use history::{afterwards, finished, imported, series, several};

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        several().store(&folder.path().join("store"));
        finished().store(&folder.path().join("one"));
        imported().store(&folder.path().join("imported"));
        attacked().store(&folder.path().join("attacked"));
        afterwards().store(&folder.path().join("afterwards"));
        series().store(&folder.path().join("series"));
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(cargo_bin("qtrail"));
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .env("QTRAIL_STORE", "one")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .args(arguments);
        command
    }

    /// Exit code, stdout, stderr.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    /// All that is printed, where it must go well.
    #[track_caller]
    fn print(&self, arguments: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
        match stderr.is_empty() {
            true => stdout,
            false => format!("{stdout}---- stderr\n{stderr}"),
        }
    }
}

/// Every result table on a fixed history: a changed view, column or rounding shows.
#[test]
fn golden_tables() {
    let world = World::new();
    for table in [
        "searches",
        "episodes",
        "trials",
        "epochs",
        "top",
        "epsilon",
        "phases",
        "attempts",
        "qtable",
        "events",
        "qdepth",
        "qfield",
        "layers",
        "motifs",
        "pareto",
        "cost",
        "published",
        "published_attacks",
    ] {
        let shown = world.print(&["table", table, "--limit", "12"]);
        insta::assert_snapshot!(format!("table_{table}"), shown);
    }
}

/// An import that was killed is nowhere; one that is complete is like any search.
#[test]
fn golden_tables_of_an_import() {
    let world = World::new();
    let cases: [(&str, &[&str]); 9] = [
        ("table_quarantine", &["quarantine"]),
        ("table_rolling", &["rolling", "--window", "3"]),
        ("table_histogram", &["histogram", "--bins", "4"]),
        ("imported_searches", &["searches", "--columns", "search,status,models,episodes,name"]),
        (
            "imported_trials",
            &["trials", "--columns", "trial,accuracy,arch,status,params,planned,ended"],
        ),
        ("imported_epsilon", &["epsilon"]),
        ("imported_epsilon_all", &["epsilon", "--include-quarantined"]),
        ("imported_qtable", &["qtable"]),
        ("imported_qdepth", &["qdepth", "--q", "imported"]),
    ];
    for (name, arguments) in cases {
        let table = [&["--store", "imported", "table"], arguments].concat();
        insta::assert_snapshot!(name, world.print(&table));
    }
}

/// What came after a search: epochs of a lost attempt count as far as another went on from them.
#[test]
fn golden_tables_of_what_comes_after_a_search() {
    let world = World::new();
    let epochs = "trial,epoch,validation_accuracy,attempt,lost";
    let trials = "trial,accuracy,test_accuracy,purpose,recipe,fit,source,data,arch";
    let cases: [(&str, &[&str]); 7] = [
        ("table_finals", &["table", "finals", "--search", "all"]),
        ("table_transfer", &["table", "transfer"]),
        ("after_published", &["table", "published", "--where", "search is not null"]),
        ("after_trials", &["table", "trials", "--search", "r1", "--columns", trials]),
        ("after_epochs", &["table", "epochs", "--search", "r1", "--columns", epochs]),
        ("show_final", &["show", "t12"]),
        ("show_transfer", &["show", "t16"]),
    ];
    for (name, arguments) in cases {
        let arguments = [&["--store", "afterwards"], arguments].concat();
        insta::assert_snapshot!(name, world.print(&arguments));
    }
}

#[test]
fn golden_tables_of_a_series_and_an_ensemble() {
    let world = World::new();
    for table in ["stability", "repetitions", "ensembles"] {
        let shown = world.print(&["--store", "series", "table", table]);
        insta::assert_snapshot!(format!("table_{table}"), shown);
    }
}

/// A trial that two processes trained.
#[test]
fn golden_table_of_repeats() {
    let world = World::new();
    let shown = world.print(&["--store", "series", "table", "repeats", "--search", "s1"]);
    insta::assert_snapshot!("table_repeats", shown);
}

/// A study that was saved: without the time at which that happened.
#[test]
fn golden_table_of_studies() {
    let world = World::new();
    let replay = ["replay", "first", "--policy", "uniform,sweep", "--seeds", "0..2", "--save", "a"];
    world.print(&replay);
    let columns = "study,policy,seeds,prequential,first_tenth,last_phase,never,own_step,gini,\
                   spearman,rms,updates,greedy_accuracy,greedy,row,kind,search,as_of";
    let table = ["table", "replays", "--columns", columns];
    insta::assert_snapshot!("table_replays", world.print(&table));
}

/// Two attacks, one of them on its way.
#[test]
fn golden_tables_of_attacks() {
    let world = World::new();
    let cases: [(&str, &[&str]); 10] = [
        ("table_checks", &["checks", "--attack", "a1"]),
        ("table_attacks", &["attacks"]),
        ("table_accuracy", &["accuracy", "--attack", "a1", "--victim", "t1", "--eps", "8"]),
        ("table_destruction", &["destruction", "--attack", "a1", "--k", "1", "--eps", "16"]),
        (
            "table_destruction_repeats",
            &[
                "destruction",
                "--attack",
                "a1",
                "--case",
                "prefiltered",
                "--transformation",
                "noise",
                "--repeats",
                "--method",
                "fast",
                "--victim",
                "t1",
            ],
        ),
        ("table_methods", &["methods", "--attack", "a1"]),
        ("table_robustness", &["robustness", "--attack", "all"]),
        ("table_transfer_attack", &["transfer-attack", "--attack", "a1", "--k", "1"]),
        ("table_perturbations", &["perturbations", "--attack", "a1"]),
        ("table_top_attacked", &["top", "--limit", "3", "--spec", "fast:16"]),
    ];
    for (name, arguments) in cases {
        let table = [&["--store", "attacked", "table"], arguments].concat();
        insta::assert_snapshot!(name, world.print(&table));
    }
    insta::assert_snapshot!("show_attack", world.print(&["--store", "attacked", "show", "a1"]));
}

#[test]
fn parameters_are_checked_where_they_mean_nothing() {
    let world = World::new();
    let cases: [(&[&str], &str); 9] = [
        (
            &["table", "top", "--eps", "8"],
            "--eps is not supported by table top (supported by: accuracy",
        ),
        (
            &["table", "destruction", "--spec", "basic:8"],
            "--spec is not supported by table destruction (supported by: top)",
        ),
        (&["table", "destruction", "--attack", "a9"], "no attack is called a9"),
        (&["table", "destruction", "--search", "s1"], "destruction is not about searches"),
        (&["table", "accuracy", "--confidence", "0.5"], "the average case are not filtered"),
        (&["table", "top", "--q", "recorded"], "--q: top holds no Q-values; qtable, qdepth"),
        (&["table", "rolling", "--window", "0"], "0 is not in 1..=1000000"),
        (&["table", "published_attacks", "--search", "s1"], "is not about searches"),
        (&["table", "qtable", "--q", "none"], "invalid value 'none'"),
    ];
    for (arguments, expected) in cases {
        let (code, _, stderr) = world.run(arguments);
        assert!(code == 2 && stderr.contains(expected), "{stderr}");
    }
    let none = world.print(&["table", "qtable", "--q", "imported"]);
    assert!(none.contains("no rows") && none.contains("Q-values: s1: recorded"), "{none}");
}

/// A table added to schema/tables.sql needs a golden test.
#[test]
fn every_table_has_a_golden_test() {
    for table in qtrail::views::tables() {
        let name = format!("tests/snapshots/cli_read__table_{}.snap", table.name);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        assert!(path.exists(), "{} is missing", path.display());
    }
}

#[test]
fn six_formats() {
    let world = World::new();
    let columns = ["table", "top", "--columns", "rank,accuracy,arch,params", "--limit", "2"];
    for format in ["table", "md", "csv", "tsv", "json", "jsonl"] {
        let shown = world.print(&[&columns[..], &["--format", format]].concat());
        insta::assert_snapshot!(format!("format_{format}"), shown);
        let bare = world.print(&[&columns[..], &["--format", format, "--no-header"]].concat());
        assert!(bare.lines().count() <= shown.lines().count(), "{bare}");
    }
}

#[test]
fn show_and_log() {
    let world = World::new();
    let cases: &[(&str, &[&str])] = &[
        ("show_search", &["show", "s1"]),
        ("show_name", &["show", "first", "--at", "60"]),
        ("show_trial", &["show", "t2"]),
        ("show_trial_md", &["show", "t2", "--format", "md"]),
        ("show_trial_json", &["show", "t2", "--format", "json"]),
        ("show_failed", &["--store", "store", "show", "t14"]),
        ("show_run", &["--store", "store", "show", "r1"]),
        ("show_episode", &["--store", "store", "show", "e3", "--search", "s2"]),
        ("log_show", &["log", "show", "--after", "2", "--limit", "4"]),
        (
            "log_show_json",
            &["log", "show", "--kind", "trial-finished", "--limit", "2", "--format", "jsonl"],
        ),
        ("log_verify", &["log", "verify"]),
        ("compare", &["--store", "imported", "compare", "first", "s3"]),
        ("diff", &["--store", "imported", "diff", "t14", "t17"]),
        ("show_imported", &["--store", "imported", "show", "s3"]),
        ("show_imported_trial", &["--store", "imported", "show", "t15"]),
        ("tables", &["tables"]),
        ("tables_epsilon", &["tables", "epsilon"]),
        ("help", &["--help"]),
        ("help_table", &["table", "--help"]),
        (
            "sql",
            &["sql", "select arch, count(*) n from episodes group by 1 order by 2 desc limit 3"],
        ),
    ];
    for (name, arguments) in cases {
        insta::assert_snapshot!(*name, world.print(arguments));
    }
}

/// Arguments, exit code, words on stdout, words on stderr.
type Case = (&'static [&'static str], i32, &'static str, &'static str);

const CASES: &[Case] = &[
    // A missing store is said, and nothing is made.
    (&["--store", "none", "table", "top"], 2, "", "there is no store at"),
    (&["--store", "none", "log", "digest"], 2, "", "hint: give the right --store"),
    (&["--store", "none", "log", "verify"], 2, "", "there is no store at"),
    (&["--store", "none", "show", "s1"], 2, "", "there is no store at"),
    (&["--store", "none", "sql", "select 1"], 2, "", "there is no store at"),
    // Names that do not exist, with the nearest.
    (&["table", "trails"], 2, "", "did you mean `trials`?"),
    (&["table", "trials", "--columns", "accuracy,parms"], 2, "", "did you mean `params`?"),
    (&["table", "trials", "--sort", "-acc"], 2, "", "--sort: no column of trials is called `acc`"),
    (&["table", "trials", "--where", "acuracy > 1"], 2, "", "  acuracy > 1\n  ^^^^^^^\n"),
    (&["table", "trials", "--search", "s7"], 2, "", "the store has s1 (first)"),
    (&["show", "x1"], 2, "", "nothing is called x1"),
    (&["show", "t99"], 2, "", "there is no trial t99"),
    (&["show", "e999"], 2, "", "s1 has no episode 999"),
    (&["log", "show", "--kind", "trial"], 2, "", "the kinds are search-started"),
    (&["tables", "tops"], 2, "", "no table is called tops"),
    (&["table", "top", "--at", "yesterday"], 2, "", "neither the number of an event nor a time"),
    (&["table", "top", "--at", "100000"], 2, "", "the log ends at event"),
    (&["table", "top", "--format", "xml"], 2, "", "invalid value 'xml'"),
    (&["table"], 2, "", "required arguments"),
    (&["sql"], 2, "", "required arguments"),
    (&["sql", "delete from trial"], 2, "", "only statements that read are run"),
    (&["sql", "select 1; select 2"], 2, "", "only one statement is run"),
    (&["sql", "select * from trails"], 2, "", "did you mean `trials`?"),
    (&["sql", "select acuracy from trials"], 2, "", "         ^^^^^^^\n"),
    // Nothing found is success, unless rows are required.
    (&["table", "trials", "--where", "accuracy > 1"], 0, "no rows\nas of event", ""),
    (&["table", "trials", "--where", "accuracy > 1", "--format", "json"], 0, "[]\n", "no rows"),
    (&["table", "trials", "--where", "accuracy > 1", "--require"], 1, "no rows", "no such row"),
    (&["table", "trials", "--where", "accuracy > 0.5", "--require"], 0, "trained", ""),
    // Choice.
    (
        &[
            "table",
            "top",
            "--limit",
            "1",
            "--offset",
            "1",
            "--format",
            "csv",
            "--columns",
            "rank",
            "--no-header",
        ],
        0,
        "2\n",
        "as of event",
    ),
    (
        &[
            "table",
            "epsilon",
            "--where",
            "distinct > 2",
            "--format",
            "csv",
            "--columns",
            "epsilon",
            "--no-header",
        ],
        0,
        "1.0\n0.5\n0.1\n",
        "",
    ),
    (
        &[
            "table",
            "trials",
            "--sort",
            "-accuracy,arch",
            "--columns",
            "accuracy",
            "--limit",
            "2",
            "--format",
            "tsv",
        ],
        0,
        "accuracy\n0.92\n0.89\n",
        "",
    ),
    (
        &["--store", "store", "table", "top", "--columns", "search", "--limit", "1"],
        0,
        "s2",
        "s2 of 3 searches and runs",
    ),
    (
        &["--store", "store", "table", "trials", "--search", "all", "--where", "search = 'r1'"],
        0,
        "r1",
        "",
    ),
    (
        &[
            "--store",
            "store",
            "table",
            "trials",
            "--search",
            "first",
            "--sort",
            "-trial",
            "--limit",
            "1",
            "--columns",
            "trial",
        ],
        0,
        "t11",
        "",
    ),
    (
        &[
            "table",
            "events",
            "--at",
            "2026-11-20T12:00:05",
            "--format",
            "csv",
            "--columns",
            "position",
            "--no-header",
        ],
        0,
        "1\n2\n3\n4\n5\n6\n",
        "as of event 6",
    ),
    (&["log", "digest", "--logical"], 0, "\n", ""),
];

#[test]
fn exit_codes_and_messages() {
    let world = World::new();
    for (arguments, code, on_stdout, on_stderr) in CASES {
        let (found, stdout, stderr) = world.run(arguments);
        let all = format!("{arguments:?}: {found}\n{stdout}\n{stderr}");
        assert_eq!(found, *code, "{all}");
        assert!(stdout.contains(on_stdout), "{all}");
        assert!(stderr.contains(on_stderr), "{all}");
        assert!(
            *code == 0 || stderr.starts_with("error: ") || stderr.contains("\nerror: "),
            "{all}"
        );
    }
    assert!(!world.path("none").exists());
}

#[test]
fn digests_tell_searches_apart_and_stores_not() {
    let world = World::new();
    let lines = |arguments: &[&str]| -> Vec<String> {
        world.print(arguments).lines().map(ToOwned::to_owned).collect()
    };
    let one = lines(&["--store", "one", "log", "digest", "--logical"]);
    let several = lines(&["--store", "store", "log", "digest", "--logical"]);
    assert_eq!((one.len(), several.len()), (1, 3));
    assert_eq!(one[0], several[0]);
    assert_ne!(several[0], several[1]);
    assert_ne!(
        lines(&["--store", "one", "log", "digest"]),
        lines(&["--store", "store", "log", "digest"])
    );
}

#[test]
fn a_closed_pipe_is_success() {
    let world = World::new();
    let mut command = world.command(&["--store", "store", "log", "show", "--limit", "100000"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn damage_is_exit_code_4_and_says_where_until_it_is_repaired() {
    let world = World::new();
    let expected = world.print(&["table", "top"]);
    let head = world.path("one/HEAD");
    let mut bytes = std::fs::read(&head).unwrap();
    bytes[20] ^= 1;
    bytes[4096 + 20] ^= 1;
    std::fs::write(&head, bytes).unwrap();
    for verb in [&["log", "verify"][..], &["log", "digest"]] {
        let (code, _, stderr) = world.run(verb);
        assert_eq!(code, 4, "{verb:?}: {stderr}");
        assert!(stderr.contains("HEAD") && stderr.contains("log repair"), "{stderr}");
    }
    let (code, stdout, _) = world.run(&["log", "repair"]);
    assert_eq!((code, stdout.contains("no valid slot")), (1, true), "{stdout}");
    // A query puts it right by itself, says so and records it.
    let (code, stdout, stderr) = world.run(&["table", "top"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("HEAD was repaired"), "{stderr}");
    let rows = |text: &str| text.lines().filter(|l| !l.contains("as of")).count();
    assert_eq!(rows(&stdout), rows(&expected));
    assert_eq!(world.run(&["log", "verify"]).0, 0);
    assert!(world.print(&["log", "show", "--kind", "log-repaired"]).contains("HEAD"));

    // Both copies of the events.
    for folder in ["one/sled", "one/aside"] {
        let _ = std::fs::remove_dir_all(world.path(folder));
    }
    let segment = world.path("one/journal/00000000000000000001");
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    for verb in [&["log", "verify"][..], &["log", "export"]] {
        assert_eq!(world.run(verb).0, 4, "{verb:?}");
    }
    let (code, _, stderr) = world.run(&["log", "repair"]);
    assert!(code == 1 && stderr.contains("events would be lost"), "{stderr}");
    // Who accepts the loss accepts that the tables have shown what is lost.
    let (code, _, stderr) = world.run(&["log", "repair", "--apply"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(world.run(&["table", "epsilon"]).0, 0);
    assert!(world.print(&["log", "show", "--kind", "log-repaired"]).contains("journal"));
    assert_eq!(world.run(&["log", "verify"]).0, 0);
}

#[test]
fn tables_that_differ_are_found_by_verify_and_the_log_is_not_blamed() {
    let world = World::new();
    world.print(&["table", "top"]);
    let model = rusqlite::Connection::open(world.path("one/views.sqlite")).unwrap();
    model.execute("UPDATE trial SET accuracy = 0.99 WHERE id = 1", []).unwrap();
    drop(model);
    world.print(&["log", "verify"]);
    let (code, stdout, stderr) = world.run(&["log", "verify", "--deep", "--format", "json"]);
    assert_eq!(code, 4, "{stderr}");
    let findings: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let verdicts: Vec<_> = findings.as_array().unwrap().iter().map(|f| &f["verdict"]).collect();
    assert_eq!(verdicts, ["good", "good", "good", "good", "damaged", "good"]);
    assert!(stderr.contains("the log is good"), "{stderr}");
}

#[test]
fn one_json_array_that_reads_back_exactly() {
    let world = World::new();
    let (_, stdout, _) = world.run(&["table", "epsilon", "--format", "json"]);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&stdout).unwrap();
    let (_, csv, _) = world.run(&["table", "epsilon", "--format", "csv", "--no-header"]);
    for (row, line) in rows.iter().zip(csv.lines()) {
        let mean: f64 = line.split(',').nth(1).unwrap().parse().unwrap();
        assert_eq!(row["mean_accuracy"].as_f64().unwrap().to_bits(), mean.to_bits());
    }
    assert_eq!(rows.len(), 3);
}
