//! Stores and trainers that mean harm: everything in a store replaced by a link, a pipe, a device, a
//! folder or a file; and a sample of `tests/hostile_trainer.rs`, which has the details.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use qtrail::events::Event;

use crate::bench::{Bench, run};
use crate::damage::files;
use crate::table::{Row, Verdict};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trap {
    /// A link to a copy of what was there, outside of the store.
    Link,
    Dangling,
    Pipe,
    Device,
    Folder,
}

const TRAPS: [Trap; 5] = [Trap::Link, Trap::Dangling, Trap::Pipe, Trap::Device, Trap::Folder];

/// What is done with such a store.
const VERBS: [&[&str]; 6] = [
    &["table", "top", "--format", "csv"],
    &["log", "verify"],
    &["log", "repair"],
    &["artifacts", "gc", "--apply"],
    &["log", "export", "-o", "-"],
    &["train", "[SM(10)]", "--preset", "tiny", "--data", "data", "--threads", "1"],
];

pub(crate) fn stores(bench: &Bench, row: &mut Row) {
    let mut places = files(&bench.path("done"));
    let folders = ["journal", "sled", "sled/blobs", "artifacts", "artifacts/staging", "lock"];
    places.extend(folders.map(PathBuf::from));
    let mut rounds = Vec::new();
    for place in places {
        rounds.extend(TRAPS.map(|trap| (place.clone(), trap)));
    }
    let right = bench.run("done", VERBS[0]).stdout;
    let rounds = bench.spread(rounds, 24, |(place, _)| place.clone());
    bench.each(row, &rounds, |at, (place, trap)| {
        let (store, outside) = (format!("hostile-{at}"), format!("outside-{at}"));
        bench.copy("done", &store);
        let path = bench.path(&store).join(place);
        if !set(*trap, &path, &bench.path(&outside)) {
            return None;
        }
        let before = fingerprint(&bench.path(&outside));
        let mut verdict = Verdict::Harmless;
        for arguments in VERBS {
            let ended = bench.run(&store, arguments);
            let said =
                || format!("{trap:?} as {}: {arguments:?}: {}", place.display(), ended.told());
            let found = match ended.verdict(&[1, 2, 4, 5]) {
                _ if fingerprint(&bench.path(&outside)) != before => {
                    Verdict::Lost(format!("something outside was changed; {}", said()))
                }
                _ if arguments[0] == "table" && ended.code == 0 && ended.stdout != right => {
                    Verdict::Silent(said())
                }
                Verdict::Wrong(_) => Verdict::Wrong(said()),
                fine => fine,
            };
            if !matches!(found, Verdict::Harmless)
                && !matches!(verdict, Verdict::Lost(_) | Verdict::Silent(_))
            {
                verdict = found;
            }
            if matches!(verdict, Verdict::Wrong(_)) {
                break;
            }
        }
        let _ = fs::remove_dir_all(bench.path(&store));
        Some((1, verdict))
    });
}

/// Puts a trap in the place of something; `false` where that is not permitted.
fn set(trap: Trap, path: &Path, outside: &Path) -> bool {
    let was_folder = path.is_dir();
    fs::rename(path, outside).unwrap();
    match trap {
        Trap::Link => symlink(outside, path).unwrap(),
        Trap::Dangling => symlink(outside.with_extension("none"), path).unwrap(),
        Trap::Pipe => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        Trap::Device => {
            let made = Command::new("mknod").arg(path).args(["c", "1", "5"]).output();
            return made.is_ok_and(|made| made.status.success());
        }
        Trap::Folder if was_folder => fs::write(path, "a file").unwrap(),
        Trap::Folder => fs::create_dir(path).unwrap(),
    }
    true
}

/// Names and bytes below a path, and whether the dangling link was followed.
fn fingerprint(path: &Path) -> String {
    let mut found = format!("{}", path.with_extension("none").exists());
    let inside = if path.is_dir() { files(path) } else { vec![PathBuf::new()] };
    for file in inside {
        let full = if file.as_os_str().is_empty() { path.to_owned() } else { path.join(&file) };
        found += &format!("{} {:?}", file.display(), blake3::hash(&fs::read(full).unwrap()));
    }
    found
}

/// How a trainer does harm.
const WAYS: [&str; 16] = [
    "exit",
    "dies",
    "hangs",
    "endless-line",
    "not-utf8",
    "noise",
    "nan",
    "negative-count",
    "too-many-correct",
    "endless-seconds",
    "epoch-2-first",
    "memory",
    "no-file",
    "outside",
    "link",
    "sparse",
];

pub(crate) fn trainers(bench: &Bench, row: &mut Row) {
    let ways = bench.spread(WAYS.to_vec(), 6, |_| ());
    bench.each(row, &ways, |_, way| {
        let store = format!("trainer-{way}");
        let with = |way: &str, arguments: &[&str]| {
            let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile_trainer.py");
            let mut command = bench.world.qtrail(&store, arguments);
            command.env("QTRAIL_TRAINER", program).env("QTRAIL_HOSTILE", way);
            command.env("QTRAIL_TRAINER_SILENCE", "0.4").env("PYTHONDONTWRITEBYTECODE", "1");
            run(command)
        };
        let train =
            ["train", "[C(8,3,1), SM(10)]", "--preset", "tiny", "--data", "data", "--threads", "1"];
        let keep = [&train[..], &["--set", "keep-weights=\"all\""]].concat();
        let ended = with(way, &keep);
        let trained = |event: &Event| matches!(event, Event::TrialFinished(_));
        let lost = |event: &Event| matches!(event, Event::AttemptLost(_));
        let (results, losses) =
            (bench.world.count(&store, trained), bench.world.count(&store, lost));
        let found = bench.digests_of(&store).unwrap_or_default();
        let verdict = match ended.verdict(&[6]) {
            Verdict::Wrong(note) => Verdict::Wrong(format!("{way}: {note}")),
            _ if results > 0 => Verdict::Silent(format!("{way}: a result was recorded")),
            _ if losses == 0 => Verdict::Silent(format!("{way}: nothing was lost")),
            _ => match bench.holds(&store, &found) {
                Ok(()) => Verdict::Told,
                Err(note) => Verdict::Lost(format!("{way}: {note}")),
            },
        };
        Some((u32::try_from(losses).unwrap(), verdict))
    });
}
