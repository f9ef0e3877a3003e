//! What an episode of a search is worth, and what may be sampled at all.

use super::super::limits::{Mask, NothingLegal};
use super::super::space::Space;
use super::super::trials::Status;
use super::Search;
use crate::arch::shape::Map;
use crate::config::SearchConfig;
use crate::config::expression::{Expression, Known};
use crate::config::space::SpaceError;
use crate::events::{DataFacts, ExperienceRecorded, FailedReason, Outcome};

/// Why a search cannot begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    /// Its space cannot be built.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// Nothing in the space may be sampled.
    #[error(transparent)]
    Limits(#[from] NothingLegal),
}

/// What keeps a search within its limits, if it has any.
pub(super) fn mask(
    space: &Space,
    config: &SearchConfig,
    data: &DataFacts,
) -> Result<Option<Mask>, NothingLegal> {
    if config.limits.is_none() {
        return Ok(None);
    }
    let input = Map { channels: data.channels, side: data.side };
    Mask::new(space, config.limits, (input, data.classes), config.recipe.gap).map(Some)
}

/// Whether a search with these settings can begin on such images.
///
/// # Errors
/// [`BeginError`] if it cannot.
pub fn check(config: &SearchConfig, data: &DataFacts) -> Result<(), BeginError> {
    let space = Space::new(&config.space, data.side, data.classes)?;
    mask(&space, config, data)?;
    Ok(())
}

impl Search {
    /// Architectures that may be sampled, as far as they can be counted: those of the space, and
    /// fewer if there are limits.
    #[must_use]
    pub fn architectures(&self) -> u128 {
        let counted = self.mask.as_ref().and_then(|mask| mask.count());
        counted.unwrap_or_else(|| self.space.architectures())
    }

    /// What an episode answered by this trial is worth, once the trial has ended. A number that came
    /// out of an expression is taken from the record where it is on record.
    #[must_use]
    pub fn worth(&self, trial: u32) -> Option<f64> {
        let Status::Finished(outcome) = &self.trials.get(trial)?.status else { return None };
        let Some(expression) = &self.config.reward.expression else {
            return Some(self.reward(outcome));
        };
        if let Some(recorded) = self.rewards.get(&trial) {
            return Some(*recorded);
        }
        let undefined =
            || self.config.reward.failed(FailedReason::NonFinite, self.started.data.classes);
        Some(self.evaluate(expression, trial, outcome).unwrap_or_else(undefined))
    }

    /// Keeps what the first experience of a trial was worth.
    pub(super) fn remember_reward(&mut self, experience: &ExperienceRecorded) {
        if self.config.reward.expression.is_some()
            && let Some(trial) = self.episode(experience.episode).map(|episode| episode.trial)
        {
            self.rewards.entry(trial).or_insert(experience.reward);
        }
    }

    fn evaluate(&self, expression: &Expression, trial: u32, outcome: &Outcome) -> Option<f64> {
        let mut known = Known::default();
        let planned = &self.trials.get(trial)?.planned;
        let measured = self.trials.measured(trial);
        #[expect(clippy::cast_precision_loss, reason = "sizes; exact to 2^53")]
        let size = |number: u64| Some(number as f64);
        let depth = u32::try_from(planned.architecture.depth()).ok();
        let episode = self.episode(planned.episode);
        let phases = &self.config.schedule.phases;
        let phase = episode.and_then(|episode| phases.get(episode.phase as usize));
        known.set("accuracy", Some(self.reward(outcome)));
        known.set("params", size(planned.parameters));
        known.set("madds", size(planned.multiply_adds));
        known.set("depth", depth.map(f64::from));
        known.set("epsilon", phase.map(|phase| phase.epsilon.share()));
        known.set("epochs", measured.map(|measured| measured.epochs.into()));
        known.set("restarts", measured.map(|measured| measured.restarts.into()));
        let machine = measured.and_then(|measured| measured.machine);
        known.set("seconds", machine.map(|(seconds, _)| seconds));
        known.set("peak_memory", machine.and_then(|(_, memory)| memory).and_then(size));
        match outcome {
            Outcome::Failed { .. } => known.set("failed", Some(1.0)),
            Outcome::Trained { best_epoch, best_correct, last_correct, total, .. } => {
                known.set("failed", Some(0.0));
                let counts = [
                    ("best_epoch", best_epoch),
                    ("best_correct", best_correct),
                    ("last_correct", last_correct),
                    ("total", total),
                ];
                for (name, count) in counts {
                    known.set(name, Some(f64::from(*count)));
                }
            }
        }
        expression.value(&known)
    }
}
