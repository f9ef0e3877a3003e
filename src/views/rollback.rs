//! A log that lost events: noticed by what the read model has shown.
//!
//! Events are folded into the read model once they are acknowledged, so its stamp is never ahead of
//! the log. If it is, the log was put back to an earlier state: half of a backup was restored, or a
//! snapshot of the disk. The file with the stamp is the only evidence, so nothing here removes it
//! before a person says so.

use super::files::{all, check_plain, remove};
use super::{ViewError, model, stamp};
use crate::events::frame::Head;
use crate::log::repair::repair;
use crate::log::{Options, Store};

/// The newest event that a read model of a store has shown, over all program versions. Nothing is
/// changed. A file that cannot be read is no witness.
#[must_use]
pub fn newest_stamp(store: &Store) -> Option<Head> {
    stamps(store).into_iter().max_by_key(|stamp| stamp.position)
}

fn stamps(store: &Store) -> Vec<Head> {
    let files = all(store.root()).unwrap_or_default();
    files.iter().filter_map(|path| stamp::of_file(path, store.id())).collect()
}

/// Refuses a log that lacks events which a read model has shown.
///
/// # Errors
/// [`LogError::RolledBack`](crate::log::LogError::RolledBack) if so, or that `HEAD` is damaged.
pub fn refuse_rollback(store: &Store, options: &Options) -> Result<(), ViewError> {
    // The stamps first: the log may go on meanwhile, and its end is then only further.
    stamps(store).into_iter().try_for_each(|shown| confirm(store, options, shown))
}

/// Refuses a log that does not reach `shown`, or has another event there as its last.
///
/// # Errors
/// As [`refuse_rollback`].
pub(super) fn confirm(store: &Store, options: &Options, shown: Head) -> Result<(), ViewError> {
    let end = store.read_head()?.record.head;
    if reaches(end, shown) {
        return Ok(());
    }
    // After a power cut `HEAD` may say less than the copies of the events have; then it is written
    // anew, so that whoever reads sees all of them. Whoever keeps them busy keeps `HEAD` current.
    let end = match repair(store, options, false) {
        Ok(plan) if plan.repairs.is_empty() && plan.end.position > end.position => {
            repair(store, options, true)?.end
        }
        Ok(plan) => plan.end,
        Err(_) => store.read_head()?.record.head,
    };
    if reaches(end, shown) { Ok(()) } else { Err(model::rolled_back(shown, end).into()) }
}

fn reaches(end: Head, shown: Head) -> bool {
    shown.position < end.position || shown == end
}

/// Removes the files of the read model, of all program versions: they come back from the log as it
/// is now. Links and what else is no plain file stay.
///
/// # Errors
/// [`ViewError::Io`] if a file cannot be removed.
pub fn discard(store: &Store) -> Result<(), ViewError> {
    let files = all(store.root())?;
    files.iter().filter(|path| check_plain(path).is_ok()).try_for_each(|path| remove(path))
}
