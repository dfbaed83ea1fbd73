//! What happened to nodes and workspaces: rows that are only ever added, read by those who look on.

use ringfence_protocol::ids::{NodeId, UserId, WorkspaceId};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::{EventKind, EventView};
use serde::Deserialize;

use crate::ports::Statement;

/// An event's row.
#[derive(Debug, Clone, Deserialize)]
pub struct EventRow {
    id: i64,
    at_ms: i64,
    node_id: NodeId,
    workspace_id: Option<WorkspaceId>,
    event_json: String,
}

impl EventRow {
    /// The event as the API gives it; none for a kind that this version does not know.
    pub fn view(&self) -> Option<EventView> {
        Some(EventView {
            id: self.id,
            at: UnixMillis::new(self.at_ms),
            node_id: self.node_id,
            workspace_id: self.workspace_id,
            event: serde_json::from_str(&self.event_json).ok()?,
        })
    }
}

/// The word of a kind.
const fn word(event: &EventKind) -> &'static str {
    match event {
        EventKind::NodeState { .. } => "node_state",
        EventKind::WorkspaceState { .. } => "workspace_state",
        EventKind::BootStep { .. } => "boot_step",
        EventKind::Notice { .. } => "notice",
        EventKind::EndingSoon { .. } => "ending_soon",
        EventKind::Saved { .. } => "saved",
    }
}

/// Records an event of a node, or of a workspace on it. Gives the row.
pub fn record(node: NodeId, workspace: Option<WorkspaceId>, event: &EventKind, now: UnixMillis) -> Statement {
    record_all(node, &[(workspace, event)], now)
}

/// Records events of a node and of workspaces on it, in this order. Gives the rows.
pub fn record_all(node: NodeId, events: &[(Option<WorkspaceId>, &EventKind)], now: UnixMillis) -> Statement {
    // Enums of texts and numbers always serialise.
    let json = |event: &EventKind| serde_json::to_string(event).unwrap_or_default();
    let rows: Vec<_> = events.iter().map(|(workspace, event)| (workspace, word(event), json(event))).collect();
    Statement::new(
        "INSERT INTO events (user_id, node_id, workspace_id, at_ms, kind, event_json)
         SELECT n.user_id, n.id, r.value ->> 0, ?3, r.value ->> 1, r.value ->> 2
         FROM nodes n, json_each(?2) r WHERE n.id = ?1 ORDER BY r.key
         RETURNING id, at_ms, node_id, workspace_id, event_json",
        [node.into(), serde_json::to_string(&rows).unwrap_or_default().into(), now.into()],
    )
}

/// Records a step of a boot unless it is recorded already: agents repeat them until they are confirmed. A boot has some
/// twenty; after a hundred nothing more is recorded. Gives the row.
pub fn record_boot_step(node: NodeId, agent_epoch: i64, event: &EventKind, at: UnixMillis) -> Statement {
    let json = serde_json::to_string(event).unwrap_or_default();
    Statement::new(
        "INSERT INTO events (user_id, node_id, at_ms, kind, event_json)
         SELECT n.user_id, n.id, ?2, 'boot_step', ?3 FROM nodes n
         WHERE n.id = ?1 AND n.agent_epoch = ?4
           AND NOT EXISTS (
             SELECT 1 FROM events e WHERE e.node_id = ?1 AND e.kind = 'boot_step' AND e.workspace_id IS NULL
               AND e.event_json = ?3)
           AND (SELECT COUNT(*) FROM events e
             WHERE e.node_id = ?1 AND e.kind = 'boot_step' AND e.workspace_id IS NULL) < 100
         RETURNING id, at_ms, node_id, workspace_id, event_json",
        [node.into(), at.into(), json.into(), agent_epoch.into()],
    )
}

/// Records what an agent tells of its machine or of a workspace on it. After two hundred of a kind within an hour nothing more is
/// recorded: no agent may spend everybody's writes. What came of a save hook is told again on a new link, and recorded once. Gives the
/// row.
pub fn record_told(
    node: NodeId,
    agent_epoch: i64,
    workspace: Option<WorkspaceId>,
    event: &EventKind,
    at: UnixMillis,
) -> Statement {
    let json = serde_json::to_string(event).unwrap_or_default();
    Statement::new(
        "INSERT INTO events (user_id, node_id, workspace_id, at_ms, kind, event_json)
         SELECT n.user_id, n.id, ?2, ?3, ?4, ?5 FROM nodes n
         WHERE n.id = ?1 AND n.agent_epoch = ?6
           AND (?2 IS NULL OR EXISTS (SELECT 1 FROM workspaces w WHERE w.id = ?2 AND w.node_id = ?1))
           AND (SELECT COUNT(*) FROM events e
             WHERE e.node_id = ?1 AND e.kind = ?4 AND e.at_ms > ?3 - 3600000) < 200
           AND (?4 <> 'saved' OR NOT EXISTS (
             SELECT 1 FROM events e WHERE e.node_id = ?1 AND e.workspace_id = ?2 AND e.kind = 'saved' AND e.event_json = ?5
               AND e.at_ms > ?3 - 3600000))
         RETURNING id, at_ms, node_id, workspace_id, event_json",
        [node.into(), workspace.into(), at.into(), word(event).into(), json.into(), agent_epoch.into()],
    )
}

