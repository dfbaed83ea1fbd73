//! Forgetting a node whose machine cannot be destroyed from here. Its row becomes final, so that it blocks nobody any more; the
//! sweep of its account goes on looking for the machine and deletes it if it ever can.

use ringfence_protocol::ids::NodeId;
use ringfence_protocol::params::ForgetNodeParams;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::views::NodeView;

use super::actor::Actor;
use super::caller::Caller;
use super::change_node::{change_anybodys_node, change_node};
use crate::config::Settings;
use crate::domain::node::Event;
use crate::error::{Error, Result};
use crate::ports::{Platform, Statement};
use crate::store::nodes::NodeRow;
use crate::store::{audit, nodes, one};

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

/// The same for an admin: the owner may be suspended, or gone for good. Says nothing of what the node is.
pub async fn forget_node_as_admin(
    p: &impl Platform,
    settings: &Settings,
    caller: &Caller,
    id: NodeId,
    params: &ForgetNodeParams,
) -> Result<()> {
    caller.require_admin()?;
    // Before the alarm is touched: an object of no node is not woken.
    one::<NodeRow>(p, nodes::load(id)).await?.ok_or_else(|| Error::not_found("node"))?;
    confirmed(params, id)?;
    let extra = vec![audit::record(&caller.act("node.forget", id, "By an admin."), p.now())];
    change_anybodys_node(p, settings, id, Event::ForgetRequested, extra).await.map(drop).map_err(explained)
}

fn confirmed(params: &ForgetNodeParams, id: NodeId) -> Result<()> {
    if params.confirm != id.to_string() {
        return Err(Error::new(
            ErrorCode::InvalidBody,
            "confirm: type the node's id, to say that you know that its machine may go on costing money. Nothing was changed.",
        ));
    }
    Ok(())
}

fn explained(error: Error) -> Error {
    match error.code == ErrorCode::Conflict {
        true => Error::new(
            ErrorCode::Conflict,
            "The node can still be destroyed: delete it and wait. It can be forgotten only when its deletion is late or the provider refuses the key. Nothing was changed.",
        ),
        false => error,
    }
}
