//! Uniform replay, exactly: what follows from the numbers alone, without a single draw.
//!
//! After the n-th experience K are drawn from the first n, each equally likely, independently. So
//! the i-th (from 1) is drawn Binomial(K, 1/n) times after each n ≥ i, and everything else follows.
//! This is what the objection to the method is about: the earliest experiences are learned from
//! most, the latest hardly ever.

/// Uniform replay over a whole history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uniform {
    /// Draws after each experience, the paper's K.
    pub draws: u32,
    /// Experiences in all, N.
    pub experiences: u32,
}

/// What a phase of a schedule got.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phase {
    /// Experiences in it.
    pub experiences: u32,
    /// Its share of all draws.
    pub share: f64,
    /// Expected draws of one of its experiences, in the mean.
    pub draws: f64,
    /// Expected share of its experiences that are never drawn.
    pub never: f64,
}

impl Uniform {
    /// Expected draws of experience number `i`, from 1: K (H(N) − H(i − 1)).
    #[must_use]
    pub fn expected(&self, i: u32) -> f64 {
        f64::from(self.draws) * self.later(i).map(|n| 1.0 / n).sum::<f64>()
    }

    /// Variance of the draws of experience number `i`: K Σ (1/n) (1 − 1/n) over n from i to N.
    #[must_use]
    pub fn variance(&self, i: u32) -> f64 {
        f64::from(self.draws) * self.later(i).map(|n| (1.0 / n) * (1.0 - 1.0 / n)).sum::<f64>()
    }

    /// Probability that experience number `i` is never drawn: ((i − 1) / N)^K, because the factors
    /// (n − 1) / n telescope.
    #[must_use]
    pub fn never(&self, i: u32) -> f64 {
        let power = i32::try_from(self.draws).unwrap_or(i32::MAX);
        (f64::from(i.saturating_sub(1)) / f64::from(self.experiences)).powi(power)
    }

    /// Expected draws of all experiences, the first first. Faster than one by one.
    #[must_use]
    pub fn exposure(&self) -> Vec<f64> {
        let mut sum = 0.0;
        let mut expected: Vec<f64> = (1..=self.experiences)
            .rev()
            .map(|n| {
                sum += f64::from(self.draws) / f64::from(n);
                sum
            })
            .collect();
        expected.reverse();
        expected
    }

    /// What each phase of a schedule gets, from the numbers of its experiences alone.
    #[must_use]
    pub fn phases(draws: u32, experiences: &[u32]) -> Vec<Phase> {
        let law = Self { draws, experiences: experiences.iter().sum() };
        let (exposure, all) = (law.exposure(), f64::from(draws) * f64::from(law.experiences));
        let mut first = 0;
        let phase = |&count: &u32| {
            let range = first..first + count;
            first = range.end;
            let drawn: f64 = exposure[range.start as usize..range.end as usize].iter().sum();
            let never: f64 = range.map(|index| law.never(index + 1)).sum();
            let mean = |sum: f64| if count == 0 { 0.0 } else { sum / f64::from(count) };
            Phase { experiences: count, share: drawn / all, draws: mean(drawn), never: mean(never) }
        };
        experiences.iter().map(phase).collect()
    }

    /// The numbers of experiences after which number `i` may be drawn.
    fn later(&self, i: u32) -> impl Iterator<Item = f64> {
        (i.max(1)..=self.experiences).map(f64::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::measure::{decile, gini};

    /// Two experiences, two draws after each: the first is drawn 2 + 1 times, the second once.
    #[test]
    fn by_hand() {
        let law = Uniform { draws: 2, experiences: 2 };
        assert_eq!([law.expected(1), law.expected(2)], [3.0, 1.0]);
        assert_eq!([law.variance(1), law.variance(2)], [0.5, 0.5]);
        assert_eq!([law.never(1), law.never(2)], [0.0, 0.25]);
        assert_eq!(law.exposure(), [3.0, 1.0]);
    }

    fn near(value: f64, expected: f64, within: f64) {
        assert!((value - expected).abs() <= within, "{value}, expected {expected}");
    }

    /// The authors' log: 1,910 experiences, K = 128.
    #[test]
    fn the_authors_log() {
        let law = Uniform { draws: 128, experiences: 1_910 };
        let exposure = law.exposure();
        let tenth = decile(exposure.len());
        assert_eq!(tenth, 191);
        let mean = |draws: &[f64]| draws.iter().sum::<f64>() / 191.0;
        near(mean(&exposure[..tenth]), 422.4, 0.05);
        near(mean(&exposure[1_910 - tenth..]), 6.66, 0.005);
        near((1..=1_910).map(|i| law.never(i)).sum(), 14.3, 0.05);
        near(gini(&exposure).unwrap(), 0.4997, 0.000_05);
        near(exposure[700], law.expected(701), 1e-9);
        near(exposure.iter().sum(), 128.0 * 1_910.0, 1e-6);
    }

    /// The paper's whole SVHN schedule, from the numbers of samples in its Figure 3.
    #[test]
    fn the_papers_schedule() {
        let samples = [1_615, 164, 131, 201, 215, 191, 192, 202, 235, 301];
        let phases = Uniform::phases(128, &samples);
        near(phases[0].share, 0.824, 0.000_5);
        near(phases[0].draws, 225.0, 0.5);
        let last = phases[9];
        near(last.share, 0.003_9, 0.000_05);
        near(last.draws, 5.8, 0.05);
        near(last.never, 0.087, 0.000_5);
        near(phases.iter().map(|phase| phase.share).sum(), 1.0, 1e-12);
    }
}
