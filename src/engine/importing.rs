//! Recording an import: in batches like everything else, invisible until the last.

use std::collections::HashSet;

use super::jobs::Index;
use super::journal::{Despite, Durable};
use super::session::{Session, SessionError};
use crate::agent::foreign::Keys;
use crate::agent::space::Space;
use crate::config::SearchConfig;
use crate::events::{
    ConfigPart, DataFacts, Event, Hash, ImportFinished, ImportStarted, ImportedPair, ImportedQ,
    ImportedRow, Scope, SearchStarted,
};
use crate::log::{BATCH_MAX, NamedLock};

/// All that is taken over, read and checked.
#[derive(Debug, Clone)]
pub struct Import {
    /// The settings the search is shown with.
    pub config: SearchConfig,
    /// Its name; may be empty.
    pub name: String,
    /// Images it saw, as far as they are known.
    pub data: DataFacts,
    /// Where it comes from.
    pub started: ImportStarted,
    /// The rows, in order.
    pub rows: Vec<ImportedRow>,
    /// The Q-table, if there is one.
    pub pairs: Vec<ImportedPair>,
    /// What it amounts to.
    pub finished: ImportFinished,
}

impl Import {
    /// Counts the pairs that the space does not have.
    ///
    /// # Errors
    /// [`SessionError::Settings`] if there is no such space.
    pub fn count_foreign_pairs(&mut self) -> Result<(), SessionError> {
        let keys = self.keys()?;
        let foreign = self.pairs.iter().filter(|pair| keys.find(pair).is_none());
        self.finished.foreign_pairs = count(foreign.count());
        Ok(())
    }

    /// Counts the states that the space does not have: those with no pair that it has.
    ///
    /// # Errors
    /// [`SessionError::Settings`] if there is no such space.
    pub fn count_foreign_states(&self) -> Result<u32, SessionError> {
        let keys = self.keys()?;
        let (known, foreign): (Vec<&ImportedPair>, Vec<&ImportedPair>) =
            self.pairs.iter().partition(|pair| keys.find(pair).is_some());
        let known: HashSet<_> = known.into_iter().map(|pair| pair.start).collect();
        let foreign: HashSet<_> = foreign.into_iter().map(|pair| pair.start).collect();
        Ok(count(foreign.difference(&known).count()))
    }

    fn keys(&self) -> Result<Keys, SessionError> {
        let space = Space::new(&self.config.space, self.data.side, self.data.classes)
            .map_err(|error| SessionError::Settings(error.to_string()))?;
        Ok(Keys::of(&space))
    }

    fn search_started(&self, parts: usize, text: &str, program: String) -> SearchStarted {
        SearchStarted {
            name: self.name.clone(),
            seed: 0,
            chance: "unknown".to_owned(),
            data: self.data.clone(),
            folder: String::new(),
            config: Hash::of(text.as_bytes()),
            config_parts: u16::try_from(parts).unwrap_or(u16::MAX),
            threads: 0,
            program,
        }
    }

    /// The rows and pairs as events, in order.
    fn facts(self) -> impl Iterator<Item = Event> {
        let chunks: Vec<ImportedQ> = self
            .pairs
            .chunks(ImportedQ::PAIRS)
            .zip((0..).step_by(ImportedQ::PAIRS))
            .map(|(pairs, first)| ImportedQ { first: count(first), pairs: pairs.to_vec() })
            .collect();
        self.rows.into_iter().map(Event::from).chain(chunks.into_iter().map(Event::from))
    }
}

/// Records an import as a search and returns its id. `told` hears how many events are recorded
/// by now. Killed before the end, it leaves nothing that counts.
///
/// # Errors
/// [`SessionError::Settings`] if the file or the name is in the store already.
pub fn import(
    session: &mut Session,
    import: Import,
    told: &mut dyn FnMut(u64),
) -> Result<Scope, SessionError> {
    refuse_known(session, &import)?;
    let (scope, lock): (Scope, NamedLock) = session.claim(Index::next_search)?;
    // Whoever imports the same at the same time holds the lock of that search: it is waited
    // for, and then the file is known. What a killed import left is locked by nobody, and counts
    // for nothing.
    for other in session.index.unfinished_imports_of(import.started.content) {
        drop(session.lock(other)?);
    }
    session.catch_up()?;
    refuse_known(session, &import)?;
    let text = import.config.to_toml();
    let parts = ConfigPart::cut(&text);
    let program = session.surroundings.program.clone();
    let mut batch: Vec<Event> = vec![import.started.clone().into()];
    batch.push(import.search_started(parts.len(), &text, program).into());
    batch.extend(parts.into_iter().map(Event::from));
    let finished = import.finished.clone();
    let mut done = 0;
    for event in import.facts().chain([finished.into()]) {
        // The closing event comes last, in the last batch: all of it is there, or nothing.
        if batch.len() == BATCH_MAX {
            done += record_batch(session, scope, &mut batch, Durable::Soon)?;
            told(done);
        }
        batch.push(event);
    }
    done += record_batch(session, scope, &mut batch, Durable::Now)?;
    told(done);
    drop(lock);
    Ok(scope)
}

fn refuse_known(session: &Session, import: &Import) -> Result<(), SessionError> {
    if let Some(scope) = session.index.find_import(import.started.content) {
        let file = &import.started.file;
        return Err(SessionError::Settings(format!("{file} is in the store already: {scope}")));
    }
    session.index.check_free("search", &import.name).map_err(SessionError::Settings)
}

fn record_batch(
    session: &mut Session,
    scope: Scope,
    batch: &mut Vec<Event>,
    durable: Durable,
) -> Result<u64, SessionError> {
    session.append(scope, batch, durable, Despite::Anything)?;
    let recorded = batch.len() as u64;
    batch.clear();
    Ok(recorded)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
