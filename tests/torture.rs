//! Everything that can go wrong, injected and counted: `make torture`. A plain `cargo test` does a
//! sample of it; `QTRAIL_TORTURE=full` does all. An argument names one part.
//!
//! What must not be: something acknowledged that is gone, success with another answer, a panic.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

#[path = "torture/bench.rs"]
mod bench;
mod common;
mod log_common;
#[path = "torture/sweep.rs"]
mod sweep;
#[path = "torture/table.rs"]
mod table;

use std::process::ExitCode;
use std::time::Instant;

use bench::Bench;
use table::{Row, table};

/// A part with its rows.
type Part = (&'static str, &'static [&'static str], fn(&Bench, &mut [Row]));

const PARTS: &[Part] = &[(
    "sweep",
    &["a system call fails, every verb", "killed at a system call, every verb"],
    |bench, rows| {
        let [fail, kill] = rows else { unreachable!() };
        sweep::sweep(bench, fail, kill);
    },
)];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let first = arguments.first().map_or("", String::as_str);
    if first == "--list" {
        PARTS.iter().for_each(|(name, ..)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let filter = if first.starts_with('-') { "" } else { first };
    let full = std::env::var("QTRAIL_TORTURE").is_ok_and(|scale| scale == "full");
    // What is caught here is looked at as an outcome, not printed.
    std::panic::set_hook(Box::new(|panic| {
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            println!("{panic}");
        }
    }));
    let result = std::panic::catch_unwind(|| all(filter, full));
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        println!(
            "torture: {}",
            text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic")
        );
        ExitCode::FAILURE
    })
}

fn all(filter: &str, full: bool) -> ExitCode {
    if !bench::may_inject() {
        println!("notice: strace is missing or may not trace; no faults are injected");
        return ExitCode::from(u8::from(std::env::var_os("QTRAIL_NO_SKIP").is_some()));
    }
    let bench = Bench::new(full);
    let mut rows = Vec::new();
    for (name, what, run) in PARTS.iter().filter(|(name, ..)| name.contains(filter)) {
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
