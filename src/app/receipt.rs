//! The receipt of an ephemeral workspace, once it and its machine are over: made from the rows and events that are there.

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::receipt::{MachineReceipt, ReceiptView, SavedView};
use ringfence_protocol::state::{Isolation, NodeState, WorkspaceState};
use ringfence_protocol::views::{EventKind, EventView};
use sha2::{Digest, Sha256};

use super::actor::Actor;
use super::read;
use crate::domain::lifecycle::FailureCode;
use crate::domain::mac::hex;
use crate::error::{Error, Result};
use crate::ports::Platform;
use crate::store::events::{self, EventRow};
use crate::store::many;

/// The receipt of one of the actor's workspaces.
pub async fn receipt(p: &impl Platform, actor: &Actor, id: WorkspaceId) -> Result<ReceiptView> {
    let workspace = read::workspace(p, actor, id).await?;
    let node = read::node(p, actor, workspace.node.id).await?;
    if workspace.isolation != Isolation::Ephemeral {
        return Err(Error::new(
            ErrorCode::Conflict,
            "Only an ephemeral workspace leaves a receipt: its machine was its own. Look at the workspace's history instead.",
        ));
    }
    let over = matches!(workspace.state, WorkspaceState::Gone | WorkspaceState::Failed);
    if !over || node.state != NodeState::Gone {
        return Err(Error::new(
            ErrorCode::Conflict,
            format!("It is not over: the workspace is {}, its machine is {}.", workspace.state, node.state),
        ));
    }
    let rows: Vec<EventRow> = many(p, events::saves_of_workspace(id, actor.user_id)).await?;
    let reason = match workspace.failure {
        Some(_) => workspace.reason,
        None => node.reason.clone(),
    };
    Ok(ReceiptView {
        workspace_id: workspace.id,
        name: workspace.name,
        created_at: workspace.created_at,
        ended_at: workspace.state_since_at,
        reason,
        saved: rows.iter().filter_map(EventRow::view).find_map(saved),
        machine: MachineReceipt {
            node_id: node.id,
            provider: node.provider,
            region: node.region,
            size: node.size,
            provider_instance_id: node.provider_instance_id,
            gone_at: (node.failure.as_deref() != Some(FailureCode::Forgotten.as_str())).then_some(node.state_since_at),
            cost: node.cost_so_far,
        },
    })
}

fn saved(event: EventView) -> Option<SavedView> {
    match event.event {
        EventKind::Saved { outcome, detail, .. } => Some(SavedView {
            at: event.at,
            outcome,
            output_sha256: hex(&Sha256::digest(detail.as_bytes())),
            output: detail,
        }),
        EventKind::NodeState { .. }
        | EventKind::WorkspaceState { .. }
        | EventKind::BootStep { .. }
        | EventKind::EndingSoon { .. }
        | EventKind::Notice { .. } => None,
    }
}
