//! The cloud answers late, wrongly or not at all: nothing is made twice, nothing is lost (I2, I4, I10).

use anyhow::{Result, ensure};
use ringfence_protocol::params::{AlternativeParams, CreateWorkspaceParams};
use ringfence_protocol::state::{NodeState, WorkspaceState};
use serde_json::json;
use xtask::client::until;

use crate::world::{LIMIT, Person, Setting, World, story};

/// How late a delayed answer is: long beside a DELETE, short beside the settling time of these worlds.
const DELAY_MS: u64 = 3000;

#[tokio::test]
async fn a_workspace_deleted_while_its_node_is_being_made_leaves_nothing() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = create_with_the_call_in_flight(world, &ada).await?;
        ada.client.delete_workspace(workspace.id).await?;
        ada.workspace_until(workspace.id, WorkspaceState::Gone).await?;
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn a_node_deleted_while_it_is_being_made_leaves_nothing() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = create_with_the_call_in_flight(world, &ada).await?;
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await?;
        ensure!(world.cloud.answers("create_server").await? == [Some(201)], "the machine was made once");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_machine_whose_creation_was_not_answered_is_adopted() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        world.cloud.order("create_server", "lose_answer_after_effect").await?;
        let workspace = ada.running().await?;
        ensure!(world.cloud.answers("create_server").await? == [None], "it was asked for once");
        one_server_for(world, &workspace.node.id.to_string()).await?;
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn a_machine_whose_order_was_lost_is_ordered_again() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        world.cloud.order("create_server", "lose_answer_before_effect").await?;
        let workspace = ada.running().await?;
        ensure!(world.cloud.answers("create_server").await? == [None, Some(201)], "it was asked for again");
        one_server_for(world, &workspace.node.id.to_string()).await?;
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn deleting_after_a_lost_creation_leaves_nothing_whether_or_not_it_took_place() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        for fault in ["lose_answer_after_effect", "lose_answer_before_effect"] {
            let before = world.cloud.fired("create_server").await?;
            world.cloud.order("create_server", fault).await?;
            let workspace = ada.create().await?;
            until("the order to be lost", LIMIT, async || Ok(world.cloud.fired("create_server").await? > before))
                .await?;
            ada.client.delete_node(workspace.node.id).await?;
            world.nothing_is_left().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_deletion_that_was_not_answered_is_seen_through() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        for fault in ["lose_answer_after_effect", "lose_answer_before_effect", "rate_limited"] {
            let workspace = ada.running().await?;
            world.cloud.order("delete_server", fault).await?;
            ada.client.delete_node(workspace.node.id).await?;
            ada.node_until(workspace.node.id, NodeState::Gone).await?;
            world.nothing_is_left().await?;
        }
        ensure!(world.cloud.fired("delete_server").await? == 3, "each of the faults took place");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_provider_that_asks_to_slow_down_is_asked_later() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let order = json!({ "on": "create_server", "fault": "rate_limited", "retry_after_secs": 2, "times": 2 });
        world.cloud.order_with(order).await?;
        let asked = std::time::Instant::now();
        let workspace = ada.running().await?;
        ensure!(asked.elapsed().as_secs() >= 4, "Retry-After was 2 s, twice");
        ensure!(world.cloud.answers("create_server").await? == [Some(429), Some(429), Some(201)]);
        one_server_for(world, &workspace.node.id.to_string()).await?;
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn a_node_without_a_machine_fails_with_the_reason_and_is_destroyed() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let sold_out = json!({ "on": "create_server", "fault": "resource_unavailable", "times": 2 });
        world.cloud.order_with(sold_out).await?;
        let hel1 = AlternativeParams { region: Some("hel1".into()), size: None };
        let params = CreateWorkspaceParams { alternatives: Some(vec![hel1]), ..CreateWorkspaceParams::default() };
        let workspace = ada.client.create_workspace(&params).await?;
        let failed = ada.workspace_until(workspace.id, WorkspaceState::Failed).await?;
        ensure!(failed.failure.as_deref() == Some("capacity"), "the workspace says {:?}", failed.failure);
        let gone = ada.node_until(workspace.node.id, NodeState::Gone).await?;
        ensure!(gone.failure.as_deref() == Some("capacity"), "the node says {:?}", gone.failure);
        ensure!(gone.reason.contains("no machine of this size free"), "the owner is told: {}", gone.reason);
        ensure!(world.cloud.answers("create_server").await? == [Some(412), Some(412)], "each was tried once");
        world.nothing_is_left().await?;
        ada.client.delete_workspace(workspace.id).await?;
        ada.workspace_until(workspace.id, WorkspaceState::Gone).await.map(drop)
    })
    .await
}

#[tokio::test]
async fn where_there_is_no_machine_free_the_next_is_ordered() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        world.cloud.order("create_server", "resource_unavailable").await?;
        let workspace = ada.create().await?;
        let running = ada.workspace_until(workspace.id, WorkspaceState::Running).await?;
        let (first, second) = (&workspace.node, &running.node);
        ensure!((&first.region, &first.size) != (&second.region, &second.size), "it is another machine: {second:?}");
        ensure!(world.cloud.answers("create_server").await? == [Some(412), Some(201)], "one was made");
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn a_cloud_that_is_away_for_a_while_is_found_again() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let first = ada.running().await?;
        world.stack.kill_local_cloud().await?;
        let second = ada.create_isolated(ringfence_protocol::state::Isolation::Ephemeral).await?;
        ada.client.delete_node(first.node.id).await?;
        ada.node_until(first.node.id, NodeState::Destroying).await?;
        ada.node_until(second.node.id, NodeState::Provisioning).await?;
        world.stack.start_local_cloud().await?;
        ada.workspace_until(second.id, WorkspaceState::Running).await?;
        ada.node_until(first.node.id, NodeState::Gone).await?;
        ada.client.delete_node(second.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

/// A workspace whose node's create call has reached the cloud and is not answered yet.
async fn create_with_the_call_in_flight(
    world: &World,
    person: &Person,
) -> Result<ringfence_protocol::views::WorkspaceView> {
    world.cloud.delay("create_server", DELAY_MS).await?;
    let workspace = person.create().await?;
    until("the create call to be on its way", LIMIT, async || Ok(world.cloud.fired("create_server").await? == 1))
        .await?;
    Ok(workspace)
}

/// The cloud has one server, and it is this node's.
async fn one_server_for(world: &World, node: &str) -> Result<()> {
    let machines = world.cloud.machines().await?;
    let names: Vec<&str> = machines.iter().map(|machine| machine.name.as_str()).collect();
    let unique_part = node.trim_start_matches("nod_");
    ensure!(names.len() == 1 && names[0].contains(unique_part), "servers {names:?} for node {node}");
    Ok(())
}
