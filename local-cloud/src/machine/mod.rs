//! Machines: what stands behind a server.
//!
//! [`Driver`] is the seam for the ways to run one; [`supervisor`] keeps one machine running as systemd keeps a unit.

pub(crate) mod process;
pub(crate) mod procfs;
pub(crate) mod supervisor;

use crate::state::ServerId;
use anyhow::Result;
use process::{ProcessDriver, RunningMachine};
use std::path::{Path, PathBuf};

/// The way machines are run. Every method is one question that each driver answers for itself.
#[derive(Clone, Debug)]
pub(crate) enum Driver {
    /// The agent as a plain process, unconfined.
    Process(ProcessDriver),
}

/// How a machine ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It powered itself off (exit code 0).
    PoweredOff,
    /// It broke, and is started again.
    Failed(String),
}

impl Driver {
    pub(crate) fn process(agent_bin: &Path, state_dir: &Path, installation: &str) -> Result<Self> {
        ProcessDriver::new(agent_bin, state_dir, installation).map(Self::Process)
    }

    /// Makes what the machine needs before it can boot.
    pub(crate) fn prepare(&self, id: ServerId, user_data: &str) -> Result<()> {
        match self {
            Self::Process(driver) => driver.prepare(id, user_data),
        }
    }

    pub(crate) fn boot(&self, id: ServerId) -> Result<RunningMachine> {
        match self {
            Self::Process(driver) => driver.boot(id),
        }
    }

    /// Ends everything that runs in the machine; false when something would not end.
    pub(crate) async fn clear(&self, id: ServerId) -> bool {
        match self {
            Self::Process(driver) => driver.clear(id).await,
        }
    }

    /// Ends machines that an earlier run on the same state directory left behind.
    pub(crate) async fn clear_leftovers(&self) -> Result<()> {
        match self {
            Self::Process(driver) => driver.clear_leftovers().await,
        }
    }

    /// Removes the machine for good.
    pub(crate) fn remove(&self, id: ServerId) {
        match self {
            Self::Process(driver) => driver.remove(id),
        }
    }

    /// The last bytes of the machine's console.
    pub(crate) fn console(&self, id: ServerId) -> Vec<u8> {
        match self {
            Self::Process(driver) => driver.console(id),
        }
    }

    /// Adds a line of our own to the machine's console.
    pub(crate) fn note(&self, id: ServerId, line: &str) {
        match self {
            Self::Process(driver) => driver.note(id, line),
        }
    }

    pub(crate) fn directory(&self, id: ServerId) -> PathBuf {
        match self {
            Self::Process(driver) => driver.directory(id),
        }
    }
}
