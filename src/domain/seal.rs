//! Seals users' credentials: AES-256-GCM under a key of the user's own (HKDF-SHA-256 of the installation's seal key), with
//! the row's identity as associated data, so that a sealed text moved to another row or user does not open (I12).

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use ringfence_protocol::ids::{CredentialId, UserId};
use ringfence_protocol::params::SecretText;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::keyring::{Keyring, SealKey};

/// Bytes of a GCM nonce (NIST SP 800-38D section 8.2). Random ones are safe for 2^32 texts under one key; a user has a handful.
pub const NONCE_BYTES: usize = 12;

/// A sealed credential, as its row holds it. Not a secret by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which seal key.
    pub version: i64,
    /// Nonce and ciphertext, base64url.
    pub text: String,
}

/// The sealed text does not open: another key, row or user, or it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CannotOpen;

/// Seals with the newest key. `None` only if the cipher refuses the length, which it does from 64 GiB on.
pub fn seal(
    keyring: &Keyring,
    user: UserId,
    credential: CredentialId,
    secret: &SecretText,
    nonce: [u8; NONCE_BYTES],
) -> Option<Sealed> {
    let key = keyring.seal.first()?;
    let aad = associated_data(user, credential, key.version);
    let payload = Payload { msg: secret.expose().as_bytes(), aad: aad.as_bytes() };
    let ciphertext = cipher(key, user).encrypt(Nonce::from_slice(&nonce), payload).ok()?;
    let mut text = nonce.to_vec();
    text.extend_from_slice(&ciphertext);
    Some(Sealed { version: key.version, text: URL_SAFE_NO_PAD.encode(text) })
}

/// Opens what [`seal`] made for this user and row.
pub fn open(
    keyring: &Keyring,
    user: UserId,
    credential: CredentialId,
    sealed: &Sealed,
) -> Result<SecretText, CannotOpen> {
    let key = keyring.seal.iter().find(|key| key.version == sealed.version).ok_or(CannotOpen)?;
    let bytes = URL_SAFE_NO_PAD.decode(&sealed.text).map_err(|_| CannotOpen)?;
    let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(CannotOpen)?;
    let aad = associated_data(user, credential, key.version);
    let payload = Payload { msg: ciphertext, aad: aad.as_bytes() };
    let plain = cipher(key, user).decrypt(Nonce::from_slice(nonce), payload).map_err(|_| CannotOpen)?;
    String::from_utf8(plain).map(SecretText::new).map_err(|_| CannotOpen)
}

fn cipher(key: &SealKey, user: UserId) -> Aes256Gcm {
    let mut derived = Zeroizing::new([0; 32]);
    // HKDF refuses only outputs longer than 255 hashes; this one is one hash long.
    let _ = Hkdf::<Sha256>::new(None, &key.key.0)
        .expand(format!("ringfence/credential/{user}").as_bytes(), derived.as_mut());
    Aes256Gcm::new(derived.as_ref().into())
}

fn associated_data(user: UserId, credential: CredentialId, version: i64) -> String {
    format!("{user}/{credential}/v{version}")
}
