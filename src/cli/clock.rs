//! The only place that reads the clock.

/// Milliseconds since 1970 UTC.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
