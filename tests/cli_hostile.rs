//! Untrusted input and outputs that fail, at the command line.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod common;
mod history;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Ran, World};
use history::several;

/// A world with a store `a` that has searches in it.
fn world() -> World {
    let world = World::new();
    several().store(&world.path("a"));
    world.run("a", &["sql", "select 1"]).code(0);
    world
}

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// A pipe that nobody reads.
fn closed() -> std::io::PipeWriter {
    std::io::pipe().unwrap().1
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn stderr_that_cannot_be_written_to_changes_nothing() {
    let world = world();
    let verbs: [(&[&str], i32); 5] = [
        (&["table", "searches", "--format", "csv"], 0),
        (&["plot", "learning", "-o", "x.svg"], 0),
        (&["table", "nosuch"], 2),
        (&["nosuch"], 2),
        (&["--wait", "x", "tables"], 2),
    ];
    for (verb, code) in verbs {
        let expected = world.run("a", verb).code(code).stdout();
        for stderr in [Stdio::from(full()), Stdio::from(closed())] {
            let ran = Ran(world.qtrail("a", verb).stderr(stderr).output().unwrap());
            assert_eq!(ran.code(code).stdout(), expected, "{verb:?}");
        }
    }
    // A search goes on and has the history of any other.
    world.run("b", &World::tiny("3")).code(0);
    let mut search = world.qtrail("c", &World::tiny("3"));
    assert!(search.stdout(Stdio::null()).stderr(full()).status().unwrap().success());
    let mut search = world.qtrail("d", &World::tiny("3"));
    let mut child = search.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    drop(lines); // `2>&1 | head -1`
    assert!(child.wait().unwrap().success());
    assert_eq!(world.digest("c"), world.digest("b"));
    assert_eq!(world.digest("d"), world.digest("b"));
}

#[test]
fn a_full_stdout_is_an_error_and_a_closed_one_is_not() {
    let world = world();
    let verbs: &[&[&str]] = &[
        &["table", "searches"],
        &["table", "searches", "--format", "csv"],
        &["table", "searches", "--format", "json"],
        &["tables"],
        &["show", "s1"],
        &["show", "s1", "--format", "json"],
        &["status"],
        &["sql", "select 1"],
        &["sql", "--schema"],
        &["log", "export"],
        &["log", "export", "-o", "-"],
        &["log", "stat"],
        &["log", "digest"],
        &["log", "show"],
        &["plots"],
        &["plot", "learning"],
        &["plot", "learning", "--format", "png", "-o", "/dev/stdout"],
        &["report", "-o", "-"],
        &["policies"],
        &["completions", "bash"],
        &["man", "-"],
        &["search", "--preset", "tiny", "--print-config"],
        &["--help"],
        &["help"],
        &["table", "--help"],
        &["--version"],
    ];
    for verb in verbs {
        let code = if verb == &["help"] { 2 } else { 5 }; // there is no such verb
        let ran = Ran(world.qtrail("a", verb).stdout(full()).output().unwrap());
        assert_eq!(ran.code(code).stdout(), "", "{verb:?}");
        if code == 5 {
            ran.says("cannot write ").says("No space left on device");
        }
        let ran = Ran(world.qtrail("a", verb).stdout(closed()).output().unwrap());
        ran.code(if code == 5 { 0 } else { 2 });
        assert!(!ran.stderr().contains("stdout"), "{verb:?}: {}", ran.stderr());
    }
    // What is recorded counts, whatever becomes of its summary.
    let mut search = world.qtrail("b", &World::tiny("3"));
    Ran(search.stdout(full()).output().unwrap()).code(5);
    world.run("b", &["resume"]).code(0).says("nothing is left to do");
}

#[test]
fn messages_do_not_command_the_terminal() {
    let world = world();
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[31mred\u{9b}2J\u{202e}x\r";
    let safe = "\\x1b]0;owned\\x07\\x1b[31mred\\x9b2J\\u{202e}x\\r";
    let unsafe_ones = |c: char| {
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        turns || (c.is_control() && c != '\n' && c != '\t')
    };
    let condition = format!("nosuch = '{evil}'");
    let config = format!("[recipe]\n\"{evil}\" = 1\n");
    fs::write(world.path("evil.toml"), config).unwrap();
    fs::create_dir(world.path(evil)).unwrap();
    let verbs: &[&[&str]] = &[
        &["table", "top", "--search", evil],
        &["table", evil],
        &["table", "top", "--where", &condition],
        &["show", evil],
        &["resume", evil],
        &[evil],
        &["plot", evil],
        &["sql", &format!("select {evil}")],
        &["search", "--config", "evil.toml"],
        &["search", "--preset", "tiny", "--data", evil],
        &["search", "--preset", "tiny", "--name", evil],
        &["train", evil],
        &["log", "show", "--kind", evil],
        &["plot", "learning", "-o", &format!("{evil}/none/x.svg")],
    ];
    for verb in verbs {
        let ran = world.run("a", verb);
        ran.code(2);
        let said = ran.stdout() + &ran.stderr();
        assert!(!said.contains(unsafe_ones), "{verb:?}: {said:?}");
        assert!(said.contains("red\\x9b"), "{verb:?} does not say it: {said:?}");
    }
    // Where a text is a result, people get it escaped and programs as it is.
    let statement = format!("select '{evil}' as x");
    let table = world.run("a", &["sql", &statement]).code(0).stdout();
    assert!(table.contains(safe), "{table:?}");
    let json = world.run("a", &["sql", &statement, "--format", "json"]).code(0).stdout();
    assert!(json.contains("\\u001b]0;owned"), "{json:?}");
    // A trainer's last words.
    let trainer = world.path("trainer");
    fs::write(&trainer, "#!/bin/sh\nprintf '\\033]0;owned\\007\\033[31mred' >&2\nexit 1\n")
        .unwrap();
    fs::set_permissions(&trainer, fs::Permissions::from_mode(0o755)).unwrap();
    let mut search = world.qtrail("none", &World::tiny("1"));
    let ran = Ran(search.env("QTRAIL_TRAINER", &trainer).output().unwrap());
    ran.code(2).says("its last words: \\x1b]0;owned\\x07\\x1b[31mred");
}

#[test]
fn one_rule_for_names_on_every_verb() {
    let world = world();
    fs::write(world.path("m.csv"), "x").unwrap();
    let recipe = qtrail::config::recipes::text("short").unwrap();
    let before = world.position("a");
    let long = "n".repeat(5_000);
    let bad =
        ["s7", "r1", "a1", "t17", "all", "17", " a", "a ", "a b", "a\nb", "a\u{1b}[31m", &long];
    for name in bad {
        let verbs: &[&[&str]] = &[
            &["search", "--preset", "tiny", "--data", "data", "--name", name],
            &["search", "--preset", "tiny", "--data", "data", "--repeat", "2", "--name", name],
            &["fork", "s1", "--name", name],
            &["import", "metaqnn", "m.csv", "--name", name],
            &["import", "metaqnn", "m.csv", "--data", name],
            &["attack", "t1", "--name", name],
            &["ensemble", "save", name],
            &["replay", "--save", name],
            &["simulate", "--save", name],
        ];
        for verb in verbs {
            let ran = world.run("a", verb);
            ran.code(2).says("cannot be a name: ").says("hint: a name has 1 to 60 letters");
            let said = ran.stderr();
            assert!(said.len() < 600 && !said.contains('\u{1b}'), "{verb:?}: {said:?}");
        }
    }
    for verb in [&["ensemble", "save", ""], &["replay", "--save", ""]] {
        world.run("a", verb).code(2).says("cannot be a name: it is empty");
    }
    // A recipe is on record under the name of its file.
    fs::write(world.path("all.toml"), recipe).unwrap();
    world.run("b", &World::tiny("3")).code(0);
    let ran = world.run("b", &["final", "--recipe", "all.toml"]);
    ran.code(2).says("--recipe: `all` cannot be a name");
    assert_eq!(world.position("a"), before, "nothing was recorded");
}

#[test]
fn what_is_no_regular_file_is_written_to() {
    let world = world();
    let figure = world.run("a", &["plot", "learning", "--format", "svg"]).code(0).stdout();
    assert!(figure.starts_with("<svg"), "{figure}");
    let plot = |file: &str| world.run("a", &["plot", "learning", "--format", "svg", "-o", file]);
    // A pipe.
    let fifo = world.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let reader = std::thread::spawn({
        let fifo = fifo.clone();
        move || fs::read_to_string(fifo).unwrap()
    });
    plot("fifo").code(0);
    assert_eq!(reader.join().unwrap(), figure);
    assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    // A device of our own: root alone can make one, and root alone could replace it.
    if Command::new("mknod")
        .arg(world.path("null"))
        .args(["c", "1", "3"])
        .status()
        .unwrap()
        .success()
    {
        plot("null").code(0);
        assert!(fs::metadata(world.path("null")).unwrap().file_type().is_char_device());
        assert!(
            Command::new("mknod")
                .arg(world.path("full"))
                .args(["c", "1", "7"])
                .status()
                .unwrap()
                .success()
        );
        plot("full").code(5).says("cannot write full: No space left on device");
    }
    // Links.
    fs::write(world.path("target.svg"), "old").unwrap();
    symlink("target.svg", world.path("link.svg")).unwrap();
    plot("link.svg").code(0);
    assert!(world.path("link.svg").is_symlink());
    assert_eq!(fs::read_to_string(world.path("target.svg")).unwrap(), figure);
    // stdout by its other name, appended to as the shell has it.
    let out = world.path("out");
    fs::write(&out, "before\n").unwrap();
    let mut command =
        world.qtrail("a", &["plot", "learning", "--format", "svg", "-o", "/dev/stdout"]);
    let stdout = File::options().append(true).open(&out).unwrap();
    assert!(command.stdout(stdout).status().unwrap().success());
    assert_eq!(fs::read_to_string(&out).unwrap(), format!("before\n{figure}"));
    // Folders.
    fs::create_dir(world.path("folder.svg")).unwrap();
    plot("folder.svg").code(2).says("cannot write folder.svg");
    plot("none/x.svg").code(2).says("cannot write none/x.svg");
}

#[test]
fn a_dash_is_stdout_on_every_verb() {
    let world = world();
    world.run("b", &World::tiny("3")).code(0);
    let cases: &[(&str, &[&str], &[u8])] = &[
        ("a", &["report", "-o", "-"], b"<!doctype html>"),
        ("a", &["plot", "learning", "-o", "-", "--format", "png"], b"\x89PNG"),
        ("a", &["log", "export", "-o", "-"], b"{\"position\":1"),
        ("b", &["export", "qtable", "-o", "-"], b"end_fc_size,"),
        ("b", &["replay", "--seeds", "0", "--policy", "uniform", "--export-q", "-"], b"end_"),
        ("b", &["data", "check", "data", "--mean-image", "-"], b"data in "),
        ("a", &["man", "-"], b".ie"),
    ];
    for (store, verb, begins) in cases {
        let ran = world.run(store, verb);
        ran.code(0);
        let begin = &ran.0.stdout[..begins.len().min(ran.0.stdout.len())];
        assert_eq!(String::from_utf8_lossy(begin), String::from_utf8_lossy(begins), "{verb:?}");
    }
    let attack = &["export", "adversarial", "a1", "--format", "png", "-o", "-"];
    assert_ne!(world.run("a", attack).0.status.code(), Some(0));
    world.run("a", &["log", "export", "--with-artifacts", "-o", "-"]).code(2).says("beside a file");
    assert!(!world.path("-").exists());
}

#[test]
fn a_result_replaces_a_file_whole_and_leaves_nothing_beside() {
    let world = world();
    let folder = world.path("out");
    fs::create_dir(&folder).unwrap();
    // What killed exports left, of process ids above the largest of Linux; and the files of others.
    fs::write(folder.join(".log.jsonl.qtrail-2000000000-0"), "half").unwrap();
    fs::write(folder.join(".x.qtrail-2000000001-7"), "half").unwrap();
    fs::write(folder.join(".mine"), "mine").unwrap();
    for _ in 0..2 {
        world.run("a", &["log", "export", "-o", "out/log.jsonl"]).code(0).says(" events, chain ");
        assert_eq!(names(&folder), [".mine", "log.jsonl"]);
    }
    let whole = fs::read(folder.join("log.jsonl")).unwrap();
    let printed = world.run("a", &["log", "export"]).code(0).0.stdout.clone();
    assert_eq!(whole, printed);
    // Killed in the middle, the file is the old one; the next one cleans up.
    for _ in 0..20 {
        let mut child = world.qtrail("a", &["log", "export", "-o", "out/log.jsonl"]);
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while names(&folder).len() == 2 && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline);
        }
        let _ = child.kill();
        child.wait().unwrap();
        assert_eq!(fs::read(folder.join("log.jsonl")).unwrap(), whole);
    }
    world.run("a", &["log", "export", "-o", "out/log.jsonl"]).code(0);
    assert_eq!(names(&folder), [".mine", "log.jsonl"]);
    // As the umask has it.
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.join("log.jsonl")), mode(&folder.join(".mine")));
}

