//! A session: one process that begins or takes up a search or a run in a store.
//!
//! It brings together what the engine needs: the log with its lease, the lock of the search, the
//! data and their split, a trainer on a device. What is done with it is in other modules, such as
//! [`trainings`](super::trainings) and [`attacks`](super::attacks); it knows none of them.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use super::devices::Devices;
pub use super::error::SessionError;
use super::inbox::Inbox;
use super::jobs::{FoldError, Index, State};
use super::journal::{Despite, Durable, Journal, Observer};
use super::pool::{Pool, Post};
use super::posts::Trainers;
pub use super::prepare::{Prepared, TestPart, prepare, prepare_with_test, reading};
use super::presence::{Local, Presence as _, SILENCE_MIN};
use super::references::check_named;
use crate::agent::Training;
use crate::agent::run::Run;
use crate::agent::search::Search;
use crate::config::recipe::Precision;
use crate::config::{Order, SearchConfig};
use crate::data::Located;
use crate::events::{
    ConfigPart, Event, Fit, Fold as _, Hash, Purpose, Recorded, RunModel, RunStarted, Scope,
    SearchStarted, TrialRetried, folding,
};
use crate::log::{BATCH_MAX, LocalLog, Locks, LogError, NamedLock, Options, Repair, Store};
use crate::trainer::silence;

/// What a session is told by its surroundings.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// How this process works with the log.
    pub options: Options,
    /// Milliseconds since 1970.
    pub clock: fn() -> i64,
    /// Program name and version, for the record.
    pub program: String,
}

/// A run to be begun.
#[derive(Debug, Clone, Default)]
pub struct NewRun {
    /// What it is for.
    pub purpose: Purpose,
    /// What is trained.
    pub models: Vec<RunModel>,
    /// How often each.
    pub repeats: u32,
    /// What people call the recipe; empty if it is the configuration's own.
    pub recipe: String,
    /// Which images are trained on.
    pub fit: Fit,
    /// Seed of training.
    pub seed: u64,
    /// Threads on a CPU.
    pub threads: u32,
}

/// What begins, and the events with which it does.
type Beginning = (Scope, Vec<Event>);

/// How long a process at work waits to get back into the log it let somebody else into.
const PATIENCE: Duration = Duration::from_secs(3600);

/// A process at work in a store.
pub struct Session {
    pub(super) store: Store,
    locks: Locks,
    pub(super) journal: Journal<LocalLog>,
    pub(super) index: Index,
    pub(super) surroundings: Surroundings,
    /// Searches and runs whose images were looked at and are theirs.
    pub(super) checked: Vec<Scope>,
    repairs: Vec<Repair>,
    /// Says that this process is at work in the store.
    pub(super) presence: Option<Local>,
    trainers: Option<Trainers>,
    /// Trainers that have nothing to do yet.
    posts: Vec<Post>,
}

impl Session {
    /// Enters a store and reads its log. `observer` sees every event, old ones too.
    ///
    /// # Errors
    /// [`SessionError`] if the log cannot be had or read.
    pub fn open(
        store: Store,
        surroundings: Surroundings,
        observer: Box<dyn Observer>,
    ) -> Result<Self, SessionError> {
        let locks = surroundings.options.locks(&store);
        let mut log = LocalLog::open(store.clone(), surroundings.options.clone())?;
        // Once at work, a search is not to be ended by somebody who reads for long.
        log.set_wait(PATIENCE.max(surroundings.options.wait));
        let mut journal = Journal::new(log, surroundings.clock, observer);
        let mut index = Index::default();
        journal.catch_up(folding(&mut index))?;
        let (checked, repairs, presence) = Default::default();
        let (trainers, posts) = Default::default();
        let mut session = Self {
            store,
            locks,
            journal,
            index,
            surroundings,
            checked,
            repairs,
            presence,
            trainers,
            posts,
        };
        session.record_repairs()?;
        Ok(session)
    }

