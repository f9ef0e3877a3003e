//! SQL functions over packed numbers of images: the arithmetic of [`crate::adversary`] for tables.
//!
//! A micro-batch is a row; `gather_…` lay the rows of one judgement end to end, so that a number
//! stands at its image's place in the pool. What was not judged yet, or was dropped, is
//! [`UNSEEN`]. `super::counted` counts images of samples, whose masks `sampled` draws.

use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, Result};

use super::counted::numbers;
use crate::adversary::comparison::mcnemar;
use crate::adversary::destruction::{Share, UNSEEN, accuracy};
use crate::adversary::outcomes::plane;
use crate::adversary::sampling::{order, sample};
use crate::events::ScoredImage;

/// Those that people may want who ask SQL themselves.
pub const PACKED_FUNCTIONS: &[(&str, &str)] = &[
    ("sd(x)", "standard deviation of a sample (aggregate)"),
    ("wilson_low(x, n), wilson_high(x, n)", "95 % interval of x of n; NULL of nothing"),
    ("gather_ranks(first, ranks, flags)", "ranks of micro-batches end to end (aggregate)"),
    ("gather_reals(first, p)", "the same for f32, gather_whole(place, x) for numbers (aggregates)"),
    ("outcomes(ks, ranks)", "which images were judged, and which are right for each k of '1,5'"),
    ("everything(n)", "a sample (mask) of all n images"),
    ("seen(mask, outcomes)", "images of a sample that were judged"),
    ("correct(k, mask, outcomes)", "those whose true class is among the k likeliest"),
    ("fooled(k, mask, clean, adv, t_adv)", "those clean right and adversarial wrong, of outcomes"),
    ("destroyed(k, mask, clean, adv, t_adv)", "those of them right after the transformation"),
    ("mcnemar(a, b)", "exact two-sided probability of so uneven a split"),
];

pub(super) fn functions(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_aggregate_function("sd", 1, flags, Spread)?;
    connection.create_aggregate_function("gather_ranks", 3, flags, Gather(gather_ranks))?;
    connection.create_aggregate_function("gather_reals", 2, flags, Gather(gather_reals))?;
    connection.create_aggregate_function("gather_whole", 2, flags, Gather(gather_whole))?;
    connection.create_aggregate_function("common_images", 2, flags, Common)?;
    type End = fn((f64, f64)) -> f64;
    let ends: [(&str, End); 2] = [("wilson_low", |ends| ends.0), ("wilson_high", |ends| ends.1)];
    for (name, end) in ends {
        connection.create_scalar_function(name, 2, flags, move |context| {
            let (part, all): (Option<u32>, Option<u32>) = (context.get(0)?, context.get(1)?);
            let share = part.zip(all).map(|(part, all)| Share { part, all });
            Ok(share.and_then(Share::wilson).map(end))
        })?;
    }
    connection.create_scalar_function("mcnemar", 2, flags, |context| {
        Ok(mcnemar(context.get(0)?, context.get(1)?))
    })?;
    connection.create_scalar_function("sampled", 14, flags, sampled)?;
    connection.create_scalar_function("correct_of", 4, flags, correct_of)
}

/// The bytes of an argument; `None` if it is NULL.
pub(super) fn blob<'c>(context: &'c Context<'_>, index: usize) -> Result<Option<&'c [u8]>> {
    match context.get_raw(index) {
        ValueRef::Null => Ok(None),
        ValueRef::Blob(bytes) => Ok(Some(bytes)),
        _ => Err(wrong("a BLOB is needed")),
    }
}

pub(super) fn wrong(what: &str) -> Error {
    Error::UserFunctionError(what.into())
}

