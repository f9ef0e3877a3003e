//! A run: a given architecture trained outside any search, some number of times.

use super::trials::{Trials, training_seed};
use super::{Decision, Impossible, Job};
use crate::arch::shape::{Map, ShapeError};
use crate::arch::{PoolRule, Shapes};
use crate::config::SearchConfig;
use crate::events::{Event, RunFinished, RunStarted, TrialLost, TrialPlanned};

/// The state of a run, folded from its events.
#[derive(Debug, Clone)]
pub struct Run {
    started: RunStarted,
    config: SearchConfig,
    parameters: u64,
    multiply_adds: u64,
    trials: Trials,
    finished: bool,
}

impl Run {
    /// The state of a run that has just begun.
    ///
    /// # Errors
    /// [`ShapeError`] if the architecture does not fit the images.
    pub fn new(started: RunStarted, config: SearchConfig) -> Result<Self, ShapeError> {
        let input = Map { channels: started.data.channels, side: started.data.side };
        let shapes = Shapes::of(&started.architecture, input, config.recipe.gap, PoolRule::True)?;
        let (parameters, multiply_adds) = (shapes.parameters(), shapes.multiply_adds());
        let trials = Trials::default();
        Ok(Self { started, config, parameters, multiply_adds, trials, finished: false })
    }

    /// How it began.
    #[must_use]
    pub fn started(&self) -> &RunStarted {
        &self.started
    }

    fn plan(&self, repeat: u32) -> TrialPlanned {
        let architecture = self.started.architecture.clone();
        TrialPlanned {
            trial: repeat + 1,
            episode: 0,
            seed: training_seed(self.started.seed, &architecture, repeat),
            architecture,
            repeat,
            parameters: self.parameters,
            multiply_adds: self.multiply_adds,
        }
    }
}

impl Job for Run {
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

    fn is_finished(&self) -> bool {
        self.finished
    }

    fn planned_models(&self) -> u32 {
        self.started.repeats
    }

    fn decide(&self, idle: bool) -> Decision {
        if self.finished {
            return Decision::Done;
        }
        if let Some(trial) = self.trials.hopeless() {
            return Decision::Record(vec![TrialLost { trial: trial.planned.trial }.into()]);
        }
        let planned = self.trials.next_ordinal() - 1;
        match self.trials.next_waiting() {
            Some(trial) if idle => Decision::Train(trial.planned.trial),
            _ if idle && planned < self.started.repeats => {
                Decision::Record(vec![self.plan(planned).into()])
            }
            _ if self.trials.open() == 0 && planned >= self.started.repeats => {
                Decision::Record(vec![RunFinished { trials: planned }.into()])
            }
            _ => Decision::Wait,
        }
    }

    fn apply(&mut self, event: &Event) -> Result<(), Impossible> {
        self.trials.apply(event)?;
        self.finished |= matches!(event, Event::RunFinished(_));
        Ok(())
    }
}
