//! The one place that reads the wall clock, and how an instant looks in an answer.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in unix milliseconds.
#[allow(clippy::disallowed_methods)] // this module owns the clock
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Hetzner shows instants as RFC 3339 in UTC, to the second.
pub(crate) fn rfc3339(at_ms: i64) -> String {
    jiff::Timestamp::from_second(at_ms.div_euclid(1000)).unwrap_or_default().to_string()
}
