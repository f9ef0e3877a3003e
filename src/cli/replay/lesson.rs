//! What is learned from, under which policies and seeds: the options, and doing it.

use std::borrow::Cow;
use std::time::Instant;

use rayon::prelude::*;

use super::super::parameters::QuarantineArgs;
use super::super::progress::counter;
use super::super::{CliError, Context};
use super::{history, rewards};
use crate::agent::replay::Order;
use crate::config::learning::Learning;
use crate::config::replay::Policy;
use crate::lab::history::{History, Recorded};
use crate::lab::measure::{Measured, PathValue, Reference, measure};
use crate::lab::rederive::{Check, Derived, Duplicates, Task, is_deterministic, rederive};
use crate::lab::settings::{Named, Seeds, Settings};
use crate::lab::study::{Row, row};
use crate::views::{Answer, check_reward};

/// The last seed unless told otherwise; the first is 0.
const LAST_SEED: u64 = 9;

/// Which policies, and how they learn.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Replay")]
pub(crate) struct LessonArgs {
    /// Which experiences are drawn (`qtrail policies` lists them); several, or a list with commas
    #[arg(long = "policy", value_name = "POLICY,…")]
    pub(crate) policies: Vec<String>,
    /// Draws after each experience [default: as the search did]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) draws: Option<u32>,
    /// Learning rate [default: as the search did]
    #[arg(long, value_parser = alpha)]
    pub(crate) alpha: Option<f64>,
    /// Discount factor [default: as the search did]
    #[arg(long, value_parser = gamma)]
    pub(crate) gamma: Option<f64>,
    /// Q-value of a pair before its first update [default: as the search did]
    #[arg(long, value_name = "Q0", value_parser = finite, allow_hyphen_values = true)]
    pub(crate) init: Option<f64>,
    /// Order of the transitions of a trajectory: backward or forward
    #[arg(long, default_value = "backward", value_parser = Order::of_name)]
    order: Order,
    /// The reward of an architecture that was sampled again: first, own, best or mean, of those in
    /// the memory by then
    #[arg(long, value_name = "RULE", default_value = "first", value_parser = Duplicates::of_name)]
    duplicates: Duplicates,
    /// The reward: an expression over the facts of a trial, as in
    /// "accuracy - 0.02*ln(params/1e6)" [default: as recorded]
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    reward: Option<String>,
    /// What to do about trials that lack a fact of --reward
    #[arg(long, value_enum, default_value_t)]
    missing: Missing,
    /// Seeds of the draws, or of whole searches: 0..9 (both ends included), 7, or 0,3,5
    /// [default: 0..9; of searches 0..19]
    #[arg(long)]
    pub(crate) seeds: Option<Seeds>,
    /// Lets each seed shuffle the experiences of each phase: for imports that do not say in which
    /// order they came
    #[arg(long)]
    shuffle: bool,
    /// What a trajectory is worth by a Q-table: mean, terminal or min of its values
    #[arg(long, value_name = "VALUE", default_value = "mean", value_parser = PathValue::of_name)]
    path_value: PathValue,
}

/// What to do about trials that lack a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Missing {
    /// Refuse
    #[default]
    Fail,
    /// Leave them out
    Skip,
}

fn alpha(text: &str) -> Result<f64, String> {
    let number = finite(text)?;
    if number > 0.0 && number <= 1.0 { Ok(number) } else { Err("above 0 to 1".to_owned()) }
}

fn gamma(text: &str) -> Result<f64, String> {
    let number = finite(text)?;
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err("0 to 1".to_owned()) }
}

fn finite(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| "not a finite number".to_owned())
}

impl LessonArgs {
    /// Whether anything but the defaults is asked for.
    pub(crate) fn is_told(&self) -> bool {
        let Self { policies, draws, alpha, gamma, init, reward, .. } = self;
        let learning = [alpha, gamma, init].into_iter().any(Option::is_some);
        let flags = self.shuffle || self.missing != Missing::Fail;
        let choices = self.order != Order::Backward
            || self.duplicates != Duplicates::First
            || self.path_value != PathValue::Mean
            || self.seeds.is_some();
        !policies.is_empty() || draws.is_some() || reward.is_some() || learning || flags || choices
    }

