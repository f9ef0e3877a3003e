//! Images of another size: the largest centred square is cut out, and resampled by area.
//!
//! A pixel of the result is the mean over the area it covers, parts of pixels counting by their
//! share (a box filter): smaller images are averages, larger ones repeat pixels and blend where the
//! grids do not meet. It is done in whole numbers, rounded half up, so that every program on every
//! machine gets the same bytes. Where an odd number of pixels is cut off, one more goes at the end.

use super::assemble::Raw;

/// Appends `image` with `side` rows and columns to `out`, channel after channel.
pub(super) fn resample(image: &Raw<'_>, side: u32, out: &mut Vec<u8>) {
    let (width, height) = (image.width as usize, image.height as usize);
    let cut = width.min(height);
    let (left, top) = ((width - cut) / 2, (height - cut) / 2);
    let covered: Vec<Vec<(usize, u64)>> = (0..side).map(|at| cover(at, cut, side)).collect();
    let area = (cut as u64).pow(2);
    for channel in image.pixels.chunks_exact((width * height).max(1)) {
        for rows in &covered {
            for columns in &covered {
                let mut sum = 0;
                for &(row, high) in rows {
                    let start = (top + row) * width + left;
                    for &(column, wide) in columns {
                        sum += high * wide * u64::from(channel[start + column]);
                    }
                }
                // A mean of bytes is a byte.
                out.push(u8::try_from((sum + area / 2) / area).unwrap_or(u8::MAX));
            }
        }
    }
}

/// Which of `cut` pixels lie under pixel `at` of `side`, and how much of each, in units of
/// 1 / `side` of a pixel.
fn cover(at: u32, cut: usize, side: u32) -> Vec<(usize, u64)> {
    let (at, cut, side) = (u64::from(at), cut as u64, u64::from(side));
    let (start, end) = (at * cut, (at + 1) * cut);
    let share = |pixel: u64| end.min((pixel + 1) * side) - start.max(pixel * side);
    let pixels = start / side..end.div_ceil(side);
    pixels.map(|pixel| (usize::try_from(pixel).unwrap_or(usize::MAX), share(pixel))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resized(width: u32, height: u32, pixels: &[u8], side: u32) -> Vec<u8> {
        let mut out = Vec::new();
        resample(&Raw { channels: 1, width, height, pixels }, side, &mut out);
        out
    }

    #[test]
    fn areas_are_averaged_and_rounded_half_up() {
        assert_eq!(resized(2, 2, &[0, 10, 20, 31], 1), [15], "61 / 4 is 15.25");
        assert_eq!(resized(2, 2, &[1, 2, 1, 2], 1), [2], "1.5 is rounded up");
        assert_eq!(resized(2, 2, &[1, 2, 3, 4], 2), [1, 2, 3, 4]);
        assert_eq!(resized(1, 1, &[7], 3), [7; 9]);
        // Each of two pixels covers one and a half: 0, (0 + 90) / 2 a half each, 90.
        assert_eq!(resized(2, 2, &[0, 90, 0, 90], 3), [0, 45, 90, 0, 45, 90, 0, 45, 90]);
        // Three to two: (2 * 0 + 30) / 3, (30 + 2 * 60) / 3.
        assert_eq!(resized(3, 3, &[0, 30, 60, 0, 30, 60, 0, 30, 60], 2), [10, 50, 10, 50]);
    }

    #[test]
    fn the_middle_is_cut_out() {
        assert_eq!(resized(4, 1, &[1, 2, 3, 4], 1), [2], "one pixel left of it, two right of it");
        assert_eq!(resized(1, 3, &[1, 2, 3], 1), [2]);
        let wide = [9, 1, 2, 9, 9, 3, 4, 9];
        assert_eq!(resized(4, 2, &wide, 2), [1, 2, 3, 4]);
    }

    #[test]
    fn channels_stay_apart() {
        let mut out = Vec::new();
        let pixels = [10, 10, 10, 10, 200, 200, 200, 200];
        resample(&Raw { channels: 2, width: 2, height: 2, pixels: &pixels }, 1, &mut out);
        assert_eq!(out, [10, 200]);
    }
}
