//! A machine's control groups: one group in each hierarchy, below the one that this process is in.
//!
//! A machine's systemd takes the group it is started in for the root of the tree. Without one of its own, all machines would share
//! this computer's, each believing that the others' services are its own.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

const ROOT: &str = "/sys/fs/cgroup";
const RECORD: &str = "control-groups.json";
const REMOVE_ROUNDS_MAX: u32 = 100;
const PAUSE_BETWEEN_ROUNDS: Duration = Duration::from_millis(10);

/// The groups of one machine, by their folders.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct ControlGroups(Vec<PathBuf>);

/// Whether this computer has control groups of version 1, alone or beside version 2.
pub(super) fn legacy() -> bool {
    !Path::new(ROOT).join("cgroup.controllers").exists()
}

impl ControlGroups {
    /// Makes the groups, and writes down where they are before there is a process in them.
    pub(super) fn create(name: &str, directory: &Path) -> Result<Self> {
        if !legacy() {
            // There systemd-nspawn asks this computer's systemd for a scope.
            return Ok(Self::default());
        }
        let groups = Self(parents()?.into_iter().map(|parent| parent.join(name)).collect());
        super::super::record::write_private(&directory.join(RECORD), &serde_json::to_vec(&groups)?)?;
        for group in &groups.0 {
            std::fs::create_dir_all(group).with_context(|| format!("cannot make {}", group.display()))?;
            // Version 1 gives a new group no processors and no memory to run on.
            for file in ["cpuset.mems", "cpuset.cpus"] {
                let (own, above) = (group.join(file), group.with_file_name(file));
                if let Ok(value) = std::fs::read(above) {
                    std::fs::write(&own, value).with_context(|| format!("cannot write {}", own.display()))?;
                }
            }
        }
        Ok(groups)
    }

    /// Those that a machine has, or had before a crash.
    pub(super) fn recorded(directory: &Path) -> Self {
        let read = std::fs::read(directory.join(RECORD)).ok();
        read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    pub(super) fn paths(&self) -> &[PathBuf] {
        &self.0
    }

    /// Every process in any of them.
    pub(super) fn processes(&self) -> Vec<i32> {
        let mut found = BTreeSet::new();
        for group in self.0.iter().flat_map(|group| tree(group)) {
            let text = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            // Processes of an outer namespace show as 0.
            found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 1));
        }
        found.into_iter().collect()
    }

    /// Removes the groups, which have no processes any more; false when one stays. The kernel may take a moment to see that they
    /// are empty.
    pub(super) async fn remove(&self) -> bool {
        for _ in 0..REMOVE_ROUNDS_MAX {
            let left: Vec<PathBuf> = self.0.iter().flat_map(|group| tree(group)).collect();
            if left.is_empty() {
                return true;
            }
            if left.iter().all(|folder| std::fs::remove_dir(folder).is_ok()) {
                return true;
            }
            tokio::time::sleep(PAUSE_BETWEEN_ROUNDS).await;
        }
        tracing::warn!(groups = ?self.0, "cannot remove control groups");
        false
    }
}

/// A group and those below it, the innermost first.
fn tree(group: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(group) else { return Vec::new() };
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut all: Vec<PathBuf> = folders.flat_map(|entry| tree(&entry.path())).collect();
    all.push(group.to_owned());
    all
}

/// The group that this process is in, in every hierarchy that is mounted.
fn parents() -> Result<Vec<PathBuf>> {
    let text = std::fs::read_to_string("/proc/self/cgroup").context("no control groups")?;
    let mut found = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let name = match controllers {
            "" => "unified",
            named => named.strip_prefix("name=").unwrap_or(named),
        };
        let mount = Path::new(ROOT).join(name);
        if mount.join("cgroup.procs").exists() {
            found.push(mount.join(path.trim_start_matches('/')));
        }
    }
    Ok(found)
}
