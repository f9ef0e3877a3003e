//! Two attacks on the same images: McNemar's test, and the paired bootstrap by image.

use super::destruction::{Ranks, Share};
use crate::chance::Stream;

/// Resamples of a bootstrap.
pub const RESAMPLES: u32 = 1_000;

/// One image under two attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Under the first one.
    pub a: Ranks,
    /// Under the second one.
    pub b: Ranks,
}

/// Which of two attacks left more of the images wrong that were right when clean.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Wrong after the first attack and the transformation.
    pub wrong_a: Share,
    /// Wrong after the second one.
    pub wrong_b: Share,
    /// Images that only the first one left wrong.
    pub only_a: u32,
    /// Images that only the second one left wrong.
    pub only_b: u32,
    /// Destruction rate of the first one.
    pub destroyed_a: Share,
    /// Of the second one.
    pub destroyed_b: Share,
    /// Image by image, what the bootstrap draws from.
    outcomes: Vec<Outcome>,
}

/// What counts of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcome {
    wrong_a: bool,
    wrong_b: bool,
    destroyed_a: Option<bool>,
    destroyed_b: Option<bool>,
}

/// Compares two attacks over the images that are right when clean and known under both.
pub fn compare(k: u16, pairs: impl Iterator<Item = Pair>) -> Comparison {
    let both = pairs.filter(|pair| {
        pair.a.are_known() && pair.b.are_known() && pair.a.clean < k && pair.b.clean < k
    });
    let outcome = |pair: Pair| Outcome {
        wrong_a: pair.a.transformed >= k,
        wrong_b: pair.b.transformed >= k,
        destroyed_a: pair.a.fooled(k).then(|| pair.a.destroyed(k)),
        destroyed_b: pair.b.fooled(k).then(|| pair.b.destroyed(k)),
    };
    let outcomes: Vec<Outcome> = both.map(outcome).collect();
    let only = |wanted: fn(&&Outcome) -> bool| {
        u32::try_from(outcomes.iter().filter(wanted).count()).unwrap_or(u32::MAX)
    };
    Comparison {
        wrong_a: Share::of(outcomes.iter().map(|outcome| Some(outcome.wrong_a))),
        wrong_b: Share::of(outcomes.iter().map(|outcome| Some(outcome.wrong_b))),
        only_a: only(|outcome| outcome.wrong_a && !outcome.wrong_b),
        only_b: only(|outcome| outcome.wrong_b && !outcome.wrong_a),
        destroyed_a: Share::of(outcomes.iter().map(|outcome| outcome.destroyed_a)),
        destroyed_b: Share::of(outcomes.iter().map(|outcome| outcome.destroyed_b)),
        outcomes,
    }
}

/// What is resampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Of the shares left wrong, first less second.
    Wrong,
    /// Of the destruction rates.
    Destruction,
}

impl Comparison {
    /// The difference itself.
    #[must_use]
    pub fn difference(&self, of: Difference) -> Option<f64> {
        let (a, b) = match of {
            Difference::Wrong => (self.wrong_a, self.wrong_b),
            Difference::Destruction => (self.destroyed_a, self.destroyed_b),
        };
        Some(a.rate()? - b.rate()?)
    }

    /// Its 95 % interval: between the 2.5 and 97.5 percentiles of [`RESAMPLES`] resamples of the
    /// images, both attacks seeing the same ones. `None` if it is undefined in more than half.
    #[must_use]
    pub fn bootstrap(&self, seed: u64, of: Difference) -> Option<(f64, f64)> {
        self.difference(of)?;
        // Where no image tells them apart, no resample does.
        let alike = match of {
            Difference::Wrong => self.only_a == 0 && self.only_b == 0,
            Difference::Destruction => self.destroyed_a.part == 0 && self.destroyed_b.part == 0,
        };
        if alike {
            return Some((0.0, 0.0));
        }
        let count = self.outcomes.len();
        let mut found = Vec::new();
        for resample in 0..RESAMPLES {
            let mut stream = Stream::new(seed, "adversary bootstrap", resample.into());
            let (mut a, mut b) = (Share::default(), Share::default());
            let add = |share: &mut Share, meant: Option<bool>| {
                share.part += u32::from(meant == Some(true));
                share.all += u32::from(meant.is_some());
            };
            for _ in 0..count {
                let outcome = self.outcomes[stream.index(count)];
                match of {
                    Difference::Wrong => {
                        add(&mut a, Some(outcome.wrong_a));
                        add(&mut b, Some(outcome.wrong_b));
                    }
                    Difference::Destruction => {
                        add(&mut a, outcome.destroyed_a);
                        add(&mut b, outcome.destroyed_b);
                    }
                }
            }
            found.extend(a.rate().zip(b.rate()).map(|(a, b)| a - b));
        }
        if found.len() * 2 < RESAMPLES as usize {
            return None;
        }
        found.sort_unstable_by(f64::total_cmp);
        let last = found.len() - 1;
        // Nearest rank, outwards.
        Some((found[last * 25 / 1_000], found[last - last * 25 / 1_000]))
    }
}

