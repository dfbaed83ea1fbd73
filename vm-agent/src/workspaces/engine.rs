//! The seam for what runs workspaces. Every operation may be repeated, and may find its work done.

use std::path::Path;

use ringfence_protocol::agent_config::EngineConfig;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::WorkspaceSpec;
use ringfence_protocol::state::{BootFailure, EngineKind};

use super::unconfined::Unconfined;
use crate::terminal::Spawned;

/// What runs workspaces on this node. One variant for each way; container engines are to come.
pub enum Engine {
    /// Plain processes without any isolation.
    Unconfined(Unconfined),
}

/// What the engine could not do: the text is shown to the workspace's owner.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EngineError(pub String);

/// Why there is no engine to run workspaces with.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct NoEngine {
    /// A stable word.
    pub failure: BootFailure,
    /// What was seen, and what to do.
    pub detail: String,
}

impl Engine {
    /// The engine the configuration asks for.
    pub async fn new(config: EngineConfig, state_dir: &Path) -> Result<Self, NoEngine> {
        match config {
            EngineConfig::Unconfined => {
                tracing::warn!("workspaces on this machine are plain processes: UNCONFINED, without any isolation");
                Ok(Self::Unconfined(Unconfined::new(state_dir)))
            }
            EngineConfig::Containers => Err(NoEngine {
                failure: BootFailure::EngineUnavailable,
                detail: "this agent has no container engine".into(),
            }),
        }
    }

    /// Which one it is.
    pub fn kind(&self) -> EngineKind {
        match self {
            Self::Unconfined(_) => EngineKind::Unconfined,
        }
    }

    /// The engine and its runtime with their versions, for people.
    pub fn versions(&self) -> String {
        match self {
            Self::Unconfined(_) => "unconfined".into(),
        }
    }

    /// Makes the workspace run.
    pub async fn start(&self, workspace_id: WorkspaceId, spec: &WorkspaceSpec) -> Result<(), EngineError> {
        match self {
            Self::Unconfined(engine) => engine.start(workspace_id, spec).await,
        }
    }

    /// Ends everything that runs in it; its files stay.
    pub async fn stop(&self, workspace_id: WorkspaceId) -> Result<(), EngineError> {
        match self {
            Self::Unconfined(engine) => engine.stop(workspace_id).await,
        }
    }

    /// Leaves nothing of it.
    pub async fn remove(&self, workspace_id: WorkspaceId) -> Result<(), EngineError> {
        match self {
            Self::Unconfined(engine) => engine.remove(workspace_id).await,
        }
    }

    /// Starts a shell on a new PTY in the workspace.
    pub fn spawn(
        &self,
        workspace_id: WorkspaceId,
        spec: &WorkspaceSpec,
        size: (u16, u16),
    ) -> Result<Spawned, EngineError> {
        match self {
            Self::Unconfined(engine) => engine.spawn(workspace_id, spec, size),
        }
    }
}
