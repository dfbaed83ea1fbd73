//! The installation's keys: several Ed25519 keys to sign with (the newest) and verify with (all), keys to seal credentials
//! with, and one for MACs. Parsed once from the `RINGFENCE_KEYRING` secret; nothing here can be printed (I12).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{SigningKey, VerifyingKey};
use ringfence_protocol::claims::{Jwk, Jwks};
use serde::Deserialize;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 32 secret bytes, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey(pub(super) [u8; 32]);

/// One Ed25519 key pair and its name.
struct NamedKey {
    kid: String,
    signing: SigningKey,
}

/// A key that seals credentials, and the version stored beside what it sealed.
pub(super) struct SealKey {
    pub(super) version: i64,
    pub(super) key: SecretKey,
}

/// All keys of the installation.
pub struct Keyring {
    newest: NamedKey,
    older: Vec<NamedKey>,
    pub(super) seal: Vec<SealKey>,
    pub(super) mac: SecretKey,
}

/// Why a keyring was not accepted. Says where, never what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidKeyring(pub &'static str);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyringJson {
    keys: Vec<KeyJson>,
    seal: Vec<SealJson>,
    mac: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyJson {
    kid: String,
    seed: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SealJson {
    version: i64,
    key: String,
}

impl Keyring {
    /// Reads the secret: `{"keys":[{"kid","seed"}…],"seal":[{"version","key"}…],"mac"}`, newest key first, each key 32 bytes in base64url.
    pub fn parse(json: &str) -> Result<Self, InvalidKeyring> {
        let parsed: KeyringJson =
            serde_json::from_str(json).map_err(|_| InvalidKeyring("not the JSON that `cargo xtask keys` prints"))?;
        let mut keys = parsed.keys.into_iter().map(|key| {
            let seed = decode(key.seed, "a signing key is not 32 bytes in base64url")?;
            Ok(NamedKey { kid: key.kid, signing: SigningKey::from_bytes(&seed.0) })
        });
        let newest = keys.next().ok_or(InvalidKeyring("no signing key"))??;
        let older = keys.collect::<Result<Vec<_>, _>>()?;
        let seal = parsed
            .seal
            .into_iter()
            .map(|seal| {
                Ok(SealKey { version: seal.version, key: decode(seal.key, "a seal key is not 32 bytes in base64url")? })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if seal.is_empty() {
            return Err(InvalidKeyring("no seal key"));
        }
        Ok(Self { newest, older, seal, mac: decode(parsed.mac, "the mac key is not 32 bytes in base64url")? })
    }

    /// The key to sign with, and its name.
    pub(super) fn signing(&self) -> (&str, &SigningKey) {
        (&self.newest.kid, &self.newest.signing)
    }

    /// The public key of that name.
    pub(super) fn verifying(&self, kid: &str) -> Option<VerifyingKey> {
        std::iter::once(&self.newest)
            .chain(&self.older)
            .find(|key| key.kid == kid)
            .map(|key| key.signing.verifying_key())
    }

    /// Every public key, newest first.
    pub fn jwks(&self) -> Jwks {
        let keys = std::iter::once(&self.newest).chain(&self.older);
        let jwk = |key: &NamedKey| {
            Jwk::ed25519(URL_SAFE_NO_PAD.encode(key.signing.verifying_key().as_bytes()), Some(key.kid.clone()))
        };
        Jwks { keys: keys.map(jwk).collect() }
    }
}

fn decode(mut text: String, complaint: &'static str) -> Result<SecretKey, InvalidKeyring> {
    let mut bytes = [0; 32];
    let length = URL_SAFE_NO_PAD.decode_slice(&text, &mut bytes);
    text.zeroize();
    match length {
        Ok(32) => Ok(SecretKey(bytes)),
        Ok(_) | Err(_) => Err(InvalidKeyring(complaint)),
    }
}
