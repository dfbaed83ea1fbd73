//! How long a workspace waits: for use while it runs, for its owner once it is stopped. What may be asked, and how far ahead a
//! keep-alive may reach.

use std::time::Duration;

use ringfence_protocol::params::KeepAliveParams;
use ringfence_protocol::time::UnixMillis;

use super::container::{Bound, Refused};

/// The shortest time that can be asked: long enough for a warning to be read by a test, and by nobody else.
pub const MIN_PATIENCE_SECS: u64 = 5;

/// How long one workspace waits. Part of its specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Patience {
    /// Without use for so long, it is stopped.
    pub idle_timeout: Duration,
    /// Stopped for so long, it is deleted.
    pub stop_keep: Duration,
}

/// What an installation lets be asked, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatienceLimits {
    /// The idle timeout.
    pub idle: Bound<u64>,
    /// How long a stopped workspace is kept.
    pub stop_keep: Bound<u64>,
    /// How far ahead a keep-alive may reach.
    pub keep_alive_max: u64,
}

impl Default for PatienceLimits {
    /// Half an hour, at most a day; a day, at most a week; a day.
    fn default() -> Self {
        const DAY: u64 = 24 * 3600;
        Self {
            idle: Bound { default: 30 * 60, max: DAY },
            stop_keep: Bound { default: DAY, max: 7 * DAY },
            keep_alive_max: DAY,
        }
    }
}

impl PatienceLimits {
    /// The patience of a workspace for which this was asked.
    pub fn ask(&self, idle_secs: Option<u64>, stop_keep_secs: Option<u64>) -> Result<Patience, Refused> {
        Ok(Patience {
            idle_timeout: within("idle_timeout_secs", idle_secs, self.idle)?,
            stop_keep: within("stop_keep_secs", stop_keep_secs, self.stop_keep)?,
        })
    }

    /// Until when a workspace is to be kept; `None` takes an earlier wish back.
    pub fn keep_alive(&self, asked: &KeepAliveParams, now: UnixMillis) -> Result<Option<UnixMillis>, Refused> {
        let until = match (asked.until_at, asked.secs) {
            (None, Some(0)) => return Ok(None),
            (None, Some(secs)) => now + Duration::from_secs(secs.min(self.keep_alive_max.saturating_add(1))),
            (Some(until), None) => until,
            (Some(_), Some(_)) | (None, None) => {
                return Err(Refused::Invalid("Give until_at or secs, one of the two.".into()));
            }
        };
        if until <= now {
            return Err(Refused::Invalid("until_at: a time ahead of now.".into()));
        }
        if until > now + Duration::from_secs(self.keep_alive_max) {
            return Err(Refused::Ceiling(format!(
                "A workspace can be kept for at most {} from now; keep it again later.",
                spoken(Duration::from_secs(self.keep_alive_max))
            )));
        }
        Ok(Some(until))
    }
}

fn within(name: &str, asked: Option<u64>, bound: Bound<u64>) -> Result<Duration, Refused> {
    match asked {
        None => Ok(Duration::from_secs(bound.default)),
        Some(secs) if secs < MIN_PATIENCE_SECS => {
            Err(Refused::Invalid(format!("{name}: at least {MIN_PATIENCE_SECS}.")))
        }
        Some(secs) if secs > bound.max => Err(Refused::Ceiling(format!("{name}: at most {}.", bound.max))),
        Some(secs) => Ok(Duration::from_secs(secs)),
    }
}

/// A duration in words: the largest unit that divides it.
pub fn spoken(duration: Duration) -> String {
    let secs = duration.as_secs();
    let (count, unit) = match secs {
        0 => (0, "second"),
        secs if secs % 86_400 == 0 => (secs / 86_400, "day"),
        secs if secs % 3600 == 0 => (secs / 3600, "hour"),
        secs if secs % 60 == 0 => (secs / 60, "minute"),
        secs => (secs, "second"),
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}
