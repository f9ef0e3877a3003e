//! Weights in a complete binary tree: their sum, least and greatest at the root, a draw in
//! proportion in logarithmic time (Schaul et al. 2016, appendix B.2.1).
//!
//! A node is always computed from its children, so what the tree holds follows from the weights
//! alone, to the bit, and not from the order in which they came.

use crate::chance::Stream;

/// Weights by index.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    /// Node 1 is the root, the children of n are 2n and 2n + 1; the last half are the weights.
    /// Apart from the extremes, because a draw reads sums alone.
    sums: Vec<f64>,
    extremes: Vec<Extremes>,
    len: usize,
}

/// The least and the greatest weight below a node.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Extremes {
    least: f64,
    greatest: f64,
}

impl Extremes {
    const NONE: Self = Self { least: f64::INFINITY, greatest: f64::NEG_INFINITY };

    fn of(weight: f64) -> Self {
        Self { least: weight, greatest: weight }
    }

    fn over(a: Self, b: Self) -> Self {
        Self { least: a.least.min(b.least), greatest: a.greatest.max(b.greatest) }
    }
}

impl Tree {
    fn capacity(&self) -> usize {
        self.sums.len() / 2
    }

    /// Adds a weight.
    pub(super) fn push(&mut self, weight: f64) {
        if self.len == self.capacity() {
            let leaves: Vec<f64> = (0..self.len).map(|index| self.get(index)).collect();
            let capacity = (2 * self.capacity()).max(16);
            self.sums = vec![0.0; 2 * capacity];
            self.extremes = vec![Extremes::NONE; 2 * capacity];
            self.set_all(leaves.into_iter());
        }
        self.len += 1;
        self.set(self.len - 1, weight);
    }

    /// The weight at an index.
    pub(super) fn get(&self, index: usize) -> f64 {
        self.sums[self.capacity() + index]
    }

    /// Changes a weight.
    pub(super) fn set(&mut self, index: usize, weight: f64) {
        let leaf = self.capacity() + index;
        (self.sums[leaf], self.extremes[leaf]) = (weight, Extremes::of(weight));
        let mut node = leaf / 2;
        while node > 0 {
            self.sums[node] = self.sum_below(node);
            node /= 2;
        }
        // Few weights are extremes: most often nothing changes from some node on.
        let mut node = leaf / 2;
        while node > 0 {
            let now = self.extremes_below(node);
            if self.extremes[node] == now {
                break;
            }
            self.extremes[node] = now;
            node /= 2;
        }
    }

    fn sum_below(&self, node: usize) -> f64 {
        self.sums[2 * node] + self.sums[2 * node + 1]
    }

    fn extremes_below(&self, node: usize) -> Extremes {
        Extremes::over(self.extremes[2 * node], self.extremes[2 * node + 1])
    }

    /// Changes all weights, from the first on.
    pub(super) fn set_all(&mut self, weights: impl Iterator<Item = f64>) {
        let capacity = self.capacity();
        let leaves = self.sums[capacity..].iter_mut().zip(&mut self.extremes[capacity..]);
        for ((sum, extremes), weight) in leaves.zip(weights) {
            (*sum, *extremes) = (weight, Extremes::of(weight));
        }
        for node in (1..capacity).rev() {
            self.sums[node] = self.sum_below(node);
            self.extremes[node] = self.extremes_below(node);
        }
    }

    /// The smallest weight.
    pub(super) fn least(&self) -> Option<f64> {
        self.root().map(|root| root.least)
    }

    /// The greatest weight.
    pub(super) fn greatest(&self) -> Option<f64> {
        self.root().map(|root| root.greatest)
    }

    fn root(&self) -> Option<Extremes> {
        self.extremes.get(1).copied().filter(|_| self.len > 0)
    }

    /// Draws an index in proportion to its weight.
    pub(super) fn draw(&self, chance: &mut Stream) -> usize {
        let capacity = self.capacity();
        let mut rest = chance.unit() * self.sums[1];
        let mut node = 1;
        while node < capacity {
            let (left, right) = (self.sums[2 * node], self.sums[2 * node + 1]);
            // Rounding may leave a rest that no weight is left for. Without a branch: nobody can
            // foresee a draw.
            let is_right = (rest >= left) & (right > 0.0);
            rest -= if is_right { left } else { 0.0 };
            node = 2 * node + usize::from(is_right);
        }
        (node - capacity).min(self.len.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a list: sums, extremes, and which index a draw hits.
    #[test]
    fn as_a_list_would() {
        let (mut tree, mut list) = (Tree::default(), Vec::new());
        let mut chance = Stream::new(1, "tree", 0);
        for step in 0..2_000_u64 {
            if list.len() < 3 || chance.below(3) == 0 {
                let weight = chance.unit() + 0.001;
                tree.push(weight);
                list.push(weight);
            } else {
                let (index, weight) = (chance.index(list.len()), chance.unit() + 0.001);
                tree.set(index, weight);
                list[index] = weight;
            }
            let sum: f64 = list.iter().sum();
            assert!((tree.sums[1] - sum).abs() < 1e-9 * sum);
            assert_eq!(tree.least(), list.iter().copied().reduce(f64::min));
            assert_eq!(tree.greatest(), list.iter().copied().reduce(f64::max));
            let mut same = Stream::new(2, "draw", step);
            let mut rest = same.clone().unit() * tree.sums[1];
            let found = tree.draw(&mut same);
            let naive = list.iter().position(|weight| {
                rest -= weight;
                rest < 0.0
            });
            // Where rounding decides, a neighbour is right too.
            let naive = naive.unwrap_or(list.len() - 1);
            assert!(found.abs_diff(naive) <= 1 && (found == naive || rest.abs() < 1e-6));
        }
    }

    #[test]
    fn no_draw_hits_a_weight_of_nothing() {
        let mut tree = Tree::default();
        [0.0, 1.0, 0.0, 2.0, 0.0].into_iter().for_each(|weight| tree.push(weight));
        let mut chance = Stream::new(3, "tree", 0);
        let mut hits = [0; 5];
        (0..3_000).for_each(|_| hits[tree.draw(&mut chance)] += 1);
        assert_eq!((hits[0], hits[2], hits[4]), (0, 0, 0));
        // Binomial(3000, 1/3): sd 26.
        assert!((884..=1_116).contains(&hits[1]), "{hits:?}");
    }
}
