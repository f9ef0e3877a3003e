//! Asking a large store: whole processes on a generated log of 100,000 trials (1,000,000 events), and
//! on two with an attack: of 1,632,000 judged images, and of 50,000 images with 24,000,000 of them.
//!
//! The log is generated once, by the search itself and a trainer that makes results up, and kept
//! in the target folder. What is printed: time and peak memory of each question beside what is
//! promised of it, and the time in which the read model is built from nothing, also that of a
//! search of the paper's size. Every run has to succeed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::history::History;
use crate::history::attack::{Attack, right, script};
use qtrail::adversary::sampling::Sampling;
use qtrail::agent::search::Search;
use qtrail::agent::{Decision, Job as _, Training as _};
use qtrail::chance::Stream;
use qtrail::config::{SearchConfig, presets};
use qtrail::events::codec::encode;
use qtrail::events::frame::{Head, seal};
use qtrail::events::{
    AttemptStarted, ConfigPart, DataFacts, EpochFinished, Event, FailedReason, Fold as _, Hash,
    Outcome, Recorded, Scope, SearchStarted, TrialFinished,
};
use qtrail::log::{Building, Options};

use crate::report::{Report, Row, Target};
use crate::{median, timed};

/// Searches of the large store, and models of each: two days on ten GPUs, thirty-five times.
const SEARCHES: u32 = 35;
const MODELS: u32 = 2_860;
/// Epochs recorded of each trial.
const EPOCHS: u32 = 4;
/// Runs whose median is taken.
const RUNS: usize = 9;

/// What is promised of a question: whole process, read model current.
#[derive(Clone, Copy)]
enum Promise {
    /// A filtered or indexed table: 30 ms.
    Indexed,
    /// An aggregate: 150 ms and 64 MiB.
    Aggregate,
    /// A table of an attack on 50,000 images: a second.
    Attack,
    /// Nothing in particular.
    None,
}

impl Promise {
    /// Milliseconds and MiB.
    const fn limits(self) -> (Option<u64>, Option<u64>) {
        match self {
            Self::Indexed => (Some(30), None),
            Self::Aggregate => (Some(150), Some(64)),
            Self::Attack => (Some(1_000), None),
            Self::None => (None, None),
        }
    }
}

pub fn questions(report: &mut Report) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let large = generated(&folder.join("tables-large"), Length::Searches(SEARCHES), MODELS);
    let paper = generated(&folder.join("tables-paper"), Length::Searches(1), 3_000);
    // The promise is made for a million events.
    for (store, limit) in [(&large, Some(4.0)), (&paper, None)] {
        let question = ["sql", "select max(position) from event"];
        let times = (0..3).map(|_| {
            forget_tables(store);
            ask(store, &question)
        });
        let events = events(store);
        let million = median(times.collect()).as_secs_f64() / (events as f64 / 1e6);
        forget_tables(store);
        let (cpu, memory) = usage(store, &question);
        let row = Row::new(format!("read model of {events} events"), million, "s/million events");
        let row = row.note(format!("processor {cpu:.0} ms, {memory} MiB"));
        report.add(row.target(limit.map(Target::AtMost)));
    }
    for (promise, question) in QUESTIONS {
        judge(report, &large, question, *promise, "100,000 trials");
    }
    for (name, images, models, promise, what) in [
        ("tables-attacked", 1_000, 3, Promise::None, "1,000 images"),
        ("tables-attacked-large", 50_000, 1, Promise::Attack, "50,000 images"),
    ] {
        let attacked = attacked(&folder.join(name), images, models);
        ask(&attacked, &["table", "attacks"]);
        for question in ATTACK_QUESTIONS {
            judge(report, &attacked, question, promise, what);
        }
    }
}

/// Asks a question several times, and adds what it takes.
fn judge(report: &mut Report, store: &Path, question: &[&str], promise: Promise, what: &str) {
    let time = median((0..RUNS).map(|_| ask(store, question)).collect());
    let (cpu, memory) = usage(store, question);
    let (most, most_memory) = promise.limits();
    let row = Row::new(question.join(" "), time.as_secs_f64() * 1e3, "ms");
    let row = row.note(format!("{what}; processor {cpu:.0} ms, {memory} MiB"));
    report.add(row.target(most.map(|most| Target::AtMost(most as f64))));
    if let Some(most) = most_memory {
        let row = Row::new(format!("{}, memory", question.join(" ")), memory as f64, "MiB");
        report.add(row.note(what).target(Target::AtMost(most as f64)));
    }
}

pub fn events(store: &Path) -> u64 {
    let store = qtrail::log::Store::open(store).unwrap();
    store.read_head().unwrap().record.head.position.0
}

