//! `cargo xtask keys`: a new keyring, the secret that the control plane signs and seals with.

use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng;
use serde_json::{Value, json};

/// Alphabet of ids that end up in names and labels at a provider.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Prints a new keyring, or a rotated one, as one line that fits a secret.
pub fn print(rotate: Option<&Path>, kid: Option<String>) -> Result<()> {
    let kid = kid.unwrap_or_else(|| random_base32(8));
    let keyring = match rotate {
        None => new_keyring(&kid),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            rotated(serde_json::from_str(&text)?, &kid).context("not a keyring: no list of keys")?
        }
    };
    println!("{keyring}");
    Ok(())
}

/// A keyring with one signing key, one sealing key and one MAC key, all new.
pub fn new_keyring(kid: &str) -> Value {
    json!({
        "keys": [{ "kid": kid, "seed": random_secret() }],
        "seal": [{ "version": 1, "key": random_secret() }],
        "mac": random_secret(),
    })
}

/// A keyring that signs with a new key and still verifies with the old ones. Seals and MACs stay as they are.
pub fn rotated(mut keyring: Value, kid: &str) -> Option<Value> {
    let keys = keyring.get_mut("keys")?.as_array_mut()?;
    keys.insert(0, json!({ "kid": kid, "seed": random_secret() }));
    Some(keyring)
}

/// Random characters that are fit for a label.
pub fn random_base32(length: usize) -> String {
    let mut rng = rand::rng();
    (0..length).map(|_| char::from(BASE32[rng.random_range(0..BASE32.len())])).collect()
}

fn random_secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_puts_the_new_key_first_and_keeps_the_old() {
        let old = new_keyring("a");
        let new = rotated(old.clone(), "b").unwrap();
        assert_eq!(new["keys"][0]["kid"], "b");
        assert_eq!(new["keys"][1], old["keys"][0]);
        assert_eq!(new["seal"], old["seal"]);
        assert_eq!(new["mac"], old["mac"]);
    }

    #[test]
    fn every_secret_is_another() {
        let keyring = new_keyring("a");
        assert_ne!(keyring["keys"][0]["seed"], keyring["seal"][0]["key"]);
        assert_ne!(keyring["seal"][0]["key"], keyring["mac"]);
    }
}
