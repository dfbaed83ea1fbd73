//! Running other programs: bounded in time and output, with their own words in the error.

use anyhow::{Context as _, Result, bail};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

/// Longest run of a program that sets something up; they take milliseconds.
const SET_UP_LIMIT: Duration = Duration::from_secs(20);
/// How much of each output of an ordered program is kept.
const OUTPUT_MAX_BYTES: u64 = 1024 * 1024;

/// What became of a program.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The exit code, or 128 plus the signal, as shells have it.
    pub(crate) exit: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) timed_out: bool,
}

/// Runs a program that must succeed, with `input` on its standard input.
pub(crate) async fn run_with(program: &str, arguments: &[&str], input: &str) -> Result<()> {
    let mut command = Command::new(program);
    command.args(arguments);
    let outcome =
        bounded(command, input.as_bytes(), SET_UP_LIMIT).await.with_context(|| format!("running {program}"))?;
    let what = format!("{program} {}", arguments.join(" "));
    must_succeed(&what, outcome.exit == 0, &outcome.stderr)
}

/// What a program that failed has said, as an error.
pub(crate) fn must_succeed(what: &str, succeeded: bool, stderr: &[u8]) -> Result<()> {
    if !succeeded {
        bail!("`{what}` failed: {}", String::from_utf8_lossy(stderr).trim());
    }
    Ok(())
}

/// Runs a program that must succeed.
pub(crate) async fn run(program: &str, arguments: &[&str]) -> Result<()> {
    run_with(program, arguments, "").await
}

/// Runs a program in a process group of its own, which is ended at the limit.
pub(crate) async fn bounded(mut command: Command, input: &[u8], limit: Duration) -> Result<Outcome> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    let mut stdin = child.stdin.take().context("no standard input")?;
    let stdout = child.stdout.take().context("no standard output")?;
    let stderr = child.stderr.take().context("no standard error")?;
    let work = async {
        let feed = async {
            // A program that does not read its input closes it.
            let _ = stdin.write_all(input).await;
            drop(stdin);
        };
        let ((), stdout, stderr, status) = tokio::join!(feed, kept(stdout), kept(stderr), child.wait());
        (stdout, stderr, status)
    };
    match tokio::time::timeout(limit, work).await {
        Ok((stdout, stderr, status)) => {
            use std::os::unix::process::ExitStatusExt as _;
            let status = status?;
            let exit = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            Ok(Outcome { exit, stdout, stderr, timed_out: false })
        }
        Err(_) => {
            // Whoever holds the pipes open is in the group, or is not ours to end.
            if let Some(group) = group {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            Ok(Outcome { exit: 124, stdout: Vec::new(), stderr: Vec::new(), timed_out: true })
        }
    }
}

/// The beginning of an output; the rest is read and dropped, so that the program does not stall.
async fn kept(mut output: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut kept = Vec::new();
    let _ = (&mut output).take(OUTPUT_MAX_BYTES).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, input: &str, limit: Duration) -> Outcome {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        bounded(command, input.as_bytes(), limit).await.unwrap()
    }

    #[tokio::test]
    async fn output_and_exit_code_come_back() {
        let outcome = sh("cat; echo no >&2; exit 3", "yes", SET_UP_LIMIT).await;
        assert_eq!((outcome.exit, &outcome.stdout[..], &outcome.stderr[..]), (3, &b"yes"[..], &b"no\n"[..]));
    }

    #[tokio::test]
    async fn too_much_output_is_cut_and_does_not_stall() {
        let outcome = sh("head -c 3000000 /dev/zero", "", SET_UP_LIMIT).await;
        assert_eq!((outcome.exit, outcome.stdout.len() as u64), (0, OUTPUT_MAX_BYTES));
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended_with_its_children() {
        let outcome = sh("sleep 1000 & sleep 1000", "", Duration::from_millis(50)).await;
        assert!(outcome.timed_out);
    }
}
