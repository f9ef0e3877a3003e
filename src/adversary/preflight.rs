//! Whether a model can be attacked at all, from what it gives for a few images. Pure.
//!
//! Attacks take a model for a function of one image. A model is none if its output depends on the
//! other images of the batch, or changes from call to call: gradients then aim at something that is
//! gone when the image is judged, and the model looks robust.

use std::collections::BTreeMap;

use super::destruction::Share;
use super::range::InputRange;

/// Size of the large batch in which models are tried if micro-batches are smaller.
pub const LARGE: u32 = 32;
/// Most that a score may differ between batches of two sizes, as a fraction of the spread of the
/// image's scores. For another size a library takes another kernel, which sums in another order:
/// about 2^-20 of the spread in single precision. Where a GPU rounds products to 10 bits (TF32), or
/// everything is bfloat16, a hundred layers make it 2 %. Batch statistics need no tolerance: for them
/// batches of one size are compared, whose kernels are the same.
const SIZE_TOLERANCE: f32 = 0.05;
/// What counts as no difference however close together the scores are, as a fraction of the largest.
const ROUNDING: f32 = 1e-5;
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
    /// The result of an image is another one in other company, in batches of this size.
    #[error(
        "its output for an image depends on the other images of its batch (batch statistics: a \
         model traced in training mode), in batches of {0}; call eval() before it is traced or \
         scripted"
    )]
    Company(u32),
    /// The result of an image is another one in batches of this size than in batches of two.
    #[error(
        "its output for an image depends on the size of the batch: in batches of {0} it is another \
         one than in batches of 2; save it without parts that look at the size of the batch"
    )]
    Size(u32),
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

/// Where the rows of places are that [`calls`] gave, by place: the first one of each.
#[must_use]
pub fn rows_of(calls: &[[u32; 2]]) -> BTreeMap<u32, usize> {
    let rows = calls.as_flattened().iter().enumerate();
    // Of equal keys the last one stays.
    rows.map(|(row, &place)| (place, row)).rev().collect()
}

/// Judges the rows that a model gave, two for each of [`calls`].
#[must_use]
pub fn fault<'a>(calls: usize, row: impl Fn(usize) -> &'a [f32]) -> Option<Fault> {
    let same = |(a, b): (usize, usize)| is_same(row(a), row(b));
    let groups = || (0..calls / 4).map(|group| group * 8);
    let again = |at: usize| (0..4).all(|image| same((at + image, at + 4 + image)));
    let alone = |at: usize| same((at, at + 2));
    match () {
        () if !groups().all(again) => Some(Fault::Changes),
        () if !groups().all(alone) => Some(Fault::Company(2)),
        () => None,
    }
}

/// Whether two rows are the same bit for bit; NaN is equal to NaN.
fn is_same(one: &[f32], other: &[f32]) -> bool {
    let same = |(x, y): (&f32, &f32)| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan());
    one.len() == other.len() && one.iter().zip(other).all(same)
}

/// Whether rows of one image differ by no more than kernels for batches of two sizes do.
fn is_near(one: &[f32], other: &[f32]) -> bool {
    let finite = || one.iter().copied().filter(|x| x.is_finite());
    let (low, high) = (finite().fold(f32::MAX, f32::min), finite().fold(f32::MIN, f32::max));
    let largest = low.abs().max(high.abs());
    let most = SIZE_TOLERANCE * (high - low).max(0.0) + ROUNDING * largest;
    let near = |(x, y): (&f32, &f32)| {
        x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()) || (x - y).abs() <= most
    };
    one.len() == other.len() && one.iter().zip(other).all(near)
}

