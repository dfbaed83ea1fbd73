//! An agent that does what it is told, at once.

use std::collections::BTreeMap;

use ringfence_protocol::container::WorkspaceSecrets;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::{
    Activity, AgentMessage, ControlMessage, Hello, WorkspacePhase, WorkspaceReport, WorkspaceSpec,
};
use ringfence_protocol::posture::{Posture, PostureCheck};
use ringfence_protocol::state::{EngineKind, PostureOutcome};
use ringfence_protocol::time::UnixMillis;

/// What an agent keeps: the newest it accepted of each workspace.
#[derive(Default)]
pub struct FakeAgent {
    pub workspaces: BTreeMap<WorkspaceId, (i64, WorkspacePhase)>,
    /// What was removed, and by which command: an older one that comes late does not make it again.
    pub buried: BTreeMap<WorkspaceId, i64>,
    /// It takes commands and answers nothing.
    pub mute: bool,
    /// It fails to make workspaces.
    pub clumsy: bool,
    /// What runs workspaces; plain processes when absent.
    pub engine: Option<EngineKind>,
    /// What it measures of its machine; nothing where workspaces are plain processes.
    pub posture: Option<Posture>,
    /// The newest sign of use of a workspace that runs; nothing is said of others, as by an agent that cannot tell.
    pub uses: BTreeMap<WorkspaceId, Activity>,
    /// What it was told to make, with its secrets.
    pub told: BTreeMap<WorkspaceId, (WorkspaceSpec, WorkspaceSecrets)>,
}

impl FakeAgent {
    pub fn hello(&self) -> AgentMessage {
        AgentMessage::Hello(Hello {
            protocol_version: ringfence_protocol::PROTOCOL_VERSION,
            agent_version: "0.0.0-test".into(),
            agent_sha256: "0".repeat(64),
            terminal_epoch: 1,
            engine: self.engine.unwrap_or(EngineKind::Unconfined),
            workspaces: self
                .workspaces
                .iter()
                .map(|(id, (generation, phase))| self.report(*id, *generation, *phase))
                .collect(),
        })
    }

    /// Does what a message asks, and answers.
    pub fn obey(&mut self, message: &ControlMessage) -> Option<AgentMessage> {
        let (id, generation, phase) = match message {
            ControlMessage::EnsureWorkspace { workspace_id, spec_generation, spec, secrets } => {
                self.told.insert(*workspace_id, (spec.clone(), secrets.clone()));
                let phase = match (self.clumsy, spec.running) {
                    (true, _) => WorkspacePhase::Failed,
                    (false, true) => WorkspacePhase::Running,
                    (false, false) => WorkspacePhase::Stopped,
                };
                (*workspace_id, *spec_generation, phase)
            }
            ControlMessage::RemoveWorkspace { workspace_id, spec_generation } => {
                (*workspace_id, *spec_generation, WorkspacePhase::Absent)
            }
            ControlMessage::SaveAll => return (!self.mute).then_some(AgentMessage::SavedAll),
            ControlMessage::Welcome { .. }
            | ControlMessage::OpenChannel(_)
            | ControlMessage::CloseChannel { .. }
            | ControlMessage::Revoke { .. } => return None,
        };
        let known = self.workspaces.get(&id).map_or(0, |known| known.0);
        let is_buried = self
            .buried
            .get(&id)
            .is_some_and(|buried| generation < *buried || (generation == *buried && phase != WorkspacePhase::Absent));
        if self.mute || generation < known || is_buried {
            return None;
        }
        if phase == WorkspacePhase::Absent {
            self.workspaces.remove(&id);
            self.buried.insert(id, generation);
        } else {
            self.workspaces.insert(id, (generation, phase));
        }
        Some(AgentMessage::Workspace(self.report(id, generation, phase)))
    }

    fn report(&self, workspace_id: WorkspaceId, spec_generation: i64, phase: WorkspacePhase) -> WorkspaceReport {
        let activity = self.uses.get(&workspace_id).copied().filter(|_| phase == WorkspacePhase::Running);
        WorkspaceReport { workspace_id, spec_generation, phase, failure: None, detail: None, activity }
    }
}

/// A posture of one check.
pub fn posture(outcome: PostureOutcome) -> Posture {
    Posture {
        measured_at: UnixMillis::new(0),
        checks: vec![PostureCheck {
            id: "firewall".into(),
            title: "The firewall drops what comes in.".into(),
            rule: "no listening port on a VM".into(),
            measured: "policy DROP".into(),
            outcome,
            must_pass: true,
        }],
    }
}
