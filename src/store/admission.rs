//! What opening a WebSocket to a workspace reads.

use ringfence_protocol::ids::{NodeId, UserId, WorkspaceId};
use ringfence_protocol::state::WorkspaceState;
use serde::Deserialize;

use crate::ports::Statement;

/// Where a workspace is.
#[derive(Debug, Clone, Deserialize)]
pub struct PlacedRow {
    /// Its node.
    pub node_id: NodeId,
    /// Where it is in its life.
    pub state: WorkspaceState,
}

/// A workspace of the user.
pub fn placed(workspace: WorkspaceId, user: UserId) -> Statement {
    Statement::new(
        "SELECT node_id, state FROM workspaces WHERE id = ?1 AND user_id = ?2",
        [workspace.into(), user.into()],
    )
}
