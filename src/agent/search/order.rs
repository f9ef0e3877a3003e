//! The order of learning: what makes a search the same, whoever trains what, and when.
//!
//! Episodes are learned from in their order. Sampling goes ahead of learning by at most `w` trials
//! (`schedule.in-flight`) and by four times as many episodes; where nothing learned is looked at, in
//! a phase of random actions alone, by as many as there are trainers. Whether it is time to sample
//! or to learn follows from the record alone, never from who is idle.

use super::Search;
use crate::agent::trials::Status;
use crate::events::Event;

/// Episodes that may wait to be learned from, for each trial that may.
pub const EPISODES_PER_TRIAL: u32 = 4;

impl Search {
    /// Learns from the next episode in order if its reward is known: the events that say so. A
    /// fork does this with all it inherited before it samples.
    #[must_use]
    pub fn lesson(&self) -> Option<Vec<Event>> {
        let front = self.front().filter(|&front| self.reward_of_episode(front).is_some())?;
        Some(self.settle(front))
    }

    /// The first episode that was not learned from: one that was passed over, and whose trial is tried
    /// again, comes before all others.
    pub(super) fn front(&self) -> Option<u32> {
        let next = Some(self.passed + 1).filter(|&front| front <= self.episode_count());
        self.overdue().or(next)
    }

    /// The first episode that was passed over and whose trial is tried again.
    pub(super) fn overdue(&self) -> Option<u32> {
        self.skipped.iter().copied().find(|&episode| !self.is_lost(episode))
    }

    /// Whether the trial that answers an episode was given up.
    fn is_lost(&self, episode: u32) -> bool {
        let trial = self.episode(episode).and_then(|of| self.trials.get(of.trial));
        trial.is_some_and(|trial| trial.status == Status::Lost)
    }

    /// Episodes that wait to be learned from, and how many trials of theirs do.
    fn waiting(&self) -> (u32, u32) {
        let mut trials = 0;
        for episode in self.passed + 1..=self.episode_count() {
            trials += u32::from(self.is_first(episode));
        }
        (self.episode_count() - self.passed, trials)
    }

    /// Whether the architecture of an episode was sampled for the first time.
    fn is_first(&self, episode: u32) -> bool {
        let trial = self.episode(episode).and_then(|of| self.trials.get(of.trial));
        trial.is_some_and(|trial| trial.planned.episode == episode)
    }

    /// Whether the next episode in order is answered by a trial that was learned from before.
    fn front_is_known(&self) -> bool {
        self.front().is_some_and(|front| !self.is_first(front))
    }

    /// Whether the current phase looks at nothing that was learned.
    pub(super) fn is_blind(&self) -> bool {
        let phase = self.config.schedule.phases.get(self.phases.current);
        phase.is_some_and(|phase| phase.epsilon.share() == 1.0)
    }

    /// Whether the current phase has models left that are not in flight.
    pub(super) fn has_room(&self) -> bool {
        let phase = self.config.schedule.phases.get(self.phases.current);
        let (_, trials) = self.waiting();
        phase.is_some_and(|phase| self.phases.models.saturating_add(trials) < phase.models)
            && self.phase_end().is_none()
    }

    /// Whether sampling is not too far ahead of learning.
    fn is_within_window(&self) -> bool {
        let (episodes, trials) = self.waiting();
        let window = self.config.schedule.in_flight;
        trials < window && episodes < window.saturating_mul(EPISODES_PER_TRIAL)
    }

    /// Whether an episode may be sampled now.
    pub(super) fn may_sample(&self) -> bool {
        let inherited = !self.heritage.goes_on() && self.heritage.is_learned(self.passed);
        let settled = self.unreplayed.is_none() && inherited && self.overdue().is_none();
        settled
            && self.has_room()
            && (self.is_blind() || self.is_within_window() && !self.front_is_known())
    }

    /// Whether an episode has to be sampled before anything further is learned from.
    pub(super) fn must_sample(&self) -> bool {
        !self.is_blind() && self.may_sample()
    }

    /// The front was learned from: what follows it and was lost is passed over.
    pub(super) fn pass(&mut self) {
        if let Some(overdue) = self.overdue() {
            self.skipped.remove(&overdue);
            return;
        }
        self.passed += 1;
        // What a fork inherited of earlier phases does not count in the current one.
        let phase = self.episode(self.passed).map(|of| of.phase as usize);
        let counts = self.is_first(self.passed) && phase == Some(self.phases.current);
        self.phases.models += u32::from(counts);
        self.pass_lost();
    }

    /// Passes over episodes whose trial was lost.
    pub(super) fn pass_lost(&mut self) {
        while self.passed < self.episode_count() && self.is_lost(self.passed + 1) {
            self.passed += 1;
            self.skipped.insert(self.passed);
        }
    }
}
