//! Which searches and runs a log holds, and the state of one of them.

use std::collections::BTreeMap;

use super::references::References;
use super::series::AllSeries;
use super::studies::Studies;
use crate::agent::run::Run;
use crate::agent::search::Search;
use crate::agent::{Impossible, Training};
use crate::config::{ConfigError, Order, SearchConfig};
use crate::events::frame::Position;
use crate::events::{AttackVictim, ConfigPart, Event, Hash, Recorded, RunModel, Scope, Victim};

/// One search or run, as far as choosing it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its name; may be empty.
    pub name: String,
    /// Whether nothing is left to do.
    pub finished: bool,
    /// Position of its last event.
    pub last: Position,
    /// Hash of the file it was imported from, if it was.
    pub imported: Option<Hash>,
}

/// All searches, runs and attacks of a log, and the artifacts that it names.
#[derive(Debug, Clone, Default)]
pub struct Index {
    entries: BTreeMap<Scope, Entry>,
    /// Imports and forks whose end was not seen. Only their numbers count: they are not used again.
    incomplete: BTreeMap<Scope, Entry>,
    /// Models of files that attacks are on: label and weights.
    models: BTreeMap<Scope, Vec<(String, Vec<Hash>)>>,
    references: References,
    pub(super) studies: Studies,
    pub(super) series: AllSeries,
    /// Names of ensembles, in the order of their numbers.
    pub(super) ensembles: Vec<String>,
}

impl Index {
    /// Takes in one event, in the order of the log.
    pub fn push(&mut self, recorded: &Recorded) {
        let scope = recorded.scope;
        if let Event::ImportStarted(started) = &recorded.event {
            let entry = Entry { imported: Some(started.content), ..Entry::default() };
            self.incomplete.insert(scope, entry);
        }
        if matches!(recorded.event, Event::ForkStarted(_)) {
            self.incomplete.insert(scope, Entry::default());
        }
        if matches!(recorded.event, Event::ImportFinished(_) | Event::ForkFinished(_))
            && let Some(entry) = self.incomplete.remove(&scope)
        {
            self.entries.insert(scope, entry);
        }
        if scope != Scope::Store {
            let entry = match self.incomplete.get_mut(&scope) {
                Some(entry) => entry,
                None => self.entries.entry(scope).or_default(),
            };
            entry.last = recorded.position;
            match &recorded.event {
                Event::SearchStarted(started) => entry.name.clone_from(&started.name),
                Event::AttackStarted(started) => entry.name.clone_from(&started.name),
                Event::SearchFinished(_)
                | Event::RunFinished(_)
                | Event::ImportFinished(_)
                | Event::AttackFinished(_) => entry.finished = true,
                Event::ScheduleExtended(_) | Event::TrialRetried(_) => entry.finished = false,
                _ => {}
            }
        }
        if let Event::AttackVictim(AttackVictim { what, label, weights, .. }) = &recorded.event
            && matches!(what, Victim::Torchscript { .. })
        {
            self.models.entry(scope).or_default().push((label.clone(), weights.clone()));
        }
        self.series.push(recorded);
        if let Event::EnsembleSaved(saved) = &recorded.event {
            self.ensembles.push(saved.name.clone());
        }
        self.note(recorded);
    }

    /// Takes in what an event says of artifacts and studies.
    pub(super) fn note(&mut self, recorded: &Recorded) {
        self.references.push(recorded);
        self.studies.note(&recorded.event);
    }

