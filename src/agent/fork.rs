//! Forking: what a search experienced by some event, as the beginning of another search.
//!
//! An experience is inherited once it is in the replay memory. What was sampled and not yet
//! answered, or given up, is not: the fork samples anew.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::arch::Architecture;
use crate::config::learning::Epsilon;
use crate::config::{ConfigError, Order, Phase, SearchConfig};
use crate::events::{
    ConfigAssembler, Event, Fold, ForkFinished, Inherited, InheritedExperience, Outcome,
    PhaseEnded, Recorded, ScheduleExtended, SearchStarted,
};

/// Why nothing can be inherited from a search.
#[derive(Debug, thiserror::Error)]
pub enum HeritageError {
    /// It has not begun by then, or its configuration is not complete.
    #[error("it has not begun by then")]
    NotBegun,
    /// It has no experiences by then.
    #[error("it has no experiences by then: nothing was sampled and learned from yet")]
    Empty,
    /// It is a training run or an enumeration.
    #[error("it samples nothing, so it has no experiences")]
    Run,
    /// It is an import.
    #[error(
        "it was imported: on which images, and how, its architectures would be trained is not on \
         record"
    )]
    Import,
    /// Its configuration is none.
    #[error("its configuration cannot be followed: {0}")]
    Config(#[from] ConfigError),
    /// An event that cannot follow what came before.
    #[error("{0} cannot follow what came before")]
    Impossible(&'static str),
}

/// Folds the events of one search into what a fork of it begins with.
#[derive(Debug, Default)]
pub struct Heritage {
    started: Option<SearchStarted>,
    parts: ConfigAssembler,
    config: Option<SearchConfig>,
    /// Of each episode so far: what was sampled where, answered by which trial.
    episodes: Vec<Sampled>,
    outcomes: HashMap<u32, Outcome>,
    facts: Vec<Fact>,
    experiences: u32,
    /// It is a fork, and what it inherited is not all there.
    inherits: bool,
    /// Ends of phases that it inherited and has not learned up to yet.
    ends: VecDeque<PhaseEnded>,
}

#[derive(Debug, Clone)]
struct Sampled {
    phase: u16,
    epsilon: f64,
    architecture: Architecture,
    trial: u32,
}

#[derive(Debug)]
enum Fact {
    Experience(InheritedExperience),
    PhaseEnded(PhaseEnded),
}

/// What a fork begins with.
#[derive(Debug)]
pub struct Inheritance {
    /// How its source began.
    pub started: SearchStarted,
    /// What its source was told, phases that were added to its schedule included.
    pub config: SearchConfig,
    /// Experiences.
    pub episodes: u32,
    /// Distinct architectures among them.
    pub trials: u32,
    /// Phases that have ended.
    pub phases: usize,
    /// The events that say so, in order, the closing one included.
    pub events: Vec<Event>,
}

/// Takes in the events of the search; those of others must be left out.
impl Fold for Heritage {
    type Error = HeritageError;

    fn apply(&mut self, recorded: &Recorded) -> Result<(), HeritageError> {
        let event = &recorded.event;
        let wrong = || HeritageError::Impossible(event.kind().name);
        if let Some(text) = self.parts.apply(event).map_err(|_| wrong())? {
            self.configure(&text)?;
        }
        if let (Some(trial), Some(outcome)) = (event.trial(), event.outcome()) {
            self.ended(trial, outcome);
        }
        match event {
            Event::RunStarted(_) => return Err(HeritageError::Run),
            Event::ImportStarted(_) => return Err(HeritageError::Import),
            Event::SearchStarted(started) => self.started = Some(started.clone()),
            Event::ForkStarted(_) => self.inherits = true,
            Event::ForkFinished(_) => self.inherits = false,
            Event::Inherited(part) => self.inherit(part),
            Event::EpisodeSampled(sampled) => self.episodes.push(Sampled {
                phase: sampled.phase,
                epsilon: sampled.epsilon,
                architecture: sampled.architecture.clone(),
                trial: sampled.trial,
            }),
            Event::ExperienceRecorded(recorded) => {
                let index = (recorded.episode as usize).wrapping_sub(1);
                let sampled = self.episodes.get(index).ok_or_else(wrong)?;
                let outcome = self.outcomes.get(&sampled.trial).ok_or_else(wrong)?;
                self.experiences += 1;
                self.facts.push(Fact::Experience(InheritedExperience {
                    episode: recorded.episode,
                    phase: sampled.phase,
                    epsilon: sampled.epsilon,
                    architecture: sampled.architecture.clone(),
                    trial: sampled.trial,
                    outcome: outcome.clone(),
                    reward: recorded.reward,
                }));
                // A fork inherits the end of a phase before it learns from what led to it.
                while let Some(ended) =
                    self.ends.front().filter(|ended| ended.episode <= recorded.episode).cloned()
                {
                    self.ends.pop_front();
                    self.end_phase(&ended);
                }
            }
            Event::PhaseEnded(ended) if self.inherits => self.ends.push_back(ended.clone()),
            Event::PhaseEnded(ended) => self.end_phase(ended),
            Event::ScheduleExtended(added) => self.extend(added)?,
            _ => {}
        }
        Ok(())
    }
}

impl Heritage {
    /// What came of a trial; its weights are an artifact of the search that trained it.
    fn ended(&mut self, trial: u32, outcome: &Outcome) {
        let outcome = match *outcome {
            Outcome::Trained { best_epoch, best_correct, last_correct, total, .. } => {
                let (weights, kept) = (None, false);
                Outcome::Trained { best_epoch, best_correct, last_correct, total, weights, kept }
            }
            Outcome::Failed { reason, .. } => Outcome::Failed { reason, message: String::new() },
        };
        self.outcomes.insert(trial, outcome);
    }

    /// A phase has ended with what was experienced by now.
    fn end_phase(&mut self, ended: &PhaseEnded) {
        let ended = PhaseEnded { episode: self.experiences, ..ended.clone() };
        self.facts.push(Fact::PhaseEnded(ended));
    }

    fn configure(&mut self, text: &str) -> Result<(), HeritageError> {
        let config = SearchConfig::read(text, None, &[])?;
        if config.schedule.order == Order::Enumerate {
            return Err(HeritageError::Run);
        }
        self.config = Some(config);
        Ok(())
    }

    /// The source is a fork itself: its first episodes are what it inherited. Ordinals of its
    /// trials begin with those, by first appearance.
    fn inherit(&mut self, part: &Inherited) {
        let mut ordinals: HashMap<Architecture, u32> =
            self.episodes.iter().map(|of| (of.architecture.clone(), of.trial)).collect();
        for one in &part.experiences {
            let next = u32::try_from(self.outcomes.len()).unwrap_or(u32::MAX) + 1;
            let trial = *ordinals.entry(one.architecture.clone()).or_insert(next);
            self.outcomes.entry(trial).or_insert_with(|| one.outcome.clone());
            self.episodes.push(Sampled {
                phase: one.phase,
                epsilon: one.epsilon,
                architecture: one.architecture.clone(),
                trial,
            });
        }
    }

    fn extend(&mut self, added: &ScheduleExtended) -> Result<(), HeritageError> {
        let config = self.config.as_mut().ok_or(HeritageError::NotBegun)?;
        for phase in &added.phases {
            let epsilon = Epsilon::new(phase.epsilon)
                .ok_or(HeritageError::Impossible("schedule-extended"))?;
            config.schedule.phases.push(Phase { epsilon, models: phase.models });
        }
        Ok(())
    }

    /// What is inherited, once all events were taken in.
    ///
    /// # Errors
    /// [`HeritageError`] if that is nothing.
    pub fn finish(self) -> Result<Inheritance, HeritageError> {
        let started = self.started.ok_or(HeritageError::NotBegun)?;
        let config = self.config.ok_or(HeritageError::NotBegun)?;
        if self.experiences == 0 {
            return Err(HeritageError::Empty);
        }
        let (mut events, mut phase, mut first): (Vec<Event>, Vec<InheritedExperience>, u32) =
            (Vec::new(), Vec::new(), 0);
        let (mut architectures, mut phases) = (HashSet::new(), 0);
        for fact in self.facts {
            match fact {
                Fact::Experience(one) => {
                    architectures.insert(one.architecture.clone());
                    phase.push(one);
                }
                Fact::PhaseEnded(ended) => {
                    let inherited = std::mem::take(&mut phase);
                    events.extend(Inherited::cut(first, inherited).into_iter().map(Event::from));
                    (first, phases) = (ended.episode, phases + 1);
                    events.push(ended.into());
                }
            }
        }
        events.extend(Inherited::cut(first, phase).into_iter().map(Event::from));
        let trials = u32::try_from(architectures.len()).unwrap_or(u32::MAX);
        let episodes = self.experiences;
        events.push(ForkFinished { episodes, trials }.into());
        Ok(Inheritance { started, config, episodes, trials, phases, events })
    }
}
