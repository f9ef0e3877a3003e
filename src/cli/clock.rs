//! The only place that reads the clock.

/// Milliseconds since 1970 UTC.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// A recorded time for people: UTC, to the millisecond.
#[must_use]
pub fn utc(milliseconds: i64) -> String {
    match chrono::DateTime::from_timestamp_millis(milliseconds) {
        Some(time) => time.format("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        None => milliseconds.to_string(),
    }
}
