//! What the agent was asked of each workspace, and what came of it. Survives restarts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::{WorkspacePhase, WorkspaceReport, WorkspaceSpec};
use ringfence_protocol::state::WorkspaceFailure;
use serde::{Deserialize, Serialize};

use super::EngineError;
use crate::disk::{self, DiskError};

/// Removed workspaces that are remembered, so that a late command does not bring one back.
const MAX_TOMBSTONES: usize = 128;

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "an agent has a handful of them")]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// That it be so.
    Spec(WorkspaceSpec),
    /// That nothing of it be left.
    Removed,
}

/// What is known of one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The newest generation that was accepted.
    pub spec_generation: i64,
    /// What it asks.
    pub wanted: Wanted,
    /// What the workspace is.
    pub phase: WorkspacePhase,
    /// Whether secret files came with it. Not they themselves: those are never on disk.
    #[serde(default)]
    pub has_secrets: bool,
    /// Why it failed: a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<WorkspaceFailure>,
    /// Why it failed, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Grows with every change of the table: the oldest tombstones go first.
    changed: u64,
}

impl Entry {
    /// Whether it is only remembered that the workspace was removed.
    fn is_tombstone(&self) -> bool {
        self.wanted == Wanted::Removed && self.phase == WorkspacePhase::Absent
    }
}

/// Whether a command was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is what is wanted now.
    Accepted,
    /// A newer one was there before; nothing has changed.
    Refused,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    workspaces: BTreeMap<WorkspaceId, Entry>,
    changes: u64,
}

/// The table, and its file.
pub struct Table {
    path: PathBuf,
    stored: Stored,
}

impl Table {
    /// Reads the table; an empty one when there is none.
    pub fn load(path: PathBuf) -> Result<Self, DiskError> {
        let text = disk::read_if_there(&path)?;
        let stored = match text.as_deref().map(serde_json::from_slice) {
            None => Stored::default(),
            Some(Ok(stored)) => stored,
            Some(Err(error)) => {
                // The control plane says again what it wants; to refuse to start would help nobody.
                tracing::error!(%error, "the table of workspaces is damaged; starting with an empty one");
                Stored::default()
            }
        };
        Ok(Self { path, stored })
    }

    /// Asks that a workspace be so.
    pub fn ensure(
        &mut self,
        workspace_id: WorkspaceId,
        spec_generation: i64,
        spec: WorkspaceSpec,
        has_secrets: bool,
    ) -> Answer {
        if let Some(entry) = self.get(workspace_id) {
            let is_buried = entry.wanted == Wanted::Removed;
            if spec_generation < entry.spec_generation || (is_buried && spec_generation == entry.spec_generation) {
                return Answer::Refused;
            }
        }
        self.want(workspace_id, spec_generation, Wanted::Spec(spec), has_secrets);
        Answer::Accepted
    }

    /// Asks that nothing of a workspace be left.
    pub fn remove(&mut self, workspace_id: WorkspaceId, spec_generation: i64) -> Answer {
        let newest = self.get(workspace_id).map(|entry| entry.spec_generation);
        if newest.is_some_and(|newest| spec_generation < newest) {
            return Answer::Refused;
        }
        self.want(workspace_id, spec_generation, Wanted::Removed, false);
        self.bury_oldest();
        Answer::Accepted
    }

    fn want(&mut self, workspace_id: WorkspaceId, spec_generation: i64, wanted: Wanted, has_secrets: bool) {
        self.stored.changes += 1;
        let changed = self.stored.changes;
        let entry = self.stored.workspaces.entry(workspace_id);
        let entry = entry.or_insert_with(|| Entry {
            spec_generation,
            wanted: wanted.clone(),
            phase: WorkspacePhase::Absent,
            has_secrets,
            failure: None,
            detail: None,
            changed,
        });
        entry.spec_generation = spec_generation;
        entry.wanted = wanted;
        entry.has_secrets = has_secrets;
        entry.changed = changed;
    }

    fn bury_oldest(&mut self) {
        let tombstones = self.stored.workspaces.iter();
        let mut tombstones: Vec<_> =
            tombstones.filter(|(_, entry)| entry.is_tombstone()).map(|(id, entry)| (entry.changed, *id)).collect();
        tombstones.sort_unstable();
        let surplus = tombstones.len().saturating_sub(MAX_TOMBSTONES);
        for (_, id) in tombstones.into_iter().take(surplus) {
            self.stored.workspaces.remove(&id);
        }
    }

