//! What happens to nodes and workspaces, as it happens.

use serde::{Deserialize, Serialize};

use super::node::NodeView;
use super::workspace::WorkspaceView;
use crate::ids::{NodeId, WorkspaceId};
use crate::link::Progress;
use crate::state::{EndingCause, NodeState, SaveOutcome, WorkspaceState};
use crate::time::UnixMillis;

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
