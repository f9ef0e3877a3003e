//! A small data set of generated images, and requests to train on it.
#![allow(missing_docs, dead_code, clippy::unwrap_used, reason = "shared by tests")]

use std::fs;
use std::path::{Path, PathBuf};

use qtrail::chance::Stream;
use qtrail::config::recipe::{Recipe, WeightsOf};
use qtrail::data::{Images, Part, Split};
use qtrail::trainer::protocol::{DataRequest, TrainRequest};

pub const CLASSES: u32 = 4;
pub const SIDE: u32 = 8;
const IMAGES: u32 = 480;

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
        let (pixels, labels) = images(show);
        let header = |magic: u32, sizes: &[u32]| -> Vec<u8> {
            [magic].iter().chain(sizes).flat_map(|number| number.to_be_bytes()).collect()
        };
        let write = |name: &str, header: Vec<u8>, body: &[u8]| {
            fs::write(folder.path().join(name), [&header, body].concat()).unwrap();
        };
        write("train-images-idx3-ubyte", header(0x803, &[IMAGES, SIDE, SIDE]), &pixels);
        write("train-labels-idx1-ubyte", header(0x801, &[IMAGES]), &labels);
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
            recipe: Recipe { epochs: 2, batch: 32, restarts: 2, ..Recipe::default() },
            seed: 7,
            data: DataRequest {
                name: "bars".into(),
                folder: self.folder.path().to_owned(),
                channels: 1,
                side: SIDE,
                classes: CLASSES,
                split: self.path("split"),
            },
            device: "cpu".into(),
            threads: 2,
            weights: WeightsOf::Best,
            staging: self.path("staging"),
        }
    }

    /// The bytes of a staged file.
    pub fn staged(&self, name: &str) -> Vec<u8> {
        fs::read(self.path("staging").join(name)).unwrap()
    }
}

fn images(show: Show) -> (Vec<u8>, Vec<u8>) {
    let mut chance = Stream::new(1, "test images", 0);
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for image in 0..IMAGES {
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

/// Whether a program asks the loader for `library`: names there end with a zero byte.
pub fn needs(program: &Path, library: &str) -> bool {
    let name = [library.as_bytes(), &[0]].concat();
    fs::read(program).unwrap().windows(name.len()).any(|window| window == name)
}
