//! Who may append to the log now, and named locks for searches and devices.
//!
//! The log's lock is a turnstile of two: lock `turn`, lock `log`, unlock `turn`. Whoever waits for
//! the log holds `turn`, so a holder that leaves and comes back cannot overtake the one waiting.
//! With a single lock it does, nearly always, and the other starves.
//!
//! Lock files are never unlinked: two processes could then hold "the same" lock on two files.
//! The text inside them serves messages only; the lock is the kernel's, and goes with its process.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use super::LogError;
use super::files::failed;
use super::plain::{open_plain, open_with, read_plain};

/// How long to wait for a lock unless told otherwise.
pub const WAIT: Duration = Duration::from_secs(10);
/// What the names of processes begin with. Each is used once.
pub const WORKER: &str = "worker-";
/// Pause between two looks at a lock: a lock cannot be waited for with a limit. Short: that of the
/// log is held for as long as it takes to make one batch durable.
const PAUSE: Duration = Duration::from_micros(100);

/// Who holds a lock, as far as its file tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// The command it runs.
    pub command: String,
    /// Whether the system says that it is stopped (Ctrl-Z, SIGSTOP).
    pub stopped: bool,
}

/// A lock was not to be had within the wait.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Busy {
    /// Name of the lock: `log`, `search-s1`, `device-cpu`.
    pub lock: String,
    /// Who holds it, if that is known.
    pub holder: Option<Holder>,
    /// How long this process waited.
    pub waited: Duration,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lock, seconds) = (&self.lock, self.waited.as_secs_f64());
        match &self.holder {
            Some(Holder { pid, command, stopped }) => {
                write!(f, "{lock} is held by process {pid} ({command}); waited {seconds:.1} s")?;
                match stopped {
                    true => {
                        write!(f, "; that process is stopped: `kill -CONT {pid}` lets it go on")
                    }
                    false => Ok(()),
                }
            }
            None => write!(f, "{lock} is held by another process; waited {seconds:.1} s"),
        }
    }
}

/// The lock folder of a store, as seen by this process.
#[derive(Debug, Clone)]
pub struct Locks {
    folder: PathBuf,
    command: String,
    wait: Duration,
}

