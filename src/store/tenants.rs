//! Tenants, who is in them, and what their admins see.

use ringfence_protocol::ids::{NodeId, TenantId, UserId, WorkspaceId};
use ringfence_protocol::state::{Role, WorkspaceState};
use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;

use crate::ports::Statement;

/// A tenant's row.
#[derive(Debug, Clone, Deserialize)]
pub struct TenantRow {
    /// Names it.
    pub id: TenantId,
    /// For people.
    pub name: String,
    /// When it was created.
    pub created_at_ms: i64,
}

/// A new tenant.
pub fn insert(id: TenantId, name: &str, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO tenants (id, name, created_at_ms) VALUES (?1, ?2, ?3)",
        [id.into(), name.into(), now.into()],
    )
}

/// One tenant.
pub fn by_id(id: TenantId) -> Statement {
    Statement::new("SELECT id, name, created_at_ms FROM tenants WHERE id = ?1", [id.into()])
}

/// Tenants by id, after a cursor.
pub fn list(after: &str, limit: u32) -> Statement {
    Statement::new(
        "SELECT id, name, created_at_ms FROM tenants WHERE id > ?1 ORDER BY id LIMIT ?2",
        [after.into(), i64::from(limit).into()],
    )
}

/// Lets the batch fail unless the tenant exists.
pub fn require_present(id: TenantId) -> Statement {
    Statement::new(
        "INSERT INTO preconditions (broken) SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM tenants WHERE id = ?1)",
        [id.into()],
    )
}

/// A new user in a tenant that is there.
pub fn insert_user(id: UserId, tenant: TenantId, name: &str, role: Role, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO users (id, tenant_id, name, role, state, created_at_ms, row_version)
         VALUES (?1, ?2, ?3, ?4, 'active', ?5, 1)",
        [id.into(), tenant.into(), name.into(), role.as_str().into(), now.into()],
    )
}

/// Puts a user into a tenant that exists and a role. Into another tenant only while they have no node: a node keeps its tenant, and one
/// that is being inserted meanwhile finds its owner elsewhere.
pub fn set_membership(user: UserId, tenant: TenantId, role: Role) -> Statement {
    Statement::new(
        "UPDATE users SET tenant_id = ?2, role = ?3, row_version = row_version + 1
         WHERE id = ?1 AND EXISTS (SELECT 1 FROM tenants WHERE id = ?2)
           AND (tenant_id = ?2 OR NOT EXISTS (SELECT 1 FROM nodes WHERE user_id = ?1 AND state <> 'gone'))",
        [user.into(), tenant.into(), role.as_str().into()],
    )
}

/// The users of a tenant, after a cursor.
pub fn users(tenant: TenantId, after: &str, limit: u32) -> Statement {
    Statement::new(
        "SELECT id, tenant_id, name, role, state, created_at_ms FROM users
         WHERE tenant_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        [tenant.into(), after.into(), i64::from(limit).into()],
    )
}

/// A workspace as the admin of its owner's tenant sees it.
#[derive(Debug, Clone, Deserialize)]
pub struct WorkspaceRow {
    /// Names it.
    pub id: WorkspaceId,
    /// Whose it is.
    pub user_id: UserId,
    /// Where it is.
    pub node_id: NodeId,
    /// For people.
    pub name: String,
    /// Where it is in its life.
    pub state: WorkspaceState,
    /// When it was asked for.
    pub created_at_ms: i64,
}

/// The workspaces on a tenant's nodes, newest first, but for ephemeral ones, which are their creator's alone.
pub fn workspaces(tenant: TenantId, before: UnixMillis, before_id: &str, limit: u32) -> Statement {
    Statement::new(
        "SELECT w.id, w.user_id, w.node_id, w.name, w.state, w.created_at_ms
         FROM nodes n JOIN workspaces w ON w.node_id = n.id AND w.state <> 'gone'
         WHERE n.tenant_id = ?1 AND n.state <> 'gone' AND n.isolation <> 'ephemeral' AND (w.created_at_ms, w.id) < (?2, ?3)
         ORDER BY w.created_at_ms DESC, w.id DESC LIMIT ?4",
        [tenant.into(), before.into(), before_id.into(), i64::from(limit).into()],
    )
}
