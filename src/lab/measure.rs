//! What a policy made of a history: who was learned from, and what the Q-table says by then.

use super::history::{History, Recorded};
use super::rank::{Ranks, quantile};
use super::rederive::{Derived, Rewards, Task};
use crate::agent::qtable::QTable;
use crate::agent::space::{PairId, Space, Trajectory};
use crate::arch::Architecture;

/// What a trajectory is worth by a Q-table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathValue {
    /// The mean of its Q-values.
    #[default]
    Mean,
    /// The Q-value of its last action, which ends the architecture.
    Terminal,
    /// The least of its Q-values.
    Min,
}

impl PathValue {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mean, Self::Terminal, Self::Min];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Terminal => "terminal",
            Self::Min => "min",
        }
    }

    /// The value of a path, which has one pair at least.
    #[must_use]
    pub fn of(self, values: &[f64], path: &[PairId]) -> f64 {
        let along = path.iter().map(|&pair| values[pair as usize]);
        match self {
            Self::Mean => along.sum::<f64>() / number(path.len()),
            Self::Terminal => path.last().map_or(f64::NAN, |&pair| values[pair as usize]),
            Self::Min => along.fold(f64::INFINITY, f64::min),
        }
    }
}

/// Figures that belong together, and how far they can be trusted to say what they seem to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Architectures ranked before they are learned from.
    Prediction,
    /// Who was drawn, how often and how soon.
    Draws,
    /// Who was not drawn at all.
    Never,
    /// Architectures ranked that were learned from.
    Ranks,
    /// The Q-table at the end.
    Table,
}

impl Section {
    /// All of them, the main one first.
    pub const ALL: [Self; 5] =
        [Self::Prediction, Self::Draws, Self::Never, Self::Ranks, Self::Table];

    /// What is said over it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Prediction => {
                "Ranking each new architecture before it is learned from (prequential)"
            }
            Self::Draws => "Draws per experience (exact re-derivation)",
            Self::Never => "Share of experiences that are never drawn (exact re-derivation)",
            Self::Ranks => {
                "Ranking architectures that were learned from (in-sample: compares policies, \
                 predicts nothing)"
            }
            Self::Table => {
                "The Q-table (exact re-derivation), and what it would choose (accuracy as on \
                 record, else unknown)"
            }
        }
    }

    /// Whether what was learned from is predicted: too good, but comparable between policies.
    #[must_use]
    pub fn is_in_sample(self) -> bool {
        self == Self::Ranks
    }
}

/// A number that is reported of every policy.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Where it belongs.
    pub section: Section,
}

macro_rules! figures {
    ($($name:ident $section:ident $what:literal,)*) => {
        /// All figures, in the order of their columns.
        pub const FIGURES: &[Figure] =
            &[$(Figure { name: stringify!($name), what: $what, section: Section::$section },)*];

        /// The figures of one policy under one seed; `None` where there is no such number.
        #[derive(Debug, Clone, Copy, PartialEq, Default)]
        pub struct Figures {
            $(#[doc = $what] pub $name: Option<f64>,)*
        }

        impl Figures {
            /// The numbers, in the order of [`FIGURES`].
            #[must_use]
            pub fn values(&self) -> Vec<Option<f64>> {
                vec![$(self.$name,)*]
            }
        }
    };
}

figures! {
    prequential Prediction "rank correlation (Spearman) of path value and reward over new architectures",
    prequential_trained Prediction "the same over those whose training did not fail",
    first_tenth Draws "draws per experience of the earliest tenth",
    last_tenth Draws "draws per experience of the latest tenth",
    last_phase Draws "draws per experience of the last phase",
    never Never "share of all experiences that were never drawn",
    never_first_tenth Never "share of the earliest tenth that was never drawn",
    never_last_tenth Never "share of the latest tenth that was never drawn",
    never_last_phase Never "share of the last phase that was never drawn",
    first_draw Draws "median episodes from an experience to its first draw; never counts as longest",
    own_step Draws "share of experiences that were drawn in their own step",
    gini Draws "inequality of draws: 0 if all are drawn equally often, towards 1 if few get all",
    spearman Ranks "rank correlation of path value and reward over distinct architectures",
    spearman_trained Ranks "the same over those whose training did not fail",
    kendall Ranks "Kendall's tau-b of path value and reward over distinct architectures",
    kendall_trained Ranks "the same over those whose training did not fail",
    top10 Ranks "of the ten architectures of highest path value, how many are among the ten best",
    rms Table "root mean square distance to the Q-table on record, over pairs that either has learned",
    updates Table "updates of a Q-value",
}

/// One policy under one seed.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The figures.
    pub figures: Figures,
    /// The rank samples, for intervals.
    pub samples: Samples,
    /// What the Q-table would choose.
    pub greedy: Greedy,
    /// How often each experience was drawn.
    pub counts: Vec<u32>,
}

