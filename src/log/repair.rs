//! `log repair`: what is wrong with either copy of the events, what can be restored, and what would
//! be lost; and doing it.

use std::path::{Path, PathBuf};

use super::engine::{Engine, last_in, next_aside};
use super::head::{HeadFile, State};
use super::journal::mend::{How, Mended, mend};
use super::lease::Lease;
use super::{Kind, LocalLog, LogError, Options, Repair, Store};
use crate::events::frame::{Head, Position};

/// What repairing would do, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The end of the log afterwards.
    pub end: Head,
    /// What is repaired. Empty: nothing is wrong.
    pub repairs: Vec<Repair>,
}

impl Plan {
    /// Events that neither copy has.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.repairs.iter().map(|repair| repair.lost).sum()
    }
}

/// Looks for damage, and changes nothing unless `apply`. Damaged files are kept in `aside/`.
///
/// # Errors
/// [`LogError::Busy`] if another process has the log open; [`LogError::NoSpace`] or
/// [`LogError::Io`] if the system refuses; [`LogError::Unreadable`] if events would be given up that
/// another reading may find.
pub fn repair(store: &Store, options: &Options, apply: bool) -> Result<Plan, LogError> {
    let _lease = Lease::enter(&options.locks(store))?;
    let found = look(store, options, (false, true))?;
    if !apply {
        return Ok(found.plan);
    }
    // What the disk refuses to read may be had the next time.
    if let Some(path) = &found.unreadable
        && (found.plan.lost() > 0 || !found.is_acknowledged)
    {
        return Err(LogError::Unreadable { path: path.clone() });
    }
    Ok(look(store, options, (true, found.unreadable.is_some()))?.plan)
}

/// What was found.
struct Found {
    plan: Plan,
    /// A segment that the disk refuses to read.
    unreadable: Option<PathBuf>,
    /// Whether `HEAD` says how far the log is acknowledged.
    is_acknowledged: bool,
}

/// Finds the plan and carries it out if `apply`. A segment that cannot be read counts as damaged if
/// `unreadable`, else it is an error.
fn look(
    store: &Store,
    options: &Options,
    (apply, unreadable): (bool, bool),
) -> Result<Found, LogError> {
    let Some(held) = Engine::take(store, options)? else {
        return Err(LogError::Busy(super::opening::busy(store, options)));
    };
    let (copied, broken) = match held.copied()? {
        Ok(copied) => (Some(copied), None),
        Err(found) => (None, Some(found)),
    };
    let sled = copied.as_ref().map(|copied| &copied.database);
    let acknowledged = match super::head::read(&store.head_path()) {
        Ok(there) => Some(there.record.head),
        // Not there, or no valid slot. What cannot be read just now may well be good.
        Err(error) if error.kind() == Kind::Io => return Err(error),
        Err(_) => None,
    };
    let in_sled = sled.map_or(Ok(Position(0)), |sled| last_in(store, sled))?;
    let aside = next_aside(store, "journal")?;
    let how = How { aside: apply.then_some(&aside), unreadable };
    let mended = mend(store, sled, how)?;
    drop((copied, held));
    let end = mended.end;
    let known = acknowledged.map_or(Position(0), |head| head.position);
    let known = known.max(in_sled).max(mended.last);
    let mut repairs: Vec<Repair> = of_journal(&mended, store, &aside).into_iter().collect();
    let lost = known.0.saturating_sub(end.position.0);
    match repairs.first_mut() {
        Some(repair) => repair.lost = lost,
        None if lost > 0 => {
            let found = format!("it ends at event {}, and {known} is known of", end.position);
            let (restored, aside) = (0, None);
            repairs.push(Repair { part: "journal", found, restored, lost, aside });
        }
        None => {}
    }
    if let Some(found) = broken.or(mended.sled) {
        let restored = end.position.0;
        repairs.push(Repair { part: "sled", found, restored, lost: 0, aside: None });
    }
    if acknowledged != Some(end) && (lost > 0 || acknowledged.is_none()) {
        let found = match acknowledged {
            None => "it was missing or had no valid slot".to_owned(),
            Some(head) => format!("it names event {}", head.position),
        };
        repairs.push(Repair { part: "HEAD", found, restored: 0, lost: 0, aside: None });
    }
    if apply {
        accept(store, end)?;
    }
    let (plan, unreadable) = (Plan { end, repairs }, mended.unreadable);
    Ok(Found { plan, unreadable, is_acknowledged: acknowledged.is_some() })
}

/// Makes `HEAD` name the end that the journal has now. Under the lock of the log.
fn accept(store: &Store, end: Head) -> Result<(), LogError> {
    let (mut head_file, _) = HeadFile::open(&store.head_path())?;
    // Both slots: the other one still names what is lost.
    for _ in 0..2 {
        head_file.write(end, State::Open { pid: std::process::id() })?;
    }
    head_file.sync()
}

/// What mending the journal was about, if anything was wrong with it.
pub(super) fn of_journal(mended: &Mended, store: &Store, aside: &Path) -> Option<Repair> {
    let (first, found) = mended.found.first()?;
    let more = match mended.found.len() {
        1 => String::new(),
        several => format!(" (and {} other segments)", several - 1),
    };
    let found = format!("segment {first}: {found}{more}");
    let name = aside.strip_prefix(store.root()).unwrap_or(aside).display().to_string();
    let aside = Some(name);
    Some(Repair { part: "journal", found, restored: mended.restored, lost: 0, aside })
}

/// Repairs what can be repaired without losing an event, for whoever only reads and met damage.
///
/// # Errors
/// As [`LocalLog::open`].
pub fn heal(store: &Store, options: &Options) -> Result<Vec<Repair>, LogError> {
    let plan = repair(store, options, false)?;
    if plan.lost() > 0 || plan.repairs.is_empty() {
        return Ok(Vec::new());
    }
    let mut repairs = repair(store, options, true)?.repairs;
    let mut log = LocalLog::open(store.clone(), options.clone())?;
    repairs.extend(log.take_repairs());
    log.close()?;
    Ok(repairs)
}
