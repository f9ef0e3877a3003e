//! Series: one search carried out several times, each with a seed of its own and all on the same
//! split, and whose results a repetition may take over from earlier ones.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;

use super::jobs::Index;
use crate::agent::trials::Trial;
use crate::arch::Architecture;
use crate::chance::Stream;
use crate::events::frame::Position;
use crate::events::{Event, Fold, Outcome, Recorded, Scope, SeriesJoined, TrialReused};

/// The seed of a repetition (from 1) of a series.
#[must_use]
pub fn seed(series: u64, repetition: u32) -> u64 {
    Stream::new(series, "repeat", repetition.into()).bits()
}

/// What a repetition is called, if its series has a name.
#[must_use]
pub fn member_name(series: &str, repetition: u32) -> String {
    match series {
        "" => String::new(),
        name => format!("{name}.{repetition}"),
    }
}

/// A series as far as carrying it on needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// As it was recorded with its first search.
    pub facts: SeriesJoined,
    /// Its searches so far, in order.
    pub members: Vec<Scope>,
}

impl Series {
    /// The facts of the repetition after those there are, or `None` after the last.
    #[must_use]
    pub fn next(&self) -> Option<SeriesJoined> {
        let repetition = u32::try_from(self.members.len()).unwrap_or(u32::MAX).saturating_add(1);
        let facts = SeriesJoined { repetition, ..self.facts.clone() };
        (repetition <= facts.repeats).then_some(facts)
    }

    /// How it is named in messages.
    #[must_use]
    pub fn label(&self) -> String {
        match self.facts.name.as_str() {
            "" => format!("series {}", self.facts.series),
            name => format!("series {} ({name})", self.facts.series),
        }
    }
}

/// The series of a log, by number.
#[derive(Debug, Clone, Default)]
pub(super) struct AllSeries(BTreeMap<u32, Series>);

impl Fold for AllSeries {
    type Error = Infallible;

    fn apply(&mut self, recorded: &Recorded) -> Result<(), Infallible> {
        if let Event::SeriesJoined(facts) = &recorded.event {
            let begin = || Series { facts: facts.clone(), members: Vec::new() };
            self.0.entry(facts.series).or_insert_with(begin).members.push(recorded.scope);
        }
        Ok(())
    }
}

impl Index {
    /// The series of this number.
    #[must_use]
    pub fn series(&self, number: u32) -> Option<&Series> {
        self.series.0.get(&number)
    }

    /// The newest series of this name.
    #[must_use]
    pub fn series_named(&self, name: &str) -> Option<&Series> {
        let named = |series: &&Series| series.facts.name == name && !name.is_empty();
        self.series.0.values().rev().find(named)
    }

    /// The first search of the newest series of this name.
    pub(super) fn series_search(&self, name: &str) -> Option<Scope> {
        self.series_named(name).and_then(|series| series.members.first().copied())
    }

    /// The series that a search belongs to.
    #[must_use]
    pub fn series_of(&self, scope: Scope) -> Option<&Series> {
        self.series.0.values().find(|series| series.members.contains(&scope))
    }

    /// Whether a series has something left to do.
    #[must_use]
    pub fn is_open(&self, series: &Series) -> bool {
        let open = |scope: &Scope| self.entries().get(scope).is_some_and(|entry| !entry.finished);
        series.next().is_some() || series.members.iter().any(open)
    }

    /// The series with something left to do that was worked on last, and when that was.
    #[must_use]
    pub fn newest_open_series(&self) -> Option<(&Series, Position)> {
        let last = |series: &Series| {
            let entries = series.members.iter().filter_map(|scope| self.entries().get(scope));
            entries.map(|entry| entry.last).max().unwrap_or_default()
        };
        let open = self.series.0.values().filter(|series| self.is_open(series));
        open.map(|series| (series, last(series))).max_by_key(|(_, last)| *last)
    }

    /// The facts of a new series: its number is the next one.
    ///
    /// # Errors
    /// Who has its name.
    pub fn new_series(&self, facts: &SeriesJoined) -> Result<SeriesJoined, String> {
        match self.series_named(&facts.name) {
            Some(_) => Err(format!("a series called {} is in the store already", facts.name)),
            None => self.check_free("series", &facts.name),
        }?;
        Ok(SeriesJoined { series: self.next_series(), ..facts.clone() })
    }

