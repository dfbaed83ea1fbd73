//! Bodies of answers.

mod account;
mod cloud;
mod event;
mod node;
mod workspace;

use serde::{Deserialize, Serialize};

pub use self::account::{
    ApiTokenView, ContainerLimitsView, CreatedApiTokenView, MeView, PatienceLimitsView, SessionView, SignInLinkView,
    UserView,
};
pub use self::cloud::{CatalogView, CredentialView, PriceView, ProviderView, RegionView, SizeView};
pub use self::event::{EventKind, EventView, EventsView, SocketMessage};
pub use self::node::{NodeView, PostureView};
pub use self::workspace::{ActivityView, ContainerView, EndingView, NodeSummary, WorkspaceTokenView, WorkspaceView};
use crate::sweeps::SweepStatusView;
use crate::time::UnixMillis;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "{T}Page"))]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Give it as `cursor` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// `GET /readyz`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReadyView {
    /// Whether all of it is in order.
    pub ready: bool,
    /// Each check.
    pub checks: Vec<CheckView>,
    /// When each sweep last ran; empty where that cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sweeps: Vec<SweepStatusView>,
}

/// One check of readiness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckView {
    /// What was checked: `database`, `keys`, `migrations`, `sweeps`.
    pub name: String,
    /// Whether it is in order.
    pub ok: bool,
    /// What is wrong, in words that give nothing away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// `GET /api/admin/provisioning`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProvisioningView {
    /// Whether no machines are made for anybody.
    pub paused: bool,
    /// Whether the operator's configuration says so: no admin can change that.
    pub by_operator: bool,
    /// Why, as the admin who paused it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Which admin paused it: a user's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_at: Option<UnixMillis>,
}

/// One row of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditView {
    /// Grows with time.
    pub id: i64,
    /// When.
    pub at: UnixMillis,
    /// Who: a user's id, `node:…`, or `operator`.
    pub actor: String,
    /// What, e.g. `session.create`.
    pub action: String,
    /// On what: an id.
    pub subject: String,
    /// From where: an address, empty when not over the network.
    pub source_address: String,
    /// More, for people.
    pub detail: String,
}
