//! When another machine is made for a user who wants some kept warm, and when no more.

use ringfence_protocol::time::UnixMillis;

use super::lifecycle::FailureCode;
use super::restart::{self, Restart};

/// What became of the machine that was made last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// None was made since the user last asked, or its row is not kept any more.
    Unknown,
    /// It is being made.
    OnItsWay,
    /// It got ready: a workspace may have taken it.
    Ready,
    /// It has ended, or is about to.
    Ended {
        /// Why.
        code: FailureCode,
        /// When it was asked for.
        created_at: UnixMillis,
        /// When its end began, or was over.
        ended_at: UnixMillis,
    },
}

/// What follows where there are too few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// One is made.
    Make {
        /// After so many in a row that have failed.
        failures: u32,
    },
    /// Not while the one is on its way that shows whether it goes better now.
    Patience,
    /// One is made later: the last one has failed.
    Later {
        /// When.
        due: UnixMillis,
        /// Which in a row that is.
        count: u32,
        /// Why the last one failed.
        code: FailureCode,
    },
    /// None any more: too many in a row have failed.
    GivenUp {
        /// Why the last one failed.
        code: FailureCode,
    },
}

/// What follows, after so many in a row that have failed.
pub fn next(last: Last, failures: u32, now: UnixMillis) -> Next {
    match last {
        Last::Unknown | Last::Ready => Next::Make { failures: 0 },
        Last::OnItsWay if failures > 0 => Next::Patience,
        Last::OnItsWay => Next::Make { failures: 0 },
        Last::Ended { code, created_at, ended_at } => {
            match restart::after(code, failures, ended_at.since(created_at), ended_at) {
                Restart::Never => Next::Make { failures: 0 },
                Restart::At { due, count } if due > now => Next::Later { due, count, code },
                Restart::At { count, .. } => Next::Make { failures: count },
                Restart::GivenUp => Next::GivenUp { code },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::restart::MAX_RESTARTS;

    const NOW: UnixMillis = UnixMillis::from_secs(1_800_000_000);

    fn ended(code: FailureCode, ago_secs: u64) -> Last {
        let ended_at = NOW - Duration::from_secs(ago_secs);
        Last::Ended { code, created_at: ended_at - Duration::from_secs(600), ended_at }
    }

    #[test]
    fn a_failure_is_waited_for_and_counted_and_the_fifth_in_a_row_is_the_last() {
        let failed = |ago| ended(FailureCode::BootTimeout, ago);
        let due = NOW + Duration::from_secs(20);
        assert_eq!(next(failed(10), 0, NOW), Next::Later { due, count: 1, code: FailureCode::BootTimeout });
        assert_eq!(next(failed(30), 0, NOW), Next::Make { failures: 1 });
        assert_eq!(next(failed(4000), MAX_RESTARTS - 1, NOW), Next::Make { failures: MAX_RESTARTS });
        assert_eq!(next(failed(4000), MAX_RESTARTS, NOW), Next::GivenUp { code: FailureCode::BootTimeout });
    }

    #[test]
    fn after_a_failure_one_at_a_time_shows_whether_it_goes_better() {
        assert_eq!(next(Last::OnItsWay, 1, NOW), Next::Patience);
        assert_eq!(next(Last::OnItsWay, 0, NOW), Next::Make { failures: 0 });
        assert_eq!(next(Last::Ready, 4, NOW), Next::Make { failures: 0 });
    }

    #[test]
    fn an_end_that_somebody_wanted_is_no_failure() {
        for code in restart::WANTED {
            assert_eq!(next(ended(code, 0), 3, NOW), Next::Make { failures: 0 }, "{code:?}");
        }
    }
}
