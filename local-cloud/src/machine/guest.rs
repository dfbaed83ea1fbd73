//! Looking into a machine in namespaces from outside: its first process, its agent, a program run in it.

use crate::command::{self, Outcome};
use anyhow::Result;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Process number one of the machine, two namespaces further in than we are.
pub(super) fn leader(processes: &[i32]) -> Option<i32> {
    first_of(processes, 2)
}

/// Its systemd-nspawn, which is number one of the namespace around the machine.
pub(super) fn monitor(processes: &[i32]) -> Option<i32> {
    first_of(processes, 1)
}

fn first_of(processes: &[i32], namespaces_in: usize) -> Option<i32> {
    let depth = namespace_pids(std::process::id().cast_signed())?.len() + namespaces_in;
    let is_first = |numbers: Vec<i32>| numbers.len() == depth && numbers.last() == Some(&1);
    processes.iter().copied().find(|pid| namespace_pids(*pid).is_some_and(is_first))
}

/// The agent's main process: of its name, in the machine's own namespace of processes (a container has another), and started by
/// the machine's first process.
pub(super) fn agent(leader: i32, processes: &[i32]) -> Option<i32> {
    let namespace = pid_namespace(leader)?;
    processes.iter().copied().find(|pid| {
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
        let named = program.as_deref().and_then(Path::file_name).is_some_and(|name| {
            // A binary that was replaced while it ran has this word behind its name.
            name.to_string_lossy().trim_end_matches(" (deleted)") == "vm-agent"
        });
        named && parent(*pid) == Some(leader) && pid_namespace(*pid).as_ref() == Some(&namespace)
    })
}

/// Runs a program in all namespaces of the machine, with nothing of our environment.
pub(super) async fn exec(leader: i32, argv: &[String], input: &[u8], limit: Duration) -> Result<Outcome> {
    let mut command = Command::new("nsenter");
    command.args(["--target", &leader.to_string(), "--all", "--", "/usr/bin/env", "-i", "--", PATH, "HOME=/root"]);
    command.args(["LANG=C.UTF-8", "TERM=dumb"]).args(argv);
    command::bounded(command, input, limit).await
}

fn namespace_pids(pid: i32) -> Option<Vec<i32>> {
    field(pid, "NSpid:").map(|text| text.split_whitespace().filter_map(|number| number.parse().ok()).collect())
}

fn parent(pid: i32) -> Option<i32> {
    field(pid, "PPid:")?.trim().parse().ok()
}

fn field(pid: i32, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
}

fn pid_namespace(pid: i32) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}
