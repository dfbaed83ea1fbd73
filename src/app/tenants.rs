//! Tenants: made by admins, seen by their own.

use ringfence_protocol::ids::{TenantId, UserId};
use ringfence_protocol::limits::{
    CreateTenantParams, MembershipParams, TenantNodeView, TenantView, TenantWorkspaceView,
};
use ringfence_protocol::params::ListParams;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::{Page, UserView};

use super::caller::Caller;
use super::idempotency::Repeatable;
use super::read::Cursor;
use super::sessions::user_view;
use super::text::display_name;
use super::users;
use super::views::node_view;
use crate::error::{Error, Result};
use crate::ports::{DbError, Platform};
use crate::store::identity::UserRow;
use crate::store::nodes::NodeRow;
use crate::store::tenants::{self, TenantRow, WorkspaceRow};
use crate::store::{audit, changed, many, nodes, one};

fn tenant_view(row: &TenantRow) -> TenantView {
    TenantView { id: row.id, name: row.name.clone(), created_at: UnixMillis::new(row.created_at_ms) }
}

/// Creates a tenant.
pub async fn create(
    p: &impl Platform,
    caller: &Caller,
    params: CreateTenantParams,
    repeatable: &Repeatable,
) -> Result<TenantView> {
    caller.require_admin()?;
    if let Some(view) = made_before(p, repeatable).await? {
        return Ok(view);
    }
    let name = display_name("name", &params.name)?;
    let (id, now): (TenantId, _) = (p.id(), p.now());
    let mut batch =
        vec![tenants::insert(id, &name, now), audit::record(&caller.act("tenant.create", id, name.as_str()), now)];
    batch.extend(repeatable.statement(&id.to_string(), now));
    match p.batch(batch).await {
        Ok(_) => Ok(TenantView { id, name, created_at: now }),
        // Another request with the same key was faster: its answer is this one's.
        Err(DbError::Constraint(log)) => made_before(p, repeatable).await?.ok_or_else(|| Error::internal(log)),
        Err(error) => Err(error.into()),
    }
}

async fn made_before(p: &impl Platform, repeatable: &Repeatable) -> Result<Option<TenantView>> {
    let Some(id) = repeatable.made_before(p).await? else { return Ok(None) };
    let id: TenantId = id.parse().map_err(|_| Error::internal("an idempotency row holds no tenant"))?;
    Ok(one::<TenantRow>(p, tenants::by_id(id)).await?.as_ref().map(tenant_view))
}

/// Every tenant.
pub async fn list(p: &impl Platform, caller: &Caller, params: ListParams) -> Result<Page<TenantView>> {
    caller.require_admin()?;
    let limit = users::page_limit(params.limit)?;
    let rows: Vec<TenantRow> = many(p, tenants::list(&params.cursor.unwrap_or_default(), limit)).await?;
    let next_cursor = (rows.len() == limit as usize).then(|| rows.last().map(|row| row.id.to_string())).flatten();
    Ok(Page { items: rows.iter().map(tenant_view).collect(), next_cursor })
}

/// Puts a user into a tenant and a role.
pub async fn set_membership(
    p: &impl Platform,
    caller: &Caller,
    user: UserId,
    params: MembershipParams,
) -> Result<UserView> {
    caller.require_admin()?;
    let MembershipParams { tenant_id, role } = params;
    let before = users::get(p, caller, user).await?;
    if user == caller.user.id && role != before.role {
        return Err(Error::new(
            ErrorCode::Conflict,
            "You cannot change your own role: nobody might be left to give it back. Nothing was changed.",
        ));
    }
    let act = caller.act("user.membership", user, format!("{tenant_id} {role}"));
    let batch = vec![tenants::set_membership(user, tenant_id, role), audit::record_if_changed(&act, p.now())];
    if !changed(&p.batch(batch).await?, 0) {
        return Err(match one::<TenantRow>(p, tenants::by_id(tenant_id)).await? {
            None => Error::not_found("tenant"),
            Some(_) => Error::new(
                ErrorCode::Conflict,
                "The user has nodes, which keep their tenant. Nothing was changed; delete the nodes first.",
            ),
        });
    }
    users::get(p, caller, user).await
}

/// The users of the caller's tenant.
pub async fn own_users(p: &impl Platform, caller: &Caller, params: ListParams) -> Result<Page<UserView>> {
    caller.require_tenant_admin()?;
    let limit = users::page_limit(params.limit)?;
    let after = params.cursor.unwrap_or_default();
    let rows: Vec<UserRow> = many(p, tenants::users(caller.user.tenant_id, &after, limit)).await?;
    let next_cursor = (rows.len() == limit as usize).then(|| rows.last().map(|row| row.id.to_string())).flatten();
    Ok(Page { items: rows.iter().map(user_view).collect(), next_cursor })
}

/// The nodes of the users of the caller's tenant, but for ephemeral ones.
pub async fn own_nodes(p: &impl Platform, caller: &Caller, params: &ListParams) -> Result<Page<TenantNodeView>> {
    caller.require_tenant_admin()?;
    let page = Cursor::parse(params)?;
    let statement = nodes::page_of_tenant(caller.user.tenant_id, page.before, &page.before_id, page.limit + 1);
    let rows: Vec<NodeRow> = many(p, statement).await?;
    let now = p.now();
    Ok(page.of(
        rows,
        |row| (row.created_at_ms, row.id.to_string()),
        |row| {
            let view = node_view(row, &row.node(), Vec::new(), now);
            Some(TenantNodeView {
                id: view.id,
                user_id: row.user_id,
                state: view.state,
                isolation: view.isolation,
                provider: view.provider,
                region: view.region,
                size: view.size,
                price_per_hour: view.price_per_hour,
                cost_so_far: view.cost_so_far,
                created_at: view.created_at,
            })
        },
    ))
}

/// The workspaces of the users of the caller's tenant, but for ephemeral ones.
pub async fn own_workspaces(
    p: &impl Platform,
    caller: &Caller,
    params: &ListParams,
) -> Result<Page<TenantWorkspaceView>> {
    caller.require_tenant_admin()?;
    let page = Cursor::parse(params)?;
    let statement = tenants::workspaces(caller.user.tenant_id, page.before, &page.before_id, page.limit + 1);
    let rows: Vec<WorkspaceRow> = many(p, statement).await?;
    Ok(page.of(
        rows,
        |row| (row.created_at_ms, row.id.to_string()),
        |row| {
            Some(TenantWorkspaceView {
                id: row.id,
                user_id: row.user_id,
                node_id: row.node_id,
                name: row.name.clone(),
                state: row.state,
                created_at: UnixMillis::new(row.created_at_ms),
            })
        },
    ))
}
