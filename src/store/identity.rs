//! Users, sign-in links, sessions, API tokens and revocations.

use ringfence_protocol::ids::{ApiTokenId, GrantId, NodeId, SessionId, SignInLinkId, TenantId, UserId};
use ringfence_protocol::state::{Role, UserState};
use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;

use crate::ports::Statement;

/// A user's row.
#[derive(Debug, Clone, Deserialize)]
pub struct UserRow {
    /// Names the user.
    pub id: UserId,
    /// The user's tenant.
    pub tenant_id: TenantId,
    /// For people.
    pub name: String,
    /// What they may do beyond their own things.
    pub role: Role,
    /// Whether they may act at all.
    pub state: UserState,
    /// When they were created.
    pub created_at_ms: i64,
}

/// A session or API token together with its user: what authentication reads, in one statement.
#[derive(Debug, Clone, Deserialize)]
pub struct GrantRow {
    /// The user.
    #[serde(flatten)]
    pub user: UserRow,
    /// When the grant ends by itself.
    pub expires_at_ms: i64,
    /// When it was revoked.
    pub revoked_at_ms: Option<i64>,
}

impl GrantRow {
    /// Whether it opens anything at `now`: neither expired nor revoked, and the user may act.
    pub fn holds(&self, now: UnixMillis) -> bool {
        self.revoked_at_ms.is_none()
            && now < UnixMillis::new(self.expires_at_ms)
            && self.user.state == UserState::Active
    }
}

/// A session's row.
#[derive(Debug, Clone, Deserialize)]
pub struct SessionRow {
    /// Names the session.
    pub id: SessionId,
    /// When it was made.
    pub created_at_ms: i64,
    /// When it ends.
    pub expires_at_ms: i64,
    /// What the browser called itself.
    pub user_agent: String,
    /// Where the sign-in came from.
    pub source_address: String,
}

/// An API token's row, without the hash.
#[derive(Debug, Clone, Deserialize)]
pub struct ApiTokenRow {
    /// Names the token.
    pub id: ApiTokenId,
    /// What it is for.
    pub name: String,
    /// When it was made.
    pub created_at_ms: i64,
    /// When it ends.
    pub expires_at_ms: i64,
}

/// One column of ids.
#[derive(Debug, Clone, Deserialize)]
pub struct IdRow<T> {
    /// The id.
    pub id: T,
}

/// A new user, in a tenant of their own.
pub fn insert_user(id: UserId, tenant: TenantId, name: &str, role: Role, now: UnixMillis) -> [Statement; 2] {
    [
        Statement::new(
            "INSERT INTO tenants (id, name, created_at_ms) VALUES (?1, ?2, ?3)",
            [tenant.into(), name.into(), now.into()],
        ),
        Statement::new(
            "INSERT INTO users (id, tenant_id, name, role, state, created_at_ms, row_version)
             VALUES (?1, ?2, ?3, ?4, 'active', ?5, 1)",
            [id.into(), tenant.into(), name.into(), role.as_str().into(), now.into()],
        ),
    ]
}

/// One user.
pub fn user_by_id(id: UserId) -> Statement {
    Statement::new("SELECT id, tenant_id, name, role, state, created_at_ms FROM users WHERE id = ?1", [id.into()])
}

/// Users by id, after a cursor.
pub fn list_users(after: &str, limit: u32) -> Statement {
    Statement::new(
        "SELECT id, tenant_id, name, role, state, created_at_ms FROM users WHERE id > ?1 ORDER BY id LIMIT ?2",
        [after.into(), i64::from(limit).into()],
    )
}

/// Moves a user between active and suspended; changes nothing when they are there already.
pub fn set_user_state(id: UserId, from: UserState, to: UserState) -> Statement {
    Statement::new(
        "UPDATE users SET state = ?3, row_version = row_version + 1 WHERE id = ?1 AND state = ?2",
        [id.into(), from.as_str().into(), to.as_str().into()],
    )
}

/// A new sign-in link.
pub fn insert_link(
    id: SignInLinkId,
    user: UserId,
    secret_sha256: &str,
    now: UnixMillis,
    expires_at: UnixMillis,
) -> Statement {
    Statement::new(
        "INSERT INTO sign_in_links (id, user_id, secret_sha256, created_at_ms, expires_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        [id.into(), user.into(), secret_sha256.into(), now.into(), expires_at.into()],
    )
}

