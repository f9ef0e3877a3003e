//! Rank correlation with ties: Spearman's rho and Kendall's tau-b, and how sure they are.
//!
//! A sample is sorted once. Every statistic takes multiplicities, how often each pair of values
//! counts, so that a resample of the bootstrap needs no sorting: rho takes O(n), tau-b O(n log n)
//! (Knight 1966 counts by merging; here a Fenwick tree counts, which multiplicities ask for).

use crate::chance::Stream;

/// Pairs (x, y), sorted.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranks {
    /// The level of each x among the distinct ones, from 0, ascending.
    x: Vec<usize>,
    /// The level of each y.
    y: Vec<usize>,
    /// The pairs by ascending x.
    by_x: Vec<usize>,
    levels_x: usize,
    levels_y: usize,
}

/// A statistic of a sample in which pair number `i` counts `times[i]` times; `None` where it has
/// no value: all x, or all y, are the same.
pub type Statistic = fn(&Ranks, &[u32]) -> Option<f64>;

impl Ranks {
    /// Ranks pairs of numbers.
    #[must_use]
    pub fn of(pairs: &[(f64, f64)]) -> Self {
        let (x, levels_x) = levels(pairs.iter().map(|pair| pair.0));
        let (y, levels_y) = levels(pairs.iter().map(|pair| pair.1));
        let mut by_x: Vec<usize> = (0..pairs.len()).collect();
        by_x.sort_by_key(|&index| x[index]);
        Self { x, y, by_x, levels_x, levels_y }
    }

    /// Number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.x.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.x.is_empty()
    }

    /// A statistic of the sample as it is.
    #[must_use]
    pub fn value(&self, statistic: Statistic) -> Option<f64> {
        statistic(self, &vec![1; self.len()])
    }

    /// Spearman's rho: Pearson's correlation of the ranks, equal values at their mean rank.
    #[must_use]
    pub fn spearman(&self, times: &[u32]) -> Option<f64> {
        let x = mean_ranks(&self.x, self.levels_x, times);
        let y = mean_ranks(&self.y, self.levels_y, times);
        let count: f64 = times.iter().map(|&times| f64::from(times)).sum();
        let mean = f64::midpoint(count, 1.0);
        let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
        for (index, &times) in times.iter().enumerate() {
            let (dx, dy) = (x[self.x[index]] - mean, y[self.y[index]] - mean);
            let times = f64::from(times);
            xy += times * dx * dy;
            xx += times * dx * dx;
            yy += times * dy * dy;
        }
        Some(xy / (xx * yy).sqrt()).filter(|rho| rho.is_finite())
    }

    /// Kendall's tau-b: concordant less discordant couples of pairs, over the geometric mean of
    /// those not tied in x and those not tied in y.
    #[must_use]
    pub fn kendall(&self, times: &[u32]) -> Option<f64> {
        let couples = |n: i64| n * (n - 1) / 2;
        let tied = |of: &[usize], levels: usize| -> i64 {
            totals(of, levels, times).into_iter().map(couples).sum()
        };
        let all = couples(times.iter().map(|&times| i64::from(times)).sum());
        let untied_x = all - tied(&self.x, self.levels_x);
        let untied_y = all - tied(&self.y, self.levels_y);
        // Pairs of lower x, by y.
        let mut lower = Fenwick::new(self.levels_y);
        let mut excess = 0_i64;
        for group in self.by_x.chunk_by(|&a, &b| self.x[a] == self.x[b]) {
            for &index in group {
                let y = self.y[index];
                let (less, greater) = (lower.below(y), lower.total - lower.below(y + 1));
                excess += i64::from(times[index]) * (less - greater);
            }
            for &index in group {
                lower.add(self.y[index], times[index].into());
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "couples of millions of pairs")]
        let tau = excess as f64 / (untied_x as f64 * untied_y as f64).sqrt();
        Some(tau).filter(|tau| tau.is_finite())
    }
}

