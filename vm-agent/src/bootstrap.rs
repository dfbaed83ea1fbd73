//! From a bootstrap token to a callback token.
//!
//! ```text
//! key on disk ─▶ trade ─▶ grant on disk ─▶ token erased from the configuration
//! ```
//! A crash between any two of these recovers: with a grant on disk only the erasing is left to do; without one, the same token is
//! traded again by the same key, and the control plane gives the same answer.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringfence_protocol::agent_config::AgentConfig;
use ringfence_protocol::link::BootstrapParams;
use ringfence_protocol::problem::ErrorCode;

use crate::backoff::Backoff;
use crate::boot::BootLog;
use crate::config;
use crate::control_plane::{CallError, ControlPlane};
use crate::disk;
use crate::grant::{self, Grant};
use crate::secret::Secret;

/// First wait after a failed trade.
const RETRY_FLOOR: Duration = Duration::from_millis(500);
/// Longest wait after a trade that may succeed yet (no answer, 5xx, 429).
const RETRY_CEILING: Duration = Duration::from_secs(30);
/// First wait after an answer that trying again is not likely to change.
const REFUSED_FLOOR: Duration = Duration::from_secs(30);
/// Longest such wait.
const REFUSED_CEILING: Duration = Duration::from_secs(300);

/// Why there can be no grant.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The grant could not be read or written.
    #[error(transparent)]
    Disk(#[from] disk::DiskError),
    /// There is nothing to trade.
    #[error("neither a bootstrap token in the configuration nor a callback token in the state directory")]
    NothingToTrade,
}

/// Files that the trade reads and writes.
pub struct Files<'a> {
    /// The configuration, which loses its token.
    pub config: &'a Path,
    /// Where the grant is kept.
    pub grant: PathBuf,
    /// Further files that hold the token, to be removed.
    pub remove: &'a [PathBuf],
}

/// Gets the grant from disk or trades the bootstrap token for one, for as long as it takes.
pub async fn obtain(
    control_plane: &ControlPlane,
    config: &mut AgentConfig,
    files: &Files<'_>,
    params: &BootstrapParams,
    boot: &mut BootLog,
) -> Result<Grant, BootstrapError> {
    let stored = grant::load(&files.grant, Instant::now())?;
    let token = config.bootstrap_token.clone().map(Secret::new);
    let grant = match (stored, token) {
        (Some(grant), None) => grant,
        // With a token still there, a grant that has ended says nothing against trying the token.
        (Some(grant), Some(_)) if !grant.has_ended(Instant::now()) => grant,
        (Some(_) | None, Some(token)) => trade(control_plane, &token, &files.grant, params, boot).await?,
        (None, None) => return Err(BootstrapError::NothingToTrade),
    };
    erase(config, files);
    Ok(grant)
}

async fn trade(
    control_plane: &ControlPlane,
    token: &Secret,
    grant_path: &Path,
    params: &BootstrapParams,
    boot: &mut BootLog,
) -> Result<Grant, BootstrapError> {
    let mut retry = Backoff::new(RETRY_FLOOR, RETRY_CEILING);
    let mut refused = Backoff::new(REFUSED_FLOOR, REFUSED_CEILING);
    loop {
        let started = Instant::now();
        let traded = control_plane.bootstrap(token, params).await;
        match boot.ended("trade the bootstrap token", started, traded) {
            Ok(answer) => {
                grant::store(grant_path, &answer)?;
                return Ok(Grant::received(answer, Instant::now()));
            }
            Err(error) if is_final(&error) => {
                explain(&error);
                refused.pause().await;
            }
            Err(_) => retry.pause().await,
        }
    }
}

/// Whether trying again soon is not likely to help. The agent goes on asking, slowly: only a person can change it.
fn is_final(error: &CallError) -> bool {
    match error {
        CallError::Refused { status, .. } => {
            status.is_client_error() && status.as_u16() != 429 && status.as_u16() != 408
        }
        CallError::Unreachable(_) | CallError::Malformed(_) | CallError::Proof(_) => false,
    }
}

fn explain(error: &CallError) {
    if error.is(ErrorCode::BootstrapKeyConflict) {
        tracing::error!(
            "another key has already used this machine's bootstrap token: the node is quarantined and will be destroyed"
        );
    } else if error.is(ErrorCode::BootstrapExpired) {
        tracing::error!("the bootstrap token has expired before this machine could use it: create a new node");
    }
}

/// Leaves no copy of the token on disk. What cannot be erased is reported and does not keep the node from working: the token is used up.
fn erase(config: &mut AgentConfig, files: &Files<'_>) {
    if let Err(error) = config::erase_token(files.config, config) {
        tracing::error!(%error, "cannot erase the bootstrap token from the configuration");
    }
    for path in files.remove {
        if let Err(error) = disk::remove_if_there(path) {
            tracing::error!(%error, "cannot remove a file that holds the bootstrap token");
        }
    }
}
