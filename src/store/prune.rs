//! Deleting what has had its time. Each statement takes a bounded number of rows: the next run goes on from there.

use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;

use crate::ports::{Statement, Value};

/// Until when things of each kind count as over.
#[derive(Debug, Clone, Copy)]
pub struct Cuts {
    /// Links and tokens that ended before.
    pub expired: UnixMillis,
    /// Idempotency keys older than that.
    pub keys: UnixMillis,
    /// Gone nodes and workspaces since before.
    pub gone: UnixMillis,
    /// Events older than that.
    pub events: UnixMillis,
}

/// How many rows of each kind are over, up to the limit of one run.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct OverRow {
    /// Sign-in links.
    pub sign_in_links: u64,
    /// Sessions.
    pub sessions: u64,
    /// API tokens.
    pub api_tokens: u64,
    /// Bootstrap tokens.
    pub bootstrap_tokens: u64,
    /// Idempotency keys.
    pub idempotency_keys: u64,
    /// Revocations that reached every node.
    pub revocations: u64,
    /// Events.
    pub events: u64,
    /// Workspaces.
    pub workspaces: u64,
    /// Nodes.
    pub nodes: u64,
}

/// Rows that one run takes of a table, at most.
pub const ROWS: i64 = 200;
/// Nodes that one run takes with all that hangs on them.
pub const NODES: i64 = 10;

/// Counts what would be deleted.
pub fn count(cuts: &Cuts) -> Statement {
    Statement::new(
        "SELECT
           (SELECT COUNT(*) FROM (SELECT 1 FROM sign_in_links WHERE expires_at_ms < ?1 LIMIT 200)) AS sign_in_links,
           (SELECT COUNT(*) FROM (SELECT 1 FROM sessions WHERE expires_at_ms < ?1 LIMIT 200)) AS sessions,
           (SELECT COUNT(*) FROM (SELECT 1 FROM api_tokens WHERE expires_at_ms < ?1 LIMIT 200)) AS api_tokens,
           (SELECT COUNT(*) FROM (SELECT 1 FROM bootstrap_tokens WHERE expires_at_ms < ?1 LIMIT 200)) AS bootstrap_tokens,
           (SELECT COUNT(*) FROM (SELECT 1 FROM idempotency_keys WHERE created_at_ms < ?2 LIMIT 200)) AS idempotency_keys,
           (SELECT COUNT(*) FROM (SELECT 1 FROM revocations
             WHERE created_at_ms < ?3 AND fanned_out_at_ms IS NOT NULL LIMIT 200)) AS revocations,
           (SELECT COUNT(*) FROM (SELECT at_ms FROM events ORDER BY id LIMIT 200) WHERE at_ms < ?4) AS events,
           (SELECT COUNT(*) FROM (SELECT 1 FROM workspaces WHERE state = 'gone' AND state_since_ms < ?3 LIMIT 200)) AS workspaces,
           (SELECT COUNT(*) FROM (SELECT 1 FROM nodes WHERE state = 'gone' AND state_since_ms < ?3 LIMIT 10)) AS nodes",
        [cuts.expired.into(), cuts.keys.into(), cuts.gone.into(), cuts.events.into()],
    )
}

/// Links and tokens that have ended, keys that are not honoured any more, revocations that have reached everything, old events.
pub fn expired(cuts: &Cuts) -> Vec<Statement> {
    let over = |sql, cut: UnixMillis| Statement::new(sql, [cut.into(), Value::Int(ROWS)]);
    vec![
        over(
            "DELETE FROM sign_in_links WHERE id IN (SELECT id FROM sign_in_links WHERE expires_at_ms < ?1 LIMIT ?2)",
            cuts.expired,
        ),
        over(
            "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at_ms < ?1 LIMIT ?2)",
            cuts.expired,
        ),
        over(
            "DELETE FROM api_tokens WHERE id IN (SELECT id FROM api_tokens WHERE expires_at_ms < ?1 LIMIT ?2)",
            cuts.expired,
        ),
        over(
            "DELETE FROM bootstrap_tokens WHERE jti IN (SELECT jti FROM bootstrap_tokens WHERE expires_at_ms < ?1 LIMIT ?2)",
            cuts.expired,
        ),
        over(
            "DELETE FROM idempotency_keys WHERE (user_id, key) IN (
               SELECT user_id, key FROM idempotency_keys WHERE created_at_ms < ?1 LIMIT ?2)",
            cuts.keys,
        ),
        over(
            "DELETE FROM revocations WHERE grant_id IN (
               SELECT grant_id FROM revocations WHERE created_at_ms < ?1 AND fanned_out_at_ms IS NOT NULL LIMIT ?2)",
            cuts.gone,
        ),
        // Ids grow with time: the oldest events are the first.
        over(
            "DELETE FROM events WHERE id IN (
               SELECT id FROM (SELECT id, at_ms FROM events ORDER BY id LIMIT ?2) WHERE at_ms < ?1)",
            cuts.events,
        ),
    ]
}

/// Workspaces that have been gone for long, and nodes with all that hangs on them. The same nodes in each statement: they
/// are chosen by the same order.
pub fn gone(cuts: &Cuts) -> Vec<Statement> {
    let of_nodes = |sql| Statement::new(sql, [cuts.gone.into(), Value::Int(NODES)]);
    vec![
        Statement::new(
            "DELETE FROM workspaces WHERE id IN (
               SELECT id FROM workspaces WHERE state = 'gone' AND state_since_ms < ?1 ORDER BY state_since_ms, id LIMIT ?2)",
            [cuts.gone.into(), Value::Int(ROWS)],
        ),
        of_nodes(
            "DELETE FROM events WHERE node_id IN (
               SELECT id FROM nodes WHERE state = 'gone' AND state_since_ms < ?1 ORDER BY state_since_ms, id LIMIT ?2)",
        ),
        of_nodes(
            "DELETE FROM bootstrap_tokens WHERE node_id IN (
               SELECT id FROM nodes WHERE state = 'gone' AND state_since_ms < ?1 ORDER BY state_since_ms, id LIMIT ?2)",
        ),
        // Failed with their node: their owner did not delete them.
        of_nodes(
            "DELETE FROM workspaces WHERE node_id IN (
               SELECT id FROM nodes WHERE state = 'gone' AND state_since_ms < ?1 ORDER BY state_since_ms, id LIMIT ?2)",
        ),
        of_nodes(
            "DELETE FROM nodes WHERE id IN (
               SELECT id FROM nodes WHERE state = 'gone' AND state_since_ms < ?1 ORDER BY state_since_ms, id LIMIT ?2)",
        ),
    ]
}