/// The user's events after one, oldest first.
pub fn of_user_after(user: UserId, after: i64, limit: u32) -> Statement {
    Statement::new(
        "SELECT id, at_ms, node_id, workspace_id, event_json FROM events
         WHERE user_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        [user.into(), after.into(), i64::from(limit).into()],
    )
}

/// The events of a node of the user after one, oldest first.
pub fn of_node_after(node: NodeId, user: UserId, after: i64, limit: u32) -> Statement {
    Statement::new(
        "SELECT id, at_ms, node_id, workspace_id, event_json FROM events
         WHERE node_id = ?1 AND user_id = ?2 AND id > ?3 ORDER BY id LIMIT ?4",
        [node.into(), user.into(), after.into(), i64::from(limit).into()],
    )
}

/// The user's newest events before one, newest first.
pub fn of_user_before(user: UserId, before: i64, limit: u32) -> Statement {
    Statement::new(
        "SELECT id, at_ms, node_id, workspace_id, event_json FROM events
         WHERE user_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
        [user.into(), before.into(), i64::from(limit).into()],
    )
}

/// The newest events of a node of the user before one, newest first.
pub fn of_node_before(node: NodeId, user: UserId, before: i64, limit: u32) -> Statement {
    Statement::new(
        "SELECT id, at_ms, node_id, workspace_id, event_json FROM events
         WHERE node_id = ?1 AND user_id = ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4",
        [node.into(), user.into(), before.into(), i64::from(limit).into()],
    )
}

/// What a user's workspace saved, newest first.
pub fn saves_of_workspace(workspace: WorkspaceId, user: UserId) -> Statement {
    Statement::new(
        "SELECT e.id, e.at_ms, e.node_id, e.workspace_id, e.event_json FROM events e
         WHERE e.node_id = (SELECT node_id FROM workspaces WHERE id = ?1) AND e.user_id = ?2 AND e.workspace_id = ?1
           AND e.kind = 'saved' ORDER BY e.id DESC LIMIT 5",
        [workspace.into(), user.into()],
    )
}

/// The user's newest events, newest first.
pub fn newest_of_user(user: UserId, limit: u32) -> Statement {
    Statement::new(
        "SELECT id, at_ms, node_id, workspace_id, event_json FROM events WHERE user_id = ?1 ORDER BY id DESC LIMIT ?2",
        [user.into(), i64::from(limit).into()],
    )
}

/// The newest events of a node of the user, newest first.
pub fn newest_of_node(node: NodeId, user: UserId, limit: u32) -> Statement {
    Statement::new(
        "SELECT id, at_ms, node_id, workspace_id, event_json FROM events
         WHERE node_id = ?1 AND user_id = ?2 ORDER BY id DESC LIMIT ?3",
        [node.into(), user.into(), i64::from(limit).into()],
    )
}

/// The newest transitions of a node of the user, newest first.
pub fn transitions_of_node(node: NodeId, user: UserId, limit: u32) -> Statement {
    Statement::new(
        "SELECT id, at_ms, node_id, workspace_id, event_json FROM events
         WHERE node_id = ?1 AND user_id = ?2 AND kind = 'node_state' ORDER BY id DESC LIMIT ?3",
        [node.into(), user.into(), i64::from(limit).into()],
    )
}

/// The newest transitions of a workspace of the user, newest first: they are among its node's events.
pub fn transitions_of_workspace(workspace: WorkspaceId, user: UserId, limit: u32) -> Statement {
    Statement::new(
        "SELECT id, at_ms, node_id, workspace_id, event_json FROM events
         WHERE node_id = (SELECT node_id FROM workspaces WHERE id = ?1 AND user_id = ?2) AND workspace_id = ?1
           AND kind = 'workspace_state' ORDER BY id DESC LIMIT ?3",
        [workspace.into(), user.into(), i64::from(limit).into()],
    )
}