impl Locks {
    /// Locks in `folder`; `command` is what others are told about this process.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, command: impl Into<String>, wait: Duration) -> Self {
        Self { folder: folder.into(), command: command.into(), wait }
    }

    /// Takes the lock `name` (`search-s1`, `device-cuda0`), waiting as long as these locks wait.
    ///
    /// # Errors
    /// [`LogError::Busy`] when the wait is over; [`LogError::Io`] if the file cannot be opened.
    pub fn named(&self, name: &str) -> Result<NamedLock, LogError> {
        self.take_named(name, try_lock)
    }

    /// Takes the lock `name` together with all who share it; it is waited for while somebody has it
    /// alone.
    ///
    /// # Errors
    /// As [`Locks::named`].
    pub fn shared(&self, name: &str) -> Result<NamedLock, LogError> {
        self.take_named(name, |file| tried(file.try_lock_shared()))
    }

    fn take_named(
        &self,
        name: &str,
        try_lock: fn(&File) -> io::Result<bool>,
    ) -> Result<NamedLock, LogError> {
        let started = Instant::now();
        let file = self.file(name)?;
        self.take_with(name, &file, started, try_lock)?;
        self.sign(&file);
        Ok(NamedLock { name: name.to_owned(), file })
    }

    /// When the holder of the lock `name` last said that it is at work ([`NamedLock::touch`]).
    #[must_use]
    pub fn touched(&self, name: &str) -> Option<SystemTime> {
        std::fs::symlink_metadata(self.folder.join(name)).ok()?.modified().ok()
    }

    /// Removes the files of locks whose names begin with `prefix`, that nobody holds and that were not
    /// touched for `age`. Only for names that are used once: two processes could otherwise hold "the
    /// same" lock on two files. Failing to do so is no failure.
    pub fn forget(&self, prefix: &str, age: Duration) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
            let old = |time: SystemTime| time.elapsed().is_ok_and(|since| since >= age);
            if name.starts_with(prefix)
                && self.touched(&name).is_some_and(old)
                && let Ok(Some(_held)) = self.free(&name)
            {
                let _ = std::fs::remove_file(self.folder.join(&name));
            }
        }
    }

    /// Whether somebody, in this process or another, holds the lock `name`, and who.
    ///
    /// # Errors
    /// [`LogError::Io`] if the file cannot be opened.
    pub fn holder(&self, name: &str) -> Result<Option<Busy>, LogError> {
        let look = Self { wait: Duration::ZERO, ..self.clone() };
        let path = self.folder.join(name);
        // For reading is enough to ask, also where nothing can be written.
        let file = match open_plain(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed("open", &path))?,
        };
        match look.take(name, &file, Instant::now()) {
            Ok(()) => Ok(None),
            Err(LogError::Busy(busy)) => Ok(Some(busy)),
            Err(error) => Err(error),
        }
    }

    /// Takes the lock `name` if nobody holds it; does not wait. `None`: somebody does.
    ///
    /// # Errors
    /// [`LogError::Io`] if the file cannot be opened.
    pub fn free(&self, name: &str) -> Result<Option<NamedLock>, LogError> {
        match (Self { wait: Duration::ZERO, ..self.clone() }).named(name) {
            Ok(lock) => Ok(Some(lock)),
            Err(LogError::Busy(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the file of a lock whose name is used once. Failing to do so is no failure.
    pub fn forget_own(&self, lock: &NamedLock) {
        let _ = std::fs::remove_file(self.folder.join(&lock.name));
    }

    fn file(&self, name: &str) -> Result<File, LogError> {
        let path = self.folder.join(name);
        let options = OpenOptions::new().read(true).write(true).create(true).clone();
        open_with(&path, &options).map_err(failed("open", &path))
    }

    /// Locks `file` before `started` + wait, or says who holds it.
    fn take(&self, name: &str, file: &File, started: Instant) -> Result<(), LogError> {
        self.take_with(name, file, started, try_lock)
    }

    fn take_with(
        &self,
        name: &str,
        file: &File,
        started: Instant,
        try_lock: fn(&File) -> io::Result<bool>,
    ) -> Result<(), LogError> {
        while !try_lock(file).map_err(failed("lock", &self.folder.join(name)))? {
            let waited = started.elapsed();
            if waited >= self.wait {
                // Whoever waits for `turn` wants to hear who holds the log.
                let lock = if name == "turn" { "log" } else { name };
                let holder = read_holder(&self.folder.join(lock));
                return Err(Busy { lock: lock.to_owned(), holder, waited }.into());
            }
            sleep(PAUSE.min(self.wait - waited));
        }
        Ok(())
    }

    /// Writes who holds the lock. It serves messages only, so failing to do so is no failure.
    fn sign(&self, file: &File) {
        let text = format!("{}\n{}\n", std::process::id(), self.command);
        let mut there = vec![0; text.len() + 1];
        if file.read_at(&mut there, 0).is_ok_and(|read| there[..read] == *text.as_bytes()) {
            return;
        }
        let _ = file.set_len(0).and_then(|()| file.write_all_at(text.as_bytes(), 0));
    }
}

/// `true` if the lock is ours now, `false` if another holds it.
fn try_lock(file: &File) -> io::Result<bool> {
    tried(file.try_lock())
}

fn tried(lock: Result<(), TryLockError>) -> io::Result<bool> {
    match lock {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn read_holder(path: &Path) -> Option<Holder> {
    let text = String::from_utf8(read_plain(path).ok()?).ok()?;
    let (pid, command) = text.split_once('\n')?;
    let pid = pid.parse().ok()?;
    Some(Holder { pid, command: command.trim_end().to_owned(), stopped: is_stopped(pid) })
}

/// Whether a process is stopped; `false` where the system does not say.
fn is_stopped(pid: u32) -> bool {
    // "pid (name) state ...", and names may hold brackets.
    let facts = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    facts.rsplit_once(") ").is_some_and(|(_, facts)| facts.starts_with('T'))
}

/// Waits up to `limit` for a lock that only a dying user may still hold; `None` when it is over.
pub(super) fn wait_for(file: &File, limit: Duration) -> io::Result<Option<()>> {
    let started = Instant::now();
    while !try_lock(file)? {
        if started.elapsed() >= limit {
            return Ok(None);
        }
        sleep(PAUSE);
    }
    Ok(Some(()))
}

/// A named lock, held until this value and every inherited descriptor of it are gone.
#[derive(Debug)]
pub struct NamedLock {
    name: String,
    // Closed, never unlocked: unlocking would also take it from a child that inherited it.
    file: File,
}

impl NamedLock {
    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says that its holder is at work. Failing to do so is no failure.
    #[expect(
        clippy::disallowed_methods,
        reason = "a time for other processes, which is not recorded"
    )]
    pub fn touch(&self) {
        let _ = self.file.set_modified(SystemTime::now());
    }

    /// A descriptor of this lock that child processes inherit. Start the one child that is to
    /// share the lock, then drop the descriptor: the lock is free only when that child has ended
    /// too, so a trainer that outlives its parent keeps its device.
    ///
    /// # Errors
    /// [`LogError::Io`] if the descriptor cannot be duplicated.
    pub fn inheritable(&self) -> Result<OwnedFd, LogError> {
        let path = Path::new(&self.name);
        let duplicate = OwnedFd::from(self.file.try_clone().map_err(failed("share", path))?);
        rustix::io::fcntl_setfd(&duplicate, rustix::io::FdFlags::empty())
            .map_err(|errno| failed("share", path)(errno.into()))?;
        Ok(duplicate)
    }
}

/// The turnstile of the log, its files open.
#[derive(Debug)]
pub(super) struct Turnstile {
    locks: Locks,
    turn: File,
    log: Arc<File>,
}

/// The right to append to the log, until dropped.
#[derive(Debug)]
pub(super) struct Lease {
    log: Arc<File>,
}

impl Turnstile {
    /// The turnstile in the folder of `locks`.
    pub(super) fn new(locks: Locks) -> Result<Self, LogError> {
        let (turn, log) = (locks.file("turn")?, Arc::new(locks.file("log")?));
        Ok(Self { locks, turn, log })
    }

    /// Goes through it: one limit for both locks.
    pub(super) fn enter(&self) -> Result<Lease, LogError> {
        let started = Instant::now();
        self.locks.take("turn", &self.turn, started)?;
        let taken = self.locks.take("log", &self.log, started);
        let unlocked = self.turn.unlock().map_err(failed("unlock", &self.locks.folder));
        taken.and(unlocked)?;
        Ok(Lease { log: Arc::clone(&self.log) })
    }

    /// Writes into the lock's file who holds it. Under the lock.
    pub(super) fn sign(&self) {
        self.locks.sign(&self.log);
    }

    /// From now on waits this long.
    pub(super) const fn set_wait(&mut self, wait: Duration) {
        self.locks.wait = wait;
    }
}

impl Lease {
    /// Goes through the turnstile once.
    pub(super) fn enter(locks: &Locks) -> Result<Self, LogError> {
        let turnstile = Turnstile::new(locks.clone())?;
        let lease = turnstile.enter()?;
        turnstile.sign();
        Ok(lease)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Explicitly: a child between fork and exec has a copy of the descriptor for a moment.
        // If it fails, closing the file does the same a moment later.
        let _ = self.log.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locks(folder: &Path, milliseconds: u64) -> Locks {
        Locks::new(folder, "qtrail test", Duration::from_millis(milliseconds))
    }

    #[test]
    fn a_named_lock_excludes_and_names_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let held = locks(folder.path(), 0).named("search-s1").unwrap();
        let error = locks(folder.path(), 20).named("search-s1").unwrap_err();
        let LogError::Busy(busy) = error else { panic!("{error}") };
        let holder =
            Holder { pid: std::process::id(), command: "qtrail test".to_owned(), stopped: false };
        assert_eq!((busy.lock.as_str(), &busy.holder), ("search-s1", &Some(holder)));
        assert!(busy.waited >= Duration::from_millis(20));
        assert!(locks(folder.path(), 0).holder("search-s1").unwrap().is_some());
        drop(held);
        assert_eq!(locks(folder.path(), 0).holder("search-s1").unwrap(), None);
        locks(folder.path(), 0).named("search-s1").unwrap();
    }

    #[test]
    fn a_child_keeps_an_inherited_lock() {
        let folder = tempfile::tempdir().unwrap();
        let lock = locks(folder.path(), 0).named("device-cpu").unwrap();
        let shared = lock.inheritable().unwrap();
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        drop((lock, shared));
        assert!(locks(folder.path(), 0).holder("device-cpu").unwrap().is_some());
        drop(child.stdin.take());
        child.wait().unwrap();
        locks(folder.path(), 2_000).named("device-cpu").unwrap();
    }

    #[test]
    fn a_holder_that_is_stopped_is_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let _held = locks(folder.path(), 0).named("log").unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        std::fs::write(folder.path().join("log"), format!("{pid}\nqtrail search\n")).unwrap();
        let said = || locks(folder.path(), 0).holder("log").unwrap().unwrap().to_string();
        assert!(!said().contains("stopped"), "{}", said());
        let stopped = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(stopped, rustix::process::Signal::STOP).unwrap();
        let waited = Instant::now();
        while !said().contains(&format!("`kill -CONT {pid}`")) {
            assert!(waited.elapsed() < Duration::from_secs(10), "{}", said());
            sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn waiting_for_the_log_is_bounded_and_names_the_holder_of_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let _lease = Lease::enter(&locks(folder.path(), 0)).unwrap();
        let path = folder.path().to_path_buf();
        let first = std::thread::spawn(move || Lease::enter(&locks(&path, 60)).map(drop));
        for error in [Lease::enter(&locks(folder.path(), 30)).map(drop), first.join().unwrap()] {
            let Err(LogError::Busy(busy)) = error else { panic!("got in") };
            assert_eq!((busy.lock.as_str(), busy.holder.is_some()), ("log", true));
        }
    }
}
