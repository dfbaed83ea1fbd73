//! What cloud-init writes for the agent: `/etc/ringfence/agent.json`, mode 0600, removed of its token after redemption.

use serde::{Deserialize, Serialize};

use crate::claims::Jwks;
use crate::ids::NodeId;
use crate::time::UnixMillis;

/// Where user-data places the agent's configuration.
pub const AGENT_CONFIG_PATH: &str = "/etc/ringfence/agent.json";

/// The code with which an agent asks whoever started it to switch its machine off: the dead-man switch.
pub const SWITCH_OFF_EXIT_CODE: u8 = 86;

/// Where machines of a local cloud reach their control plane, over plain http. The address is of a range that is set aside for
/// documentation (RFC 5737), so that it is nobody's on the internet.
pub const LOCAL_CLOUD_GATEWAY: std::net::Ipv4Addr = std::net::Ipv4Addr::new(192, 0, 2, 1);

/// The agent's configuration.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// The node this machine is.
    pub node_id: NodeId,
    /// Origin of the control plane, e.g. `https://ringfence.example.workers.dev`. Plain http only to loopback and to
    /// [`LOCAL_CLOUD_GATEWAY`].
    pub origin: String,
    /// The control plane's public keys at the time of creation; newer ones are taken only from `origin`.
    pub keys: Jwks,
    /// The one-use bootstrap token; absent once redeemed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap_token: Option<String>,
    /// What runs the workspaces.
    pub engine: EngineConfig,
    /// Without reaching its control plane for so long, the agent ends everything and switches its machine off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_man_after_secs: Option<u64>,
    /// When the machine is to be destroyed whatever happens, by the control plane's clock: past it the agent does the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard_deadline_at: Option<UnixMillis>,
    /// What the installation has set.
    #[serde(default)]
    pub limits: AgentLimits,
}

/// What an installation has set that agents go by, each with what is usual.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentLimits {
    /// A machine with this share of its processors in use is full, in percent: crossing it is told.
    pub max_cpu_percent: f64,
    /// The same of its memory.
    pub max_memory_percent: f64,
    /// For how long something in a workspace may ask to be kept awake, in seconds.
    pub keep_awake_max_secs: u64,
}

impl Default for AgentLimits {
    fn default() -> Self {
        Self { max_cpu_percent: 80.0, max_memory_percent: 80.0, keep_awake_max_secs: 24 * 3600 }
    }
}

/// What runs the workspaces, chosen in words so that nobody gets an unconfined node by leaving something out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineConfig {
    /// Plain processes with the agent's own rights: for local trial and tests only.
    #[serde(rename = "unconfined: workspaces are plain processes without any isolation")]
    Unconfined,
    /// A hardened container each, by the engine that the machine has.
    #[serde(rename = "containers")]
    Containers,
}
