//! One wish of an owner about a workspace: read, let the machine decide, store, wake the node.

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::state::WorkspaceState;
use ringfence_protocol::views::WorkspaceView;

use super::actor::Actor;
use super::drive_node::too_many_conflicts;
use super::intent::{armed, refusal};
use super::read;
use super::turn::{Commit, MAX_CONFLICTS, Turn};
use super::views::workspace_view;
use crate::config::Settings;
use crate::domain::lifecycle::Denied;
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
    let is_theirs = |turn: &Turn<'_>| turn.tenancy(id).is_some_and(|tenancy| tenancy.row.user_id == actor.user_id);
    // Before the alarm is touched: nobody wakes another user's node.
    let Some(turn) = Turn::load_around(p, &settings.timing, id).await?.filter(is_theirs) else {
        return absent(p, actor, id, &event).await;
    };
    let node = turn.row.id;
    let mut read = Some(turn);
    armed(p, node, async {
        for _ in 0..MAX_CONFLICTS {
            let turn = match read.take() {
                Some(turn) => Some(turn),
                None => Turn::load_around(p, &settings.timing, id).await?,
            };
            let Some(mut turn) = turn.filter(is_theirs) else { return absent(p, actor, id, &event).await };
            turn.workspace_event(id, event.clone()).map_err(|denied| refusal(denied, "workspace"))?;
            let extra = if turn.has_changed() { extra.clone() } else { Vec::new() };
            if let (Commit::Stored(_), Some(tenancy)) = (turn.commit(p, extra).await?, turn.tenancy(id)) {
                return Ok(workspace_view(&tenancy.row, &tenancy.workspace, &turn.row, &turn.node));
            }
        }
        Err(too_many_conflicts())
    })
    .await
}

/// The answer about one that is gone, or that was never this user's.
async fn absent(p: &impl Platform, actor: &Actor, id: WorkspaceId, event: &Event) -> Result<WorkspaceView> {
    match (event, read::workspace(p, actor, id).await?) {
        (Event::DeleteRequested, view) if view.state == WorkspaceState::Gone => Ok(view),
        (_, view) if view.state == WorkspaceState::Gone => Err(refusal(Denied::Ending, "workspace")),
        _ => Err(too_many_conflicts()),
    }
}
