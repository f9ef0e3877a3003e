//! `--reward`: another reward for every trial of a history.

use std::collections::HashMap;

use super::super::{CliError, note};
use crate::lab::history::History;
use crate::lab::settings::Settings;
use crate::views::{Answer, Arguments, TrialReward};

/// Trials that are listed by name.
const LISTED: usize = 10;

/// Gives the experiences of a history the reward that an expression makes of their trials.
pub(super) fn apply(
    answer: &mut Answer,
    settings: &Settings,
    expression: &str,
    history: History,
) -> Result<History, CliError> {
    let quarantined = settings.include_quarantined;
    answer.set_arguments(&Arguments { quarantined, ..Arguments::default() })?;
    let trials = answer.rewards(&settings.search, expression)?;
    let mut of: HashMap<&str, &TrialReward> = HashMap::new();
    for trial in trials.iter().rev() {
        of.insert(&trial.arch, trial); // the first of several
    }
    let texts: Vec<String> =
        history.architectures.iter().map(|known| known.architecture.to_string()).collect();
    let trials: Vec<Option<&TrialReward>> =
        texts.iter().map(|text| of.get(text.as_str()).copied()).collect();
    let missing: Vec<&TrialReward> =
        trials.iter().flatten().copied().filter(|trial| trial.value.is_none()).collect();
    if !missing.is_empty() {
        let told = told(&missing);
        if !settings.skip_missing {
            return Err(CliError::usage(format!("--reward: {told}"))
                .hint("--missing skip leaves their experiences out"));
        }
        note(&format!("--reward: left out: {told}"));
    }
    let rewards: Vec<Option<f64>> =
        trials.iter().map(|trial| trial.and_then(|trial| trial.value)).collect();
    range(&rewards, settings);
    Ok(history.rewarded(&rewards))
}

/// How many trials have no reward, which, and why.
fn told(missing: &[&TrialReward]) -> String {
    let mut facts: Vec<(&str, usize)> = Vec::new();
    for fact in missing.iter().flat_map(|trial| &trial.lacks) {
        match facts.iter_mut().find(|(name, _)| name == fact) {
            Some((_, count)) => *count += 1,
            None => facts.push((fact, 1)),
        }
    }
    let undefined = missing.iter().filter(|trial| trial.lacks.is_empty()).count();
    let mut why: Vec<String> =
        facts.iter().map(|(fact, count)| format!("{count} lack {fact}")).collect();
    if undefined > 0 {
        why.push(format!("of {undefined} it is no finite number"));
    }
    let name = |trial: &&TrialReward| trial.trial.clone().unwrap_or_else(|| trial.arch.clone());
    let mut names: Vec<String> = missing.iter().take(LISTED).map(name).collect();
    if missing.len() > LISTED {
        names.push(format!("and {} more", missing.len() - LISTED));
    }
    let count = missing.len();
    format!("{count} trials have no reward ({}): {}", why.join(", "), names.join(", "))
}

/// Says so if rewards are not from 0 to 1: what untried actions are worth was chosen for that.
fn range(rewards: &[Option<f64>], settings: &Settings) {
    let known = || rewards.iter().flatten().copied();
    let (low, high) =
        (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    if low < 0.0 || high > 1.0 {
        let init = settings.learning.init;
        note(&format!(
            "--reward: rewards are from {low:.4} to {high:.4}, not from 0 to 1; --init (now {init}) \
             says what an untried action is worth, and should lie among them"
        ));
    }
}
