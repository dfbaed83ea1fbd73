//! Agents, control planes and nodes end while somebody looks on: what comes back, and what is said of what does not (I7).

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use ringfence::domain::mac;
use ringfence_protocol::SUBPROTOCOL;
use ringfence_protocol::ids::{NodeId, WorkspaceId};
use ringfence_protocol::link::{PING, close_code};
use ringfence_protocol::routes;
use ringfence_protocol::state::{Isolation, NodeHealth, NodeState, WorkspaceState};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use xtask::client::{Closed, until};

use crate::support::mint::{self, Mint};
use crate::support::request::{DeviceKey, ProofFor};
use crate::viewing::{
    OUTPUT_LIMIT, come_back, every_number_once, fast_count, follow_until, lost, quiet_shell, slow_count,
};
use crate::world::{LIMIT, Person, Setting, World, story};

/// Lines of a count that goes on for longer than a restart takes.
const SLOW_LINES: u32 = 500;
/// Lines of a count that is over at once, and less than an agent keeps.
const FAST_LINES: u32 = 50_000;
/// A workspace on a node that is ready runs sooner than a machine boots, by far.
const WARM_LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_agent_killed_in_the_middle_of_output_comes_back_and_says_so() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        let mut terminal = quiet_shell(&ada, workspace.id).await?;
        let epoch = terminal.opened().epoch;
        terminal.type_line(&slow_count(100_000)).await?;
        let seen = terminal.wait_for("n40\r\n", OUTPUT_LIMIT).await?;
        every_number_once(&seen, 40)?;

        let machine = only_machine(world).await?;
        world.cloud.signal(machine, "SIGKILL").await?;
        ensure!(lost(&mut terminal).await? == close_code::AGENT_AWAY, "the viewer is told that the agent is away");
        come_back(&mut terminal).await?;
        ensure!(terminal.opened().epoch != epoch, "the new shell is told from the old one");
        terminal.type_line("echo a new \"\"shell").await?;
        terminal.wait_for("a new shell", OUTPUT_LIMIT).await?;
        ensure!(terminal.resets() >= 1, "the viewer is told to start anew");

        ada.workspace_until(workspace.id, WorkspaceState::Running).await?;
        let machines = world.cloud.machines().await?;
        ensure!(machines.len() == 1 && machines[0].restarts == 1, "the same machine, started again");
        ensure!(ada.client.nodes().await?.len() == 1, "no second node");
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn an_agent_that_is_frozen_for_a_while_loses_nothing() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        let mut terminal = quiet_shell(&ada, workspace.id).await?;
        let before = (terminal.opened().epoch, terminal.resets());
        let machine = only_machine(world).await?;
        world.cloud.signal(machine, "SIGSTOP").await?;
        terminal.type_line(&fast_count(1000)).await?;
        let others = ada.create().await?;
        world.cloud.signal(machine, "SIGCONT").await?;
        let output = follow_until(&mut terminal, "all printed\r\n").await?;
        every_number_once(&output, 1000)?;
        ensure!((terminal.opened().epoch, terminal.resets()) == before, "the same shell, gone on with where it was");
        ada.workspace_until(others.id, WorkspaceState::Running).await?;
        ensure!(others.node.id == workspace.node.id, "asked of it while it was frozen, made when it was not");
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn an_agent_that_says_nothing_any_more_counts_as_away_until_it_comes_back() -> Result<()> {
    story(Setting::default().var("RINGFENCE_SILENCE_SECS", 2), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        let machine = only_machine(world).await?;
        world.cloud.signal(machine, "SIGSTOP").await?;
        // Its connection is open, and says nothing for longer than it may.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let refused = ada.client.open_terminal(workspace.id).await.err().context("there is nobody to open a shell")?;
        let closed = refused.downcast::<Closed>()?;
        ensure!(closed.0 == close_code::AGENT_AWAY, "{closed:?}");
        let health = async || Ok::<_, anyhow::Error>(ada.client.node(workspace.node.id).await?.health);
        ensure!(health().await? == NodeHealth::Disconnected, "{:?}", health().await?);

        world.cloud.signal(machine, "SIGCONT").await?;
        until("it to be back", LIMIT, async || Ok(health().await? == NodeHealth::Connected)).await?;
        let mut terminal = ada.client.open_terminal(workspace.id).await?;
        terminal.type_line("echo still \"\"here").await?;
        terminal.wait_for("still here", OUTPUT_LIMIT).await?;
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

/// In the agent's place, whose own pings are too far apart for a test.
#[tokio::test]
async fn a_ping_now_and_then_is_all_that_a_link_needs() -> Result<()> {
    story(Setting::default().var("RINGFENCE_SILENCE_SECS", 3), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        let machine = only_machine(world).await?;
        world.cloud.signal(machine, "SIGSTOP").await?;
        let mut link = open_link(world, workspace.node.id).await?;
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            link.send(Message::text(PING)).await?;
        }
        let opening = tokio::time::timeout(Duration::from_secs(2), ada.client.open_terminal(workspace.id)).await;
        ensure!(opening.is_err(), "it waits for the agent's answer");
        let mut asked = false;
        while let Ok(Some(message)) = tokio::time::timeout(Duration::from_secs(1), link.next()).await {
            asked |= matches!(message?, Message::Text(text) if text.contains("open_channel"));
        }
        ensure!(asked, "the link is there, and is asked to open a terminal");

        // Longer than a link may be silent: that nothing comes is no condition to wait for.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let refused = ada.client.open_terminal(workspace.id).await.err().context("nothing was heard for too long")?;
        ensure!(refused.downcast::<Closed>()?.0 == close_code::AGENT_AWAY);
        world.cloud.signal(machine, "SIGCONT").await?;
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

async fn open_link(world: &World, node: NodeId) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>> {
    let (mint, key) = (Mint::new(&world.stack), DeviceKey::new());
    let epochs = world.rows("SELECT agent_epoch FROM nodes").await?;
    let token = mint.sign(mint::callback(node, epochs[0]["agent_epoch"].as_i64().context("an epoch")?, &key.jkt()));
    let url = format!("{}{}", world.stack.origin(), routes::AGENT_LINK.path);
    let nonce = Some(mac::nonce(mint.keyring(), xtask::clock::now()));
    let proof = key.proof(ProofFor { method: "GET", url: url.clone(), token: &token, nonce });
    let mut request = url.replacen("http", "ws", 1).into_client_request()?;
    request.headers_mut().insert("authorization", format!("DPoP {token}").parse()?);
    request.headers_mut().insert("dpop", proof.parse()?);
    request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
    Ok(connect_async(request).await?.0)
}

#[tokio::test]
async fn a_control_plane_killed_in_the_middle_of_output_loses_no_byte() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        let mut terminal = quiet_shell(&ada, workspace.id).await?;
        let before = (terminal.opened().epoch, terminal.resets());
        terminal.type_line(&slow_count(SLOW_LINES)).await?;
        let mut output = terminal.wait_for("n40\r\n", OUTPUT_LIMIT).await?;

        world.stack.kill_control_plane().await?;
        // The socket is dead, which the one who types may not know yet.
        let _ = terminal.type_line("echo typed \"\"meanwhile").await;
        world.stack.start_control_plane().await?;
        output.extend(follow_until(&mut terminal, "all printed\r\n").await?);
        output.extend(follow_until(&mut terminal, "typed meanwhile\r\n").await?);
        terminal.type_line("echo the \"\"end").await?;
        output.extend(terminal.wait_for("the end\r\n", OUTPUT_LIMIT).await?);

        ensure!((terminal.opened().epoch, terminal.resets()) == before, "the same shell, gone on with where it was");
        every_number_once(&output, SLOW_LINES)?;
        let typed = output.windows(15).filter(|window| window == b"typed meanwhile").count();
        ensure!(typed == 1, "what was typed meanwhile arrived {typed} times");
        ada.workspace_until(workspace.id, WorkspaceState::Running).await?;
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn a_control_plane_killed_in_a_flood_loses_no_byte() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        let mut terminal = quiet_shell(&ada, workspace.id).await?;
        let before = (terminal.opened().epoch, terminal.resets());
        terminal.type_line(&fast_count(FAST_LINES)).await?;
        let mut output = terminal.wait_for("n5000\r\n", OUTPUT_LIMIT).await?;
        world.restart_control_plane().await?;
        output.extend(follow_until(&mut terminal, "all printed\r\n").await?);
        ensure!((terminal.opened().epoch, terminal.resets()) == before, "the same shell, gone on with where it was");
        every_number_once(&output, FAST_LINES)?;
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn a_control_plane_killed_again_and_again_loses_no_byte() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        let mut terminal = quiet_shell(&ada, workspace.id).await?;
        terminal.type_line(&slow_count(3 * SLOW_LINES)).await?;
        let mut output = Vec::new();
        for line in [100, 500, 900] {
            output.extend(follow_until(&mut terminal, &format!("\nn{line}\r\n")).await?);
            world.restart_control_plane().await?;
        }
        output.extend(follow_until(&mut terminal, "all printed\r\n").await?);
        every_number_once(&output, 3 * SLOW_LINES)?;
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn a_node_that_is_deleted_closes_its_viewers() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        let mut terminal = quiet_shell(&ada, workspace.id).await?;
        ada.client.delete_node(workspace.node.id).await?;
        ensure!(lost(&mut terminal).await? == close_code::ENDED, "the viewer is told that it is over");
        ensure!(terminal.reopen().await.is_err(), "nothing opens any more");
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn a_workspace_that_is_stopped_and_started_keeps_its_files() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        let mut terminal = quiet_shell(&ada, workspace.id).await?;
        terminal.type_line("echo kept > note; sync; echo written \"\"down").await?;
        terminal.wait_for("written down", OUTPUT_LIMIT).await?;
        ada.client.act(&routes::WORKSPACE_STOP, &[&workspace.id]).await?;
        ada.workspace_until(workspace.id, WorkspaceState::Stopped).await?;
        ensure!(lost(&mut terminal).await? == close_code::ENDED, "the viewer is told that it is stopped");
        ada.client.act(&routes::WORKSPACE_START, &[&workspace.id]).await?;
        ada.workspace_until(workspace.id, WorkspaceState::Running).await?;
        come_back(&mut terminal).await?;
        terminal.type_line("cat note").await?;
        terminal.wait_for("kept\r\n", OUTPUT_LIMIT).await?;
        delete_all_of(world, &ada, workspace.id, workspace.node.id).await
    })
    .await
}

