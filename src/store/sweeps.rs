//! What sweeps read and record: overdue nodes, accounts in turn, machines without a row, and when each sweep last ran.

use ringfence_protocol::ids::{CredentialId, NodeId};
use ringfence_protocol::state::NodeState;
use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;

use crate::ports::Statement;

/// A node with something that should have happened.
#[derive(Debug, Clone, Deserialize)]
pub struct OverdueRow {
    /// Which.
    pub id: NodeId,
    /// Where it is in its life.
    pub state: NodeState,
}

/// Nodes whose own deadline, or a workspace's on them, passed before `cut`, and those that were told before it that a budget is spent
/// and would still live for longer than the grace after that; those that were woken longest ago first, so that one whose waking
/// does not help keeps no other waiting.
pub fn overdue(cut: UnixMillis, grace_ms: i64, limit: u32) -> Statement {
    Statement::new(
        "SELECT n.id, n.state FROM nodes n WHERE n.id IN (
           SELECT id FROM nodes WHERE state <> 'gone' AND deadline_at_ms < ?1
           UNION SELECT id FROM nodes WHERE budget_spent_at_ms IS NOT NULL AND budget_spent_at_ms < ?1 AND state <> 'gone'
             AND state IN ('requested', 'provisioning', 'booting', 'ready', 'quarantined')
             AND hard_deadline_at_ms > budget_spent_at_ms + ?2
           UNION SELECT node_id FROM workspaces WHERE state <> 'gone' AND deadline_at_ms IS NOT NULL AND deadline_at_ms < ?1)
         ORDER BY COALESCE(n.woken_at_ms, 0), n.id LIMIT ?3",
        [cut.into(), grace_ms.into(), i64::from(limit).into()],
    )
}

/// Ready nodes of which something follows that no row has a deadline for, and has not: a workspace that is idle or kept for long
/// enough, or whose machine is off since before `off_cut`; and those whose agent seems to be there and has told nothing since
/// `silent_cut`: nobody may have seen that its link has ended. None that was woken since `silent_cut`, so that one whose waking does
/// not help is woken seldom. Reads every ready node.
pub fn unwatched(cut: UnixMillis, off_cut: UnixMillis, silent_cut: UnixMillis, limit: u32) -> Statement {
    Statement::new(
        "SELECT r.id, r.state FROM (
           SELECT n.id, n.state, n.woken_at_ms, n.connected_at_ms IS NOT NULL AS is_linked,
             MAX(COALESCE(n.posture_at_ms, 0), COALESCE(n.facts_at_ms, 0), COALESCE(n.last_hello_at_ms, n.state_since_ms)) AS heard,
             MAX(COALESCE(n.disconnected_at_ms, 0), COALESCE(n.last_hello_at_ms, n.state_since_ms)) AS left
           FROM nodes n INDEXED BY nodes_ready_by_user WHERE n.state = 'ready') r
         WHERE COALESCE(r.woken_at_ms, 0) < ?3 AND (
           (r.is_linked AND r.heard < ?3)
           OR (NOT r.is_linked AND r.left < ?2 AND NOT EXISTS (SELECT 1 FROM node_slots s WHERE s.node_id = r.id))
           OR EXISTS (
             SELECT 1 FROM workspaces w WHERE w.node_id = r.id AND w.state IN ('running', 'stopped')
               AND CASE WHEN w.running = 1 AND NOT r.is_linked THEN r.left < ?2
                 WHEN w.running = 1 THEN w.state = 'running' AND COALESCE(w.keep_alive_until_ms, 0) < ?1
                   AND MAX(w.active_until_ms, w.state_since_ms) + w.idle_timeout_secs * 1000 < ?1
                 ELSE w.state = 'stopped' AND COALESCE(w.keep_alive_until_ms, 0) < ?1
                   AND w.state_since_ms + w.stop_keep_secs * 1000 < ?1 END))
         ORDER BY COALESCE(r.woken_at_ms, 0), r.id LIMIT ?4",
        [cut.into(), off_cut.into(), silent_cut.into(), i64::from(limit).into()],
    )
}

/// Notes that these nodes are being woken: a JSON list of ids.
pub fn mark_woken(ids: &str, now: UnixMillis) -> Statement {
    Statement::new(
        "UPDATE nodes SET woken_at_ms = ?2 WHERE id IN (SELECT value FROM json_each(?1))",
        [ids.into(), now.into()],
    )
}

/// Accounts whose machines were last to be listed before `cut`, longest ago first.
pub fn next_accounts(cut: UnixMillis, limit: u64) -> Statement {
    Statement::new(
        "SELECT id, user_id, provider, name, sealed_secret, seal_version, created_at_ms, validated_at_ms, row_version
         FROM provider_credentials
         WHERE deleted_at_ms IS NULL AND COALESCE(sweep_tried_at_ms, 0) <= ?1
         ORDER BY COALESCE(sweep_tried_at_ms, 0), id LIMIT ?2",
        [cut.into(), limit.cast_signed().into()],
    )
}

