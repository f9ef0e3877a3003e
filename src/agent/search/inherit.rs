//! What a search begins with if it is a fork, and phases that are added to its schedule.
//!
//! Inherited experiences are its first episodes: their rewards are known, so all of them are due to
//! be learned from, one after the other, before anything is sampled. Their architectures are known:
//! sampled again, they are duplicates with the reward on record.

use super::{Episode, Search};
use crate::agent::Impossible;
use crate::config::Phase;
use crate::config::learning::Epsilon;
use crate::events::{Event, ForkFinished, Inherited, InheritedExperience, ScheduleExtended};

/// What a search has inherited so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Heritage {
    /// The reward of each architecture, by the ordinal of its trial - 1: those of a fork come first.
    rewards: Vec<f64>,
    episodes: u32,
    complete: bool,
}

impl Heritage {
    /// The reward on record of a trial, if it was inherited.
    pub(super) fn reward(&self, trial: u32) -> Option<f64> {
        self.rewards.get((trial as usize).checked_sub(1)?).copied()
    }

    /// Whether all of it was learned from, once the first `passed` episodes were.
    pub(super) fn is_learned(&self, passed: u32) -> bool {
        passed >= self.episodes
    }

    /// Whether more is to come.
    pub(super) fn goes_on(&self) -> bool {
        self.episodes > 0 && !self.complete
    }
}

impl Search {
    pub(super) fn apply_inherited(
        &mut self,
        event: &Event,
        part: &Inherited,
    ) -> Result<(), Impossible> {
        let heritage = &self.heritage;
        if heritage.complete || part.first != heritage.episodes {
            return Err(Impossible::of(event, "what is inherited comes first, without gaps"));
        }
        if heritage.episodes != self.episode_count() {
            return Err(Impossible::of(event, "the search has samples of its own"));
        }
        part.experiences.iter().try_for_each(|one| self.inherit(event, one))
    }

    fn inherit(&mut self, event: &Event, one: &InheritedExperience) -> Result<(), Impossible> {
        let Some(trajectory) = self.space.trajectory(&one.architecture) else {
            return Err(Impossible::of(event, "the architecture is not in the state space"));
        };
        if usize::from(one.phase) != self.phases.current {
            return Err(Impossible::of(event, "another phase is running"));
        }
        let episode = self.episode_count() + 1;
        let known = self.known.get(&one.architecture).copied();
        let trial = match known {
            Some(trial) => trial,
            None => {
                let trial = self.trials.next_ordinal();
                let planned = self.plan(trial, episode, one.architecture.clone());
                self.trials.inherit(planned, one.outcome.clone());
                self.phases.of_trial.push(self.phases.current);
                self.heritage.rewards.push(one.reward);
                trial
            }
        };
        if self.heritage.reward(trial).map(f64::to_bits) != Some(one.reward.to_bits()) {
            return Err(Impossible::of(event, "an architecture has one reward in a search"));
        }
        self.known.insert(one.architecture.clone(), trial);
        self.episodes.push(Episode { phase: one.phase.into(), trial, trajectory });
        let row = &mut self.phases.duplicates_in_a_row;
        *row = if known.is_some() { *row + 1 } else { 0 };
        self.heritage.episodes = episode;
        Ok(())
    }

    pub(super) fn apply_fork(
        &mut self,
        event: &Event,
        finished: &ForkFinished,
    ) -> Result<(), Impossible> {
        let heritage = &mut self.heritage;
        let found = (heritage.episodes, heritage.rewards.len());
        if found != (finished.episodes, finished.trials as usize) || heritage.complete {
            return Err(Impossible::of(event, "it has inherited something else"));
        }
        heritage.complete = true;
        Ok(())
    }

    pub(super) fn apply_extension(
        &mut self,
        event: &Event,
        added: &ScheduleExtended,
    ) -> Result<(), Impossible> {
        let phases = &mut self.config.schedule.phases;
        if !self.finished || usize::from(added.phase) != phases.len() || added.phases.is_empty() {
            return Err(Impossible::of(event, "phases are added to a finished schedule, in order"));
        }
        for phase in &added.phases {
            let Some(epsilon) = Epsilon::new(phase.epsilon) else {
                return Err(Impossible::of(event, "a share of random actions is from 0 to 1"));
            };
            phases.push(Phase { epsilon, models: phase.models });
        }
        self.finished = false;
        Ok(())
    }
}
