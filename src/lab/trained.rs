//! What the trials of a search gave, folded from its events: an environment, and the settings that
//! go with it. Any search will do; one that enumerated its space makes the environment exact.

use std::collections::HashMap;
use std::sync::Arc;

use super::environment::Environment;
use super::history::HistoryError;
use crate::agent::space::Space;
use crate::arch::Architecture;
use crate::config::SearchConfig;
use crate::events::{ConfigAssembler, Event, Fold, Outcome, Recorded, SearchStarted};

/// The trials of a search.
#[derive(Debug)]
pub struct Trained {
    /// What it was told.
    pub config: SearchConfig,
    /// Its state space.
    pub space: Arc<Space>,
    /// What its trainings gave.
    pub environment: Environment,
}

/// Folds the events of one search.
#[derive(Debug, Default)]
pub struct TrainedFold {
    started: Option<SearchStarted>,
    parts: ConfigAssembler,
    config: Option<SearchConfig>,
    planned: HashMap<u32, Architecture>,
    environment: Environment,
    unfinished_import: bool,
}

/// Takes in the events of the search; those of others must be left out.
impl Fold for TrainedFold {
    type Error = HistoryError;

    fn apply(&mut self, recorded: &Recorded) -> Result<(), HistoryError> {
        let event = &recorded.event;
        let wrong = |why| HistoryError::Impossible { event: event.kind().name, why };
        if let Some(text) = self.parts.apply(event).map_err(wrong)? {
            let config = SearchConfig::read(&text, None, &[]);
            self.config = Some(config.map_err(|error| HistoryError::Config(error.to_string()))?);
        }
        if let (Some(trial), Some(outcome)) = (event.trial(), event.outcome()) {
            self.ended(trial, outcome);
        }
        match event {
            Event::SearchStarted(started) => self.started = Some(started.clone()),
            Event::TrialPlanned(planned) => {
                self.planned.insert(planned.trial, planned.architecture.clone());
            }
            Event::Inherited(part) => {
                for one in &part.experiences {
                    // A training each, however often it was sampled.
                    if self.environment.find(&one.architecture).is_none() {
                        self.environment.push(&one.architecture, one.reward);
                    }
                }
            }
            Event::ImportStarted(_) => self.unfinished_import = true,
            Event::ImportFinished(_) => self.unfinished_import = false,
            Event::ImportedRow(row) if row.quarantine.is_none() => {
                self.environment.push(&row.architecture, row.best);
            }
            _ => {}
        }
        Ok(())
    }
}

impl TrainedFold {
    fn ended(&mut self, trial: u32, outcome: &Outcome) {
        if let (Some(config), Some(started), Some(architecture)) =
            (&self.config, &self.started, self.planned.get(&trial))
        {
            let reward = config.reward.of(outcome, started.data.classes);
            self.environment.push(architecture, reward);
        }
    }

    /// The trials, once all events were taken in.
    ///
    /// # Errors
    /// [`HistoryError`] if the search has not begun, or is an import that has not ended.
    pub fn finish(self) -> Result<Trained, HistoryError> {
        if self.unfinished_import {
            return Err(HistoryError::UnfinishedImport);
        }
        let started = self.started.ok_or(HistoryError::NotBegun)?;
        let config = self.config.ok_or(HistoryError::NotBegun)?;
        let space = Space::new(&config.space, started.data.side, started.data.classes)
            .map_err(|error| HistoryError::Config(error.to_string()))?;
        Ok(Trained { config, space: Arc::new(space), environment: self.environment })
    }
}
