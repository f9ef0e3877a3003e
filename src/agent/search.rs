//! A search: the pure state machine that samples, plans trials, and learns.
//!
//! [`Search::decide`] says what happens next, [`Search::apply`] takes in what was recorded. State
//! comes from events alone, so a search that was killed anywhere decides the same again
//! (Baker et al. 2017, Algorithm 1; the schedule of Table 2).

mod inherit;
mod order;
mod worth;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::limits::Mask;
use super::memory::Memory;
use super::policy::sample;
use super::qtable::QTable;
use super::replay::{Draw, Facts, Learner, Order, sampler};
use super::space::{Space, Trajectory};
use super::trials::{Status, Trials, training_seed};
use super::{Decision, Impossible, Job, Training};
use crate::arch::shape::Map;
use crate::arch::{Architecture, PoolRule, Shapes};
use crate::chance::Stream;
use crate::config::SearchConfig;
use crate::config::learning::Epsilon;
use crate::events::{
    EpisodeSampled, Event, ExperienceRecorded, Fold, Hash, Outcome, PhaseEnd, PhaseEnded, Recorded,
    ReplayUpdated, SearchFinished, SearchStarted, TrialLost, TrialPlanned,
};

pub use order::EPISODES_PER_TRIAL;
pub use worth::{BeginError, check};

/// The state of a search, folded from its events.
#[derive(Debug, Clone)]
pub struct Search {
    started: SearchStarted,
    config: SearchConfig,
    space: Arc<Space>,
    learner: Learner,
    trials: Trials,
    /// The trial of every architecture sampled so far.
    known: HashMap<Architecture, u32>,
    episodes: Vec<Episode>,
    /// Episodes that were learned from, or passed over because their trial was lost: the first so
    /// many.
    passed: u32,
    /// Those of them that were passed over.
    skipped: BTreeSet<u32>,
    /// An experience was recorded and its replay was not.
    unreplayed: Option<u32>,
    phases: PhaseState,
    /// What it began with, if it is a fork.
    heritage: inherit::Heritage,
    /// What keeps within the limits, if there are any.
    mask: Option<Arc<Mask>>,
    /// Rewards on record of trials, where they come from an expression.
    rewards: HashMap<u32, f64>,
    finished: bool,
}

/// One sampled architecture.
#[derive(Debug, Clone)]
struct Episode {
    phase: u32,
    trial: u32,
    trajectory: Trajectory,
}

#[derive(Debug, Clone, Default)]
struct PhaseState {
    /// The current phase, from 0; the number of phases once all have ended.
    current: usize,
    /// Phase in which each trial was planned, by ordinal - 1.
    of_trial: Vec<usize>,
    /// Trials of the current phase that have a result and were learned from.
    models: u32,
    duplicates_in_a_row: u32,
}

impl Search {
    /// The state of a search that has just begun.
    ///
    /// # Errors
    /// [`BeginError`] if the configured space cannot be built for the data, or nothing in it is
    /// within the limits.
    pub fn new(started: SearchStarted, config: SearchConfig) -> Result<Self, BeginError> {
        let space = Space::new(&config.space, started.data.side, started.data.classes)?;
        let mask = worth::mask(&space, &config, &started.data)?.map(Arc::new);
        let space = Arc::new(space);
        let sampler = sampler(&config.replay.policy);
        let learner = Learner::new(Arc::clone(&space), config.learning, Order::Backward, sampler);
        Ok(Self {
            started,
            config,
            space,
            learner,
            trials: Trials::default(),
            known: HashMap::new(),
            episodes: Vec::new(),
            passed: 0,
            skipped: BTreeSet::new(),
            unreplayed: None,
            phases: PhaseState::default(),
            heritage: inherit::Heritage::default(),
            mask,
            rewards: HashMap::new(),
            finished: false,
        })
    }

    /// How it began.
    #[must_use]
    pub fn started(&self) -> &SearchStarted {
        &self.started
    }

    /// What it was told.
    #[must_use]
    pub fn config(&self) -> &SearchConfig {
        &self.config
    }

    /// Its state space.
    #[must_use]
    pub fn space(&self) -> &Arc<Space> {
        &self.space
    }

    /// Its Q-table.
    #[must_use]
    pub fn q(&self) -> &QTable {
        self.learner.q()
    }