    /// What was repaired in the log since this was last asked, to be told. It is recorded already.
    pub fn take_repairs(&mut self) -> Vec<Repair> {
        std::mem::take(&mut self.repairs)
    }

    fn record_repairs(&mut self) -> Result<(), SessionError> {
        let repairs = self.journal.log().take_repairs();
        super::repairs::record(&mut self.journal, &repairs, folding(&mut self.index))?;
        self.repairs.extend(repairs);
        Ok(())
    }

    /// Says how to get trainers.
    pub fn set_trainers(&mut self, trainers: Trainers) {
        self.trainers = Some(trainers);
    }

    /// How to get trainers, if that is known.
    #[must_use]
    pub const fn trainers(&self) -> Option<&Trainers> {
        self.trainers.as_ref()
    }

    /// Brings trainers that were hired before there was a session.
    pub fn bring(&mut self, posts: Vec<Post>) {
        self.posts = posts;
    }

    /// Makes sure that there are trainers for `precision`, before anything is recorded that relies on
    /// them, and says how many.
    ///
    /// # Errors
    /// [`SessionError`] if there are none, they cannot use a device, or it is in use.
    pub fn hire(&mut self, precision: Precision) -> Result<usize, SessionError> {
        if self.posts.is_empty() {
            let none = || SessionError::Settings("no trainer is known".into());
            self.posts = self.trainers.as_ref().ok_or_else(none)?.hire(precision)?;
        }
        Ok(self.posts.len())
    }

    /// The devices of the trainers, which are hired for that.
    ///
    /// # Errors
    /// As [`Session::hire`].
    pub fn devices(&mut self, precision: Precision) -> Result<Devices, SessionError> {
        self.hire(precision)?;
        Ok(Devices::of(self.posts.iter().map(|post| &*post.device)))
    }

    /// The trainers, hired, each with a folder of its own. They train nothing.
    ///
    /// # Errors
    /// [`SessionError`] if there are none, they cannot use a device, it is in use, or a folder cannot
    /// be made.
    pub fn pool<T>(&mut self) -> Result<Pool<T>, SessionError> {
        self.pool_for(Precision::F32)
    }

    /// The same, to train in `precision`.
    ///
    /// # Errors
    /// [`SessionError`] as [`Session::pool`], or if they cannot train in this precision.
    pub fn pool_for<T>(&mut self, precision: Precision) -> Result<Pool<T>, SessionError> {
        self.hire(precision)?;
        let posts = std::mem::take(&mut self.posts);
        let artifacts = self.store.artifacts();
        let own = artifacts.staging(self.presence()?.name())?;
        artifacts.sweep(&self.locks)?;
        let staging = match posts.len() {
            1 => vec![own],
            several => (0..several).map(|n| own.part(n)).collect::<Result<_, _>>()?,
        };
        let inboxes = staging.into_iter().map(|folder| Inbox::new(&artifacts, folder));
        Ok(Pool::new(posts, inboxes.collect::<Result<_, _>>()?))
    }

    /// The searches and runs in the store.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Begins a search and returns its id. Its name must not be taken.
    ///
    /// # Errors
    /// [`SessionError`]; nothing is recorded then.
    pub fn begin_search(
        &mut self,
        config: &SearchConfig,
        seed: u64,
        name: String,
        threads: u32,
        data: &Prepared,
    ) -> Result<(Scope, NamedLock), SessionError> {
        self.begin_search_with(config, seed, name, threads, data, &|_| Ok(Vec::new()))
    }

