//! What durability costs: an append against the bare write and fdatasync that nothing can beat,
//! in the same run, on the same disk; and what checking costs when a log is read.
//!
//! The ratios are what travels between machines; they are printed last.

#![allow(clippy::print_stdout, reason = "the ratios are the result")]

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use qtrail::events::frame::{Frame, Head, Payload, Position, seal};
use qtrail::log::{EventLog, LocalLog, Options, Reader, Store, read_on};

/// Bytes of one payload: about an epoch's result.
const PAYLOAD: usize = 110;
/// Events scanned.
const SCANNED: usize = 50_000;
/// Appends whose median is compared.
const REPEATS: usize = 400;

fn main() {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    // In the target folder, because the usual temporary folder may be in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder");
    durable_append(&mut criterion, folder.path());
    scan(&mut criterion, folder.path());
    criterion.final_summary();
    if !std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        ratios(folder.path());
    }
}

fn batch(head: Head, count: usize) -> Vec<Frame> {
    let payload = Payload { kind: 1, version: 1, bytes: vec![7; PAYLOAD] };
    let sealed = (0..count).scan(head, |head, _| {
        let (frame, next) = seal(*head, &payload).expect("a small payload");
        *head = next;
        Some(frame)
    });
    sealed.collect()
}

fn open(folder: &Path, name: &str) -> LocalLog {
    let store = Store::open_or_create(&folder.join(name)).expect("a store");
    LocalLog::open(store, Options::default()).expect("a log")
}

fn append(log: &mut LocalLog, count: usize) {
    let head = log.head().expect("a head");
    log.append(head, &batch(head, count)).expect("an append");
}

/// The floor: the same bytes at the end of a file, and fdatasync.
fn bare(folder: &Path) -> File {
    let path = folder.join("bare");
    OpenOptions::new().create(true).append(true).open(path).expect("a file")
}

fn write(file: &mut File, bytes: &[u8]) {
    file.write_all(bytes).and_then(|()| file.sync_data()).expect("a durable write");
}

fn bytes(count: usize) -> Vec<u8> {
    batch(Head::default(), count).into_iter().flat_map(|frame| frame.0).collect()
}

fn durable_append(criterion: &mut Criterion, folder: &Path) {
    let mut group = criterion.benchmark_group("durable append");
    for count in [1, 10] {
        group.throughput(Throughput::Elements(count as u64));
        let (bytes, mut file) = (bytes(count), bare(folder));
        group.bench_function(format!("write + fdatasync, {count}"), |bencher| {
            bencher.iter(|| write(&mut file, &bytes));
        });
        let mut log = open(folder, &format!("append-{count}"));
        group.bench_function(format!("log, {count}"), |bencher| {
            bencher.iter(|| append(&mut log, count));
        });
    }
}

fn fill(log: &mut LocalLog, count: usize) {
    let mut head = log.head().expect("a head");
    for _ in 0..count.div_ceil(100) {
        head = log.append_relaxed(head, &batch(head, 100)).expect("an append");
    }
    log.sync().expect("a sync");
}

fn scan_plain(log: &mut dyn EventLog) {
    let mut after = Position(0);
    loop {
        let frames = log.read(after, 1000).expect("frames");
        if frames.is_empty() {
            return;
        }
        after = Position(after.0 + frames.len() as u64);
    }
}

fn scan_checked(log: &mut dyn EventLog) {
    let mut head = Head::default();
    loop {
        let (frames, next) = read_on(log, head, 1000).expect("frames");
        if frames.is_empty() {
            return;
        }
        head = next;
    }
}

fn scan(criterion: &mut Criterion, folder: &Path) {
    let mut log = open(folder, "scan");
    fill(&mut log, SCANNED);
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Elements(SCANNED as u64)).sample_size(10);
    group.bench_function("checksum", |bencher| bencher.iter(|| scan_plain(&mut log)));
    group.bench_function("checksum and chain", |bencher| bencher.iter(|| scan_checked(&mut log)));
}

