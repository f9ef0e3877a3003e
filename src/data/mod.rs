//! Image data sets: formats, where they lie, how they are fetched, checked and split.
//!
//! [`idx`] reads one file strictly, [`folder`] finds the four files of a set, [`catalog`] knows
//! the sets that have a name, [`locate`] says where they lie, [`fetch`] brings them there,
//! [`check`] looks at all of one, [`split`] decides what is trained and what is validated on.
//!
//! Pixels stay bytes; what is done to them before training is the recipe's business.

pub mod catalog;
pub mod check;
mod error;
pub mod fetch;
pub mod folder;
pub mod idx;
pub mod locate;
pub mod split;

use std::path::Path;

pub use catalog::{KnownSet, known_names};
pub use error::DataError;
pub use folder::IdxFolder;
pub use locate::{DataHome, Located};
pub use split::{Split, SplitError};

/// One part of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// count x channels x side x side bytes: image after image, in it channel after channel, row
    /// after row.
    pub pixels: Vec<u8>,
    /// One per image, below `classes`.
    pub labels: Vec<u8>,
    /// Number of images, at least 1.
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
    /// What is looked at once, at the end. A search never reads it.
    Test,
}

impl Part {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Train, Self::Test];

    /// `train` or `test`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

impl Images {
    /// Reads one part of the data set in `folder`; the files of the other part are not opened.
    ///
    /// Whether it is the named set that somebody takes it for, [`Located::read`] says.
    ///
    /// # Errors
    /// [`DataError`] naming the file and what is wrong with it.
    pub fn read(folder: &Path, part: Part) -> Result<Self, DataError> {
        IdxFolder::new(folder).read(part).map(Into::into)
    }

    /// BLAKE3 over the pixels, then the labels: the same whether the files were compressed or not.
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

    /// Mean of all pixels, from 0 to 255.
    #[must_use]
    pub fn mean_pixel(&self) -> f64 {
        // At most 4 GiB of bytes below 256: the sum is below 2^40, exact in a f64.
        let sum: u64 = self.pixels.iter().map(|&pixel| u64::from(pixel)).sum();
        sum as f64 / self.pixels.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests;
