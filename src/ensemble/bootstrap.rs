//! How sure an error is: images drawn with replacement, from addressed chance.

use super::combine::count;
use crate::chance::Stream;

/// An interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// 95 % percentile intervals of shares of wrong images (Efron 1979): `wrong` says for each image, by
/// a bit each, which of up to 64 models are wrong; the images drawn are the same for all of them, so
/// that models can be compared. Draw `n` of `replicates` is made at (seed, `bootstrap`, n). Nothing
/// of no images.
#[must_use]
pub fn intervals(
    wrong: &[u64],
    models: usize,
    replicates: u32,
    seed: u64,
) -> Option<Vec<Interval>> {
    if wrong.is_empty() || replicates == 0 {
        return None;
    }
    let models = models.min(64);
    let mut shares: Vec<Vec<f64>> = vec![Vec::new(); models];
    for replicate in 0..replicates {
        let mut chance = Stream::new(seed, "bootstrap", replicate.into());
        let mut counts = [0_usize; 64];
        for _ in 0..wrong.len() {
            let mut bits = wrong[chance.index(wrong.len())];
            while bits != 0 {
                counts[bits.trailing_zeros() as usize] += 1;
                bits &= bits - 1;
            }
        }
        for (shares, wrongs) in shares.iter_mut().zip(counts) {
            shares.push(count(wrongs) / count(wrong.len()));
        }
    }
    Some(shares.into_iter().map(|shares| percentiles(shares, replicates)).collect())
}

/// The places at 2.5 % and 97.5 % of sorted values.
fn percentiles(mut shares: Vec<f64>, replicates: u32) -> Interval {
    shares.sort_by(f64::total_cmp);
    let last = shares.len() - 1;
    let at = |thousandths: u64| {
        let place = u64::from(replicates) * thousandths / 1_000;
        shares[usize::try_from(place).unwrap_or(last).min(last)]
    };
    Interval { low: at(25), high: at(975) }
}
