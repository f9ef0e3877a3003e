//! Ensembles as arithmetic over recorded class probabilities: no model is needed, only what each of
//! them made of each image. Pure, in f64, and the same on every machine.
//!
//! | file | what it holds |
//! |---|---|
//! | `combine` | probabilities of several models into one decision an image |
//! | `select` | choosing members on the validation images: the best, or greedily |
//! | `measure` | errors, calibration, agreement, double faults |
//! | `bootstrap` | how sure an error is |

pub mod bootstrap;
pub mod combine;
pub mod measure;
pub mod select;

/// What one model makes of a set of images: probabilities of all classes, image by image.
#[derive(Debug, Clone, PartialEq)]
pub struct Probabilities {
    classes: usize,
    /// images x classes.
    values: Vec<f64>,
}

/// Why bytes are no probabilities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbabilitiesError {
    /// Their number does not fit.
    #[error("{found} bytes are not {images} x {classes} numbers of 4 bytes")]
    Size {
        /// Bytes there are.
        found: usize,
        /// Images there should be.
        images: usize,
        /// Classes there should be.
        classes: usize,
    },
    /// A number is none, below 0 or above 1, or those of an image do not add up to 1.
    #[error("image {image}: these are no probabilities")]
    Image {
        /// Its place, from 0.
        image: usize,
    },
}

/// How far the sum of an image's probabilities may be from 1: they were written as f32.
const SUM: f64 = 1e-3;

impl Probabilities {
    /// Reads `images` x `classes` numbers, row-major, little-endian f32, as a trainer left them.
    ///
    /// # Errors
    /// [`ProbabilitiesError`] naming what does not fit.
    pub fn read(bytes: &[u8], images: usize, classes: usize) -> Result<Self, ProbabilitiesError> {
        let expected = images.checked_mul(classes).and_then(|numbers| numbers.checked_mul(4));
        if expected != Some(bytes.len()) || classes == 0 {
            return Err(ProbabilitiesError::Size { found: bytes.len(), images, classes });
        }
        let (numbers, _) = bytes.as_chunks::<4>();
        let values = numbers.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect();
        Self::new(values, classes)
    }

    /// Probabilities from numbers, row-major.
    ///
    /// # Errors
    /// [`ProbabilitiesError::Image`] naming the first image whose numbers are no probabilities.
    pub fn new(values: Vec<f64>, classes: usize) -> Result<Self, ProbabilitiesError> {
        let wrong = |row: &[f64]| {
            let each = row.iter().all(|value| (0.0..=1.0 + SUM).contains(value));
            !each || (row.iter().sum::<f64>() - 1.0).abs() > SUM
        };
        match values.chunks(classes.max(1)).position(wrong) {
            Some(image) => Err(ProbabilitiesError::Image { image }),
            None => Ok(Self { classes: classes.max(1), values }),
        }
    }

    /// Number of images.
    #[must_use]
    pub fn images(&self) -> usize {
        self.values.len() / self.classes
    }

    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The probabilities of one image after the other.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks(self.classes)
    }

    /// The likeliest class of each image.
    #[must_use]
    pub fn decisions(&self) -> Vec<usize> {
        self.rows().map(likeliest).collect()
    }
}

/// The place of the greatest value, the first of equals.
#[must_use]
pub fn likeliest(row: &[f64]) -> usize {
    let greater = |best: usize, (place, value): (usize, &f64)| {
        if *value > row[best] { place } else { best }
    };
    row.iter().enumerate().fold(0, greater)
}

#[cfg(test)]
mod tests;
