//! The link: the one WebSocket an agent keeps to its node's Durable Object.
//!
//! Text messages are JSON, [`AgentMessage`] upwards and [`ControlMessage`] downwards. Binary messages are channel
//! frames: four bytes of channel number (big endian), then a terminal frame exactly as the viewer sends or gets it
//! ([`crate::terminal`]). The relay reads the number and nothing else.
//!
//! Liveness: the agent sends the text [`PING`]; the platform answers [`PONG`] without waking the object.

mod channel;

use serde::{Deserialize, Serialize};

pub use self::channel::{Attach, CHANNEL_HEADER_BYTES, ChannelId, CloseReason, OpenChannel, close_code, unwrap, wrap};
use crate::container::{ContainerSpec, WorkspaceSecrets};
use crate::ids::{GrantId, NodeId, WorkspaceId};
use crate::posture::Posture;
use crate::state::{ActivityCause, BootFailure, EngineKind, SaveOutcome, WorkspaceFailure};
use crate::time::UnixMillis;

/// What the agent sends to show that it is there; answered automatically.
pub const PING: &str = "ping";
/// The automatic answer to [`PING`].
pub const PONG: &str = "pong";
/// How often the agent pings, in seconds: below the 100 s after which idle connections are cut on the way.
pub const PING_INTERVAL_SECS: u64 = 45;

/// How long making a workspace may take altogether, in seconds, however much progress is reported: a large image over a slow line,
/// and a clone. The control plane gives up then; an agent gives up [`REPORT_SECS`] earlier, and says why.
pub const CREATING_MAX_SECS: u64 = 15 * 60;
/// How far ahead an assistant's turn may keep a workspace from being idle, in seconds.
pub const LEASE_MAX_SECS: u64 = 600;
/// What an agent keeps of [`CREATING_MAX_SECS`] to say what became of it.
pub const REPORT_SECS: u64 = 60;

/// From the agent to its node's object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AgentMessage {
    /// First on every link: who speaks, and what there is on the machine.
    Hello(Hello),
    /// A step of the boot, in the order they ended. Repeated with every hello until a [`ControlMessage::Welcome`] has confirmed it.
    BootStep(BootStep),
    /// The machine may take workspaces. Sent after every hello from the moment it is so: losing one loses nothing.
    Ready,
    /// What a workspace is now. Sent when it changes and as the answer to every command about it.
    Workspace(WorkspaceReport),
    /// The machine will not take workspaces, for this reason.
    BootFailed(BootFailedReport),
    /// A step of making a workspace has ended: pulling its image, cloning its repository.
    WorkspaceStep {
        /// Of which.
        workspace_id: WorkspaceId,
        /// The step.
        step: BootStep,
    },
    /// A workspace is used. At most once a minute, or four times within its idle timeout where that is shorter, and only while
    /// it is used.
    Activity {
        /// Which.
        workspace_id: WorkspaceId,
        /// The newest sign of use.
        activity: Activity,
    },
    /// The workspace's own hook has saved what it wants to keep, or could not.
    Saved {
        /// Of which.
        workspace_id: WorkspaceId,
        /// What came of it.
        outcome: SaveOutcome,
        /// How long it took, in milliseconds.
        duration_ms: u64,
        /// The end of what it printed.
        detail: String,
    },
    /// Answers [`ControlMessage::SaveAll`]: every hook has ended.
    SavedAll,
    /// How far a step of making a workspace is: shown to whoever looks on, never recorded. At most twice a second for each.
    Progress(Progress),
    /// Something a person should know, without a change of phase: a process that ran out of memory, a firewall rule restored.
    Notice {
        /// About which workspace; the machine when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        workspace_id: Option<WorkspaceId>,
        /// What happened, in a sentence.
        detail: String,
    },
    /// What was measured of the machine: before the first ready, when it changed, and every three hours.
    NodePosture(Posture),
    /// What was measured inside a workspace: when it has started, when it changed, and hourly.
    WorkspacePosture {
        /// In which.
        workspace_id: WorkspaceId,
        /// What.
        posture: Posture,
    },
    /// The machine cannot be trusted any more (its firewall is gone and cannot be restored): quarantine it.
    Quarantine {
        /// Why, in a sentence.
        detail: String,
    },
    /// Figures of the machine: on crossing a threshold, at most once a minute, and hourly.
    Facts(Facts),
    /// The agent has ended a channel.
    ChannelClosed {
        /// Which.
        channel: ChannelId,
        /// Why.
        reason: CloseReason,
    },
}

/// Who speaks on a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::PROTOCOL_VERSION`] of the agent.
    pub protocol_version: u32,
    /// The agent's own version, for people.
    pub agent_version: String,
    /// SHA-256 of the agent's binary, lower-case hex.
    pub agent_sha256: String,
    /// Changes whenever the agent starts: terminals of an earlier start are gone.
    pub terminal_epoch: u64,
    /// What runs workspaces.
    pub engine: EngineKind,
    /// Every workspace the agent knows.
    pub workspaces: Vec<WorkspaceReport>,
}

