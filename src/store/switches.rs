//! Switches that an admin has thrown for everybody.

use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;

use crate::ports::Statement;

/// A switch that is thrown.
#[derive(Debug, Clone, Deserialize)]
pub struct SwitchRow {
    /// Since when.
    pub engaged_at_ms: i64,
    /// By whom.
    pub actor: String,
    /// Why, for people.
    pub reason: String,
}

/// Whether the making of machines is paused.
pub fn provisioning() -> Statement {
    Statement::new("SELECT engaged_at_ms, actor, reason FROM switches WHERE name = 'provisioning'", [])
}

/// Lets the batch fail while the making of machines is paused.
pub fn require_provisioning() -> Statement {
    Statement::new(
        "INSERT INTO preconditions (broken) SELECT 1 WHERE EXISTS (SELECT 1 FROM switches WHERE name = 'provisioning')",
        [],
    )
}

/// Pauses it. Who paused it first, and why, stays.
pub fn pause_provisioning(actor: &str, reason: &str, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO switches (name, engaged_at_ms, actor, reason) VALUES ('provisioning', ?1, ?2, ?3)
         ON CONFLICT (name) DO NOTHING",
        [now.into(), actor.into(), reason.into()],
    )
}

/// Goes on with it.
pub fn resume_provisioning() -> Statement {
    Statement::new("DELETE FROM switches WHERE name = 'provisioning'", [])
}
