//! The save step: a hook of the workspace's own that runs before an end, for a bounded time. What it prints and how it ends is
//! told; a hook that fails or takes too long never holds the end up.

use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ringfence_protocol::state::SaveOutcome;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::Command;

use super::EngineError;

/// The hook: a file in the workspace's own directory that may be executed.
pub const HOOK: &str = ".ringfence/save";
/// How long it may take where nothing else was told.
pub const WITHIN: Duration = Duration::from_secs(60);
/// What is kept of its output: the end.
const TAIL_BYTES: usize = 2048;
/// Something it has left behind may hold its output open: that is not waited for.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What came of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// In a word.
    pub outcome: SaveOutcome,
    /// How long it took.
    pub took: Duration,
    /// The end of what it printed, and how it ended where not well.
    pub detail: String,
}

impl Saved {
    /// A hook that ended with this code, or was ended for its time (`None`).
    pub fn ended(code: Option<i64>, tail: &str, took: Duration) -> Self {
        let tail = tail.trim();
        let (outcome, detail) = match code {
            Some(0) => (SaveOutcome::Saved, tail.to_owned()),
            Some(code) => (SaveOutcome::Failed, format!("It ended with {code}. {tail}")),
            None => (SaveOutcome::TimedOut, format!("It took longer than it may. {tail}")),
        };
        Self { outcome, took, detail }
    }

    /// A hook that could not be run.
    pub fn not_run(error: impl std::fmt::Display, took: Duration) -> Self {
        Self { outcome: SaveOutcome::Failed, took, detail: format!("It could not be run: {error}") }
    }
}

/// Runs a hook as a plain process.
pub(super) async fn run(command: &mut Command, limit: Duration) -> Saved {
    let started = Instant::now();
    match try_run(command, limit).await {
        Ok((code, tail)) => Saved::ended(code, &printable(&tail), started.elapsed()),
        Err(error) => Saved::not_run(error, started.elapsed()),
    }
}

async fn try_run(command: &mut Command, limit: Duration) -> Result<(Option<i64>, Vec<u8>), EngineError> {
    let (reader, writer) = std::io::pipe().map_err(EngineError::refused)?;
    let output = writer.try_clone().map_err(EngineError::refused)?;
    command.stdin(Stdio::null()).stdout(output).stderr(writer).process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(EngineError::refused)?;
    // The command holds the writing ends until it is given others: without them the output ends with the hook.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let mut reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).map_err(EngineError::refused)?;
    let mut tail = Vec::new();
    let work = async {
        let status = tokio::select! {
            status = child.wait() => status,
            () = read_tail(&mut reader, &mut tail) => child.wait().await,
        };
        let _ = tokio::time::timeout(LAST_WORDS, read_tail(&mut reader, &mut tail)).await;
        status
    };
    match tokio::time::timeout(limit, work).await {
        // Ended by a signal: as shells count it.
        Ok(status) => {
            let status = status.map_err(EngineError::refused)?;
            let signal = std::os::unix::process::ExitStatusExt::signal(&status).map_or(-1, |signal| 128 + signal);
            Ok((Some(i64::from(status.code().unwrap_or(signal))), tail))
        }
        Err(_) => {
            if let Some(group) = group {
                let _ = kill_process_group(group, Signal::KILL);
            }
            Ok((None, tail))
        }
    }
}

async fn read_tail(reader: &mut pipe::Receiver, tail: &mut Vec<u8>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = reader.read(&mut buffer).await {
        tail.extend_from_slice(&buffer[..count]);
        let surplus = tail.len().saturating_sub(TAIL_BYTES);
        tail.drain(..surplus);
    }
}

fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().filter(|c| *c == '\n' || *c == '\t' || !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn hook(script: &str, limit: Duration) -> Saved {
        run(Command::new("/bin/sh").args(["-c", script]), limit).await
    }

    #[tokio::test]
    async fn a_hook_is_told_by_its_code_and_the_end_of_its_output() {
        let saved = hook("echo pushed; echo to origin >&2", WITHIN).await;
        assert_eq!((saved.outcome, saved.detail.as_str()), (SaveOutcome::Saved, "pushed\nto origin"));
        let failed = hook("yes | head -c 100000; echo no remote; exit 3", WITHIN).await;
        assert_eq!(failed.outcome, SaveOutcome::Failed);
        assert!(failed.detail.starts_with("It ended with 3.") && failed.detail.ends_with("no remote"), "{failed:?}");
        assert!(failed.detail.len() < TAIL_BYTES + 100);
        let killed = hook("kill -9 $$", WITHIN).await;
        assert_eq!((killed.outcome, killed.detail.as_str()), (SaveOutcome::Failed, "It ended with 137. "));
    }

    #[tokio::test]
    async fn a_hook_that_takes_too_long_is_ended_with_what_it_started_and_one_in_the_background_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let alive = dir.path().join("alive");
        let script = format!("echo begun; (sleep 30; touch {}) ; echo never", alive.display());
        let late = hook(&script, Duration::from_millis(300)).await;
        assert_eq!(late.outcome, SaveOutcome::TimedOut);
        assert!(late.detail.contains("begun") && !late.detail.contains("never"), "{late:?}");
        let quick = hook("sleep 30 & echo left", WITHIN).await;
        assert_eq!((quick.outcome, quick.detail.as_str()), (SaveOutcome::Saved, "left"));
        assert!(quick.took < Duration::from_secs(10), "{quick:?}");
        let missing = run(&mut Command::new("/nowhere/save"), WITHIN).await;
        assert_eq!(missing.outcome, SaveOutcome::Failed);
    }
}
