//! Time. Durations come from the monotonic clock; instants are the control plane's, because the machine's own clock may be wrong.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringfence_protocol::time::UnixMillis;

/// The machine's own clock: only to say when something was, never to decide.
#[expect(clippy::disallowed_methods, reason = "this is the module that owns the clock")]
pub fn machine_now() -> UnixMillis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis::new(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// What the control plane's clock showed at a monotonic instant, and so what it shows at any other.
#[derive(Debug, Clone, Copy)]
pub struct ControlClock {
    shown: UnixMillis,
    at: Instant,
}

impl ControlClock {
    /// The control plane's clock showed `shown` at `at`.
    pub fn new(shown: UnixMillis, at: Instant) -> Self {
        Self { shown, at }
    }

    /// What it shows at `at`.
    pub fn at(&self, at: Instant) -> UnixMillis {
        match at.checked_duration_since(self.at) {
            Some(later) => self.shown + later,
            None => self.shown - self.at.duration_since(at),
        }
    }

    /// How long from `at` until it shows `then`; zero when it has already.
    pub fn until(&self, then: UnixMillis, at: Instant) -> Duration {
        then.since(self.at(at))
    }
}
