//! What a workspace's container should be: asked by the owner, bounded by the installation, made by the agent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::params::SecretText;
use crate::state::NetworkMode;

/// Thousandths of a processor in one processor.
pub const CPU_MILLIS: u32 = 1000;

/// A container, without anything secret in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// An OCI reference, e.g. `docker.io/library/debian:13`.
    pub image: String,
    /// Where images may come from ([`is_from`]), also one that the repository's `devcontainer.json` names. Empty: from anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_registries: Vec<String>,
    /// Processor time, in thousandths of one processor.
    pub cpu_limit_millis: u32,
    /// Memory, without swap.
    pub memory_limit_bytes: u64,
    /// Size of the file system that holds `/workspace` and `/sessions`.
    pub disk_quota_bytes: u64,
    /// Processes and threads.
    pub pids_limit: u32,
    /// What it reaches.
    pub network: NetworkMode,
    /// With a restricted network, the domains it reaches; each with its subdomains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_domains: Vec<String>,
    /// A git repository to clone into `/workspace`, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// Environment variables. Not for secrets: see [`WorkspaceSecrets`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// Whether an image, by its full name without tag and digest, is from one of these: registries such as `ghcr.io`, or the first parts of names
/// such as `docker.io/library`. Whole parts alone count: `ghcr.io/me` is not the beginning of `ghcr.io/mean/app`.
pub fn is_from(name: &str, registries: &[String]) -> bool {
    let begins = |registry: &String| {
        name.strip_prefix(registry.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    registries.is_empty() || registries.iter().any(begins)
}

/// A git repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// An https URL, without credentials in it.
    pub url: String,
    /// A branch or tag; the repository's default branch when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// What of a workspace is secret. It is on the machine's tmpfs only, and in a container as files: never in arguments, environment or on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceSecrets {
    /// Credentials for the image's registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_login: Option<RegistryLogin>,
    /// Files under `/run/secrets`, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, SecretText>,
}

impl WorkspaceSecrets {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.registry_login.is_none() && self.files.is_empty()
    }
}

/// Credentials for a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RegistryLogin {
    /// The user.
    pub username: String,
    /// Their password or token.
    pub password: SecretText,
}