    /// Begins a search with `further` facts in the same batch, after its configuration; they follow
    /// from what is recorded by then.
    ///
    /// # Errors
    /// [`SessionError`]; nothing is recorded then.
    pub fn begin_search_with(
        &mut self,
        config: &SearchConfig,
        seed: u64,
        name: String,
        threads: u32,
        data: &Prepared,
        further: &dyn Fn(&Index) -> Result<Vec<Event>, SessionError>,
    ) -> Result<(Scope, NamedLock), SessionError> {
        let free = |index: &Index, name: &str| match index.series_search(name) {
            Some(_) => Err(format!("a search called {name} is in the store already")),
            None => index.check_free("search", name),
        };
        let text = config.to_toml();
        let parts = ConfigPart::cut(&text);
        let started = SearchStarted {
            name,
            seed,
            chance: crate::chance::SCHEME.into(),
            data: data.facts.clone(),
            folder: data.folder.to_string_lossy().into_owned(),
            config: Hash::of(text.as_bytes()),
            config_parts: u16::try_from(parts.len()).unwrap_or(u16::MAX),
            threads,
            program: self.surroundings.program.clone(),
        };
        // What cannot be carried out is not begun.
        let wrong = |error: &dyn std::fmt::Display| SessionError::Settings(error.to_string());
        match config.schedule.order {
            Order::Sample => {
                Search::new(started.clone(), config.clone()).map_err(|error| wrong(&error))?;
            }
            Order::Enumerate => {
                Run::enumerate(started.clone(), config.clone()).map_err(|error| wrong(&error))?;
            }
        }
        self.begin(data, config.recipe.precision, &mut |index| {
            let further = further(index)?;
            free(index, &started.name).map_err(SessionError::Settings)?;
            let parts = parts.iter().cloned().map(Event::from);
            let first = Event::from(started.clone());
            let batch = std::iter::once(first).chain(parts).chain(further).collect();
            Ok((index.next_search(), batch))
        })
    }

    /// Begins a training run and returns its id.
    ///
    /// # Errors
    /// [`SessionError`]; nothing is recorded then.
    pub fn begin_run(
        &mut self,
        config: &SearchConfig,
        run: NewRun,
        data: &Prepared,
    ) -> Result<(Scope, NamedLock), SessionError> {
        let text = config.to_toml();
        let parts = ConfigPart::cut(&text);
        let NewRun { purpose, models, repeats, recipe, fit, seed, threads } = run;
        let started = RunStarted {
            purpose,
            models: u16::try_from(models.len()).unwrap_or(u16::MAX),
            repeats,
            recipe,
            fit,
            predicted: data.predicted(),
            seed,
            chance: crate::chance::SCHEME.into(),
            data: data.facts.clone(),
            folder: data.folder.to_string_lossy().into_owned(),
            config: Hash::of(text.as_bytes()),
            config_parts: u16::try_from(parts.len()).unwrap_or(u16::MAX),
            threads,
            program: self.surroundings.program.clone(),
        };
        Run::new(started.clone(), models.clone(), config.clone())
            .map_err(|error| SessionError::Settings(error.to_string()))?;
        let models = models.into_iter().map(Event::from);
        let first = std::iter::once(Event::from(started));
        let batch: Vec<Event> =
            first.chain(models).chain(parts.into_iter().map(Event::from)).collect();
        let precision = config.recipe.precision;
        self.begin(data, precision, &mut |index| Ok((index.next_run(), batch.clone())))
    }

    /// Begins what `decide` says, in view of all that is recorded: it is asked again whenever others
    /// recorded something in the meantime, so that no number and no name is given twice.
    fn begin(
        &mut self,
        data: &Prepared,
        precision: Precision,
        decide: &mut dyn FnMut(&Index) -> Result<Beginning, SessionError>,
    ) -> Result<(Scope, NamedLock), SessionError> {
        self.hire(precision)?;
        let artifacts = self.store.artifacts();
        data.artifacts().try_for_each(|bytes| artifacts.put(bytes).map(drop))?;
        let (once, started) = (self.locks_now(), Instant::now());
        loop {
            self.catch_up()?;
            let (scope, batch) = decide(&self.index)?;
            let lock = match once.shared(&lock_name(scope)) {
                // An import or a fork is about to begin under this number.
                Err(LogError::Busy(_)) if started.elapsed() < self.surroundings.options.wait => {
                    std::thread::sleep(Duration::from_millis(10));
                    continue;
                }
                lock => lock?,
            };
            check_named(&batch, &artifacts)?;
            if self.append(scope, &batch, Durable::Now, Despite::Nothing)? {
                return Ok((scope, lock));
            }
        }
    }

