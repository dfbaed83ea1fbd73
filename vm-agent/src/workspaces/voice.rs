//! How an engine speaks while it works: steps, progress, notices and what was measured.

use std::fmt::Display;
use std::time::{Duration, Instant};

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::Progress;
use ringfence_protocol::posture::Posture;
use tokio::sync::mpsc;

use super::EngineError;

/// Something the engine says of a workspace.
#[derive(Debug)]
pub enum Said {
    /// A step of making it has ended.
    Step {
        /// Of which.
        workspace_id: WorkspaceId,
        /// What was done.
        step: String,
        /// When it began.
        started: Instant,
        /// How long it took.
        took: Duration,
        /// Why it failed.
        error: Option<String>,
    },
    /// How far a step is.
    Progress(Progress),
    /// Something its owner should know.
    Notice {
        /// About which.
        workspace_id: WorkspaceId,
        /// What happened.
        detail: String,
    },
    /// What was measured inside it, and differs from what was said last.
    Posture {
        /// In which.
        workspace_id: WorkspaceId,
        /// What.
        posture: Posture,
    },
    /// It does not run any more, or must not.
    Broke {
        /// Which.
        workspace_id: WorkspaceId,
        /// The generation it ran for.
        spec_generation: i64,
        /// Why.
        error: EngineError,
    },
}

/// Speaks of one workspace to the link task, and never waits for it. How much is said is bounded by who speaks.
#[derive(Debug, Clone)]
pub struct Voice {
    workspace_id: WorkspaceId,
    sender: mpsc::UnboundedSender<Said>,
}

impl Voice {
    /// Speaks of this workspace.
    pub fn new(workspace_id: WorkspaceId, sender: mpsc::UnboundedSender<Said>) -> Self {
        Self { workspace_id, sender }
    }

    /// Does a step and says how it ended.
    pub async fn step<T, E: Display>(
        &self,
        step: impl Into<String>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let started = Instant::now();
        let outcome = work.await;
        let error = outcome.as_ref().err().map(ToString::to_string);
        let workspace_id = self.workspace_id;
        self.say(Said::Step { workspace_id, step: step.into(), started, took: started.elapsed(), error });
        outcome
    }

    /// Says how far a step is.
    pub fn progress(&self, step: &str, detail: Option<String>, done_bytes: Option<u64>, total_bytes: Option<u64>) {
        let workspace_id = self.workspace_id;
        self.say(Said::Progress(Progress { workspace_id, step: step.to_owned(), detail, done_bytes, total_bytes }));
    }

    /// Tells the owner something.
    pub fn notice(&self, detail: impl Into<String>) {
        self.say(Said::Notice { workspace_id: self.workspace_id, detail: detail.into() });
    }

    /// Says what was measured.
    pub fn posture(&self, posture: Posture) {
        self.say(Said::Posture { workspace_id: self.workspace_id, posture });
    }

    /// Says that the workspace does not run any more.
    pub fn broke(&self, spec_generation: i64, error: EngineError) {
        self.say(Said::Broke { workspace_id: self.workspace_id, spec_generation, error });
    }

    fn say(&self, said: Said) {
        // Nobody listens any more: the agent is about to end.
        let _ = self.sender.send(said);
    }
}
