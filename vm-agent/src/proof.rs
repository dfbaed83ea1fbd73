//! Proof of possession (DPoP, RFC 9449): a fresh JWT per request, signed with the node's own key, that names the request, the
//! token it goes with and the nonce the server gave last.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_compact::alg::Ed25519;
use jwt_compact::{AlgorithmExt as _, Claims, Header};
use ringfence_protocol::claims::{Jwk, PROOF_TYPE, ProofClaims};
use ringfence_protocol::time::UnixMillis;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::identity::Identity;
use crate::secret::Secret;

#[derive(Serialize)]
struct ProofHeader<'a> {
    jwk: &'a Jwk,
}

/// What a proof is for.
pub struct Request<'a> {
    /// HTTP method, upper case.
    pub method: &'a str,
    /// URL without query and fragment.
    pub url: &'a str,
    /// The token the proof goes with.
    pub token: &'a Secret,
    /// The nonce the server gave last.
    pub nonce: Option<String>,
}

/// The proof could not be made: nothing the caller could do about it.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign the proof of possession")]
pub struct ProofError;

/// Makes the value of the `DPoP` header.
pub fn make(
    identity: &Identity,
    request: Request<'_>,
    unique: [u8; 16],
    now: UnixMillis,
) -> Result<String, ProofError> {
    let header = Header::new(ProofHeader { jwk: identity.jwk() }).with_token_type(PROOF_TYPE);
    let mut claims = Claims::new(ProofClaims {
        jti: URL_SAFE_NO_PAD.encode(unique),
        htm: request.method.to_owned(),
        htu: request.url.to_owned(),
        nonce: request.nonce,
        ath: URL_SAFE_NO_PAD.encode(Sha256::digest(request.token.expose())),
    });
    claims.issued_at = chrono::DateTime::from_timestamp(now.as_secs(), 0);
    Ed25519.token(&header, &claims, identity.signing_key()).map_err(|_| ProofError)
}
