//! Workspaces.

use serde::{Deserialize, Serialize};

use crate::container::Repository;
use crate::ids::{NodeId, WorkspaceId};
use crate::money::Money;
use crate::params::SecretText;
use crate::state::{
    ActivityCause, EndingCause, EngineKind, Isolation, NetworkMode, NodeState, Permission, ProviderKind, WorkspaceState,
};
use crate::time::UnixMillis;

/// A workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkspaceView {
    /// Names the workspace.
    pub id: WorkspaceId,
    /// For people.
    pub name: String,
    /// Where it is in its life.
    pub state: WorkspaceState,
    /// Since when.
    pub state_since_at: UnixMillis,
    /// When the state ends whatever happens; absent for states that may last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<UnixMillis>,
    /// Why it failed: a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The state in a sentence.
    pub reason: String,
    /// How its node is shared.
    pub isolation: Isolation,
    /// What was asked of its container; absent where it is a plain process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerView>,
    /// After how long without use it is stopped.
    pub idle_timeout_secs: u64,
    /// How long it is kept once it is stopped.
    pub stop_keep_secs: u64,
    /// The newest sign of use. Absent as long as nobody has told one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<ActivityView>,
    /// Until when its owner keeps it from ending for want of use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive_until_at: Option<UnixMillis>,
    /// When and why it will next end by itself, if nothing happens before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<EndingView>,
    /// The node it has a place on.
    pub node: NodeSummary,
    /// Why it was placed there.
    pub placement_explanation: String,
    /// Grows when what is asked of it changes.
    pub spec_generation: i64,
    /// Counter of changes.
    pub row_version: i64,
    /// When it was created.
    pub created_at: UnixMillis,
}

/// What was asked of a workspace's container. What came of it is its posture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ContainerView {
    /// The image that was asked for; the repository's `devcontainer.json` may name another one.
    pub image: String,
    /// Processors.
    pub cpu_limit: f64,
    /// Memory, without swap.
    pub memory_limit_bytes: u64,
    /// Room for `/workspace` and `/sessions` together.
    pub disk_quota_bytes: u64,
    /// Processes and threads.
    pub pids_limit: u32,
    /// What it reaches over the network.
    pub network: NetworkMode,
    /// With a restricted network, the domains it reaches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_domains: Vec<String>,
    /// What was cloned into `/workspace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// Names of its environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Names of its secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}

/// A sign that a workspace is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ActivityView {
    /// What it was.
    pub cause: ActivityCause,
    /// When it was last seen; ahead of now where it is known to go on.
    pub until_at: UnixMillis,
}

/// How a workspace will next end by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EndingView {
    /// When.
    pub at: UnixMillis,
    /// Why.
    pub cause: EndingCause,
    /// What will happen, in a sentence.
    pub detail: String,
}

/// What a workspace tells of its node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NodeSummary {
    /// Names the node.
    pub id: NodeId,
    /// Where it is in its life.
    pub state: NodeState,
    /// Whose machine it is.
    pub provider: ProviderKind,
    /// Where.
    pub region: String,
    /// Which.
    pub size: String,
    /// What runs workspaces on it; `unconfined` means without isolation. Absent until the agent has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineKind>,
    /// What it costs.
    pub price_per_hour: Money,
}

/// `POST /api/workspaces/{id}/token`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkspaceTokenView {
    /// Offer it as the second WebSocket subprotocol, after `ringfence.v1`.
    pub token: SecretText,
    /// What it allows.
    pub permissions: Vec<Permission>,
    /// Until when it opens sockets.
    pub expires_at: UnixMillis,
}
