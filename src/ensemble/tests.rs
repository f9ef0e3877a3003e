use super::bootstrap::intervals;
use super::combine::{Combine, combine, weight};
use super::measure::*;
use super::select::{greedy, ranked};
use super::*;

fn model(rows: &[&[f64]]) -> Probabilities {
    Probabilities::new(rows.concat(), rows[0].len()).unwrap()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12
}

#[test]
fn bytes_are_checked() {
    let bytes: Vec<u8> = [0.25_f32, 0.75, 1.0, 0.0].iter().flat_map(|p| p.to_le_bytes()).collect();
    let read = Probabilities::read(&bytes, 2, 2).unwrap();
    assert_eq!((read.images(), read.classes(), read.decisions()), (2, 2, vec![1, 0]));
    assert!(matches!(Probabilities::read(&bytes, 3, 2), Err(ProbabilitiesError::Size { .. })));
    assert!(matches!(
        Probabilities::read(&bytes, usize::MAX, 8),
        Err(ProbabilitiesError::Size { .. })
    ));
    for wrong in [[0.5, 0.4], [1.5, -0.5], [f64::NAN, 1.0]] {
        let values = [&[0.5, 0.5][..], &wrong].concat();
        assert_eq!(Probabilities::new(values, 2), Err(ProbabilitiesError::Image { image: 1 }));
    }
}

#[test]
fn the_first_of_equals_is_likeliest() {
    assert_eq!(likeliest(&[0.2, 0.4, 0.4]), 1);
    assert_eq!(likeliest(&[0.5, 0.5]), 0);
}

/// One image, three classes, by hand.
#[test]
fn ways_of_combining() {
    let (a, b) = (model(&[&[0.7, 0.2, 0.1]]), model(&[&[0.1, 0.5, 0.4]]));
    let row = |how, weights: [f64; 2]| {
        let combined = combine(&[(&a, weights[0]), (&b, weights[1])], how);
        (combined.probabilities.values.clone(), combined.decisions[0])
    };
    let (mean, decision) = row(Combine::Mean, [1.0, 1.0]);
    assert!(near(mean[0], 0.4) && near(mean[1], 0.35) && near(mean[2], 0.25));
    assert_eq!(decision, 0);
    let (weighted, decision) = row(Combine::Weighted, [1.0, 3.0]);
    assert!(near(weighted[0], 0.25) && near(weighted[1], 0.425) && near(weighted[2], 0.325));
    assert_eq!(decision, 1);
    let (geometric, decision) = row(Combine::Geometric, [1.0, 1.0]);
    let roots = [0.07_f64.sqrt(), 0.1_f64.sqrt(), 0.04_f64.sqrt()];
    let sum: f64 = roots.iter().sum();
    assert!(geometric.iter().zip(roots).all(|(found, root)| near(*found, root / sum)));
    assert_eq!(decision, 1);
    // One vote each: the higher mean decides.
    let (votes, decision) = row(Combine::Vote, [1.0, 1.0]);
    assert_eq!((votes, decision), (vec![0.5, 0.5, 0.0], 0));
    let (_, decision) = row(Combine::Vote, [1.0, 2.0]);
    assert_eq!(decision, 1);
    // No weight at all is equal weight; a certain zero does not make nothing of everything.
    assert_eq!(row(Combine::Mean, [0.0, 0.0]), row(Combine::Mean, [1.0, 1.0]));
    let (c, d) = (model(&[&[1.0, 0.0]]), model(&[&[0.0, 1.0]]));
    let even = combine(&[(&c, 1.0), (&d, 1.0)], Combine::Geometric);
    assert!(even.probabilities.values.iter().all(|value| near(*value, 0.5)));
}

#[test]
fn weights_are_log_odds_above_chance() {
    assert!(near(weight(25, 100, 2), 3.0_f64.ln()));
    assert_eq!(weight(90, 100, 10), 0.0);
    assert_eq!(weight(100, 100, 10), 0.0);
    assert!(weight(0, 100, 10) > weight(1, 100, 10));
    assert!(near(weight(50, 100, 10), 9.0_f64.ln()));
}

