//! A child process that is the head of a process group and dies with us.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::run;

/// How long a child may take to end when asked, before it is made to.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A running child with its control lines. Dropping it ends the whole group.
pub(super) struct Child {
    name: &'static str,
    process: tokio::process::Child,
    group: Pid,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Child {
    /// Starts a program with piped input and output, its standard error appended to a log.
    pub(super) fn spawn(name: &'static str, mut command: Command, log: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(log)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file).process_group(0);
        let mut process = command.spawn().with_context(|| format!("starting {name}"))?;
        let id = process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let group = id.with_context(|| format!("{name} ended at once"))?;
        let stdout = process.stdout.take().context("no standard output")?;
        let stdin = process.stdin.take();
        Ok(Self { name, process, group, stdin, stdout: BufReader::new(stdout).lines(), log: log.to_path_buf() })
    }

    /// Sends a line.
    pub(super) async fn write_line(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("standard input is closed")?;
        stdin.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(stdin.flush().await?)
    }

    /// The next line that the child prints and `accept` takes for an answer; an error with the log's end if there is none in time.
    pub(super) async fn read_line<T>(&mut self, limit: Duration, accept: impl Fn(&str) -> Option<T>) -> Result<T> {
        let name = self.name;
        let stdout = &mut self.stdout;
        let search = async {
            while let Some(line) = stdout.next_line().await? {
                if let Some(found) = accept(&line) {
                    return Ok(found);
                }
            }
            bail!("{name} ended")
        };
        let result = match timeout(limit, search).await {
            Ok(result) => result,
            Err(_) => bail!("{name} did not answer within {} s; its log ends:\n{}", limit.as_secs(), self.log_tail()),
        };
        result.with_context(|| format!("{name} failed; its log ends:\n{}", self.log_tail()))
    }

    /// Asks the child to end, waits, and makes sure of its whole group.
    pub(super) async fn stop(mut self) -> Result<()> {
        let _ = kill_process(self.group, Signal::TERM);
        if timeout(STOP_TIMEOUT, self.process.wait()).await.is_err() {
            eprintln!("{} did not end within {} s and is killed", self.name, STOP_TIMEOUT.as_secs());
        }
        self.kill_group().await
    }

    /// Ends the child, and everything it started in its own group, at once.
    pub(super) async fn kill_group(mut self) -> Result<()> {
        let _ = kill_process_group(self.group, Signal::KILL);
        self.process.wait().await?;
        Ok(())
    }

    /// Closes our end of the child's input, as our own death would.
    #[cfg(test)]
    pub(super) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits for the child to end.
    #[cfg(test)]
    pub(super) async fn ended(&mut self) {
        self.process.wait().await.unwrap();
    }

    fn log_tail(&self) -> String {
        run::tail_of_file(&self.log)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !matches!(self.process.try_wait(), Ok(None)) {
            // Only what the child left behind in its group, if anything; the number is ours until the group is empty.
            let _ = kill_process_group(self.group, Signal::KILL);
            return;
        }
        let _ = kill_process(self.group, Signal::TERM);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        let _ = kill_process_group(self.group, Signal::KILL);
    }
}
