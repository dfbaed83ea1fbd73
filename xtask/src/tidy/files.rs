//! Rules about files as such: none forgotten, none changed that must not change, none that depends on what it must not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use ringfence_protocol::problem::ErrorCode;
use sha2::{Digest, Sha256};

use crate::project;
use crate::stamp::hex;

/// Migrations that have landed, with the digests they landed with, as `sha256sum` writes them. Not beside them: that
/// folder holds migrations and nothing else.
const LANDED: &str = "xtask/landed-migrations.sha256";

pub(super) fn violations() -> Result<Vec<String>> {
    let root = project::root();
    let mut found = Vec::new();
    for suite in ["tests/it", "tests/e2e", "tests/proof"] {
        found.extend(forgotten_tests(root, suite)?);
    }
    found.extend(undocumented_codes(&root.join("docs/errors.md")));
    found.extend(changed_migrations(&root.join("d1-migrations"), &root.join(LANDED))?);
    for member in ["vm-agent", "local-cloud"] {
        let manifest = fs::read_to_string(root.join(member).join("Cargo.toml"))?;
        if depends_on_control_plane(&manifest) {
            found.push(format!("{member}/Cargo.toml: {member} must not see the control plane"));
        }
    }
    Ok(found)
}

/// A file of a test binary that its `main.rs` does not name is never compiled.
fn forgotten_tests(root: &Path, suite: &str) -> Result<Vec<String>> {
    let Ok(main) = fs::read_to_string(root.join(suite).join("main.rs")) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(suite))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let module = name.strip_suffix(".rs").unwrap_or(&name);
        let declared = main.lines().any(|line| line.trim_start_matches("pub ").starts_with(&format!("mod {module};")));
        if name.ends_with(".rs") && name != "main.rs" && !declared {
            found.push(format!("{suite}/{name}: not named in {suite}/main.rs, so it never runs"));
        }
    }
    Ok(found)
}

fn undocumented_codes(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap_or_default();
    let missing = ErrorCode::ALL.iter().filter(|code| !text.contains(&format!("`{code}`")));
    missing.map(|code| format!("docs/errors.md: `{code}` has no line")).collect()
}

/// Migrations are numbered from 0001 without a gap, and one that has landed is never edited.
fn changed_migrations(dir: &Path, landed: &Path) -> Result<Vec<String>> {
    let mut migrations = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".sql") {
            let digest = hex(&Sha256::digest(fs::read(dir.join(&name))?));
            migrations.insert(name, digest);
        }
    }
    let mut found = Vec::new();
    for (place, name) in migrations.keys().enumerate() {
        let number = format!("{:04}_", place + 1);
        if !name.starts_with(&number) {
            found.push(format!("d1-migrations/{name}: its number should be {number}"));
        }
    }
    let landed = fs::read_to_string(landed).unwrap_or_default();
    let mut listed = BTreeMap::new();
    for line in landed.lines() {
        let (digest, name) = line.split_once("  ").context("the landed migrations: not as sha256sum writes them")?;
        listed.insert(name, digest);
    }
    for (name, digest) in &migrations {
        match listed.remove(name.as_str()) {
            Some(expected) if expected == digest => {}
            Some(_) => found.push(format!("d1-migrations/{name}: changed after it landed; write a new migration")),
            None => found.push(format!("{LANDED}: add the line `{digest}  {name}`")),
        }
    }
    found.extend(listed.into_keys().map(|name| format!("d1-migrations/{name}: was removed after it landed")));
    Ok(found)
}

fn depends_on_control_plane(manifest: &str) -> bool {
    let line_names_it = |line: &str| {
        let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
        name.trim() == "ringfence"
    };
    manifest.lines().any(line_names_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_plane_is_told_from_the_protocol() {
        assert!(depends_on_control_plane("ringfence.workspace = true"));
        assert!(depends_on_control_plane("ringfence = { path = \"..\" }"));
        assert!(!depends_on_control_plane("ringfence-protocol.workspace = true"));
    }

    #[test]
    fn a_test_file_that_main_does_not_name_is_found() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("main.rs"), "mod named;\n").unwrap();
        fs::write(dir.path().join("named.rs"), "").unwrap();
        fs::write(dir.path().join("other.rs"), "").unwrap();
        let found = forgotten_tests(dir.path(), ".").unwrap();
        assert_eq!(found, ["./other.rs: not named in ./main.rs, so it never runs"]);
    }

    #[test]
    fn a_landed_migration_may_not_change() {
        let dir = tempfile::tempdir().unwrap();
        let migration = dir.path().join("0001_a.sql");
        fs::write(&migration, "one").unwrap();
        let digest = hex(&Sha256::digest("one"));
        let landed = dir.path().join("landed");
        fs::write(&landed, format!("{digest}  0001_a.sql\n")).unwrap();
        assert!(changed_migrations(dir.path(), &landed).unwrap().is_empty());
        fs::write(&migration, "two").unwrap();
        assert_eq!(changed_migrations(dir.path(), &landed).unwrap().len(), 1);
    }

    #[test]
    fn a_gap_in_the_numbers_is_found() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("0002_a.sql"), "").unwrap();
        let found = changed_migrations(dir.path(), Path::new("/nonexistent")).unwrap();
        assert!(found[0].contains("should be 0001_"));
    }
}
