//! Artifacts: what events name is there, is checked, copied, and kept; the rest can be removed.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, clippy::cast_possible_truncation)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::World;
use qtrail::engine::references::{References, Role, check};
use qtrail::events::{Event, Fold as _, Hash};
use qtrail::log::{Locks, Store};

/// What the events of a store name.
fn references(world: &World, store: &str) -> References {
    let Ok(references) = References::default().folded(&world.events(store));
    references
}

fn named(world: &World, store: &str) -> BTreeSet<Hash> {
    references(world, store).iter().map(|(hash, _)| hash).collect()
}

fn stored(world: &World, store: &str) -> BTreeSet<Hash> {
    let artifacts = Store::open(&world.path(store)).unwrap().artifacts();
    artifacts.list().unwrap().into_iter().map(|(hash, _)| hash).collect()
}

/// The weights that a store's events name, of the trial that did so first.
fn weights(world: &World, store: &str) -> (Hash, String) {
    let references = references(world, store);
    let is = |name: &&qtrail::engine::references::Name| name.role == Role::Weights;
    let mut found =
        references.iter().filter_map(|(hash, names)| Some((hash, names.iter().find(is)?)));
    let (hash, name) = found.next().unwrap();
    (hash, name.to_string())
}

fn path(world: &World, store: &str, hash: Hash) -> PathBuf {
    Store::open(&world.path(store)).unwrap().artifacts().path(hash)
}

/// Hidden entries of a folder.
fn hidden(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

#[track_caller]
fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(1));
    }
}

