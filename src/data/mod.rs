//! Image data sets: formats, where they lie, how they are fetched, how they are split.
//!
//! Pixels stay bytes; what is done to them before training is the recipe's business.

pub mod idx;
pub mod locate;
pub mod split;

use std::path::{Path, PathBuf};

pub use locate::{DataHome, Located};
pub use split::Split;

/// One part of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// count x channels x side x side bytes.
    pub pixels: Vec<u8>,
    /// One a image, below `classes`.
    pub labels: Vec<u8>,
    /// Number of images.
    pub count: u32,
    /// Colour channels.
    pub channels: u32,
    /// Side in pixels.
    pub side: u32,
    /// Number of classes: the highest label and one.
    pub classes: u32,
}

/// The two parts a data set comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What is trained and validated on.
    Train,
    /// What is looked at once, at the end.
    Test,
}

impl Part {
    /// How the files of this part are called.
    const fn stem(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "t10k",
        }
    }
}

/// What can go wrong with a data set.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file is missing from a folder.
    #[error("{} has no {name} (plain or .gz)", folder.display())]
    MissingFile {
        /// The folder.
        folder: PathBuf,
        /// The file.
        name: String,
    },
    /// Neither a known data set nor a folder.
    #[error("`{name}` is neither a folder nor a known data set ({known})")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The known names.
        known: String,
    },
    /// A known data set that is not on this machine.
    #[error("the data set {name} is not on this machine")]
    NotFetched {
        /// Its name.
        name: String,
    },
    /// A split that cannot be made, or a file that holds none.
    #[error("{0}")]
    Split(String),
    /// No source had a data set.
    #[error("{name} could not be fetched:\n{failures}")]
    Fetch {
        /// Its name.
        name: String,
        /// One line a source, and what to do by hand.
        failures: String,
    },
}

impl DataError {
    fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}

impl Images {
    /// Reads one part of the data set in `folder`.
    ///
    /// # Errors
    /// [`DataError`] naming the file and what is wrong with it.
    pub fn read(folder: &Path, part: Part) -> Result<Self, DataError> {
        let stem = part.stem();
        let images = find(folder, &format!("{stem}-images"), "idx3-ubyte")?;
        let labels = find(folder, &format!("{stem}-labels"), "idx1-ubyte")?;
        let idx::IdxImages { count, side, pixels } = idx::read_images(&images)?;
        let of = labels;
        let labels = idx::read_labels(&of)?;
        let wrong = |reason| DataError::Wrong { path: of.clone(), reason };
        if labels.len() as u64 != u64::from(count) {
            let found = labels.len();
            return Err(wrong(format!("it holds {found} labels for {count} images")));
        }
        let Some(highest) = labels.iter().max() else {
            return Err(wrong("it holds no labels".to_owned()));
        };
        let classes = u32::from(*highest) + 1;
        Ok(Self { pixels, labels, count, channels: 1, side, classes })
    }

    /// BLAKE3 over the pixels, then the labels: the same whether the files were gzipped or not.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = blake3::Hasher::new();
        hash.update(&self.pixels);
        hash.update(&self.labels);
        *hash.finalize().as_bytes()
    }

    /// Images of each class.
    #[must_use]
    pub fn class_counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.classes as usize];
        self.labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
        counts
    }
}

/// The file `STEM-idx…` or `STEM.idx…`, plain or gzipped.
fn find(folder: &Path, stem: &str, kind: &str) -> Result<PathBuf, DataError> {
    let spellings = [format!("{stem}-{kind}"), format!("{stem}.{kind}")];
    let names = spellings.iter().flat_map(|name| [name.clone(), format!("{name}.gz")]);
    let found = names.map(|name| folder.join(name)).find(|path| path.is_file());
    let missing = || DataError::MissingFile { folder: folder.into(), name: spellings[0].clone() };
    found.ok_or_else(missing)
}

#[cfg(test)]
mod tests;
