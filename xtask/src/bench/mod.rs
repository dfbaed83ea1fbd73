//! `cargo xtask bench`: the budgets, measured and printed as one table.
//!
//! Everything runs on this machine against what is deployed: release Worker in workerd, static agent, real PTY.

mod agent;
mod claim;
mod machines;
mod peer;
mod requests;
mod standing;
mod statistics;
mod table;
mod terminal;

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::state::WorkspaceState;

use self::table::{Row, Unit};
use crate::build::{self, Artifacts, Profile, worker};
use crate::client::Client;
use crate::progress::say;
use crate::stack::{Stack, StackOptions};
use crate::toolchain::Toolchain;

const KIB: f64 = 1024.0;
const MIB: f64 = KIB * KIB;

/// Longest wait for anything that a measurement waits for.
const LIMIT: Duration = Duration::from_secs(30);

/// What to measure.
#[derive(Args)]
pub struct BenchOptions {
    /// One part alone.
    #[arg(long)]
    only: Option<Part>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// What is measured together.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Of what is deployed.
    Sizes,
    /// A workspace on a machine that is there already.
    Claim,
    /// Echo and throughput.
    Terminal,
    /// What standing still costs, and what a request does.
    Requests,
    /// Booting, containers, the agent's hardening: needs root.
    Machines,
}

impl BenchOptions {
    fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

/// Builds, measures and prints.
pub fn run(options: &BenchOptions) -> Result<()> {
    let artifacts = build::all(&Toolchain::ensure()?, Profile::Release)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let mut rows = Vec::new();
    if options.wants(Part::Sizes) {
        rows.extend(sizes(&artifacts)?);
    }
    if [Part::Claim, Part::Terminal, Part::Requests].into_iter().any(|part| options.wants(part)) {
        let state_dir = std::env::temp_dir().join(format!("ringfence-bench-{}", std::process::id()));
        let stack = StackOptions::new(artifacts.clone(), &state_dir);
        rows.extend(runtime.block_on(live(stack, options))?);
        let _ = std::fs::remove_dir_all(&state_dir);
    }
    if options.wants(Part::Machines) {
        rows.extend(runtime.block_on(machines::measure(artifacts))?);
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print!("{}", table::render(&rows));
    }
    match rows.iter().filter(|row| row.kept() == Some(false)).count() {
        0 => Ok(()),
        count => bail!("{count} budgets are not kept"),
    }
}

fn sizes(artifacts: &Artifacts) -> Result<Vec<Row>> {
    let agent_bytes = std::fs::metadata(&artifacts.agent)?.len();
    Ok(vec![
        Row::at_most("Worker bundle, gzipped", worker::gzipped_bytes()? as f64 / KIB, 1024.0, Unit::Kib),
        Row::at_most("agent binary", agent_bytes as f64 / MIB, 12.0, Unit::Mib),
    ])
}

/// What needs a running workspace.
async fn live(stack: StackOptions, options: &BenchOptions) -> Result<Vec<Row>> {
    let agent = stack.artifacts.agent.clone();
    let stack = Stack::start(stack).await?;
    let client = Client::sign_in(stack.origin(), &stack.admin_sign_in_link().await?).await?;
    client.create_credential(&stack.secrets().cloud_tokens[0]).await?;
    say("starting a workspace");
    let workspace = client.create_workspace(&CreateWorkspaceParams::default()).await?;
    client.workspace_in(workspace.id, WorkspaceState::Running).await?;
    let mut rows = Vec::new();
    if options.wants(Part::Claim) {
        rows.extend(claim::measure(&client).await?);
    }
    if options.wants(Part::Terminal) {
        rows.extend(terminal::measure(&client, workspace.id).await?);
        rows.extend(peer::measure().await?);
    }
    if options.wants(Part::Requests) {
        rows.extend(standing::measure(&client, &stack).await?);
        rows.push(agent::measure(&client, workspace.id, &agent).await?);
    }
    let log = stack.log("control-plane");
    stack.stop().await?;
    if options.wants(Part::Requests) {
        rows.extend(requests::measure(&log)?);
    }
    Ok(rows)
}
