//! The agent's configuration file: read once, rewritten once, without its token.

use std::path::Path;

use ringfence_protocol::agent_config::AgentConfig;

use crate::disk::{self, DiskError};
use crate::origin::{InvalidOrigin, Origin};

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no file.
    #[error("{0}: no such configuration file")]
    Missing(String),
    /// It is not the JSON we know. The parser's message quotes no values, so the token cannot be in it.
    #[error("configuration: line {line}, column {column}: not what the agent understands")]
    Malformed {
        /// Where the parser stopped.
        line: usize,
        /// Where the parser stopped.
        column: usize,
    },
    /// The origin is not one to dial.
    #[error("configuration: {0}")]
    Origin(#[from] InvalidOrigin),
}

/// Reads the configuration and checks its origin.
pub fn load(path: &Path) -> Result<(AgentConfig, Origin), ConfigError> {
    let text = disk::read_if_there(path)?.ok_or_else(|| ConfigError::Missing(path.display().to_string()))?;
    let config: AgentConfig = serde_json::from_slice(&text)
        .map_err(|error| ConfigError::Malformed { line: error.line(), column: error.column() })?;
    let origin = Origin::parse(&config.origin)?;
    Ok((config, origin))
}

/// Removes the token from the file, in one step.
pub fn erase_token(path: &Path, config: &mut AgentConfig) -> Result<(), ConfigError> {
    if config.bootstrap_token.take().is_some() {
        let text = serde_json::to_vec_pretty(config).unwrap_or_default();
        disk::write_private(path, &text)?;
    }
    Ok(())
}