/// A store with one attack whose images nobody crafted.
fn attacked(root: &Path, images: u32, models: u16) -> PathBuf {
    if !root.exists() {
        eprintln!("generating {} …", root.display());
        let methods = ["fast", "basic", "least-likely"];
        let specs = methods.iter().flat_map(|method| [2, 4, 8, 16].map(|eps| (*method, eps)));
        let grid = |name: &'static str, n: u32| (0..n).map(move |p| (name, f64::from(p), 1));
        let artificial = ["brightness", "contrast", "blur", "jpeg"].into_iter();
        let attack = Attack {
            number: 1,
            protocol: "kurakin2017",
            sampling: Sampling::kurakin2017(),
            classes: 100,
            images,
            batch: 100,
            victims: (0..models).map(script).collect(),
            specs: specs.collect(),
            transformations: artificial
                .flat_map(|name| grid(name, 9))
                .chain(grid("camera", 3))
                .collect(),
            finished: true,
            pixels: None,
        };
        let mut history = History::default();
        attack.record(&mut history, |look| {
            let spec = look.source.map_or(0, |source| u32::from(source.spec) + 1);
            let turned = (look.place * 7 + spec * 3) % 20 < spec;
            let moved = look.place + u32::from(look.transformation);
            let back = look.transformation > 0 && moved.is_multiple_of(3);
            let clean = u16::from(look.place % 11 == 0);
            right(if turned && !back { 7 } else { clean }, 0.9)
        });
        history.store(root);
    }
    root.to_owned()
}

const ATTACK_QUESTIONS: &[&[&str]] = &[
    &["table", "destruction", "--k", "1"],
    &["table", "destruction", "--case", "prefiltered"],
    &["table", "accuracy"],
    &["table", "robustness"],
    &["table", "transfer-attack"],
    &["table", "methods"],
    &["table", "checks"],
    &["plot", "destruction", "--format", "svg"],
];

const QUESTIONS: &[(Promise, &[&str])] = &[
    (Promise::None, &["--version"]),
    (
        Promise::Indexed,
        &["table", "trials", "--search", "s30", "--where", "accuracy > 0.9 and depth < 5"],
    ),
    (Promise::Indexed, &["table", "trials", "--search", "all", "--where", "trial = 't77777'"]),
    (Promise::Indexed, &["table", "top"]),
    (Promise::None, &["table", "top", "--search", "all", "--where", "rank = 1"]),
    (Promise::None, &["table", "searches"]),
    (Promise::Indexed, &["table", "epochs", "--search", "s30", "--limit", "20"]),
    (Promise::Indexed, &["table", "epochs", "--search", "all", "--where", "trial = 't77777'"]),
    (Promise::Indexed, &["show", "t77777"]),
    (Promise::Indexed, &["sql", "select * from trial where id = 77777"]),
    (
        Promise::Indexed,
        &["sql", "select count(*) from trial where accuracy > 0.9 and params < 100000"],
    ),
    (Promise::Aggregate, &["sql", "select count(distinct arch) from episodes"]),
    (Promise::Aggregate, &["sql", "select count(distinct architecture) from episode"]),
    (Promise::Aggregate, &["table", "epsilon", "--search", "all"]),
    (Promise::Aggregate, &["table", "epsilon"]),
    (Promise::Aggregate, &["table", "rolling", "--limit", "20"]),
    (Promise::Aggregate, &["table", "rolling", "--search", "all", "--limit", "20"]),
    (Promise::Aggregate, &["table", "histogram", "--limit", "20"]),
    (Promise::Aggregate, &["table", "motifs", "--limit", "20"]),
    (Promise::Aggregate, &["table", "pareto", "--limit", "20"]),
    (Promise::Aggregate, &["table", "cost"]),
    (Promise::Aggregate, &["table", "qdepth", "--limit", "20"]),
];

