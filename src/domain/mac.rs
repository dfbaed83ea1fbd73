//! Opaque tokens with a MAC: API tokens (`rf_…`), sign-in links (`rfl_…`) and gateway tokens (`rfg_…`). The MAC is checked before anything is looked
//! up, so that no unauthenticated request reaches the database. Also the server nonces of proofs.
//!
//! Text: `<prefix>_<20 characters of the id>_<43 of the secret>_<22 of the MAC>`; the MAC is HMAC-SHA-256 over all before
//! it, cut to 16 bytes. The database holds the SHA-256 of the secret alone: 256 random bits need no slow hash.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use ringfence_protocol::ids::{Id, Kind, kind};
use ringfence_protocol::params::SecretText;
use ringfence_protocol::time::UnixMillis;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::keyring::Keyring;

/// Bytes of the secret.
pub const SECRET_BYTES: usize = 32;
const MAC_BYTES: usize = 16;
/// How long a nonce of ours is accepted: long enough for a slow boot, short enough that a captured proof is soon useless.
pub const NONCE_LIFETIME: Duration = Duration::from_secs(300);

/// A kind of opaque token.
pub trait OpaqueKind: Kind {
    /// The text before the first underscore.
    const TOKEN_PREFIX: &'static str;
}
impl OpaqueKind for kind::ApiToken {
    const TOKEN_PREFIX: &'static str = "rf";
}
impl OpaqueKind for kind::SignInLink {
    const TOKEN_PREFIX: &'static str = "rfl";
}
impl OpaqueKind for kind::GatewayToken {
    const TOKEN_PREFIX: &'static str = "rfg";
}

/// What an opaque token says once its MAC holds: which row to look at, and the hash to find there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opaque<K: Kind> {
    /// Names the row.
    pub id: Id<K>,
    /// SHA-256 of the secret, as the row holds it in hex.
    pub secret_sha256: [u8; 32],
}

impl<K: Kind> Opaque<K> {
    /// The hash as the database holds it.
    pub fn secret_sha256_hex(&self) -> String {
        hex(&self.secret_sha256)
    }
}

/// Makes a token and what the database should hold of it.
pub fn issue<K: OpaqueKind>(keyring: &Keyring, id: Id<K>, secret: [u8; SECRET_BYTES]) -> (SecretText, Opaque<K>) {
    let secret = URL_SAFE_NO_PAD.encode(secret);
    let signed = format!("{}_{}_{secret}", K::TOKEN_PREFIX, id.body());
    let tag = URL_SAFE_NO_PAD.encode(tag(keyring, "opaque", signed.as_bytes()));
    let opaque = Opaque { id, secret_sha256: Sha256::digest(secret.as_bytes()).into() };
    // base64url has underscores of its own: a dot parts the MAC.
    (SecretText::new(format!("{signed}.{tag}")), opaque)
}

/// Reads a token of this kind whose MAC holds; `None` for everything else.
pub fn check<K: OpaqueKind>(keyring: &Keyring, token: &str) -> Option<Opaque<K>> {
    let (signed, given) = token.rsplit_once('.')?;
    let given: [u8; MAC_BYTES] = URL_SAFE_NO_PAD.decode(given).ok()?.try_into().ok()?;
    if !bool::from(given.as_slice().ct_eq(&tag(keyring, "opaque", signed.as_bytes()))) {
        return None;
    }
    let (body, secret) = signed.strip_prefix(K::TOKEN_PREFIX)?.strip_prefix('_')?.split_once('_')?;
    let id = format!("{}_{body}", K::PREFIX).parse().ok()?;
    Some(Opaque { id, secret_sha256: Sha256::digest(secret.as_bytes()).into() })
}

/// A nonce for proofs of possession that says when it was made and that we made it: nothing is stored (RFC 9449 section 8).
pub fn nonce(keyring: &Keyring, now: UnixMillis) -> String {
    let made = now.as_secs().to_be_bytes();
    let mut bytes = made.to_vec();
    bytes.extend_from_slice(&tag(keyring, "nonce", &made));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Whether a nonce is ours and fresh.
pub fn nonce_is_fresh(keyring: &Keyring, nonce: &str, now: UnixMillis) -> bool {
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(nonce) else { return false };
    let Some((made, given)) = bytes.split_first_chunk::<8>() else { return false };
    let genuine = bool::from(given.ct_eq(&tag(keyring, "nonce", made)));
    let made = UnixMillis::from_secs(i64::from_be_bytes(*made));
    genuine && made <= now + Duration::from_secs(1) && now.since(made) <= NONCE_LIFETIME
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// HMAC-SHA-256 of `data` in a domain of its own, cut to [`MAC_BYTES`].
/// What tells one body from another in the database, without letting who reads the database try out what secret was in it.
pub fn fingerprint(keyring: &Keyring, body_sha256: &str) -> String {
    hex(&tag(keyring, "idempotency", body_sha256.as_bytes()))
}

fn tag(keyring: &Keyring, purpose: &str, data: &[u8]) -> [u8; MAC_BYTES] {
    let mut full = [0; 32];
    // HMAC takes keys of every length; the key is 32 bytes.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&keyring.mac.0) {
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(data);
        full = mac.finalize().into_bytes().into();
    }
    let mut cut = [0; MAC_BYTES];
    cut.copy_from_slice(full.split_at(MAC_BYTES).0);
    cut
}
