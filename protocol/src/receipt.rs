//! The receipt of an ephemeral workspace: what it saved, and when its machine was gone.

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, WorkspaceId};
use crate::money::Money;
use crate::state::{ProviderKind, SaveOutcome};
use crate::time::UnixMillis;

/// `GET /api/workspaces/{id}/receipt`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReceiptView {
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When it was over.
    pub ended_at: UnixMillis,
    /// Why, in a sentence.
    pub reason: String,
    /// What its save hook did; absent where it had none, or was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<SavedView>,
    /// The machine it had to itself.
    pub machine: MachineReceipt,
}

/// What a save hook did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SavedView {
    /// When it had ended.
    pub at: UnixMillis,
    /// How.
    pub outcome: SaveOutcome,
    /// What it said, as far as it is kept. Let it print what it saved, where to and the hash of it.
    pub output: String,
    /// SHA-256 of `output`, in hex.
    pub output_sha256: String,
}

/// What became of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MachineReceipt {
    /// The node.
    pub node_id: NodeId,
    /// Whose machine it was.
    pub provider: ProviderKind,
    /// Where.
    pub region: String,
    /// Which.
    pub size: String,
    /// The provider's name for it; absent where no machine was ever made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_instance_id: Option<String>,
    /// When the provider answered that there is no such machine (404); where it was never seen, when its lists had stayed empty for
    /// long enough. Absent where its owner gave it up before: it may still exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<UnixMillis>,
    /// What it has cost.
    pub cost: Money,
}
