//! A store with a recorded history, made without a trainer, and the program that answers about it.
#![allow(missing_docs, unreachable_pub, dead_code, clippy::unwrap_used, clippy::disallowed_methods)]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use assert_cmd::cargo::cargo_bin;
use qtrail::adversary::sampling::Sampling;
use qtrail::events::ScoredImage;
use serde_json::Value;

use crate::history::History;
use crate::history::attack::{Attack, Look, script};

pub struct World(tempfile::TempDir);

impl World {
    pub fn of(history: &History) -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        history.store(&world.path("store"));
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Exit code, stdout, stderr.
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = Command::new(cargo_bin("qtrail"))
            .env_clear()
            .env("QTRAIL_STORE", "store")
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (status.code().unwrap(), text(&stdout), text(&stderr))
    }

    /// Rows of a table.
    #[track_caller]
    pub fn rows(&self, arguments: &[&str]) -> Vec<Value> {
        let rows = self.good(&[&["table"], arguments, &["--format", "json"]].concat());
        serde_json::from_str(&rows).unwrap()
    }

    /// What a run that ends well prints.
    #[track_caller]
    pub fn good(&self, arguments: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
        stdout
    }

    #[track_caller]
    pub fn refuses(&self, arguments: &[&str], words: &str) {
        self.refuses_saying(arguments, &[words]);
    }

    #[track_caller]
    pub fn refuses_saying(&self, arguments: &[&str], words: &[&str]) {
        let (code, stdout, stderr) = self.run(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        words.iter().for_each(|word| assert!(stderr.contains(word), "{arguments:?}: {stderr}"));
    }
}

/// One attack of a few images, as a test wants it.
pub fn small(classes: u32, images: u32, transformations: Vec<(&'static str, f64, u16)>) -> Attack {
    Attack {
        number: 1,
        protocol: "custom",
        sampling: Sampling::default(),
        classes,
        images,
        batch: 7,
        victims: vec![script(0)],
        specs: vec![("basic", 8)],
        transformations,
        finished: true,
        pixels: None,
    }
}

pub fn recorded(attack: &Attack, look: impl Fn(Look) -> ScoredImage) -> World {
    let mut history = History::default();
    attack.record(&mut history, look);
    World::of(&history)
}
