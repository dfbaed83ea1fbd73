//! The agent checks viewers' tokens itself, with the keys it got from user-data or from its control plane.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ed25519_dalek::VerifyingKey;
use jwt_compact::alg::Ed25519;
use jwt_compact::{AlgorithmExt as _, TimeOptions, UntrustedToken};
use ringfence_protocol::claims::{Issued, Jwk, Jwks, TokenKind, WorkspaceClaims};
use ringfence_protocol::ids::{GrantId, NodeId, WorkspaceId};
use ringfence_protocol::state::Permission;
use ringfence_protocol::time::UnixMillis;

/// How far the agent's idea of the control plane's clock may be off.
const LEEWAY_SECS: i64 = 60;

/// What a good token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// The session or API token behind it.
    pub sid: GrantId,
    /// Whether its holder may only look.
    pub read_only: bool,
}

/// Why a token is not accepted: for the log, never for the viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a token of the right kind.
    #[error("not a workspace token")]
    NotOne,
    /// Signed with a key we do not know.
    #[error("signed with an unknown key")]
    UnknownKey,
    /// The signature is not that key's.
    #[error("wrong signature")]
    Forged,
    /// For something else: another issuer, audience, node or workspace.
    #[error("not for this")]
    NotForThis,
    /// Its time is over or has not come.
    #[error("expired")]
    Expired,
    /// It does not allow to look at terminals.
    #[error("does not allow terminals")]
    NotPermitted,
}

/// What a token must be for.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The control plane's origin.
    pub issuer: &'a str,
    /// This node.
    pub node: NodeId,
    /// The workspace the viewer asks for.
    pub workspace: WorkspaceId,
    /// The control plane's clock.
    pub now: UnixMillis,
}

/// Checks a token.
pub fn verify(token: &str, keys: &Jwks, expected: Expected<'_>) -> Result<Admission, Refusal> {
    let untrusted = UntrustedToken::new(token).map_err(|_| Refusal::NotOne)?;
    let header = untrusted.header();
    if header.token_type.as_deref() != Some(WorkspaceClaims::TYPE) {
        return Err(Refusal::NotOne);
    }
    let kid = header.key_id.as_deref().ok_or(Refusal::UnknownKey)?;
    let key = keys
        .keys
        .iter()
        .find(|key| key.kid.as_deref() == Some(kid))
        .and_then(verifying_key)
        .ok_or(Refusal::UnknownKey)?;
    let verified =
        Ed25519.validator::<Issued<WorkspaceClaims>>(&key).validate(&untrusted).map_err(|_| Refusal::Forged)?;
    let now = instant(expected.now).ok_or(Refusal::Expired)?;
    let time = TimeOptions::new(chrono::Duration::seconds(LEEWAY_SECS), || now);
    let claims = verified.claims();
    claims.validate_expiration(&time).map_err(|_| Refusal::Expired)?;
    if claims.not_before.is_some() && claims.validate_maturity(&time).is_err() {
        return Err(Refusal::Expired);
    }
    let issued = &claims.custom;
    let token = &issued.claims;
    if issued.iss != expected.issuer
        || issued.aud != WorkspaceClaims::AUDIENCE
        || token.node != expected.node
        || token.workspace != expected.workspace
    {
        return Err(Refusal::NotForThis);
    }
    let may_read = token.permissions.contains(&Permission::TerminalRead);
    let may_write = token.permissions.contains(&Permission::TerminalWrite);
    if !may_read {
        return Err(Refusal::NotPermitted);
    }
    Ok(Admission { sid: token.sid, read_only: !may_write })
}

fn verifying_key(jwk: &Jwk) -> Option<VerifyingKey> {
    if jwk.kty != "OKP" || jwk.crv != "Ed25519" {
        return None;
    }
    let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(&jwk.x).ok()?.try_into().ok()?;
    VerifyingKey::from_bytes(&bytes).ok()
}