/// The rank at a place.
pub(super) fn rank(ranks: &[u8], place: usize) -> u16 {
    let at = place * 2;
    ranks.get(at..at + 2).map_or(UNSEEN, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn real(reals: &[u8], place: usize) -> f32 {
    let bytes = reals.get(place * 4..place * 4 + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(f32::NAN, f32::from_le_bytes)
}

pub(super) fn whole(numbers: &[u8], place: usize) -> Option<u32> {
    let bytes = numbers.get(place * 4..place * 4 + 4)?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}

/// `sampled(case, seed, method, eps, images, draw, in_order, prefilter_k, confidence, side,
/// clean ranks, clean confidences, adversarial ranks, adversarial confidences)`: a mask.
fn sampled(context: &Context<'_>) -> Result<Option<Vec<u8>>> {
    let average = context.get::<String>(0)? == "average";
    let seed: u64 = context.get::<String>(1)?.parse().map_err(|_| wrong("the seed is none"))?;
    let (method, eps, images): (String, u16, u32) =
        (context.get(2)?, context.get(3)?, context.get(4)?);
    let (draw, in_order): (u32, bool) = (context.get(5)?, context.get(6)?);
    let ks: String = context.get(7)?;
    let ks = numbers(&ks);
    let (confidence, side): (f64, String) = (context.get(8)?, context.get(9)?);
    let (clean, clean_p) = (blob(context, 10)?, blob(context, 11)?);
    let (adv, adv_p) = (blob(context, 12)?, blob(context, 13)?);
    let (Some(clean), Some(clean_p), Some(adv), Some(adv_p)) = (clean, clean_p, adv, adv_p) else {
        return Ok(None);
    };
    // In the precision of what is on record: 0.8 is at least 0.8.
    #[expect(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
    let least = confidence as f32;
    let passes = |place: u32| {
        let place = place as usize;
        let (clean, adv) = (rank(clean, place), rank(adv, place));
        let sure = |p: &[u8]| real(p, place) >= least;
        let confident = match side.as_str() {
            "clean" => sure(clean_p),
            "both" => sure(clean_p) && sure(adv_p),
            _ => sure(adv_p),
        };
        let known = clean != UNSEEN && adv != UNSEEN;
        average || (known && confident && ks.iter().all(|k| clean < *k && adv >= *k))
    };
    let images = images.min(IMAGES_MAX);
    // Artificial transformations see the first images of the pool; a filter leaves some out.
    let chosen = match in_order {
        false => sample(&order(seed, &method, eps, images), draw, passes),
        true => {
            let first = if draw == 0 { images } else { draw.min(images) };
            sample(&(0..first).collect::<Vec<_>>(), 0, passes)
        }
    };
    let mut mask = vec![false; images as usize];
    chosen.into_iter().for_each(|place| mask[place as usize] = true);
    Ok(Some(plane(mask.into_iter())))
}

/// `correct_of(k, common, images, ranks)`: right ones among images that others were judged on too.
fn correct_of(context: &Context<'_>) -> Result<Option<u32>> {
    let k: u16 = context.get(0)?;
    let (Some(common), Some(images), Some(ranks)) =
        (blob(context, 1)?, blob(context, 2)?, blob(context, 3)?)
    else {
        return Ok(None);
    };
    let common = wholes(common);
    let seen = wholes(images).into_iter().enumerate();
    let seen = seen.filter(|(_, image)| common.binary_search(image).is_ok());
    Ok(Some(accuracy(k, seen.map(|(place, _)| rank(ranks, place))).part))
}

fn wholes(bytes: &[u8]) -> Vec<u32> {
    (0..bytes.len() / 4).filter_map(|place| whole(bytes, place)).collect()
}

/// Puts a micro-batch where it belongs.
fn put<const N: usize>(all: &mut Vec<u8>, first: usize, batch: &[u8], unknown: [u8; N]) {
    let (start, end) = (first * N, first * N + batch.len());
    if all.len() == start {
        // As rows of a judgement most often come: one after the other.
        all.extend_from_slice(batch);
        return;
    }
    if let Some(missing) = end.checked_sub(all.len()) {
        all.extend(unknown.iter().cycle().take(missing));
    }
    all[start..end].copy_from_slice(batch);
}

/// Most images of a pool, against a damaged number.
pub(super) const IMAGES_MAX: u32 = 1 << 20;

fn first_place(context: &Context<'_>) -> Result<usize> {
    let first: u32 = context.get(0)?;
    if first > IMAGES_MAX {
        return Err(wrong("the place lies outside of any pool"));
    }
    Ok(first as usize)
}

/// An aggregate that lays micro-batches end to end: what it adds of one row.
struct Gather(fn(&Context<'_>, &mut Vec<u8>) -> Result<()>);

impl Aggregate<Vec<u8>, Option<Vec<u8>>> for Gather {
    fn init(&self, _: &mut Context<'_>) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn step(&self, context: &mut Context<'_>, all: &mut Vec<u8>) -> Result<()> {
        self.0(context, all)
    }

    fn finalize(&self, _: &mut Context<'_>, all: Option<Vec<u8>>) -> Result<Option<Vec<u8>>> {
        Ok(all.filter(|all| !all.is_empty()))
    }
}

fn gather_ranks(context: &Context<'_>, all: &mut Vec<u8>) -> Result<()> {
    let first = first_place(context)?;
    let Some((ranks, flags)) = blob(context, 1)?.zip(blob(context, 2)?) else { return Ok(()) };
    put(all, first, ranks, UNSEEN.to_le_bytes());
    for (rank, flag) in all[first * 2..].chunks_exact_mut(2).zip(flags) {
        if flag & ScoredImage::DROPPED != 0 {
            rank.copy_from_slice(&UNSEEN.to_le_bytes());
        }
    }
    Ok(())
}

fn gather_reals(context: &Context<'_>, all: &mut Vec<u8>) -> Result<()> {
    let first = first_place(context)?;
    if let Some(batch) = blob(context, 1)? {
        put(all, first, batch, f32::NAN.to_le_bytes());
    }
    Ok(())
}

fn gather_whole(context: &Context<'_>, all: &mut Vec<u8>) -> Result<()> {
    let first = first_place(context)?;
    let number: u32 = context.get(1)?;
    put(all, first, &number.to_le_bytes(), u32::MAX.to_le_bytes());
    Ok(())
}

/// `common_images(images, ranks)`: the images that were judged in every row, in rising order.
struct Common;

impl Aggregate<Option<Vec<u32>>, Option<Vec<u8>>> for Common {
    fn init(&self, _: &mut Context<'_>) -> Result<Option<Vec<u32>>> {
        Ok(None)
    }

    fn step(&self, context: &mut Context<'_>, common: &mut Option<Vec<u32>>) -> Result<()> {
        let Some((images, ranks)) = blob(context, 0)?.zip(blob(context, 1)?) else { return Ok(()) };
        let judged = wholes(images).into_iter().enumerate();
        let judged = judged.filter(|(place, _)| rank(ranks, *place) != UNSEEN);
        let mut judged: Vec<u32> = judged.map(|(_, image)| image).collect();
        judged.sort_unstable();
        match common {
            Some(common) => common.retain(|image| judged.binary_search(image).is_ok()),
            None => *common = Some(judged),
        }
        Ok(())
    }

    fn finalize(
        &self,
        _: &mut Context<'_>,
        common: Option<Option<Vec<u32>>>,
    ) -> Result<Option<Vec<u8>>> {
        let common = common.flatten();
        Ok(common.map(|common| common.into_iter().flat_map(u32::to_le_bytes).collect()))
    }
}

/// `sd(x)`: from the deviations themselves; sums of squares would lose digits.
struct Spread;

impl Aggregate<Vec<f64>, Option<f64>> for Spread {
    fn init(&self, _: &mut Context<'_>) -> Result<Vec<f64>> {
        Ok(Vec::new())
    }

    fn step(&self, context: &mut Context<'_>, numbers: &mut Vec<f64>) -> Result<()> {
        numbers.extend(context.get::<Option<f64>>(0)?);
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
    fn finalize(&self, _: &mut Context<'_>, numbers: Option<Vec<f64>>) -> Result<Option<f64>> {
        let numbers = numbers.filter(|numbers| numbers.len() > 1);
        Ok(numbers.map(|numbers| {
            let count = numbers.len() as f64;
            if numbers.iter().all(|x| *x == numbers[0]) {
                return 0.0;
            }
            let mean = numbers.iter().sum::<f64>() / count;
            let squares: f64 = numbers.iter().map(|x| (x - mean) * (x - mean)).sum();
            (squares / (count - 1.0)).sqrt()
        }))
    }
}
