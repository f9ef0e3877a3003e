//! Repairs of the log: told and recorded by verbs that have no session.

use super::{CliError, Context, clock, note};
use crate::engine::journal::Journal;
use crate::engine::repairs;
use crate::log::{LocalLog, Repair, Store, repair};
use crate::views::Appender;

/// Records repairs in the log, and closes it.
///
/// # Errors
/// What the log says, as [`LocalLog`] does.
pub(super) fn record(log: LocalLog, done: &[Repair]) -> Result<(), CliError> {
    let appender = Appender::new(log.store().clone(), note);
    let mut journal = Journal::new(log, clock::now, Box::new(appender));
    journal.catch_up(|_| ())?;
    repairs::record(&mut journal, done, |_| ())?;
    Ok(journal.into_log().close()?)
}

/// Restores what one copy of the events lacks from the other, for a verb that only reads and met
/// damage. `true` if something was repaired: then it is worth trying again.
pub(super) fn heal(context: &Context, store: &Store) -> bool {
    let options = context.options();
    let Ok(repaired) = repair::heal(store, &options) else { return false };
    for done in &repaired {
        note(&done.to_string());
    }
    if !repaired.is_empty()
        && let Ok(log) = LocalLog::open(store.clone(), options)
        && let Err(error) = record(log, &repaired)
    {
        note(&format!("the repair could not be recorded: {}", error.message));
    }
    !repaired.is_empty()
}
