//! What somebody who looks at a workspace is shown. They have been admitted to it; history is asked for by owner all the same.

use ringfence_protocol::ids::{UserId, WorkspaceId};
use ringfence_protocol::views::{EventView, SocketMessage};

use super::read;
use crate::error::{Error, Result};
use crate::ports::Platform;

/// Events shown to a new viewer at most: a boot has some twenty.
const MAX_EVENTS: u32 = 200;

/// How things stand, and what has happened so far to the workspace and its node.
pub async fn history(p: &impl Platform, user: UserId, id: WorkspaceId) -> Result<Vec<SocketMessage>> {
    let (workspace, node) = read::snapshot(p, id).await?.ok_or_else(|| Error::not_found("workspace"))?;
    let items = read::node_events(p, user, node.id, MAX_EVENTS).await?;
    let items = items.into_iter().filter(|event| concerns(event, id)).collect();
    let snapshot = SocketMessage::Snapshot { workspace: Box::new(workspace), node: Box::new(node) };
    Ok(vec![snapshot, SocketMessage::Events { items }])
}

/// How the workspace and its node stand.
pub async fn snapshot(p: &impl Platform, id: WorkspaceId) -> Result<SocketMessage> {
    let (workspace, node) = read::snapshot(p, id).await?.ok_or_else(|| Error::not_found("workspace"))?;
    Ok(SocketMessage::Snapshot { workspace: Box::new(workspace), node: Box::new(node) })
}

/// Whether an event of a node is to be shown to those who look at this workspace: its own, and the node's.
pub fn concerns(event: &EventView, id: WorkspaceId) -> bool {
    event.workspace_id.is_none_or(|other| other == id)
}
