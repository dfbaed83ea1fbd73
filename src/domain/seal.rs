//! Seals what users entrust to us, their credentials and their workspaces' secrets: AES-256-GCM under a key of the user's own
//! and of the kind of row (HKDF-SHA-256 of the installation's seal key), with the row's identity as associated data, so that a
//! sealed text moved to another row, user or kind of row does not open (I12).

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use ringfence_protocol::ids::{CredentialId, UserId, WorkspaceId};
use ringfence_protocol::params::SecretText;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::keyring::{Keyring, SealKey};

/// Bytes of a GCM nonce (NIST SP 800-38D section 8.2). Random ones are safe for 2^32 texts under one key; a user has a handful.
pub const NONCE_BYTES: usize = 12;

/// The row that a sealed text belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedRow {
    /// A key for a cloud.
    Credential(CredentialId),
    /// What of a workspace is secret.
    Workspace(WorkspaceId),
}

impl SealedRow {
    /// What the key of a user for this kind of row is derived for. Never the same for two kinds.
    fn purpose(self, user: UserId) -> String {
        match self {
            Self::Credential(_) => format!("ringfence/credential/{user}"),
            Self::Workspace(_) => format!("ringfence/workspace-secrets/{user}"),
        }
    }

    /// What the text is bound to. Ids name their kind too.
    fn associated_data(self, user: UserId, version: i64) -> String {
        match self {
            Self::Credential(id) => format!("{user}/{id}/v{version}"),
            Self::Workspace(id) => format!("{user}/workspace-secrets/{id}/v{version}"),
        }
    }
}

/// A sealed text, as its row holds it. Not a secret by itself.
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
    row: SealedRow,
    secret: &SecretText,
    nonce: [u8; NONCE_BYTES],
) -> Option<Sealed> {
    let key = keyring.seal.first()?;
    let aad = row.associated_data(user, key.version);
    let payload = Payload { msg: secret.expose().as_bytes(), aad: aad.as_bytes() };
    let ciphertext = cipher(key, row, user).encrypt(Nonce::from_slice(&nonce), payload).ok()?;
    let mut text = nonce.to_vec();
    text.extend_from_slice(&ciphertext);
    Some(Sealed { version: key.version, text: URL_SAFE_NO_PAD.encode(text) })
}

/// Opens what [`seal`] made for this user and row.
pub fn open(keyring: &Keyring, user: UserId, row: SealedRow, sealed: &Sealed) -> Result<SecretText, CannotOpen> {
    let key = keyring.seal.iter().find(|key| key.version == sealed.version).ok_or(CannotOpen)?;
    let bytes = URL_SAFE_NO_PAD.decode(&sealed.text).map_err(|_| CannotOpen)?;
    let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(CannotOpen)?;
    let aad = row.associated_data(user, key.version);
    let payload = Payload { msg: ciphertext, aad: aad.as_bytes() };
    let plain = cipher(key, row, user).decrypt(Nonce::from_slice(nonce), payload).map_err(|_| CannotOpen)?;
    String::from_utf8(plain).map(SecretText::new).map_err(|_| CannotOpen)
}

fn cipher(key: &SealKey, row: SealedRow, user: UserId) -> Aes256Gcm {
    let mut derived = Zeroizing::new([0; 32]);
    // HKDF refuses only outputs longer than 255 hashes; this one is one hash long.
    let _ = Hkdf::<Sha256>::new(None, &key.key.0).expand(row.purpose(user).as_bytes(), derived.as_mut());
    Aes256Gcm::new(derived.as_ref().into())
}
