//! What the admins of a tenant may ask, about their own tenant only. Every handler takes [`TenantAdmin`], which refuses everybody else.

use axum::extract::State;
use axum::{Json, Router};
use ringfence_protocol::limits::{BudgetAlertView, LimitView, TenantNodeView, TenantWorkspaceView};
use ringfence_protocol::params::ListParams;
use ringfence_protocol::routes::{self, Principal};
use ringfence_protocol::views::{Page, UserView};

use super::App;
use super::extract::{QueryParams, TenantAdmin};
use super::problem::Failure;
use super::table::Table;
use crate::app::{limits, tenants};

type Answer<T> = Result<T, Failure>;

/// The router.
pub fn routes() -> Router<App> {
    Table::new(&[Principal::TenantAdmin])
        .serve(&routes::TENANT_USERS, list_users)
        .serve(&routes::TENANT_NODES, list_nodes)
        .serve(&routes::TENANT_WORKSPACES, list_workspaces)
        .serve(&routes::TENANT_USAGE, get_usage)
        .serve(&routes::TENANT_BUDGET_ALERTS, list_budget_alerts)
        .build()
}

#[worker::send]
async fn list_users(
    State(app): State<App>,
    TenantAdmin(caller): TenantAdmin,
    QueryParams(params): QueryParams<ListParams>,
) -> Answer<Json<Page<UserView>>> {
    Ok(Json(tenants::own_users(&app.host, &caller, params).await?))
}

#[worker::send]
async fn list_nodes(
    State(app): State<App>,
    TenantAdmin(caller): TenantAdmin,
    QueryParams(params): QueryParams<ListParams>,
) -> Answer<Json<Page<TenantNodeView>>> {
    Ok(Json(tenants::own_nodes(&app.host, &caller, &params).await?))
}

#[worker::send]
async fn list_workspaces(
    State(app): State<App>,
    TenantAdmin(caller): TenantAdmin,
    QueryParams(params): QueryParams<ListParams>,
) -> Answer<Json<Page<TenantWorkspaceView>>> {
    Ok(Json(tenants::own_workspaces(&app.host, &caller, &params).await?))
}

#[worker::send]
async fn get_usage(State(app): State<App>, TenantAdmin(caller): TenantAdmin) -> Answer<Json<Page<LimitView>>> {
    Ok(Json(limits::tenant_usage(&app.host, &app.config, &caller).await?))
}

#[worker::send]
async fn list_budget_alerts(
    State(app): State<App>,
    TenantAdmin(caller): TenantAdmin,
) -> Answer<Json<Page<BudgetAlertView>>> {
    Ok(Json(limits::tenant_budget_alerts(&app.host, &caller).await?))
}
