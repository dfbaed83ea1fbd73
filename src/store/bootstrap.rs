//! Bootstrap tokens and what authenticating an agent needs of its node.

use ringfence_protocol::ids::{JwtId, NodeId};
use ringfence_protocol::state::NodeState;
use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;

use crate::ports::Statement;

/// What authentication reads of a node.
#[derive(Debug, Clone, Deserialize)]
pub struct NodeAgentRow {
    /// Where the node is in its life.
    pub state: NodeState,
    /// Callback tokens of an older epoch are refused.
    pub agent_epoch: i64,
    /// Addresses the provider reported, once it has.
    pub ipv4: Option<String>,
    /// As above.
    pub ipv6: Option<String>,
}

/// A redemption, as its row holds it.
#[derive(Debug, Clone, Deserialize)]
pub struct RedemptionRow {
    /// When the token was traded.
    pub consumed_at_ms: i64,
    /// The thumbprint of the key that it was traded for.
    pub public_key_jkt: String,
}

/// A new token, for the user-data that is about to be sent.
pub fn insert(jti: JwtId, node: NodeId, expires_at: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO bootstrap_tokens (jti, node_id, expires_at_ms) VALUES (?1, ?2, ?3)",
        [jti.into(), node.into(), expires_at.into()],
    )
}

/// Trades a token for a key: of any number of attempts one changes a row (I3), and that row holds the winner's key.
pub fn consume(jti: JwtId, node: NodeId, jkt: &str, x: &str, now: UnixMillis) -> Statement {
    Statement::new(
        "UPDATE bootstrap_tokens SET consumed_at_ms = ?5, public_key_jkt = ?3, public_key_x = ?4
         WHERE jti = ?1 AND node_id = ?2 AND consumed_at_ms IS NULL AND expires_at_ms > ?5",
        [jti.into(), node.into(), jkt.into(), x.into(), now.into()],
    )
}

/// A token that nobody has traded.
#[derive(Debug, Clone, Deserialize)]
pub struct UntradedRow {
    /// When it ends.
    pub expires_at_ms: i64,
}

/// A token of a node that nobody has traded.
pub fn untraded(jti: JwtId, node: NodeId) -> Statement {
    Statement::new(
        "SELECT expires_at_ms FROM bootstrap_tokens WHERE jti = ?1 AND node_id = ?2 AND consumed_at_ms IS NULL",
        [jti.into(), node.into()],
    )
}

/// Lets the batch fail unless nobody has traded the token.
pub fn require_untraded(jti: JwtId, node: NodeId) -> Statement {
    Statement::new(
        "INSERT INTO preconditions (broken) SELECT 1 WHERE NOT EXISTS (
           SELECT 1 FROM bootstrap_tokens WHERE jti = ?1 AND node_id = ?2 AND consumed_at_ms IS NULL)",
        [jti.into(), node.into()],
    )
}

/// Notes that a token was presented after its end; changes a row the first time only.
pub fn present_late(jti: JwtId, now: UnixMillis) -> Statement {
    Statement::new(
        "UPDATE bootstrap_tokens SET presented_late_at_ms = ?2 WHERE jti = ?1 AND presented_late_at_ms IS NULL",
        [jti.into(), now.into()],
    )
}

/// Who has traded a token.
pub fn redemption(jti: JwtId, node: NodeId) -> Statement {
    Statement::new(
        "SELECT consumed_at_ms, public_key_jkt FROM bootstrap_tokens
         WHERE jti = ?1 AND node_id = ?2 AND consumed_at_ms IS NOT NULL",
        [jti.into(), node.into()],
    )
}

/// What authentication needs of a node.
pub fn node_agent(node: NodeId) -> Statement {
    Statement::new("SELECT state, agent_epoch, ipv4, ipv6 FROM nodes WHERE id = ?1", [node.into()])
}
