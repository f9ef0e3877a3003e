//! From logits to facts: ranks and probabilities.
//!
//! The order of classes is by score, highest first, and of equal scores the lowest index first. So
//! the rank of a class is the number of classes before it, and it is among the k likeliest if its
//! rank is below k. Scores that are not all finite have no order: such an image counts as wrong.

/// What a model made of one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Rank of the true class.
    pub rank: u16,
    /// The class of rank 0.
    pub top1: u16,
    /// Its probability.
    pub p_top1: f32,
    /// The probability of the true class.
    pub p_true: f32,
    /// Rank of the class aimed at.
    pub target_rank: u16,
}

/// The facts of one image, or `None` if a score is not finite (or there are none).
///
/// `target` is the class aimed at; without one, the least likely.
#[must_use]
pub fn score(logits: &[f32], truth: usize, target: Option<usize>) -> Option<Score> {
    if logits.is_empty() || logits.iter().any(|score| !score.is_finite()) {
        return None;
    }
    let wide: Vec<f64> = logits.iter().map(|&score| score.into()).collect();
    let top1 = (0..wide.len()).find(|&class| rank(&wide, class) == 0)?;
    let probabilities = softmax(&wide);
    #[expect(clippy::cast_possible_truncation, reason = "recorded in single precision")]
    let p = |class: usize| probabilities.get(class).map(|&p| p as f32);
    let narrow = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let target = target.unwrap_or_else(|| least_likely(&wide));
    Some(Score {
        rank: narrow(rank(&wide, truth)),
        top1: narrow(top1),
        p_top1: p(top1)?,
        p_true: p(truth)?,
        target_rank: narrow(rank(&wide, target)),
    })
}

/// Classes before `class`.
#[must_use]
pub fn rank(scores: &[f64], class: usize) -> usize {
    let Some(&own) = scores.get(class) else { return scores.len() };
    let before = |&(other, &score): &(usize, &f64)| score > own || (score == own && other < class);
    scores.iter().enumerate().filter(before).count()
}

/// The class of the lowest score, of equals the lowest index.
#[must_use]
pub fn least_likely(scores: &[f64]) -> usize {
    let lower = |lowest: usize, class: usize| {
        if scores.get(class) < scores.get(lowest) { class } else { lowest }
    };
    (0..scores.len()).fold(0, lower)
}

/// Probabilities. Exponents are at most 0, so nothing overflows.
#[must_use]
pub fn softmax(scores: &[f64]) -> Vec<f64> {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| libm::exp(score - highest)).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// Cross-entropy of `label`: log(sum exp) less its score, never log of a probability that may have
/// become 0. NaN if there is no such class or a score is none.
#[must_use]
pub fn loss(scores: &[f64], label: usize) -> f64 {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| libm::exp(score - highest)).sum();
    scores.get(label).map_or(f64::NAN, |score| libm::log(sum) + highest - score)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_scores_the_lower_index_is_first() {
        let scores = [1.0, 3.0, 3.0, 0.0, 0.0];
        let ranks: Vec<usize> = (0..5).map(|class| rank(&scores, class)).collect();
        assert_eq!(ranks, [2, 0, 1, 3, 4]);
        assert_eq!(least_likely(&scores), 3);
        assert_eq!(least_likely(&[0.0, -0.0]), 0);
        let flat = score(&[0.0; 2], 1, None).unwrap();
        assert_eq!((flat.rank, flat.top1, flat.p_true), (1, 0, 0.5));
    }

    #[test]
    fn a_score_that_is_no_number_is_no_rank() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(score(&[0.0, bad, 1.0], 0, None), None);
        }
        assert_eq!(score(&[], 0, None), None);
    }

    #[test]
    fn the_loss_of_a_saturated_model_is_exact() {
        assert_eq!(loss(&[1000.0, 0.0], 0), 0.0);
        assert_eq!(loss(&[1000.0, 0.0], 1), 1000.0);
        assert!((loss(&[0.0, 0.0], 1) - 2.0_f64.ln()).abs() < 1e-15);
        assert_eq!(softmax(&[1000.0, 0.0]), [1.0, 0.0]);
        let target = score(&[5.0, 2.0, 1.0], 0, Some(1)).unwrap();
        assert_eq!((target.rank, target.target_rank), (0, 1));
        assert_eq!(score(&[5.0, 2.0, 1.0], 0, None).unwrap().target_rank, 2);
    }
}
