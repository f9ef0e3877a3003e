//! What durability costs: an append against the bare write and fdatasync that nothing can beat,
//! in the same run, on the same disk; and what checking costs when a log is read.
//!
//! The ratios are what travels between machines.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use qtrail::events::frame::{Frame, Head, Payload, Position, seal};
use qtrail::log::{EventLog, LocalLog, Options, Reader, Store, read_on};

use crate::report::{Report, Row, Target};
use crate::{median, timed};

/// Bytes of one payload: about an epoch's result.
const PAYLOAD: usize = 110;
/// Events scanned.
const SCANNED: usize = 50_000;
/// Events imported.
const IMPORTED: usize = 200_000;
/// Appends whose median is compared.
const REPEATS: usize = 400;

pub fn durability(report: &mut Report) {
    // In the target folder, because the usual temporary folder may be in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder");
    appends(report, folder.path());
    scans(report, folder.path());
    hand_over(report, folder.path());
    import(report, folder.path());
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

/// Median times of both, taken in turn, so that a busy disk hurts both.
fn appends(report: &mut Report, folder: &Path) {
    for (count, target) in [(1, 0.8), (10, 0.7), (100, 0.5)] {
        let (bytes, mut file) = (bytes(count), bare(folder));
        let mut log = open(folder, &format!("append-{count}"));
        let mut head = log.head().expect("a head");
        let mut times: [Vec<Duration>; 2] = [Vec::new(), Vec::new()];
        for _ in 0..REPEATS {
            let frames = batch(head, count);
            times[0].push(timed(|| write(&mut file, &bytes)));
            times[1].push(timed(|| head = log.append(head, &frames).expect("an append")));
        }
        let [floor, ours] = times.map(|times| median(times).as_secs_f64() * 1e6);
        let row = Row::new(format!("durable append of {count}"), ours, "µs");
        let row = row.against_time("write + fdatasync", floor);
        report.add(row.target(Target::AtLeast(target)));
    }
}

fn scans(report: &mut Report, folder: &Path) {
    let mut writer = open(folder, "scan");
    fill(&mut writer, SCANNED);
    let rate = |took: f64| SCANNED as f64 / took / 1e6;
    let sled = rate(fastest(|| scan_checked(&mut writer)));
    let mut log = Reader::open(writer.store()).expect("a reader");
    drop(writer);
    let plain = rate(fastest(|| scan_plain(&mut log)));
    let checked = rate(fastest(|| scan_checked(&mut log)));
    let note = format!("without the chain {plain:.2}; of sled {sled:.2}");
    let row = Row::new("scan, checksum and chain", checked, "million events/s").note(note);
    report.add(row.target(Target::AtLeast(3.0)));
}

/// The shortest of several runs, in seconds: of something that only computes.
fn fastest(mut work: impl FnMut()) -> f64 {
    (0..20).map(|_| timed(&mut work).as_secs_f64()).fold(f64::INFINITY, f64::min)
}

/// Two processes' logs, appending in turn: what one waits for the other.
fn hand_over(report: &mut Report, folder: &Path) {
    let (mut first, mut second) = (open(folder, "scan"), open(folder, "scan"));
    let mut head = first.head().expect("a head");
    let mut times: Vec<Duration> = Vec::new();
    for turn in 0..200 {
        let frames = batch(head, 1);
        let log = if turn % 2 == 0 { &mut first } else { &mut second };
        times.push(timed(|| head = log.append(head, &frames).expect("an append")));
    }
    let most = times.iter().max().map_or(0.0, Duration::as_secs_f64) * 1e3;
    let row = Row::new("append after another process's", median(times).as_secs_f64() * 1e3, "ms");
    report.add(row.note(format!("at most {most:.1} ms")).target(Target::AtMost(2.0)));
}

/// Batches of 100 that are made durable ten at a time, and closing.
fn import(report: &mut Report, folder: &Path) {
    let mut head = Head::default();
    let batches: Vec<Vec<Frame>> = (0..IMPORTED / 100)
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
    let rate = IMPORTED as f64 / 1e3 / took.as_secs_f64();
    let row = Row::new("import", rate, "thousand events/s").note(format!("closing {closing:.0?}"));
    report.add(row.target(Target::AtLeast(120.0)));
    let payload = (IMPORTED * PAYLOAD) as f64;
    let size = |name: &str| bytes_in(&folder.join("import").join(name)) as f64 / payload;
    let (journal, sled) = (size("journal"), size("sled"));
    let row = Row::new("size of a store", journal + sled, "× payload");
    let row = row.note(format!("journal {journal:.2}, sled {sled:.2}"));
    report.add(row.target(Target::AtMost(4.0)));
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
