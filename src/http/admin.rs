//! What admins may do. Every handler takes [`Admin`], which refuses everybody else.

use axum::extract::State;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use ringfence_protocol::ids::{NodeId, UserId};
use ringfence_protocol::limits::{
    BudgetAlertView, CreateTenantParams, LimitsParams, LimitsView, MembershipParams, QuotaView, SetLimitsParams,
    SuspendedNodeView, TenantView,
};
use ringfence_protocol::params::{CreateUserParams, ForgetNodeParams, ListParams, PauseProvisioningParams};
use ringfence_protocol::routes::{self, Principal};
use ringfence_protocol::sweeps::{SweepParams, SweepView};
use ringfence_protocol::views::{AuditView, Page, ProvisioningView, SignInLinkView, UserView};

use super::extract::{Admin, IdempotencyKey, JsonBody, PathId, QueryParams};
use super::problem::Failure;
use super::table::Table;
use super::{App, origin};
use crate::app::idempotency::Repeatable;
use crate::app::provisioner::Vault;
use crate::app::{limits, provisioning, quota, suspended_nodes, sweep, tenants, users};

type Answer<T> = Result<T, Failure>;

/// The router.
pub fn routes() -> Router<App> {
    Table::new(&[Principal::Admin])
        .serve(&routes::ADMIN_USERS_LIST, list_users)
        .serve(&routes::ADMIN_USER_CREATE, create_user)
        .serve(&routes::ADMIN_USER_GET, get_user)
        .serve(&routes::ADMIN_USER_SUSPEND, suspend_user)
        .serve(&routes::ADMIN_USER_RESUME, resume_user)
        .serve(&routes::ADMIN_USER_LINK, create_sign_in_link)
        .serve(&routes::ADMIN_PROVISIONING, get_provisioning)
        .serve(&routes::ADMIN_PROVISIONING_PAUSE, pause_provisioning)
        .serve(&routes::ADMIN_PROVISIONING_RESUME, resume_provisioning)
        .serve(&routes::ADMIN_SWEEP, sweep_now)
        .serve(&routes::ADMIN_NODES_STUCK, list_stuck_nodes)
        .serve(&routes::ADMIN_NODES_SUSPENDED, list_suspended_nodes)
        .serve(&routes::ADMIN_NODE_DELETE, delete_node)
        .serve(&routes::ADMIN_NODE_FORGET, forget_node)
        .serve(&routes::ADMIN_USER_MEMBERSHIP, set_membership)
        .serve(&routes::ADMIN_TENANTS_LIST, list_tenants)
        .serve(&routes::ADMIN_TENANT_CREATE, create_tenant)
        .serve(&routes::ADMIN_QUOTA, get_quota)
        .serve(&routes::ADMIN_LIMITS_GET, get_limits)
        .serve(&routes::ADMIN_LIMITS_SET, set_limits)
        .serve(&routes::ADMIN_BUDGET_ALERTS, list_budget_alerts)
        .serve(&routes::ADMIN_AUDIT, list_audit)
        .build()
}

#[worker::send]
async fn list_users(
    State(app): State<App>,
    Admin(caller): Admin,
    QueryParams(params): QueryParams<ListParams>,
) -> Answer<Json<Page<UserView>>> {
    Ok(Json(users::list(&app.host, &caller, params).await?))
}

#[worker::send]
async fn create_user(
    State(app): State<App>,
    Admin(caller): Admin,
    IdempotencyKey(key): IdempotencyKey,
    body: JsonBody<CreateUserParams>,
) -> Answer<(StatusCode, Json<UserView>)> {
    let repeatable = Repeatable::new(&caller, &routes::ADMIN_USER_CREATE, key, body.sha256);
    Ok((StatusCode::CREATED, Json(users::create(&app.host, &caller, body.params, &repeatable).await?)))
}

#[worker::send]
async fn get_user(State(app): State<App>, Admin(caller): Admin, PathId(id): PathId<UserId>) -> Answer<Json<UserView>> {
    Ok(Json(users::get(&app.host, &caller, id).await?))
}

#[worker::send]
async fn suspend_user(
    State(app): State<App>,
    Admin(caller): Admin,
    PathId(id): PathId<UserId>,
) -> Answer<Json<UserView>> {
    Ok(Json(users::suspend(&app.host, &caller, id).await?))
}

#[worker::send]
async fn list_stuck_nodes(
    State(app): State<App>,
    Admin(caller): Admin,
    QueryParams(params): QueryParams<ListParams>,
) -> Answer<Json<Page<SuspendedNodeView>>> {
    Ok(Json(suspended_nodes::stuck(&app.host, &caller, &params).await?))
}

#[worker::send]
async fn list_suspended_nodes(
    State(app): State<App>,
    Admin(caller): Admin,
    QueryParams(params): QueryParams<ListParams>,
) -> Answer<Json<Page<SuspendedNodeView>>> {
    Ok(Json(suspended_nodes::list(&app.host, &caller, &params).await?))
}

