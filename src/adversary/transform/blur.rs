//! Gaussian blur.

use super::{Image, Transform, byte, single};
use crate::chance::Stream;

/// Gaussian blur of this standard deviation, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blur(pub f64);

impl Transform for Blur {
    fn name(&self) -> &'static str {
        "blur"
    }

    fn parameter(&self) -> f64 {
        self.0
    }

    fn definition(&self) -> String {
        "Gaussian, parameter = sigma in pixels, separable, radius ceil(3 sigma), weights summing to 1, border mirrored without repeating it"
            .to_owned()
    }

    fn apply(&self, image: Image<'_>, _: &mut Stream) -> Vec<u8> {
        let values: Vec<f32> = image.values.iter().map(|&value| value.into()).collect();
        blurred(values, image.side, self.0).into_iter().map(byte).collect()
    }
}

/// Images of `side` squared values each, blurred along rows, then along columns.
pub(super) fn blurred(values: Vec<f32>, side: usize, sigma: f64) -> Vec<f32> {
    if sigma <= 0.0 || side == 0 {
        return values;
    }
    let kernel = kernel(sigma);
    let rows = along(&values, side, 1, &kernel);
    along(&rows, side, side, &kernel)
}

/// Weights from the centre outwards.
fn kernel(sigma: f64) -> Vec<f32> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 300")]
    let radius = (3.0 * sigma).ceil() as usize;
    let weight = |distance: usize| {
        let distance = distance as f64 / sigma;
        libm::exp(-0.5 * distance * distance)
    };
    let weights: Vec<f64> = (0..=radius).map(weight).collect();
    let sum = weights[0] + 2.0 * weights.iter().skip(1).sum::<f64>();
    weights.into_iter().map(|weight| single(weight / sum)).collect()
}

/// Convolution along lines whose neighbours are `stride` apart: 1 for rows, `side` for columns.
fn along(values: &[f32], side: usize, stride: usize, kernel: &[f32]) -> Vec<f32> {
    let mut blurred = Vec::with_capacity(values.len());
    for at in 0..values.len() {
        let place = at / stride % side;
        let line = at - place * stride;
        let mut sum = 0.0;
        for (distance, &weight) in kernel.iter().enumerate() {
            let value = |place: usize| values[line + place * stride];
            sum += match distance {
                0 => weight * value(place),
                _ => {
                    let before = mirrored(place, distance, side, true);
                    let after = mirrored(place, distance, side, false);
                    weight * (value(before) + value(after))
                }
            };
        }
        blurred.push(sum);
    }
    blurred
}

/// The place `distance` before (or after) `place` on a line of `side`, mirrored at its ends.
fn mirrored(place: usize, distance: usize, side: usize, before: bool) -> usize {
    let period = 2 * (side - 1);
    if period == 0 {
        return 0;
    }
    let far = distance % period;
    let place = if before { place + period - far } else { place + far } % period;
    if place < side { place } else { period - place }
}