    /// Records a batch, and takes it in. `false`: it was not recorded, because others recorded something
    /// that `despite` does not cover.
    pub(super) fn append(
        &mut self,
        scope: Scope,
        batch: &[Event],
        durable: Durable,
        despite: Despite,
    ) -> Result<bool, SessionError> {
        let index = &mut self.index;
        let recorded = self.journal.put(scope, batch, durable, despite, folding(index))?;
        recorded.unwrap_or_default().iter().for_each(folding(&mut self.index));
        Ok(recorded.is_some())
    }

    /// Records a batch of what nobody else works on: its lock is held.
    pub(super) fn record(&mut self, scope: Scope, batch: &[Event]) -> Result<(), SessionError> {
        if !batch.is_empty() {
            self.append(scope, batch, Durable::Now, Despite::Anything)?;
        }
        Ok(())
    }

    /// Claims the next free number alone: whoever holds its lock may begin under it. Another process
    /// may be about to begin under the same one; then it is recorded in a moment, and ours is the
    /// one after.
    pub(super) fn claim(
        &mut self,
        next: fn(&Index) -> Scope,
    ) -> Result<(Scope, NamedLock), SessionError> {
        let (once, started) = (self.locks_now(), Instant::now());
        loop {
            let scope = next(&self.index);
            match once.named(&lock_name(scope)) {
                Err(LogError::Busy(_)) if started.elapsed() < self.surroundings.options.wait => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                lock => {
                    let lock = lock?;
                    self.catch_up()?;
                    if next(&self.index) == scope {
                        return Ok((scope, lock));
                    }
                }
            }
            self.catch_up()?;
        }
    }

    /// Locks that are not waited for.
    fn locks_now(&self) -> Locks {
        let command = self.surroundings.options.command.clone();
        Locks::new(self.store.lock_folder(), command, Duration::ZERO)
    }

    /// The last event known of the log.
    #[must_use]
    pub fn end(&self) -> crate::events::frame::Position {
        self.journal.position()
    }

    pub(super) fn catch_up(&mut self) -> Result<(), SessionError> {
        Ok(self.journal.catch_up(folding(&mut self.index))?)
    }

    /// This process among those at work in the store.
    pub(super) fn presence(&mut self) -> Result<&mut Local, SessionError> {
        if self.presence.is_none() {
            let silence = self.trainers.as_ref().map_or(silence::LIMIT, |one| one.silence);
            let silence = silence.max(SILENCE_MIN);
            self.presence = Some(Local::new(self.locks.clone(), silence)?);
        }
        let none = || SessionError::Settings("no process is at work".into());
        self.presence.as_mut().ok_or_else(none)
    }

    /// A lock of the store by its name.
    pub(super) fn named_lock(&self, name: &str) -> Result<NamedLock, SessionError> {
        Ok(self.locks.named(name)?)
    }

    /// The lock that says who carries on a search, run or attack. Several processes may carry on a
    /// search or run; an attack has one.
    ///
    /// # Errors
    /// [`LogError::Busy`] naming who does.
    pub fn lock(&self, scope: Scope) -> Result<NamedLock, SessionError> {
        let name = lock_name(scope);
        Ok(match scope {
            Scope::Attack(_) => self.locks.named(&name)?,
            _ => self.locks.shared(&name)?,
        })
    }

    /// The same lock, alone, and without waiting for it.
    pub(super) fn lock_now(&self, scope: Scope) -> Result<NamedLock, SessionError> {
        Ok(self.locks_now().named(&lock_name(scope))?)
    }

