//! Recording studies: what came of learning again from a history, with what is needed to do it
//! again.

use super::journal::{Despite, Durable};
use super::session::{Session, SessionError};
use crate::events::{Event, Scope, StudyFinished, StudyRow, StudyStarted};
use crate::log::BATCH_MAX;

/// All of a study; its number is given when it is recorded.
#[derive(Debug, Clone)]
pub struct Study {
    /// What it is, and its settings.
    pub started: StudyStarted,
    /// Its rows.
    pub rows: Vec<StudyRow>,
}

/// Records a study and returns its number. Killed before the end, it leaves nothing that
/// counts.
///
/// # Errors
/// [`SessionError::Settings`] if its name is taken, or something in it is too long.
pub fn save(session: &mut Session, study: Study) -> Result<u32, SessionError> {
    if let Err(why) = check(&study.started) {
        return Err(SessionError::Settings(why));
    }
    let (program, name) = (session.surroundings.program.clone(), &study.started.name);
    let count = u32::try_from(study.rows.len()).unwrap_or(u32::MAX);
    let started = StudyStarted { rows: count, program, ..study.started.clone() };
    let number =
        append(session, name, |number| StudyStarted { study: number, ..started.clone() }.into())?;
    let rows = study.rows.into_iter().map(|row| StudyRow { study: number, ..row }.into());
    let rows: Vec<Event> = rows.collect();
    for batch in rows.chunks(BATCH_MAX) {
        session.append(Scope::Store, batch, Durable::Now, Despite::Anything)?;
    }
    // Somebody else may have saved one of this name meanwhile.
    append(session, name, |_| StudyFinished { study: number, rows: count }.into())?;
    Ok(number)
}

/// Records what follows from the number of the next study, unless its name is taken. Returns the
/// number.
fn append(
    session: &mut Session,
    name: &str,
    event: impl Fn(u32) -> Event,
) -> Result<u32, SessionError> {
    loop {
        session.catch_up()?;
        if session.index().study(name).is_some() {
            let taken = format!("a study called {name} is in the store already");
            return Err(SessionError::Settings(taken));
        }
        let number = session.index().next_study();
        if session.append(Scope::Store, &[event(number)], Durable::Now, Despite::Nothing)? {
            return Ok(number);
        }
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