    /// The searches, runs and attacks, by scope.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<Scope, Entry> {
        &self.entries
    }

    /// The artifacts that are named.
    #[must_use]
    pub fn references(&self) -> &References {
        &self.references
    }

    /// The scope of the next search.
    #[must_use]
    pub fn next_search(&self) -> Scope {
        let scopes = self.entries.keys().chain(self.incomplete.keys());
        let numbers = scopes.map(|scope| match scope {
            Scope::Search(number) => *number,
            _ => 0,
        });
        Scope::Search(numbers.max().unwrap_or(0) + 1)
    }

    /// The scope of the next run.
    #[must_use]
    pub fn next_run(&self) -> Scope {
        let numbers = self.entries.keys().map(|scope| match scope {
            Scope::Run(number) => *number,
            _ => 0,
        });
        Scope::Run(numbers.max().unwrap_or(0) + 1)
    }

    /// The scope of the next attack.
    #[must_use]
    pub fn next_attack(&self) -> Scope {
        let numbers = self.entries.keys().map(|scope| match scope {
            Scope::Attack(number) => *number,
            _ => 0,
        });
        Scope::Attack(numbers.max().unwrap_or(0) + 1)
    }

    /// The search or run called `name`: `s1`, `r1`, or the name it was given.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Scope> {
        let scope = name.parse().ok().filter(|scope| self.entries.contains_key(scope));
        scope.or_else(|| {
            let named = |(_, entry): &(&Scope, &Entry)| entry.name == name && !name.is_empty();
            self.entries.iter().rev().find(named).map(|(scope, _)| *scope)
        })
    }

    /// Checks that nothing has the name of a new search, series or attack (`what`): no search, run or
    /// attack, and no model of a file.
    ///
    /// # Errors
    /// What has the name.
    pub fn check_free(&self, what: &str, name: &str) -> Result<(), String> {
        if let Some(scope) = self.find(name) {
            let kind = match scope {
                Scope::Attack(_) => "an attack",
                Scope::Run(_) => "a run",
                _ => "a search",
            };
            return Err(format!("{kind} called {name} is in the store already: {scope}"));
        }
        let named = |(_, models): &(&Scope, &Vec<(String, Vec<Hash>)>)| {
            models.iter().any(|(label, _)| label == name)
        };
        match self.models.iter().find(named) {
            None => Ok(()),
            Some((scope, _)) => Err(format!(
                "a model that {scope} attacked is called {name}; call the {what} something else"
            )),
        }
    }

    /// Unfinished attacks on another model of a file that has the same label.
    #[must_use]
    pub fn attacks_on_other(&self, label: &str, weights: &[Hash]) -> Vec<Scope> {
        let is_other = |(known, of): &(String, Vec<Hash>)| known == label && of != weights;
        let is_open = |scope: &Scope| self.entries.get(scope).is_some_and(|entry| !entry.finished);
        let found = self.models.iter().filter(|(_, models)| models.iter().any(is_other));
        found.map(|(scope, _)| *scope).filter(is_open).collect()
    }

    /// The search that a file with this hash was imported as.
    #[must_use]
    pub fn find_import(&self, content: Hash) -> Option<Scope> {
        let same = |(_, entry): &(&Scope, &Entry)| entry.imported == Some(content);
        self.entries.iter().find(same).map(|(scope, _)| *scope)
    }

    /// The imports of a file with this hash whose end was not seen.
    #[must_use]
    pub fn unfinished_imports_of(&self, content: Hash) -> Vec<Scope> {
        let same = |(_, entry): &(&Scope, &Entry)| entry.imported == Some(content);
        self.incomplete.iter().filter(same).map(|(scope, _)| *scope).collect()
    }

    /// The unfinished search or run that was worked on last.
    #[must_use]
    pub fn newest_unfinished(&self) -> Option<Scope> {
        let open = self.entries.iter().filter(|(_, entry)| !entry.finished);
        open.max_by_key(|(_, entry)| entry.last).map(|(scope, _)| *scope)
    }
}

/// Why the state of a search or run cannot be had from its events.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// Its configuration is not what its first event says.
    #[error("{scope}: the recorded configuration {reason}")]
    Config {
        /// The search or run.
        scope: Scope,
        /// What is wrong with it.
        reason: String,
    },
    /// Its history cannot have happened.
    #[error("{scope}, event {position}: {source}")]
    Impossible {
        /// The search or run.
        scope: Scope,
        /// The event that cannot be.
        position: Position,
        /// Why.
        source: Impossible,
    },
}

