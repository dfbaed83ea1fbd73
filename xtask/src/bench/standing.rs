//! What standing still costs, by the arithmetic of `protocol::plan` (whose figures `e2e::standing` holds against workerd, message by
//! message), and what a machine's whole life does, from the control plane's own log.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::plan::{self, Cost};
use ringfence_protocol::state::{Isolation, NodeState, WorkspaceState};
use serde::Deserialize;
use serde_json::json;

use super::table::{Row, Unit};
use super::{LIMIT, say};
use crate::client::{Client, until};
use crate::stack::Stack;

/// How many nodes others have while a workspace is created.
const CROWDS: [u32; 3] = [10, 1_000, 100_000];
/// What a request may read more in the largest crowd than in the smallest: index pages differ by little.
const SLACK_ROWS: f64 = 4.0;

/// A line of the control plane's log that says what was asked of D1.
#[derive(Deserialize)]
struct Logged {
    message: String,
    #[serde(rename = "http.method")]
    method: Option<String>,
    #[serde(rename = "url.path")]
    path: Option<String>,
    #[serde(rename = "d1.rows_read", default)]
    rows_read: u64,
    #[serde(rename = "d1.rows_written", default)]
    rows_written: u64,
    #[serde(rename = "object.requests", default)]
    object_requests: u64,
    #[serde(rename = "object.messages", default)]
    object_messages: u64,
    #[serde(rename = "object.duration_ms", default)]
    object_ms: u64,
    #[serde(rename = "object.rows_written", default)]
    object_rows_written: u64,
}

pub(super) async fn measure(client: &Client, stack: &Stack) -> Result<Vec<Row>> {
    let mut rows = arithmetic();
    rows.extend(life(client, stack).await?);
    rows.extend(crowds(client, stack).await?);
    Ok(rows)
}

/// What follows from how often agents speak.
fn arithmetic() -> Vec<Row> {
    let (day, hour) = (plan::IDLE_NODE_DAY, plan::TERMINAL_HOUR);
    let billed = (day.requests + day.billed_object_requests()) as f64;
    vec![
        Row::at_most("idle node for a day: billed requests", billed, 50.0, Unit::Requests),
        Row::at_most("idle node for a day: rows written", day.rows_written as f64, 50.0, Unit::Rows),
        Row::figure("idle node for a day: rows read", day.rows_read as f64, Unit::Rows),
        Row::figure("idle node for a day: rows its object writes", day.object_rows_written as f64, Unit::Rows),
        Row::figure("idle nodes that the free plan carries", plan::idle_nodes() as f64, Unit::Nodes),
        Row::figure("active terminal-hour: rows read", hour.rows_read as f64, Unit::Rows),
        Row::figure("active terminal-hour: rows written", hour.rows_written as f64, Unit::Rows),
    ]
}

/// A machine of its own from the request to its end.
async fn life(client: &Client, stack: &Stack) -> Result<Vec<Row>> {
    say("a machine's whole life");
    let log = stack.log("control-plane");
    let before = lines(&log)?.len();
    let params = CreateWorkspaceParams { isolation: Some(Isolation::Ephemeral), ..CreateWorkspaceParams::default() };
    let made = client.create_workspace(&params).await?;
    client.workspace_in(made.id, WorkspaceState::Running).await?;
    client.delete_workspace(made.id).await?;
    let gone = async || Ok(client.node(made.node.id).await?.state == NodeState::Gone);
    until("the node to be gone", LIMIT, gone).await?;
    let lines = lines(&log)?;
    let acts: Vec<&Logged> = lines.iter().skip(before).filter(|line| line.counts()).collect();
    ensure!(acts.iter().any(|line| line.message == "alarm"), "no alarm has told what it cost");
    let sum = |of: fn(&Logged) -> u64| acts.iter().map(|line| of(line)).sum::<u64>() as f64;
    let object = Cost {
        object_requests: sum(|line| line.object_requests) as u64,
        messages: sum(|line| line.object_messages) as u64,
        ..Cost::NONE
    };
    let requests = acts.iter().filter(|line| line.message != "alarm").count();
    let bound = plan::MACHINE_LIFE;
    Ok(vec![
        // Asked for and deleted by its owner, and the machine's own requests between.
        Row::at_most("creating and deleting: billed requests", requests as f64, bound.requests as f64, Unit::Requests),
        Row::at_most(
            "creating and deleting: billed requests to objects",
            object.billed_object_requests() as f64,
            bound.billed_object_requests() as f64,
            Unit::Requests,
        ),
        Row::at_most(
            "creating and deleting: rows read",
            sum(|line| line.rows_read),
            bound.rows_read as f64,
            Unit::Rows,
        ),
        Row::at_most(
            "creating and deleting: rows written",
            sum(|line| line.rows_written),
            bound.rows_written as f64,
            Unit::Rows,
        ),
        Row::at_most(
            "creating and deleting: rows its object writes",
            sum(|line| line.object_rows_written),
            bound.object_rows_written as f64,
            Unit::Rows,
        ),
        Row::at_most(
            "creating and deleting: its object at work",
            sum(|line| line.object_ms),
            bound.object_ms as f64,
            Unit::Milliseconds,
        ),
    ])
}

