//! Repairs of the log, as events.

use super::journal::{Despite, Durable, Journal, JournalError};
use crate::events::{Event, LogRepaired, Recorded, Scope};
use crate::log::{EventLog, Repair};

/// Records what was repaired, if anything was.
///
/// # Errors
/// [`JournalError`] if it cannot be recorded.
pub fn record<L: EventLog>(
    journal: &mut Journal<L>,
    repairs: &[Repair],
    fold: impl FnMut(&Recorded),
) -> Result<(), JournalError> {
    if repairs.is_empty() {
        return Ok(());
    }
    let events: Vec<Event> = repairs.iter().map(|repair| Event::from(fact(repair))).collect();
    journal.put(Scope::Store, &events, Durable::Now, Despite::Anything, fold)?;
    Ok(())
}

fn fact(repair: &Repair) -> LogRepaired {
    let mut end = repair.found.len().min(LogRepaired::BYTES);
    while !repair.found.is_char_boundary(end) {
        end -= 1;
    }
    LogRepaired {
        part: repair.part.to_owned(),
        found: repair.found[..end].to_owned(),
        restored: repair.restored,
        lost: repair.lost,
        aside: repair.aside.clone().unwrap_or_default(),
    }
}
