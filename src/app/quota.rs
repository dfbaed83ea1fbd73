//! What a day has used of the platform's free plan: estimated from rows that are there anyway, since a counter for each request
//! would itself be a write for each request.

use ringfence_protocol::limits::{QuotaItem, QuotaView};
use ringfence_protocol::plan::{self, Cost};
use ringfence_protocol::state::QuotaKind;
use ringfence_protocol::time::UnixMillis;

use super::caller::Caller;
use crate::error::Result;
use crate::ports::Platform;
use crate::store::one;
use crate::store::quota::{self, DayRow};

const DAY_MILLIS: i64 = 24 * 3_600_000;
const DAY_SECS: u64 = 24 * 3600;
/// Events that a machine's life records by itself: they are in its cost.
const EVENTS_OF_A_LIFE: u64 = 24;

const HOW: &str = "Estimated from rows: the time nodes have lived today, the machines that were asked for, events and acts that were recorded, and \
the cron's runs, each times what is measured for one; for the objects' time also terminals, as if somebody had worked without a pause from a \
workspace's start to its last use. Not in it: what pages and programs only read (an open tab asks twice a minute), and keystrokes in \
terminals (twenty messages are a request). The exact figures are in the platform's dashboard.";

/// Today, in UTC.
pub async fn quota(p: &impl Platform, caller: &Caller) -> Result<QuotaView> {
    caller.require_admin()?;
    let now = p.now();
    let since = UnixMillis::new(now.get() - now.get() % DAY_MILLIS);
    let day: DayRow = one(p, quota::day(since, now)).await?.unwrap_or_default();
    let items = estimate(&day, now.since(since).as_secs() / 60)
        .into_iter()
        .map(|(quota, limit, estimate)| QuotaItem { quota, limit, estimate })
        .collect();
    Ok(QuotaView { since_at: since, items, how: HOW.into(), idle_nodes_carried: plan::idle_nodes() })
}

fn estimate(day: &DayRow, minutes: u64) -> [(QuotaKind, u64, u64); 6] {
    let records = day.events.saturating_sub(day.nodes_created * EVENTS_OF_A_LIFE) + day.acts;
    let all = |of: fn(&Cost) -> u64| {
        day.node_secs * of(&plan::IDLE_NODE_DAY) / DAY_SECS
            + day.nodes_created * of(&plan::MACHINE_LIFE)
            + records * of(&plan::RECORD)
            + minutes * of(&plan::CRON_RUN)
            + plan::account_looks(day.accounts, minutes) * of(&plan::ACCOUNT_LOOK)
            + day.terminal_secs * of(&plan::TERMINAL_SEC)
    };
    [
        (QuotaKind::Requests, plan::REQUESTS, all(|cost| cost.requests)),
        (QuotaKind::ObjectRequests, plan::OBJECT_REQUESTS, all(|cost| cost.billed_object_requests())),
        (QuotaKind::RowsRead, plan::ROWS_READ, all(|cost| cost.rows_read)),
        (QuotaKind::RowsWritten, plan::ROWS_WRITTEN, all(|cost| cost.rows_written)),
        // Of all of it together: each alone is less than one.
        (QuotaKind::ObjectDuration, plan::OBJECT_GB_SECS, all(|cost| cost.object_ms) * plan::OBJECT_MB / 1_000_000),
        (QuotaKind::ObjectRowsWritten, plan::OBJECT_ROWS_WRITTEN, all(|cost| cost.object_rows_written)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_day_is_the_crons() {
        let [(_, _, requests), ..] = estimate(&DayRow::default(), 1440);
        assert_eq!(requests, 1440);
    }

    #[test]
    fn a_thousand_idle_nodes_are_within_the_plan() {
        let day = DayRow { node_secs: 1000 * DAY_SECS, ..DayRow::default() };
        for (quota, limit, estimate) in estimate(&day, 1440) {
            assert!(estimate <= limit, "{quota}: {estimate} of {limit}");
        }
    }

    #[test]
    fn some_28_hours_in_terminals_are_what_the_plan_has_time_for() {
        let day = |hours: u64| DayRow { terminal_secs: hours * 3600, ..DayRow::default() };
        let [.., (quota, limit, less), _] = estimate(&day(28), 0);
        let [.., (_, _, more), _] = estimate(&day(29), 0);
        assert_eq!(quota, QuotaKind::ObjectDuration);
        assert!(less < limit && more > limit, "{less} and {more} of {limit}");
    }

    #[test]
    fn more_is_more() {
        let day = |n| DayRow {
            nodes_created: n,
            events: 30 * n,
            acts: 2 * n,
            node_secs: 60 * n,
            terminal_secs: 60 * n,
            accounts: n,
        };
        let (one, two) = (estimate(&day(1), 1), estimate(&day(2), 2));
        for ((_, _, less), (quota, _, more)) in one.into_iter().zip(two) {
            assert!(more > less, "{quota}");
        }
    }
}
