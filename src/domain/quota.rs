//! Limits: which of them a new workspace is held against, and from when the money of a month counts.

use std::collections::BTreeMap;

use ringfence_protocol::state::{Isolation, LimitMeasure, LimitScope};
use ringfence_protocol::time::UnixMillis;

/// Concurrent ephemeral workspaces of a tenant.
pub const TENANT_EPHEMERAL_WORKSPACES: i64 = 100;
/// Concurrent ephemeral workspaces of everybody.
pub const INSTALLATION_EPHEMERAL_WORKSPACES: i64 = 1000;

const DAY_MILLIS: i64 = 24 * 3_600_000;

/// Limits as an installation is configured: what holds where no admin has set another. Money in millionths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured(BTreeMap<(LimitScope, LimitMeasure), i64>);

impl Default for Configured {
    fn default() -> Self {
        let ephemeral = LimitMeasure::EphemeralWorkspaces;
        Self(BTreeMap::from([
            ((LimitScope::Tenant, ephemeral), TENANT_EPHEMERAL_WORKSPACES),
            ((LimitScope::Installation, ephemeral), INSTALLATION_EPHEMERAL_WORKSPACES),
        ]))
    }
}

impl Configured {
    /// The limit, if there is one.
    pub fn get(&self, scope: LimitScope, measure: LimitMeasure) -> Option<i64> {
        self.0.get(&(scope, measure)).copied()
    }

    /// Puts a limit in place of what is there.
    pub fn put(&mut self, scope: LimitScope, measure: LimitMeasure, amount: i64) {
        self.0.insert((scope, measure), amount);
    }
}

/// What a workspace needs that it does not have yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// A place on a node that is there.
    Place,
    /// A node of its own making.
    Node {
        /// How it is shared.
        isolation: Isolation,
        /// What it costs, in millionths.
        price_micros_per_hour: i64,
    },
}

impl Claim {
    /// How much more of a measure there is with it. `None`: it is not held against that.
    ///
    /// A node costs nothing on the day it is asked for; it must not be asked for when the month's budget is spent to the last
    /// millionth, so that counts as one.
    pub const fn more(self, measure: LimitMeasure) -> Option<i64> {
        match (self, measure) {
            (Self::Place, LimitMeasure::Workspaces) => Some(1),
            (
                Self::Place,
                LimitMeasure::Nodes
                | LimitMeasure::EphemeralWorkspaces
                | LimitMeasure::CostPerHour
                | LimitMeasure::CostPerMonth,
            ) => None,
            (Self::Node { .. }, LimitMeasure::Nodes | LimitMeasure::Workspaces | LimitMeasure::CostPerMonth) => Some(1),
            (Self::Node { isolation, .. }, LimitMeasure::EphemeralWorkspaces) => match isolation {
                Isolation::Ephemeral => Some(1),
                Isolation::User | Isolation::Dedicated => None,
            },
            (Self::Node { price_micros_per_hour, .. }, LimitMeasure::CostPerHour) => Some(price_micros_per_hour),
        }
    }
}

/// Whether amounts of a measure are money, in millionths.
pub const fn is_money(measure: LimitMeasure) -> bool {
    match measure {
        LimitMeasure::CostPerHour | LimitMeasure::CostPerMonth => true,
        LimitMeasure::Nodes | LimitMeasure::Workspaces | LimitMeasure::EphemeralWorkspaces => false,
    }
}

/// The first instant of the calendar month of `now`, in UTC. In integers alone: this is asked at every creation.
pub fn month_start(now: UnixMillis) -> UnixMillis {
    let day = now.get() / DAY_MILLIS;
    UnixMillis::new((day - day_of_month(day)) * DAY_MILLIS)
}

/// The day's place in its month, from 0, by the days since 1970-01-01. Counted in eras of 400 years, whose years begin in March
/// so that a leap day is a year's last.
const fn day_of_month(day: i64) -> i64 {
    // 719_468 days from 0000-03-01 to 1970-01-01; 146_097 days in 400 years.
    let of_era = (day + 719_468) % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March on: five of them have 153 days.
    let month = (5 * of_year + 2) / 153;
    of_year - (153 * month + 2) / 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_at_its_first_midnight() {
        for (now, start) in [
            (1_795_334_400_250, 1_793_491_200_000), // 2026-11-22T08:00:00.250Z: 2026-11-01
            (1_793_491_200_000, 1_793_491_200_000), // its first instant
            (1_793_491_199_999, 1_790_812_800_000), // one before: 2026-10-01
            (1_709_251_199_999, 1_706_745_600_000), // the end of 2024-02-29: 2024-02-01
            (1_709_251_200_000, 1_709_251_200_000), // 2024-03-01
            (0, 0),
        ] {
            assert_eq!(month_start(UnixMillis::new(now)), UnixMillis::new(start), "{now}");
        }
    }

    #[test]
    fn every_day_of_a_hundred_years_is_one_after_the_last_or_a_first() {
        for day in 1..36_525 {
            let (before, now) = (day_of_month(day - 1), day_of_month(day));
            assert!(now == before + 1 || (now == 0 && (27..31).contains(&before)), "day {day}");
        }
    }
}
