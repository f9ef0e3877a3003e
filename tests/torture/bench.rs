//! What all kinds of faults share: stores to start from, running the program with a deadline, and
//! looking at what is left.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use qtrail::events::digest::Digests;
use qtrail::events::{Fold as _, Hash};

use crate::common::World;
use crate::log_common::Dice;
use crate::table::{Row, Verdict};

/// The longest that a run may take.
const LIMIT: Duration = Duration::from_secs(60);
/// What a person must never see.
const PANICS: [&str; 4] = ["panicked at", "bug in qtrail", "RUST_BACKTRACE", "please report"];

/// A search of two models and a second: the store `done` is after it, `killed` in the middle.
pub(crate) struct Bench {
    pub(crate) world: World,
    /// How many times CI's sample; none: everything.
    scale: Option<usize>,
    /// Digests of `done`.
    pub(crate) digests: Vec<String>,
}

/// What a run left.
pub(crate) struct Ended {
    /// The exit code; of a signal, its number below zero.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) const SEARCH: [&str; 16] = [
    "search",
    "--preset",
    "tiny",
    "--data",
    "data",
    "--seed",
    "7",
    "--threads",
    "1",
    "--name",
    "s",
    "--or-resume",
    "--set",
    "keep-weights=\"all\"",
    "--set",
    "schedule.phases=[{epsilon=1.0,models=2}]",
];

impl Bench {
    pub(crate) fn new(scale: Option<usize>) -> Self {
        let world = World::new();
        let mut bench = Self { world, scale, digests: Vec::new() };
        bench.run("done", &SEARCH).expect(0);
        bench.digests = bench.digests_of("done").unwrap();
        let mut child = bench.world.start("killed", &SEARCH, "0.05");
        bench.world.kill_after("killed", &mut child, 12);
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.world.path(name)
    }

    /// A fresh copy of a store.
    pub(crate) fn copy(&self, from: &str, to: &str) {
        let _ = fs::remove_dir_all(self.path(to));
        self.world.copy(&self.path(from), to);
    }

    pub(crate) fn run(&self, store: &str, arguments: &[&str]) -> Ended {
        run(self.world.qtrail(store, arguments))
    }

    /// The logical digests of all searches and runs in a store, or why they cannot be had.
    pub(crate) fn digests_of(&self, store: &str) -> Result<Vec<String>, String> {
        let read = || {
            let digests = Digests::default().folded(&self.world.events(store)).unwrap();
            digests.finish().into_iter().map(|(_, hash): (_, Hash)| hash.to_string()).collect()
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
            .map_err(|_| format!("{store} cannot be read"))
    }

    /// Whether a store holds these searches and every byte of it is good, without any fault.
    pub(crate) fn holds(&self, store: &str, digests: &[String]) -> Result<(), String> {
        let found = self.digests_of(store)?;
        if found != digests {
            return Err(format!("digests {found:?}, not {digests:?}"));
        }
        let verified = self.run(store, &["log", "verify"]);
        match verified.code {
            0 => Ok(()),
            _ => Err(format!("log verify: {}", verified.told())),
        }
    }

    /// Does things on both cores, until all are done. Says how far it is, and at once what must not
    /// be.
    pub(crate) fn each<T: Sync>(
        &self,
        row: &mut Row,
        items: &[T],
        body: impl Fn(usize, &T) -> Option<(u32, Verdict)> + Sync,
    ) {
        let (next, shared) = (AtomicUsize::new(0), Mutex::new(row));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(at) else { return };
                        if let Some((faults, verdict)) = body(at, item) {
                            let mut row = shared.lock().unwrap();
                            let known = row.notes().len();
                            row.count(faults, verdict);
                            row.notes()[known..].iter().for_each(|note| eprintln!("{note}"));
                        }
                        if (at + 1) % 200 == 0 {
                            eprintln!("{} of {}", at + 1, items.len());
                        }
                    }
                });
            }
        });
    }

    /// How many rounds: of CI's sample, and of everything.
    pub(crate) fn times(&self, sample: usize, all: usize) -> usize {
        self.scale.map_or(all, |scale| all.min(sample * scale))
    }

    /// All of them, or in CI a sample, always the same one: groups take turns.
    pub(crate) fn spread<T, G: std::hash::Hash + Eq>(
        &self,
        mut items: Vec<T>,
        count: usize,
        group: impl Fn(&T) -> G,
    ) -> Vec<T> {
        let mut dice = Dice(count as u64);
        for at in (1..items.len()).rev() {
            items.swap(at, usize::try_from(dice.below(at as u64 + 1)).unwrap());
        }
        let mut seen = HashMap::new();
        let mut turns: Vec<(u32, T)> = Vec::with_capacity(items.len());
        for item in items {
            let turn: &mut u32 = seen.entry(group(&item)).or_default();
            turns.push((*turn, item));
            *turn += 1;
        }
        turns.sort_by_key(|(turn, _)| *turn);
        turns.into_iter().take(self.times(count, usize::MAX)).map(|(_, item)| item).collect()
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn expect(&self, code: i32) {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
    }

    /// Exit code and the last words, in one line.
    pub(crate) fn told(&self) -> String {
        let words: Vec<&str> = self.stderr.lines().rev().take(3).collect();
        let words = words.into_iter().rev().collect::<Vec<_>>().join(" / ");
        format!("exit {}: {}", self.code, words.chars().take(500).collect::<String>())
    }

    pub(crate) fn repaired(&self) -> bool {
        self.stderr.contains("was repaired")
    }

    /// Success, an exit code of these with a message, or what is wrong with it.
    pub(crate) fn verdict(&self, codes: &[i32]) -> Verdict {
        if PANICS.iter().any(|word| self.stderr.contains(word)) {
            return Verdict::Wrong(self.told());
        }
        match self.code {
            0 if self.repaired() => Verdict::Repaired,
            0 => Verdict::Harmless,
            code if codes.contains(&code) && !self.stderr.trim().is_empty() => Verdict::Told,
            _ => Verdict::Wrong(self.told()),
        }
    }
}

/// Runs a program and all that it starts, which end by the deadline.
pub(crate) fn run(mut command: Command) -> Ended {
    let files = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
    let [out, err] = files.each_ref().map(|file| file.try_clone().unwrap());
    command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if begun.elapsed() > LIMIT {
            end_all(child.id());
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let [stdout, stderr] = files.map(|mut file| {
        let mut bytes = Vec::new();
        std::io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let code = status.map_or(-9999, |status| {
        status.code().unwrap_or_else(|| -status.signal().unwrap_or_default())
    });
    Ended { code, stdout, stderr }
}

fn end_all(group: u32) {
    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status();
}

/// Whether strace is there and may inject faults.
pub(crate) fn may_inject() -> bool {
    let mut command = Command::new("strace");
    command.args(["-f", "-b", "execve", "-e", "trace=getpid", "-e", "inject=getpid:error=EIO"]);
    command.arg("true").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The same program under strace, with what is to be done to it. Programs that it starts are not
/// followed.
pub(crate) fn traced(program: &Command, options: &[&str], trace: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-b", "execve", "-qq", "-s", "200", "-o"]).arg(trace).args(options);
    command.arg(program.get_program()).args(program.get_args()).env_clear();
    for (name, value) in program.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    if let Some(folder) = program.get_current_dir() {
        command.current_dir(folder);
    }
    command
}
