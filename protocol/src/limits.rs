//! Limits and what is used of them; tenants, and what their admins see.

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, TenantId, UserId, WorkspaceId};
use crate::money::Money;
use crate::state::{Isolation, LimitMeasure, LimitScope, NodeState, ProviderKind, QuotaKind, Role, WorkspaceState};
use crate::time::UnixMillis;

/// A limit and what is used of it. Numbers are texts: whole ones, or amounts of money such as `0.50`. Amounts of different currencies are
/// added as they stand, so that no machine escapes a limit by its currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LimitView {
    /// For whom.
    pub scope: LimitScope,
    /// Of what.
    pub measure: LimitMeasure,
    /// The most there may be; absent where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// What there is.
    pub usage: String,
}

/// A budget of this month of which a share is spent: the highest that was told, and how things were then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BudgetAlertView {
    /// Whose budget.
    pub scope: LimitScope,
    /// Which user or tenant; absent for the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// 50, 80 or 100: then machines end.
    pub percent: u32,
    /// What was spent.
    pub spent: String,
    /// Of how much.
    pub budget: String,
    /// When it was told.
    pub at: UnixMillis,
}

/// Limits as an admin sets them. What is absent falls back: from one user or tenant to what holds for all, from there to the
/// installation's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LimitAmounts {
    /// Machines that are not known to be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
    /// Workspaces that hold a place on a machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspaces: Option<u32>,
    /// Ephemeral workspaces: their machines, until they are known to be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_workspaces: Option<u32>,
    /// What all machines together may cost an hour, e.g. `0.50`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_per_hour: Option<String>,
    /// What may be spent in a calendar month (UTC), e.g. `20.00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_per_month: Option<String>,
}

/// Query of `GET /api/admin/limits`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LimitsParams {
    /// Whose.
    pub scope: LimitScope,
    /// Which user or tenant; what holds for all of them when absent. Absent for the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// `PUT /api/admin/limits`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetLimitsParams {
    /// Whose.
    pub scope: LimitScope,
    /// Which user or tenant; all of them when absent. Absent for the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// In place of all that was set for it before.
    pub limits: LimitAmounts,
}

/// `GET|PUT /api/admin/limits`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LimitsView {
    /// Whose.
    pub scope: LimitScope,
    /// Which user or tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What is set for exactly this.
    pub set: LimitAmounts,
    /// What holds, wherever it comes from, and what is used of it. Empty for what holds for all users or tenants.
    pub items: Vec<LimitView>,
}

/// A tenant: users whose admins see what they have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TenantView {
    /// Names the tenant.
    pub id: TenantId,
    /// For people.
    pub name: String,
    /// When it was created.
    pub created_at: UnixMillis,
}

/// `POST /api/admin/tenants`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateTenantParams {
    /// For people, 1 to 64 characters.
    pub name: String,
}

/// `PUT /api/admin/users/{id}/membership`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MembershipParams {
    /// The user's tenant. It changes only while they have no nodes: a node keeps its tenant.
    pub tenant_id: TenantId,
    /// What they may do beyond their own things.
    pub role: Role,
}

/// A node as the admin of its owner's tenant sees it. Ephemeral ones are their creator's alone and are only counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TenantNodeView {
    /// Names the node.
    pub id: NodeId,
    /// Whose it is.
    pub user_id: UserId,
    /// Where it is in its life.
    pub state: NodeState,
    /// How it is shared.
    pub isolation: Isolation,
    /// Whose machine it is.
    pub provider: ProviderKind,
    /// Where.
    pub region: String,
    /// Which.
    pub size: String,
    /// What it costs.
    pub price_per_hour: Money,
    /// What it has cost.
    pub cost_so_far: Money,
    /// When it was created.
    pub created_at: UnixMillis,
}

/// A node whose owner is suspended: an admin's to delete, and to give up where that does not get on. Nothing more is shown of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SuspendedNodeView {
    /// Names the node.
    pub id: NodeId,
    /// Whose it is.
    pub user_id: UserId,
    /// Where it is in its life.
    pub state: NodeState,
    /// Since when.
    pub state_since_at: UnixMillis,
    /// Why it has to go, as a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What keeps it, in a sentence.
    pub reason: String,
    /// Whether its deletion is late or the provider refuses the key, so that it may be forgotten.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stuck: bool,
}

/// A workspace as the admin of its owner's tenant sees it. Ephemeral ones are their creator's alone and are only counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TenantWorkspaceView {
    /// Names the workspace.
    pub id: WorkspaceId,
    /// Whose it is.
    pub user_id: UserId,
    /// The node it has a place on.
    pub node_id: NodeId,
    /// For people.
    pub name: String,
    /// Where it is in its life.
    pub state: WorkspaceState,
    /// When it was created.
    pub created_at: UnixMillis,
}

/// `GET /api/admin/quota`: what of the platform's free plan this day has used, as estimated from our own rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QuotaView {
    /// When the day began: quotas begin anew at midnight UTC.
    pub since_at: UnixMillis,
    /// Each quota.
    pub items: Vec<QuotaItem>,
    /// How it was estimated, and what is not in it.
    pub how: String,
    /// Idle nodes that the plan carries for a day, nothing else being done.
    pub idle_nodes_carried: u64,
}

/// One quota of the platform's free plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QuotaItem {
    /// Which.
    pub quota: QuotaKind,
    /// The plan's limit for a day.
    pub limit: u64,
    /// What this day has used so far, estimated.
    pub estimate: u64,
}
