//! The history of a search as the lab needs it: its experiences, in the order in which they
//! entered the replay memory, folded from its events.
//!
//! A search of qtrail's own has draws and digests on record; an import has rows alone, and counts
//! from its closing event on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::agent::foreign::Keys;
use crate::agent::space::{Space, Trajectory};
use crate::arch::Architecture;
use crate::chance::Stream;
use crate::config::SearchConfig;
use crate::events::{
    self, ConfigAssembler, Event, Fold, Hash, ImportedPair, ImportedRow, Outcome, ReplayUpdated,
    SearchStarted,
};

/// What a search experienced.
#[derive(Debug, Clone)]
pub struct History {
    /// How it began.
    pub started: SearchStarted,
    /// What it was told.
    pub config: SearchConfig,
    /// Its state space.
    pub space: Arc<Space>,
    /// Distinct architectures, in order of first appearance.
    pub architectures: Vec<Known>,
    /// Experiences, in the order of the replay memory.
    pub experiences: Vec<Experience>,
    /// What was drawn, if that is on record.
    pub recorded: Recorded,
    /// Rows in quarantine that were left out.
    pub left_out: u32,
    /// Whether its experiences are still those, in the order, that the draws on record refer to.
    pub as_recorded: bool,
    /// Accuracies of architectures, where rewards were something else.
    pub accuracies: HashMap<Architecture, f64>,
}

/// An architecture of a history.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// What it is.
    pub architecture: Architecture,
    /// Its pairs of state and action.
    pub path: Trajectory,
}

/// A trajectory with what came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Experience {
    /// The episode it belongs to, from 1.
    pub episode: u32,
    /// Phase of the schedule, from 0.
    pub phase: u32,
    /// Share of random actions.
    pub epsilon: f64,
    /// Index of the architecture.
    pub architecture: u32,
    /// The reward as recorded: the accuracy, unless the search had another reward.
    pub accuracy: f64,
    /// The reward that is learned from: that, unless another was asked for.
    pub reward: f64,
    /// Whether training failed.
    pub failed: bool,
}

/// What is on record of the learning itself.
#[derive(Debug, Clone)]
pub enum Recorded {
    /// The draws of every replay.
    Draws(Vec<Replay>),
    /// An import: Q-values at most, by pair of the space.
    Values(HashMap<u32, f64>),
}

/// The draws after one experience.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The episode after which they were made.
    pub episode: u32,
    /// Experiences in the memory by then.
    pub memory: usize,
    /// Index of each experience drawn, and the weight of its learning rate.
    pub draws: Vec<(u32, f64)>,
    /// Digest of the Q-table afterwards.
    pub q: Hash,
}

/// Why there is no history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// No event of the search was seen, or not all of its configuration.
    #[error("it has not begun by then")]
    NotBegun,
    /// Its import has not ended.
    #[error("its import is not complete, so nothing of it counts")]
    UnfinishedImport,
    /// Not all that it inherits is there.
    #[error("it is not forked completely, so nothing of it counts")]
    UnfinishedFork,
    /// It is a training run.
    #[error("it is a training run: it has no experiences")]
    Run,
    /// Its configuration is none.
    #[error("its configuration cannot be followed: {0}")]
    Config(String),
    /// An event that cannot follow what came before.
    #[error("{event} cannot follow what came before: {why}")]
    Impossible {
        /// Name of the kind.
        event: &'static str,
        /// The rule it breaks.
        why: &'static str,
    },
}

/// Folds the events of one search into its history.
#[derive(Debug, Default)]
pub struct HistoryFold {
    quarantined: bool,
    started: Option<SearchStarted>,
    parts: ConfigAssembler,
    settings: Option<(SearchConfig, Arc<Space>)>,
    /// Set for an import; whether its closing event was seen.
    import: Option<bool>,
    /// It is a fork, and its closing event was not seen.
    unfinished_fork: bool,
    known: HashMap<Architecture, u32>,
    architectures: Vec<Known>,
    /// Of the episodes sampled so far: phase, epsilon, architecture, trial.
    episodes: Vec<(u32, f64, u32, u32)>,
    failed: HashSet<u32>,
    planned: HashMap<u32, Architecture>,
    accuracies: HashMap<Architecture, f64>,
    epsilons: Vec<f64>,
    experiences: Vec<Experience>,
    replays: Vec<Replay>,
    values: Vec<ImportedPair>,
    left_out: u32,
}

/// Takes in the events of the search; those of others must be left out.
impl Fold for HistoryFold {
    type Error = HistoryError;

