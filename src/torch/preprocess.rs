//! What happens to pixels before the first layer.
//!
//! One function of a tensor of pixels (0 to 255) that can be differentiated: it changes nothing in
//! place, and no square root is taken where its slope is infinite.

use tch::{Device, Kind, Tensor};

use super::TorchError;
use crate::arch::shape::Map;
use crate::config::recipe::Preprocess;

/// The least deviation that is divided by, as a share of the range of pixels.
pub const LEAST_DEVIATION: f64 = 0.001;
/// The largest pixel.
pub const RANGE: f64 = 255.0;
/// Side of the window of local contrast normalisation, in pixels.
const WINDOW: i64 = 7;
/// Its standard deviation, in pixels.
const SIGMA: f64 = 1.0;
/// The least deviation in it, as a share of the range of pixels.
const LEAST_LOCAL_DEVIATION: f64 = 1e-4;

/// What is done to pixels.
#[derive(Debug)]
pub struct Preprocessing(How);

#[derive(Debug)]
enum How {
    /// Subtract, then multiply, pixel by pixel.
    Each { subtract: Tensor, multiply: Tensor },
    /// Mean 0 and deviation 1 over these dimensions of each image, with a least deviation.
    Whole { over: &'static [i64], least: f64 },
    /// Mean 0 and deviation 1 in a window around each pixel, channel by channel.
    Local { window: Window },
}

/// Statistics of each pixel over the training images, in the order of an image's bytes.
#[derive(Debug)]
pub struct PixelStatistics {
    /// Means.
    pub means: Vec<f64>,
    /// Standard deviations.
    pub deviations: Vec<f64>,
}

impl Preprocessing {
    /// What `kind` means for images of this `shape`.
    ///
    /// # Errors
    /// [`TorchError`] from libtorch.
    pub fn new(
        kind: Preprocess,
        shape: Map,
        statistics: &PixelStatistics,
        device: Device,
    ) -> Result<Self, TorchError> {
        let size = [1, shape.channels.into(), shape.side.into(), shape.side.into()];
        let pixels = statistics.means.len();
        let tensor = |numbers: &[f64]| -> Result<Tensor, TorchError> {
            #[expect(clippy::cast_possible_truncation, reason = "pixels are single precision")]
            let numbers: Vec<f32> = numbers.iter().map(|&number| number as f32).collect();
            Ok(Tensor::f_from_slice(&numbers)?.f_view(size)?.f_to_device(device)?)
        };
        let each = |subtract: &[f64], multiply: &[f64]| -> Result<How, TorchError> {
            Ok(How::Each { subtract: tensor(subtract)?, multiply: tensor(multiply)? })
        };
        let floor = LEAST_DEVIATION * RANGE;
        Ok(Self(match kind {
            Preprocess::Scale => each(&vec![0.0; pixels], &vec![1.0 / RANGE; pixels])?,
            Preprocess::MeanSubtract => each(&statistics.means, &vec![1.0 / RANGE; pixels])?,
            Preprocess::PerPixelStandardise => {
                let scale = |deviation: &f64| 1.0 / deviation.max(floor);
                let scales: Vec<f64> = statistics.deviations.iter().map(scale).collect();
                each(&statistics.means, &scales)?
            }
            Preprocess::Gcn => How::Whole { over: &[1, 2, 3], least: floor },
            Preprocess::Whiten => How::Whole { over: &[2, 3], least: 1.0 / f64::from(shape.side) },
            Preprocess::Lcn => How::Local { window: Window::new(shape, device)? },
        }))
    }

