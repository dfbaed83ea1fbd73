//! The gateway token of a dedicated node, and what it opens.

use serde::{Deserialize, Serialize};

use crate::ids::{GatewayTokenId, NodeId};
use crate::params::SecretText;
use crate::state::{NodeHealth, NodeState};
use crate::time::UnixMillis;

/// `POST /api/nodes/{id}/gateway-token`: the only time the secret is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GatewayTokenView {
    /// Names the token.
    pub id: GatewayTokenId,
    /// Send it as `Authorization: Bearer`.
    pub secret: SecretText,
    /// When it was made. It works until another one is made.
    pub created_at: UnixMillis,
}

/// `GET /api/gateway/node`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GatewayNodeView {
    /// The dedicated node as it is now: another one after it was made anew.
    pub id: NodeId,
    /// Where it is in its life.
    pub state: NodeState,
    /// Since when.
    pub state_since_at: UnixMillis,
    /// What we infer from its link.
    pub health: NodeHealth,
    /// The state in a sentence.
    pub reason: String,
    /// How many workspaces are on it.
    pub workspaces: u32,
    /// How many fit.
    pub slots: u32,
    /// When it is destroyed whatever happens.
    pub hard_deadline_at: UnixMillis,
}
