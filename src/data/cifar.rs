//! CIFAR's binary version: records of one or two label bytes and 3 x 32 x 32 bytes of pixels, red
//! before green before blue, row after row. Nothing else is in a file, so its length is its count.
//!
//! CIFAR-10 has `data_batch_1.bin`, `data_batch_2.bin`, … and `test_batch.bin`, with one label of 10;
//! CIFAR-100 has `train.bin` and `test.bin`, with a coarse label of 20, which is checked and left
//! out, and a fine one of 100.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::assemble::{Collector, Raw};
use super::{BYTES_MAX, COUNT_MAX, DataError, Images, Part};

/// Side of an image in pixels.
pub const SIDE: u32 = 32;
/// Colour channels of an image.
pub const CHANNELS: u32 = 3;
/// Bytes of the pixels of an image.
const PIXELS: usize = (CHANNELS * SIDE * SIDE) as usize;

/// CIFAR-10 or CIFAR-100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Ten classes.
    Ten,
    /// A hundred classes in twenty groups.
    Hundred,
}

impl Version {
    /// What such a file is called in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ten => "CIFAR-10 file",
            Self::Hundred => "CIFAR-100 file",
        }
    }

    /// How many values each label byte of a record has; the last one is the class.
    fn labels(self) -> &'static [u8] {
        match self {
            Self::Ten => &[10],
            Self::Hundred => &[20, 100],
        }
    }

    /// The file with the names of the classes.
    #[must_use]
    pub fn names_file(self) -> &'static str {
        match self {
            Self::Ten => "batches.meta.txt",
            Self::Hundred => "fine_label_names.txt",
        }
    }

    /// Bytes of a record.
    #[must_use]
    pub fn record(self) -> usize {
        self.labels().len() + PIXELS
    }

    /// Whether `folder` has any file of this version.
    ///
    /// # Errors
    /// [`DataError::Io`] if the system does not say.
    pub fn is_begun(self, folder: &Path) -> Result<bool, DataError> {
        let names: &[&str] = match self {
            Self::Ten => &["data_batch_1.bin", "test_batch.bin"],
            Self::Hundred => &["train.bin", "test.bin"],
        };
        DataError::check_any(folder, names)
    }

    /// The files of a part, in order.
    ///
    /// # Errors
    /// [`DataError::MissingFile`] if there is none, or a gap in the numbers of the batches.
    pub fn files(self, folder: &Path, part: Part) -> Result<Vec<PathBuf>, DataError> {
        let file = match (self, part) {
            (Self::Ten, Part::Train) => return batches(folder),
            (Self::Ten, Part::Test) => "test_batch.bin",
            (Self::Hundred, Part::Train) => "train.bin",
            (Self::Hundred, Part::Test) => "test.bin",
        };
        let path = folder.join(file);
        if DataError::check_file(&path)? {
            return Ok(vec![path]);
        }
        Err(DataError::MissingFile { folder: folder.to_path_buf(), file })
    }

    /// Number of images in a part, by the length of its files.
    ///
    /// # Errors
    /// [`DataError`] if a file does not consist of whole records.
    pub fn count(self, folder: &Path, part: Part) -> Result<u64, DataError> {
        self.files(folder, part)?.iter().try_fold(0, |count, path| {
            let bytes = fs::metadata(path).map_err(DataError::io("open", path))?.len();
            Ok(count + self.check_length(path, bytes)?)
        })
    }

    /// Reads a part.
    ///
    /// # Errors
    /// [`DataError`] naming the file and the record that is wrong.
    pub fn read(self, folder: &Path, part: Part, resize: Option<u32>) -> Result<Images, DataError> {
        let (mut images, mut labels) = (Collector::new(resize), Vec::new());
        for path in self.files(folder, part)? {
            self.read_file(&path, &mut images, &mut labels)?;
        }
        images.finish(labels, folder)
    }

    fn read_file(
        self,
        path: &Path,
        images: &mut Collector,
        labels: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        let file = File::open(path).map_err(DataError::io("open", path))?;
        let bytes = file.metadata().map_err(DataError::io("open", path))?.len();
        let count = self.check_length(path, bytes)?;
        let mut input = std::io::BufReader::with_capacity(1 << 16, file);
        let mut record = vec![0; self.record()];
        for number in 0..count {
            input.read_exact(&mut record).map_err(DataError::io("read", path))?;
            let (marks, pixels) = record.split_at(self.labels().len());
            for (&mark, &values) in marks.iter().zip(self.labels()) {
                if mark >= values {
                    let reason = format!(
                        "record {number} has the label {mark}, allowed are 0 to {}",
                        values - 1
                    );
                    return Err(DataError::malformed(path, self.name(), reason));
                }
            }
            labels.extend(marks.last());
            images.push(&Raw { channels: CHANNELS, width: SIDE, height: SIDE, pixels }, path)?;
        }
        Ok(())
    }

    fn check_length(self, path: &Path, bytes: u64) -> Result<u64, DataError> {
        let record = self.record() as u64;
        if !bytes.is_multiple_of(record) {
            let reason = format!(
                "it has {bytes} bytes, which is not a whole number of records of {record} bytes; \
                 get the file again"
            );
            return Err(DataError::malformed(path, self.name(), reason));
        }
        DataError::limit(path, "bytes", bytes, BYTES_MAX)?;
        DataError::limit(path, "images", bytes / record, COUNT_MAX.into())?;
        Ok(bytes / record)
    }
}

/// `data_batch_1.bin` and so on.
fn batches(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let entries = fs::read_dir(folder).map_err(DataError::io("read", folder))?;
    let mut numbers: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let number = name.strip_prefix("data_batch_")?.strip_suffix(".bin")?;
            number.parse().ok().filter(|parsed: &u32| parsed.to_string() == number)
        })
        .collect();
    numbers.sort_unstable();
    let missing = |file| DataError::MissingFile { folder: folder.to_path_buf(), file };
    if numbers.is_empty() {
        return Err(missing("data_batch_1.bin"));
    }
    for (&number, expected) in numbers.iter().zip(1..) {
        if number != expected {
            let last = folder.join(format!("data_batch_{number}.bin"));
            let reason = format!("it is here, but data_batch_{expected}.bin is not");
            return Err(DataError::malformed(&last, Version::Ten.name(), reason));
        }
    }
    Ok(numbers.iter().map(|number| folder.join(format!("data_batch_{number}.bin"))).collect())
}
