//! What queries may not do, and how long they may take.
//!
//! Whatever the SQL says: SQLite is asked to refuse, statement by statement and action by action.
//! Nothing here looks at the text.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;

use super::ViewError;

/// Steps of SQLite's machine between two looks at the clock: some milliseconds.
const STEPS: i32 = 50_000;
/// How long statements may take unless told otherwise.
const TIME: Duration = Duration::from_secs(60);
/// Largest value in bytes that a query may make; the largest in the tables are a configuration's.
pub(super) const VALUE_MAX: i32 = 10_000_000;
/// Longest pattern of `LIKE` and `GLOB`: time grows with a power of the number of its wildcards.
const PATTERN_MAX: i32 = 1_000;
/// Most memory in bytes for SQLite as a whole.
const MEMORY_MAX: i64 = 512 << 20;

/// From now on nothing can be changed through this connection, and values, memory and time are
/// limited.
pub(super) fn make_read_only(connection: &mut Connection) -> Result<Meter, ViewError> {
    connection.pragma_update(None, "hard_heap_limit", MEMORY_MAX)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_MAX)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_MAX)?;
    forbid_writing(connection)?;
    let meter = Meter::new();
    let seen = meter.clone();
    connection.progress_handler(STEPS, Some(move || seen.is_over()))?;
    Ok(meter)
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
#[derive(Debug, Clone)]
pub(super) struct Meter(Arc<Times>);

/// In nanoseconds.
#[derive(Debug)]
struct Times {
    origin: Instant,
    /// When SQLite was last called, since `origin`.
    called: AtomicU64,
    /// What the calls before have taken.
    spent: AtomicU64,
    most: AtomicU64,
}

impl Meter {
    fn new() -> Self {
        let (called, spent) = (AtomicU64::new(0), AtomicU64::new(0));
        let most = AtomicU64::new(nanoseconds(TIME));
        Self(Arc::new(Times { origin: Instant::now(), called, spent, most }))
    }

    /// Measures a call of SQLite.
    pub(super) fn measure<T>(&self, call: impl FnOnce() -> T) -> T {
        let called = nanoseconds(self.0.origin.elapsed());
        self.0.called.store(called, Ordering::Relaxed);
        let result = call();
        let took = nanoseconds(self.0.origin.elapsed()) - called;
        self.0.spent.fetch_add(took, Ordering::Relaxed);
        result
    }

    /// From now on lets statements take so long; `None`: as long as they like.
    pub(super) fn set_limit(&self, most: Option<Duration>) {
        self.0.most.store(most.map_or(u64::MAX, nanoseconds), Ordering::Relaxed);
    }

    /// How long statements may take.
    pub(super) fn limit(&self) -> Duration {
        Duration::from_nanos(self.0.most.load(Ordering::Relaxed))
    }

    fn is_over(&self) -> bool {
        let now = nanoseconds(self.0.origin.elapsed());
        let call = now.saturating_sub(self.0.called.load(Ordering::Relaxed));
        let spent = self.0.spent.load(Ordering::Relaxed);
        spent.saturating_add(call) > self.0.most.load(Ordering::Relaxed)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