/// A tiny search that keeps the weights of its best trials only.
fn top(n: &'static str) -> Vec<&'static str> {
    let mut arguments = World::tiny("7");
    arguments.extend(["--set", n, "--set", "schedule.phases=[{epsilon=1.0,models=20}]"]);
    arguments
}

fn released(event: &Event) -> bool {
    matches!(event, Event::ArtifactReleased(_))
}

#[test]
fn no_backup_beside_a_running_search_lacks_what_its_events_name() {
    let world = World::new();
    let mut child = world.start("a", &top("keep-weights=top:2"), "0.2");
    soon("the search did not begin", || world.position("a") > 20);
    let mut backups = 0;
    for number in 0..10 {
        let store = format!("backup-{number}");
        world.run("a", &["log", "backup", &store]).code(0);
        assert_eq!(stored(&world, &store), named(&world, &store), "{store}");
        let artifacts = Store::open(&world.path(&store)).unwrap().artifacts();
        let flaws = check(&references(&world, &store), &artifacts, || Ok::<_, ()>(())).unwrap();
        assert!(flaws.is_empty(), "{store}: {flaws:?}");
        backups += u32::from(child.try_wait().unwrap().is_none());
    }
    assert!(backups > 2, "the search was over too soon");
    assert!(child.wait().unwrap().success(), "the search was disturbed");
    assert!(world.count("a", released) > 2);
    world.run("a", &["log", "verify"]).code(0).says("artifacts");
    // What could not be removed beside the last backup is removed now.
    world.run("a", &["artifacts", "gc", "--apply"]).code(0);
    assert_eq!(stored(&world, "a"), named(&world, "a"));
}

#[test]
fn a_copy_postpones_removals_and_does_not_hold_up_the_search() {
    let world = World::new();
    world.run("other", &top("keep-weights=top:1")).code(0);
    let store = Store::open_or_create(&world.path("a")).unwrap();
    let pin = store.artifacts().pin(Duration::ZERO).unwrap();
    world.run("a", &top("keep-weights=top:1")).code(0);
    assert_eq!(world.digest("a"), world.digest("other"));
    let (kept, left) = (named(&world, "a"), stored(&world, "a"));
    assert_eq!(left.len() - kept.len(), world.count("a", released));
    assert!(left.is_superset(&kept) && left.len() > kept.len());
    world.run("a", &["log", "verify"]).code(0);
    // A copy is of what is named.
    world.run("a", &["log", "backup", "b"]).code(0);
    assert_eq!(stored(&world, "b"), kept);

    let gc = ["artifacts", "gc", "--apply", "--older-than", "0s"];
    world.run("a", &[&["--wait", "0.1"], &gc[..]].concat()).code(3).says("artifacts is held");
    assert_eq!(stored(&world, "a"), left);
    drop(pin);
    let dry = world.run("a", &["artifacts", "gc", "--format", "csv"]);
    dry.code(0);
    assert_eq!(dry.stdout().matches(",released,").count(), left.len() - kept.len());
    assert_eq!(stored(&world, "a"), left, "a dry run");
    // A release is on record: the age of the file does not matter.
    world.run("a", &["artifacts", "gc", "--apply"]).code(0).says("released");
    assert_eq!(stored(&world, "a"), kept);
    world.run("a", &["artifacts", "gc", "--apply"]).code(0).says("nothing to remove");
}

/// A way to break a file, and its name.
type Breaking = (&'static str, fn(&Path));

#[test]
fn a_changed_byte_and_a_missing_file_are_reported_and_the_others_copied() {
    let world = World::new();
    world.run("a", &World::tiny("7")).code(0);
    world.run("a", &["log", "verify"]).code(0).says("named");
    let (hash, name) = weights(&world, "a");
    let file = path(&world, "a", hash);
    let whole = fs::read(&file).unwrap();
    let others: BTreeSet<Hash> = named(&world, "a").into_iter().filter(|h| *h != hash).collect();
    world.run("a", &["log", "export", "-o", "good.jsonl", "--with-artifacts"]).code(0);

    let break_it: [Breaking; 3] = [
        ("altered", |file| {
            let mut bytes = fs::read(file).unwrap();
            bytes[0] ^= 1;
            fs::write(file, bytes).unwrap();
        }),
        ("missing", |file| fs::remove_file(file).unwrap()),
        ("link", |file| std::os::unix::fs::symlink("/dev/zero", file).unwrap()),
    ];
    for (what, break_it) in break_it {
        break_it(&file);
        for verb in [&["log", "verify"][..], &["log", "verify", "--format", "json"]] {
            world.run("a", verb).code(4).says(&name).says("1 artifacts are");
        }
        world.run("a", &["log", "verify", "--no-artifacts"]).code(0);
        world.run("a", &["log", "backup", what]).code(4).says(&name);
        assert_eq!(stored(&world, what), others);
        world.run(what, &["log", "verify", "--no-artifacts"]).code(0);
        world.run(what, &["log", "verify"]).code(4).says(&name);
        let export = format!("{what}.jsonl");
        world.run("a", &["log", "export", "-o", &export, "--with-artifacts"]).code(4).says(&name);
        let imported = format!("{what}-imported");
        let import = ["log", "import", &export, "--with-artifacts"];
        world.run(&imported, &import).code(4).says(&name).says("no such file");
        assert_eq!(stored(&world, &imported), others);
        assert_eq!(world.digest(&imported), world.digest("a"));
    }
    // Brought back from an export, all is well.
    fs::remove_file(&file).unwrap();
    fs::copy(world.path("good.jsonl.artifacts").join(hash.to_string()), &file).unwrap();
    assert_eq!(fs::read(&file).unwrap(), whole);
    world.run("a", &["log", "verify"]).code(0);

    // The same in the folder beside an export.
    let file = world.path("good.jsonl.artifacts").join(hash.to_string());
    for (what, break_it) in break_it {
        break_it(&file);
        let store = format!("from-{what}");
        let import = ["log", "import", "good.jsonl", "--with-artifacts"];
        world.run(&store, &import).code(4).says(&name).says(&hash.to_string());
        assert_eq!(stored(&world, &store), others);
    }
    let left_out = ["log", "import", "good.jsonl"];
    world.run("bare", &left_out).code(0).says("left out: ");
    assert_eq!(stored(&world, "bare"), BTreeSet::new());
    world.run("bare", &["log", "verify"]).code(4).says(&name);
}

#[test]
fn artifacts_are_listed_with_what_names_them() {
    let world = World::new();
    world.run("a", &World::tiny("7")).code(0);
    let artifacts = Store::open(&world.path("a")).unwrap().artifacts();
    let unnamed = artifacts.put(b"never named").unwrap();
    drop(artifacts);
    let (hash, _) = weights(&world, "a");
    fs::remove_file(path(&world, "a", hash)).unwrap();
    let list = world.run("a", &["artifacts", "list", "--format", "json"]);
    list.code(0).says("1 are named and missing");
    let rows: serde_json::Value = serde_json::from_str(&list.stdout()).unwrap();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), named(&world, "a").len() + 1);
    let row = |hash: Hash| rows.iter().find(|row| row["artifact"] == hash.to_string()).unwrap();
    assert_eq!((&row(unnamed)["state"], &row(unnamed)["bytes"]), (&"unnamed".into(), &11.into()));
    let lost = row(hash);
    assert_eq!((&lost["state"], &lost["what"]), (&"missing".into(), &"weights".into()));
    assert_eq!(lost["search"], "s1");
    let shown = world.run("a", &["show", lost["trial"].as_str().unwrap()]);
    shown.code(0);
    let split = rows.iter().filter(|row| row["what"] == "split" && row["state"] == "named");
    assert_eq!(split.count(), 1);
}

