//! Bodies of requests and query strings. Unknown fields are refused everywhere.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::container::{RegistryLogin, Repository};
use crate::ids::{CredentialId, TenantId};
use crate::state::{Isolation, NetworkMode, Permission, ProviderKind, Role};
use crate::time::UnixMillis;

/// A text that must not be printed: it arrives in a request and goes into the vault.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a secret.
    pub fn new(secret: String) -> Self {
        Self(secret)
    }
    /// The secret itself. Every call is a place to look at.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// `POST /api/auth/link`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RedeemLinkParams {
    /// What follows `#token=` in a sign-in link.
    pub token: SecretText,
}

/// `POST /api/tokens`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateApiTokenParams {
    /// What it is for, 1 to 64 characters.
    pub name: String,
    /// How long it lives, 3600 (an hour) to 31536000 (a year); 90 days when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_secs: Option<u64>,
}

/// `POST /api/credentials`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateCredentialParams {
    /// Which cloud.
    pub provider: ProviderKind,
    /// Your name for it, 1 to 64 characters; the provider's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The key: for Hetzner an API token with read and write permission.
    pub secret: SecretText,
}

/// `POST /api/credentials/{id}/replace`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReplaceCredentialParams {
    /// The new key, of the same account.
    pub secret: SecretText,
}

/// `POST /api/workspaces`. Everything has a default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateWorkspaceParams {
    /// 1 to 63 characters: lower-case letters, digits and dashes, not at the ends. Made up when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which of your clouds; the only one, or the one used last, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_id: Option<CredentialId>,
    /// Which provider, as another way to choose the cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderKind>,
    /// A region of the catalog; the cheapest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A size of the catalog; the cheapest in the region when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// What to order instead, in this order, where the provider has no such machine free: at most ten. When absent, the next
    /// cheapest that fit what is asked, in the same part of the world, at twice the price at most. An empty list: nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alternatives: Option<Vec<AlternativeParams>>,
    /// How the node is shared; `user` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// With `ephemeral`: how long it lives at most, from now on. From 60 to the installation's ceiling; an hour when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration_secs: Option<u64>,
    /// The container's image: an OCI reference, e.g. `docker.io/library/debian:13`. The repository's `devcontainer.json` may name
    /// another one; the installation's default when neither does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Processors, e.g. `1.5`; hundredths count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_limit: Option<f64>,
    /// Memory, without swap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// Room for `/workspace` and `/sessions` together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_quota_bytes: Option<u64>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids_limit: Option<u32>,
    /// What it reaches over the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkMode>,
    /// With `restricted`: the domains it reaches, each with its subdomains, e.g. `example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_domains: Option<Vec<String>>,
    /// A git repository to clone into `/workspace`. A private one is read with the workspace's secret `GIT_TOKEN`, which its own
    /// host alone is given; the user's name is that of the secret `GIT_USERNAME`, where the host minds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// Environment variables. Not for secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    /// Secrets: each is a file `/run/secrets/<name>` in the workspace, on tmpfs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<BTreeMap<String, SecretText>>,
    /// Credentials for the image's registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_login: Option<RegistryLogin>,
    /// After how long without use it is stopped, from 5 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout_secs: Option<u64>,
    /// How long it is kept once it is stopped, from 5 s: then it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_keep_secs: Option<u64>,
}

/// `POST /api/workspaces/{id}/keep-alive`: one of the two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KeepAliveParams {
    /// Until when it must not end for want of use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_at: Option<UnixMillis>,
    /// For how long from now; 0 takes an earlier keep-alive back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secs: Option<u64>,
}

/// A machine to order where another is not free.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AlternativeParams {
    /// A region of the catalog; the workspace's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A size of the catalog; the workspace's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
}

/// `POST /api/workspaces/{id}/token`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateWorkspaceTokenParams {
    /// What the token should allow; reading and writing terminals when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<Permission>>,
}

/// `POST /api/nodes/{id}/forget`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ForgetNodeParams {
    /// The node's id, typed: its machine may go on costing money.
    pub confirm: String,
}

/// `POST /api/admin/provisioning/pause`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PauseProvisioningParams {
    /// Why, for other admins: 1 to 200 characters.
    pub reason: String,
}

/// `POST /api/admin/users`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateUserParams {
    /// The user's name for people, 1 to 64 characters, unique.
    pub name: String,
    /// What they may do beyond their own things; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Their tenant; one of their own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
}

/// Query of lists.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ListParams {
    /// Items a page, 1 to 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Query of `GET /api/workspaces` and `GET /api/nodes`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OwnListParams {
    /// Items a page, 1 to 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Those that are gone instead of those that are there, what ended last first. They can be read for 30 days.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

impl OwnListParams {
    /// Where the page begins and ends.
    pub fn page(self) -> ListParams {
        ListParams { limit: self.limit, cursor: self.cursor }
    }
}

/// Query of `GET /api/events`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EventsParams {
    /// Only events after this one; the newest when absent (to learn where to start).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
    /// Only the newest of the events before this one: for going back in time. Not with `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// Only events of this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<crate::ids::NodeId>,
    /// Events at most, 1 to 200; 200 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}
