//! Stop and start of a workspace. A repeat succeeds.

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::views::WorkspaceView;

use super::actor::Actor;
use super::change_workspace::change_workspace;
use crate::config::Settings;
use crate::domain::workspace::Event;
use crate::error::Result;
use crate::ports::{Platform, Statement};

/// Records that the workspace is not to run. Its files are kept.
pub async fn stop_workspace(
    p: &impl Platform,
    settings: &Settings,
    actor: &Actor,
    id: WorkspaceId,
    extra: Vec<Statement>,
) -> Result<WorkspaceView> {
    change_workspace(p, settings, actor, id, Event::StopRequested, extra).await
}

/// Records that the workspace is to run.
pub async fn start_workspace(
    p: &impl Platform,
    settings: &Settings,
    actor: &Actor,
    id: WorkspaceId,
    extra: Vec<Statement>,
) -> Result<WorkspaceView> {
    change_workspace(p, settings, actor, id, Event::StartRequested, extra).await
}
