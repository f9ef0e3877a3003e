//! Simulated power cuts. A session is traced with strace; then the power is cut after every file
//! operation of it, in several ways: what was synced is there, of the rest nothing, all, all but
//! the last, only the last, or a torn last write, and new names are kept or not. Whatever is left
//! must open, and hold everything acknowledged until then, with the artifacts that it names.
//!
//! The model knows nothing of lying disks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use qtrail::log::artifacts::ArtifactHash;
use qtrail::log::{EventLog as _, LocalLog, LogError, Options, Store};

use crate::bench::Bench;
use crate::log_common::{Dice, batch, copy_folder, head_at, verified};
use crate::table::{Row, Verdict};

/// Turns of the session that add an artifact: each before its batch of 10 events.
const TURNS: u64 = 12;
/// The artifact of the batch that ends at the first of these is removed after the second one.
const REMOVED: (u64, u64) = (30, 60);

pub(crate) fn power(bench: &Bench, row: &mut Row) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap().join("store");
    Store::open_or_create(&root).unwrap();
    // Folders are not in the model.
    fs::create_dir_all(root.join("artifacts/staging")).unwrap();
    let before = folder.path().join("before");
    copy_folder(&root, &before);
    let trace = trace(folder.path(), &root).expect("the session ends");
    let calls = parse(&trace);
    let wanted = bench.times(120, 4_000) as u64;
    let states = states(&Disk::new(&before, &root), &steps(&calls, &root), wanted);
    assert!(states.len() > 50, "only {} states: the trace was not understood", states.len());
    bench.each(row, &states, |at, state| {
        Some((1, check(&folder.path().join(format!("cut-{at}")), &before, state)))
    });
}

/// What a batch that ends at a position names.
fn artifact(position: u64) -> Vec<u8> {
    format!("what the events up to {position} name; ").repeat(150).into_bytes()
}

/// Three processes' worth of work, one after the other: appends one by one and relaxed, ends with
/// closing and one without.
pub(crate) fn session(root: &Path) {
    let open = || LocalLog::open(Store::open(root).unwrap(), Options::default()).unwrap();
    let mut log = open();
    let artifacts = Store::open(root).unwrap().artifacts();
    for turn in 0..TURNS {
        let head = log.head().unwrap();
        let (frames, _) = batch(head, 10);
        artifacts.put(&artifact(head.position.0 + 10)).unwrap();
        acknowledge(log.append(head, &frames).unwrap().position.0);
        artifacts.settled();
        if (turn + 1) * 10 == REMOVED.1 {
            let right = artifacts.removal(std::time::Duration::from_secs(5)).unwrap();
            artifacts.remove(&right, ArtifactHash::of(&artifact(REMOVED.0))).unwrap();
        }
        if turn == 7 {
            log.close().unwrap();
            log = open();
        }
    }
    for _ in 0..3 {
        let head = log.head().unwrap();
        log.append_relaxed(head, &batch(head, 10).0).unwrap();
    }
    log.sync().unwrap();
    acknowledge(log.head().unwrap().position.0);
    log.close().unwrap();
    let mut log = open();
    let head = log.head().unwrap();
    acknowledge(log.append(head, &batch(head, 10).0).unwrap().position.0);
    std::process::exit(0);
}

fn acknowledge(position: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{position}").and_then(|()| out.flush()).unwrap();
}

/// The trace of a session, `None` where tracing is not possible.
fn trace(folder: &Path, root: &Path) -> Option<String> {
    let file = folder.join("trace");
    let calls = "trace=openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,unlink";
    let status = Command::new("strace")
        .args(["-f", "-y", "-xx", "-s", "4000000", "-e", calls, "-o"])
        .arg(&file)
        .arg(std::env::current_exe().unwrap())
        .arg("__session")
        .arg(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .and_then(|mut child| {
            // A pipe that nobody reads would end the session.
            child.stdout.take().map_or(Ok(0), |mut out| out.read_to_end(&mut Vec::new()))?;
            child.wait()
        });
    status.is_ok_and(|status| status.success()).then(|| fs::read_to_string(file).unwrap())
}

/// A system call that succeeded, with the lines at which it began and ended.
struct Call<'a> {
    name: &'a str,
    arguments: String,
    began: usize,
    ended: usize,
}

