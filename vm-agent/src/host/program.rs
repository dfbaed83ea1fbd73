//! Runs a program of the machine, for a bounded time.

use std::fmt;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Most bytes of a program's complaint that are passed on.
const MAX_COMPLAINT_CHARS: usize = 300;

/// Why a program showed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// The machine is short of something, or slow: the program was not started, or had not the time. Of what it would have shown
    /// nothing is known.
    Starved(String),
    /// It is not there, or says no.
    Refused(String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starved(why) | Self::Refused(why) => f.write_str(why),
        }
    }
}

impl NoAnswer {
    /// `what` could not be used at all.
    pub(super) fn of(what: &str, error: &io::Error) -> Self {
        let why = format!("{what}: {error}");
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN) => Self::Starved(why),
            Some(_) | None => Self::Refused(why),
        }
    }
}

/// Runs a program with a clean environment; its output, or what it said of why not.
pub(super) async fn run(
    program: &str,
    arguments: &[&str],
    input: Option<&[u8]>,
    limit: Duration,
) -> Result<String, NoAnswer> {
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
    let output =
        output.map_err(|_| NoAnswer::Starved(format!("{program} did not end within {} s", limit.as_secs())))?;
    let output = output.map_err(|error| NoAnswer::of(program, &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let said: String = said.join("; ").chars().take(MAX_COMPLAINT_CHARS).collect();
    Err(NoAnswer::Refused(match said.is_empty() {
        true => format!("{program}: {}", output.status),
        false => format!("{program}: {said}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_says_no_is_told_from_one_that_had_no_chance() {
        let limit = Duration::from_secs(60);
        assert!(matches!(run("false", &[], None, limit).await, Err(NoAnswer::Refused(_))));
        assert!(matches!(run("ringfence-no-such-program", &[], None, limit).await, Err(NoAnswer::Refused(_))));
        assert!(matches!(run("sleep", &["1000"], None, Duration::from_millis(50)).await, Err(NoAnswer::Starved(_))));
        for (errno, starved) in
            [(Errno::MFILE, true), (Errno::NFILE, true), (Errno::NOMEM, true), (Errno::ACCESS, false)]
        {
            let error = NoAnswer::of("x", &io::Error::from_raw_os_error(errno.raw_os_error()));
            assert_eq!(matches!(error, NoAnswer::Starved(_)), starved, "{error}");
        }
    }
}
