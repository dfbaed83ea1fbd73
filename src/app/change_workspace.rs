//! One wish of an owner about a workspace: read, let the machine decide, store, wake the node.

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::views::WorkspaceView;

use super::actor::Actor;
use super::drive_node::too_many_conflicts;
use super::intent::{armed, refusal};
use super::read;
use super::turn::{Commit, MAX_CONFLICTS, Turn};
use super::views::workspace_view;
use crate::config::Settings;
use crate::domain::workspace::Event;
use crate::error::Result;
use crate::ports::{Platform, Statement};

pub(super) async fn change_workspace(
    p: &impl Platform,
    settings: &Settings,
    actor: &Actor,
    id: WorkspaceId,
    event: Event,
    extra: Vec<Statement>,
) -> Result<WorkspaceView> {
    // Also the answer to another user's request, and to one about a workspace that is gone.
    let before = read::workspace(p, actor, id).await?;
    armed(p, before.node.id, async {
        for _ in 0..MAX_CONFLICTS {
            let Some(mut turn) = Turn::load_around(p, &settings.timing, id).await? else { break };
            if turn.tenancy(id).is_none() {
                break;
            }
            turn.workspace_event(id, event.clone()).map_err(|denied| refusal(denied, "workspace"))?;
            let extra = if turn.has_changed() { extra.clone() } else { Vec::new() };
            if let (Commit::Stored(_), Some(tenancy)) = (turn.commit(p, extra).await?, turn.tenancy(id)) {
                return Ok(workspace_view(&tenancy.row, &tenancy.workspace, &turn.row, &turn.node));
            }
        }
        match (event, read::workspace(p, actor, id).await?) {
            (Event::DeleteRequested, view) if view.state == ringfence_protocol::state::WorkspaceState::Gone => Ok(view),
            (_, view) if view.state == ringfence_protocol::state::WorkspaceState::Gone => {
                Err(refusal(crate::domain::lifecycle::Denied::Ending, "workspace"))
            }
            _ => Err(too_many_conflicts()),
        }
    })
    .await
}
