//! The arithmetic of attacks on one image: the reference that whatever computes fast is held
//! against.

use super::rank::least_likely;
use super::spec::Label;
use super::sweep::{Chain, End};
use super::{Classifier, spec::AttackSpec};

/// What came of attacking one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crafted {
    /// The image.
    pub image: Vec<u8>,
    /// The class whose loss was differentiated.
    pub label: usize,
    /// Values whose gradient was exactly 0 in the first iteration.
    pub zero_gradient: usize,
    /// Values whose gradient was NaN or infinite in the first iteration.
    pub invalid_gradient: usize,
}

/// One step from `iterate`: `step` along the sign of the gradient (or against it), then clipped to
/// the box of `eps` around `clean` and to 0..255.
#[must_use]
pub fn step(
    clean: &[u8],
    iterate: &[u8],
    gradient: &[f64],
    away: bool,
    step: u8,
    eps: u8,
) -> Vec<u8> {
    let values = clean.iter().zip(iterate).zip(gradient);
    values
        .map(|((&clean, &value), &slope)| {
            let up = if away { slope > 0.0 } else { slope < 0.0 };
            let down = if away { slope < 0.0 } else { slope > 0.0 };
            let moved = match (up, down) {
                (true, _) => value.saturating_add(step),
                (_, true) => value.saturating_sub(step),
                _ => value, // a gradient of 0 or NaN moves nothing; an infinite one has a sign
            };
            moved.clamp(clean.saturating_sub(eps), clean.saturating_add(eps))
        })
        .collect()
}

/// One attack by itself, step by step as the paper writes it. `random` is the class of
/// [`Label::Random`], `start` the first iterate.
#[must_use]
pub fn alone(
    model: &dyn Classifier,
    spec: &AttackSpec,
    clean: &[u8],
    truth: usize,
    random: usize,
    start: &[u8],
) -> Crafted {
    let label = label(model, spec.method.label(), clean, truth, random);
    let (mut image, mut first) = (start.to_vec(), (0, 0));
    for iteration in 0..spec.iterations {
        let gradient = model.gradient(&image, label);
        if iteration == 0 {
            first = counts(&gradient);
        }
        image = step(clean, &image, &gradient, spec.method.is_away(), spec.alpha, spec.eps);
    }
    let (zero_gradient, invalid_gradient) = first;
    Crafted { image, label, zero_gradient, invalid_gradient }
}

/// All attacks of a chain, along its trunk; with the number of each one's specification.
#[must_use]
pub fn along(
    model: &dyn Classifier,
    chain: &Chain,
    clean: &[u8],
    truth: usize,
    random: usize,
    start: &[u8],
) -> Vec<(u16, Crafted)> {
    let label = label(model, chain.label, clean, truth, random);
    let mut crafted = Vec::new();
    let first = model.gradient(start, label);
    let (zero_gradient, invalid_gradient) = counts(&first);
    let made = |image: Vec<u8>| Crafted { image, label, zero_gradient, invalid_gradient };
    if chain.alpha == 0 {
        for end in &chain.ends {
            let image = step(clean, start, &first, chain.away, end.eps, end.eps);
            crafted.push((end.spec, made(image)));
        }
        return crafted;
    }
    let largest = chain.ends.iter().map(|end| end.eps).max().unwrap_or(0);
    let walk = |image: Vec<u8>, eps: u8| {
        step(clean, &image, &model.gradient(&image, label), chain.away, chain.alpha, eps)
    };
    let mut trunk = start.to_vec();
    for done in 0..=chain.trunk() {
        let here = |end: &&End| chain.shared(end) == done;
        for end in chain.ends.iter().filter(here) {
            let image = (done..end.steps).fold(trunk.clone(), |image, _| walk(image, end.eps));
            crafted.push((end.spec, made(image)));
        }
        if done < chain.trunk() {
            trunk = walk(trunk, largest);
        }
    }
    crafted
}

fn label(model: &dyn Classifier, label: Label, clean: &[u8], truth: usize, random: usize) -> usize {
    match label {
        Label::True => truth,
        Label::LeastLikely => least_likely(&model.logits(clean)),
        Label::Random => random,
    }
}

/// Slopes that are 0, and those that are NaN or infinite.
fn counts(gradient: &[f64]) -> (usize, usize) {
    let count = |meant: fn(&&f64) -> bool| gradient.iter().filter(meant).count();
    (count(|slope| **slope == 0.0), count(|slope| !slope.is_finite()))
}

#[cfg(test)]
#[path = "craft_tests.rs"]
mod tests;
