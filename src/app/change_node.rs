//! One wish of an owner about a node: read, let the machine decide, store, wake the node.

use ringfence_protocol::ids::{NodeId, WorkspaceId};
use ringfence_protocol::views::NodeView;

use super::actor::Actor;
use super::drive_node::too_many_conflicts;
use super::intent::{armed, refusal};
use super::turn::{Commit, MAX_CONFLICTS, Turn};
use super::views::node_view;
use crate::config::Settings;
use crate::domain::{node, workspace};
use crate::error::{Error, Result};
use crate::ports::{Platform, Statement};

pub(super) async fn change_node(
    p: &impl Platform,
    settings: &Settings,
    actor: &Actor,
    id: NodeId,
    event: node::Event,
    extra: Vec<Statement>,
) -> Result<NodeView> {
    // Before the alarm is touched: nobody wakes another user's node.
    let turn = Turn::load(p, &settings.timing, id).await?.filter(|turn| turn.row.user_id == actor.user_id);
    change(p, settings, turn.ok_or_else(not_found)?, event, extra).await
}

/// The same whoever owns it, for those who were admitted by other means.
pub(super) async fn change_anybodys_node(
    p: &impl Platform,
    settings: &Settings,
    id: NodeId,
    event: node::Event,
    extra: Vec<Statement>,
) -> Result<NodeView> {
    let turn = Turn::load(p, &settings.timing, id).await?.ok_or_else(not_found)?;
    change(p, settings, turn, event, extra).await
}

async fn change(
    p: &impl Platform,
    settings: &Settings,
    turn: Turn<'_>,
    event: node::Event,
    extra: Vec<Statement>,
) -> Result<NodeView> {
    let id = turn.row.id;
    let mut read = Some(turn);
    armed(p, id, async {
        for _ in 0..MAX_CONFLICTS {
            let mut turn = match read.take() {
                Some(turn) => turn,
                None => Turn::load(p, &settings.timing, id).await?.ok_or_else(not_found)?,
            };
            if event == node::Event::DeleteRequested {
                // Asked to go, rather than lost with their node.
                let ids: Vec<WorkspaceId> = turn.tenancies.iter().map(|tenancy| tenancy.row.id).collect();
                for id in ids {
                    let _ = turn.workspace_event(id, workspace::Event::DeleteRequested);
                }
            }
            turn.node_event(event.clone()).map_err(|denied| refusal(denied, "node"))?;
            turn.settle_unless_a_place_is_given_up();
            let extra = if turn.has_changed() { extra.clone() } else { Vec::new() };
            if let Commit::Stored(_) = turn.commit(p, extra).await? {
                let holding = turn.tenancies.iter().filter(|tenancy| tenancy.workspace.holds_place);
                let ids = holding.map(|tenancy| tenancy.row.id).collect();
                return Ok(node_view(&turn.row, &turn.node, ids, turn.now()));
            }
        }
        Err(too_many_conflicts())
    })
    .await
}

fn not_found() -> Error {
    Error::not_found("node")
}