    fn apply(&mut self, recorded: &events::Recorded) -> Result<(), HistoryError> {
        let event = &recorded.event;
        let text = self.parts.apply(event).map_err(|why| impossible(event, why))?;
        if let (Some(trial), Some(outcome)) = (event.trial(), event.outcome()) {
            self.ended(trial, outcome);
        }
        match event {
            Event::RunStarted(_) => return Err(HistoryError::Run),
            Event::ImportStarted(_) => self.import = Some(false),
            Event::SearchStarted(started) => self.started = Some(started.clone()),
            Event::EpisodeSampled(sampled) => {
                let architecture = self.architecture(event, &sampled.architecture)?;
                let phase = sampled.phase.into();
                self.episodes.push((phase, sampled.epsilon, architecture, sampled.trial));
            }
            Event::ForkStarted(_) => self.unfinished_fork = true,
            Event::ForkFinished(_) => self.unfinished_fork = false,
            Event::Inherited(part) => {
                for one in &part.experiences {
                    let architecture = self.architecture(event, &one.architecture)?;
                    // Trials that were inherited are numbered like architectures, from 1.
                    let trial = architecture + 1;
                    self.planned.insert(trial, one.architecture.clone());
                    self.ended(trial, &one.outcome);
                    self.episodes.push((one.phase.into(), one.epsilon, architecture, trial));
                }
            }
            Event::TrialPlanned(planned) => {
                self.planned.insert(planned.trial, planned.architecture.clone());
            }
            Event::ExperienceRecorded(recorded) => {
                let index = (recorded.episode as usize).wrapping_sub(1);
                let Some(&(phase, epsilon, architecture, trial)) = self.episodes.get(index) else {
                    return Err(impossible(event, "the episode was not sampled"));
                };
                self.experiences.push(Experience {
                    episode: recorded.episode,
                    phase,
                    epsilon,
                    architecture,
                    accuracy: recorded.reward,
                    reward: recorded.reward,
                    failed: self.failed.contains(&trial),
                });
            }
            Event::ReplayUpdated(update) => self.replays.push(self.replay(event, update)?),
            Event::ImportedRow(row) => self.row(event, row)?,
            Event::ImportedQ(values) => self.values.extend(&values.pairs),
            Event::ImportFinished(_) => self.import = Some(true),
            _ => {}
        }
        text.map_or(Ok(()), |text| self.configure(&text))
    }
}

impl HistoryFold {
    /// A fold that has seen nothing; `quarantined` lets rows in quarantine count like others.
    #[must_use]
    pub fn new(quarantined: bool) -> Self {
        Self { quarantined, ..Self::default() }
    }

    /// Takes in what came of a trial.
    fn ended(&mut self, trial: u32, outcome: &Outcome) {
        if matches!(outcome, Outcome::Failed { .. }) {
            self.failed.insert(trial);
        }
        if let (Some((config, _)), Some(started)) = (&self.settings, &self.started)
            && config.reward.expression.is_some()
        {
            let accuracy = config.reward.of(outcome, started.data.classes);
            self.accuracies.extend(self.planned.get(&trial).map(|net| (net.clone(), accuracy)));
        }
    }

    fn configure(&mut self, text: &str) -> Result<(), HistoryError> {
        let Some(started) = &self.started else { return Err(HistoryError::NotBegun) };
        let config = SearchConfig::read(text, None, &[])
            .map_err(|error| HistoryError::Config(error.to_string()))?;
        let space = Space::new(&config.space, started.data.side, started.data.classes)
            .map_err(|error| HistoryError::Config(error.to_string()))?;
        self.settings = Some((config, Arc::new(space)));
        Ok(())
    }

    fn architecture(
        &mut self,
        event: &Event,
        architecture: &Architecture,
    ) -> Result<u32, HistoryError> {
        if let Some(&index) = self.known.get(architecture) {
            return Ok(index);
        }
        let (_, space) = self.settings.as_ref().ok_or(HistoryError::NotBegun)?;
        let path = space
            .trajectory(architecture)
            .ok_or_else(|| impossible(event, "the architecture is not in the state space"))?;
        let index = count(self.architectures.len());
        self.architectures.push(Known { architecture: architecture.clone(), path });
        self.known.insert(architecture.clone(), index);
        Ok(index)
    }

    fn replay(&self, event: &Event, update: &ReplayUpdated) -> Result<Replay, HistoryError> {
        let memory = self.experiences.len();
        if update.draws.iter().any(|&draw| draw as usize >= memory) {
            return Err(impossible(event, "a draw is outside the memory"));
        }
        let draws = update.draws.iter().enumerate();
        let draws = draws.map(|(place, &draw)| (draw, update.weight(place))).collect();
        Ok(Replay { episode: update.episode, memory, draws, q: update.q })
    }

