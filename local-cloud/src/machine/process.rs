//! The `process` driver: a machine is the vm-agent as a plain process. No isolation whatsoever.
//!
//! What a real machine gets from cloud-init and systemd is done here by hand: the agent's configuration is written once, at the
//! first boot; stdout and stderr go to the console log; whatever the agent left behind is ended with it.

use super::procfs::{self, Mark, ProcessIdentity};
use super::record::write_private;
use super::{Exit, console};
use crate::state::ServerId;
use crate::user_data;
use anyhow::{Context as _, Result, anyhow};
use ringfence_protocol::agent_config::SWITCH_OFF_EXIT_CODE;
use rustix::process::Signal;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::{Child, Command};

const MACHINE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs machines as processes on this computer.
#[derive(Clone, Debug)]
pub(crate) struct ProcessDriver {
    agent_bin: PathBuf,
    machines: PathBuf,
    installation: String,
}

/// A machine that has been started. An empty machine, without an agent, just stays on.
#[derive(Debug)]
pub(crate) struct ProcessMachine {
    agent: Option<(Child, ProcessIdentity)>,
}

impl ProcessDriver {
    pub(crate) fn new(agent_bin: &Path, state_dir: &Path, installation: &str) -> Result<Self> {
        let agent_bin = std::fs::canonicalize(agent_bin).with_context(|| {
            format!("no agent at {} (build it with `cargo build -p vm-agent`)", agent_bin.display())
        })?;
        let machines = state_dir.join("machines");
        std::fs::create_dir_all(&machines).with_context(|| format!("cannot create {}", machines.display()))?;
        Ok(Self { agent_bin, machines, installation: installation.to_owned() })
    }

    /// Makes the machine's directory, with its user-data in it.
    pub(crate) fn prepare(&self, id: ServerId, user_data: &str) -> Result<()> {
        let directory = self.directory(id);
        std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        write_private(&directory.join("user-data"), user_data.as_bytes())
    }

    /// Starts the agent. Returns at once; `ProcessMachine::exited` tells when it ends.
    pub(crate) fn boot(&self, id: ServerId) -> Result<ProcessMachine> {
        let directory = self.directory(id);
        let console = console::open(&directory)?;
        let config = directory.join("agent.json");
        if !self.provision(&directory, &config)? {
            return Ok(ProcessMachine { agent: None });
        }
        let state = directory.join("state");
        std::fs::create_dir_all(&state)?;
        let child = Command::new(&self.agent_bin)
            .arg("--config")
            .arg(&config)
            .arg("--state-dir")
            .arg(&state)
            .current_dir(&directory)
            .env_clear()
            .env("PATH", MACHINE_PATH)
            .env("HOME", &directory)
            .env("LANG", "C.UTF-8")
            .env("TERM", "linux")
            .env(procfs::MARK_VARIABLE, self.mark(id).value())
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.agent_bin.display()))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or_else(|| anyhow!("the agent has no pid"))?;
        // Until it is waited for, a dead child stays a zombie: its pid cannot have gone to anyone else yet.
        let identity = ProcessIdentity::of(pid).ok_or_else(|| anyhow!("process {pid} is not in /proc"))?;
        write_private(&directory.join("process.json"), &serde_json::to_vec(&identity)?)?;
        Ok(ProcessMachine { agent: Some((child, identity)) })
    }

    /// Ends every process of the machine.
    pub(crate) async fn clear(&self, id: ServerId) -> bool {
        let record = self.directory(id).join("process.json");
        let main = std::fs::read(&record).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let cleared = procfs::kill_all(&self.mark(id), main).await;
        if cleared {
            let _ = std::fs::remove_file(record);
        }
        cleared
    }

    /// Ends what an earlier local-cloud on this state directory left running.
    pub(crate) async fn clear_leftovers(&self) -> Result<()> {
        for entry in std::fs::read_dir(&self.machines)?.flatten() {
            if let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                self.clear(ServerId(id)).await;
            }
        }
        for mark in procfs::marks_in_use(&format!("{}/", self.installation)) {
            tracing::warn!(machine.mark = mark.value(), "ending a leftover machine without a directory");
            procfs::kill_all(&mark, None).await;
        }
        Ok(())
    }

    /// Removes the machine's disk. Its processes have been ended before.
    pub(crate) fn remove(&self, id: ServerId) {
        let directory = self.directory(id);
        if let Err(error) = std::fs::remove_dir_all(&directory)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %directory.display(), %error, "cannot remove a machine's directory");
        }
    }

    pub(crate) fn directory(&self, id: ServerId) -> PathBuf {
        self.machines.join(id.to_string())
    }

    fn mark(&self, id: ServerId) -> Mark {
        Mark::machine(&format!("{}/{id}", self.installation))
    }

    /// Writes the agent's configuration at the first boot only, as cloud-init would: the agent erases its bootstrap token from it.
    /// False when the machine has no agent.
    fn provision(&self, directory: &Path, config: &Path) -> Result<bool> {
        let provisioned = directory.join("provisioned");
        if !provisioned.exists() {
            let user_data = std::fs::read_to_string(directory.join("user-data"))?;
            match user_data::agent_config(&user_data) {
                Ok(Some(content)) => write_private(config, &content)?,
                Ok(None) => writeln!(
                    console::open(directory)?,
                    "local-cloud: user-data has no agent; this machine stays empty"
                )?,
                Err(reason) => writeln!(console::open(directory)?, "local-cloud: {reason}; this machine stays empty")?,
            }
            write_private(&provisioned, b"")?;
            // It has the bootstrap token in it, which is the agent's to erase from its configuration and nobody's to find here.
            let _ = std::fs::remove_file(directory.join("user-data"));
        }
        Ok(config.exists())
    }
}

impl ProcessMachine {
    /// Waits until the agent ends by itself; for ever when there is none.
    pub(crate) async fn exited(&mut self) -> Exit {
        let Some((child, _)) = &mut self.agent else { return std::future::pending().await };
        match child.wait().await {
            Ok(status) if status.success() => Exit::PoweredOff,
            // What the agent's unit does on a machine of its own.
            Ok(status) if status.code() == Some(i32::from(SWITCH_OFF_EXIT_CODE)) => Exit::PoweredOff,
            Ok(status) => Exit::Failed(match status.signal() {
                Some(signal) => format!("agent ended by signal {signal}"),
                None => format!("agent ended with exit code {}", status.code().unwrap_or(-1)),
            }),
            Err(error) => Exit::Failed(format!("agent lost: {error}")),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) -> bool {
        self.agent.as_ref().is_some_and(|(_, identity)| procfs::signal(*identity, signal))
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        self.agent.as_ref().map(|(_, identity)| identity.pid)
    }
}
