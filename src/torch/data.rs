//! Images on a device: bytes that become numbers batch by batch, where they are computed with.

use std::path::PathBuf;

use tch::{Device, Tensor};

use super::preprocess::{PixelStatistics, Preprocessing};
use super::{TorchError, files};
use crate::arch::shape::Map;
use crate::config::recipe::Preprocess;
use crate::data::{Images, Located, Part, Reading, Split};
use crate::trainer::protocol::{DataRequest, Fit};

/// A split data set on a device.
#[derive(Debug)]
pub struct DeviceData {
    /// What is trained on.
    pub train: DeviceImages,
    /// What is validated on.
    pub validation: DeviceImages,
    /// Channels and side of an image.
    pub shape: Map,
    /// Number of classes.
    pub classes: u32,
    moments: Moments,
    device: Device,
    folder: PathBuf,
    reading: Reading,
    split: Vec<u8>,
    fit: Fit,
}

/// Images and labels on a device.
#[derive(Debug)]
pub struct DeviceImages {
    /// count x channels x side x side, u8.
    pixels: Tensor,
    /// count, i64.
    labels: Tensor,
    count: u32,
}

/// Sums over the training images for each pixel of an image. Exact, so that they are the same on
/// every machine.
#[derive(Debug)]
struct Moments {
    count: u64,
    sums: Vec<u64>,
    squares: Vec<u64>,
}

impl DeviceData {
    /// Reads a data set onto `device`.
    ///
    /// # Errors
    /// [`TorchError`] if it cannot be read, or is not what was announced.
    pub fn load(request: &DataRequest, device: Device) -> Result<Self, TorchError> {
        let images = located(request).read(Part::Train)?;
        check(request, &images)?;
        let bytes = files::read(&request.split)?;
        let split = Split::from_bytes(&bytes, images.count)?;
        if split.train.is_empty() || split.validation.is_empty() {
            return Err(TorchError::Request(format!("{}: the split has no images", request.name)));
        }
        let mut train = split.train.clone();
        if request.fit == Fit::TrainAndValidation {
            train.extend(&split.validation);
            train.sort_unstable();
        }
        Ok(Self {
            train: DeviceImages::new(&images, &train, device)?,
            validation: DeviceImages::new(&images, &split.validation, device)?,
            shape: Map { channels: images.channels, side: images.side },
            classes: request.classes,
            moments: Moments::of(&images, &train),
            device,
            folder: request.folder.clone(),
            reading: reading(request),
            split: bytes,
            fit: request.fit,
        })
    }

    /// The test part of the data set.
    ///
    /// # Errors
    /// [`TorchError`] if it cannot be read, or is not what was announced.
    pub fn test(&self, request: &DataRequest) -> Result<DeviceImages, TorchError> {
        let images = located(request).read(Part::Test)?;
        check(request, &images)?;
        let all: Vec<u32> = (0..images.count).collect();
        DeviceImages::new(&images, &all, self.device)
    }

    /// Whether this is the data of `request` on `device`. The split is compared by its content:
    /// another search may use the same file name.
    ///
    /// # Errors
    /// [`TorchError::File`] if the split cannot be read.
    pub fn is(&self, request: &DataRequest, device: Device) -> Result<bool, TorchError> {
        Ok(self.device == device
            && self.folder == request.folder
            && self.reading == reading(request)
            && self.classes == request.classes
            && self.fit == request.fit
            && self.shape == Map { channels: request.channels, side: request.side }
            && self.split == files::read(&request.split)?)
    }

    /// What `kind` of preprocessing means for these images.
    ///
    /// # Errors
    /// [`TorchError`] from libtorch.
    pub fn preprocessing(&self, kind: Preprocess) -> Result<Preprocessing, TorchError> {
        let (means, deviations) = (self.moments.means(), self.moments.deviations());
        let statistics = PixelStatistics { means, deviations };
        Preprocessing::new(kind, self.shape, &statistics, self.device)
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }
}