/// Uses a link up for a session: of any number of attempts one changes a row (I3).
pub fn consume_link(id: SignInLinkId, secret_sha256: &str, session: SessionId, now: UnixMillis) -> Statement {
    Statement::new(
        "UPDATE sign_in_links SET consumed_at_ms = ?4, consumed_by = ?3
         WHERE id = ?1 AND secret_sha256 = ?2 AND consumed_at_ms IS NULL AND expires_at_ms > ?4
           AND EXISTS (SELECT 1 FROM users u WHERE u.id = sign_in_links.user_id AND u.state = 'active')",
        [id.into(), secret_sha256.into(), session.into(), now.into()],
    )
}

/// The session a link was just used up for; nothing when [`consume_link`] changed nothing.
pub fn insert_session_from_link(
    session: SessionId,
    user_agent: &str,
    source_address: &str,
    now: UnixMillis,
    expires_at: UnixMillis,
) -> Statement {
    Statement::new(
        "INSERT INTO sessions (id, user_id, created_at_ms, expires_at_ms, user_agent, source_address)
         SELECT ?1, user_id, ?4, ?5, ?2, ?3 FROM sign_in_links WHERE consumed_by = ?1",
        [session.into(), user_agent.into(), source_address.into(), now.into(), expires_at.into()],
    )
}

/// A session with its user.
pub fn session_grant(id: SessionId) -> Statement {
    Statement::new(
        "SELECT u.id, u.tenant_id, u.name, u.role, u.state, u.created_at_ms, s.expires_at_ms, s.revoked_at_ms
         FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = ?1",
        [id.into()],
    )
}

/// An API token with its user, if the secret is the right one.
pub fn api_token_grant(id: ApiTokenId, secret_sha256: &str) -> Statement {
    Statement::new(
        "SELECT u.id, u.tenant_id, u.name, u.role, u.state, u.created_at_ms, t.expires_at_ms, t.revoked_at_ms
         FROM api_tokens t JOIN users u ON u.id = t.user_id WHERE t.id = ?1 AND t.secret_sha256 = ?2",
        [id.into(), secret_sha256.into()],
    )
}

/// The session or API token a workspace token came from, with its user.
pub fn grant_by_id(grant: GrantId) -> Statement {
    match grant {
        GrantId::Session(id) => session_grant(id),
        GrantId::ApiToken(id) => Statement::new(
            "SELECT u.id, u.tenant_id, u.name, u.role, u.state, u.created_at_ms, t.expires_at_ms, t.revoked_at_ms
             FROM api_tokens t JOIN users u ON u.id = t.user_id WHERE t.id = ?1",
            [id.into()],
        ),
    }
}

/// A user's sessions that still hold, newest end first.
pub fn list_sessions(user: UserId, now: UnixMillis, limit: u32) -> Statement {
    Statement::new(
        "SELECT id, created_at_ms, expires_at_ms, user_agent, source_address FROM sessions
         WHERE user_id = ?1 AND expires_at_ms > ?2 AND revoked_at_ms IS NULL ORDER BY expires_at_ms DESC LIMIT ?3",
        [user.into(), now.into(), i64::from(limit).into()],
    )
}

/// Ends a session of the user.
pub fn revoke_session(id: SessionId, user: UserId, now: UnixMillis) -> Statement {
    Statement::new(
        "UPDATE sessions SET revoked_at_ms = ?3 WHERE id = ?1 AND user_id = ?2 AND revoked_at_ms IS NULL",
        [id.into(), user.into(), now.into()],
    )
}

/// Ends every session of the user.
pub fn revoke_all_sessions(user: UserId, now: UnixMillis) -> Statement {
    Statement::new(
        "UPDATE sessions SET revoked_at_ms = ?2 WHERE user_id = ?1 AND expires_at_ms > ?2 AND revoked_at_ms IS NULL",
        [user.into(), now.into()],
    )
}

/// A new API token.
pub fn insert_api_token(
    id: ApiTokenId,
    user: UserId,
    name: &str,
    secret_sha256: &str,
    now: UnixMillis,
    expires_at: UnixMillis,
) -> Statement {
    Statement::new(
        "INSERT INTO api_tokens (id, user_id, name, secret_sha256, created_at_ms, expires_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        [id.into(), user.into(), name.into(), secret_sha256.into(), now.into(), expires_at.into()],
    )
}

/// A user's API tokens that still hold.
pub fn list_api_tokens(user: UserId, now: UnixMillis, limit: u32) -> Statement {
    Statement::new(
        "SELECT id, name, created_at_ms, expires_at_ms FROM api_tokens
         WHERE user_id = ?1 AND expires_at_ms > ?2 AND revoked_at_ms IS NULL ORDER BY expires_at_ms DESC LIMIT ?3",
        [user.into(), now.into(), i64::from(limit).into()],
    )
}