    /// Whether something is asked for that only a history has.
    pub(crate) fn is_of_history(&self) -> bool {
        let choices = self.order != Order::Backward
            || self.duplicates != Duplicates::First
            || self.path_value != PathValue::Mean;
        choices || self.shuffle || self.reward.is_some() || self.missing != Missing::Fail
    }

    /// Finds mistakes that need no store.
    pub(crate) fn check(&self) -> Result<Vec<Policy>, CliError> {
        if let Some(expression) = &self.reward {
            check_reward(expression)?;
        }
        self.policies()
    }

    /// The policies, at least one and none twice.
    fn policies(&self) -> Result<Vec<Policy>, CliError> {
        let mut policies: Vec<Policy> = Vec::new();
        for text in self.policies.iter().flat_map(|list| Policy::split(list)) {
            let policy: Policy = text.parse().map_err(|error| {
                CliError::usage(format!("--policy: {error}"))
                    .hint("`qtrail policies` lists them with their parameters")
            })?;
            if policies.contains(&policy) {
                return Err(CliError::usage(format!("--policy: {policy} is there twice")));
            }
            policies.push(policy);
        }
        if policies.is_empty() {
            return Err(CliError::usage("no policy is named")
                .hint("as in --policy uniform,combined; `qtrail policies` lists them"));
        }
        Ok(policies)
    }

    /// Reads the history of a search, and settles what was left open.
    pub(crate) fn lesson(
        &self,
        context: &Context,
        answer: &mut Answer,
        label: &str,
        rows: QuarantineArgs,
    ) -> Result<Lesson, CliError> {
        let end = answer.as_of.position;
        let history = history::read(context, label, end, rows.count())?;
        let recorded = history.config.learning;
        let settings = Settings {
            search: label.to_owned(),
            draws: self.draws.unwrap_or(history.config.replay.draws),
            order: self.order,
            duplicates: self.duplicates,
            path_value: self.path_value,
            include_quarantined: rows.count(),
            shuffle: self.shuffle,
            reward: self.reward.clone(),
            skip_missing: self.missing == Missing::Skip,
            seeds: self.seeds.clone().unwrap_or_else(|| Seeds((0..=LAST_SEED).collect())),
            learning: Learning {
                alpha: self.alpha.unwrap_or(recorded.alpha),
                gamma: self.gamma.unwrap_or(recorded.gamma),
                init: self.init.unwrap_or(recorded.init),
            },
        };
        Lesson::new(Some(answer), settings, history)
    }
}

impl Learned {
    /// Draws of each experience, in the mean over seeds.
    pub(crate) fn draws(&self) -> Vec<f64> {
        let count = self.measured.first().map_or(0, |one| one.counts.len());
        let seeds = self.measured.len() as f64;
        let drawn = |index: usize| {
            self.measured.iter().map(|one| f64::from(one.counts[index])).sum::<f64>() / seeds
        };
        (0..count).map(drawn).collect()
    }
}

/// All that policies are tried on.
pub(crate) struct Lesson {
    /// How they learn.
    pub(crate) settings: Settings,
    /// From what.
    pub(crate) history: History,
    /// The Q-table on record.
    reference: Option<Reference>,
}

/// What came of one policy.
pub(crate) struct Learned {
    /// Its row.
    pub(crate) row: Row,
    /// Under each seed.
    pub(crate) measured: Vec<Measured>,
    /// Seconds that a seed took, in the mean.
    pub(crate) seconds: f64,
    /// How `as-logged` compares with the record.
    pub(crate) check: Check,
}

impl Lesson {
    /// Gives a history the rewards that the settings ask for, of which `answer` knows the facts.
    pub(crate) fn new(
        answer: Option<&mut Answer>,
        settings: Settings,
        history: History,
    ) -> Result<Self, CliError> {
        let reference = reference(&history)?;
        let history = match (&settings.reward, answer) {
            (Some(expression), Some(answer)) => {
                rewards::apply(answer, &settings, expression, history)?
            }
            _ => history,
        };
        Ok(Self { settings, history, reference })
    }

