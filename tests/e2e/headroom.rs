//! The database is away, as when its daily quota is spent: machines whose time has come are deleted all the same, by what their
//! objects keep (I2, I7).

use anyhow::{Result, ensure};
use ringfence_protocol::state::NodeState;
use xtask::client::until;

use crate::world::{LIMIT, Setting, World, story};

/// How long a node lives here: long enough for its workspace to run on a busy machine, short enough to wait for.
const LIFETIME_SECS: u64 = 40;
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

async fn cut_the_database(world: &World) -> Result<()> {
    world.stack.set_var("RINGFENCE_FAULT", "database").await;
    world.restart_control_plane().await
}

async fn bring_it_back(world: &World) -> Result<()> {
    world.stack.set_var("RINGFENCE_FAULT", "").await;
    world.restart_control_plane().await
}