#[tokio::test]
async fn the_next_workspace_takes_a_warm_node_and_starts_fast() -> Result<()> {
    story(Setting::default(), async |world| {
        let (ada, bob) = (world.person("ada").await?, world.person("bob").await?);
        let first = ada.running().await?;
        ada.client.delete_workspace(first.id).await?;
        warm(&ada, first.node.id).await?;
        let others = bob.running().await?;
        ensure!(others.node.id != first.node.id, "a warm node is warm for its own user only");
        let asked = Instant::now();
        let second = ada.running().await?;
        ensure!(asked.elapsed() < WARM_LIMIT, "it took {:?}", asked.elapsed());
        ensure!(second.node.id == first.node.id, "the same node");
        ensure!(
            second.placement_explanation.contains("was warm in the same region"),
            "{}",
            second.placement_explanation
        );
        ensure!(world.cloud.answers("create_server").await?.len() == 2, "one machine each, and no other");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_warm_node_is_destroyed_when_its_time_is_over() -> Result<()> {
    story(Setting::default().var("RINGFENCE_IDLE_TIMEOUT_SECS", 2), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        ada.client.delete_workspace(workspace.id).await?;
        world.nothing_is_left().await?;
        ended_because(&ada, workspace.node.id, "idle").await
    })
    .await
}

#[tokio::test]
async fn an_ephemeral_node_ends_with_its_workspace() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.create_isolated(Isolation::Ephemeral).await?;
        ada.workspace_until(workspace.id, WorkspaceState::Running).await?;
        ada.client.delete_workspace(workspace.id).await?;
        world.nothing_is_left().await?;
        ended_because(&ada, workspace.node.id, "workspace_gone").await
    })
    .await
}