/// Median times of both, taken in turn, so that a busy disk hurts both.
fn ratios(folder: &Path) {
    for count in [1, 10, 100] {
        let (bytes, mut file) = (bytes(count), bare(folder));
        let mut log = open(folder, &format!("ratio-{count}"));
        let mut times: [Vec<Duration>; 2] = [Vec::new(), Vec::new()];
        for _ in 0..REPEATS {
            times[0].push(timed(|| write(&mut file, &bytes)));
            times[1].push(timed(|| append(&mut log, count)));
        }
        let [floor, log] = times.map(|mut times| {
            times.sort_unstable();
            times[REPEATS / 2].as_secs_f64() * 1e6
        });
        let ratio = floor / log;
        println!(
            "durable append of {count}: {log:.0} µs, {ratio:.2} of write + fdatasync ({floor:.0} µs)"
        );
    }
    let mut writer = open(folder, "scan");
    fill(&mut writer, SCANNED);
    let checked = timed(|| scan_checked(&mut writer)).as_secs_f64();
    println!(
        "scan of sled with checksum and chain: {:.0} k events/s",
        SCANNED as f64 / checked / 1e3
    );
    let mut log = Reader::open(writer.store()).expect("a reader");
    drop(writer);
    scan_plain(&mut log);
    let plain = timed(|| scan_plain(&mut log)).as_secs_f64();
    let checked = timed(|| scan_checked(&mut log)).as_secs_f64();
    let rate = SCANNED as f64 / checked / 1e3;
    println!(
        "scan with checksum and chain: {rate:.0} k events/s = {:.2} × the time with checksum only",
        checked / plain
    );
    drop(log);
    hand_over(folder);
    import(folder);
}

/// Two processes' logs, appending in turn: what one waits for the other.
fn hand_over(folder: &Path) {
    let (mut first, mut second) = (open(folder, "scan"), open(folder, "scan"));
    let mut head = first.head().expect("a head");
    let mut times: Vec<Duration> = Vec::new();
    for turn in 0..200 {
        let frames = batch(head, 1);
        let log = if turn % 2 == 0 { &mut first } else { &mut second };
        times.push(timed(|| {
            head = match log.append(head, &frames) {
                Ok(head) => head,
                Err(error) => panic!("{error}"),
            };
        }));
    }
    times.sort_unstable();
    let milliseconds = times[times.len() / 2].as_secs_f64() * 1e3;
    let most = times[times.len() - 1].as_secs_f64() * 1e3;
    println!("an append after another process's: {milliseconds:.2} ms, at most {most:.2} ms");
}

/// Batches of 100 that are made durable ten at a time, and closing.
fn import(folder: &Path) {
    let mut head = Head::default();
    let batches: Vec<Vec<Frame>> = (0..2_000)
        .map(|_| {
            let frames = batch(head, 100);
            for frame in &frames {
                let view = frame.view(head.position.next()).expect("a frame");
                head = view.follows(head).expect("a chain");
            }
            frames
        })
        .collect();
    let mut log = open(folder, "import");
    let took = timed(|| {
        let mut head = Head::default();
        for frames in &batches {
            head = log.append_relaxed(head, frames).expect("an append");
        }
        log.sync().expect("a sync");
    });
    let closing = timed(|| log.close().expect("closing"));
    let rate = 200.0 / took.as_secs_f64();
    let payload = (200_000 * PAYLOAD) as f64;
    let size = |name: &str| bytes_in(&folder.join("import").join(name)) as f64 / payload;
    println!("import of 200 k events: {rate:.0} k events/s; closing {closing:.0?}");
    println!("size / payload: journal {:.2}, sled {:.2}", size("journal"), size("sled"));
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries
        .map(|entry| match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => bytes_in(&entry.path()),
            false => entry.metadata().map_or(0, |facts| facts.len()),
        })
        .sum()
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}