/// The sizes of batches, besides 2, in which a model is tried: those of an attack on so many images in
/// micro-batches of `batch`, the rest that its last micro-batch is, and a large one if these are small.
#[must_use]
pub fn sizes(batch: u32, images: u32) -> Vec<u32> {
    let batch = batch.clamp(1, images.max(1));
    let large = batch.max(LARGE);
    let mut sizes = vec![large, batch, images % batch];
    sizes.retain(|&size| size != 0 && size != 2);
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Three batches of `size`, as places among `images`, one after the other: images, the same but for
/// every second one, and the first batch again.
#[must_use]
pub fn batches(images: u32, size: u32) -> Vec<u32> {
    let images = images.max(1);
    let own = || (0..size).map(|at| at % images);
    let other = |at: u32| match at % 2 {
        0 => at % images,
        // Where there are no others, all of them are the first one.
        _ => Some(size.saturating_add(at)).filter(|&place| place < images).unwrap_or(0),
    };
    own().chain((0..size).map(other)).chain(own()).collect()
}

/// Judges the rows that a model gave for [`batches`]. `paired` gives the row of a place in a batch of
/// two, where that is known.
#[must_use]
pub fn fault_of_batches<'a>(
    images: u32,
    size: u32,
    row: impl Fn(usize) -> &'a [f32],
    paired: impl Fn(u32) -> Option<&'a [f32]>,
) -> Option<Fault> {
    let count = size as usize;
    let changes = (0..count).any(|at| !is_same(row(at), row(2 * count + at)));
    let company = (0..count).step_by(2).any(|at| !is_same(row(at), row(count + at)));
    let differs = (0..size).zip(0..).any(|(place, at)| {
        paired(place % images.max(1)).is_some_and(|paired| !is_near(paired, row(at)))
    });
    match () {
        () if changes => Some(Fault::Changes),
        () if company => Some(Fault::Company(size)),
        () if differs => Some(Fault::Size(size)),
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

/// Whether any input range could be clearly better than `own`: whether one that makes all images right
/// would be.
#[must_use]
pub fn can_be_better(own: Share) -> bool {
    is_clearly_better(Share { part: own.all, ..own }, own)
}

/// What is to be said of input ranges with which a model is clearly more accurate than with its own;
/// `given` if a person chose that. All that are about as good as the best one are named.
#[must_use]
pub fn better_ranges(
    own: &InputRange,
    share: Share,
    others: Vec<(InputRange, Share)>,
    given: bool,
) -> Option<String> {
    let mut better: Vec<_> =
        others.into_iter().filter(|(_, other)| is_clearly_better(*other, share)).collect();
    better.sort_by_key(|(_, other)| std::cmp::Reverse(other.part));
    let best = better.first()?.1;
    better.retain(|(_, other)| !is_clearly_better(best, *other));
    let percent = |share: Share| format!("{:.0} %", 100.0 * share.rate().unwrap_or_default());
    let each: Vec<String> =
        better.iter().map(|(range, share)| format!("{} with {range}", percent(*share))).collect();
    let advice = match (&better[..], given) {
        ([(range, _)], false) => {
            format!("if the model expects {range}, add --input-range {range}")
        }
        ([(range, _)], true) => {
            format!("if the model expects {range}, change --input-range to {range}")
        }
        _ => "these fit about equally well; give --input-range the one that the model expects"
            .to_owned(),
    };
    Some(format!(
        "correct on {} of {} images with values {own}, on {}; {advice}",
        percent(share),
        share.all,
        each.join(", on ")
    ))
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
            assert_eq!(given(images, mean), Some(Fault::Company(2)), "{images}");
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

    /// What a model of whole batches gives in batches of `size`.
    fn in_batches(images: u32, size: u32, model: impl Fn(&[u32]) -> Vec<f32>) -> Option<Fault> {
        let rows = |places: &[u32]| -> Vec<[f32; 2]> {
            model(places).into_iter().map(|score| [score, 0.0]).collect()
        };
        let large: Vec<[f32; 2]> =
            batches(images, size).chunks(size as usize).flat_map(rows).collect();
        let places: Vec<u32> = (0..images.min(LARGE)).collect();
        let pairs: Vec<[f32; 2]> = places.chunks(2).flat_map(rows).collect();
        let paired = |place: u32| pairs.get(place as usize).map(|row| &row[..]);
        fault_of_batches(images, size, |at| &large[at], paired)
    }

    #[test]
    fn larger_batches_are_tried_too() {
        let plain = |batch: &[u32]| -> Vec<f32> { batch.iter().map(|&x| x as f32).collect() };
        for (images, size) in [(2, 32), (3, 12), (16, 32), (24, 100), (500, 7), (500, 1)] {
            assert_eq!(in_batches(images, size, plain), None, "{images}, {size}");
            // Another order of summing.
            let rounded = |batch: &[u32]| -> Vec<f32> {
                let by = 1.0 + 1e-6 * batch.len() as f32;
                batch.iter().map(|&x| x as f32 * by).collect()
            };
            assert_eq!(in_batches(images, size, rounded), None, "{images}, {size}");
            let scaled = |batch: &[u32]| -> Vec<f32> {
                let by = if batch.len() == 2 { 1.0 } else { 1.5 };
                batch.iter().map(|&x| (x + 1) as f32 * by).collect()
            };
            assert_eq!(in_batches(images, size, scaled), Some(Fault::Size(size)), "{images}");
            // A statistic, however weak, where there are more than two.
            let mean = |batch: &[u32]| -> Vec<f32> {
                let sum: u32 = batch.iter().sum();
                let by = if batch.len() > 2 { 1e-5 * sum as f32 / batch.len() as f32 } else { 0.0 };
                batch.iter().map(|&x| x as f32 + by).collect()
            };
            let expected = (size > 1).then_some(Fault::Company(size));
            assert_eq!(in_batches(images, size, mean), expected, "{images}, {size}");
        }
        let calls = std::cell::Cell::new(0.0);
        let chance = |batch: &[u32]| -> Vec<f32> {
            calls.set(calls.get() + if batch.len() > 2 { 1e-4 } else { 0.0 });
            batch.iter().map(|&x| x as f32 + calls.get()).collect()
        };
        assert_eq!(in_batches(500, 32, chance), Some(Fault::Changes));
        let broken =
            |batch: &[u32]| vec![if batch.len() > 2 { f32::NAN } else { 0.0 }; batch.len()];
        assert_eq!(in_batches(500, 32, broken), Some(Fault::Size(32)));
    }

    #[test]
    fn the_sizes_are_those_of_the_attack_and_a_large_one() {
        assert_eq!(sizes(100, 500), [100]);
        assert_eq!(sizes(48, 100), [4, 48]);
        assert_eq!(sizes(100, 40), [40]);
        assert_eq!(sizes(24, 100), [4, 24, 32]);
        assert_eq!(sizes(8, 100), [4, 8, 32]);
        assert_eq!(sizes(2, 9), [1, 32]);
        assert_eq!(sizes(1, 9), [1, 32]);
        assert_eq!(sizes(0, 0), [1, 32]);
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
        // Of 32 images 24 right may be beaten by 32, and 27 not.
        assert!(can_be_better(share(24, 32)) && !can_be_better(share(27, 32)));
        assert!(!can_be_better(share(0, 0)) && can_be_better(share(0, 32)));
    }

    #[test]
    fn rows_of_calls_are_found_by_place() {
        let calls = calls(wanted());
        let rows = rows_of(&calls);
        assert!(rows.keys().copied().eq(0..wanted()));
        assert!(rows.iter().all(|(place, &row)| calls.as_flattened()[row] == *place));
        assert_eq!(rows[&0], 0);
    }

    #[test]
    fn ranges_that_fit_about_equally_well_are_all_named() {
        let share = |part| Share { part, all: 200 };
        let centred: InputRange = "0.5/0.5".parse().unwrap();
        let said = |own: &InputRange, part, others: &[(&InputRange, u32)], given| {
            let others = others.iter().map(|(range, part)| ((*range).clone(), share(*part)));
            better_ranges(own, share(part), others.collect(), given)
        };
        let (bytes, unit) = (&InputRange::Bytes, &InputRange::Unit);
        assert_eq!(said(bytes, 190, &[(unit, 192), (&centred, 20)], false), None);
        let one = said(bytes, 120, &[(unit, 200), (&centred, 150)], false).unwrap();
        assert_eq!(
            one,
            "correct on 60 % of 200 images with values 0..255, on 100 % with 0..1; if the model \
             expects 0..1, add --input-range 0..1"
        );
        let given = said(unit, 20, &[(bytes, 190), (&centred, 22)], true).unwrap();
        assert!(given.contains("with values 0..1, on 95 % with 0..255;"), "{given}");
        assert!(given.ends_with("change --input-range to 0..255"), "{given}");
        let two = said(bytes, 20, &[(unit, 190), (&centred, 192)], false).unwrap();
        assert!(two.contains("on 96 % with 0.5/0.5, on 95 % with 0..1; these fit"), "{two}");
    }
}