#[tokio::test]
async fn a_hard_deadline_ends_a_node_that_is_in_use() -> Result<()> {
    story(Setting::default().var("RINGFENCE_EPHEMERAL_LIFETIME_SECS", 15), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.create_isolated(Isolation::Ephemeral).await?;
        ada.workspace_until(workspace.id, WorkspaceState::Running).await?;
        let mut terminal = quiet_shell(&ada, workspace.id).await?;
        ensure!(lost(&mut terminal).await? == close_code::ENDED, "the viewer is told that it is over");
        world.nothing_is_left().await?;
        ended_because(&ada, workspace.node.id, "lifetime_over").await
    })
    .await
}

#[tokio::test]
async fn a_drained_node_goes_with_its_last_workspace() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let first = ada.running().await?;
        ada.client.act(&routes::NODE_DRAIN, &[&first.node.id]).await?;
        let second = ada.running().await?;
        ensure!(second.node.id != first.node.id, "a draining node takes no workspace");
        ada.client.delete_workspace(first.id).await?;
        ada.node_until(first.node.id, NodeState::Gone).await?;
        ended_because(&ada, first.node.id, "drained").await
    })
    .await
}

#[tokio::test]
async fn a_machine_whose_agent_never_reports_is_destroyed() -> Result<()> {
    let setting = Setting::default().var("RINGFENCE_BOOTING_SECS", 4).cloud("--boot-delay-ms", 60_000);
    story(setting, async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.create().await?;
        let failed = ada.workspace_until(workspace.id, WorkspaceState::Failed).await?;
        ensure!(failed.failure.is_some(), "its owner is told why");
        world.nothing_is_left().await?;
        ended_because(&ada, workspace.node.id, "boot_timeout").await
    })
    .await
}

async fn only_machine(world: &World) -> Result<u64> {
    let machines = world.cloud.machines().await?;
    ensure!(machines.len() == 1, "{} machines", machines.len());
    Ok(machines[0].id)
}

async fn warm(person: &Person, node: NodeId) -> Result<()> {
    until("the node to be warm", LIMIT, async || Ok(person.client.node(node).await?.warm_since_at.is_some())).await
}

async fn ended_because(person: &Person, node: NodeId, code: &str) -> Result<()> {
    let view = person.client.node(node).await.context("a node that is gone can still be read")?;
    ensure!(
        view.state == NodeState::Gone && view.failure.as_deref() == Some(code),
        "{}: {:?}",
        view.state,
        view.failure
    );
    Ok(())
}

async fn delete_all_of(world: &World, person: &Person, workspace: WorkspaceId, node: NodeId) -> Result<()> {
    person.client.delete_workspace(workspace).await?;
    person.workspace_until(workspace, WorkspaceState::Gone).await?;
    person.client.delete_node(node).await?;
    world.nothing_is_left().await
}