/// Percentile interval of 95 %: the pairs are resampled with replacement. Of several samples of
/// the same pairs (one a seed) the resamples take turns, so that the interval holds what comes of
/// the choice of architectures and of the draws.
#[must_use]
pub fn bootstrap(
    samples: &[Ranks],
    statistic: Statistic,
    resamples: u32,
    chance: &mut Stream,
) -> Option<(f64, f64)> {
    let count = samples.first().filter(|sample| !sample.is_empty())?.len();
    let mut times = vec![0; count];
    let mut values = Vec::with_capacity(resamples as usize);
    for sample in samples.iter().cycle().take(resamples as usize) {
        times.fill(0);
        (0..count).for_each(|_| times[chance.index(count)] += 1);
        values.extend(statistic(sample, &times));
    }
    values.sort_by(f64::total_cmp);
    Some((quantile(&values, 0.025)?, quantile(&values, 0.975)?))
}

/// A quantile of ascending values, linear between two of them (Hyndman and Fan's type 7).
#[must_use]
pub fn quantile(ascending: &[f64], share: f64) -> Option<f64> {
    let last = ascending.len().checked_sub(1)?;
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let place = share.clamp(0.0, 1.0) * last as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
    let below = place.floor() as usize;
    let (low, high) = (ascending[below], ascending[(below + 1).min(last)]);
    // Infinite values (never) have no place between them.
    Some(if low == high { low } else { low + (high - low) * place.fract() })
}

/// The level of each value among the distinct ones, and how many there are.
fn levels(values: impl Iterator<Item = f64> + Clone) -> (Vec<usize>, usize) {
    let mut distinct: Vec<f64> = values.clone().collect();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup_by(|a, b| a == b);
    let level = |value: f64| distinct.partition_point(|other| *other < value);
    (values.map(level).collect(), distinct.len())
}

/// How often each level counts.
fn totals(of: &[usize], levels: usize, times: &[u32]) -> Vec<i64> {
    let mut totals = vec![0; levels];
    of.iter().zip(times).for_each(|(&level, &times)| totals[level] += i64::from(times));
    totals
}

/// The mean rank, from 1, of each level.
fn mean_ranks(of: &[usize], levels: usize, times: &[u32]) -> Vec<f64> {
    let mut before = 0.0;
    let rank = |total: i64| {
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let total = total as f64;
        let rank = before + f64::midpoint(total, 1.0);
        before += total;
        rank
    };
    totals(of, levels, times).into_iter().map(rank).collect()
}

/// Counts by level, with their running totals (Fenwick 1994).
struct Fenwick {
    nodes: Vec<i64>,
    total: i64,
}

impl Fenwick {
    fn new(levels: usize) -> Self {
        Self { nodes: vec![0; levels + 1], total: 0 }
    }

    fn add(&mut self, level: usize, count: i64) {
        self.total += count;
        let mut node = level + 1;
        while let Some(sum) = self.nodes.get_mut(node) {
            *sum += count;
            node += node & node.wrapping_neg();
        }
    }

