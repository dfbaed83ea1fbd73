//! Commands of the agent's own in a container: cloning, `postCreateCommand`.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures_util::StreamExt as _;

use super::api::Api;
use super::failure;
use crate::processes;
use crate::workspaces::EngineError;

/// What is kept of the output: its end.
const TAIL_BYTES: usize = 4096;

/// A command.
pub(super) struct Command<'a> {
    pub(super) container: &'a str,
    /// A process of the container, to find others by.
    pub(super) container_pid: i32,
    pub(super) words: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) limit: Duration,
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Outcome {
    /// `None`: it took too long and was killed.
    pub(super) code: Option<i64>,
    /// The end of what it printed.
    pub(super) tail: String,
}

/// Runs a command as the container's user and waits for its end.
pub(super) async fn run(api: &Api, command: Command<'_>) -> Result<Outcome, EngineError> {
    let mark = format!("{}={:016x}", processes::TERMINAL_VARIABLE, rand::random::<u64>());
    let mut env = command.env;
    env.push(mark.clone());
    let options = CreateExecOptions {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        env: Some(env),
        cmd: Some(command.words),
        ..CreateExecOptions::default()
    };
    let exec = api.docker.create_exec(command.container, options).await.map_err(|error| failure::of(&error))?;
    let mut tail = Vec::new();
    let listen = async {
        let started = api.docker.start_exec(&exec.id, Some(StartExecOptions::default())).await;
        match started.map_err(|error| failure::of(&error))? {
            StartExecResults::Attached { mut output, input: _input } => {
                while let Some(chunk) = output.next().await {
                    let chunk = chunk.map_err(|error| failure::of(&error))?;
                    keep_tail(&mut tail, &chunk);
                }
                Ok(())
            }
            StartExecResults::Detached => Err(EngineError::refused("The container engine did not attach a command.")),
        }
    };
    let listened = tokio::time::timeout(command.limit, listen).await;
    let code = match listened {
        Ok(heard) => {
            heard?;
            Some(exit_code(api, &exec.id).await?)
        }
        Err(_) => {
            processes::end_marked(command.container_pid, &mark).await;
            None
        }
    };
    Ok(Outcome { code, tail: printable(&tail) })
}

/// Of an exec whose output has ended. The engine may need a moment to see that it has.
pub(super) async fn exit_code(api: &Api, exec: &str) -> Result<i64, EngineError> {
    const LOOKS: usize = 250;
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    for _ in 0..LOOKS {
        let state = api.docker.inspect_exec(exec).await.map_err(|error| failure::of(&error))?;
        if let (Some(false), Some(code)) = (state.running, state.exit_code) {
            return Ok(code);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(EngineError::refused("The container engine does not say how a command ended."))
}

fn keep_tail(tail: &mut Vec<u8>, chunk: &LogOutput) {
    tail.extend_from_slice(chunk.as_ref());
    let surplus = tail.len().saturating_sub(TAIL_BYTES);
    tail.drain(..surplus);
}

/// For people: no control characters, no half characters.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.replace('\r', "\n");
    text.chars().filter(|c| *c == '\n' || *c == '\t' || !c.is_control()).collect()
}

/// The last line that says something.
pub(super) fn last_line(tail: &str) -> &str {
    tail.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_output_is_kept_and_made_printable() {
        let mut tail = Vec::new();
        for _ in 0..100 {
            keep_tail(&mut tail, &LogOutput::StdErr { message: vec![b'x'; 100].into() });
        }
        keep_tail(&mut tail, &LogOutput::StdOut { message: b"Receiving 5%\rfatal: \x1b[31mno\n\n".to_vec().into() });
        assert_eq!(tail.len(), TAIL_BYTES);
        assert_eq!(last_line(&printable(&tail)), "fatal: [31mno");
        assert_eq!(last_line("\n \n"), "it said nothing");
    }
}
