//! Whether a model can be attacked at all, from what it gives for a few images. Pure.
//!
//! Attacks take a model for a function of one image. A model is none if its output depends on the
//! other images of the batch, or changes from call to call: gradients then aim at something that is
//! gone when the image is judged, and the model looks robust.

use super::destruction::Share;

/// Images whose company is changed. Each is in four calls of the model, so what happens to half of
/// the images or calls at random is missed once in 2^16 times at most.
const LED: u32 = 8;
/// Most images of which accuracy is estimated.
const SAMPLE_MAX: u32 = 200;
/// Fewest, where there are as many, however large they are.
const SAMPLE_MIN: u32 = 32;
/// Values that these images may have together: 200 of 64 x 64 pixels in colour.
const SAMPLE_VALUES: u32 = 200 * 64 * 64 * 3;

/// What is wrong with a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The same batch has another result the second time.
    #[error(
        "its outputs change from call to call for the same images (dropout, random flips, shifts or \
         noise); save it in evaluation mode and without random parts"
    )]
    Changes,
    /// The result of an image is another one in other company.
    #[error(
        "its output for an image depends on the other images of its batch (batch statistics: a \
         model traced in training mode); call eval() before it is traced or scripted"
    )]
    Company,
}

/// The calls that tell: batches of two images each, as places among `images`. Four in a row belong
/// together: an image with another one, the same with a third one, and both again.
#[must_use]
pub fn calls(images: u32) -> Vec<[u32; 2]> {
    let images = images.max(1);
    let apart = (images / 3).clamp(1, LED);
    let four = |image: u32| {
        let place = |step: u32| (image + step * apart) % images;
        let (one, other) = ([place(0), place(1)], [place(0), place(2)]);
        [one, other, one, other]
    };
    (0..LED).flat_map(four).collect()
}

/// Different images that [`calls`] need.
#[must_use]
pub fn wanted() -> u32 {
    3 * LED
}

/// Judges the rows that a model gave, two for each of [`calls`].
#[must_use]
pub fn fault<'a>(calls: usize, row: impl Fn(usize) -> &'a [f32]) -> Option<Fault> {
    let same = |(a, b): (usize, usize)| {
        let both = row(a).iter().zip(row(b));
        row(a).len() == row(b).len()
            && both
                .into_iter()
                .all(|(x, y)| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()))
    };
    let groups = || (0..calls / 4).map(|group| group * 8);
    let again = |at: usize| (0..4).all(|image| same((at + image, at + 4 + image)));
    let alone = |at: usize| same((at, at + 2));
    match () {
        () if !groups().all(again) => Some(Fault::Changes),
        () if !groups().all(alone) => Some(Fault::Company),
        () => None,
    }
}

/// Of how many images accuracy is estimated, if there are so many of so many values.
#[must_use]
pub fn sample(images: u32, values: u32) -> u32 {
    (SAMPLE_VALUES / values.max(1)).clamp(SAMPLE_MIN, SAMPLE_MAX).min(images)
}

/// Whether `other` is clearly better than `own`: their 95 % intervals do not touch.
#[must_use]
pub fn is_clearly_better(other: Share, own: Share) -> bool {
    let ends = other.wilson().zip(own.wilson());
    ends.is_some_and(|((low, _), (_, high))| low > high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a model gives for the images of all calls.
    fn given(images: u32, mut model: impl FnMut([u32; 2]) -> [f32; 2]) -> Option<Fault> {
        let calls = calls(images);
        let rows: Vec<[f32; 2]> =
            calls.iter().flat_map(|&call| model(call).map(|value| [value, 1.0])).collect();
        fault(calls.len(), |at| &rows[at])
    }

    #[test]
    fn functions_of_one_image_pass() {
        for images in [1, 2, 3, 7, 24, 1000] {
            assert_eq!(given(images, |[a, b]| [a as f32, b as f32]), None, "{images}");
        }
        // No number is no number every time.
        assert_eq!(given(24, |[a, _]| [f32::NAN, a as f32 * 0.0]), None);
    }

    #[test]
    fn company_and_chance_are_told_apart() {
        for images in [2, 3, 7, 24, 1000] {
            let mean = |[a, b]: [u32; 2]| [(a + b) as f32, a as f32];
            assert_eq!(given(images, mean), Some(Fault::Company), "{images}");
        }
        let mut chance = crate::chance::Stream::new(1, "flips", 0);
        for _ in 0..200 {
            let mut flip = |x: u32| x as f32 * if chance.below(2) == 0 { 1.0 } else { -1.0 };
            assert_eq!(given(24, |[a, b]| [flip(a + 1), flip(b + 1)]), Some(Fault::Changes));
            // All images of a call alike.
            let one = |[a, b]: [u32; 2]| {
                let sign = flip(1);
                [(a + 1) as f32 * sign, (b + 1) as f32 * sign]
            };
            assert_eq!(given(24, one), Some(Fault::Changes));
        }
        let mut calls = 0.0;
        let drifting = |[a, b]: [u32; 2]| {
            calls += 1e-7;
            [a as f32 + calls, b as f32]
        };
        assert_eq!(given(24, drifting), Some(Fault::Changes));
    }

    #[test]
    fn different_images_are_in_company() {
        let calls = calls(wanted());
        let mut images: Vec<u32> = calls.iter().flatten().copied().collect();
        images.sort_unstable();
        images.dedup();
        assert_eq!(images.len(), wanted() as usize);
        assert!(calls.chunks(4).all(|four| four[0][0] == four[1][0] && four[0][1] != four[1][1]));
        assert_eq!(
            [sample(10_000, 784), sample(10_000, 299 * 299 * 3), sample(7, 784)],
            [200, 32, 7]
        );
    }

    #[test]
    fn better_by_chance_is_not_clearly_better() {
        let share = |part, all| Share { part, all };
        assert!(is_clearly_better(share(190, 200), share(22, 200)));
        assert!(!is_clearly_better(share(30, 200), share(22, 200)));
        assert!(!is_clearly_better(share(3, 3), share(1, 3)));
        assert!(!is_clearly_better(share(0, 0), share(0, 0)));
    }
}