/// Notes that an account is about to be asked, before it is: one that cannot be asked has had its turn.
pub fn mark_account_tried(id: CredentialId, now: UnixMillis) -> Statement {
    Statement::new("UPDATE provider_credentials SET sweep_tried_at_ms = ?2 WHERE id = ?1", [id.into(), now.into()])
}

/// Notes that every machine of an account was looked at.
pub fn mark_account_swept(id: CredentialId, now: UnixMillis) -> Statement {
    Statement::new("UPDATE provider_credentials SET swept_at_ms = ?2 WHERE id = ?1", [id.into(), now.into()])
}

/// Where a node is in its life.
#[derive(Debug, Clone, Deserialize)]
pub struct StateRow {
    /// Which.
    pub id: NodeId,
    /// Where.
    pub state: NodeState,
}

/// The states of these nodes: a JSON list of ids. Those without a row are left out.
pub fn node_states(ids: &str) -> Statement {
    Statement::new("SELECT id, state FROM nodes WHERE id IN (SELECT value FROM json_each(?1))", [ids.into()])
}

/// A node whose machine is to be there.
#[derive(Debug, Clone, Deserialize)]
pub struct UnlistedRow {
    /// Which.
    pub id: NodeId,
    /// The provider's name for its machine.
    pub instance_id: String,
    /// Since when its agent is there, by what was seen last.
    pub connected_at_ms: Option<i64>,
}

/// Ready nodes of an account whose machine is not in a list of it (a JSON list of machines' ids); another `turn` has others first, so
/// that those of which nothing follows keep no other waiting.
pub fn unlisted(credential: CredentialId, instances: &str, turn: i64, limit: u32) -> Statement {
    Statement::new(
        "SELECT id, provider_instance_id AS instance_id, connected_at_ms FROM nodes
         WHERE credential_id = ?1 AND state = 'ready' AND provider_instance_id NOT IN (SELECT value FROM json_each(?2))
         ORDER BY connected_at_ms IS NOT NULL, (unicode(substr(id, -1)) + CAST(?3 AS INTEGER)) % 37, id LIMIT ?4",
        [credential.into(), instances.into(), turn.into(), i64::from(limit).into()],
    )
}

/// A machine that no row named.
#[derive(Debug, Clone, Deserialize)]
pub struct StrayRow {
    /// The provider's name for it.
    pub instance_id: String,
    /// Since when.
    pub first_seen_at_ms: i64,
}

/// The machines of an account that no row named when they were last looked at.
pub fn strays(credential: CredentialId) -> Statement {
    Statement::new(
        "SELECT instance_id, first_seen_at_ms FROM stray_machines WHERE credential_id = ?1",
        [credential.into()],
    )
}

/// Keeps which machines of an account no row names now (a JSON list of their ids), and since when.
pub fn keep_strays(credential: CredentialId, instances: &str, now: UnixMillis) -> [Statement; 2] {
    [
        Statement::new(
            "DELETE FROM stray_machines WHERE credential_id = ?1 AND instance_id NOT IN (SELECT value FROM json_each(?2))",
            [credential.into(), instances.into()],
        ),
        Statement::new(
            "INSERT OR IGNORE INTO stray_machines (credential_id, instance_id, first_seen_at_ms)
             SELECT ?1, value, ?3 FROM json_each(?2)",
            [credential.into(), instances.into(), now.into()],
        ),
    ]
}

/// A sweep ran to its end. Written every few minutes at most, or when the run before had failed: the database's writes are
/// counted.
pub fn succeeded(name: &str, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO sweeps (name, succeeded_at_ms) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET succeeded_at_ms = ?2, problem = NULL
         WHERE problem IS NOT NULL OR succeeded_at_ms IS NULL OR succeeded_at_ms <= ?2 - 240000",
        [name.into(), now.into()],
    )
}

/// A sweep did not run to its end. Written as seldom.
pub fn failed(name: &str, problem: &str, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO sweeps (name, failed_at_ms, problem) VALUES (?1, ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET failed_at_ms = ?2, problem = ?3
         WHERE problem IS NULL OR failed_at_ms IS NULL OR failed_at_ms <= ?2 - 240000",
        [name.into(), now.into(), problem.into()],
    )
}

/// What is known of a sweep.
#[derive(Debug, Clone, Deserialize)]
pub struct SweepRow {
    /// Which.
    pub name: String,
    /// When it last ran to its end.
    pub succeeded_at_ms: Option<i64>,
    /// Why its last run failed.
    pub problem: Option<String>,
}

/// What is known of every sweep.
pub fn status() -> Statement {
    Statement::new("SELECT name, succeeded_at_ms, problem FROM sweeps ORDER BY name", [])
}

/// The account that was looked at longest ago.
#[derive(Debug, Clone, Deserialize)]
pub struct OldestRow {
    /// When; none when there is no account.
    pub oldest_at_ms: Option<i64>,
}

/// When the account was looked at whose turn was longest ago; one that never was counts from when it was stored.
pub fn oldest_account() -> Statement {
    Statement::new(
        "SELECT COALESCE(swept_at_ms, created_at_ms) AS oldest_at_ms FROM provider_credentials
         WHERE deleted_at_ms IS NULL ORDER BY COALESCE(swept_at_ms, created_at_ms) LIMIT 1",
        [],
    )
}