fn instant(now: UnixMillis) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(now.get())
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use jwt_compact::{Claims, Header};
    use ringfence_protocol::claims::SessionClaims;
    use ringfence_protocol::ids::{Id, SessionId};

    use super::*;

    const ISSUER: &str = "https://ringfence.example";
    const NOW: UnixMillis = UnixMillis::from_secs(1_000_000);

    /// What a token says of itself.
    struct Told {
        typ: &'static str,
        kid: &'static str,
        iss: &'static str,
        aud: &'static str,
        node: u8,
        workspace: u8,
        permissions: Vec<Permission>,
        begins: i64,
        ends: i64,
    }

    impl Default for Told {
        fn default() -> Self {
            Self {
                typ: WorkspaceClaims::TYPE,
                kid: "key-1",
                iss: ISSUER,
                aud: WorkspaceClaims::AUDIENCE,
                node: 1,
                workspace: 2,
                permissions: vec![Permission::TerminalRead, Permission::TerminalWrite],
                begins: NOW.as_secs(),
                ends: NOW.as_secs() + 1,
            }
        }
    }

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_bytes(&[byte; 32])
    }

    fn signed(told: &Told, by: u8) -> String {
        let header = Header::empty().with_key_id(told.kid).with_token_type(told.typ);
        let token = WorkspaceClaims {
            jti: Id::from_entropy([3; 13]),
            user: Id::from_entropy([4; 13]),
            workspace: Id::from_entropy([told.workspace; 13]),
            node: Id::from_entropy([told.node; 13]),
            permissions: told.permissions.clone(),
            sid: GrantId::Session(SessionId::from_entropy([5; 13])),
        };
        let mut claims = Claims::new(Issued { iss: told.iss.into(), aud: told.aud.into(), claims: token });
        claims.not_before = DateTime::from_timestamp(told.begins, 0);
        claims.expiration = DateTime::from_timestamp(told.ends, 0);
        Ed25519.token(&header, &claims, &key(by)).unwrap()
    }

    fn opened(token: &str) -> Result<bool, Refusal> {
        let x = URL_SAFE_NO_PAD.encode(key(1).verifying_key().as_bytes());
        let keys = Jwks { keys: vec![Jwk::ed25519(x, Some("key-1".into()))] };
        let expected = Expected {
            issuer: ISSUER,
            node: Id::from_entropy([1; 13]),
            workspace: Id::from_entropy([2; 13]),
            now: NOW,
        };
        verify(token, &keys, expected).map(|admission| admission.read_only)
    }

    #[test]
    fn each_thing_that_a_token_says_is_looked_at_by_itself() {
        let told = Told::default;
        assert_eq!(opened(&signed(&told(), 1)), Ok(false));
        assert_eq!(opened(&signed(&Told { permissions: vec![Permission::TerminalRead], ..told() }, 1)), Ok(true));
        for (token, why) in [
            (Told { typ: SessionClaims::TYPE, ..told() }, Refusal::NotOne),
            (Told { kid: "key-2", ..told() }, Refusal::UnknownKey),
            (Told { iss: "https://elsewhere.example", ..told() }, Refusal::NotForThis),
            (Told { aud: SessionClaims::AUDIENCE, ..told() }, Refusal::NotForThis),
            (Told { node: 9, ..told() }, Refusal::NotForThis),
            (Told { workspace: 9, ..told() }, Refusal::NotForThis),
            (Told { begins: NOW.as_secs() + LEEWAY_SECS + 1, ends: NOW.as_secs() + 999, ..told() }, Refusal::Expired),
            (Told { ends: NOW.as_secs() - LEEWAY_SECS - 1, ..told() }, Refusal::Expired),
            (Told { permissions: vec![Permission::TerminalWrite], ..told() }, Refusal::NotPermitted),
            (Told { permissions: Vec::new(), ..told() }, Refusal::NotPermitted),
        ] {
            assert_eq!(opened(&signed(&token, 1)), Err(why));
        }
        assert_eq!(opened(&signed(&told(), 2)), Err(Refusal::Forged), "by another key of the same name");
        assert_eq!(opened("garbage"), Err(Refusal::NotOne));
    }
}
