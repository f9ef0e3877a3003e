//! [`LocalLog`]: appending to the log in a folder. The order of operations is the point of this
//! file; why each crash point is harmless is argued in `schema/README.md`.

use std::time::{Duration, Instant};

use super::engine::{Engine, next_aside};
use super::error::Damage;
use super::head::{HeadFile, State};
use super::journal::Reader;
use super::journal::mend::{How, mend};
use super::journal::tail::{Rest, Tail};
use super::lease::{self, Lease, Turnstile};
use super::opening::{Found, Settled};
use super::{EventLog, LogError, Store, check_batch};
use crate::events::frame::{Frame, Head, Position};

/// Batches of [`EventLog::append_relaxed`] that are made durable together.
const RELAXED_BATCHES: u32 = 10;
/// How often it is tried to take sled over from a process that has ended.
const TAKE_EVERY: Duration = Duration::from_secs(1);

/// How this process works with a log.
#[derive(Debug, Clone)]
pub struct Options {
    /// What others are told about this process while they wait.
    pub command: String,
    /// How long to wait for others.
    pub wait: Duration,
    /// The last event that something outside of the log has seen, if there is any: evidence of a
    /// log that was put back to an earlier state.
    pub witness: Option<fn(&Store) -> Option<Head>>,
}

impl Default for Options {
    fn default() -> Self {
        Self { command: "qtrail".to_owned(), wait: lease::WAIT, witness: None }
    }
}

impl Options {
    /// The locks of `store`, with this process's name and wait.
    #[must_use]
    pub fn locks(&self, store: &Store) -> lease::Locks {
        lease::Locks::new(store.lock_folder(), self.command.clone(), self.wait)
    }

    pub(super) fn witness(&self, store: &Store) -> Option<Head> {
        self.witness.and_then(|look| look(store))
    }
}

/// A copy of the events that was damaged and put right from the other one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// `journal`, `sled` or `HEAD`.
    pub part: &'static str,
    /// What was wrong.
    pub found: String,
    /// Events that were restored.
    pub restored: u64,
    /// Events that neither copy has.
    pub lost: u64,
    /// Where the damaged files are now, within the store.
    pub aside: Option<String>,
}

impl std::fmt::Display for Repair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { part, found, restored, lost, aside } = self;
        write!(f, "{part} was repaired: {found}")?;
        if *restored > 0 {
            let other = if *part == "sled" { "the journal" } else { "sled" };
            write!(f, "; {restored} events restored from {other}")?;
        }
        if *lost > 0 {
            write!(f, "; {lost} events are lost")?;
        }
        match aside {
            Some(aside) => write!(f, "; the damaged files are in {aside}"),
            None => Ok(()),
        }
    }
}

/// The log in a folder, for a process that appends.
///
/// The lock of the log is held only while it appends, so any number of processes may have one log
/// open. One of them has sled; whoever has it brings it up to date. Dropping closes as well as can
/// be, without telling of errors.
#[derive(Debug)]
pub struct LocalLog {
    store: Store,
    options: Options,
    turnstile: Turnstile,
    tail: Tail,
    head_file: HeadFile,
    /// What `HEAD` says while this process appends. Asking for its id is a system call.
    open_here: State,
    engine: Option<Engine>,
    tried: Instant,
    /// Reads where sled is another process's.
    reader: Option<Reader>,
    pending: Vec<Frame>,
    pending_batches: u32,
    /// The head after `pending`.
    end: Head,
    /// Held while something is pending.
    lease: Option<Lease>,
    repairs: Vec<Repair>,
    poisoned: bool,
}

impl LocalLog {
    /// Opens the log: finds its end, and repairs one copy of the events from the other.
    ///
    /// # Errors
    /// [`LogError::Busy`] if others keep the lock, [`LogError::Damaged`] if both copies are
    /// damaged, [`LogError::RolledBack`] if something has seen later events of this store,
    /// [`LogError::NoSpace`] or [`LogError::Io`] if the system refuses: opening writes.
    pub fn open(store: Store, options: Options) -> Result<Self, LogError> {
        let turnstile = Turnstile::new(options.locks(&store))?;
        let lease = turnstile.enter()?;
        turnstile.sign();
        let Settled { tail, head_file, closed, repairs } =
            Found::look(&store, &options)?.settle(&store, &options)?;
        let mut log = Self {
            end: tail.end(),
            store,
            options,
            turnstile,
            tail,
            head_file,
            open_here: State::Open { pid: std::process::id() },
            engine: None,
            tried: Instant::now(),
            reader: None,
            pending: Vec::new(),
            pending_batches: 0,
            lease: None,
            repairs,
            poisoned: false,
        };
        // Opening sled takes long; others may append meanwhile.
        drop(lease);
        if let Some(held) = Engine::take(&log.store, &log.options)? {
            let (mut engine, repair) = held.open_at(log.end, closed)?;
            log.repairs.extend(repair);
            if engine.end() > log.end.position {
                engine = log.take_what_sled_has_more(engine)?;
            }
            log.engine = Some(engine);
        }
        Ok(log)
    }

