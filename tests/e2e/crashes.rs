//! The control plane dies at every kind of moment: no machine is made twice, no alarm is lost, nothing leaks (I2, I7).

use std::time::Duration;

use anyhow::{Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ringfence_protocol::state::{Isolation, WorkspaceState};
use xtask::client::until;

use crate::world::{LIMIT, Person, Setting, World, story};

/// How late a delayed answer is: time enough to kill whoever waits for it.
const DELAY_MS: u64 = 3000;
/// Rounds of a crash at a random moment.
const ROUNDS: u64 = 8;
/// The latest of the random moments: what a round does is over by then, one way or the other.
const LATEST_MS: u64 = 900;
/// So that a round that fails can be looked at again; `RINGFENCE_TEST_SEED` tries another one.
const SEED: u64 = 1;

#[tokio::test]
async fn a_crash_between_intent_and_effect_makes_the_machine_once() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        world.cloud.delay("create_server", DELAY_MS).await?;
        let workspace = ada.create().await?;
        crash_during(world, "create_server").await?;
        ada.workspace_until(workspace.id, WorkspaceState::Running).await?;
        ensure!(world.cloud.machines().await?.len() == 1, "one machine, adopted");
        let made = world.cloud.answers("create_server").await?;
        ensure!(made.iter().filter(|status| **status == Some(201)).count() == 1, "made once: {made:?}");
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn a_node_deleted_after_a_crash_during_its_creation_leaves_nothing() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        world.cloud.delay("create_server", DELAY_MS).await?;
        let workspace = ada.create().await?;
        crash_during(world, "create_server").await?;
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn a_node_deleted_before_a_crash_during_its_creation_leaves_nothing() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        world.cloud.delay("create_server", DELAY_MS).await?;
        let workspace = ada.create().await?;
        until("the create call to be on its way", LIMIT, async || Ok(world.cloud.fired("create_server").await? == 1))
            .await?;
        ada.client.delete_node(workspace.node.id).await?;
        world.restart_control_plane().await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn a_crash_right_after_the_request_loses_no_workspace() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.create().await?;
        world.restart_control_plane().await?;
        ada.workspace_until(workspace.id, WorkspaceState::Running).await?;
        ensure!(world.cloud.machines().await?.len() == 1, "one machine");
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn a_crash_during_the_deletion_loses_no_machine() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        world.cloud.delay("delete_server", DELAY_MS).await?;
        ada.client.delete_node(workspace.node.id).await?;
        crash_during(world, "delete_server").await?;
        // Nobody asks for anything any more: the alarm alone sees it through.
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn an_idle_node_is_destroyed_by_its_alarm_although_the_control_plane_was_down() -> Result<()> {
    story(Setting::default().var("RINGFENCE_IDLE_TIMEOUT_SECS", 3), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        ada.client.delete_workspace(workspace.id).await?;
        until("the node to be warm", LIMIT, async || {
            Ok(ada.client.node(workspace.node.id).await?.warm_since_at.is_some())
        })
        .await?;
        world.restart_control_plane().await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn crashes_at_random_moments_leave_nothing() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let mut random = seeded();
        for _ in 0..ROUNDS {
            // What the request comes to is what the crash makes of it.
            let _ = crash_after(world, &mut random, ada.create()).await?;
            let _ = crash_after(world, &mut random, delete_all(&ada)).await?;
        }
        delete_all(&ada).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn what_was_promised_is_kept_whenever_the_control_plane_crashes() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let mut random = seeded();
        let mut promised = Vec::new();
        for _ in 0..ROUNDS {
            if let Some(Ok(workspace)) = crash_after(world, &mut random, ada.create()).await? {
                promised.push(workspace);
            }
        }
        ensure!(!promised.is_empty(), "no request was answered: the crashes come too early");
        // Also those whose answer was lost.
        for workspace in ada.client.workspaces().await? {
            ada.workspace_until(workspace.id, WorkspaceState::Running).await?;
            promised.retain(|other| other.id != workspace.id);
        }
        ensure!(promised.is_empty(), "promised, and not there: {promised:?}");
        let nodes = ada.client.nodes().await?.len();
        ensure!(world.cloud.machines().await?.len() == nodes, "one machine for each of {nodes} nodes");
        delete_all(&ada).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn the_cloud_and_the_control_plane_crash_together_and_nothing_is_left() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        let half_made = ada.create_isolated(Isolation::Ephemeral).await?;
        tokio::try_join!(world.stack.kill_control_plane(), world.stack.kill_local_cloud())?;
        tokio::try_join!(world.stack.start_local_cloud(), world.stack.start_control_plane())?;
        // Machines boot anew; what was promised is kept.
        ada.workspace_until(workspace.id, WorkspaceState::Running).await?;
        ada.workspace_until(half_made.id, WorkspaceState::Running).await?;
        ensure!(world.cloud.machines().await?.len() == 2, "one machine a node");
        delete_all(&ada).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn an_object_that_panics_in_its_alarm_and_on_a_message_does_its_job() -> Result<()> {
    story(Setting::default().var("RINGFENCE_FAULT", "message,alarm").with_panics(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        ada.client.delete_workspace(workspace.id).await?;
        ada.workspace_until(workspace.id, WorkspaceState::Gone).await?;
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await?;
        panicked_in(world, &["message", "alarm"])
    })
    .await
}

#[tokio::test]
async fn a_panic_of_one_object_does_not_keep_another_from_its_job() -> Result<()> {
    story(Setting::default().var("RINGFENCE_FAULT", "alarm").with_panics(), async |world| {
        let ada = world.person("ada").await?;
        world.cloud.delay("create_server", 2 * DELAY_MS).await?;
        let first = ada.create_isolated(Isolation::Ephemeral).await?;
        // The first has its own panic behind it and waits for the cloud when the second one's takes its memory away.
        until("the create call to be on its way", LIMIT, async || Ok(world.cloud.fired("create_server").await? == 1))
            .await?;
        let second = ada.create_isolated(Isolation::Ephemeral).await?;
        for workspace in [first, second] {
            ada.workspace_until(workspace.id, WorkspaceState::Running).await?;
        }
        ensure!(world.cloud.machines().await?.len() == 2, "one machine a node");
        delete_all(&ada).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn an_object_that_panics_when_it_is_armed_stores_nothing() -> Result<()> {
    story(Setting::default().var("RINGFENCE_FAULT", "fetch").with_panics(), async |world| {
        let ada = world.person("ada").await?;
        // The panic takes the request with it where both run in one isolate; the caller is told at once.
        ensure!(tokio::time::timeout(LIMIT, ada.create()).await?.is_err(), "no node could be armed");
        ensure!(ada.client.workspaces().await?.is_empty(), "a row without an alarm");
        ensure!(ada.client.nodes().await?.is_empty(), "a row without an alarm");
        ensure!(world.cloud.answers("create_server").await?.is_empty(), "a machine without a row");
        panicked_in(world, &["fetch"])
    })
    .await
}

fn panicked_in(world: &World, handlers: &[&str]) -> Result<()> {
    let log = std::fs::read_to_string(world.stack.log("control-plane"))?;
    for handler in handlers {
        ensure!(log.contains(&format!("ordered this panic in {handler}")), "no panic in {handler}");
    }
    Ok(())
}

/// Kills the control plane while the cloud is about to carry out its call, and starts it again.
async fn crash_during(world: &World, operation: &str) -> Result<()> {
    until("the call to be on its way", LIMIT, async || Ok(world.cloud.fired(operation).await? == 1)).await?;
    world.restart_control_plane().await
}

/// Does something with the control plane, which dies at a random moment of it or soon after.
async fn crash_after<T>(
    world: &World,
    random: &mut StdRng,
    work: impl Future<Output = Result<T>>,
) -> Result<Option<Result<T>>> {
    let moment = Duration::from_millis(random.random_range(0..LATEST_MS));
    let crash = async {
        // Not a wait for something to have happened: the moment itself is what is tried.
        tokio::time::sleep(moment).await;
        world.restart_control_plane().await
    };
    let (crashed, result) = tokio::join!(crash, tokio::time::timeout(LIMIT, work));
    crashed?;
    Ok(result.ok())
}

fn seeded() -> StdRng {
    let seed = std::env::var("RINGFENCE_TEST_SEED").ok().and_then(|text| text.parse().ok());
    StdRng::seed_from_u64(seed.unwrap_or(SEED))
}

async fn delete_all(person: &Person) -> Result<()> {
    for node in person.client.nodes().await? {
        person.client.delete_node(node.id).await?;
    }
    Ok(())
}
