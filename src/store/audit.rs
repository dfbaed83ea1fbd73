//! The audit log: one row for each security-relevant act. Only ever added to.

use ringfence_protocol::ids::{NodeId, SessionId};
use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;

use crate::ports::{Statement, Value};

/// An act, before it is written.
#[derive(Debug, Clone)]
pub struct Act {
    /// Who: a user's id, a node's id, or `operator`.
    pub actor: String,
    /// What, e.g. `session.create`.
    pub action: &'static str,
    /// On what: an id.
    pub subject: String,
    /// From where; empty when not over the network.
    pub source_address: String,
    /// More, for people; never a secret.
    pub detail: String,
}

impl Act {
    /// The same act, by and on this node.
    #[must_use]
    pub fn on(mut self, node: NodeId) -> Self {
        self.actor = node.to_string();
        self.subject = node.to_string();
        self
    }
}

/// A row of the log.
#[derive(Debug, Clone, Deserialize)]
pub struct AuditRow {
    /// Grows with time.
    pub id: i64,
    /// When.
    pub at_ms: i64,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// On what.
    pub subject: String,
    /// From where.
    pub source_address: String,
    /// More.
    pub detail: String,
}

fn params(act: &Act, now: UnixMillis) -> Vec<Value> {
    vec![
        now.into(),
        act.actor.as_str().into(),
        act.action.into(),
        act.subject.as_str().into(),
        act.source_address.as_str().into(),
        act.detail.as_str().into(),
    ]
}

/// Records an act, whatever else the batch does.
pub fn record(act: &Act, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO audit (at_ms, actor, action, subject, source_address, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params(act, now),
    )
}

/// Records an act only if the statement just before it in the batch changed a row.
pub fn record_if_changed(act: &Act, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO audit (at_ms, actor, action, subject, source_address, detail)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE changes() > 0",
        params(act, now),
    )
}

/// Records a sign-in by the link that was just used up for `session`; nothing when none was.
pub fn record_sign_in(session: SessionId, source_address: &str, user_agent: &str, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO audit (at_ms, actor, action, subject, source_address, detail)
         SELECT ?1, user_id, 'session.create', ?2, ?3, ?4 FROM sign_in_links WHERE consumed_by = ?2",
        [now.into(), session.into(), source_address.into(), user_agent.into()],
    )
}

/// The log, newest first, before a cursor.
pub fn list(before: i64, limit: u32) -> Statement {
    Statement::new(
        "SELECT id, at_ms, actor, action, subject, source_address, detail FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
        [before.into(), i64::from(limit).into()],
    )
}
