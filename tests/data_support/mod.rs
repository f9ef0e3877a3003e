//! The sets of `tests/data_files`, copies of them that may be spoilt, and what is wrong with those.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use qtrail::data::{Images, Part};
use tempfile::TempDir;

pub fn files(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data_files").join(name)
}

/// A copy of a set of `tests/data_files` that may be spoilt.
pub fn copy(name: &str) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_into(&files(name), copy.path());
    copy
}

fn copy_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            fs::create_dir(&to).unwrap();
            copy_into(&path, &to);
        } else {
            fs::copy(path, to).unwrap();
        }
    }
}

/// The pixels that `make.py` gives an image.
pub fn pixels(image: u32, channels: u32, side: u32) -> Vec<u8> {
    let mut pixels = Vec::new();
    for channel in 0..channels {
        for row in 0..side {
            for column in 0..side {
                pixels.push((40 * image + 50 * channel + 7 * row + 3 * column).to_le_bytes()[0]);
            }
        }
    }
    pixels
}

#[track_caller]
pub fn shape(images: &Images) -> (u32, u32, u32, u32) {
    (images.count, images.channels, images.side, images.classes)
}

/// The error of reading a part; it must name the folder or a file in it.
#[track_caller]
pub fn error(folder: &Path, part: Part) -> String {
    let error = Images::read(folder, part).unwrap_err().to_string();
    assert!(error.contains(&folder.display().to_string()), "{error} should name the file");
    error
}
