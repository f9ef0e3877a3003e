//! Attacks that can be worked out by hand, and laws that hold for all of them.
#![allow(clippy::cast_possible_truncation, reason = "small numbers")]

use proptest::prelude::*;

use super::super::linear::Linear;
use super::super::rank::{loss, rank, softmax};
use super::super::spec::tests::spec;
use super::super::spec::{Method, Rounding, iterations};
use super::super::sweep::plan;
use super::*;

/// logits = W2 tanh(W1 x / 255): gradients that change along the way.
struct Curved {
    inner: Vec<Vec<f64>>,
    outer: Vec<Vec<f64>>,
}

fn times(matrix: &[Vec<f64>], vector: &[f64]) -> Vec<f64> {
    matrix.iter().map(|row| row.iter().zip(vector).map(|(w, x)| w * x).sum()).collect()
}

impl Curved {
    fn random(values: usize, classes: usize, seed: u64) -> Self {
        let mut chance = crate::chance::Stream::new(seed, "curved", 0);
        let mut matrix = |rows: usize, columns: usize| -> Vec<Vec<f64>> {
            let mut row = || (0..columns).map(|_| 6.0 * chance.unit() - 3.0).collect();
            (0..rows).map(|_| row()).collect()
        };
        Self { inner: matrix(5, values), outer: matrix(classes, 5) }
    }

    fn hidden(&self, image: &[u8]) -> Vec<f64> {
        let scaled: Vec<f64> = image.iter().map(|&x| f64::from(x) / 255.0).collect();
        times(&self.inner, &scaled).into_iter().map(f64::tanh).collect()
    }
}

impl Classifier for Curved {
    fn logits(&self, image: &[u8]) -> Vec<f64> {
        times(&self.outer, &self.hidden(image))
    }

    fn gradient(&self, image: &[u8], label: usize) -> Vec<f64> {
        let hidden = self.hidden(image);
        let mut slopes = softmax(&times(&self.outer, &hidden));
        slopes[label] -= 1.0;
        let back = |unit: usize| {
            let outer: f64 = self.outer.iter().zip(&slopes).map(|(row, s)| row[unit] * s).sum();
            outer * (1.0 - hidden[unit] * hidden[unit])
        };
        let units: Vec<f64> = (0..hidden.len()).map(back).collect();
        (0..image.len())
            .map(|x| self.inner.iter().zip(&units).map(|(row, u)| row[x] * u).sum::<f64>() / 255.0)
            .collect()
    }
}

fn linear(weights: &[&[f64]], scale: f64) -> Linear {
    let weights: Vec<Vec<f64>> = weights.iter().map(|row| row.to_vec()).collect();
    Linear { bias: vec![0.0; weights.len()], weights, scale }
}

fn attack(model: &dyn Classifier, method: Method, eps: u8, clean: &[u8], truth: usize) -> Crafted {
    alone(model, &spec(method, eps), clean, truth, 0, clean)
}

/// The vector of the sheet that tells the basic from the least-likely attack.
#[test]
fn the_known_vector_of_three_classes() {
    let model =
        linear(&[&[2.0, -1.0, 0.0, 3.0], &[-1.0, 4.0, 1.0, 0.0], &[0.0, 0.0, -2.0, 1.0]], 1.0);
    let clean = [200, 3, 128, 254];
    let near = |image: &[u8], expected: [f64; 3]| {
        let found = softmax(&model.logits(image));
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 5e-7), "{found:?}");
    };
    near(&clean, [0.981_423, 0.008_237, 0.010_340]);
    assert_eq!(least_likely(&model.logits(&clean)), 1);
    let fast = attack(&model, Method::Fast, 8, &clean, 0);
    let basic = attack(&model, Method::Basic, 8, &clean, 0);
    let towards = attack(&model, Method::LeastLikely, 8, &clean, 0);
    assert_eq!(fast.image, [192, 11, 120, 246]);
    assert_eq!(basic.image, fast.image);
    assert_eq!(towards.image, [192, 11, 136, 246]);
    assert_eq!((basic.label, towards.label), (0, 1));
    near(&basic.image, [0.975_982, 0.011_210, 0.012_809]);
    near(&towards.image, [0.976_748, 0.011_945, 0.011_307]);
}

#[test]
fn a_saturated_model_moves_nothing_and_that_is_counted() {
    let model = linear(&[&[3.0, 1.0], &[-1.0, 2.0]], 1000.0);
    let clean = [255, 10];
    for method in [Method::Fast, Method::Basic] {
        let crafted = attack(&model, method, 16, &clean, 0);
        assert_eq!((crafted.image, crafted.zero_gradient), (clean.to_vec(), 2));
    }
    assert_eq!(loss(&model.logits(&clean), 0), 0.0);
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let model = Curved::random(6, 4, 3);
    let clean = [10, 200, 128, 60, 90, 250];
    for label in 0..4 {
        let gradient = model.gradient(&clean, label);
        for (value, slope) in gradient.iter().enumerate() {
            let moved = |by: i16| {
                let mut image = clean;
                image[value] = u8::try_from(i16::from(image[value]) + by).unwrap();
                loss(&model.logits(&image), label)
            };
            let difference = (moved(1) - moved(-1)) / 2.0;
            assert!((difference - slope).abs() < 1e-4, "{difference} is not {slope}");
        }
    }
}

/// The room of a value on the side that the attack pushes it to.
fn room(clean: u8, up: bool, eps: u8) -> f64 {
    f64::from(if up { eps.min(255 - clean) } else { eps.min(clean) })
}

