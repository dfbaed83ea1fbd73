//! The database is away, as when its daily quota is spent: machines whose time has come are deleted all the same, by what their
//! objects keep (I2, I7).

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::state::{NodeState, WorkspaceState};
use xtask::client::{until, until_some};
use xtask::clock;

use crate::idleness::server_status;
use crate::viewing::{come_back, follow_until, quiet_shell};
use crate::world::{LIMIT, Person, Setting, World, story};

/// How long a node lives here: long enough for its workspace to run on a busy machine, short enough to wait for.
const LIFETIME_SECS: u64 = 40;
/// How long a silence may last.
const SILENCE: Duration = Duration::from_secs(10);
/// After what time without use a workspace is stopped.
const IDLE: Duration = Duration::from_secs(16);
/// How long after it is ordered the database goes away, and for how long: for longer than either.
const BEFORE: Duration = Duration::from_secs(14);
const AWAY: Duration = Duration::from_secs(24);
/// How late a delayed answer is: time enough to cut the database off meanwhile.
const DELAY_MS: u64 = 3000;

#[tokio::test]
async fn a_machine_past_its_hard_deadline_is_deleted_while_the_database_is_away() -> Result<()> {
    let lifetime = Setting::default().var("RINGFENCE_USER_LIFETIME_SECS", LIFETIME_SECS);
    story(lifetime, async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        cut_the_database(world).await?;
        ensure!(ada.client.workspaces().await.is_err(), "the database is away");
        until("the machine to be gone", LIMIT, async || Ok(world.stack.cloud_servers().await? == 0)).await?;
        ensure!(ada.client.workspaces().await.is_err(), "it still is");
        bring_it_back(world).await?;
        let gone = ada.node_until(workspace.node.id, NodeState::Gone).await?;
        ensure!(gone.failure.as_deref() == Some("lifetime_over"), "{:?}", gone.failure);
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn what_was_being_deleted_is_deleted_while_the_database_is_away() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        // Its object has written down what it needs, and asks the provider, when everything stops.
        world.cloud.delay("get_server", DELAY_MS).await?;
        ada.client.delete_node(workspace.node.id).await?;
        until("the provider to be asked", LIMIT, async || Ok(world.cloud.fired("get_server").await? == 1)).await?;
        cut_the_database(world).await?;
        until("the machine to be gone", LIMIT, async || Ok(world.stack.cloud_servers().await? == 0)).await?;
        bring_it_back(world).await?;
        ada.node_until(workspace.node.id, NodeState::Gone).await?;
        world.nothing_is_left().await
    })
    .await
}

/// Its agent cannot be told anything, and knows that its control plane is there: that is no silence.
#[tokio::test]
async fn what_works_goes_on_while_the_database_is_away_for_longer_than_a_silence_may_last() -> Result<()> {
    story(impatient(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        let mut terminal = quiet_shell(&ada, workspace.id).await?;
        terminal.type_line("echo at \"\"work; while :; do :; done").await?;
        terminal.wait_for("at work\r\n", LIMIT).await?;
        // Its link ends with the control plane that is replaced.
        cut_the_database(world).await?;
        stays_on(world, SILENCE + Duration::from_secs(6)).await?;
        bring_it_back(world).await?;
        still_runs(&ada, workspace.id).await?;
        come_back(&mut terminal).await?;
        terminal.type_bytes(b"\x03").await?;
        terminal.type_line("echo still \"\"here").await?;
        follow_until(&mut terminal, "still here\r\n").await?;
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

/// And a link that is there stays, with its terminals: what could not be recorded is told again when the database is back.
#[tokio::test]
async fn a_terminal_goes_on_while_the_database_is_away_and_nothing_is_taken_to_be_idle_for_it() -> Result<()> {
    story(impatient(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        let (from, until_then) = (clock::now() + BEFORE, clock::now() + BEFORE + AWAY);
        let span = format!("database:{}-{}", from.get(), until_then.get());
        world.stack.set_var("RINGFENCE_FAULT", span).await;
        world.restart_control_plane().await?;
        // Once its agent has come back.
        let shell = async || Ok(quiet_shell(&ada, workspace.id).await.ok());
        let mut terminal = until_some("a terminal", BEFORE, shell).await?;
        let is_away = async || Ok(ada.client.workspaces().await.is_err());
        until("the database to be away", LIMIT, is_away).await?;
        ensure!(clock::now() < until_then, "the machine is too slow for this");
        terminal.type_line("while :; do :; done & echo at \"\"work").await?;
        terminal.wait_for("at work\r\n", AWAY).await?;
        let mut echoes = 0;
        while clock::now() + Duration::from_secs(2) < until_then {
            echoes += 1;
            terminal.type_line(&format!("echo \"\"echo {echoes}")).await?;
            // Whoever waits for it, and does not come back to it, sees that the socket stays.
            terminal.wait_for(&format!("echo {echoes}\r\n"), AWAY).await?;
            // Not a wait for anything: a line now and then, all through the absence.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        ensure!(echoes > 10, "{echoes}");
        until("the database to be back", LIMIT, async || Ok(ada.client.workspaces().await.is_ok())).await?;
        still_runs(&ada, workspace.id).await?;
        terminal.type_line("kill %1; echo and \"\"here").await?;
        follow_until(&mut terminal, "and here\r\n").await?;
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

/// For as long as its idle time and more, its agent connected.
async fn still_runs(ada: &Person, id: WorkspaceId) -> Result<()> {
    until("its agent to have told again what there is", LIMIT, async || {
        let view = ada.client.workspace(id).await?;
        ensure!(view.state == WorkspaceState::Running, "{} ({})", view.state, view.reason);
        Ok(view.activity.is_some_and(|used| clock::now().since(used.until_at) < IDLE / 2))
    })
    .await
}

async fn stays_on(world: &World, time: Duration) -> Result<()> {
    let began = Instant::now();
    until("time to pass", LIMIT, async || {
        ensure!(server_status(world).await? == "running", "the machine was switched off");
        Ok(began.elapsed() > time)
    })
    .await
}

fn impatient() -> Setting {
    Setting::default()
        .var("RINGFENCE_DEAD_MAN_AFTER_SECS", SILENCE.as_secs())
        .var("RINGFENCE_WORKSPACE_IDLE_SECS", IDLE.as_secs())
}

async fn cut_the_database(world: &World) -> Result<()> {
    world.stack.set_var("RINGFENCE_FAULT", "database").await;
    world.restart_control_plane().await
}

async fn bring_it_back(world: &World) -> Result<()> {
    world.stack.set_var("RINGFENCE_FAULT", "").await;
    world.restart_control_plane().await
}
