//! The cloud on this machine.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tokio::process::Command;

use super::Driver;
use super::child::Child;
use crate::image::Image;

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// What to start.
pub(super) struct Order<'a> {
    pub(super) program: &'a Path,
    pub(super) agent: &'a Path,
    pub(super) state_dir: &'a Path,
    pub(super) driver: Driver,
    /// What machines boot from, where they boot.
    pub(super) image: Option<&'a Image>,
    pub(super) port: u16,
    /// The control plane's port, for machines that cannot reach this computer otherwise.
    pub(super) forward: u16,
    pub(super) tokens: &'a [String],
    pub(super) more_args: &'a [String],
}

/// A running `local-cloud`.
pub(super) struct LocalCloud {
    child: Child,
}

impl LocalCloud {
    /// Starts the program and waits for its word that it serves.
    pub(super) async fn start(order: &Order<'_>, log: &Path) -> Result<Self> {
        let mut command = Command::new(order.program);
        command.arg("--listen").arg(format!("127.0.0.1:{}", order.port));
        command.arg("--state-dir").arg(order.state_dir);
        command.arg("--driver").arg(match order.driver {
            Driver::Process => "process",
            Driver::Nspawn => "nspawn",
            Driver::Qemu => "qemu",
        });
        if let Some(image) = order.image {
            command.arg("--image").arg(&image.dir).arg("--forward").arg(order.forward.to_string());
        }
        command.arg("--agent-bin").arg(order.agent).arg("--exit-with-stdin").args(order.more_args);
        // Not an argument: every process of the machine can read those.
        command.env("LOCAL_CLOUD_TOKENS", order.tokens.join(","));
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    /// A program that says READY, leaves its process id in its state directory and stays.
    fn stand_in(dir: &Path) -> PathBuf {
        let path = dir.join("stand-in");
        let script =
            "#!/bin/sh\nwhile [ \"$1\" != --state-dir ]; do shift; done\necho $$ >\"$2/pid\"\necho READY url=x\ncat\n";
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    async fn start(dir: &Path) -> LocalCloud {
        let program = stand_in(dir);
        let order = Order {
            program: &program,
            agent: Path::new("/nonexistent"),
            state_dir: dir,
            driver: Driver::Process,
            image: None,
            port: 1,
            forward: 2,
            tokens: &[],
            more_args: &[],
        };
        LocalCloud::start(&order, &dir.join("log")).await.unwrap()
    }

    fn process_of(dir: &Path) -> PathBuf {
        Path::new("/proc").join(fs::read_to_string(dir.join("pid")).unwrap().trim())
    }

    #[tokio::test]
    async fn the_program_ends_when_our_end_of_its_input_closes() {
        let dir = tempfile::tempdir().unwrap();
        let mut cloud = start(dir.path()).await;
        let process = process_of(dir.path());
        assert!(process.exists());
        cloud.child.close_stdin();
        cloud.child.ended().await;
        assert!(!process.exists());
    }

    #[tokio::test]
    async fn dropping_it_ends_the_program() {
        let dir = tempfile::tempdir().unwrap();
        let cloud = start(dir.path()).await;
        let process = process_of(dir.path());
        drop(cloud);
        // The last of it, a zombie until the runtime reaps it, runs no more.
        assert!(fs::read_to_string(process.join("stat")).map_or(true, |stat| stat.contains(") Z ")));
    }
}
