//! Choosing members on the validation images. Nothing here ever sees a test image.

use super::Probabilities;
use super::combine::{Combine, combine, count};
use super::measure::{negative_log_likelihood, wrong};

/// How good an ensemble is on the validation images: wrong ones first, then how unlikely it thought
/// the truth.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
struct Score {
    wrong: usize,
    surprise: f64,
}

/// The candidates in order of their validation errors, the best first; of equals the one to which
/// the truth was likelier, then the first given.
#[must_use]
pub fn ranked(candidates: &[Probabilities], labels: &[usize]) -> Vec<usize> {
    let scores: Vec<Score> =
        candidates.iter().map(|one| score(&[(one, 1.0)], labels, Combine::Mean)).collect();
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (scores[a], scores[b]);
        a.wrong.cmp(&b.wrong).then(a.surprise.total_cmp(&b.surprise))
    });
    order
}

/// Greedy selection with replacement (Caruana, Niculescu-Mizil, Crew and Ksikes 2004), up to `size`
/// members, and how often each candidate is in it: of the nested ensembles the one that is best on
/// the validation images, the smallest of equals.
///
/// Sorted initialisation: of the candidates in the order of [`ranked`], the first ones are the first
/// members, as many as are best together, up to half of `size`; then the candidate is added, again and again,
/// with which the ensemble is best, the first of equals in that order.
#[must_use]
pub fn greedy(
    candidates: &[Probabilities],
    labels: &[usize],
    size: usize,
    how: Combine,
) -> Vec<u32> {
    let order = ranked(candidates, labels);
    let of = |members: &[usize]| {
        let counts = counts(members, candidates.len());
        let weighted: Vec<(&Probabilities, f64)> = candidates
            .iter()
            .zip(&counts)
            .filter(|(_, count)| **count > 0)
            .map(|(one, count)| (one, f64::from(*count)))
            .collect();
        score(&weighted, labels, how)
    };
    let most = size.div_ceil(2).min(order.len());
    let prefixes = (1..=most).map(|length| order[..length].to_vec());
    let Some((mut members, mut best)) = least(prefixes, of) else { return counts(&[], 0) };
    let (mut chosen, mut chosen_score) = (members.clone(), best);
    while members.len() < size {
        let larger = order.iter().map(|&one| [&members[..], &[one]].concat());
        let Some(found) = least(larger, of) else { break };
        (members, best) = found;
        if better(best, chosen_score) {
            (chosen, chosen_score) = (members.clone(), best);
        }
    }
    counts(&chosen, candidates.len())
}

/// The first of the best.
fn least(
    ensembles: impl Iterator<Item = Vec<usize>>,
    of: impl Fn(&[usize]) -> Score,
) -> Option<(Vec<usize>, Score)> {
    ensembles.map(|members| (of(&members), members)).fold(None, |best, (score, members)| match best
    {
        Some((known, at)) if !better(score, at) => Some((known, at)),
        _ => Some((members, score)),
    })
}

fn better(a: Score, b: Score) -> bool {
    a.wrong < b.wrong || (a.wrong == b.wrong && a.surprise < b.surprise)
}

fn counts(members: &[usize], candidates: usize) -> Vec<u32> {
    let mut counts = vec![0; candidates];
    members.iter().for_each(|&member| counts[member] += 1);
    counts
}

fn score(members: &[(&Probabilities, f64)], labels: &[usize], how: Combine) -> Score {
    let combined = combine(members, how);
    let surprise = negative_log_likelihood(&combined.probabilities, labels);
    Score { wrong: wrong(&combined.decisions, labels), surprise: surprise / count(labels.len()) }
}
