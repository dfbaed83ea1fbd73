//! Reading nodes, workspaces and events: only ever the actor's own. Other users' things are answered like things that do
//! not exist.

use std::collections::BTreeMap;

use ringfence_protocol::ids::{NodeId, UserId, WorkspaceId};
use ringfence_protocol::params::{EventsParams, ListParams};
use ringfence_protocol::posture::Posture;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::{EventView, EventsView, NodeView, Page, PostureView, WorkspaceView};

use super::actor::Actor;
use super::views::{node_view, workspace_view};
use crate::error::{Error, Result};
use crate::ports::{Platform, Statement};
use crate::store::events::EventRow;
use crate::store::nodes::NodeRow;
use crate::store::posture::PostureRow;
use crate::store::workspaces::{PlaceRow, WorkspaceRow};
use crate::store::{all, events, first, many, nodes, one, workspaces};

/// Items of a page when nothing is asked for.
const DEFAULT_LIMIT: u32 = 50;
/// Items of a page at most.
const MAX_LIMIT: u32 = 200;
/// The largest number the database takes on the wire: 2^53.
const LARGEST_ID: i64 = i64::MAX >> 10;

/// One of the actor's workspaces. Also when it is gone: its page stays.
pub async fn workspace(p: &impl Platform, actor: &Actor, id: WorkspaceId) -> Result<WorkspaceView> {
    let mut outcomes = p.batch(vec![workspaces::load(id), nodes::of_workspace(id)]).await?.into_iter();
    let row = first::<WorkspaceRow>(outcomes.next())?.filter(|row| row.user_id == actor.user_id);
    let node = first::<NodeRow>(outcomes.next())?.filter(|row| row.user_id == actor.user_id);
    let (Some(row), Some(node)) = (row, node) else { return Err(Error::not_found("workspace")) };
    Ok(workspace_view(&row, &row.workspace(), &node, &node.node()))
}

/// A page of the actor's workspaces that are not gone, newest first.
pub async fn workspaces(p: &impl Platform, actor: &Actor, params: &ListParams) -> Result<Page<WorkspaceView>> {
    let page = Cursor::parse(params)?;
    let (user, limit) = (actor.user_id, page.limit + 1);
    let statements = vec![
        workspaces::page(user, page.before, &page.before_id, limit),
        nodes::of_workspace_page(user, page.before, &page.before_id, limit),
    ];
    workspace_page(p, &page, statements, |row| row.created_at_ms).await
}

/// A page of the actor's workspaces that are gone, what ended last first.
pub async fn ended_workspaces(p: &impl Platform, actor: &Actor, params: &ListParams) -> Result<Page<WorkspaceView>> {
    let page = Cursor::parse(params)?;
    let (user, limit) = (actor.user_id, page.limit + 1);
    let statements = vec![
        workspaces::page_of_ended(user, page.before, &page.before_id, limit),
        nodes::of_ended_workspace_page(user, page.before, &page.before_id, limit),
    ];
    workspace_page(p, &page, statements, |row| row.state_since_ms).await
}

/// Reads workspaces and, with the second statement, their nodes.
async fn workspace_page(
    p: &impl Platform,
    page: &Cursor,
    statements: Vec<Statement>,
    key: fn(&WorkspaceRow) -> i64,
) -> Result<Page<WorkspaceView>> {
    let mut outcomes = p.batch(statements).await?.into_iter();
    let rows = all::<WorkspaceRow>(outcomes.next());
    let nodes: BTreeMap<NodeId, NodeRow> =
        all::<NodeRow>(outcomes.next()).into_iter().map(|row| (row.id, row)).collect();
    Ok(page.of(
        rows,
        |row| (key(row), row.id.to_string()),
        |row| {
            let node = nodes.get(&row.node_id)?;
            Some(workspace_view(row, &row.workspace(), node, &node.node()))
        },
    ))
}

