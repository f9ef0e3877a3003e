//! Several models into one decision for each image.

use super::{Probabilities, likeliest};

/// How the probabilities of several models become one decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Combine {
    /// The mean of their probabilities.
    #[default]
    Mean,
    /// The geometric mean, brought back to a sum of 1.
    Geometric,
    /// Each votes for its likeliest class; of classes with equally many votes the one with the
    /// higher mean probability, then the first.
    Vote,
    /// The mean, each weighted by how well it did on the validation images: [`weight`].
    Weighted,
}

impl Combine {
    /// All ways, with what they do.
    pub const ALL: &[(Self, &str, &str)] = &[
        (Self::Mean, "mean", "mean of the probabilities"),
        (Self::Geometric, "geometric", "geometric mean of the probabilities"),
        (Self::Vote, "vote", "majority of the likeliest classes"),
        (Self::Weighted, "weighted", "mean, weighted by the log-odds of validation accuracy"),
    ];

    /// How it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(way, ..)| *way == self).map_or("", |(_, name, _)| name)
    }
}

impl std::str::FromStr for Combine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name, _)| *name == text);
        found.map(|(way, ..)| *way).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(_, name, _)| *name).collect();
            format!("`{text}` is none of {}", names.join(", "))
        })
    }
}

/// Probabilities below this count as this in a geometric mean: one model that is certain and wrong
/// does not overrule all others without end.
pub const LEAST: f64 = 1e-12;

/// The weight of a model that is wrong on `wrong` of `images` validation images with so many
/// classes: `ln((1 - e) / e) + ln(classes - 1)`, 0 at chance and never below (the weights of
/// multi-class boosting, Zhu et al. 2009). Without any error half an image counts as wrong, and the
/// other way round.
#[must_use]
pub fn weight(wrong: usize, images: usize, classes: usize) -> f64 {
    let (wrong, images) = (count(wrong), count(images));
    let error = wrong.clamp(0.5, (images - 0.5).max(0.5)) / images.max(1.0);
    let odds = (1.0 - error) / error;
    (libm::log(odds) + libm::log((count(classes) - 1.0).max(1.0))).max(0.0)
}

/// What several models make of images, together.
#[derive(Debug, Clone, PartialEq)]
pub struct Combined {
    /// The class decided for, image by image.
    pub decisions: Vec<usize>,
    /// Probabilities; of votes their shares.
    pub probabilities: Probabilities,
}

/// Combines members, each with a weight of 0 or more (a member that counts twice has weight 2).
/// With no weight above 0 they all count the same. All members saw the same images.
#[must_use]
pub fn combine(members: &[(&Probabilities, f64)], how: Combine) -> Combined {
    let total: f64 = members.iter().map(|(_, weight)| weight).sum();
    let equal = total <= 0.0;
    let share = |weight: f64| if equal { 1.0 / count(members.len()) } else { weight / total };
    let classes = members.first().map_or(1, |(member, _)| member.classes());
    let images = members.iter().map(|(member, _)| member.images()).min().unwrap_or(0);
    let (mut values, mut decisions) = (Vec::with_capacity(images * classes), Vec::new());
    for image in 0..images {
        let rows = || {
            let row = |member: &Probabilities| {
                member.values[image * classes..(image + 1) * classes].to_vec()
            };
            members.iter().map(move |(member, weight)| (row(member), share(*weight)))
        };
        let row = match how {
            Combine::Mean | Combine::Weighted => mean(rows(), classes),
            Combine::Geometric => geometric(rows(), classes),
            Combine::Vote => votes(rows(), classes),
        };
        decisions.push(match how {
            Combine::Vote => most_votes(&row, &mean(rows(), classes)),
            _ => likeliest(&row),
        });
        values.extend(row);
    }
    Combined { decisions, probabilities: Probabilities { classes, values } }
}

fn mean(rows: impl Iterator<Item = (Vec<f64>, f64)>, classes: usize) -> Vec<f64> {
    let mut sum = vec![0.0; classes];
    for (row, share) in rows {
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += share * value;
        }
    }
    sum
}

fn geometric(rows: impl Iterator<Item = (Vec<f64>, f64)>, classes: usize) -> Vec<f64> {
    let logs = rows.map(|(row, share)| {
        (row.into_iter().map(|value| libm::log(value.max(LEAST))).collect(), share)
    });
    let means = mean(logs, classes);
    // From the greatest, so that nothing vanishes.
    let greatest = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = means.into_iter().map(|log| libm::exp(log - greatest)).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

fn votes(rows: impl Iterator<Item = (Vec<f64>, f64)>, classes: usize) -> Vec<f64> {
    let mut votes = vec![0.0; classes];
    for (row, share) in rows {
        votes[likeliest(&row)] += share;
    }
    votes
}

/// Shares of votes are sums of the same numbers in different order: equal but for the last bits.
const TIE: f64 = 1e-9;

fn most_votes(votes: &[f64], means: &[f64]) -> usize {
    let most = votes.iter().copied().fold(0.0, f64::max);
    let tied = votes
        .iter()
        .zip(means)
        .map(|(votes, mean)| if *votes >= most - TIE { *mean } else { f64::NEG_INFINITY });
    likeliest(&tied.collect::<Vec<_>>())
}

/// Counts of images are exact.
pub(super) fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