    /// sled has events behind the end of the journal as it was a moment ago: others have appended
    /// them, or the journal has lost them.
    fn take_what_sled_has_more(&mut self, engine: Engine) -> Result<Engine, LogError> {
        let _lease = self.turnstile.enter()?;
        self.follow()?;
        if engine.end() > self.end.position {
            let aside = next_aside(&self.store, "journal")?;
            let how = How { aside: Some(&aside), unreadable: false };
            let mended = mend(&self.store, Some(engine.database()), how)?;
            self.repairs.extend(super::repair::of_journal(&mended, &self.store, &aside));
            let (tail, rest, _) = Tail::find(&self.store, Position(0))?;
            self.tail = tail;
            self.followed(Head::default(), rest)?;
        }
        match engine.end() > self.end.position {
            // They do not continue the journal.
            true => {
                let found = format!("it has events up to {}, the journal has not", engine.end());
                let (engine, repair) = engine.remake(self.end, &found)?;
                self.repairs.push(repair);
                Ok(engine)
            }
            false => Ok(engine),
        }
    }

    /// The store this log is in.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// From now on waits this long for others.
    pub const fn set_wait(&mut self, wait: Duration) {
        self.options.wait = wait;
        self.turnstile.set_wait(wait);
    }

    /// What was repaired since this was last asked: to be told and recorded.
    pub fn take_repairs(&mut self) -> Vec<Repair> {
        std::mem::take(&mut self.repairs)
    }

    /// Makes everything appended durable. Nothing to do, nothing done.
    ///
    /// # Errors
    /// [`LogError::NoSpace`] or [`LogError::Io`]; the log must be reopened then.
    pub fn sync(&mut self) -> Result<(), LogError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let result = self.commit();
        self.poisoned |= result.is_err();
        result
    }

    /// Closes the log: both copies are durable, which `HEAD` says.
    ///
    /// # Errors
    /// [`LogError::NoSpace`] or [`LogError::Io`]; acknowledged events are safe even then.
    pub fn close(mut self) -> Result<(), LogError> {
        self.shut()
    }

    fn shut(&mut self) -> Result<(), LogError> {
        if self.poisoned {
            self.engine = None;
            return Ok(());
        }
        self.sync()?;
        let end = self.head()?;
        self.poisoned = true;
        if self.engine.is_none() {
            let held = Engine::take(&self.store, &self.options)?;
            self.engine = held.map(|held| held.open_at(end, None)).transpose()?.map(|e| e.0);
        }
        let Some(mut engine) = self.engine.take() else { return Ok(()) };
        engine.catch_up(end)?;
        engine.close()?;
        // Closing takes long, so it is not done under the lock.
        let _lease = self.turnstile.enter()?;
        self.follow()?;
        if self.end != end {
            return Ok(()); // others go on
        }
        self.head_file.read_again()?;
        self.head_file.write(self.end, State::Closed)?;
        self.head_file.sync()
    }

    /// Takes the lock and what others have appended, unless it is held already.
    fn enter(&mut self) -> Result<(), LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        if self.lease.is_none() {
            let lease = self.turnstile.enter()?;
            self.follow()?;
            self.lease = Some(lease);
        }
        Ok(())
    }

    /// Takes in what others have appended. Under the lock.
    fn follow(&mut self) -> Result<(), LogError> {
        let before = self.tail.end();
        let Some(followed) = self.tail.follow()? else {
            // Somebody has mended the journal meanwhile.
            let (tail, rest, _) = Tail::find(&self.store, Position(0))?;
            self.tail = tail;
            return self.followed(before, rest);
        };
        self.followed(before, followed.rest)
    }

    fn followed(&mut self, before: Head, rest: Option<Rest>) -> Result<(), LogError> {
        let record = self.head_file.read_again()?;
        let acknowledged = record.head;
        if record.state != self.open_here {
            // Another process was here since.
            self.turnstile.sign();
        }
        if let Some(rest) = rest {
            // Another process was killed while it wrote: nothing of it was acknowledged.
            if rest.goes_on || acknowledged.position > self.tail.end().position {
                let at = self.tail.end().position.next();
                let original = Some(self.store.journal_folder());
                return Err(Damage { position: Some(at), found: rest.found, original }.into());
            }
            self.tail.cut()?;
        }
        self.end = self.tail.end();
        if self.end != before && acknowledged.position < self.end.position {
            self.tail.sync()?;
            self.head_file.write(self.end, self.open_here)?;
        }
        Ok(())
    }

    /// Writes what is pending as one record, durable, and acknowledges it.
    fn commit(&mut self) -> Result<(), LogError> {
        let (frames, end) = (std::mem::take(&mut self.pending), self.end);
        self.pending_batches = 0;
        if self.tail.is_full()
            && let Some(engine) = &mut self.engine
        {
            // Before a segment is left behind, both copies have all of it.
            let synced = engine.catch_up(self.tail.end()).and_then(|()| engine.sync());
            self.without_engine(synced)?;
        }
        self.tail.append(&frames, end)?;
        self.head_file.write(end, self.open_here)?;
        // From here on the batch is acknowledged, whatever becomes of the second copy.
        self.apply(&frames, end)?;
        self.lease = None;
        Ok(())
    }

    /// Brings sled to the end of the journal, the last part of which is `frames`.
    fn apply(&mut self, frames: &[Frame], end: Head) -> Result<(), LogError> {
        if self.engine.is_none() && self.tried.elapsed() >= TAKE_EVERY {
            self.tried = Instant::now();
            // Its holder has ended. Failing is no failure: the next one to open the log tells.
            if let Ok(Some(held)) = Engine::take(&self.store, &self.options)
                && let Ok((engine, repair)) = held.open_at(end, None)
            {
                self.repairs.extend(repair);
                self.engine = Some(engine);
            }
            return Ok(());
        }
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let first = end.position.0 - frames.len() as u64;
        let applied = match engine.end().0 == first {
            true => engine.apply(frames),
            false => engine.catch_up(end),
        };
        self.without_engine(applied)
    }

    /// Goes on without sled if it fails: what it lacks it gets from the journal when it is opened
    /// next.
    fn without_engine(&mut self, result: Result<(), LogError>) -> Result<(), LogError> {
        if let Err(error) = result {
            let found = format!("{error}; it is brought up to date when the log is opened next");
            self.repairs.push(Repair { part: "sled", found, restored: 0, lost: 0, aside: None });
            self.engine = None;
            self.tried = Instant::now() + Duration::from_secs(3600);
        }
        Ok(())
    }

    fn put(&mut self, expected: Head, frames: &[Frame]) -> Result<Head, LogError> {
        let end = check_batch(expected, frames)?;
        self.enter()?;
        if self.end != expected {
            if self.pending.is_empty() {
                self.lease = None;
            }
            return Err(LogError::Conflict { actual: self.end });
        }
        self.pending.extend_from_slice(frames);
        self.pending_batches += 1;
        self.end = end;
        Ok(end)
    }
}

