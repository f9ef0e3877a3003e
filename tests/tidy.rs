//! What keeps a one-package layout honest: who may know whom, who may do what, how long a file is.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, clippy::cast_possible_truncation)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every module and the modules it may use. Top knows bottom, never the reverse.
const MAY_USE: &[(&str, &[&str])] = &[
    ("chance", &[]),
    ("guard", &[]),
    ("paths", &[]),
    ("tensors", &[]),
    ("arch", &[]),
    ("events", &["arch"]),
    ("log", &["events", "guard", "paths"]),
    ("config", &["arch", "events"]),
    ("data", &["chance", "guard", "paths"]),
    ("agent", &["arch", "chance", "config", "events"]),
    ("lab", &["agent", "arch", "chance", "config", "events"]),
    ("adversary", &["chance", "config", "events"]),
    ("plot", &[]),
    ("ensemble", &["chance"]),
    ("import", &["agent", "arch", "config", "events"]),
    ("trainer", &["adversary", "arch", "chance", "config", "events", "paths"]),
    ("torch", &["adversary", "arch", "chance", "config", "data", "paths", "trainer"]),
    ("views", &["adversary", "agent", "arch", "config", "events", "log", "paths"]),
    (
        "engine",
        &[
            "adversary",
            "agent",
            "arch",
            "chance",
            "config",
            "data",
            "events",
            "import",
            "log",
            "paths",
            "trainer",
        ],
    ),
    (
        "cli",
        &[
            "adversary",
            "agent",
            "arch",
            "config",
            "data",
            "engine",
            "ensemble",
            "events",
            "guard",
            "import",
            "lab",
            "log",
            "paths",
            "plot",
            "tensors",
            "trainer",
            "views",
            "chance",
        ],
    ),
];

/// Words that only some places may say.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("sled::Config", &["src/log/sled.rs"]),
    ("sled::Db", &["src/log/sled.rs"]),
    ("sled::Batch", &["src/log/sled.rs"]),
    ("rusqlite", &["src/views/"]),
    ("plotters::", &["src/plot/svg.rs"]),
    ("resvg::", &["src/plot/png.rs"]),
    ("tch::", &["src/torch/", "tests/torch"]),
    ("comfy_table", &["src/cli/"]),
    ("clap::", &["src/cli/", "src/main.rs"]),
    ("SystemTime::now", &["src/log/lease.rs"]),
    ("Utc::now", &["src/cli/clock.rs"]),
    ("println!", &["src/bin/qtrail-torch.rs"]),
    ("eprintln!", &["src/bin/qtrail-torch.rs"]),
    ("unsafe {", &["src/torch/"]),
];

/// These do no IO and read no clock.
const PURE: &[&str] = &[
    "adversary",
    "arch",
    "events",
    "agent",
    "config",
    "chance",
    "import",
    "lab",
    "plot",
    "ensemble",
    "tensors",
];
const IMPURE: &[&str] =
    &["std::fs", "std::net", "std::process", "std::env", "Instant::now", "std::thread"];

const LINES_MAX: usize = 600;
const WIDTH_MAX: usize = 140;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All sources below `folder`, with their path from the root.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path: PathBuf = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// The code of a file without its tests and comments.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

fn module(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let first = inside.split('/').next()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(name, "lib" | "main" | "bin")).then_some(name)
}

fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/")
}

#[test]
fn top_knows_bottom() {
    let allowed: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    for (path, text) in sources("src") {
        let Some(module) = module(&path).filter(|_| !is_test(&path)) else { continue };
        let may = allowed.get(module).unwrap_or_else(|| panic!("{module} has no line in MAY_USE"));
        for used in code(&text).split("crate::").skip(1) {
            let used: String =
                used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let known = allowed.contains_key(used.as_str());
            assert!(
                !known || used == module || may.contains(&used.as_str()),
                "{path} uses crate::{used}"
            );
        }
    }
}

#[test]
fn some_words_are_said_in_one_place_only() {
    for (path, text) in sources("src") {
        for (word, places) in ONLY_IN {
            let said = code(&text).lines().any(|line| {
                // `println!` is part of `eprintln!`.
                line.match_indices(word)
                    .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
            });
            let allowed = places.iter().any(|place| path.starts_with(place)) || is_test(&path);
            assert!(!said || allowed, "{path} says {word}");
        }
    }
}

