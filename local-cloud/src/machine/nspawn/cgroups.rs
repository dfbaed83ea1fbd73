//! A machine's control groups: one group in each hierarchy, below the one that this process is in.
//!
//! A machine's systemd takes the group it is started in for the root of the tree. Without one of its own, all machines would share
//! this computer's, each believing that the others' services are its own.
//!
//! On a computer with version 2 alone systemd-nspawn has this computer's systemd make the group, a scope of the machine's own, and
//! with it the controllers. The machine's processes are then found as the descendants of the one that was started for it.

use super::super::procfs::{self, ProcessIdentity};
use super::super::record::write_private;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

const ROOT: &str = "/sys/fs/cgroup";
const RECORD: &str = "control-groups.json";
const REMOVE_ROUNDS_MAX: u32 = 100;
const PAUSE_BETWEEN_ROUNDS: Duration = Duration::from_millis(10);

/// The groups of one machine, by their folders, or what stands for them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct ControlGroups {
    folders: Vec<PathBuf>,
    /// The process that was started for the machine, where there are no folders.
    first: Option<ProcessIdentity>,
}

/// Whether this computer has control groups of version 1, alone or beside version 2.
pub(super) fn legacy() -> bool {
    !Path::new(ROOT).join("cgroup.controllers").exists()
}

impl ControlGroups {
    /// Makes the groups, and writes down where they are before there is a process in them.
    pub(super) fn create(name: &str, directory: &Path) -> Result<Self> {
        if !legacy() {
            return Ok(Self::default());
        }
        let folders = parents()?.into_iter().map(|parent| parent.join(name)).collect();
        let groups = Self { folders, first: None };
        groups.record(directory)?;
        for group in &groups.folders {
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

    /// Says which process was started for the machine. Nobody need know where there are folders.
    pub(super) fn started(mut self, first: Option<i32>, directory: &Path) -> Result<Self> {
        if self.folders.is_empty() {
            self.first = first.and_then(ProcessIdentity::of);
            self.record(directory)?;
        }
        Ok(self)
    }

    fn record(&self, directory: &Path) -> Result<()> {
        write_private(&directory.join(RECORD), &serde_json::to_vec(self)?)
    }

    /// Those that a machine has, or had before a crash.
    pub(super) fn recorded(directory: &Path) -> Self {
        let read = std::fs::read(directory.join(RECORD)).ok();
        read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    pub(super) fn paths(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Every process in any of them.
    pub(super) fn processes(&self) -> Vec<i32> {
        let mut found: BTreeSet<i32> = self.first.map(procfs::family).unwrap_or_default();
        for group in self.folders.iter().flat_map(|group| tree(group)) {
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
            let left: Vec<PathBuf> = self.folders.iter().flat_map(|group| tree(group)).collect();
            if left.is_empty() {
                return true;
            }
            if left.iter().all(|folder| std::fs::remove_dir(folder).is_ok()) {
                return true;
            }
            tokio::time::sleep(PAUSE_BETWEEN_ROUNDS).await;
        }
        tracing::warn!(groups = ?self.folders, "cannot remove control groups");
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Instant;

    #[tokio::test]
    async fn where_there_are_no_folders_a_machine_is_the_family_of_its_first_process() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = Command::new("sh").args(["-c", "sh -c 'sleep 600 & wait' & wait"]).spawn().unwrap();
        let pid = i32::try_from(first.id()).unwrap();
        let groups = ControlGroups::default().started(Some(pid), directory.path()).unwrap();
        let recorded = ControlGroups::recorded(directory.path());
        let until = Instant::now() + Duration::from_secs(10);
        while recorded.processes().len() < 3 && Instant::now() < until {
            tokio::time::sleep(PAUSE_BETWEEN_ROUNDS).await;
        }
        let processes = recorded.processes();
        assert!(processes.contains(&pid) && processes.len() == 3, "{processes:?}");
        assert!(!processes.contains(&std::process::id().cast_signed()));

        // As `clear` does: a zombie that only we can reap is no process any more.
        assert!(super::super::end_all(&groups).await);
        assert!(groups.remove().await);
        first.wait().unwrap();
        assert!(recorded.processes().is_empty(), "another process with its number would be taken for it");
    }
}