#[worker::send]
async fn delete_node(State(app): State<App>, Admin(caller): Admin, PathId(id): PathId<NodeId>) -> Answer<StatusCode> {
    suspended_nodes::delete(&app.host, &app.config.settings, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[worker::send]
async fn forget_node(
    State(app): State<App>,
    Admin(caller): Admin,
    PathId(id): PathId<NodeId>,
    body: JsonBody<ForgetNodeParams>,
) -> Answer<StatusCode> {
    suspended_nodes::forget(&app.host, &app.config.settings, &caller, id, &body.params).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[worker::send]
async fn resume_user(
    State(app): State<App>,
    Admin(caller): Admin,
    PathId(id): PathId<UserId>,
) -> Answer<Json<UserView>> {
    Ok(Json(users::resume(&app.host, &caller, id).await?))
}

#[worker::send]
async fn create_sign_in_link(
    State(app): State<App>,
    Admin(caller): Admin,
    PathId(id): PathId<UserId>,
    IdempotencyKey(key): IdempotencyKey,
    headers: HeaderMap,
) -> Answer<(StatusCode, Json<SignInLinkView>)> {
    // The body is empty: whose link it is stands in its place.
    let repeatable = Repeatable::new(&caller, &routes::ADMIN_USER_LINK, key, id.to_string());
    // The page that asked is one that browsers reach; the canonical origin may be one that only machines do.
    let origin = origin::of(&headers, &app.config.origins).unwrap_or_else(|| app.config.origin());
    let view = users::sign_in_link(&app.host, &app.config, &caller, id, origin, &repeatable).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

#[worker::send]
async fn get_provisioning(State(app): State<App>, Admin(caller): Admin) -> Answer<Json<ProvisioningView>> {
    Ok(Json(provisioning::get(&app.host, &app.config.settings, &caller).await?))
}

#[worker::send]
async fn pause_provisioning(
    State(app): State<App>,
    Admin(caller): Admin,
    body: JsonBody<PauseProvisioningParams>,
) -> Answer<Json<ProvisioningView>> {
    Ok(Json(provisioning::pause(&app.host, &app.config.settings, &caller, &body.params).await?))
}

#[worker::send]
async fn resume_provisioning(State(app): State<App>, Admin(caller): Admin) -> Answer<Json<ProvisioningView>> {
    Ok(Json(provisioning::resume(&app.host, &app.config.settings, &caller).await?))
}

#[worker::send]
async fn sweep_now(
    State(app): State<App>,
    Admin(caller): Admin,
    QueryParams(params): QueryParams<SweepParams>,
) -> Answer<Json<SweepView>> {
    Ok(Json(sweep::on_demand(&app.host, &app.config, &Vault(&app.config), &caller, &params).await?))
}

#[worker::send]
async fn set_membership(
    State(app): State<App>,
    Admin(caller): Admin,
    PathId(id): PathId<UserId>,
    body: JsonBody<MembershipParams>,
) -> Answer<Json<UserView>> {
    Ok(Json(tenants::set_membership(&app.host, &caller, id, body.params).await?))
}

#[worker::send]
async fn list_tenants(
    State(app): State<App>,
    Admin(caller): Admin,
    QueryParams(params): QueryParams<ListParams>,
) -> Answer<Json<Page<TenantView>>> {
    Ok(Json(tenants::list(&app.host, &caller, params).await?))
}

#[worker::send]
async fn create_tenant(
    State(app): State<App>,
    Admin(caller): Admin,
    IdempotencyKey(key): IdempotencyKey,
    body: JsonBody<CreateTenantParams>,
) -> Answer<(StatusCode, Json<TenantView>)> {
    let repeatable = Repeatable::new(&caller, &routes::ADMIN_TENANT_CREATE, key, body.sha256);
    Ok((StatusCode::CREATED, Json(tenants::create(&app.host, &caller, body.params, &repeatable).await?)))
}

#[worker::send]
async fn get_quota(State(app): State<App>, Admin(caller): Admin) -> Answer<Json<QuotaView>> {
    Ok(Json(quota::quota(&app.host, &caller).await?))
}

#[worker::send]
async fn get_limits(
    State(app): State<App>,
    Admin(caller): Admin,
    QueryParams(params): QueryParams<LimitsParams>,
) -> Answer<Json<LimitsView>> {
    Ok(Json(limits::get(&app.host, &app.config, &caller, params.scope, params.id).await?))
}

#[worker::send]
async fn set_limits(
    State(app): State<App>,
    Admin(caller): Admin,
    body: JsonBody<SetLimitsParams>,
) -> Answer<Json<LimitsView>> {
    Ok(Json(limits::set(&app.host, &app.config, &caller, body.params).await?))
}

#[worker::send]
async fn list_budget_alerts(State(app): State<App>, Admin(caller): Admin) -> Answer<Json<Page<BudgetAlertView>>> {
    Ok(Json(limits::budget_alerts(&app.host, &caller).await?))
}

#[worker::send]
async fn list_audit(
    State(app): State<App>,
    Admin(caller): Admin,
    QueryParams(params): QueryParams<ListParams>,
) -> Answer<Json<Page<AuditView>>> {
    Ok(Json(users::audit_log(&app.host, &caller, params).await?))
}