/// Modules for what is done with a session. A session knows none of them.
const WITH_A_SESSION: &[&str] = &[
    "attacks",
    "collecting",
    "ensembles",
    "forking",
    "importing",
    "measure",
    "openings",
    "preflight",
    "series",
    "studies",
    "trainings",
];

#[test]
fn a_session_lives_in_one_file_that_knows_nothing_of_what_is_done_with_it() {
    const FILE: &str = "src/engine/session.rs";
    let sources = sources("src");
    let has = |text: &str| code(text).lines().any(|line| line.starts_with("impl Session "));
    let files: Vec<&String> =
        sources.iter().filter(|(_, t)| has(t)).map(|(path, _)| path).collect();
    assert_eq!(files, [FILE]);
    let code = code(&sources[FILE]);
    let words: BTreeSet<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for module in WITH_A_SESSION {
        assert!(sources.contains_key(&format!("src/engine/{module}.rs")), "{module} is no module");
        assert!(!words.contains(module), "{FILE} names {module}");
    }
}

#[test]
fn the_core_is_pure() {
    for (path, text) in sources("src") {
        if module(&path).is_some_and(|module| PURE.contains(&module)) && !is_test(&path) {
            for word in IMPURE {
                assert!(!code(&text).contains(word), "{path} says {word}");
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_stays_readable() {
    for folder in ["src", "tests", "benches"] {
        for (path, text) in sources(folder) {
            assert!(
                text.starts_with("//!") || is_test(&path),
                "{path} does not say what it is for"
            );
            let lines = text.lines().count();
            assert!(lines <= LINES_MAX, "{path} has {lines} lines");
            for (line, number) in text.lines().zip(1..) {
                let width = line.chars().count();
                assert!(
                    width <= WIDTH_MAX || line.contains('[') || line.starts_with("//! |"),
                    "{path}:{number} is {width} wide"
                );
            }
        }
    }
}

/// Numbers and names of the event kinds, as the table of kinds has them.
fn kinds() -> Vec<(u16, String)> {
    let table = fs::read_to_string(root().join("src/events/kinds.rs")).unwrap();
    let table = table.split("\nkinds! {").nth(1).unwrap().split("\n}").next().unwrap();
    let kind = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
    };
    table.lines().filter_map(kind).collect()
}

/// The last kind from before an event said itself what it is about.
const KINDS_BEFORE: u16 = 50;
/// Most files outside of `src/events` that look at one kind. Where it would be more, an event should
/// answer a question (`src/events/subject.rs`).
const LOOKING_MAX: usize = 7;

/// A new kind of event has a struct, a line in the table of kinds, a fold whose state it changes, a
/// table that shows it and a place where it is recorded (`schema/README.md`); nobody else knows it.
#[test]
fn a_new_kind_of_event_touches_five_files_at_most() {
    let kinds = kinds();
    assert!(kinds.len() >= 45, "the table of kinds is read: {kinds:?}");
    let mut files: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut looking: BTreeMap<&str, usize> = BTreeMap::new();
    for (path, text) in sources("src").into_iter().filter(|(path, _)| !is_test(path)) {
        let code = code(&text);
        let words: BTreeSet<&str> =
            code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let named: Vec<&str> =
            kinds.iter().map(|(_, name)| &**name).filter(|name| words.contains(name)).collect();
        let all = path == "src/events/kinds.rs" || 3 * named.len() <= 2 * kinds.len();
        assert!(all, "{path} lists {} of {} kinds of events", named.len(), kinds.len());
        for name in named {
            let looks = code.contains(&format!("Event::{name}("));
            *looking.entry(name).or_default() +=
                usize::from(looks && !path.starts_with("src/events/"));
            files.entry(name).or_default().push(path.clone());
        }
    }
    for (number, name) in &kinds {
        let files = &files[&**name];
        assert!(*number <= KINDS_BEFORE || files.len() <= 5, "{name} is named in {files:?}");
        let looking = looking.get(&**name).copied().unwrap_or(0);
        assert!(looking <= LOOKING_MAX, "{looking} files look at {name}");
    }
}

#[test]
fn every_module_is_on_the_map() {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for (module, _) in MAY_USE {
        assert!(map.contains(&format!("`{module}`")), "src/lib.rs does not mention {module}");
    }
}