/// Why a machine takes no workspaces. Also what a machine whose agent never ran sends to `POST /agent/boot-failure`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BootFailedReport {
    /// A stable word.
    pub failure: BootFailure,
    /// What was seen, for people.
    pub detail: String,
}

/// How far a step of making a workspace is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Progress {
    /// Of which workspace.
    pub workspace_id: WorkspaceId,
    /// What is being done, in a few words.
    pub step: String,
    /// More, for people, e.g. `3 of 5 layers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How much of it is done, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_bytes: Option<u64>,
    /// Of how much, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
}

/// One step of a boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootStep {
    /// What was done, in a few words for people, e.g. `trade the bootstrap token`.
    pub step: String,
    /// When it began.
    pub started_at: UnixMillis,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Why it failed; absent when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a workspace is, as the agent sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceReport {
    /// Which.
    pub workspace_id: WorkspaceId,
    /// The newest specification the agent has accepted. In a hello, where the agent is at work on it and it does not run: one before
    /// that which is worked on, because nothing of that is so yet.
    pub spec_generation: i64,
    /// What it is now.
    pub phase: WorkspacePhase,
    /// Why it failed: a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<WorkspaceFailure>,
    /// For people, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The newest sign of use, when it runs. An agent that never says is one that cannot tell: then nothing is idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<Activity>,
}

/// A sign that a workspace is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// When, by the control plane's clock.
    pub at: UnixMillis,
    /// What it was.
    pub cause: ActivityCause,
    /// Until when it will be used for certain: the lease of an assistant's turn. At most [`LEASE_MAX_SECS`] ahead count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ends_at: Option<UnixMillis>,
}

/// What the agent can say of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspacePhase {
    /// It runs.
    Running,
    /// It does not run; its files are kept.
    Stopped,
    /// Nothing of it is on the machine.
    Absent,
    /// It could not be made.
    Failed,
}

/// Figures of the machine, measured by the agent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Facts {
    /// Share of all processors in use since the last figure, in percent of the whole machine (never a load average).
    pub cpu_percent: f32,
    /// Memory in use, without what the kernel can give back, in percent.
    pub memory_percent: f32,
    /// Memory of the machine.
    pub memory_total_bytes: u64,
    /// Used share of the file system that holds workspaces, in percent.
    pub disk_percent: f32,
    /// Size of that file system.
    pub disk_total_bytes: u64,
    /// When they were measured, by the machine's clock.
    pub measured_at: UnixMillis,
}

/// From a node's object to its agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
// Few exist at a time, and each is written at once: a box would save nothing.
#[allow(clippy::large_enum_variant)]
pub enum ControlMessage {
    /// Answers [`AgentMessage::Hello`]: what was reported so far is recorded.
    Welcome {
        /// The node the link belongs to.
        node_id: NodeId,
    },
    /// Make the workspace so, whatever it is now.
    EnsureWorkspace {
        /// Which.
        workspace_id: WorkspaceId,
        /// Older generations than one already accepted are refused.
        spec_generation: i64,
        /// What it should be.
        spec: WorkspaceSpec,
        /// What of it is secret. The agent keeps it in memory and on tmpfs only.
        #[serde(default, skip_serializing_if = "WorkspaceSecrets::is_empty")]
        secrets: WorkspaceSecrets,
    },
    /// Leave nothing of the workspace on the machine.
    RemoveWorkspace {
        /// Which.
        workspace_id: WorkspaceId,
        /// As above.
        spec_generation: i64,
    },
    /// The machine is about to be destroyed: let every workspace that runs save, by its own hook, and say when that is done.
    SaveAll,
    /// A viewer wants to look at a terminal.
    OpenChannel(OpenChannel),
    /// A viewer has gone, or must go.
    CloseChannel {
        /// Which.
        channel: ChannelId,
    },
    /// Close every channel that was opened with this grant, and open none with it again.
    Revoke {
        /// The session or API token that has ended.
        sid: GrantId,
    },
}

/// What a workspace should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceSpec {
    /// Its name, for the prompt and the host name.
    pub name: String,
    /// Whether it should run.
    pub running: bool,
    /// Its container; absent where workspaces are plain processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerSpec>,
    /// How long it may be idle: how often signs of use are worth telling depends on it. Absent: half an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout_secs: Option<u64>,
    /// How long its save hook may take. Absent: a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub save_within_secs: Option<u64>,
}

/// What the agent asks when it trades its bootstrap token. The key is the proof's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BootstrapParams {
    /// [`crate::PROTOCOL_VERSION`] of the agent.
    pub protocol_version: u32,
    /// SHA-256 of the agent's binary, lower-case hex.
    pub agent_sha256: String,
}

/// The answer to `POST /agent/bootstrap` and `POST /agent/token`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CallbackGrant {
    /// The callback token.
    pub token: String,
    /// When it ends. Renew at half of its life.
    pub expires_at: UnixMillis,
    /// The control plane's clock, so that a skewed machine can tell how long that is.
    pub now: UnixMillis,
    /// The control plane's public keys now.
    pub keys: crate::claims::Jwks,
}
