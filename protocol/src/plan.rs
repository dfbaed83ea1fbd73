//! What Cloudflare's free plan carries in a day, and what Ringfence's own things cost of it: figures for estimates, measured by
//! `cargo xtask bench` where they can be, by arithmetic where they cannot.

/// Requests to the Worker; the cron's runs are among them.
pub const REQUESTS: u64 = 100_000;
/// Requests to Durable Objects: calls, alarms, and twenty incoming WebSocket messages as one.
pub const OBJECT_REQUESTS: u64 = 100_000;
/// Rows D1 reads.
pub const ROWS_READ: u64 = 5_000_000;
/// Rows D1 writes; an index entry is a row too.
pub const ROWS_WRITTEN: u64 = 100_000;
/// Incoming WebSocket messages that are billed as one request.
pub const MESSAGES_PER_REQUEST: u64 = 20;

/// Runs of the cron in a day.
pub const CRON_RUNS: u64 = 24 * 60;

/// What something costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Requests to the Worker.
    pub requests: u64,
    /// Requests to Durable Objects.
    pub object_requests: u64,
    /// Rows read.
    pub rows_read: u64,
    /// Rows written.
    pub rows_written: u64,
}

/// A node without workspaces for a day. Its agent tells figures and posture once an hour (48 messages, each of which reads the node
/// and changes its row), and renews its token twice; its object's alarm goes off once for its longest life.
pub const IDLE_NODE_DAY: Cost =
    Cost { requests: 2, object_requests: 48 / MESSAGES_PER_REQUEST + 2, rows_read: 120, rows_written: 48 };

/// A machine's whole life with one workspace: asked for, made, used, deleted. Rounded up from what the bench measures.
pub const MACHINE_LIFE: Cost = Cost { requests: 4, object_requests: 30, rows_read: 600, rows_written: 160 };

/// A run of the cron where nothing is to be done.
pub const CRON_RUN: Cost = Cost { requests: 1, object_requests: 0, rows_read: 30, rows_written: 2 };

/// An event beyond those of machines' lives, or an act in the audit log: a row and its index entries.
pub const RECORD: Cost = Cost { requests: 1, object_requests: 1, rows_read: 10, rows_written: 4 };

/// How many idle nodes the plan carries for a day, the cron's share taken off.
pub fn idle_nodes() -> u64 {
    let left = |all: u64, cron: u64, each: u64| all.saturating_sub(CRON_RUNS * cron) / each.max(1);
    let cost = IDLE_NODE_DAY;
    left(REQUESTS, CRON_RUN.requests, cost.requests)
        .min(left(OBJECT_REQUESTS, CRON_RUN.object_requests, cost.object_requests))
        .min(left(ROWS_READ, CRON_RUN.rows_read, cost.rows_read))
        .min(left(ROWS_WRITTEN, CRON_RUN.rows_written, cost.rows_written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_carries_a_thousand_idle_nodes() {
        assert!(idle_nodes() >= 1000, "{}", idle_nodes());
        const { assert!(IDLE_NODE_DAY.rows_written <= 50) };
        const { assert!(IDLE_NODE_DAY.requests + IDLE_NODE_DAY.object_requests <= 50) };
    }
}
