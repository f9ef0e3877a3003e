//! Gaussian noise.

use super::{Image, Transform, byte, single};
use crate::chance::Stream;

/// Gaussian noise of this standard deviation, of 255, for each value by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise(pub f64);

impl Transform for Noise {
    fn name(&self) -> &'static str {
        "noise"
    }

    fn parameter(&self) -> f64 {
        self.0
    }

    fn definition(&self) -> String {
        "X + parameter N(0, 1), Box and Muller from the stream of the image".to_owned()
    }

    fn is_random(&self) -> bool {
        true
    }

    fn apply(&self, image: Image<'_>, chance: &mut Stream) -> Vec<u8> {
        let mut values: Vec<f32> = image.values.iter().map(|&value| value.into()).collect();
        add(&mut values, self.0, chance);
        values.into_iter().map(byte).collect()
    }
}

/// Adds noise of deviation `sigma` to each value.
pub(super) fn add(values: &mut [f32], sigma: f64, chance: &mut Stream) {
    for pair in values.chunks_mut(2) {
        // 1 - u is above 0: its logarithm is finite.
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - chance.unit()));
        let angle = 2.0 * std::f64::consts::PI * chance.unit();
        let normals = [radius * libm::cos(angle), radius * libm::sin(angle)];
        for (value, normal) in pair.iter_mut().zip(normals) {
            *value += single(sigma * normal);
        }
    }
}
