//! The seam for what runs workspaces. Every operation may be repeated, and may find its work done.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringfence_protocol::agent_config::EngineConfig;
use ringfence_protocol::container::WorkspaceSecrets;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::WorkspaceSpec;
use ringfence_protocol::state::EngineKind;

use super::agent_socket::SocketPlace;
use super::container::{Containers, Settings};
use super::unconfined::Unconfined;
use super::{EngineError, NoEngine, Saved, Span, Voice};
use crate::activity::ProcessTime;
use crate::terminal::Source;

/// What runs workspaces on this node. One variant for each way.
pub enum Engine {
    /// Plain processes without any isolation.
    Unconfined(Unconfined),
    /// A hardened container each.
    Containers(Arc<Containers>),
}

/// A workspace to start.
pub struct Order {
    /// Which.
    pub workspace_id: WorkspaceId,
    /// The generation of what is asked.
    pub spec_generation: i64,
    /// What it should be.
    pub spec: WorkspaceSpec,
    /// What of it is secret. `None` when this agent was not told since it started.
    pub secrets: Option<Arc<WorkspaceSecrets>>,
    /// Whether it has secret files, told or not.
    pub has_secret_files: bool,
    /// Who is told how it goes.
    pub voice: Voice,
    /// How long it may take, and whether it is still wanted.
    pub span: Span,
}

/// A terminal to start.
pub struct Opening {
    /// In which workspace.
    pub workspace_id: WorkspaceId,
    /// What that is.
    pub spec: WorkspaceSpec,
    /// Columns and rows.
    pub size: (u16, u16),
    /// Unlike that of every other terminal.
    pub epoch: u64,
    /// Who is told what a person should know of its end.
    pub voice: Voice,
}

impl Engine {
    /// The engine the configuration asks for.
    pub async fn new(config: EngineConfig, state_dir: &Path) -> Result<Self, NoEngine> {
        match config {
            EngineConfig::Unconfined => {
                tracing::warn!("workspaces on this machine are plain processes: UNCONFINED, without any isolation");
                Ok(Self::Unconfined(Unconfined::new(state_dir)))
            }
            EngineConfig::Containers => Self::containers(Settings::of_machine(state_dir)).await,
        }
    }

    /// Containers, with settings of one's own.
    pub async fn containers(settings: Settings) -> Result<Self, NoEngine> {
        Ok(Self::Containers(Arc::new(Containers::connect(settings).await?)))
    }

    /// Which one it is.
    pub fn kind(&self) -> EngineKind {
        match self {
            Self::Unconfined(_) => EngineKind::Unconfined,
            Self::Containers(engine) => engine.kind(),
        }
    }

    /// The engine and its runtime with their versions, for people.
    pub fn versions(&self) -> String {
        match self {
            Self::Unconfined(_) => "unconfined".into(),
            Self::Containers(engine) => engine.versions(),
        }
    }

    /// Makes the workspace run.
    pub async fn start(&self, order: Order) -> Result<(), EngineError> {
        match self {
            Self::Unconfined(engine) => engine.start(order.workspace_id, &order.spec).await,
            Self::Containers(engine) => engine.start(order).await,
        }
    }

    /// Runs the save hook of a workspace that runs. `None`: it has none.
    pub async fn save(&self, workspace_id: WorkspaceId, limit: Duration) -> Option<Saved> {
        match self {
            Self::Unconfined(engine) => engine.save(workspace_id, limit).await,
            Self::Containers(engine) => engine.save(workspace_id, limit).await,
        }
    }

    /// What the processes of a workspace have used. Reads much of /proc: not for a task that others wait for.
    pub fn times(&self, workspace_id: WorkspaceId) -> Option<Vec<ProcessTime>> {
        match self {
            Self::Unconfined(engine) => Some(engine.times(workspace_id)),
            Self::Containers(engine) => engine.times(workspace_id),
        }
    }

    /// Where the socket of a workspace that runs belongs.
    pub fn socket_place(&self, workspace_id: WorkspaceId) -> Option<SocketPlace> {
        match self {
            Self::Unconfined(engine) => engine.socket_place(workspace_id),
            Self::Containers(engine) => engine.socket_place(workspace_id),
        }
    }

    /// Ends everything that runs in it; its files stay.
    pub async fn stop(&self, workspace_id: WorkspaceId) -> Result<(), EngineError> {
        match self {
            Self::Unconfined(engine) => engine.stop(workspace_id).await,
            Self::Containers(engine) => engine.stop(workspace_id).await,
        }
    }

    /// Leaves nothing of it.
    pub async fn remove(&self, workspace_id: WorkspaceId) -> Result<(), EngineError> {
        match self {
            Self::Unconfined(engine) => engine.remove(workspace_id).await,
            Self::Containers(engine) => engine.remove(workspace_id).await,
        }
    }

    /// Ends what an earlier agent left that cannot go on without it: everything without containers, terminals in them.
    pub async fn end_leftovers(&self, workspace_id: WorkspaceId) -> Result<(), EngineError> {
        match self {
            Self::Unconfined(engine) => engine.stop(workspace_id).await,
            Self::Containers(engine) => engine.end_terminals(workspace_id).await,
        }
    }

    /// The agent ends: ends what cannot go on without it. Containers do.
    pub async fn leave(&self, workspace_id: WorkspaceId) -> Result<(), EngineError> {
        match self {
            Self::Unconfined(engine) => engine.stop(workspace_id).await,
            Self::Containers(engine) => engine.leave(workspace_id).await,
        }
    }

    /// A shell on a new terminal in the workspace. It may still have to be started.
    pub fn spawn(&self, opening: Opening) -> Result<Source, EngineError> {
        match self {
            Self::Unconfined(engine) => {
                let spawned = engine.spawn(opening.workspace_id, &opening.spec, opening.size)?;
                Ok(Source { tty: Box::pin(std::future::ready(Ok(spawned))), end: None })
            }
            Self::Containers(engine) => engine.spawn(opening),
        }
    }
}
