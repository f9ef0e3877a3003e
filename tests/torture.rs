//! Everything that can go wrong, injected and counted: `make torture`. A plain `cargo test` does a
//! sample of it, `QTRAIL_TORTURE=5` five times that, `QTRAIL_TORTURE=full` all. An argument names
//! one part.
//!
//! What must not be: something acknowledged that is gone, success with another answer, a panic.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "torture/bench.rs"]
mod bench;
mod common;
#[path = "torture/crowd.rs"]
mod crowd;
#[path = "torture/damage.rs"]
mod damage;
#[path = "torture/disk.rs"]
mod disk;
#[path = "torture/hostile.rs"]
mod hostile;
#[path = "torture/kills.rs"]
mod kills;
mod log_common;
#[path = "torture/power.rs"]
mod power;
#[path = "torture/sweep.rs"]
mod sweep;
#[path = "torture/table.rs"]
mod table;
#[path = "torture/together.rs"]
mod together;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use bench::Bench;
use table::{Row, table};

/// A part: what fills its rows.
struct Part {
    name: &'static str,
    rows: &'static [&'static str],
    run: fn(&Bench, &mut [Row]),
}

const PARTS: &[Part] = &[
    Part {
        name: "sweep",
        rows: &["a system call fails, every verb", "killed at a system call, every verb"],
        run: |bench, rows| pair(rows, |fail, kill| sweep::sweep(bench, fail, kill)),
    },
    Part {
        name: "kills",
        rows: &["searches killed at random moments"],
        run: |bench, rows| kills::random_kills(bench, &mut rows[0]),
    },
    Part {
        name: "power",
        rows: &["power cuts, log and artifacts"],
        run: |bench, rows| power::power(bench, &mut rows[0]),
    },
    Part {
        name: "damage",
        rows: &["a bit flipped, every file", "cut, zeroed or removed, every file"],
        run: |bench, rows| pair(rows, |flips, others| damage::damage(bench, flips, others)),
    },
    Part {
        name: "disk",
        rows: &["a search on a full disk, every size"],
        run: |bench, rows| disk::full(bench, &mut rows[0]),
    },
    Part {
        name: "crowd",
        rows: &["8 writers and 8 readers at once"],
        run: |bench, rows| crowd::crowd(bench, &mut rows[0]),
    },
    Part {
        name: "together",
        rows: &["two processes in one search, killed"],
        run: |bench, rows| together::two(bench, &mut rows[0]),
    },
    Part {
        name: "hostile",
        rows: &["stores of links, pipes and devices", "trainers that mean harm"],
        run: |bench, rows| {
            pair(rows, |stores, trainers| {
                hostile::stores(bench, stores);
                hostile::trainers(bench, trainers);
            });
        },
    },
];

fn pair(rows: &mut [Row], body: impl FnOnce(&mut Row, &mut Row)) {
    let [first, second] = rows else { unreachable!() };
    body(first, second);
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let first = arguments.first().map_or("", String::as_str);
    if first == "--list" {
        PARTS.iter().for_each(|part| println!("{}: test", part.name));
        return ExitCode::SUCCESS;
    }
    // The process that is traced for power cuts.
    if first == "__session" {
        power::session(Path::new(&arguments[1]));
    }
    let filter = if first.starts_with('-') { "" } else { first };
    let scale = match std::env::var("QTRAIL_TORTURE").as_deref() {
        Ok("full") => None,
        Ok(times) => Some(times.parse().expect("QTRAIL_TORTURE is full or a number")),
        Err(_) => Some(1),
    };
    // What is caught here is looked at as an outcome, not printed.
    std::panic::set_hook(Box::new(|panic| {
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            println!("{panic}");
        }
    }));
    let result = std::panic::catch_unwind(|| all(filter, scale));
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        println!(
            "torture: {}",
            text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic")
        );
        ExitCode::FAILURE
    })
}

fn all(filter: &str, scale: Option<usize>) -> ExitCode {
    if !bench::may_inject() {
        println!("notice: strace is missing or may not trace; no faults are injected");
        return ExitCode::from(u8::from(std::env::var_os("QTRAIL_NO_SKIP").is_some()));
    }
    let bench = Bench::new(scale);
    let mut rows = Vec::new();
    let asked = |part: &&Part| part.name.contains(filter);
    for Part { name, rows: what, run } in PARTS.iter().filter(asked) {
        let begun = Instant::now();
        let mut part: Vec<Row> = what.iter().map(|what| Row::new(what)).collect();
        run(&bench, &mut part);
        println!("test {name} ... done ({:.1} s)", begun.elapsed().as_secs_f64());
        rows.append(&mut part);
    }
    print!("{}", table(&rows));
    let mut notes = 0;
    for note in rows.iter().flat_map(Row::notes) {
        println!("{note}");
        notes += 1;
    }
    ExitCode::from(u8::from(notes > 0))
}
