//! Which models are members, and with what weight. Whoever was fitted to the validation images is
//! not judged by them.

use super::pool::{Candidate, Pool};
use super::{ChoiceArgs, CliError};
use crate::cli::note;
use crate::ensemble::Probabilities;
use crate::ensemble::combine::{Combine, weight};
use crate::ensemble::measure::wrong;
use crate::ensemble::select::{greedy, ranked};

/// Sizes that are compared.
pub(super) const SIZES: usize = 10;
/// Most members that are chosen.
const MOST: usize = 50;

/// Which models are members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Members {
    /// The best.
    Top(usize),
    /// Chosen greedily on the validation images.
    Greedy(usize),
    /// These.
    Named(Vec<String>),
}

impl std::str::FromStr for Members {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |rest: &str| rest.parse().ok().filter(|n| (1..=MOST).contains(n));
        let wrong = || format!("`{text}` is none of top:N, greedy:N (N from 1 to {MOST}), t3,t9,…");
        if let Some(rest) = text.strip_prefix("top:") {
            return number(rest).map(Self::Top).ok_or_else(wrong);
        }
        if let Some(rest) = text.strip_prefix("greedy:") {
            return number(rest).map(Self::Greedy).ok_or_else(wrong);
        }
        let is_trial =
            |name: &str| name.strip_prefix('t').is_some_and(|rest| rest.parse::<u64>().is_ok());
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        match names.iter().all(|name| is_trial(name)) {
            true => Ok(Self::Named(names.into_iter().map(ToOwned::to_owned).collect())),
            false => Err(wrong()),
        }
    }
}

/// What the best are chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum By {
    /// The validation images
    Val,
    /// Validation accuracy in the search they come from
    Search,
    /// The test images: what is found is better there than on new ones
    Test,
}

impl By {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Val => "val",
            Self::Search => "search",
            Self::Test => "test",
        }
    }
}

/// A member.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Member {
    /// Its place among the candidates.
    pub(super) candidate: usize,
    /// Its weight among those of the others.
    pub(super) weight: f64,
}

/// What was chosen.
pub(super) struct Chosen {
    pub(super) members: Vec<Member>,
    /// How, for the record: `top:5 by val`.
    pub(super) how: String,
    /// What has to be known about it.
    pub(super) note: Option<&'static str>,
    /// The ensembles of one to ten.
    pub(super) sizes: Vec<Vec<Member>>,
}

impl Chosen {
    /// Whether a member was fitted to the validation images.
    pub(super) fn fitted(&self, pool: &Pool) -> bool {
        self.members.iter().any(|member| pool.candidates[member.candidate].fitted)
    }
}

/// Chooses members.
pub(super) fn choose(pool: &Pool, choice: &ChoiceArgs) -> Result<Chosen, CliError> {
    match &choice.members {
        Members::Named(names) => {
            let order: Vec<usize> = (0..pool.candidates.len()).collect();
            let how = format!("named: {}", names.join(" "));
            nested(pool, choice, &order, order.len(), (how, None))
        }
        Members::Top(size) => {
            let by = by(pool, choice);
            let order = order(pool, by)?;
            if order.len() < *size {
                note(&format!("top:{size}: {} models in all were shown these images", order.len()));
            }
            let how = format!("top:{size} by {}", by.name());
            let note = match by {
                By::Val => None,
                By::Search => Some("chosen by validation accuracy in the search they come from"),
                By::Test => Some(
                    "chosen by what they did on these very test images: on new ones they will do \
                     worse",
                ),
            };
            nested(pool, choice, &order, *size, (how, note))
        }
        Members::Greedy(size) => {
            refuse_fitted(
                pool,
                "greedy selection",
                "--members top:N --by search chooses among them",
            )?;
            let of_validation: Vec<Probabilities> = pool
                .candidates
                .iter()
                .map(|candidate| candidate.validation.probabilities.clone())
                .collect();
            let of_size = |size: usize| {
                let labels = &pool.validation.labels;
                members(pool, &greedy(&of_validation, labels, size, choice.combine), choice.combine)
            };
            Ok(Chosen {
                members: of_size(*size),
                how: format!("greedy:{size} by val"),
                note: Some(
                    "chosen greedily on the validation images, with replacement, from the best on; \
                     weights say how often",
                ),
                sizes: (1..=SIZES).map(of_size).collect(),
            })
        }
    }
}

