//! How long workspaces of an installation wait for use, and the longest that can be asked.

use super::InvalidConfig;
use crate::domain::container::Bound;
use crate::domain::patience::{MIN_PATIENCE_SECS, PatienceLimits};

/// Longer is no limit, and the database has no such numbers.
const LONGEST_SECS: u64 = 366 * 24 * 3600;

/// Reads what is set.
pub(super) fn read(
    number: impl Fn(&str) -> Result<Option<u64>, InvalidConfig>,
) -> Result<PatienceLimits, InvalidConfig> {
    let known = PatienceLimits::default();
    let bound = |name: &str, max_name: &str, known: Bound<u64>| {
        let bound =
            Bound { default: number(name)?.unwrap_or(known.default), max: number(max_name)?.unwrap_or(known.max) };
        if bound.default < MIN_PATIENCE_SECS || bound.default > bound.max {
            return Err(InvalidConfig(format!(
                "{name}: from {MIN_PATIENCE_SECS} to {max_name}, which is {}",
                bound.max
            )));
        }
        if bound.max > LONGEST_SECS {
            return Err(InvalidConfig(format!("{max_name}: at most {LONGEST_SECS}, a year")));
        }
        Ok(bound)
    };
    let keep_alive_max = number("RINGFENCE_KEEP_ALIVE_MAX_SECS")?.unwrap_or(known.keep_alive_max);
    if keep_alive_max > LONGEST_SECS {
        return Err(InvalidConfig(format!("RINGFENCE_KEEP_ALIVE_MAX_SECS: at most {LONGEST_SECS}, a year")));
    }
    Ok(PatienceLimits {
        idle: bound("RINGFENCE_WORKSPACE_IDLE_SECS", "RINGFENCE_WORKSPACE_IDLE_MAX_SECS", known.idle)?,
        stop_keep: bound("RINGFENCE_STOP_KEEP_SECS", "RINGFENCE_STOP_KEEP_MAX_SECS", known.stop_keep)?,
        keep_alive_max,
    })
}