#[test]
fn paths_that_are_no_text_are_paths() {
    let world = world();
    let raw = OsStr::from_bytes(b"caf\xe9");
    let verb = |store: &OsStr, verb: &[&str]| {
        let mut command = world.qtrail("unused", verb);
        command.env("QTRAIL_STORE", store);
        // The last --store holds.
        let program = command.get_program().to_owned();
        let mut again = Command::new(program);
        again.env_clear().current_dir(world.path("")).arg("--store").arg(store).args(verb);
        for (name, value) in command.get_envs().filter_map(|(n, v)| Some((n, v?))) {
            again.env(name, value);
        }
        Ran(again.stdin(Stdio::null()).output().unwrap())
    };
    verb(raw, &["table", "searches"]).code(2).says("there is no store at");
    fs::rename(world.path("a"), world.path("").join(raw)).unwrap();
    verb(raw, &["table", "searches"]).code(0).says("s1");
    verb(raw, &["log", "verify"]).code(0);
    verb(raw, &["log", "export", "-o", "log.jsonl"]).code(0);
    verb(raw, &["log", "backup", "copy"]).code(0);
    verb(raw, &["status"]).code(0);
    world.run("copy", &["table", "searches"]).code(0).says("s1");
    // An output.
    let mut plot = world.qtrail("copy", &["plot", "learning", "--format", "svg", "-o"]);
    assert!(plot.arg(OsStr::from_bytes(b"f\xff.svg")).status().unwrap().success());
    assert!(world.path("").join(OsStr::from_bytes(b"f\xff.svg")).is_file());
    // A trainer cannot be told of such a path: that is said before anything is recorded.
    let before = fs::read(world.path("").join(raw).join("HEAD")).unwrap();
    verb(raw, &World::tiny("1")).code(2).says("is not UTF-8 text");
    assert_eq!(fs::read(world.path("").join(raw).join("HEAD")).unwrap(), before);
    let inside = world.path("").join(OsStr::from_bytes(b"d\xe9"));
    fs::create_dir(&inside).unwrap();
    fs::rename(world.path("data"), inside.join("data")).unwrap();
    let mut search = world.qtrail("copy", &["data", "check", "data"]);
    assert!(search.current_dir(&inside).stdout(Stdio::null()).status().unwrap().success());
    let mut search = world.qtrail(world.path("new").to_str().unwrap(), &World::tiny("1"));
    Ran(search.current_dir(&inside).output().unwrap()).code(2).says("is not UTF-8 text");
    assert!(!world.path("new").exists());
}

