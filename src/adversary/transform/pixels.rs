//! What happens to each value by itself.

use super::{Image, Transform, byte, single};
use crate::chance::Stream;

/// Nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Identity;

/// Adds this to every value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Brightness(pub f64);

/// Multiplies the distance of every value from 128 by this.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contrast(pub f64);

impl Transform for Identity {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn parameter(&self) -> f64 {
        0.0
    }

    fn definition(&self) -> String {
        "X".to_owned()
    }

    fn apply(&self, image: Image<'_>, _: &mut Stream) -> Vec<u8> {
        image.values.to_vec()
    }
}

impl Transform for Brightness {
    fn name(&self) -> &'static str {
        "brightness"
    }

    fn parameter(&self) -> f64 {
        self.0
    }

    fn definition(&self) -> String {
        "X + parameter".to_owned()
    }

    fn apply(&self, image: Image<'_>, _: &mut Stream) -> Vec<u8> {
        let by = single(self.0);
        image.values.iter().map(|&value| byte(f32::from(value) + by)).collect()
    }
}

impl Transform for Contrast {
    fn name(&self) -> &'static str {
        "contrast"
    }

    fn parameter(&self) -> f64 {
        self.0
    }

    fn definition(&self) -> String {
        "128 + parameter (X - 128)".to_owned()
    }

    fn apply(&self, image: Image<'_>, _: &mut Stream) -> Vec<u8> {
        let factor = single(self.0);
        let value = |&value: &u8| byte(128.0 + factor * (f32::from(value) - 128.0));
        image.values.iter().map(value).collect()
    }
}
