//! What local-cloud remembers: its servers and actions, in one JSON file that is replaced atomically.

use crate::firewalls::{Firewall, FirewallId};
use crate::labels::Labels;
use crate::network::addresses::Slot;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Finished actions beyond this many are forgotten, oldest first.
const ACTIONS_KEPT: usize = 2000;
const FIRST_ID: u64 = 1_000_001;

/// A server's id; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServerId(pub u64);

/// An action's id; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct ActionId(pub(crate) u64);

impl Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Everything that one token sees. The token itself is not stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct ProjectId(String);

impl ProjectId {
    pub(crate) fn of_token(token: &str) -> Self {
        let digest = Sha256::digest(token.as_bytes());
        Self(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Hetzner's words for what a server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ServerStatus {
    Initializing,
    Starting,
    Running,
    Stopping,
    Off,
    Deleting,
}

impl ServerStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Off => "off",
            Self::Deleting => "deleting",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) id: ServerId,
    pub(crate) project: ProjectId,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) server_type: String,
    pub(crate) image: u64,
    pub(crate) location: String,
    pub(crate) created_at_ms: i64,
    pub(crate) status: ServerStatus,
    /// Its place in the network, where machines have one.
    #[serde(default)]
    pub(crate) slot: Option<Slot>,
    #[serde(default)]
    pub(crate) firewalls: Vec<FirewallId>,
}

/// Hetzner's names of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::enum_variant_names)] // they are not ours to choose
pub(crate) enum Command {
    CreateServer,
    StartServer,
    StopServer,
    ShutdownServer,
    DeleteServer,
}

impl Command {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::CreateServer => "create_server",
            Self::StartServer => "start_server",
            Self::StopServer => "stop_server",
            Self::ShutdownServer => "shutdown_server",
            Self::DeleteServer => "delete_server",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ActionStatus {
    Running,
    Success,
    Error,
}

impl ActionStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Success => "success",
            Self::Error => "error",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Action {
    pub(crate) id: ActionId,
    pub(crate) project: ProjectId,
    pub(crate) server: ServerId,
    pub(crate) command: Command,
    pub(crate) status: ActionStatus,
    pub(crate) progress: u8,
    pub(crate) started_at_ms: i64,
    pub(crate) finished_at_ms: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// Random, made once: tells the machines of this state directory from those of any other.
    pub(crate) installation: String,
    next_server: u64,
    next_action: u64,
    #[serde(default = "first_id")]
    next_firewall: u64,
    pub(crate) servers: BTreeMap<ServerId, Server>,
    pub(crate) actions: BTreeMap<ActionId, Action>,
    #[serde(default)]
    pub(crate) firewalls: BTreeMap<FirewallId, Firewall>,
}

fn first_id() -> u64 {
    FIRST_ID
}

impl State {
    fn new() -> Self {
        Self {
            installation: format!("{:032x}", rand::random::<u128>()),
            next_server: FIRST_ID,
            next_action: FIRST_ID,
            next_firewall: FIRST_ID,
            servers: BTreeMap::new(),
            actions: BTreeMap::new(),
            firewalls: BTreeMap::new(),
        }
    }

    pub(crate) fn take_server_id(&mut self) -> ServerId {
        let id = ServerId(self.next_server);
        self.next_server += 1;
        id
    }

    pub(crate) fn take_firewall_id(&mut self) -> FirewallId {
        let id = FirewallId(self.next_firewall);
        self.next_firewall += 1;
        id
    }

    pub(crate) fn begin_action(
        &mut self,
        project: &ProjectId,
        server: ServerId,
        command: Command,
        now_ms: i64,
    ) -> Action {
        let id = ActionId(self.next_action);
        self.next_action += 1;
        let action = Action {
            id,
            project: project.clone(),
            server,
            command,
            status: ActionStatus::Running,
            progress: 0,
            started_at_ms: now_ms,
            finished_at_ms: None,
        };
        self.actions.insert(id, action.clone());
        self.forget_old_actions();
        action
    }

    /// Half of the way.
    pub(crate) fn progress_actions(&mut self, server: ServerId) {
        for action in self.actions.values_mut() {
            if action.server == server && action.status == ActionStatus::Running {
                action.progress = 50;
            }
        }
    }

    /// Ends every action of this server that still runs.
    pub(crate) fn finish_actions(&mut self, server: ServerId, status: ActionStatus, now_ms: i64) {
        for action in self.actions.values_mut() {
            if action.server == server && action.status == ActionStatus::Running {
                action.status = status;
                action.progress = 100;
                action.finished_at_ms = Some(now_ms);
            }
        }
    }

    /// Whether the server is on its way to being on.
    pub(crate) fn is_starting(&self, server: ServerId) -> bool {
        let starts = |action: &&Action| action.server == server && action.command == Command::StartServer;
        self.actions.values().filter(starts).any(|action| action.status == ActionStatus::Running)
    }

    pub(crate) fn action(&self, id: ActionId) -> Option<&Action> {
        self.actions.get(&id)
    }

    fn forget_old_actions(&mut self) {
        let excess = self.actions.len().saturating_sub(ACTIONS_KEPT);
        let finished = self.actions.values().filter(|action| action.status != ActionStatus::Running);
        for id in finished.map(|action| action.id).take(excess).collect::<Vec<_>>() {
            self.actions.remove(&id);
        }
    }
}

/// The state file.
#[derive(Debug)]
pub(crate) struct StateFile {
    directory: PathBuf,
    path: PathBuf,
}

impl StateFile {
    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), path: directory.join("state.json") }
    }

    /// The state as last saved, or a new one where there is none yet.
    pub(crate) fn load(&self) -> Result<State> {
        let state = match std::fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged; remove it to start anew", self.path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => State::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", self.path.display())),
        };
        self.save(&state)?;
        Ok(state)
    }

    /// Replaces the file in one step: a crash leaves the old state or the new one.
    pub(crate) fn save(&self, state: &State) -> Result<()> {
        let write = || -> Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
            file.write_all(&serde_json::to_vec(state)?)?;
            file.persist(&self.path)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_never_given_twice_across_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::in_directory(directory.path());
        let mut state = file.load().unwrap();
        let first = state.take_server_id();
        file.save(&state).unwrap();
        let mut again = file.load().unwrap();
        assert_eq!(again.installation, state.installation);
        assert!(again.take_server_id() > first);
    }

    #[test]
    fn a_state_from_before_machines_had_addresses_and_firewalls_is_read() {
        let old = r#"{"installation": "00", "next_server": 7, "next_action": 8, "actions": {}, "servers": {"1": {"id": 1,
            "project": "p", "name": "n", "labels": {}, "server_type": "cx23", "image": 1, "location": "nbg1",
            "created_at_ms": 1, "status": "off"}}}"#;
        let state: State = serde_json::from_str(old).unwrap();
        let server = &state.servers[&ServerId(1)];
        assert!(server.slot.is_none() && server.firewalls.is_empty() && state.firewalls.is_empty());
    }

    #[test]
    fn finished_actions_are_forgotten_and_running_ones_kept() {
        let mut state = State::new();
        let project = ProjectId::of_token("t");
        let running = state.begin_action(&project, ServerId(1), Command::CreateServer, 0).id;
        for _ in 0..ACTIONS_KEPT * 2 {
            state.begin_action(&project, ServerId(2), Command::StartServer, 0);
            state.finish_actions(ServerId(2), ActionStatus::Success, 1);
        }
        assert!(state.action(running).is_some());
        assert!(state.actions.len() <= ACTIONS_KEPT + 1);
    }
}