/// Pairs of path value and reward.
#[derive(Debug, Clone)]
pub struct Samples {
    /// New architectures, before they were learned from.
    pub prequential: Ranks,
    /// Those of them whose training did not fail.
    pub prequential_trained: Ranks,
    /// Distinct architectures, at the end.
    pub all: Ranks,
    /// Those of them whose training did not fail.
    pub trained: Ranks,
}

/// The architecture that the Q-table would choose without exploring.
#[derive(Debug, Clone, PartialEq)]
pub struct Greedy {
    /// What it is.
    pub architecture: Architecture,
    /// Its recorded accuracy; `None`: it was never trained, so that is not known.
    pub accuracy: Option<f64>,
}

/// The Q-table on record.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// Values by pair.
    pub values: Vec<f64>,
    /// Whether a pair was learned.
    pub learned: Vec<bool>,
}

impl Reference {
    /// That of an import, if it has one. A pair that it lacks has the initial value; one that
    /// still has the initial value was not learned. Of a search of qtrail's own the Q-table on
    /// record is what `as-logged` gives: [`Reference::of`].
    #[must_use]
    pub fn imported(history: &History) -> Option<Self> {
        let Recorded::Values(recorded) = &history.recorded else { return None };
        let init = history.config.learning.init;
        let mut values = vec![init; history.space.pair_count()];
        for (&pair, &value) in recorded {
            values[pair as usize] = value;
        }
        let learned = values.iter().map(|value| value.to_bits() != init.to_bits()).collect();
        (!recorded.is_empty()).then_some(Self { values, learned })
    }

    /// A Q-table.
    #[must_use]
    pub fn of(q: &QTable) -> Self {
        let learned = q.updates().iter().map(|&updates| updates > 0).collect();
        Self { values: q.values().to_vec(), learned }
    }

    /// Root mean square of the differences, over pairs that either has learned.
    #[must_use]
    pub fn distance(&self, q: &QTable) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0);
        for (index, (&value, &updates)) in q.values().iter().zip(q.updates()).enumerate() {
            if updates > 0 || self.learned[index] {
                sum += (value - self.values[index]).powi(2);
                count += 1;
            }
        }
        (count > 0).then(|| (sum / number(count)).sqrt())
    }
}

/// Measures what came of a policy.
#[must_use]
pub fn measure(
    history: &History,
    task: &Task,
    derived: &Derived,
    reference: Option<&Reference>,
) -> Measured {
    let samples = samples(history, task, derived);
    let mut figures = Figures { updates: Some(exact(derived.updates)), ..Figures::default() };
    expose(&mut figures, history, derived);
    figures.prequential = samples.prequential.value(Ranks::spearman);
    figures.prequential_trained = samples.prequential_trained.value(Ranks::spearman);
    figures.spearman = samples.all.value(Ranks::spearman);
    figures.spearman_trained = samples.trained.value(Ranks::spearman);
    figures.kendall = samples.all.value(Ranks::kendall);
    figures.kendall_trained = samples.trained.value(Ranks::kendall);
    figures.top10 = top10(&pairs(history, task, &derived.q));
    figures.rms = reference.and_then(|reference| reference.distance(&derived.q));
    let architecture = history.space.architecture(&greedy(&history.space, &derived.q));
    let accuracy = history.first_of(&architecture).map(|one| history.accuracy(one));
    let greedy = Greedy { architecture, accuracy };
    Measured { figures, samples, greedy, counts: derived.counts.clone() }
}

fn expose(figures: &mut Figures, history: &History, derived: &Derived) {
    let count = derived.counts.len();
    let tenth = decile(count);
    let phase = history.experiences.last().map(|one| one.phase);
    let in_phase = |index: &usize| Some(history.experiences[*index].phase) == phase;
    let first: Vec<usize> = (0..tenth).collect();
    let last: Vec<usize> = (count - tenth..count).collect();
    let of_phase: Vec<usize> = (0..count).filter(in_phase).collect();
    let all: Vec<usize> = (0..count).collect();
    let draws = |of: &[usize]| mean(of.iter().map(|&index| f64::from(derived.counts[index])));
    let never = |of: &[usize]| share(of.iter().map(|&index| derived.counts[index] == 0));
    figures.first_tenth = draws(&first);
    figures.last_tenth = draws(&last);
    figures.last_phase = draws(&of_phase);
    figures.never = never(&all);
    figures.never_first_tenth = never(&first);
    figures.never_last_tenth = never(&last);
    figures.never_last_phase = never(&of_phase);
    let mut waits: Vec<f64> =
        derived.first.iter().map(|wait| wait.map_or(f64::INFINITY, f64::from)).collect();
    waits.sort_by(f64::total_cmp);
    figures.first_draw = quantile(&waits, 0.5).filter(|wait| wait.is_finite());
    figures.own_step = share(derived.first.iter().map(|&wait| wait == Some(0)));
    figures.gini = gini(&derived.counts.iter().copied().map(f64::from).collect::<Vec<_>>());
}

