//! Where the images of a part come together, image by image, whatever file they come from.

use std::path::Path;

use super::resize::resample;
use super::{BYTES_MAX, COUNT_MAX, DataError, Images, SIDE_MAX};

/// One image as a file holds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a> {
    /// Colour channels.
    pub(super) channels: u32,
    /// Pixels in a row.
    pub(super) width: u32,
    /// Rows.
    pub(super) height: u32,
    /// channels x height x width bytes.
    pub(super) pixels: &'a [u8],
}

/// The images of a part so far: all of one size, or resampled to one.
#[derive(Debug)]
pub(super) struct Collector {
    resize: Option<u32>,
    /// Channels and side.
    shape: Option<(u32, u32)>,
    pixels: Vec<u8>,
}

impl Collector {
    pub(super) fn new(resize: Option<u32>) -> Self {
        Self { resize, shape: None, pixels: Vec::new() }
    }

    /// Square images that lie in memory as they should.
    pub(super) fn whole(channels: u32, side: u32, pixels: Vec<u8>) -> Self {
        Self { resize: None, shape: Some((channels, side)), pixels }
    }

    /// Takes one more image, which comes from the file `path`.
    pub(super) fn push(&mut self, image: &Raw<'_>, path: &Path) -> Result<(), DataError> {
        let Raw { channels, pixels, .. } = *image;
        let side = side(image, self.resize, path)?;
        same(*self.shape.get_or_insert((channels, side)), (channels, side), path)?;
        let length = u64::from(channels) * u64::from(side) * u64::from(side);
        let bytes = self.pixels.len() as u64 + length;
        DataError::limit(path, "bytes of pixels so far", bytes, BYTES_MAX)?;
        DataError::limit(path, "images so far", bytes / length, COUNT_MAX.into())?;
        match self.resize {
            Some(side) => resample(image, side, &mut self.pixels),
            None => self.pixels.extend_from_slice(pixels),
        }
        Ok(())
    }

    /// The images with their labels; `path` is the file, or the folder, that they come from.
    pub(super) fn finish(self, labels: Vec<u8>, path: &Path) -> Result<Images, DataError> {
        let (channels, side) = self.shape.unwrap_or((1, 1));
        let length = u64::from(channels) * u64::from(side) * u64::from(side);
        let (images, count) = (self.pixels.len() as u64 / length, labels.len() as u64);
        DataError::limit(path, "images", count, COUNT_MAX.into())?;
        let fit = |number| u32::try_from(number).unwrap_or(u32::MAX);
        if images != count {
            let path = path.to_path_buf();
            return Err(DataError::CountMismatch {
                images_path: path.clone(),
                images: fit(images),
                labels_path: path,
                labels: fit(count),
            });
        }
        let classes = labels.iter().max().map_or(0, |&highest| u32::from(highest) + 1);
        let count = fit(count);
        Ok(Images { pixels: self.pixels, labels, count, channels, side, classes })
    }
}

/// The side that an image has once it is resampled, if it is.
///
/// # Errors
/// [`DataError::NotSquare`] if it is oblong and stays as it is, [`DataError::OutOfLimits`] if it is
/// too large.
pub(super) fn side(image: &Raw<'_>, resize: Option<u32>, path: &Path) -> Result<u32, DataError> {
    let Raw { width, height, .. } = *image;
    if resize.is_none() && width != height {
        let (path, rows, columns) = (path.to_path_buf(), height, width);
        return Err(DataError::NotSquare { path, rows, columns });
    }
    let side = resize.unwrap_or(width);
    DataError::limit(path, "pixels in a row", side.into(), SIDE_MAX.into())?;
    Ok(side)
}

/// Makes sure that an image has the channels and the side of those before it.
///
/// # Errors
/// [`DataError::MixedSizes`] if it does not.
pub(super) fn same(expected: (u32, u32), found: (u32, u32), path: &Path) -> Result<(), DataError> {
    if expected == found {
        return Ok(());
    }
    let size = |(channels, side)| format!("{side} x {side} pixels, {channels} channels");
    let (path, expected, found) = (path.to_path_buf(), size(expected), size(found));
    Err(DataError::MixedSizes { path, expected, found })
}
