//! What a machine that boots for real takes, and a container on it: nspawn machines, Podman, the image's own workspace image.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ringfence_protocol::ids::{NodeId, WorkspaceId};
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::routes;
use ringfence_protocol::state::{Isolation, NodeState, WorkspaceState};
use ringfence_protocol::views::{EventKind, EventView, EventsView};
use serde_json::{Value, json};

use super::statistics::Samples;
use super::table::{Row, Unit};
use super::{KIB, LIMIT, say};
use crate::build::Artifacts;
use crate::client::{Client, Screen, Terminal};
use crate::stack::{Driver, Stack, StackOptions};
use crate::{project, run};

const BOOTS: usize = 10;
const STARTS: usize = 10;
const TERMINALS: usize = 10;

/// Starts a stack with real machines and measures; nothing without root.
pub(super) async fn measure(artifacts: Artifacts) -> Result<Vec<Row>> {
    if !rustix::process::geteuid().is_root() {
        say("machines are not measured: that needs root");
        return Ok(Vec::new());
    }
    let state_dir = std::env::temp_dir().join(format!("ringfence-bench-machines-{}", std::process::id()));
    let mut options = StackOptions::new(artifacts, &state_dir)
        .var("RINGFENCE_IMAGE", "debian-13")
        .var("RINGFENCE_DEFAULT_IMAGE", "localhost/ringfence/workspace:latest")
        .var("RINGFENCE_MAX_CPU_PERCENT", "101");
    options.driver = Driver::Nspawn;
    let stack = Stack::start(options).await?;
    let client = Client::sign_in(stack.origin(), &stack.admin_sign_in_link().await?).await?;
    client.create_credential(&stack.secrets().cloud_tokens[0]).await?;
    let mut rows = vec![boots(&client).await?];
    rows.extend(containers(&stack, &client).await?);
    rows.extend(exposure()?);
    stack.stop().await?;
    let _ = std::fs::remove_dir_all(&state_dir);
    Ok(rows)
}

/// From the first thing that user-data does to Ready.
async fn boots(client: &Client) -> Result<Row> {
    say(format!("booting {BOOTS} machines"));
    let mut samples = Vec::new();
    for _ in 0..BOOTS {
        let params =
            CreateWorkspaceParams { isolation: Some(Isolation::Ephemeral), ..CreateWorkspaceParams::default() };
        let workspace = client.create_workspace(&params).await?;
        client.workspace_in(workspace.id, WorkspaceState::Running).await?;
        samples.push(boot_of(&events(client, workspace.node.id).await?)?);
        client.delete_node(workspace.node.id).await?;
        client.node_in(workspace.node.id, NodeState::Gone).await?;
    }
    let median = Samples::new(samples).percentile_ms(50);
    Ok(Row::at_most("user-data start → Ready (nspawn), median of 10", median, 5000.0, Unit::Milliseconds))
}

fn boot_of(events: &[EventView]) -> Result<Duration> {
    let first = events.iter().find_map(|event| match event.event {
        EventKind::BootStep { duration_ms, .. } => Some(event.at.get() - i64::try_from(duration_ms).ok()?),
        EventKind::NodeState { .. }
        | EventKind::WorkspaceState { .. }
        | EventKind::Notice { .. }
        | EventKind::EndingSoon { .. }
        | EventKind::Saved { .. } => None,
    });
    let ready = events.iter().find_map(|event| match event.event {
        EventKind::NodeState { state: NodeState::Ready, .. } => Some(event.at.get()),
        EventKind::NodeState { .. }
        | EventKind::WorkspaceState { .. }
        | EventKind::BootStep { .. }
        | EventKind::Notice { .. }
        | EventKind::EndingSoon { .. }
        | EventKind::Saved { .. } => None,
    });
    let (first, ready) = first.zip(ready).context("a boot without steps, or without an end")?;
    Ok(Duration::from_millis(u64::try_from(ready - first).unwrap_or(0)))
}