#[test]
fn garbage_goes_and_what_may_still_be_named_stays() {
    let world = World::new();
    world.run("a", &World::tiny("7")).code(0);
    let kept = named(&world, "a");
    let store = Store::open(&world.path("a")).unwrap();
    let (artifacts, locks) =
        (store.artifacts(), Locks::new(store.lock_folder(), "test", Duration::ZERO));
    artifacts.put(b"never named").unwrap();
    artifacts.settled();
    let left = artifacts.staging("search-s1").unwrap();
    fs::write(left.folder().join("half"), b"12345").unwrap();
    let living = locks.named("run-r7").unwrap();
    let used = artifacts.staging("run-r7").unwrap();
    fs::write(used.folder().join("half"), b"").unwrap();
    fs::write(world.path("a/artifacts/thesis.txt"), "").unwrap();

    // It is young: the event that names it may be about to come.
    let gc = ["artifacts", "gc", "--apply"];
    world.run("a", &gc).code(0).says("removed 1, 5 bytes");
    assert!(!left.folder().exists() && used.folder().join("half").exists());
    assert_eq!(stored(&world, "a").len(), kept.len() + 1);
    let dry = ["artifacts", "gc", "--older-than", "0s"];
    world.run("a", &dry).code(0).says("never named").says("1 would go, 11 bytes");
    assert_eq!(stored(&world, "a").len(), kept.len() + 1);
    world.run("a", &[&gc[..], &["--older-than", "0s"]].concat()).code(0).says("removed 1");
    assert_eq!(stored(&world, "a"), kept);
    assert!(world.path("a/artifacts/thesis.txt").exists());
    world.run("a", &["log", "verify"]).code(0);
    for wrong in ["1", "1w", "", "-1h"] {
        let arguments = ["artifacts", "gc", &format!("--older-than={wrong}")];
        world.run("a", &arguments).code(2).says("duration");
    }
    drop(living);
    world.run("none", &["artifacts", "gc"]).code(2).says("there is no store");
}