/// Puts the halves of interrupted lines together.
fn parse(trace: &str) -> Vec<Call<'_>> {
    let mut calls = Vec::new();
    let mut open: HashMap<&str, (&str, &str, usize)> = HashMap::new();
    for (number, line) in trace.lines().enumerate() {
        let (thread, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        let (name, head, tail, began) = if let Some(head) = rest.strip_suffix(" <unfinished ...>") {
            let (name, head) = head.split_once('(').unwrap();
            open.insert(thread, (name, head, number));
            continue;
        } else if rest.starts_with("<... ") {
            let (name, head, began) = open.remove(thread).unwrap();
            (name, head, rest.split_once(" resumed>").unwrap().1, began)
        } else if let Some((name, tail)) = rest.split_once('(') {
            (name, "", tail, number)
        } else {
            continue; // A signal, or the end of a thread.
        };
        let text = format!("{head}{tail}");
        let (arguments, result) = text.rsplit_once(" = ").unwrap();
        if !result.starts_with('-') && !result.starts_with('?') {
            let arguments = arguments.trim_end().trim_end_matches(')').to_owned();
            calls.push(Call { name, arguments, began, ended: number });
        }
    }
    calls
}

/// The bytes of `\x2f\x…` between two marks.
fn between(text: &str, opening: char, closing: char) -> Option<(Vec<u8>, &str)> {
    let (_, rest) = text.split_once(opening)?;
    let (digits, rest) = rest.split_once(closing)?;
    let bytes = digits.split("\\x").skip(1).map(|pair| u8::from_str_radix(&pair[..2], 16).unwrap());
    Some((bytes.collect(), rest))
}