async fn containers(stack: &Stack, client: &Client) -> Result<Vec<Row>> {
    say(format!("starting {STARTS} workspaces on a local image"));
    let keeper = client.create_workspace(&CreateWorkspaceParams::default()).await?;
    client.workspace_in(keeper.id, WorkspaceState::Running).await?;
    let node = keeper.node.id;
    let (mut starts, mut prompts) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let workspace = client.create_workspace(&CreateWorkspaceParams::default()).await?;
        ensure!(workspace.node.id == node, "the machine was not used again: {}", workspace.placement_explanation);
        client.workspace_in(workspace.id, WorkspaceState::Running).await?;
        starts.push(start_of(&events(client, node).await?, workspace.id)?);
        let started = Instant::now();
        let mut terminal = client.open_terminal(workspace.id).await?;
        while terminal.offset() == 0 && terminal.read_frame(started + LIMIT).await? {}
        prompts.push(started.elapsed());
        client.delete_workspace(workspace.id).await?;
        let gone = async || {
            let listed = client.workspaces().await?;
            Ok(!listed.iter().any(|view| view.id == workspace.id && view.state != WorkspaceState::Gone))
        };
        crate::client::until("the workspace to be gone", LIMIT, gone).await?;
    }
    let resident = resident_mib(stack, client, keeper.id).await?;
    let p50 = |samples| Samples::new(samples).percentile_ms(50);
    Ok(vec![
        Row::at_most("start of a workspace on a local image, p50", p50(starts), 1000.0, Unit::Milliseconds),
        Row::figure("exec → prompt in a container, p50", p50(prompts), Unit::Milliseconds),
        Row::at_most("agent, resident with 10 terminals in a container", resident, 20.0, Unit::Mib),
    ])
}

/// From the command to the agent to its report, as the control plane recorded both.
fn start_of(events: &[EventView], workspace: WorkspaceId) -> Result<Duration> {
    let at = |wanted: WorkspaceState| {
        events.iter().find_map(|event| match event.event {
            EventKind::WorkspaceState { state, .. } if state == wanted && event.workspace_id == Some(workspace) => {
                Some(event.at.get())
            }
            EventKind::WorkspaceState { .. }
            | EventKind::NodeState { .. }
            | EventKind::BootStep { .. }
            | EventKind::Notice { .. }
            | EventKind::EndingSoon { .. }
            | EventKind::Saved { .. } => None,
        })
    };
    let (from, to) = at(WorkspaceState::Creating).zip(at(WorkspaceState::Running)).context("a workspace's start")?;
    Ok(Duration::from_millis(u64::try_from(to - from).unwrap_or(0)))
}

async fn resident_mib(stack: &Stack, client: &Client, workspace: WorkspaceId) -> Result<f64> {
    say(format!("opening {TERMINALS} terminals"));
    let mut terminals = Vec::new();
    for number in 0..TERMINALS {
        let token = client.workspace_token(workspace, None).await?;
        let screen = Screen { terminal: format!("memory-{number}"), ..Screen::default() };
        let mut terminal = Terminal::open(client.origin(), workspace, token, screen).await?;
        terminal.type_line("seq 1 100000; echo \"\"done").await?;
        terminal.wait_for("done", LIMIT).await?;
        terminals.push(terminal);
    }
    let http = reqwest::Client::new();
    let list = http.get(format!("{}/_machines", stack.cloud_url())).send().await?.bytes().await?;
    let list: Value = serde_json::from_slice(&list)?;
    let id = list.pointer("/machines/0/id").and_then(Value::as_u64).context("no machine")?;
    let request = http.post(format!("{}/_machines/{id}/exec", stack.cloud_url()));
    let body = json!({ "argv": ["ps", "-o", "rss=", "-C", "vm-agent"] }).to_string();
    let answer = request.bearer_auth(&stack.secrets().cloud_tokens[0]).body(body).send().await?.bytes().await?;
    let answer: Value = serde_json::from_slice(&answer)?;
    let kib = answer.pointer("/stdout").and_then(Value::as_str).and_then(|text| text.trim().parse::<f64>().ok());
    Ok(kib.context("the agent's memory")? / KIB)
}

/// What systemd thinks of the agent's unit, from 0 (nothing) to 10 (everything); where there is no systemd, nothing.
fn exposure() -> Result<Option<Row>> {
    if run::find_program("systemd-analyze").is_none() {
        say("the unit's exposure is not measured: there is no systemd-analyze");
        return Ok(None);
    }
    let unit = project::root().join("cloud-init/vm-agent.service");
    let mut command = run::command("systemd-analyze");
    command.args(["security", "--offline=true", "--no-pager"]).arg(unit);
    let text = run::read(&mut command)?;
    let line = text.lines().rev().find(|line| line.contains("Overall exposure level")).context("no exposure level")?;
    let level = line.split_whitespace().find_map(|word| word.parse().ok()).context("no number")?;
    Ok(Some(Row::figure("exposure of the agent's unit, of 10", level, Unit::Points)))
}

async fn events(client: &Client, node: NodeId) -> Result<Vec<EventView>> {
    let query = [("node_id", node.to_string()), ("after", "0".to_owned())];
    Ok(client.query::<EventsView>(&routes::EVENTS, &query).await?.items)
}