/// One of the actor's nodes. Also when it is gone.
pub async fn node(p: &impl Platform, actor: &Actor, id: NodeId) -> Result<NodeView> {
    let mut outcomes = p.batch(vec![nodes::load(id), workspaces::places(id)]).await?.into_iter();
    let row = first::<NodeRow>(outcomes.next())?.filter(|row| row.user_id == actor.user_id);
    let row = row.ok_or_else(|| Error::not_found("node"))?;
    let places = all::<PlaceRow>(outcomes.next());
    Ok(node_view(&row, &row.node(), places.iter().map(|place| place.workspace_id).collect(), p.now()))
}

/// What was last measured of one of the actor's nodes.
pub async fn node_posture(p: &impl Platform, actor: &Actor, id: NodeId) -> Result<PostureView> {
    measured(one(p, nodes::posture(id, actor.user_id)).await?)
}

/// What was last measured inside one of the actor's workspaces.
pub async fn workspace_posture(p: &impl Platform, actor: &Actor, id: WorkspaceId) -> Result<PostureView> {
    measured(one(p, workspaces::posture(id, actor.user_id)).await?)
}

fn measured(row: Option<PostureRow>) -> Result<PostureView> {
    let row = row
        .ok_or_else(|| Error::new(ErrorCode::NotFound, "There is no such thing, or nothing was measured of it yet."))?;
    let holds = row.holds();
    let Posture { measured_at, checks } =
        row.posture().ok_or_else(|| Error::internal("a posture's row cannot be read"))?;
    Ok(PostureView { holds, measured_at, checks })
}

/// A page of the actor's nodes that are not gone, newest first.
pub async fn nodes(p: &impl Platform, actor: &Actor, params: &ListParams) -> Result<Page<NodeView>> {
    let page = Cursor::parse(params)?;
    let (user, limit) = (actor.user_id, page.limit + 1);
    let statements = vec![
        nodes::page(user, page.before, &page.before_id, limit),
        workspaces::places_of_page(user, page.before, &page.before_id, limit),
    ];
    let mut outcomes = p.batch(statements).await?.into_iter();
    let rows = all::<NodeRow>(outcomes.next());
    let places = all::<PlaceRow>(outcomes.next());
    let now = p.now();
    Ok(page.of(
        rows,
        |row| (row.created_at_ms, row.id.to_string()),
        |row| {
            let taken = places.iter().filter(|place| place.node_id == row.id).map(|place| place.workspace_id);
            Some(node_view(row, &row.node(), taken.collect(), now))
        },
    ))
}

/// A page of the actor's nodes that are gone, what ended last first. They hold no place.
pub async fn ended_nodes(p: &impl Platform, actor: &Actor, params: &ListParams) -> Result<Page<NodeView>> {
    let page = Cursor::parse(params)?;
    let statement = nodes::page_of_ended(actor.user_id, page.before, &page.before_id, page.limit + 1);
    let rows: Vec<NodeRow> = many(p, statement).await?;
    let now = p.now();
    Ok(page.of(
        rows,
        |row| (row.state_since_ms, row.id.to_string()),
        |row| Some(node_view(row, &row.node(), Vec::new(), now)),
    ))
}

/// A workspace, its node and the node's newest events, whoever asks: for the object that has admitted the asker.
pub async fn snapshot(p: &impl Platform, id: WorkspaceId) -> Result<Option<(WorkspaceView, NodeView)>> {
    let mut outcomes = p.batch(vec![workspaces::load(id), nodes::of_workspace(id)]).await?.into_iter();
    let row = first::<WorkspaceRow>(outcomes.next())?;
    let on = first::<NodeRow>(outcomes.next())?;
    let (Some(row), Some(on)) = (row, on) else { return Ok(None) };
    let places: Vec<PlaceRow> = many(p, workspaces::places(on.id)).await?;
    let node = on.node();
    Ok(Some((
        workspace_view(&row, &row.workspace(), &on, &node),
        node_view(&on, &node, places.iter().map(|place| place.workspace_id).collect(), p.now()),
    )))
}

