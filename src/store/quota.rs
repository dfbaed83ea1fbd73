//! What there is to estimate a day's use of the platform from.

use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;

use crate::ports::Statement;

/// Newest rows of a log that are looked at, at most: beyond, a day counts as that many.
pub const MOST_RECORDS: i64 = 20_000;

/// What has happened since an instant.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct DayRow {
    /// Seconds that nodes have lived, all together.
    pub node_secs: u64,
    /// Nodes asked for.
    pub nodes_created: u64,
    /// Events recorded.
    pub events: u64,
    /// Acts in the audit log.
    pub acts: u64,
    /// Seconds in which somebody may have worked in a terminal, at most: of workspaces that run, from their start to the last use of one.
    pub terminal_secs: u64,
    /// Accounts that the cron looks at; more than ten make no difference.
    pub accounts: u64,
}

/// What has happened since `since`. D1 binds every number as a real one: what is divided is made whole first.
pub fn day(since: UnixMillis, now: UnixMillis) -> Statement {
    Statement::new(
        "SELECT
           (SELECT COALESCE(SUM(CAST(?2 AS INTEGER) - MAX(n.created_at_ms, CAST(?1 AS INTEGER))), 0) / 1000 FROM nodes n WHERE n.state <> 'gone')
             + (SELECT COALESCE(SUM(n.state_since_ms - MAX(n.created_at_ms, CAST(?1 AS INTEGER))), 0) / 1000
                FROM nodes n WHERE n.state = 'gone' AND n.state_since_ms > CAST(?1 AS INTEGER)) AS node_secs,
           (SELECT COUNT(*) FROM nodes n WHERE n.state <> 'gone' AND n.created_at_ms >= ?1)
             + (SELECT COUNT(*) FROM nodes n WHERE n.state = 'gone' AND n.state_since_ms > ?1 AND n.created_at_ms >= ?1) AS nodes_created,
           (SELECT COUNT(*) FROM (SELECT e.at_ms FROM events e ORDER BY e.id DESC LIMIT ?3) WHERE at_ms >= ?1) AS events,
           (SELECT COUNT(*) FROM (SELECT a.at_ms FROM audit a ORDER BY a.id DESC LIMIT ?3) WHERE at_ms >= ?1) AS acts,
           (SELECT COALESCE(SUM(MAX(0, MIN(w.active_until_ms, CAST(?2 AS INTEGER)) - MAX(w.state_since_ms, CAST(?1 AS INTEGER)))), 0) / 1000 FROM workspaces w
              WHERE w.state <> 'gone' AND w.state = 'running' AND w.active_cause IN ('terminal_input', 'terminal_output')
                AND w.active_until_ms > ?1) AS terminal_secs,
           (SELECT COUNT(*) FROM (SELECT 1 FROM provider_credentials WHERE deleted_at_ms IS NULL LIMIT 10)) AS accounts",
        [since.into(), now.into(), MOST_RECORDS.into()],
    )
}