#[test]
fn the_best_are_kept_and_the_release_of_others_is_on_record() {
    let world = World::new();
    world.run("a", &World::tiny("7")).code(0);
    world.run("a", &["log", "backup", "b"]).code(0);
    let digest = world.digest("a");
    let before = stored(&world, "a");
    // A cache that says something else decides nothing.
    world.run("a", &["table", "top"]).code(0);
    for entry in fs::read_dir(world.path("a")).unwrap().flatten() {
        if entry.file_name().to_string_lossy().ends_with(".sqlite") {
            let model = rusqlite::Connection::open(entry.path()).unwrap();
            model.execute("UPDATE trial SET accuracy = 1 - accuracy", []).unwrap();
        }
    }
    let best: Vec<(u32, u32)> = {
        let mut all: Vec<(u32, u32)> = Vec::new();
        for recorded in world.events("a") {
            if let Event::TrialFinished(finished) = &recorded.event
                && let qtrail::events::Outcome::Trained { best_correct, kept: true, .. } =
                    finished.outcome
            {
                all.push((best_correct, finished.trial));
            }
        }
        all.sort_by_key(|&(correct, trial)| (std::cmp::Reverse(correct), trial));
        all
    };
    assert!(best.len() > 3);
    let gone = best.len() - 3;
    let dry = ["artifacts", "gc", "--keep-top", "3"];
    world.run("a", &dry).code(0).says("not among the best").says(&format!("{gone} would go"));
    assert_eq!((stored(&world, "a"), world.count("a", released)), (before.clone(), 0));

    // One that is running is left to itself.
    let store = Store::open(&world.path("a")).unwrap();
    let running = Locks::new(store.lock_folder(), "test", Duration::ZERO).named("search-s1");
    let apply = ["artifacts", "gc", "--keep-top", "3", "--apply"];
    world.run("a", &apply).code(0).says("s1 is left out").says("nothing to remove");
    drop(running);
    assert_eq!((stored(&world, "a"), world.count("a", released)), (before.clone(), 0));

    world.run("a", &apply).code(0).says(&format!("removed {gone}"));
    let mut kept: Vec<u32> = Vec::new();
    for (_, names) in references(&world, "a").iter() {
        kept.extend(names.iter().filter(|n| n.role == Role::Weights).filter_map(|n| n.trial));
    }
    kept.sort_unstable();
    let mut expected: Vec<u32> = best[..3].iter().map(|(_, trial)| *trial).collect();
    expected.sort_unstable();
    assert_eq!(kept, expected);
    assert_eq!(stored(&world, "a"), named(&world, "a"));
    assert_eq!(before.len() - stored(&world, "a").len(), gone);
    assert_eq!(world.count("a", released), gone);
    assert_eq!(world.digest("a"), digest);
    world.run("a", &["log", "verify", "--no-artifacts"]);
    world.run("a", &apply).code(0).says("nothing to remove");
    // The backup has all of them still.
    assert_eq!(stored(&world, "b"), before);
    world.run("b", &["log", "verify"]).code(0);
}

#[test]
fn what_killed_backups_exports_and_creations_leave_is_swept() {
    let world = World::new();
    world.run("a", &World::tiny("7")).code(0);
    let backups = world.path("backups");
    fs::create_dir(&backups).unwrap();
    let mut left = 0;
    for number in 0..40 {
        let (folder, file) = (format!("backups/day-{number}"), format!("backups/{number}.jsonl"));
        let verbs = [
            vec!["log", "backup", &*folder],
            vec!["log", "export", "-o", &*file, "--with-artifacts"],
        ];
        for verb in &verbs {
            let mut child = world.start("a", verb, "0");
            sleep(Duration::from_millis(number * 7 % 60));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        left += usize::from(hidden(&backups).iter().any(|name| name.contains(".building-")));
        if left > 3 {
            break;
        }
    }
    assert!(left > 0, "nothing was killed in the middle");
    world.run("a", &["log", "backup", "backups/last"]).code(0);
    let folders = |name: &String| name.contains(".building-") || name.contains(".creating-");
    assert_eq!(hidden(&backups).into_iter().filter(folders).count(), 0);

    // A store that is created sweeps as well, and leaves alone what is being made.
    let id = "0123456789abcdef0123456789abcdef";
    let dead = backups.join(format!(".x.building-{}-{id}", std::process::id()));
    let alive = backups.join(format!(".y.creating-1-{id}"));
    for folder in [&dead, &alive] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("STORE"), "").unwrap();
    }
    let lock = fs::File::open(&alive).unwrap();
    lock.try_lock().unwrap();
    let new = ["search", "--preset", "tiny", "--data", "data", "--threads", "1"];
    world.run("backups/new", &new).code(0);
    assert!(!dead.exists() && alive.join("STORE").exists());
    // And so does an export's folder.
    let carried = world.path("a.jsonl.artifacts");
    fs::create_dir(&carried).unwrap();
    fs::write(carried.join(".copying-2000000000"), "half").unwrap();
    world.run("a", &["log", "export", "-o", "a.jsonl", "--with-artifacts"]).code(0);
    assert_eq!(hidden(&carried), [""; 0]);
}