/// What a call does to the files of the store.
#[derive(Debug, Clone)]
enum Step {
    /// The file at a path is opened, and made if it is not there.
    Open(PathBuf, bool),
    /// Bytes at an offset; `None`: at the end of those written since opening.
    Write(PathBuf, Option<u64>, Vec<u8>, usize),
    Sync(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
    Acknowledge(u64),
}

/// The steps in the order in which they take effect: a write when it begins, a sync when it ends.
fn steps(calls: &[Call<'_>], root: &Path) -> Vec<Step> {
    let mut steps: Vec<(usize, Step)> = Vec::new();
    for call in calls {
        let path = |bytes: Vec<u8>| PathBuf::from(String::from_utf8(bytes).unwrap());
        let quoted = between(&call.arguments, '"', '"');
        let file = || path(between(&call.arguments, '<', '>').unwrap().0);
        let step = match call.name {
            "write" if call.arguments.starts_with("1<") => {
                let text = String::from_utf8(quoted.unwrap().0).unwrap();
                text.trim().parse().ok().map(Step::Acknowledge)
            }
            "write" | "pwrite64" => {
                let (bytes, rest) = quoted.unwrap();
                let offset = rest.rsplit(", ").next().unwrap().parse().unwrap();
                let offset = (call.name == "pwrite64").then_some(offset);
                Some(Step::Write(file(), offset, bytes, call.ended))
            }
            "fsync" | "fdatasync" => Some(Step::Sync(file(), call.began)),
            "openat" => {
                Some(Step::Open(path(quoted.unwrap().0), call.arguments.contains("O_CREAT")))
            }
            "unlink" => Some(Step::Unlink(path(quoted.unwrap().0))),
            "rename" => {
                let (from, rest) = quoted.unwrap();
                Some(Step::Rename(path(from), path(between(rest, '"', '"').unwrap().0)))
            }
            "ftruncate" => {
                assert!(!concerns(&file(), root), "not modelled: {}", call.arguments);
                None
            }
            other => panic!("not asked for: {other}"),
        };
        let at = if call.name.contains("sync") { call.ended } else { call.began };
        steps.extend(step.map(|step| (at, step)));
    }
    steps.sort_by_key(|(at, _)| *at);
    steps.into_iter().map(|(_, step)| step).collect()
}

/// Locks are not in the model, nor are copies and caches: none has to survive.
fn concerns(path: &Path, root: &Path) -> bool {
    let folders = ["sled", "journal", "artifacts"];
    path == root.join("HEAD") || folders.iter().any(|name| path.starts_with(root.join(name)))
}

/// A pending change: of bytes, or of names.
#[derive(Debug, Clone)]
enum Change {
    Bytes { file: usize, offset: usize, bytes: Vec<u8>, ended: usize },
    Link(PathBuf, usize),
    Unlink(PathBuf),
}

/// What is on the disk for sure, and what may be.
#[derive(Debug, Clone)]
struct Disk {
    root: PathBuf,
    files: Vec<Vec<u8>>,
    /// Names on the disk for sure.
    names: BTreeMap<PathBuf, usize>,
    /// Names as the running system sees them, and how far each was written.
    seen: BTreeMap<PathBuf, usize>,
    cursors: HashMap<usize, usize>,
    pending: Vec<Change>,
}

impl Disk {
    fn new(before: &Path, root: &Path) -> Self {
        let mut names = BTreeMap::new();
        let mut files = Vec::new();
        let sled = fs::read_dir(before.join("sled")).unwrap().map(|entry| entry.unwrap().path());
        for path in sled.filter(|path| path.is_file()).chain([before.join("HEAD")]) {
            names.insert(root.join(path.strip_prefix(before).unwrap()), files.len());
            files.push(fs::read(path).unwrap());
        }
        let seen = names.clone();
        let root = root.to_path_buf();
        Self { root, files, names, seen, cursors: HashMap::new(), pending: Vec::new() }
    }

    /// Returns whether anything changed that a power cut could show.
    fn take(&mut self, step: &Step) -> bool {
        match step {
            Step::Open(path, create) if concerns(path, &self.root) && !path.is_dir() => {
                let known = self.seen.get(path).copied();
                if known.is_none() && *create {
                    self.files.push(Vec::new());
                    self.seen.insert(path.clone(), self.files.len() - 1);
                    self.pending.push(Change::Link(path.clone(), self.files.len() - 1));
                }
                self.seen.get(path).map(|file| self.cursors.insert(*file, 0));
                known.is_none() && *create
            }
            Step::Write(path, offset, bytes, ended) if concerns(path, &self.root) => {
                let file = self.seen[path];
                let cursor = self.cursors.entry(file).or_default();
                let offset = offset.map_or(*cursor, |offset| usize::try_from(offset).unwrap());
                *cursor = offset + bytes.len();
                let change = Change::Bytes { file, offset, bytes: bytes.clone(), ended: *ended };
                self.pending.push(change);
                true
            }
            Step::Sync(path, began) if concerns(path, &self.root) => {
                self.sync(path, *began);
                true
            }
            Step::Rename(from, to) if concerns(from, &self.root) => {
                let file = self.seen.remove(from).unwrap();
                self.seen.insert(to.clone(), file);
                self.pending.push(Change::Link(to.clone(), file));
                self.pending.push(Change::Unlink(from.clone()));
                true
            }
            Step::Unlink(path) if concerns(path, &self.root) => {
                self.seen.remove(path);
                self.pending.push(Change::Unlink(path.clone()));
                true
            }
            _ => false,
        }
    }

    /// A folder's sync makes its names durable, a file's those bytes whose write had ended.
    fn sync(&mut self, path: &Path, began: usize) {
        let file = self.seen.get(path).copied();
        for change in std::mem::take(&mut self.pending) {
            let durable = match &change {
                Change::Bytes { file: of, ended, .. } => file == Some(*of) && *ended < began,
                Change::Link(name, _) | Change::Unlink(name) => name.parent() == Some(path),
            };
            if durable { self.apply(&change) } else { self.pending.push(change) }
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Bytes { file, offset, bytes, .. } => {
                let content = &mut self.files[*file];
                content.resize(content.len().max(offset + bytes.len()), 0);
                content[*offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            Change::Link(name, file) => _ = self.names.insert(name.clone(), *file),
            Change::Unlink(name) => _ = self.names.remove(name),
        }
    }

    /// The disks that a power cut may leave now.
    fn cuts(&self) -> Vec<Self> {
        let is_bytes = |change: &&Change| matches!(change, Change::Bytes { .. });
        let bytes: Vec<_> = self.pending.iter().filter(is_bytes).cloned().collect();
        let names: Vec<_> = self.pending.iter().filter(|c| !is_bytes(c)).cloned().collect();
        let mut choices = vec![Vec::new(), bytes.clone()];
        if let Some((last, others)) = bytes.split_last() {
            choices.extend([others.to_vec(), vec![last.clone()]]);
            let mut torn = last.clone();
            if let Change::Bytes { bytes, .. } = &mut torn {
                bytes.truncate(bytes.len() / 2);
            }
            choices.push([others, &[torn]].concat());
        }
        let mut disks = Vec::new();
        for choice in choices {
            for names in [&names[..0], &names[..names.len() / 2], &names[..]] {
                let mut disk = self.clone();
                choice.iter().chain(names).for_each(|change| disk.apply(change));
                disks.push(disk);
            }
        }
        disks
    }

    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (name, file) in &self.names {
            (name, &self.files[*file]).hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// What to open: names with bytes, and what had been acknowledged.
struct State {
    files: Vec<(PathBuf, Vec<u8>)>,
    acknowledged: u64,
}

/// A sample of the different disks that cuts in this session leave.
fn states(start: &Disk, steps: &[Step], wanted: u64) -> Vec<State> {
    let mut known = HashSet::new();
    let mut states = Vec::new();
    let mut dice = Dice(5);
    // First to count them, then to keep some: all of them would not fit into memory.
    for keep in [false, true] {
        let (mut disk, mut acknowledged) = (start.clone(), 0);
        let total = known.len().max(1);
        let mut seen = HashSet::new();
        for step in steps {
            if let Step::Acknowledge(position) = step {
                acknowledged = *position;
            } else if !disk.take(step) {
                continue;
            }
            for cut in disk.cuts() {
                let digest = (cut.digest(), acknowledged);
                if !seen.insert(digest) {
                    continue;
                }
                if keep && dice.below(total as u64) < wanted {
                    let name = |path: &Path| path.strip_prefix(&cut.root).unwrap().to_path_buf();
                    let files =
                        cut.names.iter().map(|(path, f)| (name(path), cut.files[*f].clone()));
                    states.push(State { files: files.collect(), acknowledged });
                }
            }
        }
        known = seen;
    }
    states
}

/// Opens a state as the next process would.
fn check(root: &Path, before: &Path, state: &State) -> Verdict {
    for folder in ["sled/blobs", "journal", "lock", "artifacts/staging"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::copy(before.join("STORE"), root.join("STORE")).unwrap();
    for (name, bytes) in &state.files {
        fs::write(root.join(name), bytes).unwrap();
    }
    let verdict = match end(root) {
        Ok((end, _)) if end < state.acknowledged => {
            Verdict::Lost(format!("{} acknowledged, {end} left", state.acknowledged))
        }
        Ok((end, repaired)) => match missing(root, end) {
            Some(position) => Verdict::Lost(format!("the artifact of event {position} of {end}")),
            None if repaired => Verdict::Repaired,
            None => Verdict::Harmless,
        },
        Err(error) => Verdict::Lost(format!("at {}: {error}", state.acknowledged)),
    };
    fs::remove_dir_all(root).unwrap();
    verdict
}

/// The first event of a log that ends at `end` whose artifact is missing or another one.
fn missing(root: &Path, end: u64) -> Option<u64> {
    let artifacts = Store::open(root).unwrap().artifacts();
    let named = (1..=TURNS).map(|turn| turn * 10).filter(|position| *position <= end);
    let mut kept = named.filter(|position| *position != REMOVED.0 || end < REMOVED.1);
    kept.find(|position| {
        let bytes = artifact(*position);
        artifacts.read(ArtifactHash::of(&bytes)).ok() != Some(bytes)
    })
}

/// The end of the log, after opening and closing it, and whether something was repaired.
fn end(root: &Path) -> Result<(u64, bool), LogError> {
    let store = Store::open(root)?;
    let mut log = LocalLog::open(store.clone(), Options::default())?;
    let end = log.head()?;
    let repairs = log.take_repairs();
    assert!(repairs.iter().all(|repair| repair.lost == 0), "{repairs:?}");
    log.close()?;
    assert_eq!(end, head_at(end.position.0));
    assert_eq!(verified(&store)?, Ok(end));
    assert_eq!(end.position.0 % 10, 0, "a torn batch");
    Ok((end.position.0, !repairs.is_empty()))
}
