//! The cloud on this machine.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tokio::process::Command;

use super::Driver;
use super::child::Child;

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Ends the program's whole group when our end of standard input closes: the program itself need not watch for it. The
/// shell becomes the program, so that the process we started is the process we kill.
const LEASH: &str = "exec 3<&0; (cat <&3 >/dev/null; kill -TERM 0) >/dev/null 2>&1 & exec \"$@\" 3<&- </dev/null";

/// What to start.
pub(super) struct Order<'a> {
    pub(super) program: &'a Path,
    pub(super) agent: &'a Path,
    pub(super) state_dir: &'a Path,
    pub(super) driver: Driver,
    pub(super) port: u16,
    pub(super) token: &'a str,
}

/// A running `local-cloud`.
pub(super) struct LocalCloud {
    child: Child,
}

impl LocalCloud {
    /// Starts the program and waits for its word that it serves.
    pub(super) async fn start(order: &Order<'_>, log: &Path) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", LEASH, "leash"]).arg(order.program);
        command.arg("--listen").arg(format!("127.0.0.1:{}", order.port));
        command.arg("--state-dir").arg(order.state_dir);
        command.arg("--driver").arg(match order.driver {
            Driver::Process => "process",
        });
        command.arg("--agent-bin").arg(order.agent).arg("--token").arg(order.token);
        let mut child = Child::spawn("local-cloud", command, log)?;
        child.read_line(START_TIMEOUT, |line| line.starts_with("READY ").then_some(())).await?;
        Ok(Self { child })
    }

    /// Ends the program with SIGKILL.
    pub(super) async fn kill(self) -> Result<()> {
        self.child.kill_group().await
    }

    /// Ends the program and its machines in good order.
    pub(super) async fn stop(self) -> Result<()> {
        self.child.stop().await
    }
}