    /// What the network sees of `pixels` (count x channels x side x side, 0 to 255): f32, differentiable.
    ///
    /// # Errors
    /// [`TorchError`] from libtorch.
    pub fn apply(&self, pixels: &Tensor) -> Result<Tensor, TorchError> {
        let images = pixels.f_to_kind(Kind::Float)?;
        match &self.0 {
            How::Each { subtract, multiply } => Ok(images.f_sub(subtract)?.f_mul(multiply)?),
            How::Whole { over, least } => {
                let centred = images.f_sub(&images.f_mean_dim(*over, true, None)?)?;
                let variance = centred.f_square()?.f_mean_dim(*over, true, None)?;
                Ok(centred.f_div(&deviation(&variance, *least)?)?)
            }
            How::Local { window } => {
                let images = images.f_mul_scalar(1.0 / RANGE)?;
                let centred = images.f_sub(&window.mean(&images)?)?;
                let variance = window.mean(&centred.f_square()?)?;
                let local = deviation(&variance, LEAST_LOCAL_DEVIATION)?;
                // Where there is less contrast than in the mean of the image it is left as it is.
                let usual = local.f_mean_dim(&[2_i64, 3][..], true, None)?;
                Ok(centred.f_div(&local.f_maximum(&usual)?)?)
            }
        }
    }
}

/// The square root of a variance, but at least `least`.
fn deviation(variance: &Tensor, least: f64) -> Result<Tensor, TorchError> {
    Ok(variance.f_clamp_min(least * least)?.f_sqrt()?)
}

/// A Gaussian window around each pixel, cut off at the edges of the image.
#[derive(Debug)]
struct Window {
    /// channels x 1 x 7 x 7, sum 1.
    weights: Tensor,
    /// 1 x 1 x side x side: how much of the window is within the image.
    inside: Tensor,
    channels: i64,
}

impl Window {
    fn new(shape: Map, device: Device) -> Result<Self, TorchError> {
        let (channels, side) = (i64::from(shape.channels), i64::from(shape.side));
        let middle = WINDOW / 2;
        let bell = |place: i64| (-((place - middle).pow(2) as f64) / (2.0 * SIGMA * SIGMA)).exp();
        let bells: Vec<f64> = (0..WINDOW).map(bell).collect();
        let sum: f64 = bells.iter().sum();
        #[expect(clippy::cast_possible_truncation, reason = "pixels are single precision")]
        let kernel: Vec<f32> = bells
            .iter()
            .flat_map(|row| bells.iter().map(move |column| (row * column / (sum * sum)) as f32))
            .collect();
        let one = Tensor::f_from_slice(&kernel)?.f_view([1, 1, WINDOW, WINDOW])?;
        let ones = Tensor::f_ones([1, 1, side, side], (Kind::Float, Device::Cpu))?;
        let inside = slide(&ones, &one, 1)?.f_to_device(device)?;
        let weights = one.f_repeat([channels, 1, 1, 1])?.f_to_device(device)?;
        Ok(Self { weights, inside, channels })
    }