    /// The total of the levels below `level`.
    fn below(&self, level: usize) -> i64 {
        let (mut node, mut sum) = (level, 0);
        while node > 0 {
            sum += self.nodes[node];
            node &= node - 1;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(x: &[f64], y: &[f64]) -> Ranks {
        Ranks::of(&x.iter().copied().zip(y.iter().copied()).collect::<Vec<_>>())
    }

    fn close(value: Option<f64>, expected: f64) {
        assert!((value.unwrap() - expected).abs() < 1e-12, "{value:?}, expected {expected}");
    }

    #[test]
    fn by_hand_without_ties() {
        let sample = ranks(&[1.0, 2.0, 3.0, 4.0, 5.0], &[10.0, 30.0, 20.0, 50.0, 40.0]);
        // Rank differences 0, 1, 1, 1, 1: 1 - 6·4 / (5·24); 8 couples agree, 2 do not.
        close(sample.value(Ranks::spearman), 0.8);
        close(sample.value(Ranks::kendall), 0.6);
        let reversed = ranks(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]);
        close(reversed.value(Ranks::spearman), -1.0);
        close(reversed.value(Ranks::kendall), -1.0);
    }

    #[test]
    fn by_hand_with_ties() {
        // x has ranks 1, 2.5, 2.5, 4; y has 1.5, 1.5, 3, 4.
        let sample = ranks(&[1.0, 2.0, 2.0, 3.0], &[5.0, 5.0, 6.0, 7.0]);
        // Deviations (-1.5, 0, 0, 1.5) and (-1, -1, 0.5, 1.5): 3.75 / sqrt(4.5 · 4.5).
        close(sample.value(Ranks::spearman), 3.75 / 4.5);
        // Six couples: one tied in x, one in y; the other four agree. 4 / sqrt(5 · 5).
        close(sample.value(Ranks::kendall), 0.8);
    }

    #[test]
    fn what_does_not_vary_has_no_correlation() {
        for sample in [ranks(&[], &[]), ranks(&[1.0], &[2.0]), ranks(&[1.0, 1.0], &[2.0, 3.0])] {
            assert_eq!(sample.value(Ranks::spearman), None);
            assert_eq!(sample.value(Ranks::kendall), None);
        }
    }

    /// Multiplicities are the same as repeating the pairs, and both are the definition.
    #[test]
    fn multiplicities_and_definition() {
        let mut chance = Stream::new(1, "test", 0);
        let (mut pairs, mut repeated, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..60 {
            let mut number = || f64::from(u8::try_from(chance.below(12)).unwrap());
            let pair = (number(), number());
            let count = u32::try_from(chance.below(4)).unwrap();
            pairs.push(pair);
            times.push(count);
            repeated.extend((0..count).map(|_| pair));
        }
        let (once, many) = (Ranks::of(&pairs), Ranks::of(&repeated));
        close(once.spearman(&times), many.value(Ranks::spearman).unwrap());
        close(once.kendall(&times), many.value(Ranks::kendall).unwrap());

        let sign = |a: f64, b: f64| f64::from(u8::from(a > b)) - f64::from(u8::from(a < b));
        let couples = || (0..repeated.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        let sum = |term: &dyn Fn(usize, usize) -> f64| couples().map(|(i, j)| term(i, j)).sum();
        let x = |i: usize, j: usize| sign(repeated[i].0, repeated[j].0);
        let y = |i: usize, j: usize| sign(repeated[i].1, repeated[j].1);
        let excess: f64 = sum(&|i, j| x(i, j) * y(i, j));
        let untied: f64 = sum(&|i, j| x(i, j).abs());
        let untied_y: f64 = sum(&|i, j| y(i, j).abs());
        close(many.value(Ranks::kendall), excess / (untied * untied_y).sqrt());
    }

    #[test]
    fn quantiles_lie_between_values() {
        let values = [1.0, 2.0, 4.0, 8.0];
        let at = |share| quantile(&values, share).unwrap();
        assert_eq!([at(0.0), at(0.5), at(1.0), at(0.25)], [1.0, 3.0, 8.0, 1.75]);
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[1.0, f64::INFINITY, f64::INFINITY], 0.75), Some(f64::INFINITY));
    }

    /// For 200 independent normal-like pairs with correlation 0, the interval of rho is about
    /// ±1.96 / sqrt(199) = ±0.139 wide around the estimate.
    #[test]
    fn the_interval_has_the_width_of_theory() {
        let mut chance = Stream::new(2, "test", 0);
        let mut number = || f64::from(u32::try_from(chance.bits() >> 32).unwrap());
        let pairs: Vec<(f64, f64)> = (0..200).map(|_| (number(), number())).collect();
        let sample = Ranks::of(&pairs);
        let rho = sample.value(Ranks::spearman).unwrap();
        let interval = |seed| {
            let mut chance = Stream::new(seed, "bootstrap", 0);
            bootstrap(std::slice::from_ref(&sample), Ranks::spearman, 1_000, &mut chance).unwrap()
        };
        let (low, high) = interval(3);
        assert!(low < rho && rho < high);
        assert!((0.2..0.36).contains(&(high - low)), "{low} to {high}");
        assert_eq!(interval(3), (low, high));
        assert_ne!(interval(4), (low, high));
    }
}