impl EventLog for LocalLog {
    fn head(&mut self) -> Result<Head, LogError> {
        self.enter()?;
        if self.pending.is_empty() {
            self.lease = None;
        }
        Ok(self.end)
    }

    fn read(&mut self, after: Position, max: usize) -> Result<Vec<Frame>, LogError> {
        self.sync()?;
        if after >= self.end.position && after >= self.head()?.position {
            return Ok(Vec::new());
        }
        let left = usize::try_from(self.end.position.0 - after.0).unwrap_or(usize::MAX);
        let wanted = max.min(left);
        if let Some(mut engine) = self.engine.take() {
            engine.catch_up(self.end)?;
            match engine.read(after, wanted) {
                Err(LogError::Damaged(damage)) => {
                    let (mut anew, repair) = engine.remake(self.end, &damage.found)?;
                    self.repairs.push(repair);
                    anew.sync()?;
                    let frames = anew.read(after, wanted);
                    self.engine = Some(anew);
                    return frames;
                }
                other => {
                    self.engine = Some(engine);
                    return other;
                }
            }
        }
        let (store, end) = (&self.store, self.end);
        let reader = self.reader.get_or_insert_with(|| Reader::up_to(store, end));
        reader.read_within(after, wanted)
    }

    fn append(&mut self, expected: Head, frames: &[Frame]) -> Result<Head, LogError> {
        let end = self.put(expected, frames)?;
        self.sync()?;
        Ok(end)
    }

    fn append_relaxed(&mut self, expected: Head, frames: &[Frame]) -> Result<Head, LogError> {
        let end = self.put(expected, frames)?;
        if self.pending_batches >= RELAXED_BATCHES {
            self.sync()?;
        }
        Ok(end)
    }
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        // While unwinding nothing is trusted: the next one to open it looks at everything.
        if !std::thread::panicking() {
            let _ = self.shut();
        }
    }
}