    fn mean(&self, images: &Tensor) -> Result<Tensor, TorchError> {
        Ok(slide(images, &self.weights, self.channels)?.f_div(&self.inside)?)
    }
}

fn slide(images: &Tensor, weights: &Tensor, groups: i64) -> Result<Tensor, TorchError> {
    let padding = WINDOW / 2;
    Ok(images.f_conv2d(weights, None::<Tensor>, [1, 1], [padding, padding], [1, 1], groups)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Stream;

    const SHAPE: Map = Map { channels: 3, side: 9 };
    const KINDS: [Preprocess; 6] = [
        Preprocess::Scale,
        Preprocess::MeanSubtract,
        Preprocess::PerPixelStandardise,
        Preprocess::Gcn,
        Preprocess::Whiten,
        Preprocess::Lcn,
    ];

    fn images(count: i64) -> Tensor {
        let mut chance = Stream::new(1, "test", 0);
        let bytes = usize::try_from(count * 243).unwrap();
        let pixels: Vec<u8> =
            (0..bytes).map(|_| u8::try_from(chance.below(256)).unwrap()).collect();
        Tensor::from_slice(&pixels).view([count, 3, 9, 9])
    }

    fn preprocessing(kind: Preprocess) -> Preprocessing {
        let statistics = PixelStatistics { means: vec![120.0; 243], deviations: vec![70.0; 243] };
        Preprocessing::new(kind, SHAPE, &statistics, Device::Cpu).unwrap()
    }

    /// Mean and deviation over `over`, each at its worst.
    fn off(values: &Tensor, over: &[i64]) -> (f64, f64) {
        let mean = values.mean_dim(over, true, Kind::Double);
        let variance = (values - &mean).square().mean_dim(over, false, Kind::Double);
        (mean.abs().max().double_value(&[]), (variance.sqrt() - 1.0).abs().max().double_value(&[]))
    }

    #[test]
    fn contrast_is_normalised_over_what_it_says() {
        for (kind, over) in [(Preprocess::Gcn, &[1_i64, 2, 3][..]), (Preprocess::Whiten, &[2, 3])] {
            let (mean, deviation) = off(&preprocessing(kind).apply(&images(4)).unwrap(), over);
            assert!(mean < 1e-5 && deviation < 1e-5, "{kind:?}: {mean} {deviation}");
        }
        // Of a single pixel by hand: (100 - 120) / 70, 100 / 255, (100 - 120) / 255.
        let pixels = Tensor::full([1, 3, 9, 9], 100.0, (Kind::Float, Device::Cpu));
        let expected =
            [(KINDS[2], -20.0 / 70.0), (KINDS[0], 100.0 / 255.0), (KINDS[1], -20.0 / 255.0)];
        for (kind, expected) in expected {
            let found = preprocessing(kind).apply(&pixels).unwrap().double_value(&[0, 1, 2, 3]);
            assert!((found - expected).abs() < 1e-6, "{kind:?}");
        }
    }

    #[test]
    fn local_contrast_does_not_depend_on_light_or_on_the_strength_of_contrast() {
        let lcn = preprocessing(Preprocess::Lcn);
        let images = images(2).to_kind(Kind::Float);
        let once = lcn.apply(&images).unwrap();
        let darker = lcn.apply(&(&images * 0.5 + 20.0)).unwrap();
        assert!((&once - darker).abs().max().double_value(&[]) < 1e-4);
        assert!(once.abs().max().double_value(&[]) > 0.5);
        let flat = Tensor::full([1, 3, 9, 9], 77.0, (Kind::Float, Device::Cpu));
        assert!(lcn.apply(&flat).unwrap().abs().max().double_value(&[]) < 0.01);
    }

    fn value(preprocessing: &Preprocessing, pixels: &Tensor) -> Tensor {
        let weights = Tensor::arange(243, (Kind::Float, Device::Cpu)).view([1, 3, 9, 9]);
        (preprocessing.apply(pixels).unwrap() * weights).sum(Kind::Double)
    }

    #[test]
    fn it_can_be_differentiated_and_changes_nothing_in_place() {
        for kind in KINDS {
            let preprocessing = preprocessing(kind);
            let gradient = |pixels: &Tensor| {
                let leaf = pixels.detach().set_requires_grad(true);
                let value = value(&preprocessing, &leaf);
                Tensor::run_backward(&[value], &[&leaf], false, false).remove(0)
            };
            // No contrast at all.
            let flat = Tensor::full([1, 3, 9, 9], 3.0, (Kind::Float, Device::Cpu));
            assert_eq!(gradient(&flat).isfinite().all().int64_value(&[]), 1, "{kind:?}");
            let pixels = images(2).to_kind(Kind::Float);
            let before = pixels.copy();
            let gradient = gradient(&pixels);
            assert!(pixels == before, "{kind:?}");
            // Along its own direction the slope is what a small step says it is.
            let direction = &gradient / gradient.square().sum(Kind::Float).sqrt();
            let at =
                |step: f64| value(&preprocessing, &(&pixels + &direction * step)).double_value(&[]);
            let (ahead, behind) = (at(0.5), at(-0.5));
            let slope = (&gradient * &direction).sum(Kind::Double).double_value(&[]);
            let error = (ahead - behind - slope).abs() / slope.abs().max(1.0);
            assert!(error < 0.05, "{kind:?}: {} against {slope}", ahead - behind);
        }
    }
}
