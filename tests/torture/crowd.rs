//! Eight that write into one store and eight that read it, all at once.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::bench::{Bench, SEARCH, run};
use crate::table::{Row, Verdict};

/// Each reader asks for one of these again and again.
const QUESTIONS: [&[&str]; 8] = [
    &["table", "top", "--format", "csv"],
    &["table", "searches", "--format", "csv"],
    &["log", "show", "--limit", "20"],
    &["log", "stat"],
    &["log", "verify", "--no-artifacts"],
    &["log", "export", "-o", "-"],
    &["status"],
    &["sql", "SELECT count(*) FROM episode"],
];

pub(crate) fn crowd(bench: &Bench, row: &mut Row) {
    for round in 0..bench.times(1, 20) {
        let store = format!("crowd-{round}");
        let (asked, over) = (AtomicU32::new(0), AtomicU32::new(0));
        let mut wrong = Vec::new();
        let mut writers: Vec<Child> = (0..8).map(|writer| write(bench, &store, writer)).collect();
        while bench.world.position(&store) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        std::thread::scope(|scope| {
            let (over, asked, store) = (&over, &asked, &store);
            let readers: Vec<_> = QUESTIONS
                .iter()
                .map(|question| scope.spawn(move || read(bench, store, question, over, asked)))
                .collect();
            for writer in &mut writers {
                if !writer.wait().unwrap().success() {
                    wrong.push("a writer failed".to_owned());
                }
            }
            over.store(1, Ordering::Relaxed);
            wrong.extend(readers.into_iter().filter_map(|reader| reader.join().unwrap()));
        });
        let verdict = match (wrong.pop(), same(bench, &store)) {
            (_, Err(note)) => Verdict::Lost(note),
            (Some(note), _) => Verdict::Wrong(note),
            (None, Ok(())) => Verdict::Harmless,
        };
        row.count(8 + asked.into_inner(), verdict);
    }
}

/// One search, whose trials take the only device, and seven imports.
fn write(bench: &Bench, store: &str, number: usize) -> Child {
    let file = format!("crowd-{number}.csv");
    let mut log = include_str!("../history/replay_database.csv").to_owned();
    // Another file to qtrail, with the same rows.
    log.push_str(&"\n".repeat(number));
    fs::write(bench.path(&file), log).unwrap();
    let import = ["--wait", "60", "import", "metaqnn", &file];
    let search = [&["--wait", "60"][..], &SEARCH].concat();
    let arguments = if number == 0 { &search[..] } else { &import[..] };
    let mut command = bench.world.qtrail(store, arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Asks until the writers are done; what went wrong first.
fn read(
    bench: &Bench,
    store: &str,
    question: &[&str],
    over: &AtomicU32,
    asked: &AtomicU32,
) -> Option<String> {
    while over.load(Ordering::Relaxed) == 0 {
        let ended = run(bench.world.qtrail(store, question));
        asked.fetch_add(1, Ordering::Relaxed);
        if ended.verdict(&[]) != Verdict::Harmless {
            return Some(format!("{question:?}: {}", ended.told()));
        }
    }
    None
}

/// Each history is in it as if nobody else had been there.
fn same(bench: &Bench, store: &str) -> Result<(), String> {
    let mut alone = bench.digests.clone();
    for number in 1..8 {
        let (other, file) = (format!("{store}-{number}"), format!("crowd-{number}.csv"));
        bench.run(&other, &["import", "metaqnn", &file]).expect(0);
        alone.extend(bench.digests_of(&other)?);
    }
    let found = bench.digests_of(store)?;
    let sorted = |digests: &[String]| digests.iter().cloned().collect::<BTreeSet<_>>();
    if sorted(&found) != sorted(&alone) || found.len() != 8 {
        return Err(format!("{found:?} together, {alone:?} alone"));
    }
    bench.holds(store, &found)
}
