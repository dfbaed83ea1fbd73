//! The machine that the agent runs on, where it is a machine of its own: its firewall, what is left of its boot, what holds of it.
//!
//! `Host` shuts it as far as it goes once the agent has its credentials; [`watch`] looks after it from then on and tells the
//! link task what changes.

pub mod erase;
pub mod firewall;
mod logins;
pub mod metadata;
pub mod notify;
pub mod posture;
mod program;
pub mod report;
pub mod sockets;
pub mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ringfence_protocol::link::BootFailedReport;
use ringfence_protocol::state::BootFailure;

use firewall::Stage;

/// Where user-data's scripts note their steps.
pub const BOOT_LOG_PATH: &str = "/run/ringfence/boot.log";
/// Says that the firewall's second stage is loaded at every start.
const LOCKDOWN_MARK: &str = "etc/ringfence/lockdown";
/// Where engines listen, the wanted one first, and the unit that makes them.
pub const ENGINE_SOCKETS: [(&str, &str); 2] =
    [("run/podman/podman.sock", "podman.socket"), ("run/docker.sock", "docker.service")];
/// Longest wait for an engine's socket: 15 s.
const SOCKET_LOOKS: u32 = 150;
const SOCKET_LOOK_EVERY: Duration = Duration::from_millis(100);
/// Longest wait for systemd to start an engine.
const START_LIMIT: Duration = Duration::from_secs(20);

/// The machine, seen from its root directory.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// The machine whose files are under `root`. Its network and processes are always those of this one.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// How far its firewall must go.
    pub fn stage(&self) -> Stage {
        match self.root.join(LOCKDOWN_MARK).exists() {
            true => Stage::Lockdown,
            false => Stage::Boot,
        }
    }

    /// From now on nobody on this machine reaches metadata, also after a restart of it.
    pub async fn lock_down(&self) -> Result<(), String> {
        let mark = self.root.join(LOCKDOWN_MARK);
        crate::disk::write_private(&mark, b"").map_err(|error| error.to_string())?;
        match firewall::look(Stage::Lockdown).await {
            Ok(seen) if seen.differences.is_empty() => Ok(()),
            Ok(_) | Err(_) => firewall::restore(Stage::Lockdown).await,
        }
    }

    /// Waits until an engine listens, having started it if need be.
    pub async fn wait_for_engine(&self) -> Result<(), BootFailedReport> {
        if !self.has_engine_socket() {
            for (_, unit) in ENGINE_SOCKETS {
                // The one that is not installed cannot be started, which is no news.
                let _ = program::run("systemctl", &["start", unit], None, START_LIMIT).await;
                if self.has_engine_socket() {
                    return Ok(());
                }
            }
        }
        for _ in 0..SOCKET_LOOKS {
            if self.has_engine_socket() {
                return Ok(());
            }
            tokio::time::sleep(SOCKET_LOOK_EVERY).await;
        }
        Err(BootFailedReport {
            failure: BootFailure::EngineUnavailable,
            detail: "there is no container engine: neither Podman's socket nor Docker's appeared".into(),
        })
    }

    fn has_engine_socket(&self) -> bool {
        ENGINE_SOCKETS.iter().any(|(path, _)| self.root.join(path).exists())
    }

    fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.root.join(below)
    }
}
