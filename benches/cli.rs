//! Cold start: the whole process `qtrail --help`, against the floor of starting any process.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, clippy::cast_possible_truncation)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};

fn run(program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    let status = command.args(arguments).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
}

fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..101)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[50]
}

fn cold_start(criterion: &mut Criterion) {
    let qtrail = env!("CARGO_BIN_EXE_qtrail");
    let mut group = criterion.benchmark_group("cold start");
    group.sample_size(50);
    group.bench_function("qtrail --help", |bencher| bencher.iter(|| run(qtrail, &["--help"])));
    group.bench_function("true", |bencher| bencher.iter(|| run("true", &[])));
    group.finish();
    let (ours, floor) = (median(|| run(qtrail, &["--help"])), median(|| run("true", &[])));
    let ratio = ours.as_secs_f64() / floor.as_secs_f64();
    println!("cold start: {ours:.1?}, {ratio:.2} x starting `true` ({floor:.1?})");
}

criterion_group!(benches, cold_start);
criterion_main!(benches);
