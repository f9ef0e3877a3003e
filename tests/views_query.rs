//! Opening the read model: current without entering the log, caught up, damaged, foreign, behind,
//! read-only, in the past.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

mod history;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use history::{BEGINNING, History, finished, several};
use qtrail::events::frame::Position;
use qtrail::log::{LocalLog, Options, Store};
use qtrail::views::{
    Answer, Appender, At, Comparison, ReadModel, Rows, Select, Value, ViewError, compare, open,
};

fn options(wait: u64) -> Options {
    Options { command: "test".into(), wait: Duration::from_millis(wait), ..Options::default() }
}

/// The rows of a statement, as text.
fn ask(answer: &Answer, sql: &str) -> Vec<String> {
    struct Kept(Vec<String>);
    impl Rows for Kept {
        fn columns(&mut self, _: &[String]) -> std::io::Result<()> {
            Ok(())
        }
        fn row(&mut self, values: &[Value]) -> std::io::Result<()> {
            self.0.push(format!("{values:?}"));
            Ok(())
        }
    }
    let mut kept = Kept(Vec::new());
    answer.sql(sql, None, &mut kept).unwrap();
    kept.0
}

fn store(history: &History) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = history.store(&folder.path().join("store"));
    (folder, store)
}

/// The files of the read model, without what SQLite puts beside them.
fn generations(store: &Store) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.root()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.to_string_lossy().ends_with(".sqlite") && !path.is_symlink())
        .collect();
    files.sort();
    files
}

