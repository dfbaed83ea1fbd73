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

/// How long Durable Objects may be at work, in GB-seconds.
pub const OBJECT_GB_SECS: u64 = 13_000;
/// Rows of their own storage that Durable Objects write.
pub const OBJECT_ROWS_WRITTEN: u64 = 100_000;
/// What an object is billed as, however much of it is used.
pub const OBJECT_MB: u64 = 128;

/// What something costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Requests to the Worker.
    pub requests: u64,
    /// Requests to Durable Objects: calls and alarms.
    pub object_requests: u64,
    /// Messages to Durable Objects.
    pub messages: u64,
    /// Rows read.
    pub rows_read: u64,
    /// Rows written.
    pub rows_written: u64,
    /// Milliseconds that an object is at work. An object that only waits for messages or its alarm is not.
    pub object_ms: u64,
    /// Rows of an object's own storage that are written.
    pub object_rows_written: u64,
}

impl Cost {
    /// Nothing.
    pub const NONE: Self = Self {
        requests: 0,
        object_requests: 0,
        messages: 0,
        rows_read: 0,
        rows_written: 0,
        object_ms: 0,
        object_rows_written: 0,
    };

    /// So many of this, and that.
    #[must_use]
    pub const fn times(self, many: u64, and: Self) -> Self {
        Self {
            requests: self.requests * many + and.requests,
            object_requests: self.object_requests * many + and.object_requests,
            messages: self.messages * many + and.messages,
            rows_read: self.rows_read * many + and.rows_read,
            rows_written: self.rows_written * many + and.rows_written,
            object_ms: self.object_ms * many + and.object_ms,
            object_rows_written: self.object_rows_written * many + and.object_rows_written,
        }
    }

    /// Billed requests to Durable Objects: twenty messages are one.
    pub const fn billed_object_requests(self) -> u64 {
        self.object_requests + self.messages.div_ceil(MESSAGES_PER_REQUEST)
    }

    /// GB-seconds of objects at work, rounded up.
    pub const fn object_gb_secs(self) -> u64 {
        (self.object_ms * OBJECT_MB).div_ceil(1_000_000)
    }
}

// Rows, calls and messages are held against what workerd says by a test (`e2e::standing`). Milliseconds are not: they are those of a
// database some tens of milliseconds and a provider a second away, generously.

/// The figures of a machine, as its agent tells them: its node's row changes.
pub const FIGURES: Cost = Cost { messages: 1, rows_read: 3, rows_written: 1, object_ms: 100, ..Cost::NONE };
/// Its posture: the node is read, and its row changes.
pub const POSTURE: Cost = Cost { messages: 1, rows_read: 10, rows_written: 1, object_ms: 100, ..Cost::NONE };
/// A sign of use of a workspace, which an agent tells at most once a minute.
pub const USE: Cost = Cost { messages: 1, rows_read: 14, rows_written: 3, object_ms: 200, ..Cost::NONE };
/// An agent's new token.
pub const RENEWAL: Cost = Cost { requests: 1, rows_read: 3, ..Cost::NONE };
/// An alarm that finds nothing to do: a safety alarm, what the node is, the next alarm.
pub const ALARM: Cost =
    Cost { object_requests: 1, rows_read: 24, object_ms: 1_000, object_rows_written: 3, ..Cost::NONE };

/// A node without workspaces for a day. Its agent tells figures every hour and posture every three, and renews its token twice; its
/// object's alarm goes off once for its longest life, and once for an end of its link.
pub const IDLE_NODE_DAY: Cost = FIGURES.times(24, POSTURE.times(8, RENEWAL.times(2, ALARM.times(2, Cost::NONE))));

/// A machine's whole life with one workspace: asked for, made, used, deleted. Rounded up from what the bench measures. One of the
/// requests is the machine's, for its agent: what is not published has to be told from a page, so the Worker answers it.
pub const MACHINE_LIFE: Cost = Cost {
    requests: 5,
    object_requests: 30,
    messages: 60,
    rows_read: 600,
    rows_written: 160,
    object_ms: 30_000,
    object_rows_written: 120,
};

/// A run of the cron where nothing is to be done and no account's turn has come. That its seven sweeps succeeded is written every four
/// minutes; what some of them read seldom (prune, budgets, every ready node once an hour) is spread over the runs.
pub const CRON_RUN: Cost = Cost { requests: 1, rows_read: 20, rows_written: 2, ..Cost::NONE };
/// A look at an account with a few machines, all of them as they should be.
pub const ACCOUNT_LOOK: Cost = Cost { rows_read: 14, rows_written: 4, ..Cost::NONE };
/// How often an account's turn comes, in minutes.
pub const ACCOUNT_TURN_MINUTES: u64 = 5;
/// Accounts that one run of the cron looks at, at most: more have their turn less often.
pub const ACCOUNTS_A_RUN: u64 = 2;

/// Looks at accounts within so many minutes.
pub fn account_looks(accounts: u64, minutes: u64) -> u64 {
    minutes * accounts.min(ACCOUNTS_A_RUN * ACCOUNT_TURN_MINUTES) / ACCOUNT_TURN_MINUTES
}

/// An event beyond those of machines' lives, or an act in the audit log: a row and its index entries.
pub const RECORD: Cost = Cost {
    requests: 1,
    object_requests: 1,
    rows_read: 10,
    rows_written: 4,
    object_ms: 200,
    object_rows_written: 3,
    ..Cost::NONE
};

/// An hour in which somebody works in a terminal: opened once, a sign of use a minute, and as if the object were at work all the while,
/// which is the most it can be. What is typed and put out is not in it: its messages are measured by the bench.
pub const TERMINAL_HOUR: Cost = USE.times(
    60,
    Cost { requests: 2, object_requests: 1, rows_read: 20, rows_written: 3, object_ms: 3_600_000, ..Cost::NONE },
);

/// A second in which somebody works in a terminal: as if the object were at work all the while, which is the most it can be.
pub const TERMINAL_SEC: Cost = Cost { object_ms: 1_000, ..Cost::NONE };

/// How many idle nodes the plan carries for a day, the cron's share taken off, with as many accounts as it can look at.
pub fn idle_nodes() -> u64 {
    let left = |all: u64, cron: u64, each: u64| all.saturating_sub(cron) / each.max(1);
    let cron = CRON_RUN.times(CRON_RUNS, ACCOUNT_LOOK.times(account_looks(u64::MAX, CRON_RUNS), Cost::NONE));
    let cost = IDLE_NODE_DAY;
    left(REQUESTS, cron.requests, cost.requests)
        .min(left(OBJECT_REQUESTS, cron.object_requests, cost.billed_object_requests()))
        .min(left(ROWS_READ, cron.rows_read, cost.rows_read))
        .min(left(ROWS_WRITTEN, cron.rows_written, cost.rows_written))
        .min(left(OBJECT_GB_SECS, 0, cost.object_gb_secs()))
        .min(left(OBJECT_ROWS_WRITTEN, 0, cost.object_rows_written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_carries_a_thousand_idle_nodes() {
        assert!(idle_nodes() >= 1000, "{}", idle_nodes());
        const { assert!(IDLE_NODE_DAY.rows_written <= 50) };
        const { assert!(IDLE_NODE_DAY.requests + IDLE_NODE_DAY.billed_object_requests() <= 50) };
    }
}