impl DeviceImages {
    fn new(images: &Images, indices: &[u32], device: Device) -> Result<Self, TorchError> {
        let (channels, side) = (i64::from(images.channels), i64::from(images.side));
        let pixels: Vec<u8> =
            indices.iter().flat_map(|&index| pixels(images, index)).copied().collect();
        let label = |&index: &u32| i64::from(images.labels[index as usize]);
        let labels: Vec<i64> = indices.iter().map(label).collect();
        Ok(Self {
            pixels: Tensor::f_from_slice(&pixels)?
                .f_view([-1, channels, side, side])?
                .f_to_device(device)?,
            labels: Tensor::f_from_slice(&labels)?.f_to_device(device)?,
            count: u32::try_from(indices.len()).unwrap_or(u32::MAX),
        })
    }

    /// Number of images.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The images that `indices` (i64, on the same device) name, and their labels.
    ///
    /// # Errors
    /// [`TorchError`] from libtorch.
    pub fn gather(
        &self,
        indices: &Tensor,
        preprocessing: &Preprocessing,
    ) -> Result<(Tensor, Tensor), TorchError> {
        let images = preprocessing.apply(&self.pixels.f_index_select(0, indices)?)?;
        Ok((images, self.labels.f_index_select(0, indices)?))
    }

    /// `length` images from `start` on, and their labels.
    ///
    /// # Errors
    /// [`TorchError`] from libtorch.
    pub fn slice(
        &self,
        start: u32,
        length: u32,
        preprocessing: &Preprocessing,
    ) -> Result<(Tensor, Tensor), TorchError> {
        let (start, length) = (start.into(), length.into());
        let images = preprocessing.apply(&self.pixels.f_narrow(0, start, length)?)?;
        Ok((images, self.labels.f_narrow(0, start, length)?))
    }
}

impl Moments {
    fn of(images: &Images, indices: &[u32]) -> Self {
        let length = pixels(images, 0).len();
        let (mut sums, mut squares) = (vec![0_u64; length], vec![0_u64; length]);
        for &index in indices {
            let totals = sums.iter_mut().zip(&mut squares);
            for (&pixel, (sum, square)) in pixels(images, index).iter().zip(totals) {
                *sum += u64::from(pixel);
                *square += u64::from(pixel) * u64::from(pixel);
            }
        }
        Self { count: indices.len() as u64, sums, squares }
    }

    fn means(&self) -> Vec<f64> {
        self.sums.iter().map(|&sum| sum as f64 / self.count as f64).collect()
    }

    fn deviations(&self) -> Vec<f64> {
        let deviation = |(&sum, &square): (&u64, &u64)| {
            // n² times the variance is a whole number, never negative.
            let scaled = u128::from(self.count) * u128::from(square) - u128::from(sum).pow(2);
            (scaled as f64).sqrt() / self.count as f64
        };
        self.sums.iter().zip(&self.squares).map(deviation).collect()
    }
}

fn pixels(images: &Images, index: u32) -> &[u8] {
    let length = images.channels as usize * images.side as usize * images.side as usize;
    let start = index as usize * length;
    &images.pixels[start..start + length]
}

/// The images of a request, read as it says.
#[must_use]
pub fn located(request: &DataRequest) -> Located {
    Located::at(&request.name, &request.folder, reading(request))
}

fn reading(request: &DataRequest) -> Reading {
    Reading { resize: request.resize, extra: request.extra, seed: request.seed }
}

fn check(request: &DataRequest, images: &Images) -> Result<(), TorchError> {
    let announced = (request.channels, request.side);
    let found = (images.channels, images.side);
    let name = &request.name;
    if announced != found {
        let reason = format!("{found:?} channels and side, the request says {announced:?}");
        return Err(TorchError::Request(format!("{name} has {reason}")));
    }
    if images.classes > request.classes {
        let (found, announced) = (images.classes, request.classes);
        let reason = format!("{found} classes, the request says {announced}");
        return Err(TorchError::Request(format!("{name} has {reason}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_training_images() {
        let images = Images {
            pixels: vec![0, 10, 100, 30, 200, 20, 7, 7],
            labels: vec![0, 1, 0, 1],
            count: 4,
            channels: 2,
            side: 1,
            classes: 2,
        };
        let moments = Moments::of(&images, &[0, 1, 2]);
        assert_eq!(moments.means(), [100.0, 20.0]);
        let expected = [(20_000.0_f64 / 3.0).sqrt(), (200.0_f64 / 3.0).sqrt()];
        for (deviation, expected) in moments.deviations().iter().zip(expected) {
            assert!((deviation - expected).abs() < 1e-12);
        }
    }
}
