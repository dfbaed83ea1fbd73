//! The node's own key pair. It is on disk before anything is asked with it, so that a repeated request carries the same key.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use rand::TryRngCore as _;
use ringfence_protocol::claims::Jwk;
use zeroize::Zeroizing;

use crate::disk::{self, DiskError};

/// The node's key pair.
pub struct Identity {
    key: SigningKey,
    jwk: Jwk,
}

/// Why there is no key pair.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file could not be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file is not a key.
    #[error("the key file is damaged")]
    Damaged,
    /// The kernel gave no random bytes.
    #[error("no randomness to make a key from")]
    NoEntropy,
}

impl Identity {
    /// Reads the key pair, or makes and stores one.
    pub fn load_or_make(path: &Path) -> Result<Self, IdentityError> {
        if let Some(text) = disk::read_if_there(path)?.map(Zeroizing::new) {
            let seed =
                URL_SAFE_NO_PAD.decode(text.trim_ascii()).map(Zeroizing::new).map_err(|_| IdentityError::Damaged)?;
            let seed: &[u8; 32] = seed.as_slice().try_into().map_err(|_| IdentityError::Damaged)?;
            return Ok(Self::from_seed(seed));
        }
        let mut seed = Zeroizing::new([0_u8; 32]);
        rand::rngs::OsRng.try_fill_bytes(seed.as_mut_slice()).map_err(|_| IdentityError::NoEntropy)?;
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(seed.as_slice()));
        disk::write_private(path, text.as_bytes())?;
        Ok(Self::from_seed(&seed))
    }

    fn from_seed(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
        Self { key, jwk: Jwk::ed25519(x, None) }
    }

    /// The private half, for signing proofs.
    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    /// The public half.
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_read_after() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let made = Identity::load_or_make(&path).unwrap();
        let read = Identity::load_or_make(&path).unwrap();
        assert_eq!(made.jwk(), read.jwk());
    }

    #[test]
    fn a_damaged_key_is_not_replaced_in_silence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(Identity::load_or_make(&path), Err(IdentityError::Damaged)));
    }
}
