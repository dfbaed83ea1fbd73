//! Programs of the machine that the agent runs as root: mounting, making file systems, asking the package manager.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// Longest time that any of them may take that works on one thing.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a program with a clean environment; its output, or what it said.
pub(super) async fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    run_within(program, arguments, LIMIT).await
}

/// The same, within so long.
pub(super) async fn run_within(program: &str, arguments: &[&str], limit: Duration) -> Result<String, String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(limit, command.output()).await;
    let output = output.map_err(|_| format!("{program} did not end within {} s", limit.as_secs()))?;
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    Err(format!("{program}: {said}"))
}

/// A mount namespace: where what the agent mounts is seen by the engine. The agent's own service may have another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mounts {
    of: Option<i32>,
}

impl Mounts {
    /// Those of a process, else the agent's own.
    pub(super) fn of(process: Option<i32>) -> Self {
        Self { of: process }
    }

    /// Runs a program there.
    pub(super) async fn run(self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/mnt"));
        let Some(process) = self.of else {
            return run(program, arguments).await;
        };
        if matches!((namespace("self"), namespace(&process.to_string())), (Ok(own), Ok(other)) if own == other) {
            return run(program, arguments).await;
        }
        let enter = format!("--mount=/proc/{process}/ns/mnt");
        let mut words = vec![enter.as_str(), "--", program];
        words.extend(arguments);
        run("nsenter", &words).await
    }

    /// What is mounted there.
    pub(super) fn list(self) -> std::io::Result<String> {
        let process = self.of.map_or_else(|| "self".to_owned(), |process| process.to_string());
        std::fs::read_to_string(format!("/proc/{process}/mountinfo"))
    }
}
