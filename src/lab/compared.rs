//! Agents side by side over the same seeds: what their simulated searches found, and how that
//! differs from what learning with `uniform` finds.

use super::environment::Environment;
use super::rank::quantile;
use super::simulate::{Agent, Simulated};
use super::study::Summary;
use crate::chance::Stream;

/// Resamples of the bootstrap.
const RESAMPLES: u32 = 2_000;

/// What is compared of a simulated search.
#[derive(Debug)]
pub struct Measure {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    of: fn(&Simulated, &Environment) -> Option<f64>,
}

/// All of it.
pub const MEASURES: &[Measure] = &[
    Measure {
        name: "best",
        what: "highest reward of the search",
        of: |one, _| Some(one.final_best()).filter(|best| best.is_finite()),
    },
    Measure {
        name: "best_mean",
        what: "mean over all recorded trainings of the architecture that had it",
        of: |one, environment| Some(environment.records()[one.found?].mean()),
    },
    Measure {
        name: "area",
        what: "mean of the highest reward so far, over the new architectures: how soon",
        of: |one, _| Some(one.area()).filter(|area| area.is_finite()),
    },
    Measure {
        name: "last_phase",
        what: "mean reward of the samples of the last phase, known architectures too",
        of: |one, _| Some(one.last_phase).filter(|mean| mean.is_finite()),
    },
];

/// One agent over all seeds.
#[derive(Debug, Clone)]
pub struct Compared {
    /// Who it is.
    pub agent: Agent,
    /// New architectures, mean over seeds.
    pub models: f64,
    /// Architectures sampled, mean over seeds.
    pub episodes: f64,
    /// Share of the new architectures that had no record, whatever was done about them.
    pub unknown: f64,
    /// Its measures, in the order of [`MEASURES`].
    pub measures: Vec<Summary>,
    /// How each differs from that of `uniform`; `None` for `uniform` itself and without it.
    pub differences: Vec<Option<Difference>>,
}

/// A mean over paired seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The mean.
    pub mean: f64,
    /// Bootstrap interval of 95 % over seeds; of two seeds or more.
    pub interval: Option<(f64, f64)>,
}

/// Compares agents; `runs` has for each of them one search a seed, the seeds in the same order.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts")]
pub fn compare(
    runs: &[(Agent, Vec<Simulated>)],
    environment: &Environment,
    uniform: Option<&[Simulated]>,
) -> Vec<Compared> {
    let mut rows = Vec::new();
    for (agent, searches) in runs {
        let n = searches.len().max(1) as f64;
        let mean = |of: &dyn Fn(&Simulated) -> f64| searches.iter().map(of).sum::<f64>() / n;
        let models = mean(&|one| one.models() as f64);
        let strange = mean(&|one| f64::from(one.guessed + one.missing));
        let passed = mean(&|one| f64::from(one.missing));
        let itself = uniform.is_some_and(|uniform| std::ptr::eq(uniform, searches.as_slice()));
        let base = uniform.filter(|_| !itself);
        rows.push(Compared {
            agent: *agent,
            models,
            episodes: mean(&|one| f64::from(one.episodes)),
            unknown: if models + passed > 0.0 { strange / (models + passed) } else { 0.0 },
            measures: MEASURES
                .iter()
                .map(|measure| {
                    Summary::of(searches.iter().map(|one| (measure.of)(one, environment)))
                })
                .collect(),
            differences: MEASURES
                .iter()
                .map(|measure| difference(measure, searches, base?, environment))
                .collect(),
        });
    }
    rows
}

fn difference(
    measure: &Measure,
    searches: &[Simulated],
    base: &[Simulated],
    environment: &Environment,
) -> Option<Difference> {
    let of = |one| (measure.of)(one, environment);
    let pairs: Vec<f64> =
        searches.iter().zip(base).filter_map(|(one, base)| Some(of(one)? - of(base)?)).collect();
    let mean = mean(&pairs)?;
    let mut chance = Stream::new(0, "compare", 0);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let sum: f64 = pairs.iter().map(|_| pairs[chance.index(pairs.len())]).sum();
            sum / count(&pairs)
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let interval = quantile(&means, 0.025).zip(quantile(&means, 0.975));
    Some(Difference { mean, interval: interval.filter(|_| pairs.len() > 1) })
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / count(values))
}

#[expect(clippy::cast_precision_loss, reason = "a count")]
fn count(values: &[f64]) -> f64 {
    values.len() as f64
}

/// The highest reward so far after each new architecture, over seeds: 2.5 % quantile, mean, 97.5 %
/// quantile. A search that ended early keeps what it had.
#[must_use]
pub fn curve(searches: &[Simulated]) -> Vec<(f64, f64, f64)> {
    let longest = searches.iter().map(Simulated::models).max().unwrap_or(0);
    let at = |step: usize| {
        let mut values: Vec<f64> = searches
            .iter()
            .filter_map(|one| one.best.get(step.min(one.best.len().checked_sub(1)?)).copied())
            .collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (quantile(&values, 0.025)?, quantile(&values, 0.975)?);
        Some((low, mean(&values)?, high))
    };
    (0..longest).filter_map(at).collect()
}
