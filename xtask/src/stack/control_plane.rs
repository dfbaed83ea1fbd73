//! The Worker in workerd, run by `xtask/npm/control-plane.mjs`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::Command;

use super::child::Child;
use crate::project;

const START_TIMEOUT: Duration = Duration::from_secs(60);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A running workerd and the channel to the program that holds it.
pub(super) struct ControlPlane {
    child: Child,
    last_id: u64,
}

impl ControlPlane {
    /// Starts the Worker and applies new migrations.
    pub(super) async fn start(order: &Value, log: &Path) -> Result<Self> {
        let mut command = Command::new("node");
        command.arg(project::root().join("xtask/npm/control-plane.mjs"));
        command.env("WRANGLER_SEND_METRICS", "false").env("CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV", "false");
        let mut child = Child::spawn("the control plane", command, log)?;
        child.write_line(&order.to_string()).await?;
        child.read_line(START_TIMEOUT, |line| line.contains("\"ready\"").then_some(())).await?;
        Ok(Self { child, last_id: 0 })
    }

    /// One request on the control channel, and its answer.
    pub(super) async fn ask(&mut self, mut request: Value) -> Result<Value> {
        self.last_id += 1;
        let id = self.last_id;
        if let Value::Object(fields) = &mut request {
            fields.insert("id".to_owned(), id.into());
        }
        self.child.write_line(&request.to_string()).await?;
        let mut answer = self.child.read_line(ANSWER_TIMEOUT, |line| answer_to(id, line)).await?;
        if let Some(error) = answer.get("error").and_then(Value::as_str) {
            bail!("{error}");
        }
        answer.get_mut("result").map(Value::take).context("an answer without a result")
    }

    /// Ends workerd and its holder with SIGKILL.
    pub(super) async fn kill(self) -> Result<()> {
        self.child.kill_group().await
    }

    /// Ends workerd in good order.
    pub(super) async fn stop(self) -> Result<()> {
        self.child.stop().await
    }
}

fn answer_to(id: u64, line: &str) -> Option<Value> {
    let answer: Value = serde_json::from_str(line).ok()?;
    (answer.get("id")?.as_u64()? == id).then_some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_our_own_request_counts() {
        assert!(answer_to(2, r#"{"id":1,"result":[]}"#).is_none());
        assert!(answer_to(2, "a stray line").is_none());
        assert!(answer_to(2, r#"{"id":2,"result":[]}"#).is_some());
    }
}
