//! Who asks: found from a session cookie or an API token, never from anything else.

use ringfence_protocol::claims::SessionClaims;
use ringfence_protocol::ids::{GrantId, SessionId, kind};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::Role;
use ringfence_protocol::time::UnixMillis;

use super::actor::Actor;
use crate::config::Config;
use crate::domain::{mac, token};
use crate::error::{Error, Result};
use crate::ports::{Platform, Statement};
use crate::store::audit::Act;
use crate::store::identity::{self, GrantRow, UserRow};
use crate::store::one;

/// Where a request came from.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The client's address as the platform saw it.
    pub address: String,
    /// What the client calls itself, cut to 200 characters.
    pub user_agent: String,
}

/// An authenticated user.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The user.
    pub user: UserRow,
    /// What they came with.
    pub grant: GrantId,
    /// When that ends.
    pub expires_at: UnixMillis,
    /// Where they are.
    pub source: Source,
}

impl Caller {
    /// Finds the holder of a session cookie.
    pub async fn from_session(p: &impl Platform, config: &Config, cookie: &str, source: Source) -> Result<Self> {
        let now = p.now();
        let verified = token::verify::<SessionClaims>(&config.keyring, config.origin(), cookie, now)
            .map_err(|_| unauthenticated())?;
        let grant = GrantId::Session(verified.claims.sid);
        Self::load(p, grant, identity::session_grant(verified.claims.sid), source).await
    }

    /// Finds the holder of an API token. Its MAC is checked before the database is asked.
    pub async fn from_api_token(p: &impl Platform, config: &Config, text: &str, source: Source) -> Result<Self> {
        let opaque = mac::check::<kind::ApiToken>(&config.keyring, text).ok_or_else(unauthenticated)?;
        let statement = identity::api_token_grant(opaque.id, &opaque.secret_sha256_hex());
        Self::load(p, GrantId::ApiToken(opaque.id), statement, source).await
    }

    async fn load(p: &impl Platform, grant: GrantId, statement: Statement, source: Source) -> Result<Self> {
        let row: GrantRow = one(p, statement).await?.ok_or_else(unauthenticated)?;
        if !row.holds(p.now()) {
            return Err(unauthenticated());
        }
        Ok(Self { expires_at: UnixMillis::new(row.expires_at_ms), user: row.user, grant, source })
    }

    /// The session, when the caller is a browser.
    pub fn session(&self) -> Result<SessionId> {
        match self.grant {
            GrantId::Session(id) => Ok(id),
            GrantId::ApiToken(_) => Err(Error::new(
                ErrorCode::Forbidden,
                "API tokens cannot manage sessions and tokens. Sign in with a browser for this.",
            )),
        }
    }

    /// Refuses everybody but admins.
    pub fn require_admin(&self) -> Result<()> {
        match self.user.role {
            Role::Admin => Ok(()),
            Role::Member | Role::TenantAdmin => Err(Error::new(ErrorCode::Forbidden, "Only admins may do this.")),
        }
    }

    /// Refuses everybody but admins, of their tenant or of all.
    pub fn require_tenant_admin(&self) -> Result<()> {
        match self.user.role {
            Role::Admin | Role::TenantAdmin => Ok(()),
            Role::Member => Err(Error::new(ErrorCode::Forbidden, "Only admins may do this.")),
        }
    }

    /// The caller as use cases of nodes and workspaces take them.
    pub fn actor(&self) -> Actor {
        Actor {
            user_id: self.user.id,
            tenant_id: self.user.tenant_id,
            role: self.user.role,
            grant: self.grant,
            source_address: self.source.address.clone(),
        }
    }

    /// An act of this caller, for the audit log.
    pub fn act(&self, action: &'static str, subject: impl ToString, detail: impl Into<String>) -> Act {
        Act {
            actor: self.user.id.to_string(),
            action,
            subject: subject.to_string(),
            source_address: self.source.address.clone(),
            detail: detail.into(),
        }
    }
}

/// One answer for every way of not being signed in: it does not tell them apart.
pub fn unauthenticated() -> Error {
    Error::new(ErrorCode::Unauthenticated, "You are not signed in, or your session has ended. Open a new sign-in link.")
}