    /// Records what a workspace is now.
    pub fn set_phase(&mut self, workspace_id: WorkspaceId, phase: WorkspacePhase) {
        if let Some(entry) = self.stored.workspaces.get_mut(&workspace_id) {
            entry.phase = phase;
            entry.failure = None;
            entry.detail = None;
        }
    }

    /// Records that it has failed, and why.
    pub fn set_failed(&mut self, workspace_id: WorkspaceId, error: &EngineError) {
        if let Some(entry) = self.stored.workspaces.get_mut(&workspace_id) {
            entry.phase = WorkspacePhase::Failed;
            entry.failure = Some(error.failure);
            entry.detail = Some(error.detail.clone());
        }
    }

    /// What is known of a workspace.
    pub fn get(&self, workspace_id: WorkspaceId) -> Option<&Entry> {
        self.stored.workspaces.get(&workspace_id)
    }

    /// Every workspace of which there is, or should be, something on the machine.
    pub fn ids_to_work_on(&self) -> Vec<WorkspaceId> {
        let workspaces = self.stored.workspaces.iter();
        workspaces.filter(|(_, entry)| !entry.is_tombstone()).map(|(id, _)| *id).collect()
    }

    /// Every workspace that is known, removed ones too.
    pub fn ids(&self) -> Vec<WorkspaceId> {
        self.stored.workspaces.keys().copied().collect()
    }

    /// What to say of a workspace.
    pub fn report(&self, workspace_id: WorkspaceId) -> Option<WorkspaceReport> {
        let entry = self.get(workspace_id)?;
        Some(WorkspaceReport {
            workspace_id,
            spec_generation: entry.spec_generation,
            phase: entry.phase,
            failure: entry.failure,
            detail: entry.detail.clone(),
            activity: None,
        })
    }

    /// Writes the table to its file.
    pub fn save(&self) -> Result<(), DiskError> {
        let text = serde_json::to_vec_pretty(&self.stored).unwrap_or_default();
        disk::write_private(&self.path, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> WorkspaceId {
        WorkspaceId::from_entropy([n; 13])
    }

    fn spec() -> WorkspaceSpec {
        WorkspaceSpec {
            name: "demo".into(),
            running: true,
            container: None,
            idle_timeout_secs: None,
            save_within_secs: None,
        }
    }

    fn table(dir: &tempfile::TempDir) -> Table {
        Table::load(dir.path().join("workspaces.json")).unwrap()
    }

    #[test]
    fn an_older_generation_is_refused_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut table = table(&dir);
        assert_eq!(table.ensure(id(1), 5, spec(), false), Answer::Accepted);
        assert_eq!(table.ensure(id(1), 5, spec(), false), Answer::Accepted);
        let before = table.get(id(1)).cloned();
        assert_eq!(table.ensure(id(1), 4, spec(), false), Answer::Refused);
        assert_eq!(table.remove(id(1), 4), Answer::Refused);
        assert_eq!(table.get(id(1)).cloned(), before);
    }

    #[test]
    fn a_late_command_does_not_bring_a_removed_workspace_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut table = table(&dir);
        assert_eq!(table.remove(id(1), 3), Answer::Accepted);
        assert_eq!(table.ensure(id(1), 2, spec(), false), Answer::Refused);
        assert_eq!(table.ensure(id(1), 3, spec(), false), Answer::Refused);
        assert_eq!(table.ensure(id(1), 4, spec(), false), Answer::Accepted);
    }

    #[test]
    fn tombstones_are_bounded_and_the_oldest_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let mut table = table(&dir);
        for n in 0..=200 {
            table.remove(id(n), 1);
        }
        assert_eq!(table.ids().len(), MAX_TOMBSTONES);
        assert!(table.get(id(200)).is_some());
        assert!(table.get(id(0)).is_none());
    }

    #[test]
    fn the_table_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = table(&dir);
        first.ensure(id(1), 7, spec(), false);
        first.set_phase(id(1), WorkspacePhase::Running);
        first.save().unwrap();
        assert_eq!(table(&dir).report(id(1)), first.report(id(1)));
    }
}
