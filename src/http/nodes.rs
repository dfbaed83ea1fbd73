//! What a signed-in user may ask about their machines, with a browser or an API token.

use axum::extract::State;
use axum::{Json, Router};
use http::StatusCode;
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::lifecycle::LifecycleView;
use ringfence_protocol::params::{ForgetNodeParams, OwnListParams};
use ringfence_protocol::routes::{self, Principal};
use ringfence_protocol::state::NodePolicy;
use ringfence_protocol::views::{NodeView, Page, PostureView};
use ringfence_protocol::warm::{SetWarmPoolParams, WarmPoolView};

use super::App;
use super::browser::audited;
use super::extract::{JsonBody, PathId, QueryParams, User};
use super::problem::Failure;
use super::table::Table;
use crate::app::caller::Caller;
use crate::app::{delete_node, forget_node, lifecycle, node_policy, read, warm_pool};

type Answer<T> = Result<T, Failure>;

/// The router.
pub fn routes() -> Router<App> {
    Table::new(&[Principal::User])
        .serve(&routes::NODES_LIST, list_nodes)
        .serve(&routes::NODE_GET, get_node)
        .serve(&routes::NODE_POSTURE, get_node_posture)
        .serve(&routes::NODE_LIFECYCLE, get_lifecycle)
        .serve(&routes::NODE_DELETE, remove_node)
        .serve(&routes::NODE_CORDON, cordon_node)
        .serve(&routes::NODE_UNCORDON, uncordon_node)
        .serve(&routes::NODE_DRAIN, drain_node)
        .serve(&routes::NODE_FORGET, forget)
        .serve(&routes::WARM_POOL_GET, get_warm_pool)
        .serve(&routes::WARM_POOL_SET, set_warm_pool)
        .build()
}

#[worker::send]
async fn list_nodes(
    State(app): State<App>,
    User(caller): User,
    QueryParams(params): QueryParams<OwnListParams>,
) -> Answer<Json<Page<NodeView>>> {
    let actor = caller.actor();
    Ok(Json(match params.gone {
        true => read::ended_nodes(&app.host, &actor, &params.page()).await?,
        false => read::nodes(&app.host, &actor, &params.page()).await?,
    }))
}

#[worker::send]
async fn get_node(State(app): State<App>, User(caller): User, PathId(id): PathId<NodeId>) -> Answer<Json<NodeView>> {
    Ok(Json(read::node(&app.host, &caller.actor(), id).await?))
}

#[worker::send]
async fn get_node_posture(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<NodeId>,
) -> Answer<Json<PostureView>> {
    Ok(Json(read::node_posture(&app.host, &caller.actor(), id).await?))
}

#[worker::send]
async fn get_lifecycle(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<NodeId>,
) -> Answer<Json<LifecycleView>> {
    Ok(Json(lifecycle::of_node(&app.host, &app.config.settings.timing, &caller.actor(), id).await?))
}

#[worker::send]
async fn remove_node(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<NodeId>,
) -> Answer<(StatusCode, Json<NodeView>)> {
    let view = delete_node::delete_node(
        &app.host,
        &app.config.settings,
        &caller.actor(),
        id,
        audited(&app, &caller, "node.delete", id),
    )
    .await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

#[worker::send]
async fn cordon_node(State(app): State<App>, User(caller): User, PathId(id): PathId<NodeId>) -> Answer<Json<NodeView>> {
    set_policy(&app, &caller, id, NodePolicy::Cordoned).await
}

#[worker::send]
async fn uncordon_node(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<NodeId>,
) -> Answer<Json<NodeView>> {
    set_policy(&app, &caller, id, NodePolicy::Schedulable).await
}

#[worker::send]
async fn drain_node(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<NodeId>,
) -> Answer<(StatusCode, Json<NodeView>)> {
    Ok((StatusCode::ACCEPTED, set_policy(&app, &caller, id, NodePolicy::Draining).await?))
}

async fn set_policy(app: &App, caller: &Caller, id: NodeId, policy: NodePolicy) -> Answer<Json<NodeView>> {
    let action = match policy {
        NodePolicy::Schedulable => "node.uncordon",
        NodePolicy::Cordoned => "node.cordon",
        NodePolicy::Draining => "node.drain",
    };
    let extra = audited(app, caller, action, id);
    Ok(Json(node_policy::set_policy(&app.host, &app.config.settings, &caller.actor(), id, policy, extra).await?))
}

#[worker::send]
async fn forget(
    State(app): State<App>,
    User(caller): User,
    PathId(id): PathId<NodeId>,
    body: JsonBody<ForgetNodeParams>,
) -> Answer<Json<NodeView>> {
    let extra = audited(&app, &caller, "node.forget", id);
    let (settings, actor) = (&app.config.settings, caller.actor());
    Ok(Json(forget_node::forget_node(&app.host, settings, &actor, id, &body.params, extra).await?))
}

#[worker::send]
async fn get_warm_pool(State(app): State<App>, User(caller): User) -> Answer<Json<WarmPoolView>> {
    Ok(Json(warm_pool::get(&app.host, &app.config, &caller).await?))
}

#[worker::send]
async fn set_warm_pool(
    State(app): State<App>,
    User(caller): User,
    body: JsonBody<SetWarmPoolParams>,
) -> Answer<Json<WarmPoolView>> {
    Ok(Json(warm_pool::set(&app.host, &app.config, &caller, body.params).await?))
}
