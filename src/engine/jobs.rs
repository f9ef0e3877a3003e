//! Which searches and runs a log holds, and the state of one of them.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::references::References;
use super::series::AllSeries;
use crate::agent::run::Run;
use crate::agent::search::Search;
use crate::agent::{Impossible, Training};
use crate::config::{ConfigError, Order, SearchConfig};
use crate::events::frame::Position;
use crate::events::{
    AttackVictim, ConfigAssembler, Event, Fold, Hash, Recorded, RunModel, Scope, Victim,
};

/// One search or run, as far as choosing it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its name; may be empty.
    pub name: String,
    /// Whether nothing is left to do.
    pub finished: bool,
    /// Position of its first event.
    pub first: Position,
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
    studies: Studies,
    pub(super) series: AllSeries,
    /// Names of ensembles, in the order of their numbers.
    pub(super) ensembles: Vec<String>,
}

impl Fold for Index {
    type Error = Infallible;

    fn apply(&mut self, recorded: &Recorded) -> Result<(), Infallible> {
        let scope = recorded.scope;
        match recorded.event.counts() {
            Some(false) => drop(self.incomplete.insert(scope, Entry::default())),
            Some(true) => self.entries.extend(self.incomplete.remove_entry(&scope)),
            None => {}
        }
        if scope != Scope::Store {
            let entry = match self.incomplete.get_mut(&scope) {
                Some(entry) => entry,
                None => self.entries.entry(scope).or_default(),
            };
            entry.last = recorded.position;
            if entry.first == Position::default() {
                entry.first = recorded.position;
            }
            match &recorded.event {
                Event::ImportStarted(started) => entry.imported = Some(started.content),
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
        if let Event::EnsembleSaved(saved) = &recorded.event {
            self.ensembles.push(saved.name.clone());
        }
        self.series.apply(recorded)?;
        self.references.apply(recorded)?;
        self.studies.apply(recorded)
    }
}

impl Index {
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
        self.next(Scope::Search)
    }

    /// The scope of the next run.
    #[must_use]
    pub fn next_run(&self) -> Scope {
        self.next(Scope::Run)
    }

    /// The scope of the next attack.
    #[must_use]
    pub fn next_attack(&self) -> Scope {
        self.next(Scope::Attack)
    }

    fn next(&self, of: fn(u32) -> Scope) -> Scope {
        let scopes = self.entries.keys().chain(self.incomplete.keys());
        let numbers = scopes.filter_map(|&scope| match scope {
            Scope::Store => None,
            Scope::Search(number) | Scope::Run(number) | Scope::Attack(number) => {
                Some(number).filter(|&number| of(number) == scope)
            }
        });
        of(numbers.max().unwrap_or(0) + 1)
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

    /// The number of the complete study of this name.
    #[must_use]
    pub fn study(&self, name: &str) -> Option<u32> {
        let named = self.studies.complete.iter().find(|(known, _)| known == name);
        named.map(|(_, number)| *number)
    }

    /// The number of the next study.
    #[must_use]
    pub fn next_study(&self) -> u32 {
        self.studies.begun.iter().map(|(_, number)| *number).max().unwrap_or(0) + 1
    }
}

/// Studies of a log, as far as naming a new one needs.
#[derive(Debug, Clone, Default)]
struct Studies {
    /// Names and numbers of those that began.
    begun: Vec<(String, u32)>,
    /// Those that are complete.
    complete: Vec<(String, u32)>,
}

impl Fold for Studies {
    type Error = Infallible;

    fn apply(&mut self, recorded: &Recorded) -> Result<(), Infallible> {
        match &recorded.event {
            Event::StudyStarted(started) => {
                self.begun.push((started.name.clone(), started.study));
            }
            Event::StudyFinished(finished) => {
                let known = self.begun.iter().find(|(_, number)| *number == finished.study);
                self.complete.extend(known.cloned());
            }
            _ => {}
        }
        Ok(())
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
        /// Puts the configuration together.
        parts: ConfigAssembler,
        /// The configuration, once it is whole.
        config: Option<String>,
        /// Models of a run so far.
        models: Vec<RunModel>,
    },
    /// It runs, or is finished.
    Open(Box<dyn Training>),
}

/// Takes in events of its scope; others must be left out.
impl Fold for State {
    type Error = FoldError;

    fn apply(&mut self, recorded: &Recorded) -> Result<(), FoldError> {
        let (scope, position) = (recorded.scope, recorded.position);
        match (&mut *self, &recorded.event) {
            // What follows is a search whose events are those of others.
            (Self::Unseen, event) if event.counts() == Some(false) => Ok(()),
            (Self::Unseen, first @ (Event::SearchStarted(_) | Event::RunStarted(_))) => {
                let (parts, config, models) = Default::default();
                *self = Self::Opening { first: Box::new(first.clone()), parts, config, models };
                self.open_when_complete(recorded)
            }
            (Self::Opening { .. }, Event::ConfigPart(_)) => self.open_when_complete(recorded),
            (Self::Opening { models, .. }, Event::RunModel(model))
                if usize::from(model.index) == models.len() =>
            {
                models.push(model.clone());
                self.open_when_complete(recorded)
            }
            (Self::Open(job), _) => job.apply(recorded).map_err(|source| FoldError::Impossible {
                scope,
                position,
                source,
            }),
            (_, event) => {
                let why = "the search or run has not begun";
                let source = Impossible::of(event, why);
                Err(FoldError::Impossible { scope, position, source })
            }
        }
    }
}

impl State {
    fn open_when_complete(&mut self, recorded: &Recorded) -> Result<(), FoldError> {
        let Self::Opening { first, parts, config, models } = self else { return Ok(()) };
        let Recorded { position, scope, event, .. } = recorded;
        let (scope, position) = (*scope, *position);
        let refused = |why: &'static str| {
            let source = Impossible::of(event, why);
            FoldError::Impossible { scope, position, source }
        };
        let whole = parts.apply(event).map_err(refused)?;
        *config = config.take().or(whole);
        let expected = match &**first {
            Event::RunStarted(started) => started.models.into(),
            _ => 0,
        };
        let Some(text) = config.as_deref().filter(|_| models.len() >= expected) else {
            return Ok(()); // a part is still to come
        };
        let wrong = |reason: String| FoldError::Config { scope, reason };
        let config = SearchConfig::read(text, None, &[])
            .map_err(|error: ConfigError| wrong(format!("is not one: {error}")))?;
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