    fn row(&mut self, event: &Event, row: &ImportedRow) -> Result<(), HistoryError> {
        let phase = self.epsilons.iter().position(|epsilon| *epsilon == row.epsilon);
        let phase = phase.unwrap_or_else(|| {
            self.epsilons.push(row.epsilon);
            self.epsilons.len() - 1
        });
        if row.quarantine.is_some() && !self.quarantined {
            self.left_out += 1;
            return Ok(());
        }
        let architecture = self.architecture(event, &row.architecture)?;
        self.experiences.push(Experience {
            episode: row.row.saturating_add(1),
            phase: count(phase),
            epsilon: row.epsilon,
            architecture,
            accuracy: row.best,
            reward: row.best,
            failed: row.failed,
        });
        Ok(())
    }

    /// The history, once all events were taken in.
    ///
    /// # Errors
    /// [`HistoryError`] if the search has not begun, or is an import that has not ended.
    pub fn finish(self) -> Result<History, HistoryError> {
        if self.import == Some(false) {
            return Err(HistoryError::UnfinishedImport);
        }
        if self.unfinished_fork {
            return Err(HistoryError::UnfinishedFork);
        }
        let started = self.started.ok_or(HistoryError::NotBegun)?;
        let (config, space) = self.settings.ok_or(HistoryError::NotBegun)?;
        let recorded = match self.import {
            None => Recorded::Draws(self.replays),
            Some(_) => {
                let keys = Keys::of(&space);
                let known = |pair: &ImportedPair| Some((keys.find(pair)?, pair.value));
                Recorded::Values(self.values.iter().filter_map(known).collect())
            }
        };
        let mut history = History {
            started,
            config,
            space,
            architectures: self.architectures,
            experiences: self.experiences,
            recorded,
            left_out: self.left_out,
            as_recorded: true,
            accuracies: self.accuracies,
        };
        history.forget_unknown();
        Ok(history)
    }
}

impl History {
    /// The accuracy of an experience: what was recorded, unless the reward was something else.
    #[must_use]
    pub fn accuracy(&self, experience: &Experience) -> f64 {
        let known = self.architectures.get(experience.architecture as usize);
        let other = known.and_then(|known| self.accuracies.get(&known.architecture));
        other.copied().unwrap_or(experience.accuracy)
    }

    /// The path of an experience.
    #[must_use]
    pub fn path(&self, experience: &Experience) -> &Trajectory {
        &self.architectures[experience.architecture as usize].path
    }

    /// The experience that an architecture appeared in first.
    #[must_use]
    pub fn first_of(&self, architecture: &Architecture) -> Option<&Experience> {
        self.experiences
            .iter()
            .find(|one| self.architectures[one.architecture as usize].architecture == *architecture)
    }

    /// The history with other rewards, one for each architecture; experiences of architectures
    /// that have none are left out, and with them what was drawn.
    #[must_use]
    pub fn rewarded(mut self, rewards: &[Option<f64>]) -> Self {
        let before = self.experiences.len();
        self.experiences.retain_mut(|one| {
            let reward = rewards.get(one.architecture as usize).copied().flatten();
            one.reward = reward.unwrap_or(one.reward);
            reward.is_some()
        });
        self.as_recorded &= self.experiences.len() == before;
        self.forget_unknown();
        self
    }

    /// The history with the experiences of each phase in another order: for imports that do not
    /// say in which order they came.
    #[must_use]
    pub fn shuffled(mut self, seed: u64) -> Self {
        let mut first = 0;
        for (index, phase) in (0..).zip(lengths(&self.experiences)) {
            let phase = first..first + phase;
            first = phase.end;
            let mut mixed = self.experiences[phase.clone()].to_vec();
            Stream::new(seed, "shuffle", index).shuffle(&mut mixed);
            for (place, one) in self.experiences[phase].iter_mut().zip(mixed) {
                *place = Experience { episode: place.episode, ..one };
            }
        }
        self.as_recorded = false;
        self.forget_unknown();
        self
    }

    /// Renumbers architectures by first appearance among the experiences; leaves out the others.
    fn forget_unknown(&mut self) {
        let mut new: Vec<Option<u32>> = vec![None; self.architectures.len()];
        let mut kept = Vec::new();
        for one in &mut self.experiences {
            let old = one.architecture as usize;
            one.architecture = *new[old].get_or_insert_with(|| {
                kept.push(self.architectures[old].clone());
                count(kept.len() - 1)
            });
        }
        self.architectures = kept;
    }
}

/// Experiences in each stretch of one phase.
fn lengths(experiences: &[Experience]) -> Vec<usize> {
    experiences.chunk_by(|a, b| a.phase == b.phase).map(<[_]>::len).collect()
}

fn impossible(event: &Event, why: &'static str) -> HistoryError {
    HistoryError::Impossible { event: event.kind().name, why }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
