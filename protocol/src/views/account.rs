//! Users, sessions and tokens, and what this installation allows them.

use serde::{Deserialize, Serialize};

use super::workspace::ContainerView;
use crate::ids::{ApiTokenId, SessionId, TenantId, UserId};
use crate::params::SecretText;
use crate::state::{EngineChoice, NetworkMode, Role, UserState};
use crate::time::UnixMillis;

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
    /// How long an ephemeral workspace lives when nothing else is asked.
    pub max_duration_secs: u64,
    /// The longest that can be asked.
    pub max_duration_secs_max: u64,
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
    /// The most it can reach over the network: `none`, `restricted`, `internet`, in this order.
    pub network_max: NetworkMode,
    /// Where images may come from: registries, or the first parts of images' names. Absent: from anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_registries: Vec<String>,
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
