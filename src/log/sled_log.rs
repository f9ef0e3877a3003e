//! [`SledLog`]: the log in a store. Holds the database open as long as nobody else wants it.
//!
//! The order of operations is the point of this file; why each crash point is harmless is argued
//! in `schema/README.md`.

use std::path::PathBuf;
use std::time::Duration;

use super::entry::{Entered, Refusal, enter};
use super::head::State;
use super::sled::{Census, Trouble};
use super::{Database, EventLog, LogError, Store, check_batch, lease};
use crate::events::frame::{Frame, Head, Position};

/// Events after which the database is closed and opened once ("sealed"): damage to events before
/// an opening is loud, damage to events after it can pass for a torn end.
const SEAL_EVERY: u64 = 10_000;
/// Batches of [`SledLog::append_unsynced`] after which it syncs.
const UNSYNCED_BATCHES: u32 = 10;

/// How this process works with a log.
#[derive(Debug, Clone)]
pub struct Options {
    /// What others are told about this process while they wait.
    pub command: String,
    /// How long to wait for others.
    pub wait: Duration,
    /// The program that opens copies after an unclean end, as `PROGRAM __probe-log …`: normally
    /// the running one. Without it copies are opened in this process, which damage could take
    /// down.
    pub probe: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { command: "qtrail".to_owned(), wait: lease::WAIT, probe: None }
    }
}

impl Options {
    /// The locks of `store`, with this process's name and wait.
    #[must_use]
    pub fn locks(&self, store: &Store) -> lease::Locks {
        lease::Locks::new(store.lock_folder(), self.command.clone(), self.wait)
    }
}

/// The log in a store.
///
/// It enters (takes the lease, opens the database) when it is first needed, and stays until
/// [`SledLog::yield_if_wanted`], [`SledLog::release`] or [`SledLog::close`]. Outside, every
/// operation enters again; if another process has appended meanwhile, `append` says so with
/// [`LogError::Conflict`]. Dropping it closes it as well as can be, without telling of errors.
#[derive(Debug)]
pub struct SledLog {
    store: Store,
    options: Options,
    inside: Option<Inside>,
    poisoned: bool,
}

/// What a log has while it is entered.
#[derive(Debug)]
struct Inside {
    entered: Entered,
    /// Batches written since the last sync.
    unsynced: u32,
    /// Events written since the database was opened.
    unsealed: u64,
}

impl SledLog {
    /// Opens the log: enters at once, so that what is wrong shows now.
    ///
    /// # Errors
    /// [`LogError::Busy`] if others keep it, [`LogError::Damaged`] if it is not what `HEAD` says,
    /// [`LogError::NoSpace`] or [`LogError::Io`] if the system refuses: opening writes.
    pub fn open(store: Store, options: Options) -> Result<Self, LogError> {
        let mut log = Self::outside(store, options);
        log.inside()?;
        Ok(log)
    }

    /// The log of a store, not entered before it is needed.
    #[must_use]
    pub const fn outside(store: Store, options: Options) -> Self {
        Self { store, options, inside: None, poisoned: false }
    }

    /// The store this log is in.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Whether this process has the log open now.
    #[must_use]
    pub const fn is_inside(&self) -> bool {
        self.inside.is_some()
    }

    /// From now on waits this long for others.
    pub const fn set_wait(&mut self, wait: Duration) {
        self.options.wait = wait;
    }

    /// Gives the log up if another process waits for it; `true` if so. Cheap: to be called after
    /// each batch, and every 10 ms while doing nothing.
    ///
    /// # Errors
    /// As [`SledLog::release`].
    pub fn yield_if_wanted(&mut self) -> Result<bool, LogError> {
        let wanted = match &self.inside {
            Some(inside) => inside.entered.lease.is_wanted()?,
            None => false,
        };
        if wanted {
            self.release()?;
        }
        Ok(wanted)
    }

    /// Syncs what is not synced and gives the log up, until it is needed again.
    ///
    /// # Errors
    /// [`LogError::NoSpace`] or [`LogError::Io`]; acknowledged events are safe even then.
    pub fn release(&mut self) -> Result<(), LogError> {
        match self.inside.take() {
            Some(inside) => self.poisoning(|store| inside.leave(store)),
            None => Ok(()),
        }
    }

    /// Seals and gives up the log: the end of a process that appended.
    ///
    /// # Errors
    /// As [`SledLog::release`].
    pub fn close(mut self) -> Result<(), LogError> {
        self.seal_and_release()
    }

    fn seal_and_release(&mut self) -> Result<(), LogError> {
        if self.inside.as_ref().is_some_and(|inside| inside.unsealed > 0) {
            self.seal()?;
        }
        self.release()
    }

    /// Closes and opens the database once, so that later damage to the events in it is loud.
    /// Happens by itself every 10,000 events and at [`SledLog::close`].
    ///
    /// # Errors
    /// As [`SledLog::release`].
    pub fn seal(&mut self) -> Result<(), LogError> {
        self.inside()?;
        if let Some(inside) = self.inside.take() {
            self.inside = Some(self.poisoning(|store| inside.sealed(store))?);
        }
        Ok(())
    }

    /// Appends a batch that need not be durable yet: synced with every tenth batch, and by
    /// [`SledLog::sync`]. For imports, which nobody sees before their closing event: a crash may
    /// take the last ones back, never those in the middle.
    ///
    /// # Errors
    /// As [`EventLog::append`].
    pub fn append_unsynced(&mut self, expected: Head, frames: &[Frame]) -> Result<Head, LogError> {
        let end = self.write(expected, frames)?;
        if self.inside.as_ref().is_some_and(|inside| inside.unsynced >= UNSYNCED_BATCHES) {
            self.sync()?;
        }
        Ok(end)
    }

