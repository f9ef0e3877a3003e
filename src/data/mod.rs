//! Image data sets: formats, where they lie, how they are fetched, checked and split.
//!
//! [`mod@format`] recognises what a folder holds and reads it: IDX files ([`folder`], [`idx`]), CIFAR's
//! binary version ([`cifar`]), SVHN's MAT files ([`mat`]), NumPy arrays ([`npz`]), pictures in one
//! folder a class ([`pictures`]). All of them are read strictly, and end as [`Images`], all in memory,
//! or as an [`ImageSet`], whose pictures are decoded when they are needed.
//!
//! [`catalog`] knows the sets that have a name, [`locate`] says where they lie, [`fetch`] brings
//! them there, [`mod@derive`] makes a set of some classes of another, [`check`] looks at all of one,
//! [`split`] decides what is trained and what is validated on, [`names`] reads what classes are
//! called.
//!
//! Pixels stay bytes; what is done to them before training is the recipe's business. Only their
//! size is settled here, by [`resize`].

mod assemble;
pub mod catalog;
pub mod check;
pub mod cifar;
mod decode;
pub mod derive;
mod error;
pub mod fetch;
pub mod folder;
pub mod format;
pub mod idx;
pub mod image_set;
pub mod layout;
pub mod locate;
pub mod mat;
pub mod names;
pub mod npz;
pub mod pictures;
pub mod resize;
pub mod split;
mod staging;

use std::path::Path;

pub use catalog::{KnownSet, known_names};
pub use error::DataError;
pub use folder::IdxFolder;
pub use format::Format;
pub use image_set::ImageSet;
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

/// Most images in one part.
pub const COUNT_MAX: u32 = 10_000_000;
/// Longest side of an image in pixels.
pub const SIDE_MAX: u32 = 1024;
/// Most bytes of pixels in one part: what is kept in memory at once.
pub const BYTES_MAX: u64 = 4 << 30;

/// How images are read; the settings `data.resize`, `data.extra` and `data.seed` of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Side in pixels to which every image is resampled ([`resize`]); unset: as they are.
    pub resize: Option<u32>,
    /// Whether the extra images of a set that has some follow those of its training part.
    pub extra: bool,
    /// Decides which images are the test part, where no folder or file sets them apart.
    pub seed: u64,
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
    /// Reads one part of the data set in `folder`, whatever its format; the other part is not
    /// looked at.
    ///
    /// Whether it is the named set that somebody takes it for, [`Located::read`] says.
    ///
    /// # Errors
    /// [`DataError`] naming the file and what is wrong with it.
    pub fn read(folder: &Path, part: Part) -> Result<Self, DataError> {
        format::read(folder, part, Reading::default())
    }

    /// The bytes of image `index`: channel after channel, row after row.
    ///
    /// # Panics
    /// If there is no such image.
    #[must_use]
    pub fn image(&self, index: u32) -> &[u8] {
        let length = self.length();
        let start = index as usize * length;
        &self.pixels[start..start + length]
    }

    /// Bytes of one image.
    #[must_use]
    pub fn length(&self) -> usize {
        self.channels as usize * self.side as usize * self.side as usize
    }

    /// These images, and then `more`, which come from `path`.
    ///
    /// # Errors
    /// [`DataError`] if they are of another size, or too many.
    pub(crate) fn and(mut self, more: Self, path: &Path) -> Result<Self, DataError> {
        let size =
            |images: &Self| format!("{0} x {0} pixels, {1} channels", images.side, images.channels);
        if (self.channels, self.side) != (more.channels, more.side) {
            let (path, expected, found) = (path.to_path_buf(), size(&self), size(&more));
            return Err(DataError::MixedSizes { path, expected, found });
        }
        let bytes = self.pixels.len() as u64 + more.pixels.len() as u64;
        DataError::limit(path, "bytes of pixels in all", bytes, BYTES_MAX)?;
        self.pixels.extend(more.pixels);
        self.labels.extend(more.labels);
        self.count += more.count;
        self.classes = self.classes.max(more.classes);
        Ok(self)
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
}

#[cfg(test)]
mod tests;