/// Rows read by a creation beside more and more nodes of other users: no more of them.
async fn crowds(client: &Client, stack: &Stack) -> Result<Vec<Row>> {
    let log = stack.log("control-plane");
    let mut rows = Vec::new();
    let (mut there, mut least) = (0, None);
    for crowd in CROWDS {
        say(format!("creating a workspace beside {crowd} nodes of others"));
        crowd_of(stack, there, crowd).await?;
        there = crowd;
        let before = lines(&log)?.len();
        let made = client.create_workspace(&CreateWorkspaceParams::default()).await?;
        // Not its node: the workspace of the other measurements may be there too.
        client.delete_workspace(made.id).await?;
        let lines = lines(&log)?;
        let create = lines
            .iter()
            .skip(before)
            .find(|line| (line.method.as_deref(), line.path.as_deref()) == (Some("POST"), Some("/api/workspaces")));
        let read = create.context("the creation is not in the log")?.rows_read as f64;
        let bound = *least.get_or_insert(read) + SLACK_ROWS;
        rows.push(Row::at_most(
            format!("rows read by a creation beside {crowd} nodes of others"),
            read,
            bound,
            Unit::Rows,
        ));
    }
    Ok(rows)
}

/// Nodes of somebody else, ready for ever, from one number to another.
async fn crowd_of(stack: &Stack, from: u32, to: u32) -> Result<()> {
    let setup = [
        "INSERT OR IGNORE INTO tenants (id, name, created_at_ms) VALUES ('crowd', 'crowd', 0)",
        "INSERT OR IGNORE INTO users (id, tenant_id, name, role, state, created_at_ms, row_version)
         VALUES ('crowd', 'crowd', 'crowd', 'member', 'active', 0, 1)",
        "INSERT OR IGNORE INTO provider_credentials
           (id, user_id, provider, name, sealed_secret, seal_version, created_at_ms, deleted_at_ms, row_version)
         VALUES ('crowd', 'crowd', 'hetzner', 'crowd', '', 1, 0, 0, 1)",
    ];
    for sql in setup {
        stack.d1(sql, &[]).await?;
    }
    // Some at a time: a statement has its time limit too.
    let mut next = from;
    while next < to {
        let end = to.min(next + 5_000);
        let sql = "WITH RECURSIVE number (n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < ?2)
            INSERT INTO nodes (id, user_id, tenant_id, row_version, created_at_ms, installation, provider, credential_id, isolation,
              region, size, cpus, memory_bytes, image, price_micros_per_hour, currency, slots, hard_deadline_at_ms, policy, state,
              state_since_ms, deadline_at_ms, agent_epoch)
            SELECT 'crowd-' || n, 'crowd', 'crowd', 1, n, 'crowd', 'hetzner', 'crowd', 'user', 'fsn1', 'cx23', 2, 4294967296, 'image', 0,
              'EUR', 3, 9007199254740991, 'schedulable', 'ready', n, 9007199254740991, 1 FROM number";
        stack.d1(sql, &[json!(next), json!(end)]).await?;
        next = end;
    }
    Ok(())
}

impl Logged {
    /// Whether it is part of what a machine costs: looking on is not.
    fn counts(&self) -> bool {
        let of_the_machine = self.path.as_deref().is_some_and(|path| path.starts_with("/agent/"));
        self.message == "alarm" || of_the_machine || matches!(self.method.as_deref(), Some("POST" | "DELETE"))
    }
}

fn lines(log: &Path) -> Result<Vec<Logged>> {
    let text = std::fs::read_to_string(log).with_context(|| format!("reading {}", log.display()))?;
    let parsed = |line: &str| serde_json::from_str::<Logged>(&line[line.find('{')?..]).ok();
    Ok(text.lines().filter_map(parsed).collect())
}