proptest! {
    /// Two classes: the sign never changes, so one step finds the exact optimum of the box, and
    /// what is left of the margin is known.
    #[test]
    fn two_classes_have_a_closed_form(
        weights in proptest::collection::vec((-3_i8..=3, -3_i8..=3), 1..8),
        seed in 0_u64..1000, eps in 1_u8..=64, truth in 0_usize..2,
    ) {
        // Equal weights have a gradient of 0, which rounding may miss.
        let other = |w: &(i8, i8)| f64::from(w.1) + if w.0 == w.1 { 0.5 } else { 0.0 };
        let rows: Vec<Vec<f64>> = vec![
            weights.iter().map(|w| f64::from(w.0)).collect(),
            weights.iter().map(other).collect(),
        ];
        let model = Linear { weights: rows.clone(), bias: vec![0.0; 2], scale: 1.0 };
        let mut chance = crate::chance::Stream::new(seed, "clean", 0);
        let clean: Vec<u8> = weights.iter().map(|_| chance.below(256) as u8).collect();
        let other = 1 - truth;
        let fast = attack(&model, Method::Fast, eps, &clean, truth);
        let difference: Vec<f64> =
            rows[truth].iter().zip(&rows[other]).map(|(a, b)| a - b).collect();
        let margin = |image: &[u8]| model.logits(image)[truth] - model.logits(image)[other];
        let lost: f64 = difference.iter().zip(&clean)
            .map(|(d, &x)| d.abs() * room(x, *d < 0.0, eps) / 255.0).sum();
        prop_assert!((margin(&fast.image) - (margin(&clean) - lost)).abs() < 1e-9);
        let basic = attack(&model, Method::Basic, eps, &clean, truth);
        prop_assert_eq!(&basic.image, &fast.image);
        // The least likely class is the other one if the model is right, the true one if not.
        let towards = attack(&model, Method::LeastLikely, eps, &clean, truth);
        if towards.label == other {
            prop_assert_eq!(&towards.image, &fast.image);
        } else {
            let gained: f64 = difference.iter().zip(&clean)
                .map(|(d, &x)| d.abs() * room(x, *d > 0.0, eps) / 255.0).sum();
            prop_assert!((margin(&towards.image) - (margin(&clean) + gained)).abs() < 1e-9);
        }
    }

    #[test]
    fn a_sweep_gives_what_each_attack_gives_alone(
        seed in 0_u64..500, classes in 2_usize..5, alpha in 1_u8..4, ceil: bool,
        sizes in proptest::collection::vec(1_u8..40, 1..5),
    ) {
        let model = Curved::random(6, classes, seed);
        let mut chance = crate::chance::Stream::new(seed, "clean", 1);
        let clean: Vec<u8> = (0..6).map(|_| chance.below(256) as u8).collect();
        let (truth, random) = (chance.index(classes), chance.index(classes));
        let rounding = if ceil { Rounding::Ceil } else { Rounding::Floor };
        let specs: Vec<AttackSpec> = Method::ALL.iter().flat_map(|&method| {
            sizes.iter().map(move |&eps| match method.is_one_step() {
                true => spec(method, eps),
                false => AttackSpec {
                    alpha, iterations: iterations(eps, rounding), ..spec(method, eps)
                },
            })
        }).collect();
        let mut seen = 0;
        for chain in plan(&specs) {
            for (number, crafted) in along(&model, &chain, &clean, truth, random, &clean) {
                let spec = &specs[usize::from(number)];
                let expected = alone(&model, spec, &clean, truth, random, &clean);
                prop_assert_eq!(&crafted, &expected, "{}", spec.text());
                let far = crafted.image.iter().zip(&clean).map(|(a, b)| a.abs_diff(*b)).max();
                let most = u16::from(spec.alpha) * spec.iterations;
                prop_assert!(far <= Some(spec.eps) && u16::from(far.unwrap()) <= most);
                if spec.method.is_one_step() {
                    prop_assert!(crafted.image.iter().zip(&clean).all(|(&a, &x)| a == x
                        || a == x.saturating_add(spec.eps) || a == x.saturating_sub(spec.eps)));
                }
                seen += 1;
            }
        }
        prop_assert_eq!(seen, specs.len());
    }

    /// Other names for the classes: the same image, the least likely class under its new name.
    #[test]
    fn the_order_of_classes_does_not_matter(seed in 0_u64..200) {
        let model = Curved::random(6, 4, seed);
        let order = [2, 0, 3, 1]; // new name of each class
        let mut outer = model.outer.clone();
        for (old, &new) in order.iter().enumerate() {
            outer[new].clone_from(&model.outer[old]);
        }
        let renamed = Curved { inner: model.inner.clone(), outer };
        let clean = [10, 200, 128, 60, 90, 250];
        let before = attack(&model, Method::LeastLikely, 4, &clean, 0);
        let after = attack(&renamed, Method::LeastLikely, 4, &clean, order[0]);
        prop_assert_eq!(order[before.label], after.label);
        prop_assert_eq!(before.image, after.image);
        let ranks = |model: &Curved, class| rank(&model.logits(&clean), class);
        prop_assert_eq!(ranks(&model, 1), ranks(&renamed, order[1]));
    }
}

#[test]
fn no_box_no_change() {
    let model = Curved::random(6, 3, 1);
    let clean = [10, 200, 128, 60, 90, 250];
    let gradient = model.gradient(&clean, 0);
    assert_eq!(step(&clean, &clean, &gradient, true, 0, 0), clean);
    // A start off the clean image is pulled back into the box around the clean image.
    let far = [20, 210, 118, 60, 90, 255];
    let back = step(&clean, &far, &[0.0; 6], true, 1, 3);
    assert_eq!(back, [13, 203, 125, 60, 90, 253]);
    assert_eq!(step(&clean, &clean, &[f64::NAN; 6], true, 1, 3), clean);
}
