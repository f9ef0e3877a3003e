//! Points in time as people write them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};

/// Reads a point in time: `2026-11-20`, `2026-11-20T12:00`, with seconds and fractions, a space
/// instead of the `T`, and an offset (`Z`, `+01:00`) unless it is UTC. Milliseconds since 1970 UTC.
/// A time without seconds or fractions means its beginning.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    let text = text.trim().replacen(' ', "T", 1);
    if let Ok(time) = DateTime::parse_from_rfc3339(&text) {
        return Some(time.timestamp_millis());
    }
    if let Ok(time) = DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M%:z") {
        return Some(time.timestamp_millis());
    }
    let plain = text.strip_suffix('Z').unwrap_or(&text);
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
    let time = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(plain, format).ok());
    let time = time.or_else(|| {
        let date = NaiveDate::parse_from_str(plain, "%Y-%m-%d").ok()?;
        Some(date.and_time(NaiveTime::MIN))
    });
    time.map(|time| time.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_utc_unless_they_say_otherwise() {
        let noon = Some(1_795_176_000_000);
        for text in [
            "2026-11-20T12:00",
            "2026-11-20 12:00",
            "2026-11-20T12:00:00",
            "2026-11-20T12:00:00.000Z",
            "2026-11-20T12:00Z",
            "2026-11-20T13:00+01:00",
            "2026-11-20 13:00:00+01:00",
        ] {
            assert_eq!(parse_time(text), noon, "{text}");
        }
        assert_eq!(parse_time("2026-11-20"), noon.map(|noon| noon - 12 * 3_600_000));
        for text in ["", "12", "2026-13-01", "yesterday", "2026-11-20T25:00"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
