//! Proof of possession on every `/agent/*` request: a DPoP proof (RFC 9449 section 4.3) with a nonce of ours.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::VerifyingKey;
use jwt_compact::alg::Ed25519;
use jwt_compact::{AlgorithmExt, UntrustedToken};
use ringfence_protocol::claims::{Jwk, PROOF_TYPE, ProofClaims};
use ringfence_protocol::time::UnixMillis;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::keyring::Keyring;
use super::mac;

/// What a proof has shown: the sender holds this key, and made the proof for this request just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenKey {
    /// The public key.
    pub jwk: Jwk,
    /// Its thumbprint (RFC 7638).
    pub thumbprint: String,
    /// The proof's own name, for whoever remembers which were used.
    pub jti: String,
}

/// Longest `jti` of a proof: ours have 22 characters.
const MAX_JTI_BYTES: usize = 128;

/// The request a proof is checked against.
pub struct ProofContext<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Origins we are reached at, from the configuration: the request's own Host header proves nothing.
    pub origins: &'a [String],
    /// The path.
    pub path: &'a str,
    /// The token presented with the proof.
    pub token: &'a str,
}

/// Why a proof shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// Not a valid proof for this request.
    Invalid,
    /// It would be, with a fresh nonce.
    NonceNeeded,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ProofHeader {
    jwk: Jwk,
}

/// Checks a proof against the request it came with.
pub fn verify(
    keyring: &Keyring,
    proof: &str,
    context: &ProofContext<'_>,
    now: UnixMillis,
) -> Result<ProvenKey, Unproven> {
    let untrusted: UntrustedToken<'_, ProofHeader> = UntrustedToken::try_from(proof).map_err(|_| Unproven::Invalid)?;
    let header = untrusted.header();
    if header.token_type.as_deref() != Some(PROOF_TYPE)
        || header.other_fields.jwk.kty != "OKP"
        || header.other_fields.jwk.crv != "Ed25519"
    {
        return Err(Unproven::Invalid);
    }
    let jwk = Jwk::ed25519(header.other_fields.jwk.x.clone(), None);
    let bytes: [u8; 32] =
        URL_SAFE_NO_PAD.decode(&jwk.x).ok().and_then(|b| b.try_into().ok()).ok_or(Unproven::Invalid)?;
    let key = VerifyingKey::from_bytes(&bytes).map_err(|_| Unproven::Invalid)?;
    // A weak key verifies signatures for many messages: nobody proves anything with it.
    if key.is_weak() {
        return Err(Unproven::Invalid);
    }
    let token = Ed25519.validator::<ProofClaims>(&key).validate(&untrusted).map_err(|_| Unproven::Invalid)?;
    let claims = &token.claims().custom;
    let for_this_url = context
        .origins
        .iter()
        .any(|origin| claims.htu.strip_prefix(origin.as_str()).is_some_and(|path| path == context.path));
    if claims.jti.len() > MAX_JTI_BYTES
        || claims.htm != context.method
        || !for_this_url
        || claims.ath != token_hash(context.token)
    {
        return Err(Unproven::Invalid);
    }
    // The nonce, not `iat`, shows that it is fresh: the clock of a machine that just booted may be wrong.
    if !claims.nonce.as_deref().is_some_and(|nonce| mac::nonce_is_fresh(keyring, nonce, now)) {
        return Err(Unproven::NonceNeeded);
    }
    let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(jwk.thumbprint_input()));
    Ok(ProvenKey { jwk, thumbprint, jti: claims.jti.clone() })
}

/// The `ath` claim for a token (RFC 9449 section 4.2).
pub fn token_hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token))
}
