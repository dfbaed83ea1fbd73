//! Bodies of answers.

use serde::{Deserialize, Serialize};

use crate::container::Repository;
use crate::ids::{ApiTokenId, CredentialId, NodeId, SessionId, TenantId, UserId, WorkspaceId};
use crate::link::{Facts, Progress};
use crate::money::Money;
use crate::params::SecretText;
use crate::posture::PostureCheck;
use crate::state::{
    ActivityCause, EndingCause, EngineChoice, EngineKind, Isolation, NetworkMode, NodeHealth, NodePolicy, NodeState,
    Permission, ProviderKind, Role, SaveOutcome, UserState, WorkspaceState,
};
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

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserView {
    /// Names the user.
    pub id: UserId,
    /// For people.
    pub name: String,
    /// The user's tenant.
    pub tenant_id: TenantId,
    /// What they may do beyond their own things.
    pub role: Role,
    /// Whether they may act at all.
    pub state: UserState,
    /// When they were created.
    pub created_at: UnixMillis,
}

/// `GET /api/me`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MeView {
    /// Who.
    pub user: UserView,
    /// This browser's session; absent with an API token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// When this session or token ends.
    pub expires_at: UnixMillis,
    /// What this installation runs workspaces with; `unconfined` means without isolation.
    pub engine: EngineChoice,
    /// What a workspace's container is when nothing else is asked, and the most that can be asked. Absent where there are no containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_limits: Option<ContainerLimitsView>,
    /// How long workspaces wait for use, and the longest that can be asked.
    pub patience_limits: PatienceLimitsView,
}

/// Defaults and ceilings of how long workspaces wait in this installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PatienceLimitsView {
    /// After how long without use a workspace is stopped when nothing else is asked.
    pub idle_timeout_secs: u64,
    /// The longest that can be asked.
    pub idle_timeout_secs_max: u64,
    /// How long a stopped workspace is kept when nothing else is asked.
    pub stop_keep_secs: u64,
    /// The longest that can be asked.
    pub stop_keep_secs_max: u64,
    /// How far ahead a keep-alive may reach.
    pub keep_alive_secs_max: u64,
}

/// Defaults and ceilings of containers in this installation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ContainerLimitsView {
    /// When nothing is asked.
    pub default: ContainerView,
    /// The most processors.
    pub cpu_limit_max: f64,
    /// The most memory.
    pub memory_limit_bytes_max: u64,
    /// The most disk.
    pub disk_quota_bytes_max: u64,
    /// The most processes and threads.
    pub pids_limit_max: u32,
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

/// A signed-in browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionView {
    /// Names the session.
    pub id: SessionId,
    /// Whether it is the one that asks.
    pub current: bool,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it ends by itself.
    pub expires_at: UnixMillis,
    /// What the browser called itself.
    pub user_agent: String,
    /// Where the sign-in came from.
    pub source_address: String,
}

/// A sign-in link.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignInLinkView {
    /// Give it to the user over a channel you trust. Works once.
    pub url: SecretText,
    /// When it stops working.
    pub expires_at: UnixMillis,
}

/// An API token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ApiTokenView {
    /// Names the token.
    pub id: ApiTokenId,
    /// What it is for.
    pub name: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it ends.
    pub expires_at: UnixMillis,
}

/// The answer to creating an API token: the only time its secret is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CreatedApiTokenView {
    /// The token without its secret.
    #[serde(flatten)]
    pub token: ApiTokenView,
    /// `rf_…`: send it as `Authorization: Bearer rf_…`.
    pub secret: SecretText,
}

/// A cloud that Ringfence can use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProviderView {
    /// Names the provider.
    pub kind: ProviderKind,
    /// For people.
    pub name: String,
    /// What to paste and where to get it.
    pub secret_hint: String,
    /// The page where a key is made.
    pub secret_url: String,
    /// Whether a machine that is switched off costs nothing.
    pub poweroff_ends_billing: bool,
    /// What it bills at once, e.g. an hour; absent where each second counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_period_secs: Option<u64>,
}

/// A user's key for a cloud, without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CredentialView {
    /// Names the credential.
    pub id: CredentialId,
    /// Which cloud.
    pub provider: ProviderKind,
    /// The user's name for it.
    pub name: String,
    /// When it was stored.
    pub created_at: UnixMillis,
    /// When the provider last accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validated_at: Option<UnixMillis>,
    /// Counter of changes.
    pub row_version: i64,
}

/// What a cloud offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CatalogView {
    /// Which cloud.
    pub provider: ProviderKind,
    /// Where machines can stand.
    pub regions: Vec<RegionView>,
    /// What machines there are, cheapest first.
    pub sizes: Vec<SizeView>,
    /// When the provider was asked.
    pub fetched_at: UnixMillis,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RegionView {
    /// The provider's name for it, e.g. `fsn1`.
    pub id: String,
    /// For people, e.g. `Falkenstein, DE`.
    pub name: String,
}

/// A machine type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SizeView {
    /// The provider's name for it, e.g. `cx23`.
    pub id: String,
    /// Processors.
    pub cpus: u32,
    /// Memory.
    pub memory_bytes: u64,
    /// Disk.
    pub disk_bytes: u64,
    /// `x86_64` or `aarch64`.
    pub architecture: String,
    /// Where it can be had, and for how much.
    pub prices: Vec<PriceView>,
}

/// A price at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PriceView {
    /// Where.
    pub region: String,
    /// With VAT as the provider states it for the account.
    pub per_hour: Money,
}

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

/// Something that happened to a node or a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventView {
    /// Grows with time.
    pub id: i64,
    /// When.
    pub at: UnixMillis,
    /// On which node.
    pub node_id: NodeId,
    /// To which workspace, when it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<WorkspaceId>,
    /// What.
    #[serde(flatten)]
    pub event: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// The node's state changed.
    NodeState {
        /// To what.
        state: NodeState,
        /// Why, in a sentence.
        detail: String,
    },
    /// The workspace's state changed.
    WorkspaceState {
        /// To what.
        state: WorkspaceState,
        /// Why, in a sentence.
        detail: String,
    },
    /// A step of the node's boot, or of making the workspace, ended.
    BootStep {
        /// What was done.
        step: String,
        /// How long it took.
        duration_ms: u64,
        /// Why it failed; absent when it did not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// Something a person should know, without a change of state: a retry, a restored link.
    Notice {
        /// What.
        detail: String,
    },
    /// The workspace will end by itself soon, unless something is done.
    EndingSoon {
        /// When.
        ends_at: UnixMillis,
        /// Why.
        cause: EndingCause,
        /// What will happen, in a sentence.
        detail: String,
    },
    /// The workspace's own hook has saved what it wants to keep before an end, or could not.
    Saved {
        /// What came of it.
        outcome: SaveOutcome,
        /// How long it took.
        duration_ms: u64,
        /// The end of what it printed.
        detail: String,
    },
}

/// `GET /api/events`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventsView {
    /// In order.
    pub items: Vec<EventView>,
    /// Give it as `after` next time.
    pub last_id: i64,
}

/// Text messages of `GET /api/workspaces/{id}/socket`, from the server. The client sends only [`crate::link::PING`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SocketMessage {
    /// The workspace and its node as they are now: first on every socket and after every change.
    Snapshot {
        /// The workspace.
        workspace: Box<WorkspaceView>,
        /// Its node.
        node: Box<NodeView>,
    },
    /// Everything that happened so far (first on every socket), or has happened since.
    Events {
        /// In order; ids tell repeated ones.
        items: Vec<EventView>,
    },
    /// How far a step of making the workspace is. Only while it lasts; nothing is lost with one.
    Progress(Progress),
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
