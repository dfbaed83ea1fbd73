//! DELETE of a workspace: accepted in every state, and a repeat succeeds.

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::views::WorkspaceView;

use super::actor::Actor;
use super::change_workspace::change_workspace;
use crate::config::Settings;
use crate::domain::workspace::Event;
use crate::error::Result;
use crate::ports::{Platform, Statement};

/// Records that the workspace is to go. `extra` is stored with it, or not at all.
pub async fn delete_workspace(
    p: &impl Platform,
    settings: &Settings,
    actor: &Actor,
    id: WorkspaceId,
    extra: Vec<Statement>,
) -> Result<WorkspaceView> {
    let view = change_workspace(p, settings, actor, id, Event::DeleteRequested, extra).await?;
    // The agent ends its channels by itself; this is quicker, and works when the agent is away.
    let _ = p.close_viewers(view.node.id, id).await;
    Ok(view)
}
