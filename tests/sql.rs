//! `qtrail sql` reads and does nothing else, whatever the statement says.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod common;
mod history;

use std::fs;
use std::time::{Duration, Instant};

use common::World;
use history::several;

fn world() -> World {
    let world = World::new();
    several().store(&world.path("a"));
    world.run("a", &["tables"]).code(0);
    world.run("a", &["sql", "select 1"]).code(0);
    world
}

/// What may not change: names and contents of the read model's files, and of the folder beside.
fn contents(world: &World) -> Vec<(String, Option<blake3::Hash>)> {
    let mut found = Vec::new();
    for folder in [world.path(""), world.path("a")] {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            // SQLite's own: how far its write-ahead log was read.
            if !name.ends_with("-shm") && !name.ends_with("-wal") {
                found.push((name, fs::read(entry.path()).ok().map(|bytes| blake3::hash(&bytes))));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
fn nothing_can_be_changed() {
    let world = world();
    let before = contents(&world);
    for statement in [
        "delete from trial",
        "update trial set accuracy = 1",
        "insert into stamp values (1, '', 0, '', '')",
        "drop table trial",
        "create table x (y)",
        "create temp table x (y)",
        "create view x as select 1",
        "create temp trigger x after insert on trial begin select 1; end",
        "alter table trial add column x",
        "with x as (select 1) delete from trial",
        "with x as (select 1) insert into kind select 99, 'x', 'y' from x returning *",
        "replace into kind values (1, '', '')",
        "attach 'other.sqlite' as other",
        "attach ':memory:' as other",
        "detach main",
        "vacuum",
        "vacuum into 'other.sqlite'",
        "reindex",
        "analyze",
        "begin immediate",
        "commit",
        "rollback",
        "savepoint x",
        "pragma query_only = off",
        "pragma query_only",
        "pragma journal_mode = delete",
        "pragma user_version = 7",
        "pragma writable_schema = on",
        "pragma temp_store_directory = '/'",
        "pragma wal_checkpoint(truncate)",
        "select * from pragma_table_info('trial')",
        "select load_extension('x.so')",
        "select writefile('other', 'x')",
        "select readfile('/etc/passwd')",
        "select fts3_tokenizer('simple')",
        "create virtual table x using fts5(y)",
        "explain delete from trial",
        "explain query plan delete from trial",
    ] {
        let ran = world.run("a", &["sql", statement]);
        ran.code(2);
        assert!(ran.stderr().contains("error: "), "{statement}: {}", ran.stderr());
        assert_eq!(ran.stdout(), "", "{statement}");
    }
    assert_eq!(contents(&world), before);
}

#[test]
fn one_statement_and_no_more() {
    let world = world();
    for statement in ["select 1; select 2", "select 1; delete from trial", "select 1;;x"] {
        world.run("a", &["sql", statement]).code(2);
    }
    for statement in ["select 1;", "select 1 -- done", "select 1; -- done", " select 1 ;\n"] {
        world.run("a", &["sql", statement, "--format", "csv"]).code(0).says("\n1\n");
    }
    for statement in ["", "  ", "-- nothing", ";"] {
        let ran = world.run("a", &["sql", statement]);
        assert_ne!(ran.0.status.code(), Some(70), "{statement:?}: {}", ran.stderr());
    }
    // A double-quoted word is a name, never a text.
    world.run("a", &["sql", "select count(*) from trials where \"acuracy\" > 0.7"]).code(2);
}

#[test]
fn endless_statements_are_stopped_in_time() {
    let world = world();
    for statement in [
        "with recursive n(i) as (select 1 union all select i + 1 from n) select sum(i) from n",
        "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n where i < 0",
        "select count(*) from event a, event b, event c, event d, event e, event f",
        "select max(a.kind || b.kind || c.kind) from event a, event b, event c, event d, event e",
    ] {
        let started = Instant::now();
        let ran = world.run("a", &["sql", statement, "--time-limit", "0.3"]);
        ran.code(2).says("the query was stopped after 0.3 s").says("--time-limit");
        assert!(started.elapsed() < Duration::from_secs(10), "{statement}");
    }
    // Rows are handed over as they come, until there are enough of them.
    let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n";
    let ran = world.run("a", &["sql", endless]);
    ran.code(0).says("stopped after 10000 rows; --limit 0 prints all");
    let ran = world.run("a", &["sql", endless, "--limit", "3", "--format", "csv"]);
    assert_eq!(ran.code(0).stdout(), "i\n1\n2\n3\n");
}

#[test]
fn huge_values_are_refused() {
    let world = world();
    let nines = format!("like('{}', zeroblob(9000))", "%_".repeat(5_000));
    for value in [
        "randomblob(1000000000)",
        "zeroblob(2000000000)",
        "printf('%1000000000d', 1)",
        "printf('%.*c', 2000000000, 'x')",
        "replace(hex(zeroblob(4000000)), '0', 'xxxxxxxxxxxxxxxxxxxx')",
        "hex(hex(hex(zeroblob(2000000))))",
        "(select group_concat(hex(zeroblob(100000))) from event a, event b)",
        &nines,
    ] {
        let statement = format!("select length({value})");
        let started = Instant::now();
        world.run("a", &["sql", &statement, "--time-limit", "5"]).code(2);
        assert!(started.elapsed() < Duration::from_secs(20), "{value}");
    }
}

#[test]
fn the_schema_names_every_table_column_and_function() {
    let world = world();
    let text = world.run("none", &["sql", "--schema"]);
    text.code(0);
    for table in qtrail::views::tables() {
        text.says(&format!("VIEW {} AS", table.name));
    }
    for word in ["CREATE TABLE trial", "-- Q", "sqrt(x)", "pow(x, y)"] {
        text.says(word);
    }
    // What is listed is there.
    for (call, _) in qtrail::views::FUNCTIONS {
        for call in call.split("), ").map(|call| format!("{})", call.trim_end_matches(')'))) {
            let statement = format!("select {call} from (select 1.5 as x, 2 as y)");
            world.run("a", &["sql", &statement]).code(0);
        }
    }
}

#[test]
fn what_is_no_question_and_what_is_too_large_is_said() {
    let world = world();
    for (statement, says) in [
        ("", "there is no statement"),
        ("  /* later */", "there is no statement"),
        ("select hex(zeroblob(9000000))", "a value has become too large"),
        ("select randomblob(1000000000)", "a value has become too large"),
    ] {
        world.run("a", &["sql", statement]).code(2).says(says);
    }
}

/// A limit that is exactly the number of rows keeps nothing back.
#[test]
fn only_rows_that_are_kept_back_are_told_of() {
    let world = world();
    let three = "select 1 union all select 2 union all select 3";
    let told = |limit: &str| {
        let ran = world.run("a", &["sql", "--limit", limit, three]).code(0).stdout();
        ran.contains("stopped after")
    };
    assert_eq!((told("2"), told("3"), told("4")), (true, false, false));
}
