//! Skipping work whose inputs have not changed.
//!
//! A stamp is a file beside the output, holding a digest of the inputs' paths, sizes and contents and of whatever else
//! the output depends on. Contents rather than times: a fresh clone, a `git checkout` there and back, and a cache that was
//! carried over all keep what is still true.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// The inputs of one piece of work, gathered into a digest.
#[derive(Default)]
pub struct Inputs {
    digest: Sha256,
}

impl Inputs {
    /// No inputs yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value that the output depends on: a version, a profile.
    pub fn value(mut self, value: &str) -> Self {
        self.add(value.as_bytes());
        self
    }

    /// Adds a file, or every file under a folder; what does not exist counts as absent. Hidden files, `node_modules` and
    /// build outputs are not inputs.
    pub fn path(mut self, path: &Path) -> Result<Self> {
        for file in files_under(path)? {
            self.add(file.as_os_str().as_encoded_bytes());
            let contents = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
            self.add(&contents);
        }
        Ok(self)
    }

    /// The digest of all that was added, in hexadecimal.
    pub fn digest(self) -> String {
        hex(&self.digest.finalize())
    }

    fn add(&mut self, bytes: &[u8]) {
        // The length goes first, so that no two lists of inputs run together into the same bytes.
        self.digest.update((bytes.len() as u64).to_le_bytes());
        self.digest.update(bytes);
    }
}

/// Whether the stamp says that the output was made from just these inputs.
pub fn is_fresh(stamp: &Path, digest: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|recorded| recorded == digest)
}

/// Records what the output was made from. Call it last: a broken run must leave no stamp.
pub fn record(stamp: &Path, digest: &str) -> Result<()> {
    if let Some(dir) = stamp.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(stamp, digest).with_context(|| format!("writing {}", stamp.display()))
}

/// Every file at or under a path, sorted.
pub fn files_under(path: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![path.to_path_buf()];
    while let Some(path) = open.pop() {
        if path.is_file() {
            found.push(path);
        } else if path.is_dir() {
            for entry in fs::read_dir(&path).with_context(|| format!("listing {}", path.display()))? {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if !name.starts_with('.') && !matches!(&*name, "node_modules" | "target" | "dist") {
                    open.push(entry.path());
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Bytes as lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_changes_the_digest() {
        let dir = tempfile::tempdir().unwrap();
        let digest = || Inputs::new().value("dev").path(dir.path()).unwrap().digest();
        fs::write(dir.path().join("a"), "one").unwrap();
        let before = digest();
        assert_eq!(digest(), before);
        fs::write(dir.path().join("a"), "two").unwrap();
        assert_ne!(digest(), before);
    }

    #[test]
    fn a_stamp_is_fresh_for_its_own_inputs_only() {
        let dir = tempfile::tempdir().unwrap();
        let stamp = dir.path().join("made/stamp");
        assert!(!is_fresh(&stamp, "x"));
        record(&stamp, "x").unwrap();
        assert!(is_fresh(&stamp, "x"));
        assert!(!is_fresh(&stamp, "y"));
    }
}