#[test]
fn errors_agreement_and_double_faults() {
    let labels = [0, 1, 1, 0];
    let (a, b) = ([0, 1, 0, 1], [0, 0, 0, 0]);
    assert_eq!((wrong(&a, &labels), wrong(&b, &labels)), (2, 2));
    assert_eq!(agreement(&a, &b), Some(0.5));
    assert_eq!(double_fault(&a, &b, &labels), Some(0.25));
    assert_eq!(double_fault(&a, &a, &labels), Some(0.5));
    assert_eq!((agreement(&[], &[]), share(0, 0)), (None, None));
}

#[test]
fn calibration_by_hand() {
    // Two images at 0.9, one of them right; one at 0.6, right.
    let one = model(&[&[0.9, 0.1], &[0.9, 0.1], &[0.6, 0.4]]);
    let found = calibration_error(&one, &[0, 0, 0], &[0, 1, 0]).unwrap();
    assert!(near(found, (2.0 * (0.9 - 0.5) + (1.0 - 0.6)) / 3.0), "{found}");
    let honest = model(&[&[1.0, 0.0], &[0.0, 1.0]]);
    assert_eq!(calibration_error(&honest, &[0, 1], &[0, 1]), Some(0.0));
}

/// Models that are wrong on these images, and sure of it.
fn wrong_on(images: usize, wrong: &[usize], sure: f64) -> Probabilities {
    let row = |image: usize| {
        if wrong.contains(&image) { [1.0 - sure, sure] } else { [sure, 1.0 - sure] }
    };
    Probabilities::new((0..images).flat_map(row).collect(), 2).unwrap()
}

#[test]
fn greedy_finds_those_that_complement_each_other() {
    let labels = [0; 12];
    let best = wrong_on(12, &[0, 1], 0.8);
    let same = wrong_on(12, &[0, 1, 2], 0.8);
    let (left, right) = (wrong_on(12, &[3, 4, 5], 0.8), wrong_on(12, &[6, 7, 8], 0.8));
    let models = [same, left, best, right];
    assert_eq!(ranked(&models, &labels), [2, 0, 1, 3]);
    let chosen = greedy(&models, &labels, 3, Combine::Mean);
    // One of each fault: no image is wrong any more.
    assert_eq!(chosen, [0, 1, 1, 1]);
    assert_eq!(greedy(&models, &labels, 1, Combine::Mean), [0, 0, 1, 0]);
    assert!(greedy(&[], &labels, 3, Combine::Mean).is_empty());
}

#[test]
fn greedy_takes_one_again_if_that_is_best_and_never_gets_worse() {
    let labels = [0; 6];
    // The good one alone is best; with the bad one once it is worse.
    let models = [wrong_on(6, &[0], 0.6), wrong_on(6, &[0, 1, 2, 3], 0.95)];
    assert_eq!(greedy(&models, &labels, 5, Combine::Mean), [1, 0]);
    // Two against one: the sure one is outvoted by the other taken twice.
    let models = [wrong_on(6, &[0], 0.9), wrong_on(6, &[1, 2], 0.55), wrong_on(6, &[3, 4], 0.55)];
    let chosen = greedy(&models, &labels, 4, Combine::Mean);
    let members: Vec<(&Probabilities, f64)> =
        models.iter().zip(&chosen).map(|(model, n)| (model, f64::from(*n))).collect();
    let together = combine(&members, Combine::Mean);
    assert!(wrong(&together.decisions, &labels) <= 1);
}

/// The intervals of a share cover it, are narrower with more images, and are the same each time.
#[test]
fn bootstrap_intervals() {
    let images = |n: usize| (0..n).map(|image| u64::from(image % 10 == 0) | 2).collect::<Vec<_>>();
    let few = intervals(&images(100), 2, 1_000, 0).unwrap();
    let many = intervals(&images(10_000), 2, 200, 0).unwrap();
    // Binomial, n 100, p 0.1: sd 0.03.
    assert!(few[0].low > 0.03 && few[0].low < 0.065, "{few:?}");
    assert!(few[0].high > 0.135 && few[0].high < 0.18, "{few:?}");
    assert!(many[0].high - many[0].low < few[0].high - few[0].low);
    assert_eq!((few[1].low, few[1].high), (1.0, 1.0));
    assert_eq!(intervals(&images(100), 2, 1_000, 0).unwrap(), few);
    assert_ne!(intervals(&images(100), 2, 1_000, 1).unwrap(), few);
    assert_eq!(intervals(&[], 2, 1_000, 0), None);
}
