//! Benchmarks: `make bench`, or some of them with `make bench CASES="log start"`.
//!
//! Every case that has a target is a ratio to something measured in the same run, or a limit that
//! was set for two ordinary cores. benches/README.md says what came of it.
#![allow(missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, clippy::cast_possible_truncation, clippy::cast_precision_loss)]

#[path = "../tests/history/mod.rs"]
mod history;
mod log;
mod replay;
mod report;
mod scale;
mod start;
mod tables;

use std::path::Path;
use std::time::{Duration, Instant};

use report::Report;

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Case = (&'static str, fn(&mut Report));

const CASES: [Case; 5] = [
    ("start", start::cold_start),
    ("log", log::durability),
    ("replay", replay::speed),
    ("tables", tables::questions),
    ("scale", scale::sizes),
];

fn main() {
    // Cargo says so for `cargo bench`, and not where tests of everything are run.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let known = |name: &String| CASES.iter().any(|(case, _)| case == name);
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        let names: Vec<&str> = CASES.iter().map(|(name, _)| *name).collect();
        eprintln!("there is no case `{unknown}`, only {}", names.join(", "));
        std::process::exit(2);
    }
    let mut report = Report::default();
    for (name, run) in CASES {
        if wanted.is_empty() || wanted.iter().any(|one| one == name) {
            run(&mut report);
        }
    }
    report.finish(&Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench.jsonl"));
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