fn events(answer: &Answer) -> u64 {
    let rows = ask(answer, "SELECT count(*) FROM event");
    rows[0].trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

#[test]
fn a_model_is_built_once_and_then_the_log_is_not_entered() {
    let history = several();
    let (_folder, store) = store(&history);
    let answer = open(&store, &options(0), None).unwrap();
    assert_eq!((answer.as_of, &answer.behind), (history.head, &None));
    drop(answer);
    // Somebody sits in the log and does not leave: a current model answers all the same.
    let _inside = LocalLog::open(store.clone(), options(0)).unwrap();
    let answer = open(&store, &options(0), None).unwrap();
    assert_eq!((events(&answer), &answer.behind), (history.head.position.0, &None));
    let link = fs::read_link(store.root().join("views.sqlite")).unwrap();
    assert_eq!(link, generations(&store)[0].file_name().unwrap());
}

#[test]
fn a_log_that_another_process_has_open_is_read_to_its_end() {
    let history = several();
    let folder = tempfile::tempdir().unwrap();
    let (first, all) = (100, history.events.len());
    let part = History { frames: history.frames[..first].to_vec(), ..History::default() };
    let store = part.store(&folder.path().join("store"));
    drop(open(&store, &options(0), None).unwrap());
    history.store(store.root());
    let log = LocalLog::open(store.clone(), options(0)).unwrap();
    let answer = open(&store, &options(0), None).unwrap();
    assert_eq!((events(&answer), &answer.behind), (all as u64, &None));
    let past = open(&store, &options(0), Some(At::Position(Position(5)))).unwrap();
    assert_eq!(events(&past), 5);
    log.close().unwrap();
}

#[test]
fn an_answer_stays_as_it_is() {
    let history = several();
    let folder = tempfile::tempdir().unwrap();
    let part = History { frames: history.frames[..50].to_vec(), ..History::default() };
    let store = part.store(&folder.path().join("store"));
    let old = open(&store, &options(0), None).unwrap();
    history.store(store.root());
    let new = open(&store, &options(0), None).unwrap();
    assert_eq!((events(&old), events(&new)), (50, history.head.position.0));
}

fn damaged(damage: impl Fn(&Path)) {
    let history = finished();
    let (_folder, store) = store(&history);
    drop(open(&store, &options(0), None).unwrap());
    let before = generations(&store);
    damage(&before[0]);
    let answer = open(&store, &options(0), None).unwrap();
    assert_eq!(events(&answer), history.head.position.0);
    let after = generations(&store);
    assert_eq!(after.len(), 1, "{after:?}");
    assert!(after[0] != before[0] && after[0].to_string_lossy().ends_with("-2.sqlite"));
}

#[test]
fn what_is_damaged_is_replaced_by_the_next_generation() {
    damaged(|path| fs::write(path, "this is no database, and never was one").unwrap());
    damaged(|path| {
        let model = rusqlite::Connection::open(path).unwrap();
        model.execute_batch("DROP TABLE stamp").unwrap();
    });
    // Another store's, as after copying files around.
    damaged(|path| {
        let model = rusqlite::Connection::open(path).unwrap();
        model.execute("UPDATE stamp SET store = 'another'", []).unwrap();
    });
    // Of another history: the same position, another chain; and beyond the end of the log.
    damaged(|path| {
        let model = rusqlite::Connection::open(path).unwrap();
        model.execute("UPDATE stamp SET chain = replace(chain, 'a', 'b')", []).unwrap();
    });
    damaged(|path| {
        let model = rusqlite::Connection::open(path).unwrap();
        model.execute("UPDATE stamp SET position = position + 1", []).unwrap();
    });
    damaged(|path| {
        let model = rusqlite::Connection::open(path).unwrap();
        model.execute("UPDATE stamp SET position = position - 1", []).unwrap();
    });
}

#[test]
fn an_empty_file_is_one_that_was_just_begun() {
    let history = finished();
    let (_folder, store) = store(&history);
    drop(open(&store, &options(0), None).unwrap());
    let path = generations(&store)[0].clone();
    fs::write(&path, "").unwrap();
    assert_eq!(open(&store, &options(0), None).unwrap().as_of, history.head);
    assert_eq!(generations(&store), [path]);
}

#[test]
fn the_past_is_what_was_folded_then() {
    let history = several();
    let (_folder, store) = store(&history);
    let end = history.head.position.0;
    for position in [0, 1, 57, 200, end] {
        let answer = open(&store, &options(0), Some(At::Position(Position(position)))).unwrap();
        assert_eq!((events(&answer), answer.as_of.position.0), (position, position));
    }
    let times = [(-1, 0), (0, 1), (999, 1), (56_000, 57), (1_000_000_000, end)];
    for (after, position) in times {
        let answer = open(&store, &options(0), Some(At::Time(BEGINNING + after))).unwrap();
        assert_eq!(answer.as_of.position.0, position, "{after}");
    }
    let error = open(&store, &options(0), Some(At::Position(Position(end + 1)))).unwrap_err();
    assert!(matches!(error, ViewError::Mistake(_)), "{error}");
}

#[test]
fn a_query_changes_nothing_whatever_it_says() {
    let history = finished();
    let (_folder, store) = store(&history);
    let answer = open(&store, &options(0), None).unwrap();
    let mut nobody = Nobody;
    for sql in [
        "DELETE FROM trial",
        "INSERT INTO stamp VALUES (2, '', 0, '', '')",
        "UPDATE trial SET accuracy = 1",
        "CREATE TABLE t (x)",
        "CREATE TEMP TABLE t (x)",
        "DROP VIEW top",
        "PRAGMA query_only = 0",
        "ATTACH 'other' AS other",
        "SELECT load_extension('x')",
        "VACUUM",
        "COMMIT",
        "SELECT 1; DELETE FROM trial",
    ] {
        let error = answer.sql(sql, None, &mut nobody).unwrap_err();
        assert!(matches!(error, ViewError::Mistake(_)), "{sql}: {error:?}");
    }
    drop(answer);
    let mut log = LocalLog::open(store.clone(), options(0)).unwrap();
    let end = history.head.position;
    assert_eq!(compare(&store, &mut log, end).unwrap(), Comparison::Same(end));
}

struct Nobody;

impl Rows for Nobody {
    fn columns(&mut self, _: &[String]) -> std::io::Result<()> {
        Ok(())
    }
    fn row(&mut self, _: &[Value]) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn mistakes_are_pointed_at() {
    let (_folder, store) = store(&finished());
    let answer = open(&store, &options(0), None).unwrap();
    let cases = [
        ("acuracy > 0.7", "no column of trials is called `acuracy`", Some("acuracy"), "`accuracy`"),
        ("accuracy > 0.7 and \"arhc\" = ''", "called `arhc`", Some("\"arhc\""), "`arch`"),
        ("failed and accuracy >", "not complete", None, ""),
        ("accuracy > 0.7) or (1", "`)` without its `(`", None, ""),
        ("(accuracy > 0.7", "`(` without its `)`", None, ""),
        ("arch like '%P(%", "' is missing", None, ""),
        ("accuracy > 0.7; drop table trial", "without `;`", None, ""),
        ("nofunction(accuracy)", "no such function", None, ""),
        ("sum(accuracy) > 1", "misuse of aggregate", Some("sum"), ""),
        ("", "--where is empty", None, ""),
    ];
    for (condition, message, place, hint) in cases {
        let condition_text = Some(condition.to_owned());
        let select =
            Select { table: "trials".into(), condition: condition_text, ..Select::default() };
        let Err(ViewError::Mistake(mistake)) = answer.select(&select, &mut Nobody) else {
            panic!("{condition} is understood");
        };
        assert!(mistake.message.contains(message), "{condition}: {}", mistake.message);
        let found = mistake.at.map(|(start, end)| &mistake.text[start..end]);
        assert!(place.is_none() || found == place, "{condition}: {found:?}");
        assert!(mistake.hint.unwrap_or_default().contains(hint), "{condition}");
    }
}

#[test]
fn conditions_may_use_columns_that_are_keywords_and_quotes_and_comments() {
    let (_folder, store) = store(&finished());
    let answer = open(&store, &options(0), None).unwrap();
    for condition in [
        "distinct > 0",
        "\"distinct\" >= 1 and samples in (select samples from epsilon)",
        "search = 's1' -- a comment",
        "search like 's_' /* ' */",
        "sqrt(mean_accuracy) > 0.1 and date('now') is not null",
    ] {
        let select = Select {
            table: "epsilon".into(),
            condition: Some(condition.into()),
            ..Select::default()
        };
        assert_eq!(answer.count(&select).unwrap(), 3, "{condition}");
    }
}

#[test]
fn the_appender_keeps_a_model_current_also_after_being_kept_out() {
    let history = several();
    let (_folder, store) = store(&history);
    let mut appender = Appender::new(store.clone(), |line| panic!("{line}"));
    let mut record = |start: usize, end: usize| {
        appender.recorded(&history.events[start..end], history.head_after(end));
    };
    let stamp = || {
        let model = ReadModel::open(store.root(), store.id(), Duration::ZERO).unwrap();
        model.stamp().unwrap().position.0
    };
    record(0, 40);
    assert_eq!(stamp(), 40);
    // Another program holds the write lock: the batch goes with the next.
    let other = rusqlite::Connection::open(&generations(&store)[0]).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    record(40, 50);
    assert_eq!(stamp(), 40);
    other.execute_batch("COMMIT").unwrap();
    record(50, 60);
    assert_eq!(stamp(), 60);
    // A query went ahead; what it knows is left out.
    drop(open(&store, &options(0), None).unwrap());
    record(60, history.events.len());
    assert_eq!(stamp(), history.head.position.0);
    // The file is gone: the next generation, which the next query fills.
    fs::remove_file(&generations(&store)[0]).unwrap();
    record(history.events.len() - 1, history.events.len());
    assert_eq!(open(&store, &options(0), None).unwrap().as_of, history.head);
}

/// Many processes may build a model at the same time.
#[test]
fn queries_at_once_agree() {
    let history = several();
    let (_folder, store) = store(&history);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            std::thread::spawn(move || open(&store, &options(10_000), None).unwrap().as_of)
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), history.head);
    }
    assert_eq!(generations(&store).len(), 1);
}

