//! Who is at work in a store: the processes that train, and whether they still live.
//!
//! A process that trains has a name that no other ever has, and holds a lock of that name for as
//! long as it lives. The lock's file is touched every second, so that a process that is
//! suspended (Ctrl-Z, a laptop that was closed) can be told from one that works.

use std::time::{Duration, Instant};

use crate::log::lease::WORKER;
use crate::log::{Locks, LogError, NamedLock};

/// How often a process says that it is at work.
const BEAT: Duration = Duration::from_secs(1);
/// The shortest silence after which another process counts as suspended.
pub const SILENCE_MIN: Duration = Duration::from_secs(3);
/// Files of locks that nobody holds are removed after this time.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// What one process knows of itself and the others.
pub trait Presence {
    /// The name of this process.
    fn name(&self) -> &str;

    /// Says that this process is at work; cheap.
    fn beat(&mut self);

    /// Why a process of this name does not work, if it does not.
    fn absent(&self, worker: &str) -> Option<Absence>;
}

/// Why a process does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// It has ended. What it was doing is nobody's.
    Ended,
    /// It lives, but was not heard of for so long: it is suspended. Whoever has nothing else to do
    /// may take over what it was doing.
    Silent(Duration),
}

/// A process in a store on this machine.
#[derive(Debug)]
pub struct Local {
    locks: Locks,
    lock: NamedLock,
    last: Instant,
    silence: Duration,
}

impl Local {
    /// A new name, and its lock. Others count as suspended after `silence`.
    ///
    /// # Errors
    /// [`LogError`] if the lock cannot be taken, or the system has no random numbers.
    pub fn new(locks: Locks, silence: Duration) -> Result<Self, LogError> {
        locks.forget(WORKER, FORGOTTEN);
        let lock = locks.named(&format!("{WORKER}{}", crate::log::random_name()?))?;
        Ok(Self { locks, lock, last: Instant::now(), silence })
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.locks.forget_own(&self.lock);
    }
}

impl Presence for Local {
    fn name(&self) -> &str {
        self.lock.name()
    }

    fn beat(&mut self) {
        if self.last.elapsed() >= BEAT {
            self.last = Instant::now();
            self.lock.touch();
        }
    }

    fn absent(&self, worker: &str) -> Option<Absence> {
        // Older logs name nobody; then only one process carried on a search at a time.
        if !worker.starts_with(WORKER) {
            return Some(Absence::Ended);
        }
        match self.locks.holder(worker) {
            Ok(None) => Some(Absence::Ended),
            // Who cannot be asked is not declared dead.
            Err(_) => None,
            Ok(Some(_)) => {
                let quiet = self.locks.touched(worker)?.elapsed().ok()?;
                (quiet > self.silence).then_some(Absence::Silent(quiet))
            }
        }
    }
}

/// Processes in memory, for tests: those whose names are in the list live.
#[cfg(test)]
#[derive(Debug, Clone)]
pub(super) struct Alive {
    name: String,
    living: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

#[cfg(test)]
impl Alive {
    /// One among those that `living` names.
    pub(super) fn among(living: &std::sync::Arc<std::sync::Mutex<Vec<String>>>) -> Self {
        let living = std::sync::Arc::clone(living);
        let name = crate::log::random_name().unwrap();
        living.lock().unwrap().push(name.clone());
        Self { name, living }
    }
}

#[cfg(test)]
impl Drop for Alive {
    fn drop(&mut self) {
        self.living.lock().unwrap().retain(|name| *name != self.name);
    }
}

#[cfg(test)]
impl Presence for Alive {
    fn name(&self) -> &str {
        &self.name
    }

    fn beat(&mut self) {}

    fn absent(&self, worker: &str) -> Option<Absence> {
        let lives = self.living.lock().unwrap().iter().any(|name| name == worker);
        (!lives).then_some(Absence::Ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_present_until_it_ends_and_silent_if_it_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let new = |silence| {
            let locks = Locks::new(folder.path(), "qtrail test", Duration::ZERO);
            Local::new(locks, silence).unwrap()
        };
        let (mut one, other) = (new(Duration::from_secs(9)), new(Duration::ZERO));
        assert_ne!(one.name(), other.name());
        assert_eq!(one.absent(other.name()), None);
        let Some(Absence::Silent(_)) = other.absent(one.name()) else { panic!("heard of") };
        one.lock.touch();
        one.beat();
        let name = other.name().to_owned();
        drop(other);
        assert_eq!(one.absent(&name), Some(Absence::Ended));
        assert_eq!(one.absent("worker-never"), Some(Absence::Ended));
        assert_eq!(one.absent(""), Some(Absence::Ended));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the age of a file")]
    fn locks_of_processes_that_were_killed_are_removed_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("worker-old");
        std::fs::write(&old, "1\nqtrail\n").unwrap();
        let new = || {
            let locks = Locks::new(folder.path(), "qtrail test", Duration::ZERO);
            Local::new(locks, Duration::from_secs(9)).unwrap()
        };
        drop(new());
        assert!(crate::paths::is_there(&old).unwrap(), "a process may just be about to lock it");
        let file = std::fs::File::options().write(true).open(&old).unwrap();
        file.set_modified(std::time::SystemTime::now() - 2 * FORGOTTEN).unwrap();
        drop(new());
        assert!(!crate::paths::is_there(&old).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
