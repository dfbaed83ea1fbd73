//! Signing in with a one-time link, and making such links.

use std::time::Duration;

use ringfence_protocol::claims::SessionClaims;
use ringfence_protocol::ids::{SessionId, SignInLinkId, UserId, kind};
use ringfence_protocol::params::SecretText;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::time::UnixMillis;

use super::caller::{Caller, Source};
use crate::config::Config;
use crate::domain::keyring::Keyring;
use crate::domain::token::Lifetime;
use crate::domain::{mac, token};
use crate::error::{Error, Result};
use crate::ports::{Platform, Statement};
use crate::store::audit;
use crate::store::first;
use crate::store::identity::{self, GrantRow};

/// How long a sign-in link works.
pub const LINK_LIFETIME: Duration = Duration::from_secs(600);

/// A new session: its cookie's value and who it is for.
pub struct SignedIn {
    /// The session token, for the cookie.
    pub cookie: String,
    /// The user.
    pub caller: Caller,
}

/// A sign-in link that is about to exist: the statement that stores its hash, and its address.
pub struct NewLink {
    /// Names it.
    pub id: SignInLinkId,
    /// Stores it.
    pub statement: Statement,
    /// `<origin>/sign-in#token=…`: the fragment never reaches a server or a log.
    pub url: SecretText,
    /// When it stops working.
    pub expires_at: UnixMillis,
}

/// Makes a link for a user. Also used by the operator's own tools, which write it into the database themselves.
pub fn new_link(
    keyring: &Keyring,
    origin: &str,
    id: SignInLinkId,
    secret: [u8; mac::SECRET_BYTES],
    user: UserId,
    now: UnixMillis,
) -> NewLink {
    let (text, opaque) = mac::issue::<kind::SignInLink>(keyring, id, secret);
    let expires_at = now + LINK_LIFETIME;
    NewLink {
        id,
        statement: identity::insert_link(id, user, &opaque.secret_sha256_hex(), now, expires_at),
        url: SecretText::new(format!("{origin}/sign-in#token={}", text.expose())),
        expires_at,
    }
}

/// Trades a link for a session. Of any number of attempts with one link, one succeeds.
pub async fn redeem_link(p: &impl Platform, config: &Config, text: &SecretText, source: Source) -> Result<SignedIn> {
    let refused = || {
        Error::new(
            ErrorCode::LinkInvalid,
            "This sign-in link is not valid, was used already, or is older than 10 minutes. Ask for a new one.",
        )
    };
    let link = mac::check::<kind::SignInLink>(&config.keyring, text.expose()).ok_or_else(refused)?;
    let now = p.now();
    let session: SessionId = p.id();
    let expires_at = now + SessionClaims::LIFETIME;
    let outcomes = p
        .batch(vec![
            identity::consume_link(link.id, &link.secret_sha256_hex(), session, now),
            identity::insert_session_from_link(session, &source.user_agent, &source.address, now, expires_at),
            audit::record_sign_in(session, &source.address, &source.user_agent, now),
            identity::session_grant(session),
        ])
        .await?;
    let row: GrantRow = first(outcomes.into_iter().nth(3))?.ok_or_else(refused)?;
    let claims = SessionClaims { sid: session, user: row.user.id, tenant: row.user.tenant_id };
    let (cookie, expires_at) = token::sign(&config.keyring, config.origin(), claims, now)
        .ok_or_else(|| Error::internal("cannot sign a session token"))?;
    let caller =
        Caller { user: row.user, grant: ringfence_protocol::ids::GrantId::Session(session), expires_at, source };
    Ok(SignedIn { cookie, caller })
}
