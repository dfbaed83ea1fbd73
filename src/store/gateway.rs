//! Gateway tokens: one of a user, naming their dedicated node, whichever machine that is.

use ringfence_protocol::ids::{GatewayTokenId, UserId};
use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;

use crate::ports::Statement;

/// Whose token it is.
#[derive(Debug, Clone, Deserialize)]
pub struct HolderRow {
    /// The user.
    pub user_id: UserId,
}

/// Puts a token in place of the user's one before, which opens nothing from then on.
pub fn put(user: UserId, id: GatewayTokenId, secret_sha256: &str, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO gateway_tokens (user_id, id, secret_sha256, created_at_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (user_id) DO UPDATE SET id = excluded.id, secret_sha256 = excluded.secret_sha256,
           created_at_ms = excluded.created_at_ms",
        [user.into(), id.into(), secret_sha256.into(), now.into()],
    )
}

/// The active user whose token this is, if the secret is the right one.
pub fn holder(id: GatewayTokenId, secret_sha256: &str) -> Statement {
    Statement::new(
        "SELECT g.user_id FROM gateway_tokens g JOIN users u ON u.id = g.user_id
         WHERE g.id = ?1 AND g.secret_sha256 = ?2 AND u.state = 'active'",
        [id.into(), secret_sha256.into()],
    )
}