    /// Its replay memory.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        self.learner.memory()
    }

    /// Number of episodes.
    #[must_use]
    pub fn episode_count(&self) -> u32 {
        u32::try_from(self.episodes.len()).unwrap_or(u32::MAX)
    }

    /// The current phase from 0, or `None` once all have ended.
    #[must_use]
    pub fn phase(&self) -> Option<usize> {
        (self.phases.current < self.config.schedule.phases.len()).then_some(self.phases.current)
    }

    /// Trials that ended with a result in a phase.
    #[must_use]
    pub fn models_in(&self, phase: usize) -> u32 {
        let ended = self
            .trials
            .all()
            .iter()
            .zip(&self.phases.of_trial)
            .filter(|(trial, of)| **of == phase && matches!(trial.status, Status::Finished(_)));
        u32::try_from(ended.count()).unwrap_or(u32::MAX)
    }

    /// The accuracy of a trial that ended, or what a failure is worth: the reward, unless that is an
    /// expression.
    #[must_use]
    pub fn reward(&self, outcome: &Outcome) -> f64 {
        self.config.reward.of(outcome, self.started.data.classes)
    }

    /// Seed of all its choices.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.started.seed
    }

    fn reward_of_episode(&self, episode: u32) -> Option<f64> {
        let episode = self.episode(episode)?;
        if let Some(reward) = self.heritage.reward(episode.trial) {
            return Some(reward);
        }
        self.worth(episode.trial)
    }

    fn episode(&self, number: u32) -> Option<&Episode> {
        self.episodes.get((number as usize).checked_sub(1)?)
    }

    /// Records the experience of an episode whose reward is known, and learns.
    fn settle(&self, episode: u32) -> Vec<Event> {
        let (Some(reward), Some(trajectory)) =
            (self.reward_of_episode(episode), self.episode(episode).map(|e| &e.trajectory))
        else {
            return Vec::new(); // only episodes with a reward are ever due
        };
        let mut learner = self.learner.clone();
        let mut chance = self.replay_chance(episode);
        learner.push(trajectory, self.facts(episode, reward), &mut chance);
        let draws = learner.replay(self.config.replay.draws, &mut chance).to_vec();
        let weighted = draws.iter().any(|draw| draw.weight != 1.0);
        let update = ReplayUpdated {
            episode,
            alpha: self.config.learning.alpha,
            gamma: self.config.learning.gamma,
            draws: draws.iter().map(|draw| draw.index).collect(),
            weights: draws.iter().filter(|_| weighted).map(|draw| draw.weight).collect(),
            q: Hash(learner.q().digest()),
        };
        vec![ExperienceRecorded { episode, reward }.into(), update.into()]
    }

    /// What the replay policy may know of an episode.
    fn facts(&self, episode: u32, reward: f64) -> Facts {
        let of = self.episode(episode);
        let (phase, trial) = of.map_or((0, 1), |of| (of.phase, of.trial));
        Facts { episode, phase, architecture: trial.saturating_sub(1), reward }
    }

    /// Chance of what follows an experience: what the policy keeps of it, then its draws.
    fn replay_chance(&self, episode: u32) -> Stream {
        Stream::new(self.started.seed, "replay", episode.into())
    }

    /// Why the current phase is over, if it is.
    fn phase_end(&self) -> Option<PhaseEnd> {
        let phase = self.config.schedule.phases.get(self.phases.current)?;
        let schedule = &self.config.schedule;
        if self.phases.models >= phase.models {
            Some(PhaseEnd::Quota)
        } else if self.known.len() as u128 >= self.architectures() {
            Some(PhaseEnd::Exhausted)
        } else if self.phases.duplicates_in_a_row >= schedule.max_duplicates_in_a_row {
            Some(PhaseEnd::Duplicates)
        } else {
            None
        }
    }

    /// Ends the phase, or samples at random for a trainer that has nothing to do.
    fn advance(&self, idle: bool) -> Decision<u32> {
        let Some(phase) = self.config.schedule.phases.get(self.phases.current) else {
            if self.front().is_some() {
                return Decision::Wait;
            }
            let (episodes, trials) = (self.episode_count(), self.trials.next_ordinal() - 1);
            return Decision::Record(vec![SearchFinished { episodes, trials }.into()]);
        };
        match self.phase_end() {
            // Trials in flight belong to this phase and its count.
            Some(_) if self.front().is_some() => Decision::Wait,
            Some(reason) => {
                let (epsilon, episode) = (phase.epsilon.share(), self.episode_count());
                let (models, phase) = (self.phases.models, self.phases.current);
                let phase = u16::try_from(phase).unwrap_or(u16::MAX);
                let ended = PhaseEnded { phase, epsilon, reason, models, episode };
                Decision::Record(vec![ended.into()])
            }
            None if idle && self.has_room() && self.is_blind() => {
                Decision::Record(self.sample(phase.epsilon))
            }
            None => Decision::Wait,
        }
    }

    fn sample(&self, epsilon: Epsilon) -> Vec<Event> {
        let episode = self.episode_count() + 1;
        let mut chance = Stream::new(self.started.seed, "sample", episode.into());
        let trajectory = match &self.mask {
            Some(mask) => mask.sample(&self.space, self.q(), epsilon, &mut chance),
            None => sample(&self.space, self.q(), epsilon, &mut chance),
        };
        let architecture = self.space.architecture(&trajectory);
        let known = self.known.get(&architecture).copied();
        let trial = known.unwrap_or_else(|| self.trials.next_ordinal());
        let phase = u16::try_from(self.phases.current).unwrap_or(u16::MAX);
        let sampled = EpisodeSampled {
            episode,
            phase,
            epsilon: epsilon.share(),
            architecture: architecture.clone(),
            trial,
            duplicate: known.is_some(),
        };
        let mut events = vec![sampled.into()];
        if known.is_none() {
            events.push(self.plan(trial, episode, architecture).into());
        }
        events
    }

    fn plan(&self, trial: u32, episode: u32, architecture: Architecture) -> TrialPlanned {
        let seed = training_seed(self.started.seed, &architecture, 0);
        let data = &self.started.data;
        let input = Map { channels: data.channels, side: data.side };
        let gap = self.config.recipe.gap;
        // The rules of the space are stricter than those of shapes.
        let shapes = Shapes::of(&architecture, input, gap, PoolRule::True).ok();
        let (parameters, multiply_adds) =
            shapes.map_or((0, 0), |shapes| (shapes.parameters(), shapes.multiply_adds()));
        TrialPlanned { trial, episode, architecture, seed, repeat: 0, parameters, multiply_adds }
    }

    fn apply_episode(&mut self, event: &Event, sampled: &EpisodeSampled) -> Result<(), Impossible> {
        let impossible = |why| Err(Impossible::of(event, why));
        if sampled.episode != self.episode_count() + 1 {
            return impossible("episodes are numbered without gaps");
        }
        if !self.may_sample() {
            return impossible("an episode has to be learned from first");
        }
        let Some(trajectory) = self.space.trajectory(&sampled.architecture) else {
            return impossible("the architecture is not in the state space");
        };
        let known = self.known.get(&sampled.architecture).copied();
        let expected = known.unwrap_or_else(|| self.trials.next_ordinal());
        if (expected, known.is_some()) != (sampled.trial, sampled.duplicate) {
            return impossible("the trial is not the one that answers the architecture");
        }
        self.known.insert(sampled.architecture.clone(), sampled.trial);
        self.episodes.push(Episode {
            phase: sampled.phase.into(),
            trial: sampled.trial,
            trajectory,
        });
        let row = &mut self.phases.duplicates_in_a_row;
        *row = if sampled.duplicate { *row + 1 } else { 0 };
        // It may be answered by a trial that was given up.
        self.pass_lost();
        Ok(())
    }

    fn apply_experience(
        &mut self,
        event: &Event,
        experience: &ExperienceRecorded,
    ) -> Result<(), Impossible> {
        let rewarded = self.reward_of_episode(experience.episode).is_some();
        if self.front() != Some(experience.episode) || !rewarded || self.unreplayed.is_some() {
            return Err(Impossible::of(event, "this episode is not the next to be learned from"));
        }
        if self.must_sample() {
            return Err(Impossible::of(event, "an episode has to be sampled first"));
        }
        self.pass();
        self.unreplayed = Some(experience.episode);
        self.remember_reward(experience);
        let trajectory = self.episodes[experience.episode as usize - 1].trajectory.clone();
        let facts = self.facts(experience.episode, experience.reward);
        let mut chance = self.replay_chance(experience.episode);
        self.learner.push(&trajectory, facts, &mut chance);
        Ok(())
    }

    fn apply_replay(&mut self, event: &Event, update: &ReplayUpdated) -> Result<(), Impossible> {
        if self.unreplayed.take() != Some(update.episode) {
            return Err(Impossible::of(event, "it does not follow its experience"));
        }
        if update.draws.iter().any(|&draw| draw as usize >= self.memory().len()) {
            return Err(Impossible::of(event, "a draw is outside the memory"));
        }
        if ![0, update.draws.len()].contains(&update.weights.len()) {
            return Err(Impossible::of(event, "not every draw has a weight"));
        }
        if (update.alpha, update.gamma) != (self.config.learning.alpha, self.config.learning.gamma)
        {
            return Err(Impossible::of(event, "its constants are not those of the search"));
        }
        let draw = |(place, &index)| Draw { index, weight: update.weight(place) };
        let draws: Vec<Draw> = update.draws.iter().enumerate().map(draw).collect();
        self.learner.recall(&draws);
        let found = Hash(self.q().digest());
        if found == update.q {
            Ok(())
        } else {
            Err(Impossible::Digest { episode: update.episode, recorded: update.q, found })
        }
    }

    fn apply_phase_end(&mut self, event: &Event, ended: &PhaseEnded) -> Result<(), Impossible> {
        if usize::from(ended.phase) != self.phases.current {
            return Err(Impossible::of(event, "another phase is running"));
        }
        self.phases.current += 1;
        (self.phases.duplicates_in_a_row, self.phases.models) = (0, 0);
        Ok(())
    }
}

