//! What happens to an image on its way to a model: brightness, contrast, blur, noise, JPEG, and a
//! simulated camera (Kurakin et al. 2017, section 4).
//!
//! A transformation is one small type: a name, a parameter, a definition, and what it does to an
//! image. [`FAMILIES`] lists them with the parameters that are looked at; a new one is a new type
//! and a line there. The paper gives neither operators nor parameters in its text, so both are our
//! own, and recorded.
//!
//! All of them take 8-bit images and give 8-bit images: in between they compute in single
//! precision on 0..255, round half to even and clip. What is random comes from a stream that is
//! addressed by the image, the transformation and the repetition, so that every model sees the same.

mod blur;
mod camera;
mod jpeg;
mod noise;
mod pixels;

pub use blur::Blur;
pub use camera::Camera;
pub use jpeg::{Jpeg, Subsampling};
pub use noise::Noise;
pub use pixels::{Brightness, Contrast, Identity};

use crate::chance::Stream;

/// An image: channel after channel, row after row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image<'a> {
    /// channels x side x side values.
    pub values: &'a [u8],
    /// Colour channels.
    pub channels: usize,
    /// Side in pixels.
    pub side: usize,
}

/// Something that happens to an image.
pub trait Transform: std::fmt::Debug + Send + Sync {
    /// What it is called.
    fn name(&self) -> &'static str;

    /// How much of it.
    fn parameter(&self) -> f64;

    /// What it does, as a formula or in words.
    fn definition(&self) -> String;

    /// Whether two times give two images.
    fn is_random(&self) -> bool {
        false
    }

    /// The image afterwards.
    fn apply(&self, image: Image<'_>, chance: &mut Stream) -> Vec<u8>;
}

/// Makes a transformation of a parameter; `None` if it cannot have that one.
type Make = fn(f64) -> Option<Box<dyn Transform>>;

/// Transformations that differ in their parameter.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// What they are called.
    pub name: &'static str,
    /// The parameter that changes nothing, if there is one.
    pub identity: Option<f64>,
    /// The parameters that are looked at unless told otherwise, without the identity.
    pub grid: &'static [f64],
    /// Times each is done to each image unless told otherwise.
    pub repeats: u16,
    /// Parameters that it can have, for people.
    pub range: &'static str,
    make: Make,
}

/// All of them, but the identity itself.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "brightness",
        identity: Some(0.0),
        grid: &[-64.0, -32.0, -16.0, -8.0, 8.0, 16.0, 32.0, 64.0],
        repeats: 1,
        range: "-255 to 255",
        make: |by| within(by, -255.0, 255.0).then(|| Box::new(Brightness(by)) as _),
    },
    Family {
        name: "contrast",
        identity: Some(1.0),
        grid: &[0.5, 0.6, 0.8, 1.25, 1.5, 2.0],
        repeats: 1,
        range: "0 to 100",
        make: |factor| within(factor, 0.0, 100.0).then(|| Box::new(Contrast(factor)) as _),
    },
    Family {
        name: "blur",
        identity: Some(0.0),
        grid: &[0.25, 0.5, 0.75, 1.0, 1.5, 2.0],
        repeats: 1,
        range: "0 to 100",
        make: |sigma| within(sigma, 0.0, 100.0).then(|| Box::new(Blur(sigma)) as _),
    },
    Family {
        name: "noise",
        identity: Some(0.0),
        grid: &[2.0, 4.0, 8.0, 16.0, 32.0],
        repeats: 3,
        range: "0 to 255",
        make: |sigma| within(sigma, 0.0, 255.0).then(|| Box::new(Noise(sigma)) as _),
    },
    Family {
        name: "jpeg",
        identity: None,
        grid: &[100.0, 90.0, 75.0, 50.0, 25.0, 10.0],
        repeats: 1,
        range: "a whole number from 1 to 100",
        make: |quality| Jpeg::new(quality, Subsampling::None).map(|jpeg| Box::new(jpeg) as _),
    },
    Family {
        name: "jpeg-420",
        identity: None,
        grid: &[100.0, 90.0, 75.0, 50.0, 25.0, 10.0],
        repeats: 1,
        range: "a whole number from 1 to 100",
        make: |quality| Jpeg::new(quality, Subsampling::Half).map(|jpeg| Box::new(jpeg) as _),
    },
    Family {
        name: "camera",
        identity: Some(0.0),
        grid: &[0.5, 1.0, 2.0],
        repeats: 1,
        range: "0 to 10",
        make: |strength| within(strength, 0.0, 10.0).then(|| Box::new(Camera(strength)) as _),
    },
];

fn within(value: f64, least: f64, most: f64) -> bool {
    (least..=most).contains(&value)
}

impl Family {
    /// The family of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| family.name == name)
    }

    /// The transformation of this parameter.
    #[must_use]
    pub fn with(&self, parameter: f64) -> Option<Box<dyn Transform>> {
        (self.make)(parameter)
    }
}

/// A transformation as it was recorded, by name and parameter.
#[must_use]
pub fn named(name: &str, parameter: f64) -> Option<Box<dyn Transform>> {
    match name {
        "identity" => Some(Box::new(Identity)),
        _ => Family::named(name)?.with(parameter),
    }
}

/// Its definition as TOML, always in the same order and spelling.
#[must_use]
pub fn text(transform: &dyn Transform) -> String {
    let (name, parameter) = (transform.name(), transform.parameter());
    let definition = transform.definition();
    let rounding = match transform.name() {
        "identity" => "",
        _ => "arithmetic = \"f32 on 0 to 255, half to even, clipped\"\n",
    };
    format!(
        "name = \"{name}\"\nparameter = {parameter:?}\ndefinition = \"{definition}\"\n{rounding}"
    )
}

/// The stream of a transformation of one image (its index in the test part), one repetition.
#[must_use]
pub fn chance(seed: u64, transform: &dyn Transform, repeat: u16, image: u32) -> Stream {
    let (name, parameter) = (transform.name(), transform.parameter());
    Stream::new(seed, &format!("transform {name} {parameter:?} {repeat}"), image.into())
}

/// A value of 0 to 255 as a byte: half to even, clipped. What is no number becomes 0.
fn byte(value: f32) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clipped")]
    return value.round_ties_even().clamp(0.0, 255.0) as u8;
}

/// A parameter in the precision that images are computed in.
fn single(value: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "images are single precision")]
    return value as f32;
}

#[cfg(test)]
mod tests;
