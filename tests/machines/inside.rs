//! Commands inside a machine, and in the network around all machines, by the local cloud's help.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use ringfence_protocol::ids::NodeId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::world::World;

/// Longest time for a command: a search of all of a disk, a scan of all ports.
const COMMAND_SECS: u64 = 400;

/// What became of a command.
#[derive(Debug, Clone, Deserialize)]
pub struct Executed {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

/// What stands behind a node.
#[derive(Debug, Clone, Deserialize)]
pub struct Machine {
    pub id: u64,
    pub ipv4: IpAddr,
    pub ipv6: IpAddr,
}

#[derive(Deserialize)]
struct Machines {
    machines: Vec<Machine>,
}

impl World {
    /// The machine of a node.
    pub async fn machine(&self, node: NodeId) -> Result<Machine> {
        let rows = self.stack.d1("SELECT provider_instance_id AS id FROM nodes WHERE id = ?1", &[json!(node)]).await?;
        let id = rows.first().and_then(|row| row.get("id")?.as_str()?.parse::<u64>().ok());
        let id = id.context("the node has no machine yet")?;
        let answer = reqwest::get(format!("{}/_machines", self.stack.cloud_url())).await?;
        let machines = read::<Machines>(answer).await?.machines;
        machines.into_iter().find(|machine| machine.id == id).context("the node has no machine")
    }

    /// What a machine was ordered with.
    pub async fn user_data(&self, node: NodeId) -> Result<String> {
        let id = self.machine(node).await?.id;
        let file = self.stack.state_dir().join("local-cloud/metadata").join(id.to_string());
        std::fs::read_to_string(&file).with_context(|| file.display().to_string())
    }

    /// Runs a command as root inside a node's machine.
    pub async fn inside(&self, node: NodeId, command: &str) -> Result<Executed> {
        let id = self.machine(node).await?.id;
        self.execute(&format!("/_machines/{id}/exec"), &["sh", "-c", command]).await
    }

    /// Runs a command inside that has to succeed; what it printed.
    pub async fn inside_ok(&self, node: NodeId, command: &str) -> Result<String> {
        let done = self.inside(node, command).await?;
        ensure!(done.exit == 0, "`{command}` ended with {}: {}{}", done.exit, done.stdout, done.stderr);
        Ok(done.stdout)
    }

    /// Runs a command outside of every machine, in the network they are in.
    pub async fn outside(&self, argv: &[&str]) -> Result<Executed> {
        self.execute("/_cloud/exec", argv).await
    }

    /// Leads what machines ask the control plane for at such paths astray, each request in the next of these ways in turn.
    pub async fn lead_astray(&self, path: &str, answers: &[&str]) -> Result<()> {
        let order = json!({ "path": path, "answers": answers }).to_string();
        let request = reqwest::Client::new().post(self.detour()).body(order);
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// The end of that.
    pub async fn lead_straight(&self) -> Result<()> {
        reqwest::Client::new().delete(self.detour()).send().await?.error_for_status()?;
        Ok(())
    }

    fn detour(&self) -> String {
        format!("{}/_detour", self.stack.cloud_url())
    }

    async fn execute(&self, path: &str, argv: &[&str]) -> Result<Executed> {
        let request = reqwest::Client::new().post(format!("{}{path}", self.stack.cloud_url()));
        let request = request.bearer_auth(&self.stack.secrets().cloud_tokens[0]);
        let body = json!({ "argv": argv, "timeout_secs": COMMAND_SECS }).to_string();
        read(request.body(body).send().await?).await
    }
}

async fn read<T: DeserializeOwned>(answer: reqwest::Response) -> Result<T> {
    let (status, bytes) = (answer.status(), answer.bytes().await?);
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&bytes));
    Ok(serde_json::from_slice(&bytes)?)
}