impl Job for Search {
    type Task = u32;

    fn is_finished(&self) -> bool {
        self.finished
    }

    fn decide(&self, idle: bool, left: &[u32]) -> Decision<u32> {
        if self.finished {
            return Decision::Done;
        }
        if let Some(hopeless) = self.trials.hopeless() {
            return Decision::Record(vec![TrialLost { trial: hopeless.planned.trial }.into()]);
        }
        if self.must_sample()
            && let Some(phase) = self.config.schedule.phases.get(self.phases.current)
        {
            return Decision::Record(self.sample(phase.epsilon));
        }
        if let Some(lesson) = self.lesson() {
            return Decision::Record(lesson);
        }
        match self.trials.next_waiting(left) {
            Some(trial) if idle => Decision::Do(trial.planned.trial),
            _ => self.advance(idle),
        }
    }
}

impl Fold for Search {
    type Error = Impossible;

    fn apply(&mut self, recorded: &Recorded) -> Result<(), Impossible> {
        let event = &recorded.event;
        let goes_on = matches!(
            event,
            Event::Resumed(_)
                | Event::ArtifactReleased(_)
                | Event::ScheduleExtended(_)
                | Event::ResultLate(_)
                | Event::TrialRetried(_)
        );
        if self.finished && !goes_on {
            return Err(Impossible::of(event, "the search is finished"));
        }
        let moves_on = matches!(event, Event::PhaseEnded(_) | Event::SearchFinished(_));
        // What is inherited is learned from once all of it is there.
        let learned = self.front().is_none() && self.unreplayed.is_none();
        if moves_on && !learned && !self.heritage.goes_on() {
            return Err(Impossible::of(event, "an episode has not been learned from"));
        }
        self.trials.apply(recorded)?;
        match event {
            Event::EpisodeSampled(sampled) => self.apply_episode(event, sampled)?,
            Event::TrialPlanned(_) => self.phases.of_trial.push(self.phases.current),
            Event::TrialLost(_) => self.pass_lost(),
            Event::TrialRetried(_) => self.finished = false,
            Event::ExperienceRecorded(experience) => self.apply_experience(event, experience)?,
            Event::ReplayUpdated(update) => self.apply_replay(event, update)?,
            Event::PhaseEnded(ended) => self.apply_phase_end(event, ended)?,
            Event::Inherited(part) => self.apply_inherited(event, part)?,
            Event::ForkFinished(finished) => self.apply_fork(event, finished)?,
            Event::ScheduleExtended(added) => self.apply_extension(event, added)?,
            Event::SearchFinished(_) if self.phase().is_some() => {
                return Err(Impossible::of(event, "a phase has not ended"));
            }
            // An imported search is not carried on; its episodes were sampled by others.
            Event::SearchFinished(_) | Event::ImportFinished(_) => self.finished = true,
            _ => {}
        }
        Ok(())
    }
}

impl Training for Search {
    fn trials(&self) -> &Trials {
        &self.trials
    }

    fn config(&self) -> &SearchConfig {
        &self.config
    }

    fn data(&self) -> &crate::events::DataFacts {
        &self.started.data
    }

    fn folder(&self) -> &str {
        &self.started.folder
    }

    fn threads(&self) -> u32 {
        self.started.threads
    }

    fn as_search(&self) -> Option<&Search> {
        Some(self)
    }

    fn planned_models(&self) -> u32 {
        self.config.schedule.models()
    }
}
