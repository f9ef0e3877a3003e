//! A small data set of generated images, requests to train on it, and a trainer that hears them.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used, reason = "shared by tests")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use qtrail::chance::Stream;
use qtrail::config::recipe::{Recipe, WeightsOf};
use qtrail::data::{Images, Part, Split};
use qtrail::trainer::protocol::{
    Answer, DataRequest, EpochAnswer, Fit, PredictedPart, Request, TrainRequest,
};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_qtrail-torch");
pub const CLASSES: u32 = 4;
pub const SIDE: u32 = 8;
const IMAGES: u32 = 480;
const TEST_IMAGES: u32 = 100;

/// A folder with a data set, a split, and a staging folder.
pub struct Workplace {
    folder: tempfile::TempDir,
}

/// What the images show.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// A bright row that says the class, in noise.
    Class,
    /// Nothing at all.
    Nothing,
}

impl Workplace {
    pub fn new(show: Show) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("staging")).unwrap();
        let header = |magic: u32, sizes: &[u32]| -> Vec<u8> {
            [magic].iter().chain(sizes).flat_map(|number| number.to_be_bytes()).collect()
        };
        let write = |name: &str, header: Vec<u8>, body: &[u8]| {
            fs::write(folder.path().join(name), [&header, body].concat()).unwrap();
        };
        for (stem, count, index) in [("train", IMAGES, 0), ("t10k", TEST_IMAGES, 1)] {
            let (pixels, labels) = images(show, count, index);
            let images = format!("{stem}-images-idx3-ubyte");
            write(&images, header(0x803, &[count, SIDE, SIDE]), &pixels);
            write(&format!("{stem}-labels-idx1-ubyte"), header(0x801, &[count]), &labels);
        }
        let images = Images::read(folder.path(), Part::Train).unwrap();
        let split = Split::draw(&images.labels, 160, None, 1).unwrap();
        fs::write(folder.path().join("split"), split.to_bytes()).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn request(&self, architecture: &str) -> TrainRequest {
        TrainRequest {
            id: 1,
            architecture: architecture.parse().unwrap(),
            recipe: Recipe {
                epochs: 2,
                batch: 16,
                learning_rate: 0.01,
                restarts: 2,
                ..Recipe::default()
            },
            seed: 7,
            data: DataRequest {
                name: "bars".into(),
                folder: self.folder.path().to_owned(),
                channels: 1,
                side: SIDE,
                classes: CLASSES,
                split: self.path("split"),
                resize: None,
                extra: false,
                seed: 0,
                fit: Fit::Train,
            },
            device: "cpu".into(),
            threads: 2,
            weights: WeightsOf::Best,
            staging: self.path("staging"),
            initial: None,
            checkpoints: false,
            resume: None,
            predict: false,
        }
    }

    /// True labels, in the order in which probabilities are left.
    pub fn labels(&self, part: PredictedPart) -> Vec<u8> {
        let read = |part| Images::read(self.folder.path(), part).unwrap().labels;
        match part {
            PredictedPart::Test => read(Part::Test),
            PredictedPart::Validation => {
                let labels = read(Part::Train);
                let split = fs::read(self.path("split")).unwrap();
                let split = Split::from_bytes(&split, IMAGES).unwrap();
                split.validation.iter().map(|&index| labels[index as usize]).collect()
            }
        }
    }

    /// The bytes of a staged file.
    pub fn staged(&self, name: &str) -> Vec<u8> {
        fs::read(self.path("staging").join(name)).unwrap()
    }
}

fn images(show: Show, count: u32, index: u64) -> (Vec<u8>, Vec<u8>) {
    let mut chance = Stream::new(1, "test images", index);
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for image in 0..count {
        let label = image % CLASSES;
        labels.push(u8::try_from(label).unwrap());
        for row in 0..SIDE {
            for _ in 0..SIDE {
                let noise = u8::try_from(chance.below(100)).unwrap();
                let light = if row / 2 == label { 120 } else { 0 };
                pixels.push(if show == Show::Class { noise + light } else { 0 });
            }
        }
    }
    (pixels, labels)
}

/// A running trainer and the lines it says.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    pub fn start() -> Self {
        let mut child = Command::new(PROGRAM)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || stdout.lines().for_each(|line| drop(sender.send(line.unwrap()))));
        Self { stdin: child.stdin.take(), child, lines }
    }

    pub fn write(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub fn train(&mut self, request: &TrainRequest) {
        let request = Request::Train(Box::new(request.clone()));
        self.write(&serde_json::to_string(&request).unwrap());
    }

    pub fn hear(&self) -> Answer {
        let line = self.lines.recv_timeout(Duration::from_secs(60)).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// The epochs of a request, and the answer that ends it.
    pub fn result(&self) -> (Vec<EpochAnswer>, Answer) {
        let mut epochs = Vec::new();
        loop {
            match self.hear() {
                Answer::Progress { .. } => {}
                Answer::Epoch(epoch) => epochs.push(epoch),
                answer => return (epochs, answer),
            }
        }
    }

    pub fn error(&self) -> (u64, String) {
        match self.result().1 {
            Answer::Error { id, message, .. } => (id, message),
            other => panic!("{other:?}"),
        }
    }

    /// Closes stdin; how long the process took to leave.
    pub fn leave(&mut self) -> Duration {
        let started = Instant::now();
        drop(self.stdin.take());
        assert!(self.child.wait().unwrap().success());
        started.elapsed()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a program asks the loader for `library`: names there end with a zero byte.
pub fn needs(program: &Path, library: &str) -> bool {
    let name = [library.as_bytes(), &[0]].concat();
    fs::read(program).unwrap().windows(name.len()).any(|window| window == name)
}
