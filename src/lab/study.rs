//! A study: policies side by side, each over several seeds.

use super::measure::{FIGURES, Greedy, Measured, Samples};
use super::rank::{Ranks, Statistic, bootstrap};
use crate::chance::Stream;
use crate::config::replay::Policy;

/// Resamples of the bootstrap.
pub const RESAMPLES: u32 = 1_000;

/// One policy, over its seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The policy.
    pub policy: Policy,
    /// Seeds it was run under; 0 if all give the same, so that it was run once.
    pub seeds: u32,
    /// Its figures, in the order of [`FIGURES`].
    pub figures: Vec<Summary>,
    /// What its Q-table would choose, under most seeds; of equally many the first.
    pub greedy: Greedy,
    /// Under how many seeds.
    pub greedy_seeds: u32,
}

/// A figure over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Summary {
    /// The mean, of the seeds under which there is such a number.
    pub mean: Option<f64>,
    /// The standard deviation; of two seeds or more.
    pub sd: Option<f64>,
    /// Bootstrap interval of 95 % over architectures and seeds; of rank correlations only.
    pub interval: Option<(f64, f64)>,
}

impl Summary {
    /// Mean and standard deviation (n − 1) of what is known.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    pub fn of(values: impl Iterator<Item = Option<f64>>) -> Self {
        let known: Vec<f64> = values.flatten().collect();
        let count = known.len() as f64;
        // Differences to one of them: equal values have exactly their value as mean, and sd 0.
        let Some(&origin) = known.first() else { return Self::default() };
        let mean = origin + known.iter().map(|value| value - origin).sum::<f64>() / count;
        let squares: f64 = known.iter().map(|value| (value - mean).powi(2)).sum();
        let sd = (known.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        Self { mean: Some(mean), sd, interval: None }
    }
}

/// The row of a policy from what was measured under each seed, at least one. `seed` is that of the
/// bootstrap.
///
/// # Panics
/// If nothing was measured.
#[must_use]
pub fn row(policy: &Policy, deterministic: bool, measured: &[Measured], seed: u64) -> Row {
    let values: Vec<Vec<Option<f64>>> = measured.iter().map(|one| one.figures.values()).collect();
    let mut figures: Vec<Summary> =
        (0..FIGURES.len()).map(|index| Summary::of(values.iter().map(|of| of[index]))).collect();
    for (name, sample, statistic) in RANKED {
        let samples: Vec<Ranks> = measured.iter().map(|one| sample(&one.samples).clone()).collect();
        let place = FIGURES.iter().position(|figure| figure.name == *name);
        if let Some(summary) = place.and_then(|place| figures.get_mut(place)) {
            let mut chance = Stream::new(seed, "bootstrap", 0);
            summary.interval = bootstrap(&samples, *statistic, RESAMPLES, &mut chance);
        }
    }
    let agree = |one: &Measured| {
        let same = measured.iter().filter(|other| other.greedy == one.greedy);
        u32::try_from(same.count()).unwrap_or(u32::MAX)
    };
    // The first of those with the highest count.
    let chosen = measured.iter().rev().max_by_key(|one| agree(one)).unwrap_or(&measured[0]);
    Row {
        policy: *policy,
        seeds: if deterministic { 0 } else { u32::try_from(measured.len()).unwrap_or(u32::MAX) },
        figures,
        greedy: chosen.greedy.clone(),
        greedy_seeds: agree(chosen),
    }
}

/// A rank correlation: its figure, its sample, its statistic.
type Ranked = (&'static str, fn(&Samples) -> &Ranks, Statistic);

const RANKED: &[Ranked] = &[
    ("prequential", |samples| &samples.prequential, Ranks::spearman),
    ("prequential_trained", |samples| &samples.prequential_trained, Ranks::spearman),
    ("spearman", |samples| &samples.all, Ranks::spearman),
    ("spearman_trained", |samples| &samples.trained, Ranks::spearman),
    ("kendall", |samples| &samples.all, Ranks::kendall),
    ("kendall_trained", |samples| &samples.trained, Ranks::kendall),
];

/// Whether a figure has an interval.
#[must_use]
pub fn has_interval(figure: &str) -> bool {
    RANKED.iter().any(|(name, ..)| *name == figure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_standard_deviation() {
        let of = |values: &[Option<f64>]| {
            let summary = Summary::of(values.iter().copied());
            (summary.mean, summary.sd)
        };
        assert_eq!(of(&[Some(1.0), None, Some(3.0)]), (Some(2.0), Some(2.0_f64.sqrt())));
        assert_eq!(of(&[Some(0.1); 3]), (Some(0.1), Some(0.0)));
        assert_eq!(of(&[Some(0.1)]), (Some(0.1), None));
        assert_eq!(of(&[None]), (None, None));
    }
}