/// McNemar's exact test: how likely a split at least as uneven as `a` to `b` is if both were
/// equally likely; two-sided, 1 if there is no difference at all.
#[must_use]
pub fn mcnemar(a: u32, b: u32) -> f64 {
    let (few, all) = (a.min(b), a + b);
    // Logarithms of binomial coefficients, term by term.
    let half = f64::from(all) * -std::f64::consts::LN_2;
    let (mut term, mut sum) = (half, 0.0);
    for i in 0..=few {
        if i > 0 {
            term += f64::from(all - i + 1).ln() - f64::from(i).ln();
        }
        sum += term.exp();
    }
    (2.0 * sum).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mcnemar_is_the_binomial_test() {
        // By hand: 2 * (C(5,0) + C(5,1)) / 32; 2 / 1024; all even.
        let cases = [(1, 4, 0.375), (0, 10, 2.0 / 1024.0), (3, 3, 1.0), (0, 0, 1.0), (0, 1, 1.0)];
        for (a, b, expected) in cases {
            assert!((mcnemar(a, b) - expected).abs() < 1e-12, "{a} {b}: {}", mcnemar(a, b));
            assert_eq!(mcnemar(a, b), mcnemar(b, a));
        }
        // R: binom.test(400, 1000)$p.value is 2.728e-10.
        let large = mcnemar(400, 600);
        assert!((large / 2.728e-10 - 1.0).abs() < 1e-3, "{large:e}");
    }

    fn pairs(counts: [usize; 4]) -> Vec<Pair> {
        let ranks = |transformed| Ranks { clean: 0, adversarial: 2, transformed };
        let kinds = [(1, 1), (1, 0), (0, 1), (0, 0)];
        let of = |((a, b), count)| std::iter::repeat_n(Pair { a: ranks(a), b: ranks(b) }, count);
        kinds.into_iter().zip(counts).flat_map(of).collect()
    }

    #[test]
    fn both_attacks_are_counted_over_the_same_images() {
        let mut images = pairs([10, 20, 5, 15]);
        // Wrong when clean, or not known under one of them: not there.
        images.push(Pair { a: Ranks { clean: 1, ..images[0].a }, ..images[0] });
        images.push(Pair {
            b: Ranks { transformed: super::super::destruction::UNSEEN, ..images[0].b },
            ..images[0]
        });
        let found = compare(1, images.into_iter());
        let share = |part| Share { part, all: 50 };
        assert_eq!((found.wrong_a, found.wrong_b), (share(30), share(15)));
        assert_eq!((found.only_a, found.only_b), (20, 5));
        assert_eq!((found.destroyed_a, found.destroyed_b), (share(20), share(35)));
        let difference = |of| found.difference(of).unwrap();
        assert!((difference(Difference::Wrong) - 0.3).abs() < 1e-12);
        assert!((difference(Difference::Destruction) + 0.3).abs() < 1e-12);
    }

    #[test]
    fn the_bootstrap_holds_the_difference_and_is_the_same_every_time() {
        let found = compare(1, pairs([40, 80, 20, 60]).into_iter());
        let interval = found.bootstrap(7, Difference::Wrong).unwrap();
        assert!(interval.0 < 0.3 && 0.3 < interval.1 && interval.1 - interval.0 < 0.25);
        // Wald's interval of paired proportions: 0.3 ± 1.96 sqrt((100 - 60²/200) / 200²).
        assert!((interval.0 - 0.212).abs() < 0.03 && (interval.1 - 0.388).abs() < 0.03);
        assert_eq!(found.bootstrap(7, Difference::Wrong), Some(interval));
        assert_ne!(found.bootstrap(8, Difference::Wrong), Some(interval));
        assert_eq!(compare(1, std::iter::empty()).bootstrap(7, Difference::Wrong), None);
        let alike = compare(1, pairs([4, 0, 0, 2]).into_iter());
        assert_eq!(alike.bootstrap(7, Difference::Wrong), Some((0.0, 0.0)));
    }
}
