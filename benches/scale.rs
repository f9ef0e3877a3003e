//! Cost against size: stores of 1,000 to 1,000,000 events, of searches of the paper's length, the
//! last one in its middle. `QTRAIL_BENCH_EVENTS=10000000` adds a size.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use qtrail::engine::journal::Observer;
use qtrail::engine::session::{Session, Surroundings};
use qtrail::events::codec::encode;
use qtrail::events::frame::{Head, seal};
use qtrail::events::{ArtifactReleased, Event, Hash, Recorded, Scope};
use qtrail::log::{EventLog as _, LocalLog, Options, Store};
use qtrail::views::Appender;

use crate::report::{Report, Row, Target};
use crate::tables::{Length, ask, events, forget_tables, generated};
use crate::{median, timed};

/// Models of a search: a tenth at each of ten epsilons.
const MODELS: u32 = 2_860;
/// Appends, and openings, of which the median counts.
const APPENDS: usize = 200;
const OPENINGS: usize = 5;

pub fn sizes(report: &mut Report) {
    let further = std::env::var("QTRAIL_BENCH_EVENTS").ok();
    let further = further.map(|text| text.parse().expect("QTRAIL_BENCH_EVENTS is a number"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for size in [1_000, 10_000, 100_000, 1_000_000].into_iter().chain(further) {
        let store = generated(&folder.join(format!("scale-{size}")), Length::Events(size), MODELS);
        let copy = tempfile::tempdir_in(folder).unwrap();
        let root = copy.path().join("store");
        let copied = Command::new("cp").arg("-r").args([&store, &root]).status().unwrap();
        assert!(copied.success());
        one(report, &root, size);
    }
}

fn one(report: &mut Report, root: &Path, size: u64) {
    forget_tables(root);
    let built = ask(root, &["sql", "select max(position) from event"]).as_secs_f64();
    let ask = |question: &[&str]| median((0..9).map(|_| ask(root, question)).collect());
    let top = ask(&["table", "top"]).as_secs_f64() * 1e3;
    let all = ask(&["table", "epsilon", "--search", "all"]).as_secs_f64() * 1e3;
    let clean = median((0..OPENINGS).map(|_| timed(|| decide(root))).collect());
    let append = appends(root).as_secs_f64() * 1e6;
    let killed = median((0..OPENINGS).map(|_| after_a_kill(root)).collect());
    // The limits are of a million events.
    let limit = |most: f64| (size == 1_000_000).then_some(Target::AtMost(most));
    let case = |what: &str| format!("{what}, {size} events");
    let size = size as f64 / 1e6;
    report.add(Row::new(case("durable append"), append, "µs"));
    let resume = |when, time: Duration| {
        Row::new(case(&format!("until the first decision, {when}")), time.as_secs_f64() * 1e3, "ms")
    };
    report.add(resume("closed", clean).target(limit(300.0)));
    report.add(resume("killed", killed).target(limit(1_000.0)));
    report.add(Row::new(case("table top"), top, "ms").target(limit(30.0)));
    report.add(Row::new(case("table epsilon, all searches"), all, "ms").target(limit(150.0)));
    let note = format!("{:.2} s/million", built / size);
    report.add(Row::new(case("read model from nothing"), built, "s").note(note).target(limit(4.0)));
}

/// Opens the store, and folds the last search up to what it decides next.
fn decide(root: &Path) {
    let surroundings =
        Surroundings { options: Options::default(), clock: || 0, program: "bench".to_owned() };
    let store = Store::open(root).unwrap();
    let appender = Sees(Appender::new(store.clone(), |what| panic!("{what}")));
    let mut session = Session::open(store, surroundings, Box::new(appender)).unwrap();
    let scope = session.index().newest_unfinished().unwrap();
    let job = session.job(scope).unwrap();
    drop(job.decide(true, &[]));
    session.close().unwrap();
}

/// The read model follows, as it does in the program.
struct Sees(Appender);

impl Observer for Sees {
    fn recorded(&mut self, events: &[Recorded], head: Head) {
        self.0.recorded(events, head);
    }
}

/// The same with what a process leaves that is killed after an append: its files as they are
/// meanwhile.
fn after_a_kill(root: &Path) -> Duration {
    let mut log = LocalLog::open(Store::open(root).unwrap(), Options::default()).unwrap();
    append(&mut log);
    let killed = root.with_file_name("killed");
    let copied = Command::new("cp").arg("-r").args([root, &*killed]).status().unwrap();
    assert!(copied.success());
    log.close().unwrap();
    assert_eq!(events(root), events(&killed));
    let time = timed(|| decide(&killed));
    std::fs::remove_dir_all(killed).unwrap();
    time
}

fn appends(root: &Path) -> Duration {
    let mut log = LocalLog::open(Store::open(root).unwrap(), Options::default()).unwrap();
    let times = (0..APPENDS).map(|_| timed(|| append(&mut log))).collect();
    log.close().unwrap();
    median(times)
}

/// An event that says nothing about a search.
fn append(log: &mut LocalLog) {
    let head = log.head().unwrap();
    let event = Event::from(ArtifactReleased { trial: 0, artifact: Hash::default() });
    let payload = encode(1_795_176_000_000, Scope::Store, &event).unwrap();
    log.append(head, &[seal(head, &payload).unwrap().0]).unwrap();
}