fn samples(history: &History, task: &Task, derived: &Derived) -> Samples {
    let new = |&(index, value): &(u32, f64)| {
        let one = &history.experiences[index as usize];
        ((value, one.reward), one.failed)
    };
    let prequential: Vec<((f64, f64), bool)> = derived.scores.iter().map(new).collect();
    let failed = prequential.iter().map(|(_, failed)| *failed);
    let all: Vec<_> = pairs(history, task, &derived.q).into_iter().zip(failed).collect();
    let ranks = |of: &[((f64, f64), bool)], failed: bool| {
        let wanted = of.iter().filter(|(_, has_failed)| failed || !has_failed);
        Ranks::of(&wanted.map(|(pair, _)| *pair).collect::<Vec<_>>())
    };
    Samples {
        prequential: ranks(&prequential, true),
        prequential_trained: ranks(&prequential, false),
        all: ranks(&all, true),
        trained: ranks(&all, false),
    }
}

/// Path value and reward of every architecture, in order of first appearance.
fn pairs(history: &History, task: &Task, q: &QTable) -> Vec<(f64, f64)> {
    let mut rewards = Rewards::new(task.duplicates, history.architectures.len());
    for (index, one) in (0..).zip(&history.experiences) {
        rewards.enter(index, one, |_, _| {});
    }
    let pair = |(index, known): (usize, &super::history::Known)| {
        (task.path_value.of(q.values(), &known.path), rewards.of(index))
    };
    history.architectures.iter().enumerate().map(pair).collect()
}

/// What a Q-table chooses without exploring: of equal actions the first in stored order.
#[must_use]
pub fn greedy(space: &Space, q: &QTable) -> Trajectory {
    let (mut path, mut place) = (Trajectory::new(), Some(space.start()));
    while let Some(here) = place {
        let better = |best: usize, pair: usize| {
            if q.values()[pair] > q.values()[best] { pair } else { best }
        };
        let pairs = space.pairs(here.state);
        let best = pairs.clone().fold(pairs.start, better);
        let best = PairId::try_from(best).unwrap_or(PairId::MAX);
        path.push(best);
        place = space.follow(here, best);
    }
    path
}

/// A tenth of so many, rounded up: at least one if there are any.
#[must_use]
pub fn decile(count: usize) -> usize {
    count.div_ceil(10)
}

/// Gini's coefficient: half the mean absolute difference of two of the values, over their mean.
/// `None` if their sum is 0.
#[must_use]
pub fn gini(values: &[f64]) -> Option<f64> {
    let mut ascending = values.to_vec();
    ascending.sort_by(f64::total_cmp);
    let (count, sum) = (number(values.len()), values.iter().sum::<f64>());
    let weighted: f64 =
        ascending.iter().enumerate().map(|(rank, value)| number(rank + 1) * value).sum();
    (sum > 0.0).then(|| (2.0 * weighted / sum - (count + 1.0)) / count)
}

/// Of the ten pairs of highest first number, how many are among the ten of highest second; equals
/// in their order. Fewer than ten pairs have no such number.
fn top10(pairs: &[(f64, f64)]) -> Option<f64> {
    if pairs.len() < 10 {
        return None;
    }
    let top = |value: fn(&(f64, f64)) -> f64| {
        let mut best: Vec<usize> = (0..pairs.len()).collect();
        best.sort_by(|&a, &b| value(&pairs[b]).total_cmp(&value(&pairs[a])));
        best.truncate(10);
        best
    };
    let best = top(|pair| pair.1);
    Some(number(top(|pair| pair.0).iter().filter(|index| best.contains(index)).count()))
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> Option<f64> {
    let count = values.len();
    (count > 0).then(|| values.sum::<f64>() / number(count))
}

fn share(holds: impl ExactSizeIterator<Item = bool>) -> Option<f64> {
    mean(holds.map(|holds| f64::from(u8::from(holds))))
}

#[expect(clippy::cast_precision_loss, reason = "a count")]
fn number(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "a count")]
fn exact(count: u64) -> f64 {
    count as f64
}
