//! The local cloud as an operator of it sees it: faults to order, machines to kill, requests that arrived.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What only the local cloud can do or knows.
pub struct Cloud {
    url: String,
    http: reqwest::Client,
}

/// What stands behind a server.
#[derive(Debug, Clone, Deserialize)]
pub struct Machine {
    pub id: u64,
    pub name: String,
    pub restarts: u64,
    pub directory: PathBuf,
}

/// A request that reached the local cloud's API.
#[derive(Debug, Clone, Deserialize)]
pub struct Received {
    pub operation: Option<String>,
    pub status: Option<u16>,
}

#[derive(Deserialize)]
struct Machines {
    machines: Vec<Machine>,
}

#[derive(Deserialize)]
struct Requests {
    requests: Vec<Received>,
}

#[derive(Deserialize)]
struct Orders {
    faults: Vec<Order>,
}

#[derive(Deserialize)]
struct Order {
    on: String,
    fired: u32,
}

impl Cloud {
    pub fn new(url: String) -> Self {
        Self { url, http: reqwest::Client::new() }
    }

    /// The next request of that kind is lost, refused or late, as the order says.
    pub async fn order(&self, on: &str, fault: &str) -> Result<()> {
        self.order_with(json!({ "on": on, "fault": fault })).await
    }

    /// The next request of that kind is carried out that much later, whether or not its sender still waits.
    pub async fn delay(&self, on: &str, delay_ms: u64) -> Result<()> {
        self.order_with(json!({ "on": on, "fault": "delay", "delay_ms": delay_ms })).await
    }

    /// A fault with all that can be said of it.
    pub async fn order_with(&self, order: Value) -> Result<()> {
        let body = self.http.post(format!("{}/_faults", self.url)).body(order.to_string()).send().await?;
        ensure!(body.status().is_success(), "the fault was not accepted: {}", body.text().await?);
        Ok(())
    }

    /// What was ordered and has not happened does not happen any more.
    pub async fn forget_faults(&self) -> Result<()> {
        let answer = self.http.delete(format!("{}/_faults", self.url)).send().await?;
        ensure!(answer.status().is_success(), "the faults were not forgotten: {}", answer.text().await?);
        Ok(())
    }

    /// How often faults of one kind of request have happened.
    pub async fn fired(&self, on: &str) -> Result<u32> {
        let orders: Orders = self.get("/_faults").await?;
        Ok(orders.faults.iter().filter(|order| order.on == on).map(|order| order.fired).sum())
    }

    /// The machines there are, in all projects.
    pub async fn machines(&self) -> Result<Vec<Machine>> {
        Ok(self.get::<Machines>("/_machines").await?.machines)
    }

    /// Sends the agent of a machine, and it alone, a signal.
    pub async fn signal(&self, machine: u64, signal: &str) -> Result<()> {
        let request = self.http.post(format!("{}/_machines/{machine}/kill", self.url));
        let answer = request.body(json!({ "signal": signal }).to_string()).send().await?;
        ensure!(answer.status().is_success(), "the machine was not signalled: {}", answer.text().await?);
        Ok(())
    }

    /// The statuses that requests of one kind were answered with; none where the answer was lost.
    pub async fn answers(&self, operation: &str) -> Result<Vec<Option<u16>>> {
        let requests = self.get::<Requests>("/_requests").await?.requests;
        let of_kind = requests.into_iter().filter(|request| request.operation.as_deref() == Some(operation));
        Ok(of_kind.map(|request| request.status).collect())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }
}
