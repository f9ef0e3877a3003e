//! What queries may not do, and how long they may take.
//!
//! Whatever the SQL says: SQLite is asked to refuse, statement by statement and action by action.
//! Nothing here looks at the text.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, InterruptHandle};

use super::{Answer, ViewError};

/// Steps of SQLite's machine between two looks at the clock. A step may work on a value of
/// [`VALUE_MAX`] bytes, which takes up to a millisecond.
const STEPS: i32 = 1_000;
/// How long statements may take unless told otherwise.
const TIME: Duration = Duration::from_secs(60);
/// Largest value in bytes that a query may make; the largest in the tables are a configuration's.
/// What some functions take grows with its square (`instr`, `replace`, `trim`).
pub(super) const VALUE_MAX: i32 = 1_000_000;
/// Longest pattern of `LIKE` and `GLOB`: time grows with the product of pattern and text.
const PATTERN_MAX: i32 = 500;
/// Between two looks of the watchdog.
const LOOK: Duration = Duration::from_millis(50);
/// How long after its time a statement may take to stop: SQLite stops between two steps, never
/// within a function.
const GRACE: Duration = Duration::from_secs(2);
/// Most memory in bytes for SQLite as a whole.
const MEMORY_MAX: i64 = 512 << 20;

/// From now on nothing can be changed through this connection, and values, memory and time are
/// limited.
pub(super) fn make_read_only(connection: &mut Connection) -> Result<Meter, ViewError> {
    connection.pragma_update(None, "hard_heap_limit", MEMORY_MAX)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_MAX)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_MAX)?;
    forbid_writing(connection)?;
    let meter = Meter::new(connection.get_interrupt_handle())?;
    let times = Arc::clone(&meter.times);
    connection.progress_handler(STEPS, Some(move || times.over().is_some()))?;
    Ok(meter)
}

impl Answer {
    /// Names what ends this process if a statement cannot be stopped: one call of a function may
    /// take longer than anybody waits. It is given the limit.
    pub fn when_stuck(&self, end: impl FnOnce(Duration) + Send + 'static) {
        if let Ok(mut stuck) = self.meter.stuck.lock() {
            *stuck = Some(Box::new(end));
        }
    }
}

/// From now on nothing can be changed through this connection.
pub(super) fn forbid_writing(connection: &mut Connection) -> Result<(), ViewError> {
    connection.pragma_update(None, "query_only", true)?;
    connection.authorizer(Some(|context: AuthContext<'_>| match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => {
            Authorization::Allow
        }
        AuthAction::Function { function_name } => {
            match function_name.to_ascii_lowercase().as_str() {
                "load_extension" | "fts3_tokenizer" | "writefile" | "readfile" | "edit" => {
                    Authorization::Deny
                }
                _ => Authorization::Allow,
            }
        }
        _ => Authorization::Deny,
    }))?;
    Ok(())
}

/// Takes [`forbid_writing`] back, for what the program itself has to make.
pub(super) fn make_writable(connection: &mut Connection) -> Result<(), ViewError> {
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
    connection.pragma_update(None, "query_only", false)?;
    Ok(())
}

/// Time that statements have taken, without the time in which their rows waited for a reader: a
/// pager may be open for hours.
pub(super) struct Meter {
    times: Arc<Times>,
    stuck: Stuck,
    /// Dropped, it ends the watchdog.
    _alive: Sender<()>,
}

type Stuck = Arc<Mutex<Option<Box<dyn FnOnce(Duration) + Send>>>>;

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").field("times", &self.times).finish_non_exhaustive()
    }
}

/// In nanoseconds.
#[derive(Debug)]
struct Times {
    origin: Instant,
    /// When SQLite was called, since `origin`; [`Times::IDLE`] while it is not.
    called: AtomicU64,
    /// What the calls before have taken.
    spent: AtomicU64,
    most: AtomicU64,
}

impl Meter {
    fn new(interrupt: InterruptHandle) -> Result<Self, ViewError> {
        let times = Arc::new(Times {
            origin: Instant::now(),
            called: AtomicU64::new(Times::IDLE),
            spent: AtomicU64::new(0),
            most: AtomicU64::new(nanoseconds(TIME)),
        });
        let stuck = Stuck::default();
        let (alive, ended) = channel();
        let (seen, end) = (Arc::clone(&times), Arc::clone(&stuck));
        let watch = move || {
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let Some(over) = seen.over() else { continue };
                interrupt.interrupt();
                let end = end.lock().ok().filter(|_| over > GRACE).and_then(|mut end| end.take());
                if let Some(end) = end {
                    end(seen.limit());
                }
            }
        };
        thread::Builder::new().spawn(watch).map_err(ViewError::thread)?;
        Ok(Self { times, stuck, _alive: alive })
    }

    /// Measures a call of SQLite.
    pub(super) fn measure<T>(&self, call: impl FnOnce() -> T) -> T {
        let times = &self.times;
        let called = nanoseconds(times.origin.elapsed());
        times.called.store(called, Ordering::Relaxed);
        let result = call();
        let took = nanoseconds(times.origin.elapsed()) - called;
        times.called.store(Times::IDLE, Ordering::Relaxed);
        times.spent.fetch_add(took, Ordering::Relaxed);
        result
    }

    /// From now on lets statements take so long; `None`: as long as they like.
    pub(super) fn set_limit(&self, most: Option<Duration>) {
        self.times.most.store(most.map_or(u64::MAX, nanoseconds), Ordering::Relaxed);
    }

    /// How long statements may take.
    pub(super) fn limit(&self) -> Duration {
        self.times.limit()
    }
}

impl Times {
    const IDLE: u64 = u64::MAX;

    fn limit(&self) -> Duration {
        Duration::from_nanos(self.most.load(Ordering::Relaxed))
    }

    /// By how much the running call is over its time. `None`: it is not, or none is running.
    fn over(&self) -> Option<Duration> {
        let called = self.called.load(Ordering::Relaxed);
        if called == Self::IDLE {
            return None;
        }
        let call = nanoseconds(self.origin.elapsed()).saturating_sub(called);
        let spent = self.spent.load(Ordering::Relaxed).saturating_add(call);
        spent.checked_sub(self.most.load(Ordering::Relaxed)).map(Duration::from_nanos)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
