//! Recording ensembles under a name.

use super::jobs::Index;
use super::journal::{Despite, Durable};
use super::session::{Session, SessionError};
use crate::events::{EnsembleSaved, Scope};

/// Records an ensemble and returns its number, which it is given here.
///
/// # Errors
/// [`SessionError::Settings`] if its name is taken, or it has too many members.
pub fn save(session: &mut Session, saved: &EnsembleSaved) -> Result<u32, SessionError> {
    let (count, most) = (saved.members.len(), EnsembleSaved::MEMBERS);
    if count == 0 || count > most {
        let message = format!("an ensemble has 1 to {most} members, not {count}");
        return Err(SessionError::Settings(message));
    }
    loop {
        session.catch_up()?;
        if session.index().ensembles.contains(&saved.name) {
            let taken = format!("an ensemble called {} is in the store already", saved.name);
            return Err(SessionError::Settings(taken));
        }
        let number = session.index().next_ensemble();
        let program = session.surroundings.program.clone();
        let event = EnsembleSaved { ensemble: number, program, ..saved.clone() }.into();
        if session.append(Scope::Store, &[event], Durable::Now, Despite::Nothing)? {
            return Ok(number);
        }
    }
}

impl Index {
    fn next_ensemble(&self) -> u32 {
        u32::try_from(self.ensembles.len()).unwrap_or(u32::MAX).saturating_add(1)
    }
}
