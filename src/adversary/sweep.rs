//! Attacks of several sizes for the price of little more than the largest.
//!
//! With whole steps of `alpha`, iterate N lies within N alpha of the clean image, so the box of size
//! eps cannot act before step eps / alpha. Attacks that differ in eps alone are therefore one
//! sequence until then: a *trunk* is walked once, and at each eps the remaining steps *branch* off.
//! One-step attacks of every size need one gradient, and it is the one that an iterative attack on
//! the same class begins with.

use serde::{Deserialize, Serialize};

use super::spec::{AttackSpec, Label};

/// Attacks that walk the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Chain {
    /// The class whose loss is differentiated.
    pub label: Label,
    /// Whether the loss is to grow.
    pub away: bool,
    /// Change of a value in one step; 0: the whole size at once.
    pub alpha: u8,
    /// Whether the first iterate is a random point of the box; the chain has one size then.
    pub random_start: bool,
    /// The sizes, growing.
    pub ends: Vec<End>,
}

/// Where an attack of a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct End {
    /// Number of the specification.
    pub spec: u16,
    /// Size of the box.
    pub eps: u8,
    /// Steps.
    pub steps: u16,
}

impl Chain {
    /// Steps of an end that lie on the trunk: those that its box cannot act in.
    #[must_use]
    pub fn shared(&self, end: &End) -> u16 {
        if self.random_start || self.alpha == 0 {
            return 0;
        }
        end.steps.min(u16::from(end.eps / self.alpha))
    }

    /// Length of the trunk.
    #[must_use]
    pub fn trunk(&self) -> u16 {
        self.ends.iter().map(|end| self.shared(end)).max().unwrap_or(0)
    }

    /// Gradients that the chain takes by itself.
    #[must_use]
    pub fn gradients(&self) -> u32 {
        if self.alpha == 0 {
            return 1;
        }
        let branches = self.ends.iter().map(|end| u32::from(end.steps - self.shared(end)));
        u32::from(self.trunk()) + branches.sum::<u32>()
    }

    /// Whether its first gradient is that of the clean image.
    #[must_use]
    pub fn begins_clean(&self) -> bool {
        !self.random_start
    }
}

/// The chains of some attacks; the number of an attack is its place in `specs`.
#[must_use]
pub fn plan(specs: &[AttackSpec]) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    for (spec, number) in specs.iter().zip(0..) {
        let one = spec.method.is_one_step();
        let end = End { spec: number, eps: spec.eps, steps: spec.iterations };
        let chain = Chain {
            label: spec.method.label(),
            away: spec.method.is_away(),
            alpha: if one { 0 } else { spec.alpha },
            random_start: spec.random_start,
            ends: vec![end],
        };
        let same = |known: &&mut Chain| {
            let known = (known.label, known.away, known.alpha, known.random_start);
            known == (chain.label, chain.away, chain.alpha, false)
        };
        match chains.iter_mut().find(same) {
            Some(known) if !chain.random_start => known.ends.push(end),
            _ => chains.push(chain),
        }
    }
    for chain in &mut chains {
        chain.ends.sort_by_key(|end| (end.eps, end.spec));
    }
    chains
}

/// Gradients that some chains take together: those that begin at the clean image, on the same
/// class, share the first one.
#[must_use]
pub fn gradients(chains: &[Chain]) -> u32 {
    let alone: u32 = chains.iter().map(Chain::gradients).sum();
    let shared = |label: Label| {
        let begin = chains.iter().filter(|chain| chain.label == label && chain.begins_clean());
        u32::try_from(begin.count().saturating_sub(1)).unwrap_or(0)
    };
    alone - Label::ALL.iter().map(|&label| shared(label)).sum::<u32>()
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::spec;
    use super::super::spec::{Method, Rounding, iterations};
    use super::*;

    fn of(method: Method, sizes: &[u8]) -> Vec<AttackSpec> {
        sizes.iter().map(|&eps| spec(method, eps)).collect()
    }

    #[test]
    fn a_sweep_costs_what_the_sheet_says() {
        for (sizes, naive, shared) in
            [(&[2, 4, 8, 16][..], 37, 23), (&[2, 4, 8, 16, 32, 64, 128], 273, 147)]
        {
            let specs = of(Method::Basic, sizes);
            let alone: u16 = specs.iter().map(|spec| spec.iterations).sum();
            assert_eq!(alone, naive);
            assert_eq!(gradients(&plan(&specs)), shared);
        }
    }

    #[test]
    fn fast_and_basic_share_the_gradient_of_the_clean_image() {
        let sizes = [2, 4, 8, 16];
        let methods = [Method::Fast, Method::Basic, Method::LeastLikely];
        let specs: Vec<_> = methods.iter().flat_map(|&method| of(method, &sizes)).collect();
        let chains = plan(&specs);
        assert_eq!(chains.len(), 3);
        assert_eq!(gradients(&plan(&of(Method::Fast, &sizes))), 1);
        assert_eq!(gradients(&chains), 23 + 23);
        // Each attack has its place in one chain.
        let mut ends: Vec<u16> =
            chains.iter().flat_map(|chain| chain.ends.iter().map(|end| end.spec)).collect();
        ends.sort_unstable();
        assert_eq!(ends, (0..12).collect::<Vec<u16>>());
    }

    #[test]
    fn random_starts_share_nothing() {
        let specs: Vec<_> = of(Method::Basic, &[2, 4])
            .into_iter()
            .map(|spec| AttackSpec { random_start: true, ..spec })
            .collect();
        let chains = plan(&specs);
        assert_eq!(chains.len(), 2);
        let alone = iterations(2, Rounding::Floor) + iterations(4, Rounding::Floor);
        assert_eq!(gradients(&chains), u32::from(alone));
    }
}