/// Python's SQLite is often older than ours: one view that it cannot read would spoil them all.
#[test]
fn other_programs_read_every_view_of_the_file() {
    let (_folder, store) = store(&finished());
    drop(open(&store, &options(10), None).unwrap());
    let script = "
import sqlite3, sys
db = sqlite3.connect(f'file:{sys.argv[1]}?mode=ro', uri=True)
views = [name for (name,) in db.execute(\"SELECT name FROM sqlite_master WHERE type = 'view'\")]
for view in views:
    try:
        db.execute(f'SELECT * FROM \"{view}\" LIMIT 1').fetchall()
    except sqlite3.OperationalError as error:
        # Square roots are there only if SQLite was built with them.
        if 'no such function: sqrt' not in str(error):
            raise SystemExit(f'{view}: {error}')
print(len(views), db.execute('SELECT arch FROM top WHERE rank = 1').fetchone()[0])
";
    let file = store.root().join("views.sqlite");
    let python = std::process::Command::new("python3").args(["-c", script]).arg(file).output();
    let Ok(python) = python else {
        eprintln!("skipped: there is no python3");
        return;
    };
    let error = String::from_utf8_lossy(&python.stderr);
    let said = String::from_utf8_lossy(&python.stdout);
    assert!(python.status.success(), "{error}");
    assert!(said.trim_end().ends_with("[GAP(10), SM(10)]"), "{said}");
}