/// The actor's events.
pub async fn events(p: &impl Platform, actor: &Actor, params: &EventsParams) -> Result<EventsView> {
    let user = actor.user_id;
    let limit = page_limit(params.limit, MAX_LIMIT)?;
    for (name, id) in [("after", params.after), ("before", params.before)] {
        if id.is_some_and(|id| !(0..=LARGEST_ID).contains(&id)) {
            return Err(Error::new(ErrorCode::InvalidParameter, format!("{name}: the id of an event.")));
        }
    }
    let (statement, newest_first) = match (params.after, params.before, params.node_id) {
        (Some(_), Some(_), _) => {
            return Err(Error::new(ErrorCode::InvalidParameter, "after, before: one of the two."));
        }
        (Some(after), None, Some(node)) => (events::of_node_after(node, user, after, limit), false),
        (Some(after), None, None) => (events::of_user_after(user, after, limit), false),
        (None, Some(before), Some(node)) => (events::of_node_before(node, user, before, limit), true),
        (None, Some(before), None) => (events::of_user_before(user, before, limit), true),
        (None, None, Some(node)) => (events::newest_of_node(node, user, limit), true),
        (None, None, None) => (events::newest_of_user(user, limit), true),
    };
    let items = read_events(p, statement, newest_first).await?;
    let last_id = items.last().map_or(params.after.unwrap_or(0), |event| event.id);
    Ok(EventsView { items, last_id })
}

/// The newest events of a node, oldest first: for the object that shows them.
pub async fn node_events(p: &impl Platform, user: UserId, node: NodeId, limit: u32) -> Result<Vec<EventView>> {
    read_events(p, events::newest_of_node(node, user, limit), true).await
}

async fn read_events(p: &impl Platform, statement: Statement, newest_first: bool) -> Result<Vec<EventView>> {
    let rows: Vec<EventRow> = many(p, statement).await?;
    let mut items: Vec<EventView> = rows.iter().filter_map(EventRow::view).collect();
    if newest_first {
        items.reverse();
    }
    Ok(items)
}

fn page_limit(asked: Option<u32>, default: u32) -> Result<u32> {
    let limit = asked.unwrap_or(default);
    if (1..=MAX_LIMIT).contains(&limit) {
        Ok(limit)
    } else {
        Err(Error::new(ErrorCode::InvalidParameter, format!("limit: 1 to {MAX_LIMIT}.")))
    }
}

/// Where a page begins: after the last item of the one before, by time of creation and id.
pub(super) struct Cursor {
    /// Created before this.
    pub(super) before: UnixMillis,
    /// Of those created at that instant, with a smaller id.
    pub(super) before_id: String,
    /// Items of the page.
    pub(super) limit: u32,
}

impl Cursor {
    pub(super) fn parse(params: &ListParams) -> Result<Self> {
        let limit = page_limit(params.limit, DEFAULT_LIMIT)?;
        let Some(text) = &params.cursor else {
            // After every time and every id there can be.
            return Ok(Self { before: UnixMillis::new(i64::MAX), before_id: String::new(), limit });
        };
        let parsed = text.split_once('.').and_then(|(at, id)| Some((at.parse::<i64>().ok()?, id)));
        match parsed {
            Some((at, id)) if id.len() <= 64 => {
                Ok(Self { before: UnixMillis::new(at), before_id: id.to_owned(), limit })
            }
            Some(_) | None => {
                Err(Error::new(ErrorCode::InvalidParameter, "cursor: give the next_cursor of the page before."))
            }
        }
    }

    /// A page of rows that were read with one more than the limit.
    pub(super) fn of<R, V>(
        &self,
        mut rows: Vec<R>,
        key: impl Fn(&R) -> (i64, String),
        view: impl Fn(&R) -> Option<V>,
    ) -> Page<V> {
        let limit = self.limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|row| {
            let (at, id) = key(row);
            format!("{at}.{id}")
        });
        Page { items: rows.iter().filter_map(view).collect(), next_cursor }
    }
}
