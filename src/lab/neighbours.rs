//! A guess at what an architecture would score: from those on record that are most like it.
//!
//! The distance of two architectures is the edit distance of their sequences of layers: 1 for a
//! layer more or less and for a layer of another kind in its place, [`SAME_KIND`] for one of the
//! same kind with other numbers. A guess is the mean reward of the nearest, weighted by
//! 1 / (distance + 1/2). It is a guess: [`Neighbours::held_out`] says how good it is on
//! architectures whose result is known and was left out.

use crate::arch::{Architecture, Layer};

/// Cost of a layer of the same kind with other numbers.
pub const SAME_KIND: f64 = 0.5;

/// An architecture on record.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbour {
    /// The architecture.
    pub architecture: Architecture,
    /// Its mean reward.
    pub reward: f64,
}

/// Guesses from the nearest.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    known: Vec<Neighbour>,
    count: usize,
}

/// How good guesses are on architectures that were left out, one at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldOut {
    /// Architectures guessed.
    pub n: usize,
    /// Root of the mean squared error.
    pub rmse: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// Share of the variance that the guesses explain; below 0 they are worse than the mean.
    /// `None` if there is no variance.
    pub explained: Option<f64>,
}

impl Neighbours {
    /// Guesses from the `count` nearest of `known`.
    #[must_use]
    pub fn new(known: Vec<Neighbour>, count: usize) -> Self {
        Self { known, count: count.max(1) }
    }

    /// The guess for an architecture; `None` if nothing is on record.
    #[must_use]
    pub fn guess(&self, architecture: &Architecture) -> Option<f64> {
        self.guess_without(architecture, None)
    }

    fn guess_without(&self, architecture: &Architecture, left_out: Option<usize>) -> Option<f64> {
        let others = self.known.iter().enumerate().filter(|(index, _)| Some(*index) != left_out);
        let mut distances: Vec<(f64, usize)> = others
            .map(|(index, known)| (distance(architecture, &known.architecture), index))
            .collect();
        // Equally near ones in the order of the record, so that a guess is a function of it.
        let order = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if distances.len() > self.count {
            distances.select_nth_unstable_by(self.count, order);
            distances.truncate(self.count);
        }
        distances.sort_unstable_by(order);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (distance, index) in distances {
            let weight = 1.0 / (distance + 0.5);
            sum += weight * self.known[index].reward;
            weights += weight;
        }
        (weights > 0.0).then(|| sum / weights)
    }

    /// Leaves out each architecture in turn and guesses it from the others. At most `limit` are
    /// guessed, evenly spread over the record.
    #[must_use]
    pub fn held_out(&self, limit: usize) -> Option<HeldOut> {
        let step = self.known.len().div_ceil(limit.max(1)).max(1);
        let pairs: Vec<(f64, f64)> = (0..self.known.len())
            .step_by(step)
            .filter_map(|index| {
                let known = &self.known[index];
                Some((known.reward, self.guess_without(&known.architecture, Some(index))?))
            })
            .collect();
        if pairs.is_empty() {
            return None;
        }
        let n = pairs.len() as f64;
        let mean = pairs.iter().map(|(reward, _)| reward).sum::<f64>() / n;
        let squares: f64 = pairs.iter().map(|(reward, guess)| (reward - guess).powi(2)).sum();
        let total: f64 = pairs.iter().map(|(reward, _)| (reward - mean).powi(2)).sum();
        let absolute: f64 = pairs.iter().map(|(reward, guess)| (reward - guess).abs()).sum();
        Some(HeldOut {
            n: pairs.len(),
            rmse: (squares / n).sqrt(),
            mae: absolute / n,
            explained: (total > 0.0).then(|| 1.0 - squares / total),
        })
    }
}

/// Edit distance of the sequences of layers.
#[must_use]
pub fn distance(a: &Architecture, b: &Architecture) -> f64 {
    let (a, b) = (a.layers(), b.layers());
    // Row by row; `row[j]` is the distance of the layers of `a` so far from the first j of `b`.
    let mut row: Vec<f64> = (0..=b.len()).map(|n| n as f64).collect();
    for &layer in a {
        let mut diagonal = row[0];
        row[0] += 1.0;
        for (j, &other) in b.iter().enumerate() {
            let replaced = diagonal + substitution(layer, other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1.0).min(diagonal + 1.0);
        }
    }
    row[b.len()]
}

fn substitution(a: Layer, b: Layer) -> f64 {
    if a == b {
        0.0
    } else if std::mem::discriminant(&a) == std::mem::discriminant(&b) {
        SAME_KIND
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Architecture {
        text.parse().unwrap()
    }

    #[test]
    fn distances() {
        let base = net("[C(8,3,1), P(2,2), SM(10)]");
        for (other, expected) in [
            ("[C(8,3,1), P(2,2), SM(10)]", 0.0),
            ("[C(16,3,1), P(2,2), SM(10)]", 0.5),
            ("[C(8,3,1), SM(10)]", 1.0),
            ("[C(8,3,1), C(8,3,1), P(2,2), SM(10)]", 1.0),
            ("[SM(10)]", 2.0),
        ] {
            let other = net(other);
            assert_eq!(distance(&base, &other), expected, "{other}");
            assert_eq!(distance(&other, &base), expected, "{other}");
        }
    }

    #[test]
    fn the_nearest_count_most() {
        let known = [("[SM(10)]", 0.2), ("[C(8,3,1), SM(10)]", 0.6), ("[C(8,1,1), SM(10)]", 0.5)];
        let known: Vec<Neighbour> =
            known.map(|(text, reward)| Neighbour { architecture: net(text), reward }).into();
        let asked = net("[C(16,3,1), SM(10)]");
        // Both convolutions are at 0.5, the first on record is taken.
        assert_eq!(Neighbours::new(known.clone(), 1).guess(&asked), Some(0.6));
        // Weights 1, 1 and 1/1.5.
        let all = Neighbours::new(known, 3).guess(&asked).unwrap();
        assert!((all - (0.6 + 0.5 + 0.2 / 1.5) / (2.0 + 1.0 / 1.5)).abs() < 1e-15);
        assert_eq!(Neighbours::new(Vec::new(), 3).guess(&asked), None);
    }

    #[test]
    fn what_is_left_out_is_not_asked() {
        let known = [("[SM(10)]", 0.0), ("[C(8,3,1), SM(10)]", 1.0)];
        let known: Vec<Neighbour> =
            known.map(|(text, reward)| Neighbour { architecture: net(text), reward }).into();
        // Each is guessed by the other: as wrong as can be.
        let found = Neighbours::new(known, 1).held_out(10).unwrap();
        assert_eq!((found.n, found.rmse, found.mae, found.explained), (2, 1.0, 1.0, Some(-3.0)));
    }
}
