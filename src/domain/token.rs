//! Signs and verifies Ringfence's four kinds of JWT. Which kind is part of the type: a token of one
//! kind is refused wherever another is asked for, by its `typ` header and by its audience (I6).

use std::time::Duration;

use chrono::DateTime;
use jwt_compact::alg::Ed25519;
use jwt_compact::{AlgorithmExt, Claims, Header, UntrustedToken};
use ringfence_protocol::claims::{BootstrapClaims, CallbackClaims, Issued, SessionClaims, TokenKind, WorkspaceClaims};
use ringfence_protocol::time::UnixMillis;

use super::keyring::Keyring;

/// How long a kind of token lives.
pub trait Lifetime: TokenKind {
    /// From issue to expiry.
    const LIFETIME: Duration;
}

impl Lifetime for SessionClaims {
    const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
}
impl Lifetime for WorkspaceClaims {
    const LIFETIME: Duration = Duration::from_secs(3600);
}
impl Lifetime for BootstrapClaims {
    const LIFETIME: Duration = Duration::from_secs(15 * 60);
}
impl Lifetime for CallbackClaims {
    const LIFETIME: Duration = Duration::from_secs(24 * 3600);
}

/// A token whose signature, kind and issuer hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    /// Its claims.
    pub claims: T,
    /// When it was signed.
    pub issued_at: UnixMillis,
    /// When it ends.
    pub expires_at: UnixMillis,
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Not a token of ours, of this kind, for this installation.
    Invalid,
    /// It was one, and its time is over.
    Expired,
}

/// Signs claims with the newest key. `None` only if they cannot be written as JSON.
pub fn sign<T: Lifetime>(
    keyring: &Keyring,
    issuer: &str,
    claims: T,
    issued_at: UnixMillis,
) -> Option<(String, UnixMillis)> {
    let (kid, key) = keyring.signing();
    let header = Header::empty().with_key_id(kid).with_token_type(T::TYPE);
    let issued = Issued { iss: issuer.to_owned(), aud: T::AUDIENCE.to_owned(), claims };
    // JWT times are whole seconds: rounding down both keeps the lifetime.
    let issued_at = UnixMillis::from_secs(issued_at.as_secs());
    let expires_at = issued_at + T::LIFETIME;
    let mut body = Claims::new(issued);
    body.issued_at = DateTime::from_timestamp(issued_at.as_secs(), 0);
    body.expiration = DateTime::from_timestamp(expires_at.as_secs(), 0);
    Some((Ed25519.token(&header, &body, key).ok()?, expires_at))
}

/// Checks kind, key, signature, issuer and time, in this order.
pub fn verify<T: Lifetime>(
    keyring: &Keyring,
    issuer: &str,
    token: &str,
    now: UnixMillis,
) -> Result<Verified<T>, Refused> {
    let verified = verify_at_any_time(keyring, issuer, token)?;
    if now >= verified.expires_at { Err(Refused::Expired) } else { Ok(verified) }
}

/// Checks kind, key, signature and issuer: what it says was said by us, and may be over.
pub fn verify_at_any_time<T: Lifetime>(keyring: &Keyring, issuer: &str, token: &str) -> Result<Verified<T>, Refused> {
    let untrusted = UntrustedToken::new(token).map_err(|_| Refused::Invalid)?;
    let header = untrusted.header();
    if header.token_type.as_deref() != Some(T::TYPE) {
        return Err(Refused::Invalid);
    }
    let key = header.key_id.as_deref().and_then(|kid| keyring.verifying(kid)).ok_or(Refused::Invalid)?;
    let token = Ed25519.validator::<Issued<T>>(&key).validate(&untrusted).map_err(|_| Refused::Invalid)?;
    let (_, body) = token.into_parts();
    if body.custom.aud != T::AUDIENCE || body.custom.iss != issuer {
        return Err(Refused::Invalid);
    }
    let seconds = |moment: Option<DateTime<chrono::Utc>>| moment.map(|m| UnixMillis::from_secs(m.timestamp()));
    let (Some(issued_at), Some(expires_at)) = (seconds(body.issued_at), seconds(body.expiration)) else {
        return Err(Refused::Invalid);
    };
    Ok(Verified { claims: body.custom.claims, issued_at, expires_at })
}