#[test]
fn numbers_that_are_none_are_refused() {
    let world = world();
    for number in ["NaN", "nan", "inf", "-inf", "-1", "1e10", "", "x"] {
        let wait = format!("--wait={number}");
        world.run("a", &[&wait, "tables"]).code(2).says("expected a number of seconds");
        let limit = format!("--time-limit={number}");
        world.run("a", &["sql", &limit, "select 1"]).code(2).says("expected a number of seconds");
        let limit = format!("--limit={number}");
        world.run("a", &["sql", &limit, "select 1"]).code(2);
        world.run("a", &["table", "searches", &limit]).code(2);
    }
    world.run("a", &["--wait", "0", "tables"]).code(0);
}

#[test]
fn one_long_call_of_a_function_is_stopped_too() {
    let world = world();
    let long = |c: char, n: u32| format!("printf('%.*c', {n}, '{c}')");
    let (text, needle) = (long('a', 900_000), long('a', 400_000));
    for expression in [
        format!("instr({text}, {needle} || 'b')"),
        format!("length(replace({text}, {needle} || 'b', 'c'))"),
        format!("length(rtrim({text}, {} || 'a'))", long('b', 80_000)),
    ] {
        for verb in [
            vec!["sql".to_owned(), "--time-limit=0.5".to_owned(), format!("select {expression}")],
            vec![
                "sql".to_owned(),
                "--time-limit=0.5".to_owned(),
                format!("select count(*) from event a, event b where {expression} = a.position"),
            ],
        ] {
            let verb: Vec<&str> = verb.iter().map(String::as_str).collect();
            let started = Instant::now();
            let ran = world.run("a", &verb);
            ran.code(2).says("the query was stopped after 0.5 s");
            assert!(started.elapsed() < Duration::from_secs(8), "{expression}");
        }
    }
    // Many calls that are long, but not too long.
    let statement = "with recursive n(i) as (select 1 union all select i + 1 from n)
        select max(printf('%*c', 900000 + i % 7, 'x')) from n";
    let started = Instant::now();
    world.run("a", &["sql", "--time-limit", "0.5", statement]).code(2).says("stopped after 0.5 s");
    assert!(started.elapsed() < Duration::from_secs(8));
}

#[test]
fn rows_for_people_are_bounded_in_bytes() {
    let world = world();
    let many = "with recursive n(i) as (select 1 union all select i + 1 from n)
        select i, printf('%.*c', 900000, 'z') as z, zeroblob(900000) as b from n";
    let mut command = world.qtrail("a", &["sql", many, "--limit", "5000"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut printed = String::new();
    child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(printed.len() < 200 << 20, "{} bytes", printed.len());
    for says in ["texts are cut after 10000 bytes", "a table holds 32 MiB", "--format csv"] {
        assert!(printed.contains(says), "should say {says}");
    }
    assert!(printed.contains("z…") && printed.contains("0…"));
    // Programs get all of it.
    let csv = world.run("a", &["sql", many, "--limit", "2", "--format", "csv"]).code(0).stdout();
    assert_eq!(csv.lines().last().unwrap().len(), 2 + 900_000 + 1 + 1_800_000);
    // A row of Markdown stays one.
    let md = world.run("a", &["sql", "select 'a|b' || char(10) || 'c' as x", "--format", "md"]);
    assert!(md.code(0).stdout().contains("a\\|b<br>c"), "{}", md.stdout());
}
