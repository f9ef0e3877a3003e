//! JPEG: encoded and decoded again.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{Image, Transform};
use crate::chance::Stream;

/// Baseline JPEG of a quality. An image of one channel is grey, one of three is RGB; of any other
/// number each channel is an image of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jpeg {
    quality: u8,
    subsampling: Subsampling,
}

/// Resolution of colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subsampling {
    /// That of brightness (4:4:4).
    None,
    /// Half of it in both directions (4:2:0).
    Half,
}

impl Jpeg {
    /// JPEG of a quality from 1 to 100.
    #[must_use]
    pub fn new(quality: f64, subsampling: Subsampling) -> Option<Self> {
        let quality = (1..=100_u8).find(|&whole| f64::from(whole) == quality)?;
        Some(Self { quality, subsampling })
    }
}

impl Transform for Jpeg {
    fn name(&self) -> &'static str {
        match self.subsampling {
            Subsampling::None => "jpeg",
            Subsampling::Half => "jpeg-420",
        }
    }

    fn parameter(&self) -> f64 {
        self.quality.into()
    }

    fn definition(&self) -> String {
        let colour = match self.subsampling {
            Subsampling::None => "4:4:4",
            Subsampling::Half => "4:2:0",
        };
        format!(
            "baseline JPEG, parameter = quality, {colour}, encoded by jpeg-encoder 0.7, decoded by zune-jpeg 0.5"
        )
    }

    fn apply(&self, image: Image<'_>, _: &mut Stream) -> Vec<u8> {
        let plane = image.side * image.side;
        if image.channels != 3 {
            let planes = image.values.chunks(plane.max(1));
            return planes.flat_map(|grey| self.through(grey, image.side, 1)).collect();
        }
        let value = |at: usize| image.values[at % 3 * plane + at / 3];
        let mixed: Vec<u8> = (0..3 * plane).map(value).collect();
        let mixed = self.through(&mixed, image.side, 3);
        (0..3 * plane).map(|at| mixed[at % plane * 3 + at / plane]).collect()
    }
}

impl Jpeg {
    /// Pixel after pixel of 1 or 3 values, encoded and decoded. What cannot be encoded (a side that
    /// JPEG does not have) stays as it is: images of data sets are far smaller.
    fn through(self, pixels: &[u8], side: usize, channels: u8) -> Vec<u8> {
        self.try_through(pixels, side, channels)
            .filter(|decoded| decoded.len() == pixels.len())
            .unwrap_or_else(|| pixels.to_vec())
    }

    fn try_through(self, pixels: &[u8], side: usize, channels: u8) -> Option<Vec<u8>> {
        let side = u16::try_from(side).ok()?;
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, self.quality);
        encoder.set_sampling_factor(match self.subsampling {
            Subsampling::None => SamplingFactor::F_1_1,
            Subsampling::Half => SamplingFactor::F_2_2,
        });
        let (colour, space) = match channels {
            1 => (ColorType::Luma, ColorSpace::Luma),
            _ => (ColorType::Rgb, ColorSpace::RGB),
        };
        encoder.encode(pixels, side, side, colour).ok()?;
        let options = DecoderOptions::new_safe().jpeg_set_out_colorspace(space);
        JpegDecoder::new_with_options(ZCursor::new(bytes), options).decode().ok()
    }
}
