//! Forgetting a node whose machine cannot be destroyed from here. Its row becomes final, so that it blocks nobody any more; the
//! sweep of its account goes on looking for the machine and deletes it if it ever can.

use ringfence_protocol::ids::NodeId;
use ringfence_protocol::params::ForgetNodeParams;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::views::NodeView;

use super::actor::Actor;
use super::change_node::change_node;
use crate::config::Settings;
use crate::domain::node::Event;
use crate::error::{Error, Result};
use crate::ports::{Platform, Statement};

/// Records that nobody waits for the machine's end any more. `extra` is stored with it, or not at all.
pub async fn forget_node(
    p: &impl Platform,
    settings: &Settings,
    actor: &Actor,
    id: NodeId,
    params: &ForgetNodeParams,
    extra: Vec<Statement>,
) -> Result<NodeView> {
    // Before anything is said of what was typed: nobody learns whether another's node exists.
    super::read::node(p, actor, id).await?;
    confirmed(params, id)?;
    change_node(p, settings, actor, id, Event::ForgetRequested, extra).await.map_err(explained)
}

pub(super) fn confirmed(params: &ForgetNodeParams, id: NodeId) -> Result<()> {
    if params.confirm != id.to_string() {
        return Err(Error::new(
            ErrorCode::InvalidBody,
            "confirm: type the node's id, to say that you know that its machine may go on costing money. Nothing was changed.",
        ));
    }
    Ok(())
}

pub(super) fn explained(error: Error) -> Error {
    match error.code == ErrorCode::Conflict {
        true => Error::new(
            ErrorCode::Conflict,
            "The node can still be destroyed: delete it and wait. It can be forgotten only when its deletion is late or the provider refuses the key. Nothing was changed.",
        ),
        false => error,
    }
}
