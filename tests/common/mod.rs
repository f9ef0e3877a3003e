//! A small world for tests of the program: an empty environment, generated images, the example
//! trainer.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::disallowed_methods)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use qtrail::events::codec::decode;
use qtrail::events::digest::Digests;
use qtrail::events::frame::{Head, Position};
use qtrail::events::{Event, Fold as _, Hash, Recorded};
use qtrail::log::{Reader, Store, read_on};

pub struct World {
    folder: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_images(&folder.path().join("data"), 28, 40);
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program in an empty environment, with the store `store` of this world.
    pub fn qtrail(&self, store: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qtrail"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        command
            .env_clear()
            .env("PATH", path) // for python3
            .env("HOME", self.folder.path())
            .env("QTRAIL_TRAINER", trainer())
            .env("COLUMNS", "100")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .args(["--store", store])
            .args(arguments);
        command
    }

    /// Writes a program. Another process does: a fork of this one by a test beside it would keep it
    /// open for a moment, and such a file cannot be run ("text file busy").
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let (written, program) = (self.path(&format!("{name}.text")), self.path(name));
        std::fs::write(&written, text).unwrap();
        let mut install = Command::new("install");
        install.args(["-m", "755"]).args([&written, &program]);
        assert!(install.status().unwrap().success());
        program
    }

    /// Copies a store that nobody is at into this world.
    pub fn copy(&self, from: &Path, store: &str) {
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            std::fs::create_dir_all(self.path(store).join(&folder)).unwrap();
            for entry in std::fs::read_dir(from.join(&folder)).unwrap().flatten() {
                let inside = folder.join(entry.file_name());
                if entry.file_type().unwrap().is_dir() {
                    folders.push(inside);
                } else if entry.file_type().unwrap().is_file() {
                    std::fs::copy(entry.path(), self.path(store).join(inside)).unwrap();
                }
            }
        }
    }

    /// Runs the program to its end.
    pub fn run(&self, store: &str, arguments: &[&str]) -> Ran {
        Ran(self.qtrail(store, arguments).output().unwrap())
    }

    /// The arguments of a tiny search on the images of this world.
    pub fn tiny(seed: &'static str) -> Vec<&'static str> {
        vec!["search", "--preset", "tiny", "--data", "data", "--seed", seed, "--threads", "1"]
    }

    /// Starts a program whose epochs take `delay` seconds, its output going nowhere.
    pub fn start(&self, store: &str, arguments: &[&str], delay: &str) -> Child {
        let mut command = self.qtrail(store, arguments);
        command.env("QTRAIL_EXAMPLE_DELAY", delay).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// How far the log of a store is acknowledged, without entering it; 0 if there is none.
    pub fn position(&self, store: &str) -> u64 {
        let head = Store::open(&self.path(store)).and_then(|store| store.read_head());
        head.map_or(0, |reading| reading.record.head.position.0)
    }

    /// Kills a program once so many more events are on record in a store, unless it ends before.
    pub fn kill_after(&self, store: &str, child: &mut Child, more: u64) {
        let (begun, deadline) = (self.position(store), Instant::now() + Duration::from_secs(120));
        while self.position(store) < begun + more && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "nothing is recorded");
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = child.kill();
        child.wait().unwrap();
    }

    /// All events of a store.
    pub fn events(&self, store: &str) -> Vec<Recorded> {
        let store = Store::open(&self.path(store)).unwrap();
        let (mut reader, mut events) = (Reader::open(&store).unwrap(), Vec::new());
        let mut head = Head::default();
        loop {
            let (frames, next) = read_on(&mut reader, head, 1_000).unwrap();
            if frames.is_empty() {
                return events;
            }
            let positions = head.position.0 + 1..;
            let decoded = frames.iter().zip(positions);
            events.extend(decoded.map(|(frame, at)| decode(Position(at), frame).unwrap()));
            head = next;
        }
    }

    /// The logical digest of the first search in a store.
    pub fn digest(&self, store: &str) -> Hash {
        Digests::default().folded(&self.events(store)).unwrap().finish()[0].1
    }

    pub fn count(&self, store: &str, wanted: fn(&Event) -> bool) -> usize {
        self.events(store).iter().filter(|recorded| wanted(&recorded.event)).count()
    }
}

/// What a run of the program left.
pub struct Ran(pub Output);

impl Ran {
    #[track_caller]
    pub fn code(&self, expected: i32) -> &Self {
        assert_eq!(self.0.status.code(), Some(expected), "{}{}", self.stdout(), self.stderr());
        self
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        let all = self.stdout() + &self.stderr();
        assert!(all.contains(text), "{all}\nshould say {text:?}");
        self
    }
}

/// The example trainer.
pub fn trainer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trainer.py")
}

/// Both parts of a data set in ten classes, `per_class` images each: a class is where the bright
/// square is, so that it can be learned.
pub fn write_images(folder: &Path, side: u32, per_class: u32) {
    std::fs::create_dir_all(folder).unwrap();
    for stem in ["train", "t10k"] {
        let count = per_class * 10;
        let mut images: Vec<u8> =
            [0x0803, count, side, side].iter().flat_map(|n: &u32| n.to_be_bytes()).collect();
        let mut labels: Vec<u8> =
            [0x0801, count].iter().flat_map(|n: &u32| n.to_be_bytes()).collect();
        for image in 0..count {
            let class = image % 10;
            labels.push(class as u8);
            let (row, column) = (class / 5 * side / 2, class % 5 * side / 5);
            images.extend((0..side * side).map(|pixel| {
                let (y, x) = (pixel / side, pixel % side);
                let inside =
                    (row..row + side / 2).contains(&y) && (column..column + side / 5).contains(&x);
                // A little texture that follows from place and image, so that no two are equal.
                let noise = (image * 31 + pixel * 17) % 64;
                (if inside { 160 + noise } else { noise }) as u8
            }));
        }
        std::fs::write(folder.join(format!("{stem}-images-idx3-ubyte")), images).unwrap();
        std::fs::write(folder.join(format!("{stem}-labels-idx1-ubyte")), labels).unwrap();
    }
}
