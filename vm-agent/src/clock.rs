//! Time. Durations come from the monotonic clock; instants are the control plane's, because the machine's own clock may be wrong.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringfence_protocol::time::UnixMillis;
use rustix::time::{ClockId, clock_gettime};

/// The machine's own clock: only to say when something was, never to decide.
#[expect(clippy::disallowed_methods, reason = "this is the module that owns the clock")]
pub fn machine_now() -> UnixMillis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis::new(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// Time since the machine's boot, suspension included.
pub fn uptime() -> Duration {
    read(ClockId::Boottime)
}

/// For how long the machine was suspended since its boot: the monotonic clock, and so every [`Instant`], stands still meanwhile.
fn suspended() -> Duration {
    uptime().saturating_sub(read(ClockId::Monotonic))
}

fn read(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The two clocks are read one after the other: what they differ by less is no suspension.
const SUSPENSION_FLOOR: Duration = Duration::from_secs(1);

/// What the control plane's clock showed at a monotonic instant, and so what it shows at any other since the machine was last
/// suspended.
#[derive(Debug, Clone, Copy)]
pub struct ControlClock {
    shown: UnixMillis,
    at: Instant,
    /// For how long the machine had been suspended by then.
    suspended: Duration,
}

impl ControlClock {
    /// The control plane's clock showed `shown` at `at`, just now.
    pub fn new(shown: UnixMillis, at: Instant) -> Self {
        Self { shown, at, suspended: suspended() }
    }

    /// What it shows at `at`.
    pub fn at(&self, at: Instant) -> UnixMillis {
        self.at_after(at, suspended())
    }

    /// The same on a machine that has been suspended for so long since its boot.
    fn at_after(&self, at: Instant, suspended: Duration) -> UnixMillis {
        let asleep = suspended.saturating_sub(self.suspended);
        let shown = if asleep < SUSPENSION_FLOOR { self.shown } else { self.shown + asleep };
        match at.checked_duration_since(self.at) {
            Some(later) => shown + later,
            None => shown - self.at.duration_since(at),
        }
    }

    /// How long from `at` until it shows `then`; zero when it has already.
    pub fn until(&self, then: UnixMillis, at: Instant) -> Duration {
        then.since(self.at(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_after_a_suspension_is_told_as_fresh_as_it_is() {
        let (start, before) = (Instant::now(), Duration::from_secs(50));
        let clock = ControlClock { shown: UnixMillis::from_secs(1_000), at: start, suspended: before };
        let sign = start + Duration::from_secs(10);
        assert_eq!(clock.at_after(sign, before), UnixMillis::from_secs(1_010), "an earlier one is in it");
        let overnight = before + Duration::from_secs(8 * 3600);
        assert_eq!(clock.at_after(sign, overnight), UnixMillis::from_secs(1_010 + 8 * 3600));
        for noise in [before - Duration::from_micros(3), before + Duration::from_micros(3)] {
            assert_eq!(clock.at_after(sign, noise), UnixMillis::from_secs(1_010));
        }
    }

    #[test]
    fn without_a_suspension_it_goes_as_the_monotonic_clock_does() {
        let start = Instant::now();
        let clock = ControlClock::new(UnixMillis::from_secs(1_000), start);
        let later = start + Duration::from_secs(100_000);
        assert_eq!(clock.at(later), UnixMillis::from_secs(101_000));
        assert_eq!(clock.until(UnixMillis::from_secs(101_005), later), Duration::from_secs(5));
    }
}
