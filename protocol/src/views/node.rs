//! Nodes, and what was measured of them.

use serde::{Deserialize, Serialize};

use crate::ids::{CredentialId, NodeId, WorkspaceId};
use crate::link::Facts;
use crate::money::Money;
use crate::posture::PostureCheck;
use crate::state::{EngineKind, Isolation, NodeHealth, NodePolicy, NodeState, ProviderKind};
use crate::time::UnixMillis;

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NodeView {
    /// Names the node.
    pub id: NodeId,
    /// Where it is in its life.
    pub state: NodeState,
    /// Since when.
    pub state_since_at: UnixMillis,
    /// When the state ends whatever happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<UnixMillis>,
    /// Why it failed or was quarantined: a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The state in a sentence.
    pub reason: String,
    /// What its owner wants of it.
    pub policy: NodePolicy,
    /// What we infer from its link.
    pub health: NodeHealth,
    /// Since when its link is down; absent while it is up, and where there never was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away_since_at: Option<UnixMillis>,
    /// How it is shared.
    pub isolation: Isolation,
    /// Whose machine it is.
    pub provider: ProviderKind,
    /// With which key.
    pub credential_id: CredentialId,
    /// Where.
    pub region: String,
    /// Which.
    pub size: String,
    /// The provider's name for the machine, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_instance_id: Option<String>,
    /// What runs workspaces on it; `unconfined` means without isolation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineKind>,
    /// The agent's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// The newest figures of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    /// Places for workspaces.
    pub slots: u32,
    /// Workspaces that hold one.
    pub workspaces: Vec<WorkspaceId>,
    /// Since when it has had no workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_since_at: Option<UnixMillis>,
    /// When it is destroyed whatever happens.
    pub hard_deadline_at: UnixMillis,
    /// What it costs.
    pub price_per_hour: Money,
    /// Whether its deletion is late or the provider refuses the key, so that it may be forgotten.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stuck: bool,
    /// What it has cost, from the moment the provider was first asked for it.
    pub cost_so_far: Money,
    /// Counter of changes.
    pub row_version: i64,
    /// When it was created.
    pub created_at: UnixMillis,
}

/// `GET /api/nodes/{id}/posture` and `GET /api/workspaces/{id}/posture`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PostureView {
    /// Whether all that must hold was seen to hold.
    pub holds: bool,
    /// When it was measured.
    pub measured_at: UnixMillis,
    /// Each thing that was looked at.
    pub checks: Vec<PostureCheck>,
}
