//! Idempotency keys: which thing a creating request of a user made.

use ringfence_protocol::ids::UserId;
use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;

use crate::ports::Statement;

/// A key that was used.
#[derive(Debug, Clone, Deserialize)]
pub struct KeyRow {
    /// What was asked for.
    pub operation: String,
    /// SHA-256 of the body.
    pub body_sha256: String,
    /// What it made.
    pub subject_id: String,
}

/// A key of the user that is not older than `since`.
pub fn find(user: UserId, key: &str, since: UnixMillis) -> Statement {
    Statement::new(
        "SELECT operation, body_sha256, subject_id FROM idempotency_keys
         WHERE user_id = ?1 AND key = ?2 AND created_at_ms > ?3",
        [user.into(), key.into(), since.into()],
    )
}

/// Remembers a key. One that is not older than `since` is refused, and with it the whole batch: its time becomes NULL, which
/// the column does not take.
pub fn insert(
    user: UserId,
    key: &str,
    operation: &str,
    body_sha256: &str,
    subject: &str,
    now: UnixMillis,
    since: UnixMillis,
) -> Statement {
    Statement::new(
        "INSERT INTO idempotency_keys (user_id, key, operation, body_sha256, subject_id, created_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (user_id, key) DO UPDATE SET
           operation = excluded.operation, body_sha256 = excluded.body_sha256, subject_id = excluded.subject_id,
           created_at_ms = CASE WHEN idempotency_keys.created_at_ms <= ?7 THEN excluded.created_at_ms END",
        [user.into(), key.into(), operation.into(), body_sha256.into(), subject.into(), now.into(), since.into()],
    )
}
