//! When a user's dedicated node that has failed is made anew, and when no more.

use std::time::Duration;

use ringfence_protocol::time::UnixMillis;

use super::lifecycle::FailureCode;

/// How often in a row.
pub const MAX_RESTARTS: u32 = 5;
/// The pause before the first one; each further one is four times as long.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// A node that has lived so long has shown that it can: what fails afterwards is counted anew.
const PROVEN: Duration = Duration::from_secs(24 * 3600);

/// How long one that a limit does not let in is tried: its own predecessor counts until its provider has confirmed its end.
pub const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Ends that somebody wanted: nothing is made in place of what has ended so.
pub const WANTED: [FailureCode; 7] = [
    FailureCode::Deleted,
    FailureCode::Forgotten,
    FailureCode::Idle,
    FailureCode::LifetimeOver,
    FailureCode::Drained,
    FailureCode::WorkspaceGone,
    FailureCode::BudgetSpent,
];

/// What follows from the end of a dedicated node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Nothing: its end was wanted.
    Never,
    /// Nothing more: it has failed too often in a row.
    GivenUp,
    /// A new one.
    At {
        /// When.
        due: UnixMillis,
        /// Which in a row it is, from 1.
        count: u32,
    },
}

/// What follows from the end of a dedicated node that was itself the `count`th restart in a row, after it had `lived`.
pub fn after(code: FailureCode, count: u32, lived: Duration, ended_at: UnixMillis) -> Restart {
    if WANTED.contains(&code) {
        return Restart::Never;
    }
    let before = if lived >= PROVEN { 0 } else { count };
    if before >= MAX_RESTARTS {
        return Restart::GivenUp;
    }
    let pause = FIRST_PAUSE.saturating_mul(4_u32.saturating_pow(before)).min(LONGEST_PAUSE);
    Restart::At { due: ended_at + pause, count: before + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::from_secs(1_800_000_000);

    fn pause(count: u32, lived: Duration) -> Option<(u64, u32)> {
        match after(FailureCode::BootTimeout, count, lived, NOW) {
            Restart::At { due, count } => Some((due.since(NOW).as_secs(), count)),
            Restart::Never | Restart::GivenUp => None,
        }
    }

    #[test]
    fn pauses_grow_and_it_ends_after_five_in_a_row() {
        let short = Duration::from_secs(60);
        let pauses: Vec<_> = (0..6).map(|count| pause(count, short)).collect();
        assert_eq!(pauses[..3], [Some((30, 1)), Some((120, 2)), Some((480, 3))]);
        assert_eq!(pauses[3..], [Some((1920, 4)), Some((3600, 5)), None]);
        assert_eq!(after(FailureCode::BootTimeout, 5, short, NOW), Restart::GivenUp);
    }

    #[test]
    fn one_that_lived_for_a_day_begins_anew() {
        assert_eq!(pause(5, PROVEN), Some((30, 1)));
    }

    #[test]
    fn what_was_wanted_is_never_undone() {
        for code in WANTED {
            assert_eq!(after(code, 0, Duration::ZERO, NOW), Restart::Never);
        }
        assert!(matches!(after(FailureCode::FirewallLost, 0, Duration::ZERO, NOW), Restart::At { .. }));
    }
}
