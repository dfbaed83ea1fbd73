//! Workspaces as hardened containers, on Podman or Docker, through the Docker-compatible API.
//!
//! A stopped workspace has no container: its root file system is read-only, so there is nothing to keep but its volume. Start
//! makes the container anew, unless one that is just so runs already (an agent that was restarted finds it).
//!
//! ```text
//! start: volume ─▶ image ─▶ [first time: clone, devcontainer.json] ─▶ network ─▶ secrets ─▶ container ─▶ posture
//! stop:  ask processes to end ─▶ container ─▶ network ─▶ secrets ─▶ unmount        remove: stop ─▶ volumes ─▶ image file
//! ```

mod addresses;
mod api;
mod cgroup;
mod create;
mod devcontainer;
mod exec;
mod failure;
#[cfg(test)]
mod fake_engine;
mod gate;
mod host;
mod image;
mod inside;
mod inspect;
mod live;
mod machine;
mod mounts;
mod netns;
mod network;
mod operations;
mod posture;
mod probes;
mod proxy;
mod raw;
mod reference;
mod relay;
mod repository;
mod seccomp;
mod secrets;
mod settings;
mod shell;
mod user;
mod volume;
mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::state::{EngineKind, WorkspaceFailure};

use super::task::Task;
use super::{EngineError, NoEngine, Opening};
use crate::terminal::Source;
use api::Api;
pub use gate::{Found, PatchedPackage, RuntimeGate, Version};
use live::Live;
pub use reference::Reference;
pub use seccomp::hardened as hardened_seccomp;
pub use settings::Settings;

/// Runs workspaces as containers.
pub struct Containers {
    api: Arc<Api>,
    settings: Settings,
    /// What runs, as far as this agent started or adopted it.
    running: Mutex<HashMap<WorkspaceId, Running>>,
}

/// A container that runs, and the task that watches it.
struct Running {
    live: Arc<Live>,
    _watch: Task,
}

impl Containers {
    /// Finds the machine's engine, and refuses one that is not good enough.
    pub(super) async fn connect(settings: Settings) -> Result<Self, NoEngine> {
        let api = Api::connect(&settings).await?;
        tracing::info!(engine = api.versions(), "container engine");
        Ok(Self { api: Arc::new(api), settings, running: Mutex::default() })
    }

    pub(super) fn kind(&self) -> EngineKind {
        self.api.kind
    }

    pub(super) fn versions(&self) -> String {
        self.api.versions()
    }

    /// A shell in the workspace's container, to be started by the terminal's own task.
    pub(super) fn spawn(&self, opening: Opening) -> Result<Source, EngineError> {
        let live = self.running().get(&opening.workspace_id).map(|running| Arc::clone(&running.live));
        let live = live.ok_or_else(|| {
            EngineError::new(
                WorkspaceFailure::EngineUnavailable,
                "The workspace's container is not there. Stop and start it.",
            )
        })?;
        Ok(shell::source(Arc::clone(&self.api), live, &opening))
    }

    fn running(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