    fn next_series(&self) -> u32 {
        self.series.0.keys().next_back().map_or(1, |newest| newest + 1)
    }
}

/// Results that trials of a repetition may take over, by architecture: of each the earliest.
#[derive(Debug, Clone, Default)]
pub struct Reusable {
    /// The repetitions, with what was planned in each.
    members: Vec<(Scope, HashMap<u32, Architecture>)>,
    of: HashMap<Architecture, TrialReused>,
}

impl Reusable {
    /// What the repetition `of` of a series may take over, if the series says so: results of earlier
    /// repetitions. None are seen yet; they follow from the events.
    pub(super) fn before(of: Scope, series: &Series) -> Option<Self> {
        let earlier = series.members.iter().take_while(|member| **member != of);
        let members = earlier.map(|member| (*member, HashMap::new())).collect();
        series.facts.reuse_trials.then(|| Self { members, of: HashMap::new() })
    }

    /// What a trial takes over, if there is something.
    #[must_use]
    pub fn get(&self, trial: &Trial) -> Option<TrialReused> {
        let found = self.of.get(&trial.planned.architecture)?.clone();
        Some(TrialReused { trial: trial.planned.trial, ..found })
    }
}

impl Fold for Reusable {
    type Error = Infallible;

    // Repetitions follow each other, so the first of a kind in the log is the earliest.
    fn apply(&mut self, recorded: &Recorded) -> Result<(), Infallible> {
        let place = self.members.iter().position(|(member, _)| *member == recorded.scope);
        let (Some(place), Scope::Search(search)) = (place, recorded.scope) else { return Ok(()) };
        let repetition = u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1);
        let (_, plans) = &mut self.members[place];
        match &recorded.event {
            Event::TrialPlanned(planned) => {
                plans.insert(planned.trial, planned.architecture.clone());
            }
            Event::TrialFinished(finished) => {
                let Some(architecture) = plans.get(&finished.trial) else { return Ok(()) };
                let mut outcome = finished.outcome.clone();
                match &mut outcome {
                    Outcome::Trained { kept, .. } => *kept = false,
                    Outcome::Failed { message, .. } => message.clear(),
                }
                let (trial, of) = (0, finished.trial);
                let (epochs, restarts) = (finished.epochs, finished.restarts);
                let reused =
                    TrialReused { trial, search, repetition, of, outcome, epochs, restarts };
                self.of.entry(architecture.clone()).or_insert(reused);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_have_seeds_of_their_own() {
        let seeds: Vec<u64> = (1..=100).map(|repetition| seed(7, repetition)).collect();
        let distinct: std::collections::HashSet<_> = seeds.iter().collect();
        assert_eq!(distinct.len(), 100);
        assert_eq!(seeds[2], Stream::new(7, "repeat", 3).bits());
        assert!(!seeds.contains(&seed(8, 1)));
    }

    fn joined(series: u32, repetition: u32) -> Event {
        let name = format!("night{series}");
        let (repeats, seed, reuse_trials) = (2, 7, false);
        SeriesJoined { series, name, repetition, repeats, seed, reuse_trials }.into()
    }

    #[test]
    fn a_series_is_open_until_its_last_search_is_finished() {
        let mut index = Index::default();
        let mut position = 0;
        let mut push = |index: &mut Index, search, event| {
            position += 1;
            let (at, scope, position) = (0, Scope::Search(search), Position(position));
            let Ok(()) = index.apply(&Recorded { position, at, scope, event });
        };
        let finished = || crate::events::SearchFinished { episodes: 1, trials: 1 }.into();
        push(&mut index, 1, joined(1, 1));
        assert_eq!(index.next_series(), 2);
        push(&mut index, 1, finished());
        let series = index.series_named("night1").unwrap();
        assert_eq!(series.next().map(|next| next.repetition), Some(2));
        assert!(index.is_open(series));
        push(&mut index, 2, joined(1, 2));
        let series = index.series_of(Scope::Search(2)).unwrap();
        assert!(series.next().is_none() && index.is_open(series));
        push(&mut index, 2, finished());
        assert!(!index.is_open(index.series(1).unwrap()));
        assert!(index.newest_open_series().is_none());
    }
}