    /// The seeds that a policy is run under: one if all give the same.
    pub(crate) fn seeds(&self, policy: &Policy) -> &[u64] {
        let seeds = self.settings.seeds.0.as_slice();
        if self.gives_the_same(policy) { &seeds[..1] } else { seeds }
    }

    fn gives_the_same(&self, policy: &Policy) -> bool {
        is_deterministic(policy) && !self.settings.shuffle
    }

    /// The history that a seed learns from.
    fn history(&self, seed: u64) -> Cow<'_, History> {
        match self.settings.shuffle {
            true => Cow::Owned(self.history.clone().shuffled(seed)),
            false => Cow::Borrowed(&self.history),
        }
    }

    /// Learns under one policy and seed.
    pub(crate) fn derive(&self, policy: &Policy, seed: u64) -> Result<Derived, CliError> {
        let label = &self.settings.search;
        rederive(&self.history(seed), &self.settings.task(policy), seed)
            .map_err(|error| CliError::usage(format!("{label}: {error}")))
    }

    /// Learns under every policy and seed, in parallel over the cores.
    pub(crate) fn learn(&self, policies: &[Policy]) -> Result<Vec<Learned>, CliError> {
        let runs: Vec<(usize, u64)> = policies
            .iter()
            .enumerate()
            .flat_map(|(index, policy)| self.seeds(policy).iter().map(move |seed| (index, *seed)))
            .collect();
        let bar = counter(runs.len() as u64);
        let run = |&(index, seed): &(usize, u64)| {
            let started = Instant::now();
            let (policy, reference) = (&policies[index], self.reference.as_ref());
            let derived = self.derive(policy, seed)?;
            let seconds = started.elapsed().as_secs_f64();
            let task = self.settings.task(policy);
            let measured = measure(&self.history(seed), &task, &derived, reference);
            bar.inc(1);
            Ok((index, Run { measured, seconds, check: derived.check }))
        };
        let done: Result<Vec<(usize, Run)>, CliError> = runs.par_iter().map(run).collect();
        bar.finish_and_clear();
        let mut of_policy: Vec<Vec<Run>> = Vec::new();
        of_policy.resize_with(policies.len(), Vec::new);
        done?.into_iter().for_each(|(index, run)| of_policy[index].push(run));
        let learned = policies.par_iter().zip(of_policy);
        Ok(learned.map(|(policy, runs)| self.learned(policy, runs)).collect())
    }

    #[expect(clippy::cast_precision_loss, reason = "a count")]
    fn learned(&self, policy: &Policy, runs: Vec<Run>) -> Learned {
        let seconds = runs.iter().map(|run| run.seconds).sum::<f64>() / runs.len() as f64;
        let check = runs.first().map_or(Check::Other, |run| run.check);
        let measured: Vec<Measured> = runs.into_iter().map(|run| run.measured).collect();
        let seed = self.settings.seeds.0[0];
        let row = row(policy, self.gives_the_same(policy), &measured, seed);
        Learned { row, measured, seconds, check }
    }
}

/// One policy under one seed.
struct Run {
    measured: Measured,
    seconds: f64,
    check: Check,
}

/// The Q-table on record: an import's, or what the recorded draws gave.
fn reference(history: &History) -> Result<Option<Reference>, CliError> {
    match &history.recorded {
        Recorded::Values(_) => Ok(Reference::imported(history)),
        Recorded::Draws(draws) if draws.is_empty() => Ok(None),
        Recorded::Draws(_) => {
            let task = Task {
                policy: Policy::AsLogged,
                draws: history.config.replay.draws,
                learning: history.config.learning,
                order: Order::Backward,
                duplicates: Duplicates::Own,
                path_value: PathValue::Mean,
            };
            let derived = rederive(history, &task, 0).map_err(CliError::usage)?;
            Ok(Some(Reference::of(&derived.q)))
        }
    }
}
