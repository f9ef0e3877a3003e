//! A simulated camera: a stand-in for an image that is printed and photographed. It is a
//! simulation; no print and no photograph is involved.

use super::blur::blurred;
use super::{Image, Jpeg, Subsampling, Transform, byte, noise, single};
use crate::chance::Stream;

/// A simulated photograph. At strength 1 the deviations are those of a careful snapshot, at 0 there
/// are none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera(pub f64);

/// What a shot is like.
struct Shot {
    /// Where the corners of the picture are taken from, relative to its side.
    corners: [(f64, f64); 4],
    /// Deviation of the blur, in pixels.
    blur: f64,
    /// Loss of light in the corners.
    vignetting: f64,
    /// Deviation of the noise.
    noise: f64,
    gamma: f64,
    quality: f64,
}

/// Corners of the unit square.
const SQUARE: [(f64, f64); 4] = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];

impl Transform for Camera {
    fn name(&self) -> &'static str {
        "camera"
    }

    fn parameter(&self) -> f64 {
        self.0
    }

    fn definition(&self) -> String {
        "simulation of a photograph, parameter = strength s, drawn per image: corners moved by up to 0.04 s of the side (bilinear), \
         Gaussian blur of 0.2 to 0.6 s pixels per 32 of the side, light 1 - (0.05 to 0.25) s r^2, noise of 1 to 4 s, \
         gamma exp(-0.15 s to 0.15 s), JPEG 4:2:0 of quality 95 - (0 to 20) s"
            .to_owned()
    }

    fn is_random(&self) -> bool {
        true
    }

    fn apply(&self, image: Image<'_>, chance: &mut Stream) -> Vec<u8> {
        if self.0 <= 0.0 {
            return image.values.to_vec();
        }
        let shot = self.shot(image.side, chance);
        let mut values = Vec::with_capacity(image.values.len());
        let map = homography(shot.corners);
        for plane in image.values.chunks(image.side * image.side) {
            values.extend(seen(plane, image.side, &map));
        }
        let mut values = blurred(values, image.side, shot.blur);
        darken(&mut values, image.side, shot.vignetting);
        noise::add(&mut values, shot.noise, chance);
        let developed: Vec<u8> = values.into_iter().map(|v| byte(bent(v, shot.gamma))).collect();
        match Jpeg::new(shot.quality, Subsampling::Half) {
            Some(jpeg) => jpeg.apply(Image { values: &developed, ..image }, chance),
            None => developed,
        }
    }
}

impl Camera {
    fn shot(self, side: usize, chance: &mut Stream) -> Shot {
        let s = self.0;
        let mut between = |least: f64, most: f64| least + (most - least) * chance.unit();
        let mut corner =
            |(x, y): (f64, f64)| (x + s * between(-0.04, 0.04), y + s * between(-0.04, 0.04));
        Shot {
            corners: SQUARE.map(&mut corner),
            blur: s * between(0.2, 0.6) * side as f64 / 32.0,
            vignetting: s * between(0.05, 0.25),
            noise: s * between(1.0, 4.0),
            gamma: libm::exp(s * between(-0.15, 0.15)),
            quality: (95.0 - s * between(0.0, 20.0)).round_ties_even().max(5.0),
        }
    }
}

/// The projection that takes the corners of the unit square to `corners`: with (x, y) it gives
/// ((a x + b y + c) / (g x + h y + 1), (d x + e y + f) / (g x + h y + 1)). Heckbert 1989, section
/// 2.2.3.
fn homography(corners: [(f64, f64); 4]) -> [f64; 8] {
    let [(x0, y0), (x1, y1), (x2, y2), (x3, y3)] = corners;
    let (dx1, dx2, sx) = (x1 - x2, x3 - x2, x0 - x1 + x2 - x3);
    let (dy1, dy2, sy) = (y1 - y2, y3 - y2, y0 - y1 + y2 - y3);
    let area = dx1 * dy2 - dx2 * dy1;
    let g = (sx * dy2 - dx2 * sy) / area;
    let h = (dx1 * sy - sx * dy1) / area;
    [x1 - x0 + g * x1, x3 - x0 + h * x3, x0, y1 - y0 + g * y1, y3 - y0 + h * y3, y0, g, h]
}

/// One channel as it is seen through `map`. Beyond its border an image goes on as at the border.
fn seen(plane: &[u8], side: usize, map: &[f64; 8]) -> Vec<f32> {
    let [a, b, c, d, e, f, g, h] = *map;
    let last = side.saturating_sub(1) as f64;
    let value = |x: usize, y: usize| f64::from(plane[y * side + x]);
    let pixel = |at: usize| {
        let (x, y) = ((at % side) as f64 + 0.5, (at / side) as f64 + 0.5);
        let (x, y) = (x / side as f64, y / side as f64);
        let depth = g * x + h * y + 1.0;
        let (x, y) = ((a * x + b * y + c) / depth, (d * x + e * y + f) / depth);
        let place = |share: f64| (share * side as f64 - 0.5).clamp(0.0, last);
        let (x, y) = (place(x), place(y));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clipped")]
        let (left, top) = (x.floor() as usize, y.floor() as usize);
        let (right, bottom) = ((left + 1).min(side - 1), (top + 1).min(side - 1));
        let (dx, dy) = (x - left as f64, y - top as f64);
        let upper = value(left, top) * (1.0 - dx) + value(right, top) * dx;
        let lower = value(left, bottom) * (1.0 - dx) + value(right, bottom) * dx;
        single(upper * (1.0 - dy) + lower * dy)
    };
    (0..plane.len()).map(pixel).collect()
}

/// Less light towards the corners: 1 - loss r², r = 1 in the corners.
fn darken(values: &mut [f32], side: usize, loss: f64) {
    let middle = (side as f64 - 1.0) / 2.0;
    let corner = (2.0 * middle * middle).max(1.0);
    for (at, value) in values.iter_mut().enumerate() {
        let (x, y) = ((at % side) as f64 - middle, (at / side % side) as f64 - middle);
        *value *= single(1.0 - loss * (x * x + y * y) / corner);
    }
}

/// 255 (v / 255)^gamma.
fn bent(value: f32, gamma: f64) -> f32 {
    let share = f64::from(value.clamp(0.0, 255.0)) / 255.0;
    single(255.0 * libm::pow(share, gamma))
}
