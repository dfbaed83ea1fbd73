//! `cargo xtask demo`: a newcomer's whole job, once, against real parts, with the time that each step took.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::state::{NodeState, WorkspaceState};
use serde::Serialize;

use crate::build::{self, Profile};
use crate::client::{Client, Terminal, until};
use crate::progress::{human, say};
use crate::stack::{Stack, StackOptions};
use crate::toolchain::Toolchain;

/// Longest wait for a command's output.
const OUTPUT_LIMIT: Duration = Duration::from_secs(20);
/// Longest wait for the cloud to have no machine left.
const EMPTY_LIMIT: Duration = Duration::from_secs(30);
/// Numbers that a command prints while the connection breaks: some hundred kilobytes, less than the agent keeps.
const LAST_NUMBER: u32 = 40_000;
/// Where in them the connection breaks.
const BREAK_AFTER: u32 = 5_000;

/// What the demonstration ends with, as JSON.
#[derive(Serialize)]
struct Report {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    steps: Vec<Step>,
    total_ms: u128,
}

#[derive(Serialize)]
struct Step {
    step: &'static str,
    ms: u128,
}

/// Builds, runs and reports.
pub fn run(profile: Profile) -> Result<()> {
    let artifacts = build::all(&Toolchain::ensure()?, profile)?;
    let state_dir = std::env::temp_dir().join(format!("ringfence-demo-{}", std::process::id()));
    let mut journal = Journal::default();
    let started = Instant::now();
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(whole_job(&mut journal, StackOptions::new(artifacts, &state_dir)));
    let report = Report {
        ok: result.is_ok(),
        error: result.as_ref().err().map(|error| format!("{error:#}")),
        steps: journal.steps,
        total_ms: started.elapsed().as_millis(),
    };
    println!("{}", serde_json::to_string_pretty(&report)?);
    tidy_up(&state_dir, report.ok);
    result
}

async fn whole_job(journal: &mut Journal, options: StackOptions) -> Result<()> {
    let stack = journal.step("start the control plane and the local cloud", Stack::start(options)).await?;
    let client = journal
        .step("sign in", async {
            let link = stack.admin_sign_in_link().await?;
            let client = Client::sign_in(stack.origin(), &link).await?;
            client.me().await?;
            Ok(client)
        })
        .await?;
    let secret = &stack.secrets().cloud_tokens[0];
    let credential = journal.step("store a credential", client.create_credential(secret)).await?;
    let params = CreateWorkspaceParams { credential_id: Some(credential.id), ..CreateWorkspaceParams::default() };
    let workspace = journal.step("create a workspace", client.create_workspace(&params)).await?;
    let running = client.workspace_in(workspace.id, WorkspaceState::Running);
    let workspace = journal.step("wait until it runs", running).await?;
    let mut terminal = journal.step("open the terminal", client.open_terminal(workspace.id)).await?;
    journal.step("run a command", run_a_command(&mut terminal)).await?;
    journal.step("lose the connection and get the rest", lose_and_recover(&mut terminal)).await?;
    journal
        .step("delete the workspace", async {
            client.delete_workspace(workspace.id).await?;
            gone(&client, workspace.id).await
        })
        .await?;
    journal
        .step("delete the node", async {
            client.delete_node(workspace.node.id).await?;
            client.node_in(workspace.node.id, NodeState::Gone).await
        })
        .await?;
    let no_server = async || Ok(stack.cloud_servers().await? == 0);
    journal.step("check that the cloud is empty", until("the cloud to be empty", EMPTY_LIMIT, no_server)).await?;
    journal.step("stop", stack.stop()).await
}

async fn run_a_command(terminal: &mut Terminal) -> Result<()> {
    // The quotes keep the echo of the command itself from looking like its output.
    terminal.type_line("echo six times seven is \"\"$((6 * 7))").await?;
    terminal.wait_for("six times seven is 42", OUTPUT_LIMIT).await.map(drop)
}

async fn lose_and_recover(terminal: &mut Terminal) -> Result<()> {
    terminal.type_line(&format!("seq 1 {LAST_NUMBER}; echo all \"\"printed")).await?;
    let mut output = terminal.wait_for(&format!("\n{BREAK_AFTER}\r\n"), OUTPUT_LIMIT).await?;
    let resets = terminal.resets();
    terminal.lose_connection();
    terminal.reopen().await?;
    output.extend(terminal.wait_for("all printed", OUTPUT_LIMIT).await?);
    ensure!(terminal.resets() == resets, "the agent could not go on where we were");
    every_number_once(&String::from_utf8_lossy(&output))
}

/// Whether the lines that are numbers are 1, 2, … to the last, each once.
fn every_number_once(output: &str) -> Result<()> {
    let mut expected = 1..=LAST_NUMBER;
    // The shell's own control sequences end in a carriage return, on the line of the first number.
    let last_part = |line: &str| line.trim().rsplit('\r').next()?.parse::<u32>().ok();
    for number in output.lines().filter_map(last_part) {
        let next = expected.next().context("more numbers than were printed")?;
        ensure!(number == next, "{number} where {next} was due");
    }
    match expected.next() {
        None => Ok(()),
        Some(missing) => bail!("{missing} and what follows did not arrive"),
    }
}

/// Waits until a workspace is gone, by its state or by its absence.
async fn gone(client: &Client, id: ringfence_protocol::ids::WorkspaceId) -> Result<()> {
    let absent = async || {
        let listed = client.workspaces().await?;
        Ok(!listed.iter().any(|workspace| workspace.id == id && workspace.state != WorkspaceState::Gone))
    };
    until("the workspace to be gone", EMPTY_LIMIT, absent).await
}

#[derive(Default)]
struct Journal {
    steps: Vec<Step>,
}

impl Journal {
    /// Does one step and notes how long it took, whatever became of it.
    async fn step<T>(&mut self, name: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let started = Instant::now();
        let result = work.await;
        let took = started.elapsed();
        eprintln!("{} {name} ({})", if result.is_ok() { "✓" } else { "✗" }, human(took));
        self.steps.push(Step { step: name, ms: took.as_millis() });
        result.with_context(|| format!("could not {name}"))
    }
}

/// Removes what the run left, or says where to look.
fn tidy_up(state_dir: &Path, ok: bool) {
    if ok {
        let _ = std::fs::remove_dir_all(state_dir);
    } else {
        say(format!("logs: {}", state_dir.join("logs").display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(range: impl Iterator<Item = u32>) -> String {
        range.map(|number| format!("{number}\r\n")).collect()
    }

    #[test]
    fn a_lost_number_is_noticed() {
        assert!(every_number_once(&format!("seq 1\r\n\x1b[?2004l\r{}all printed", numbers(1..=LAST_NUMBER))).is_ok());
        assert!(every_number_once(&numbers((1..=LAST_NUMBER).filter(|number| *number != 777))).is_err());
        assert!(every_number_once(&numbers(1..LAST_NUMBER)).is_err());
    }

    #[test]
    fn a_doubled_number_is_noticed() {
        assert!(every_number_once(&(numbers(1..=10) + &numbers(10..=LAST_NUMBER))).is_err());
    }
}
