//! Forgetting a node whose machine cannot be destroyed from here. Its row becomes final, so that it blocks nobody any more; the
//! sweep of its account goes on looking for the machine and deletes it if it ever can.

use ringfence_protocol::ids::NodeId;
use ringfence_protocol::limits::StuckNodeView;
use ringfence_protocol::params::{ForgetNodeParams, ListParams};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::UserState;
use ringfence_protocol::views::{NodeView, Page};

use super::actor::Actor;
use super::caller::Caller;
use super::change_node::{change_anybodys_node, change_node};
use super::read::Cursor;
use super::views::node_view;
use crate::config::Settings;
use crate::domain::node::Event;
use crate::error::{Error, Result};
use crate::ports::{Platform, Statement};
use crate::store::identity::UserRow;
use crate::store::nodes::NodeRow;
use crate::store::{audit, identity, many, nodes, one};

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

/// What an admin may give up: nodes that do not get on and whose owners are suspended.
pub async fn stuck_nodes(p: &impl Platform, caller: &Caller, params: &ListParams) -> Result<Page<StuckNodeView>> {
    caller.require_admin()?;
    let page = Cursor::parse(params)?;
    let rows: Vec<NodeRow> = many(p, nodes::page_of_stuck(page.before, &page.before_id, page.limit + 1)).await?;
    let now = p.now();
    Ok(page.of(
        rows,
        |row| (row.created_at_ms, row.id.to_string()),
        |row| {
            let NodeView { id, state, state_since_at, failure, reason, .. } =
                node_view(row, &row.node(), Vec::new(), now);
            Some(StuckNodeView { id, user_id: row.user_id, state, state_since_at, failure, reason })
        },
    ))
}

/// The same for an admin, in place of an owner who is suspended. Says nothing of what the node is.
pub async fn forget_node_as_admin(
    p: &impl Platform,
    settings: &Settings,
    caller: &Caller,
    id: NodeId,
    params: &ForgetNodeParams,
) -> Result<()> {
    caller.require_admin()?;
    // Before the alarm is touched: an object of no node is not woken.
    let row = one::<NodeRow>(p, nodes::load(id)).await?.ok_or_else(|| Error::not_found("node"))?;
    confirmed(params, id)?;
    let owner = one::<UserRow>(p, identity::user_by_id(row.user_id)).await?;
    if owner.is_some_and(|owner| owner.state == UserState::Active) {
        return Err(Error::new(
            ErrorCode::Conflict,
            "Its owner is not suspended and can forget it themselves, on the node's page. Nothing was changed.",
        ));
    }
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
