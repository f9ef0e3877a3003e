//! Recording studies: what came of learning again from a history, with what is needed to do it
//! again.

use std::convert::Infallible;

use super::jobs::Index;
use super::session::{Session, SessionError};
use crate::events::{Event, Fold, Recorded, Scope, StudyFinished, StudyRow, StudyStarted};
use crate::log::{BATCH_MAX, NamedLock};

/// All of a study; its number is given when it is recorded.
#[derive(Debug, Clone)]
pub struct Study {
    /// What it is, and its settings.
    pub started: StudyStarted,
    /// Its rows.
    pub rows: Vec<StudyRow>,
}

impl Session {
    /// Records a study and returns its number. Killed before the end, it leaves nothing that
    /// counts.
    ///
    /// # Errors
    /// [`SessionError::Settings`] if its name is taken, or something in it is too long.
    pub fn save(&mut self, study: Study) -> Result<u32, SessionError> {
        // Whoever saves another one at the same time is waited for: numbers and names are given
        // under this lock.
        let lock: NamedLock = self.named_lock("studies")?;
        self.catch_up()?;
        let name = &study.started.name;
        if let Err(why) = check(&study.started) {
            return Err(SessionError::Settings(why));
        }
        if self.index().study(name).is_some() {
            let taken = format!("a study called {name} is in the store already");
            return Err(SessionError::Settings(taken));
        }
        let number = self.index().next_study();
        let program = self.surroundings.program.clone();
        let count = u32::try_from(study.rows.len()).unwrap_or(u32::MAX);
        let started = StudyStarted { study: number, rows: count, program, ..study.started };
        let rows = study.rows.into_iter().map(|row| StudyRow { study: number, ..row }.into());
        let closing = StudyFinished { study: number, rows: count };
        let events: Vec<Event> =
            std::iter::once(started.into()).chain(rows).chain([closing.into()]).collect();
        for batch in events.chunks(BATCH_MAX) {
            self.record(Scope::Store, batch)?;
        }
        drop(lock);
        Ok(number)
    }
}

/// What is wrong with a study.
fn check(started: &StudyStarted) -> Result<(), String> {
    let StudyStarted { name, settings, .. } = started;
    if name.trim().is_empty() || name.len() > StudyStarted::NAME {
        return Err(format!("the name of a study has 1 to {} bytes", StudyStarted::NAME));
    }
    if name.chars().any(char::is_control) {
        return Err("the name of a study has no control characters".to_owned());
    }
    if settings.len() > StudyStarted::SETTINGS {
        let most = StudyStarted::SETTINGS;
        return Err(format!("the settings of a study have at most {most} bytes"));
    }
    Ok(())
}

/// Studies of a log, as far as naming a new one needs.
#[derive(Debug, Clone, Default)]
pub(super) struct Studies {
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

impl Index {
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
