//! How good decisions are, how honest their probabilities, and how much two models have in common.

use super::Probabilities;
use super::combine::{LEAST, count};

/// Images decided wrongly.
#[must_use]
pub fn wrong(decisions: &[usize], labels: &[usize]) -> usize {
    decisions.iter().zip(labels).filter(|(decision, label)| decision != label).count()
}

/// Minus the sum of the logarithms of what the truth was given, at least 1e-12 each.
#[must_use]
pub fn negative_log_likelihood(probabilities: &Probabilities, labels: &[usize]) -> f64 {
    let of = |(row, label): (&[f64], &usize)| {
        -libm::log(row.get(*label).copied().unwrap_or(0.0).max(LEAST))
    };
    probabilities.rows().zip(labels).map(of).sum()
}

/// Bins of the calibration error.
pub const BINS: usize = 15;

/// Expected calibration error (Guo et al. 2017): images in 15 equal bins of the probability of the
/// class decided for, the mean over images of how far accuracy and mean probability of their bin are
/// apart. `None` of no images.
#[must_use]
pub fn calibration_error(
    probabilities: &Probabilities,
    decisions: &[usize],
    labels: &[usize],
) -> Option<f64> {
    // Images, right ones, sum of probabilities.
    let mut bins = [(0.0, 0.0, 0.0); BINS];
    for ((row, decision), label) in probabilities.rows().zip(decisions).zip(labels) {
        let confidence = row.get(*decision).copied().unwrap_or(0.0).clamp(0.0, 1.0);
        // Bins hold their upper end, as in the paper.
        let upper = |bin: &usize| confidence <= count(bin + 1) / count(BINS);
        let bin = (0..BINS - 1).find(upper).unwrap_or(BINS - 1);
        bins[bin].0 += 1.0;
        bins[bin].1 += f64::from(u8::from(decision == label));
        bins[bin].2 += confidence;
    }
    let images: f64 = bins.iter().map(|bin| bin.0).sum();
    let apart: f64 = bins.iter().map(|(_, right, confidence)| (right - confidence).abs()).sum();
    (images > 0.0).then(|| apart / images)
}

/// Share of images for which two models decide the same. `None` of no images.
#[must_use]
pub fn agreement(a: &[usize], b: &[usize]) -> Option<f64> {
    let same = a.iter().zip(b).filter(|(a, b)| a == b).count();
    share(same, a.len().min(b.len()))
}

/// Share of images that two models both decide wrongly (Giacinto and Roli 2001). `None` of no
/// images.
#[must_use]
pub fn double_fault(a: &[usize], b: &[usize], labels: &[usize]) -> Option<f64> {
    let both = a.iter().zip(b).zip(labels).filter(|((a, b), label)| a != label && b != label);
    share(both.count(), a.len().min(b.len()).min(labels.len()))
}

/// A share of images, or nothing of none.
#[must_use]
pub fn share(some: usize, all: usize) -> Option<f64> {
    (all > 0).then(|| count(some) / count(all))
}