/// What the best are chosen by, unless that is said.
fn by(pool: &Pool, choice: &ChoiceArgs) -> By {
    let fitted = pool.candidates.iter().any(|candidate| candidate.fitted);
    choice.by.unwrap_or(if fitted { By::Search } else { By::Val })
}

/// Candidates, the best first.
fn order(pool: &Pool, by: By) -> Result<Vec<usize>, CliError> {
    let of = |part: fn(&Candidate) -> &Probabilities| -> Vec<Probabilities> {
        pool.candidates.iter().map(|candidate| part(candidate).clone()).collect()
    };
    match by {
        By::Val => {
            refuse_fitted(
                pool,
                "--by val",
                "--by search chooses by what they did in their search",
            )?;
            Ok(ranked(&of(|one| &one.validation.probabilities), &pool.validation.labels))
        }
        By::Test => Ok(ranked(&of(|one| &one.test.probabilities), &pool.test.labels)),
        By::Search => {
            let unknown = pool.candidates.iter().filter(|one| one.searched.is_none());
            let unknown: Vec<&str> = unknown.map(|one| one.trial.as_str()).collect();
            if !unknown.is_empty() {
                let message = format!("--by search: {} come from no search", unknown.join(", "));
                return Err(CliError::usage(message).hint("name members: --members t3,t9,…"));
            }
            let mut order: Vec<usize> = (0..pool.candidates.len()).collect();
            let accuracy = |place: usize| pool.candidates[place].searched.unwrap_or(0.0);
            order.sort_by(|&a, &b| accuracy(b).total_cmp(&accuracy(a)));
            Ok(order)
        }
    }
}

/// What was fitted to the validation images is not judged by them.
fn refuse_fitted(pool: &Pool, what: &str, instead: &str) -> Result<(), CliError> {
    let fitted = pool.candidates.iter().filter(|candidate| candidate.fitted);
    let fitted: Vec<&str> = fitted.map(|candidate| candidate.trial.as_str()).collect();
    if fitted.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{what}: {} were fitted to the validation images too (--fit train+val), so what they make of \
         those says nothing about others",
        fitted.join(", ")
    );
    Err(CliError::usage(message).hint(instead))
}

/// The first so many of an order, and those of all sizes.
fn nested(
    pool: &Pool,
    choice: &ChoiceArgs,
    order: &[usize],
    size: usize,
    (how, note): (String, Option<&'static str>),
) -> Result<Chosen, CliError> {
    if choice.combine == Combine::Weighted {
        refuse_fitted(pool, "--combine weighted", "--combine mean weighs them all the same")?;
    }
    let of_size = |size: usize| -> Vec<Member> {
        let once = |&candidate: &usize| Member {
            candidate,
            weight: of_member(pool, candidate, 1.0, choice.combine),
        };
        order.iter().take(size).map(once).collect()
    };
    let sizes = (1..=SIZES.min(order.len())).map(of_size).collect();
    Ok(Chosen { members: of_size(size), how, note, sizes })
}

/// Those that were chosen at least once, those chosen most often first.
fn members(pool: &Pool, counts: &[u32], how: Combine) -> Vec<Member> {
    let mut places: Vec<usize> = (0..counts.len()).filter(|&place| counts[place] > 0).collect();
    places.sort_by_key(|&place| std::cmp::Reverse(counts[place]));
    let member = |candidate: usize| {
        let weight = of_member(pool, candidate, f64::from(counts[candidate]), how);
        Member { candidate, weight }
    };
    places.into_iter().map(member).collect()
}

/// The weight of a member that is in so often.
fn of_member(pool: &Pool, candidate: usize, times: f64, how: Combine) -> f64 {
    if how != Combine::Weighted {
        return times;
    }
    let shown = &pool.candidates[candidate].validation;
    let labels = &pool.validation.labels;
    let wrong = wrong(&shown.decisions, labels);
    times * weight(wrong, labels.len(), shown.probabilities.classes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read() {
        let read = |text: &str| text.parse::<Members>();
        assert_eq!(read("top:5"), Ok(Members::Top(5)));
        assert_eq!(read("greedy:50"), Ok(Members::Greedy(50)));
        assert_eq!(read("t3, t9"), Ok(Members::Named(vec!["t3".into(), "t9".into()])));
        for wrong in ["", "top:0", "top:51", "greedy:x", "t", "t3,", "3,9", "best"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
