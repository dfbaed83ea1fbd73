//! What an engine could not do, in words for the workspace's owner and with a code for programs.

use std::fmt::Display;

use ringfence_protocol::state::{BootFailure, WorkspaceFailure};

/// What the engine could not do: the text is shown to the workspace's owner.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct EngineError {
    /// A stable word.
    pub failure: WorkspaceFailure,
    /// What happened and what to do.
    pub detail: String,
}

impl EngineError {
    /// An error with a code.
    pub fn new(failure: WorkspaceFailure, detail: impl Into<String>) -> Self {
        Self { failure, detail: detail.into() }
    }

    /// An error that has no code of its own.
    pub fn refused(detail: impl Display) -> Self {
        Self::new(WorkspaceFailure::EngineRefused, detail.to_string())
    }
}

/// Why there is no engine to run workspaces with.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct NoEngine {
    /// A stable word.
    pub failure: BootFailure,
    /// What was seen, and what to do.
    pub detail: String,
}

impl NoEngine {
    /// No engine answers.
    pub fn unavailable(detail: impl Display) -> Self {
        Self { failure: BootFailure::EngineUnavailable, detail: detail.to_string() }
    }

    /// The engine's runtime lacks fixes.
    pub fn outdated(detail: impl Display) -> Self {
        Self { failure: BootFailure::EngineOutdated, detail: detail.to_string() }
    }
}
