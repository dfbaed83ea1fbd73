//! Why something is still there, what happens to it next, and all that happened so far.

use serde::{Deserialize, Serialize};

use crate::money::Money;
use crate::time::UnixMillis;

/// `GET /api/nodes/{id}/lifecycle` and `GET /api/workspaces/{id}/lifecycle`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LifecycleView {
    /// The state: a word.
    pub state: String,
    /// Why it is in that state, in a sentence.
    pub reason: String,
    /// Why it is still there; absent when nothing of it is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alive: Option<AliveView>,
    /// What time alone will do to it next; absent where only an event can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextTransitionView>,
    /// When it ends whatever happens; absent when it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard_limit_at: Option<UnixMillis>,
    /// Until when this can still be read; absent while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readable_until_at: Option<UnixMillis>,
    /// What it costs now: nothing once it is gone. A workspace costs what its node costs, however many share it.
    pub price_per_hour: Money,
    /// What it has cost: a workspace what its node has cost while the workspace was there.
    pub cost_so_far: Money,
    /// Workspaces that share the node now.
    pub workspaces_on_node: u32,
    /// Every transition so far, oldest first; two hundred at most, the newest.
    pub transitions: Vec<TransitionView>,
}

/// Why something is still there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AliveView {
    /// In a sentence that begins with "because".
    pub because: String,
    /// Until when that holds by itself; absent where an event ends it and not time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_at: Option<UnixMillis>,
}

/// What time alone will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NextTransitionView {
    /// The state that follows: a word.
    pub state: String,
    /// When.
    pub at: UnixMillis,
    /// Why, in a sentence.
    pub cause: String,
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TransitionView {
    /// When.
    pub at: UnixMillis,
    /// To which state: a word.
    pub state: String,
    /// Why, in a sentence.
    pub cause: String,
}
