//! Runs a program of the machine, for a bounded time.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Most bytes of a program's complaint that are passed on.
const MAX_COMPLAINT_CHARS: usize = 300;

/// Runs a program with a clean environment; its output, or what it said of why not.
pub(super) async fn run(
    program: &str,
    arguments: &[&str],
    input: Option<&[u8]>,
    limit: Duration,
) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH).env("LC_ALL", "C.UTF-8");
    // The agent's service cannot write to /run itself, where iptables keeps its lock.
    command.env("XTABLES_LOCKFILE", "/run/ringfence/xtables.lock");
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let work = async {
        let mut child = command.spawn()?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // Small against the pipe's 64 KiB; a program that does not read it says why by itself.
            let _ = stdin.write_all(input).await;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(limit, work).await;
    let output = output.map_err(|_| format!("{program} did not end within {} s", limit.as_secs()))?;
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let said: String = said.join("; ").chars().take(MAX_COMPLAINT_CHARS).collect();
    match said.is_empty() {
        true => Err(format!("{program}: {}", output.status)),
        false => Err(format!("{program}: {said}")),
    }
}