fn command(store: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qtrail"));
    command.arg("--store").arg(store).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The time that the program takes to answer.
pub fn ask(store: &Path, arguments: &[&str]) -> Duration {
    timed(|| {
        let status = command(store, arguments).status().unwrap();
        assert!(status.success(), "{arguments:?} ended with {status}");
    })
}

/// Processor time in milliseconds, which depends less on who else is at work, and peak memory in MiB,
/// as the kernel counts them for a parent that waits. A part of it is the parent's, for starting the
/// process: compare with `--version`.
fn usage(store: &Path, arguments: &[&str]) -> (f64, u64) {
    let script = "import resource, subprocess, sys\n\
                  subprocess.run(sys.argv[1:], stdout=-3, stderr=-3, check=True)\n\
                  used = resource.getrusage(resource.RUSAGE_CHILDREN)\n\
                  print((used.ru_utime + used.ru_stime) * 1000, used.ru_maxrss // 1024)";
    let mut command = Command::new("python3");
    command.args(["-c", script, env!("CARGO_BIN_EXE_qtrail"), "--store"]);
    let output = command.arg(store).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (time, memory) = text.trim().split_once(' ').unwrap();
    (time.parse().unwrap(), memory.parse().unwrap())
}

pub fn forget_tables(store: &Path) {
    for entry in std::fs::read_dir(store).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("views") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
}

/// How much there is in a generated store.
#[derive(Clone, Copy)]
pub enum Length {
    /// So many searches, all finished.
    Searches(u32),
    /// So many events; the last search is in the middle.
    Events(u64),
}

/// The store of this name, made if it is not there from an earlier time.
pub fn generated(root: &Path, length: Length, models: u32) -> PathBuf {
    if !root.exists() {
        eprintln!("generating {} …", root.display());
        let (searches, most) = match length {
            Length::Searches(searches) => (searches, u64::MAX),
            Length::Events(events) => (u32::MAX, events),
        };
        let mut events = Events {
            building: Building::begin(root, Options::default()).unwrap(),
            head: Head::default(),
            most,
        };
        let numbers = (1..=searches).take_while(|&number| {
            search(&mut events, number, models);
            !events.are_enough()
        });
        numbers.for_each(drop);
        let (_, head) = events.building.finish().unwrap();
        eprintln!("{} events", head.position);
    }
    root.to_owned()
}

struct Events {
    building: Building,
    head: Head,
    most: u64,
}

impl Events {
    fn are_enough(&self) -> bool {
        self.head.position.0 >= self.most
    }

    fn record(&mut self, scope: Scope, events: &[Event]) {
        for event in events {
            if self.are_enough() {
                return;
            }
            let at = 1_795_176_000_000 + 1000 * self.head.position.0 as i64;
            let (frame, head) = seal(self.head, &encode(at, scope, event).unwrap()).unwrap();
            self.building.push(frame).unwrap();
            self.head = head;
        }
    }
}

fn search(events: &mut Events, number: u32, models: u32) {
    let scope = Scope::Search(number);
    let config = config(models);
    let text = config.to_toml();
    let parts = ConfigPart::cut(&text);
    let started = SearchStarted {
        name: format!("search {number}"),
        seed: number.into(),
        chance: qtrail::chance::SCHEME.into(),
        data: DataFacts {
            name: "test".into(),
            content: Hash::of(b"content"),
            channels: 1,
            side: 28,
            classes: 10,
            train: 55_000,
            validation: 5_000,
            split: Hash::of(b"split"),
        },
        folder: "/data".into(),
        config: Hash::of(text.as_bytes()),
        config_parts: parts.len() as u16,
        threads: 1,
        program: "qtrail 0".into(),
    };
    let mut search = Search::new(started.clone(), config).unwrap();
    let parts = parts.into_iter().map(Event::from);
    events.record(scope, &std::iter::once(started.into()).chain(parts).collect::<Vec<_>>());
    loop {
        let recorded = match search.decide(true, &[]) {
            Decision::Record(events) => events,
            Decision::Do(trial) => train(&search, trial),
            Decision::Wait | Decision::Done => return,
        };
        if events.are_enough() {
            return;
        }
        for event in &recorded {
            search.apply(&Recorded::unplaced(event.clone())).unwrap();
        }
        events.record(scope, &recorded);
    }
}

/// The paper's space and replay; a tenth of the models at each of ten epsilons, none so low that
/// most samples are known already.
fn config(models: u32) -> SearchConfig {
    let phases: Vec<String> = (11..=20)
        .rev()
        .map(|parts| format!("{{epsilon={},models={}}}", f64::from(parts) / 20.0, models / 10))
        .collect();
    let set = format!("schedule.phases=[{}]", phases.join(","));
    SearchConfig::read(presets::text("mnist").unwrap(), None, &[set]).unwrap()
}

/// Results that follow from the seed of a trial and, a little, from its size.
fn train(search: &Search, ordinal: u32) -> Vec<Event> {
    let trial = search.trials().get(ordinal).unwrap();
    let mut chance = Stream::new(trial.planned.seed, "made up", 0);
    let failed = chance.below(20) == 0;
    let mut events: Vec<Event> = vec![
        AttemptStarted {
            trial: ordinal,
            attempt: 1,
            device: "cuda:0".into(),
            threads: 1,
            trainer: "made up 1".into(),
            library: "none".into(),
            isa: "any".into(),
            host: "host".into(),
            continues: None,
            worker: "worker".into(),
            precision: "f32".into(),
        }
        .into(),
    ];
    let best = 3_000 + chance.below(1_950) as u32;
    for epoch in 1..=EPOCHS {
        let correct = if failed { 500 } else { best - (EPOCHS - epoch) * 100 };
        events.push(
            EpochFinished {
                trial: ordinal,
                attempt: 1,
                restart: 0,
                epoch,
                learning_rate: 0.001,
                train_loss: 2.0 / f64::from(epoch),
                train_correct: correct * 11,
                train_total: 55_000,
                validation_loss: 2.5 / f64::from(epoch),
                validation_correct: correct,
                validation_total: 5_000,
                seconds: 12.5,
            }
            .into(),
        );
    }
    let outcome = match failed {
        true => Outcome::Failed { reason: FailedReason::Chance, message: "no better".into() },
        false => Outcome::Trained {
            best_epoch: EPOCHS,
            best_correct: best,
            last_correct: best,
            total: 5_000,
            weights: Some(Hash::of(&ordinal.to_le_bytes())),
            kept: false,
        },
    };
    let (epochs, restarts, seconds, peak_memory) = (EPOCHS, 0, 50.0, 1 << 30);
    let finished = TrialFinished {
        trial: ordinal,
        attempt: 1,
        outcome,
        epochs,
        restarts,
        seconds,
        peak_memory,
    };
    events.push(finished.into());
    events
}
