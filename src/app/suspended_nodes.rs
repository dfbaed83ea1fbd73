//! Nodes of suspended users, who cannot sign in: an admin deletes them in their place, and gives up what does not get on. Nobody else's,
//! and without being told what they are.

use ringfence_protocol::ids::NodeId;
use ringfence_protocol::limits::SuspendedNodeView;
use ringfence_protocol::params::{ForgetNodeParams, ListParams};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::UserState;
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::{EventKind, NodeView, Page};

use super::caller::Caller;
use super::change_node::change_anybodys_node;
use super::forget_node::{confirmed, explained};
use super::read::Cursor;
use super::views::node_view;
use crate::config::Settings;
use crate::domain::node::Event;
use crate::error::{Error, Result};
use crate::ports::{Platform, Statement};
use crate::store::identity::UserRow;
use crate::store::nodes::NodeRow;
use crate::store::{audit, events, identity, many, nodes, one};

/// Those that are not gone.
pub async fn list(p: &impl Platform, caller: &Caller, params: &ListParams) -> Result<Page<SuspendedNodeView>> {
    page(p, caller, params, nodes::page_of_suspended).await
}

/// Those that may be given up.
pub async fn stuck(p: &impl Platform, caller: &Caller, params: &ListParams) -> Result<Page<SuspendedNodeView>> {
    page(p, caller, params, nodes::page_of_stuck).await
}

async fn page(
    p: &impl Platform,
    caller: &Caller,
    params: &ListParams,
    statement: fn(UnixMillis, &str, u32) -> Statement,
) -> Result<Page<SuspendedNodeView>> {
    caller.require_admin()?;
    let page = Cursor::parse(params)?;
    let rows: Vec<NodeRow> = many(p, statement(page.before, &page.before_id, page.limit + 1)).await?;
    let now = p.now();
    Ok(page.of(
        rows,
        |row| (row.created_at_ms, row.id.to_string()),
        |row| {
            let NodeView { id, state, state_since_at, failure, reason, stuck, .. } =
                node_view(row, &row.node(), Vec::new(), now);
            Some(SuspendedNodeView { id, user_id: row.user_id, state, state_since_at, failure, reason, stuck })
        },
    ))
}

/// Records that a node is to go, as its owner would.
pub async fn delete(p: &impl Platform, settings: &Settings, caller: &Caller, id: NodeId) -> Result<()> {
    of_suspended(p, caller, id).await?;
    let told = EventKind::Notice { detail: "An admin has it deleted, in place of its owner, who is suspended.".into() };
    let now = p.now();
    let extra =
        vec![audit::record(&caller.act("node.delete", id, "By an admin."), now), events::record(id, None, &told, now)];
    change_anybodys_node(p, settings, id, Event::DeleteRequested, extra).await.map(drop)
}

/// Records that nobody waits for the machine's end any more.
pub async fn forget(
    p: &impl Platform,
    settings: &Settings,
    caller: &Caller,
    id: NodeId,
    params: &ForgetNodeParams,
) -> Result<()> {
    caller.require_admin()?;
    // Before anything is said of what was typed.
    present(p, id).await?;
    confirmed(params, id)?;
    of_suspended(p, caller, id).await?;
    let extra = vec![audit::record(&caller.act("node.forget", id, "By an admin."), p.now())];
    change_anybodys_node(p, settings, id, Event::ForgetRequested, extra).await.map(drop).map_err(explained)
}

async fn present(p: &impl Platform, id: NodeId) -> Result<NodeRow> {
    one(p, nodes::load(id)).await?.ok_or_else(|| Error::not_found("node"))
}

/// Refuses what an admin may not: before the alarm is touched, so that an object of no node is not woken.
async fn of_suspended(p: &impl Platform, caller: &Caller, id: NodeId) -> Result<()> {
    caller.require_admin()?;
    let owner = one::<UserRow>(p, identity::user_by_id(present(p, id).await?.user_id)).await?;
    if owner.is_some_and(|owner| owner.state == UserState::Active) {
        return Err(Error::new(
            ErrorCode::Conflict,
            "Its owner is not suspended and can do so themselves, on the node's page. Nothing was changed.",
        ));
    }
    Ok(())
}
