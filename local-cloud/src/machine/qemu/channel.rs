//! Two channels to a virtual machine: the QEMU guest agent inside it, and qemu's own monitor. Both speak lines of JSON.
//!
//! Each holds one conversation at a time and lets the next wait, so every question is a connection of its own.

use crate::command::Outcome;
use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

/// An emulated machine that is busy booting answers slowly.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The agent inside the machine.
pub(super) struct GuestAgent(PathBuf);

/// qemu's monitor.
pub(super) struct Monitor(PathBuf);

struct Conversation(BufReader<UnixStream>);

impl GuestAgent {
    pub(super) fn of(directory: &Path) -> Self {
        Self(directory.join("agent.sock"))
    }

    /// Runs a program as the machine's root. The agent bounds its output by itself.
    pub(super) async fn exec(&self, argv: &[String], input: &[u8], limit: Duration) -> Result<Outcome> {
        let until = Instant::now() + limit;
        let Some((path, arguments)) = argv.split_first() else { bail!("no program named") };
        // The guest agent has no path of its own to look along.
        let mut words =
            vec!["-i", "--", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"];
        words.extend(["LANG=C.UTF-8", "TERM=dumb", path.as_str()]);
        words.extend(arguments.iter().map(String::as_str));
        let order = json!({"execute": "guest-exec", "arguments": {
            "path": "/usr/bin/env", "arg": words, "capture-output": true, "input-data": STANDARD.encode(input),
        }});
        let started = self.ask(&order).await?;
        let pid = started.get("pid").cloned().context("the guest agent started nothing")?;
        let question = json!({"execute": "guest-exec-status", "arguments": {"pid": pid}});
        loop {
            let status = self.ask(&question).await?;
            if status.get("exited") == Some(&Value::Bool(true)) {
                return Ok(outcome(&status));
            }
            if Instant::now() >= until {
                let kill = json!(["-c", "kill -KILL \"$1\"", "kill", pid.to_string()]);
                let order = json!({"execute": "guest-exec", "arguments": {"path": "/bin/sh", "arg": kill}});
                self.ask(&order).await?;
                return Ok(Outcome { exit: 124, stdout: Vec::new(), stderr: Vec::new(), timed_out: true });
            }
            sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    async fn ask(&self, order: &Value) -> Result<Value> {
        let asked = async {
            let mut conversation = Conversation::open(&self.0).await?;
            // Answers to questions that somebody gave up on come first.
            let token = rand::random::<u32>();
            conversation.send(&json!({"execute": "guest-sync", "arguments": {"id": token}})).await?;
            while conversation.read().await?.get("return") != Some(&json!(token)) {}
            conversation.send(order).await?;
            conversation.answer().await
        };
        timeout(ANSWER_LIMIT, asked).await.context("the machine has not booted")?
    }
}

impl Monitor {
    pub(super) fn of(directory: &Path) -> Self {
        Self(directory.join("monitor.sock"))
    }

    pub(super) async fn press_power_button(&self) -> Result<()> {
        let asked = async {
            let mut conversation = Conversation::open(&self.0).await?;
            for command in ["qmp_capabilities", "system_powerdown"] {
                conversation.send(&json!({"execute": command})).await?;
                conversation.answer().await?;
            }
            Ok(())
        };
        timeout(ANSWER_LIMIT, asked).await.context("qemu does not answer")?
    }
}

impl Conversation {
    async fn open(path: &Path) -> Result<Self> {
        Ok(Self(BufReader::new(UnixStream::connect(path).await.context("the machine is off")?)))
    }

    async fn send(&mut self, message: &Value) -> Result<()> {
        Ok(self.0.get_mut().write_all(format!("{message}\n").as_bytes()).await?)
    }

    /// The next message; what is not one is skipped.
    async fn read(&mut self) -> Result<Value> {
        loop {
            let mut line = Vec::new();
            if self.0.read_until(b'\n', &mut line).await? == 0 {
                bail!("the conversation ended");
            }
            if let Ok(message) = serde_json::from_slice(&line) {
                return Ok(message);
            }
        }
    }

    /// The answer to what was sent; greetings and events are skipped.
    async fn answer(&mut self) -> Result<Value> {
        loop {
            let mut message = self.read().await?;
            if let Some(answer) = message.get_mut("return") {
                return Ok(answer.take());
            }
            if let Some(error) = message.get("error") {
                bail!("refused: {}", error.get("desc").and_then(Value::as_str).unwrap_or("without a reason"));
            }
        }
    }
}

fn outcome(status: &Value) -> Outcome {
    let text = |name: &str| status.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| status.get(name).and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok());
    let exit = number("exitcode").or_else(|| number("signal").map(|signal| 128 + signal)).unwrap_or(0);
    let output = |name: &str| STANDARD.decode(text(name)).unwrap_or_default();
    Outcome { exit, stdout: output("out-data"), stderr: output("err-data"), timed_out: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    /// A guest agent that first says what nobody waits for any more.
    async fn stand_in(listener: UnixListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut lines = BufReader::new(stream);
            lines.get_mut().write_all(b"{\"return\": {\"pid\": 1}}\n").await.unwrap();
            let mut line = String::new();
            while lines.read_line(&mut line).await.unwrap() > 0 {
                let order: Value = serde_json::from_str(&line).unwrap();
                let answer = match order["execute"].as_str().unwrap() {
                    "guest-sync" => order["arguments"]["id"].clone(),
                    "guest-exec" => json!({"pid": 7}),
                    "guest-exec-status" => json!({"exited": true, "exitcode": 3, "out-data": "aGk="}),
                    other => panic!("{other}"),
                };
                lines.get_mut().write_all(format!("{}\n", json!({"return": answer})).as_bytes()).await.unwrap();
                line.clear();
            }
        }
    }

    #[tokio::test]
    async fn a_program_is_run_and_its_outcome_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("agent.sock")).unwrap();
        let stand_in = tokio::spawn(stand_in(listener));
        let agent = GuestAgent::of(directory.path());
        let outcome = agent.exec(&["true".to_owned()], b"", ANSWER_LIMIT).await.unwrap();
        assert_eq!((outcome.exit, &outcome.stdout[..]), (3, &b"hi"[..]));
        stand_in.abort();
    }

    #[tokio::test]
    async fn a_machine_that_is_off_is_no_mystery() {
        let directory = tempfile::tempdir().unwrap();
        let error = GuestAgent::of(directory.path()).exec(&["true".to_owned()], b"", ANSWER_LIMIT).await.unwrap_err();
        assert!(format!("{error:#}").contains("the machine is off"));
    }
}