/// Splits a configuration's text into events.
#[must_use]
pub fn config_parts(text: &str) -> Vec<ConfigPart> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = rest.len().min(ConfigPart::BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (part, after) = rest.split_at(end);
        let index = u16::try_from(parts.len()).unwrap_or(u16::MAX);
        parts.push(ConfigPart { index, text: part.to_owned() });
        rest = after;
    }
    parts
}

/// The state of one search or run, folded from its events.
#[derive(Debug, Default)]
pub enum State {
    /// Nothing was seen of it yet.
    #[default]
    Unseen,
    /// It began; its configuration and models are being put together.
    Opening {
        /// The first event: `search-started` or `run-started`.
        first: Box<Event>,
        /// Configuration text so far.
        text: String,
        /// Models of a run so far.
        models: Vec<RunModel>,
    },
    /// It runs, or is finished.
    Open(Box<dyn Training>),
}

impl State {
    /// Takes in an event of this scope; others must be left out.
    ///
    /// # Errors
    /// [`FoldError`] naming the event that cannot be.
    pub fn push(&mut self, recorded: &Recorded) -> Result<(), FoldError> {
        let (scope, position) = (recorded.scope, recorded.position);
        match (&mut *self, &recorded.event) {
            // What follows is a search whose events are those of others.
            (Self::Unseen, Event::ImportStarted(_) | Event::ForkStarted(_)) => Ok(()),
            (Self::Unseen, first @ (Event::SearchStarted(_) | Event::RunStarted(_))) => {
                let (text, models) = Default::default();
                *self = Self::Opening { first: Box::new(first.clone()), text, models };
                self.open_when_complete(scope)
            }
            (Self::Opening { text, .. }, Event::ConfigPart(part)) => {
                text.push_str(&part.text);
                self.open_when_complete(scope)
            }
            (Self::Opening { models, .. }, Event::RunModel(model))
                if usize::from(model.index) == models.len() =>
            {
                models.push(model.clone());
                self.open_when_complete(scope)
            }
            (Self::Open(job), event) => {
                job.apply(event).map_err(|source| FoldError::Impossible { scope, position, source })
            }
            (_, event) => {
                let why = "the search or run has not begun";
                let source = Impossible::of(event, why);
                Err(FoldError::Impossible { scope, position, source })
            }
        }
    }

    fn open_when_complete(&mut self, scope: Scope) -> Result<(), FoldError> {
        let Self::Opening { first, text, models } = self else { return Ok(()) };
        let (config, expected) = match &**first {
            Event::SearchStarted(started) => (started.config, 0),
            Event::RunStarted(started) => (started.config, started.models),
            _ => return Ok(()),
        };
        if Hash::of(text.as_bytes()) != config || models.len() < usize::from(expected) {
            return Ok(()); // a part is still to come
        }
        let wrong = |reason: String| FoldError::Config { scope, reason };
        let read = |text: &str| {
            SearchConfig::read(text, None, &[])
                .map_err(|error: ConfigError| wrong(format!("is not one: {error}")))
        };
        let config = read(text)?;
        let cannot = |error: &dyn std::fmt::Display| wrong(format!("cannot be followed: {error}"));
        let job: Box<dyn Training> = match (**first).clone() {
            Event::RunStarted(started) => {
                let models = std::mem::take(models);
                Box::new(Run::new(started, models, config).map_err(|error| cannot(&error))?)
            }
            Event::SearchStarted(started) if config.schedule.order == Order::Enumerate => {
                Box::new(Run::enumerate(started, config).map_err(|error| cannot(&error))?)
            }
            Event::SearchStarted(started) => {
                Box::new(Search::new(started, config).map_err(|error| cannot(&error))?)
            }
            _ => return Ok(()),
        };
        *self = Self::Open(job);
        Ok(())
    }
}