    /// The state of a search or run, folded from the log.
    ///
    /// # Errors
    /// [`SessionError`] if its history cannot be.
    pub fn job(&mut self, scope: Scope) -> Result<Box<dyn Training>, SessionError> {
        // Whoever held its lock until now may have recorded more.
        self.catch_up()?;
        let mut state = Ok(State::default());
        self.reread_of(scope, |recorded| {
            let Ok(()) = state.apply(recorded);
        })?;
        match state? {
            State::Open(job) => Ok(job),
            State::Unseen | State::Opening { .. } => {
                let reason = "is not complete".to_owned();
                Err(FoldError::Config { scope, reason }.into())
            }
        }
    }

    /// Reads the events of a search, run or attack again.
    pub(super) fn reread_of(
        &mut self,
        scope: Scope,
        fold: impl FnMut(&Recorded),
    ) -> Result<(), SessionError> {
        let Some(entry) = self.index.entries().get(&scope) else { return Ok(()) };
        let between = (entry.first, entry.last);
        Ok(self.journal.reread_of(scope, between, fold)?)
    }

    /// Records that the trials of a search or run that were given up are to be tried again. Returns how
    /// many.
    ///
    /// # Errors
    /// [`SessionError`] if its history cannot be, or the log refuses.
    pub fn retry_lost(&mut self, scope: Scope) -> Result<u32, SessionError> {
        let mut retried = 0;
        loop {
            let job = self.job(scope)?;
            let lost = job.trials().lost().take(BATCH_MAX);
            let events = lost.map(|trial| {
                TrialRetried { trial: trial.planned.trial, before: trial.retried }.into()
            });
            let events: Vec<Event> = events.collect();
            if events.is_empty() {
                return Ok(retried);
            }
            if self.append(scope, &events, Durable::Now, Despite::OtherScopes)? {
                retried += u32::try_from(events.len()).unwrap_or(u32::MAX);
            }
        }
    }

    /// Closes the log.
    ///
    /// # Errors
    /// [`LogError`] if the last sync fails.
    pub fn close(mut self) -> Result<(), SessionError> {
        self.record_repairs()?;
        if self.presence.take().is_some() {
            // Its staging folder is nobody's now. What stays, the next process sweeps.
            let _ = self.store.artifacts().sweep(&self.locks_now());
        }
        Ok(self.journal.into_log().close()?)
    }

    /// Whether the images of `data` are those a search or run began with; restores its split if
    /// the artifact is gone.
    ///
    /// # Errors
    /// [`SessionError::OtherData`] if they are not.
    pub fn check_data(
        &self,
        scope: Scope,
        job: &dyn Training,
        data: &Located,
    ) -> Result<(), SessionError> {
        let data = Located { name: job.data().name.clone(), ..data.clone() };
        let shown = job.terms(1).predicted;
        let prepared = match shown {
            Some(_) => prepare_with_test(job.config(), &data)?,
            None => prepare(job.config(), &data)?,
        };
        if prepared.facts != *job.data() || prepared.predicted() != shown {
            return Err(SessionError::OtherData { scope, folder: data.folder });
        }
        let artifacts = self.store.artifacts();
        prepared.artifacts().try_for_each(|bytes| artifacts.put(bytes).map(drop))?;
        Ok(())
    }
}

/// Name of the lock of a search, run or attack.
#[must_use]
pub fn lock_name(scope: Scope) -> String {
    match scope {
        Scope::Run(_) => format!("run-{scope}"),
        Scope::Attack(_) => format!("attack-{scope}"),
        _ => format!("search-{scope}"),
    }
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// If it cannot be read or is larger.
pub fn read_limited(path: &Path, limit: u64) -> std::io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(limit + 1).read_to_string(&mut text)?;
    if read as u64 > limit {
        let message = format!("it is larger than {limit} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message));
    }
    Ok(text)
}
