//! The secrets of a local stack: made once, kept in its state directory, readable by their owner only.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::keys;

/// What a stack must find again after a restart.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    /// The Worker's `RINGFENCE_KEYRING`.
    pub keyring: Value,
    /// Marks what this installation made at a provider.
    pub installation_id: String,
    /// The API tokens that the local cloud accepts, each for a project of its own.
    pub cloud_tokens: [String; 2],
}

impl Secrets {
    /// Reads the file, or makes it with new secrets.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        if let Ok(text) = fs::read_to_string(path) {
            return serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()));
        }
        let secrets = Self {
            keyring: keys::new_keyring("local"),
            installation_id: keys::random_base32(12),
            cloud_tokens: std::array::from_fn(|_| format!("local-{}", keys::random_base32(32))),
        };
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(serde_json::to_string_pretty(&secrets)?.as_bytes())?;
        Ok(secrets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets.json");
        let first = Secrets::load_or_create(&path).unwrap();
        let second = Secrets::load_or_create(&path).unwrap();
        assert_eq!(first.keyring, second.keyring);
        assert_eq!(first.installation_id, second.installation_id);
    }
}