/// Ends an API token of the user.
pub fn revoke_api_token(id: ApiTokenId, user: UserId, now: UnixMillis) -> Statement {
    Statement::new(
        "UPDATE api_tokens SET revoked_at_ms = ?3 WHERE id = ?1 AND user_id = ?2 AND revoked_at_ms IS NULL",
        [id.into(), user.into(), now.into()],
    )
}

/// Records that a revoked session or API token must be carried to the user's nodes; nothing when it was not revoked at `now`.
/// A token may be there from a suspension, carried then: it must be carried again.
pub fn insert_revocation(grant: GrantId, user: UserId, now: UnixMillis) -> Statement {
    let sql = match grant {
        GrantId::Session(_) => {
            "INSERT OR IGNORE INTO revocations (grant_id, user_id, created_at_ms)
             SELECT id, user_id, ?3 FROM sessions WHERE id = ?1 AND user_id = ?2 AND revoked_at_ms = ?3"
        }
        GrantId::ApiToken(_) => {
            "INSERT INTO revocations (grant_id, user_id, created_at_ms)
             SELECT id, user_id, ?3 FROM api_tokens WHERE id = ?1 AND user_id = ?2 AND revoked_at_ms = ?3
             ON CONFLICT (grant_id) DO UPDATE SET created_at_ms = excluded.created_at_ms, fanned_out_at_ms = NULL, reached_node_id = ''"
        }
    };
    Statement::new(sql, [grant.into(), user.into(), now.into()])
}

/// Records what a suspension ends: every session revoked at `now`, and every API token that holds (it opens nothing while the
/// user is suspended), as above.
pub fn insert_revocations_of_user(user: UserId, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO revocations (grant_id, user_id, created_at_ms)
         SELECT id, user_id, ?2 FROM (
           SELECT id, user_id FROM sessions WHERE user_id = ?1 AND revoked_at_ms = ?2
           UNION ALL SELECT id, user_id FROM api_tokens WHERE user_id = ?1 AND expires_at_ms > ?2 AND revoked_at_ms IS NULL
         ) WHERE true
         ON CONFLICT (grant_id) DO UPDATE SET created_at_ms = excluded.created_at_ms, fanned_out_at_ms = NULL, reached_node_id = ''",
        [user.into(), now.into()],
    )
}

/// The revocation not yet carried everywhere that was tried longest ago.
pub fn next_open_revocation() -> Statement {
    Statement::new(
        "SELECT grant_id, user_id, reached_node_id FROM revocations
         WHERE fanned_out_at_ms IS NULL ORDER BY tried_at_ms, created_at_ms LIMIT 1",
        [],
    )
}

/// Notes that a user's revocations are being tried.
pub fn mark_tried(user: UserId, now: UnixMillis) -> Statement {
    Statement::new(
        "UPDATE revocations SET tried_at_ms = ?2 WHERE user_id = ?1 AND fanned_out_at_ms IS NULL",
        [user.into(), now.into()],
    )
}

/// Revocations of one user not yet carried everywhere.
pub fn open_revocations_of(user: UserId, limit: u32) -> Statement {
    Statement::new(
        "SELECT grant_id, user_id, reached_node_id FROM revocations
         WHERE user_id = ?1 AND fanned_out_at_ms IS NULL LIMIT ?2",
        [user.into(), i64::from(limit).into()],
    )
}

/// Marks a revocation as carried everywhere.
pub fn finish_revocation(grant: GrantId, now: UnixMillis) -> Statement {
    Statement::new("UPDATE revocations SET fanned_out_at_ms = ?2 WHERE grant_id = ?1", [grant.into(), now.into()])
}

/// Notes how far a revocation was carried.
pub fn reach(grant: GrantId, node: NodeId) -> Statement {
    Statement::new("UPDATE revocations SET reached_node_id = ?2 WHERE grant_id = ?1", [grant.into(), node.into()])
}

/// A revocation's row.
#[derive(Debug, Clone, Deserialize)]
pub struct RevocationRow {
    /// What was revoked.
    pub grant_id: GrantId,
    /// Whose it was.
    pub user_id: UserId,
    /// The last node it was carried to; empty at first.
    pub reached_node_id: String,
}

/// The nodes of a user on which something may still be open, from one on.
pub fn live_nodes_of(user: UserId, after: &str, limit: u32) -> Statement {
    Statement::new(
        "SELECT id FROM nodes WHERE user_id = ?1 AND state <> 'gone' AND id > ?2 ORDER BY id LIMIT ?3",
        [user.into(), after.into(), i64::from(limit).into()],
    )
}
