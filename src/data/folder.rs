//! A folder with the four IDX files of a data set, under their usual names.

use std::path::{Path, PathBuf};

use super::assemble::{Collector, Raw};
use super::idx::{self, Idx, Kind};
use super::{DataError, Images, Part};

/// The usual names: training images and labels, test images and labels.
pub const FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// A folder with IDX files. Their content has not been looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdxFolder {
    folder: PathBuf,
}

/// The two files of one part, read, and of equal count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartFiles {
    /// The images.
    images: Idx,
    /// Their labels.
    labels: Idx,
}

impl IdxFolder {
    /// Names a folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    /// Whether there is any file of a usual name.
    ///
    /// # Errors
    /// [`DataError::Io`] if the system does not say.
    pub fn is_begun(&self) -> Result<bool, DataError> {
        for file in FILES {
            match self.path(file) {
                Err(DataError::MissingFile { .. }) => {}
                found => return found.map(|_| true),
            }
        }
        Ok(false)
    }

    /// The four files, in the order of [`FILES`].
    ///
    /// # Errors
    /// [`DataError::MissingFile`] naming the first that is not there.
    pub fn paths(&self) -> Result<[PathBuf; 4], DataError> {
        Ok([self.path(FILES[0])?, self.path(FILES[1])?, self.path(FILES[2])?, self.path(FILES[3])?])
    }

    /// The file of the usual name `file`: plain or `.gz`, also in the spelling with a dot
    /// (`train-images.idx3-ubyte`) that some copies have. The plain one is taken if there are both.
    /// Images in colour are in `train-images-idx4-ubyte`.
    ///
    /// # Errors
    /// [`DataError::MissingFile`] if there is none, [`DataError::Io`] if the system does not say.
    pub fn path(&self, file: &'static str) -> Result<PathBuf, DataError> {
        let dotted = file.replacen("-idx", ".idx", 1);
        let colour = file.replacen("-idx3", "-idx4", 1);
        let plain = [file, &dotted, &colour].map(str::to_owned);
        let packed = [file, &dotted, &colour].map(|name| format!("{name}.gz"));
        for name in plain.iter().chain(&packed) {
            let path = self.folder.join(name);
            if DataError::check_file(&path)? {
                return Ok(path);
            }
        }
        Err(DataError::MissingFile { folder: self.folder.clone(), file })
    }

    /// Reads the two files of one part; the images may be of any shape if not `square`.
    ///
    /// # Errors
    /// [`DataError`] if one is missing or damaged, or the two do not belong together.
    pub fn read(&self, part: Part, square: bool) -> Result<PartFiles, DataError> {
        let [images_path, labels_path] = self.part_paths(part)?;
        let images = idx::read(&images_path, Kind::Images, square)?;
        let labels = idx::read(&labels_path, Kind::Labels, square)?;
        if images.header.count == labels.header.count {
            return Ok(PartFiles { images, labels });
        }
        let (images, labels) = (images.header.count, labels.header.count);
        Err(DataError::CountMismatch { images_path, images, labels_path, labels })
    }

    /// The files with the images and the labels of a part.
    ///
    /// # Errors
    /// [`DataError::MissingFile`] if one is not there.
    pub fn part_paths(&self, part: Part) -> Result<[PathBuf; 2], DataError> {
        let [images, labels] = part_files(part);
        Ok([self.path(images)?, self.path(labels)?])
    }
}

/// The usual names of the two files of a part: images, labels.
#[must_use]
pub fn part_files(part: Part) -> [&'static str; 2] {
    match part {
        Part::Train => [FILES[0], FILES[1]],
        Part::Test => [FILES[2], FILES[3]],
    }
}

impl PartFiles {
    /// SHA-256 of the decompressed content of both files: images, labels.
    #[must_use]
    pub fn content_sha256(&self) -> [[u8; 32]; 2] {
        [self.images.content_sha256(), self.labels.content_sha256()]
    }

    /// The images, resampled if that is wanted.
    ///
    /// # Errors
    /// [`DataError`] if they are not square, and are to stay as they are.
    pub fn into_images(self, resize: Option<u32>, path: &Path) -> Result<Images, DataError> {
        let Self { images: Idx { header, payload }, labels } = self;
        let (channels, width, height) = (header.channels, header.columns, header.rows);
        let mut collector = Collector::new(resize);
        if resize.is_none() && width == height {
            return Collector::whole(channels, width, payload).finish(labels.payload, path);
        }
        let length = channels as usize * width as usize * height as usize;
        for pixels in payload.chunks_exact(length.max(1)) {
            collector.push(&Raw { channels, width, height, pixels }, path)?;
        }
        collector.finish(labels.payload, path)
    }
}