    /// Makes everything appended durable. Nothing to do, nothing done.
    ///
    /// # Errors
    /// [`LogError::NoSpace`] or [`LogError::Io`]; the log must be reopened then.
    pub fn sync(&mut self) -> Result<(), LogError> {
        let Some(mut inside) = self.inside.take() else { return Ok(()) };
        self.inside = Some(self.poisoning(|store| inside.sync(store).map(|()| inside))?);
        Ok(())
    }

    /// What is in the database besides the events one reads.
    pub(super) fn census(&mut self) -> Result<Census, LogError> {
        let census = self.inside()?.entered.database.census();
        census.map_err(|trouble| self.refused(trouble.into()))
    }

    /// The open database, entering if need be.
    fn inside(&mut self) -> Result<&mut Inside, LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        let inside = match self.inside.take() {
            Some(inside) => inside,
            None => {
                let entered = enter(&self.store, &self.options)?;
                Inside { entered, unsynced: 0, unsealed: 0 }
            }
        };
        Ok(self.inside.insert(inside))
    }

    /// Writes a batch, not synced.
    fn write(&mut self, expected: Head, frames: &[Frame]) -> Result<Head, LogError> {
        let end = check_batch(expected, frames)?;
        // Before, not after: an error here is then about a batch that was not written.
        if self.inside()?.unsealed >= SEAL_EVERY {
            self.seal()?;
        }
        let inside = self.inside()?;
        if inside.entered.end != expected {
            return Err(LogError::Conflict { actual: inside.entered.end });
        }
        let Some(mut inside) = self.inside.take() else { return Err(LogError::Poisoned) };
        self.inside =
            Some(self.poisoning(|store| inside.write(store, frames, end).map(|()| inside))?);
        Ok(end)
    }

    /// Runs a step that changes the files. If it fails, what is on disk is known only after
    /// opening again; the kernel may even have forgotten what it could not write.
    fn poisoning<T>(
        &mut self,
        step: impl FnOnce(&Store) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let result = step(&self.store);
        self.poisoned |= result.is_err();
        result
    }

    fn refused(&self, refusal: Refusal) -> LogError {
        let copy = self.inside.as_ref().and_then(|inside| inside.entered.copy.clone());
        refusal.into_error(&self.store, copy, false)
    }
}

impl EventLog for SledLog {
    fn head(&mut self) -> Result<Head, LogError> {
        Ok(self.inside()?.entered.end)
    }

    fn read(&mut self, after: Position, max: usize) -> Result<Vec<Frame>, LogError> {
        let inside = self.inside()?;
        let left = inside.entered.end.position.0.saturating_sub(after.0);
        let max = max.min(usize::try_from(left).unwrap_or(usize::MAX));
        let pairs = inside.entered.database.read(after, max);
        let pairs = pairs.map_err(|trouble| self.refused(trouble.into()))?;
        super::verify::checked(after, max, pairs)
            .map_err(|finding| self.refused(Refusal::Finding(finding)))
    }

    fn append(&mut self, expected: Head, frames: &[Frame]) -> Result<Head, LogError> {
        let end = self.write(expected, frames)?;
        self.sync()?;
        Ok(end)
    }
}

impl Drop for SledLog {
    fn drop(&mut self) {
        // While unwinding nothing is trusted: HEAD stays open, the next one in rehearses.
        if !std::thread::panicking() {
            let _ = self.seal_and_release();
        }
    }
}

impl Inside {
    fn write(&mut self, store: &Store, frames: &[Frame], end: Head) -> Result<(), LogError> {
        let first = self.entered.end.position.next();
        self.entered.database.apply(first, frames).map_err(|trouble| failed(store, trouble))?;
        self.entered.end = end;
        self.unsynced += 1;
        self.unsealed += frames.len() as u64;
        Ok(())
    }

    /// Flush, fdatasync of the data file, slot of `HEAD`, fdatasync of `HEAD`: acknowledged.
    fn sync(&mut self, store: &Store) -> Result<(), LogError> {
        if self.unsynced > 0 {
            self.entered.database.sync().map_err(|trouble| failed(store, trouble))?;
            let state = State::Open { pid: std::process::id() };
            self.entered.head_file.write(self.entered.end, state)?;
            self.unsynced = 0;
        }
        Ok(())
    }

    /// Closes and opens the database. `HEAD` stays open: for a crash in between.
    fn sealed(mut self, store: &Store) -> Result<Self, LogError> {
        self.sync(store)?;
        let Entered { database, head_file, end, copy, lease } = self.entered;
        database.close().map_err(|trouble| failed(store, trouble))?;
        let database =
            Database::open(&store.sled_folder()).map_err(|trouble| failed(store, trouble))?;
        let entered = Entered { database, head_file, end, copy, lease };
        Ok(Self { entered, unsynced: 0, unsealed: 0 })
    }

    /// Closes the database, and only then says so in `HEAD` and lets others in.
    fn leave(mut self, store: &Store) -> Result<(), LogError> {
        self.sync(store)?;
        let Entered { database, mut head_file, end, lease, .. } = self.entered;
        database.close().map_err(|trouble| failed(store, trouble))?;
        head_file.write(end, State::Closed)?;
        drop(lease);
        Ok(())
    }
}

fn failed(store: &Store, trouble: Trouble) -> LogError {
    Refusal::from(trouble).into_error(store, None, false)
}
