//! Sweeps, in workerd and at a cloud: what was left behind is ended, what is not ours is not touched (I2).

use anyhow::{Context, Result, ensure};
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::params::{ForgetNodeParams, PauseProvisioningParams};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes;
use ringfence_protocol::state::{Isolation, NodeState};
use ringfence_protocol::sweeps::{SweepActionKind, SweepActionView, SweepParams, SweepView};
use ringfence_protocol::views::{NodeView, ProvisioningView, ReadyView};
use serde_json::{Value, json};
use xtask::client::{Client, Refused, until};

use crate::world::{LIMIT, Person, Setting, World, story};

/// The cron of wrangler.toml.
const EVERY_MINUTE: &str = "* * * * *";

#[tokio::test]
async fn a_machine_whose_node_is_gone_is_deleted_and_a_foreign_one_is_not_touched() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let admin = admin(world).await?;
        let node = gone_node(&ada).await?;
        let installation = world.stack.secrets().installation_id.clone();
        let ours = json!({ "ringfence-installation": installation, "ringfence-node": node.to_string() });
        let leftover = server(world, "left-over", &ours).await?;
        let theirs = json!({ "ringfence-installation": "another", "ringfence-node": node.to_string() });
        let foreign = [server(world, "theirs", &theirs).await?, server(world, "web-1", &json!({})).await?];

        let told = sweep(&admin, true).await?;
        let deletions = of(&told, SweepActionKind::DeleteMachine);
        ensure!(told.dry_run && deletions.len() == 1 && !deletions[0].done, "the dry run tells: {told:?}");
        ensure!(deletions[0].subject == leftover, "{deletions:?}");
        ensure!(world.stack.cloud_servers().await? == 3, "the dry run changes nothing");
        let tried = "SELECT id FROM provider_credentials WHERE sweep_tried_at_ms IS NOT NULL";
        ensure!(world.rows(tried).await?.is_empty(), "the dry run writes nothing");

        // Nobody asks: the cron does it.
        world.stack.run_cron(EVERY_MINUTE).await?;
        until("the machine to be gone", LIMIT, async || Ok(world.stack.cloud_servers().await? == 2)).await?;
        let audited =
            world.rows("SELECT subject FROM audit WHERE action = 'machine.delete' AND actor = 'sweep'").await?;
        ensure!(audited.len() == 1 && audited[0]["subject"] == node.to_string(), "{audited:?}");
        let again = sweep(&admin, false).await?;
        ensure!(of(&again, SweepActionKind::DeleteMachine).is_empty(), "nothing is left to do: {again:?}");
        ensure!(world.stack.cloud_servers().await? == 2, "others' machines stay");
        for id in foreign {
            delete_server(world, &id).await?;
        }
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn a_machine_without_a_row_is_deleted_after_a_while() -> Result<()> {
    story(Setting::default().var("RINGFENCE_STRAY_SECS", 1), async |world| {
        world.person("ada").await?;
        let admin = admin(world).await?;
        let installation = world.stack.secrets().installation_id.clone();
        let unknown = NodeId::from_entropy([9; 13]).to_string();
        server(world, "stray", &json!({ "ringfence-installation": installation, "ringfence-node": unknown })).await?;
        let first = sweep(&admin, false).await?;
        ensure!(of(&first, SweepActionKind::LeaveMachine).len() == 1, "it is watched first: {first:?}");
        ensure!(world.stack.cloud_servers().await? == 1, "and left alone");
        until("it to be deleted", LIMIT, async || {
            sweep(&admin, false).await?;
            Ok(world.stack.cloud_servers().await? == 0)
        })
        .await
    })
    .await
}

#[tokio::test]
async fn a_node_ends_whose_machine_was_deleted_at_the_cloud() -> Result<()> {
    let setting = Setting::default().var("RINGFENCE_SETTLE_SECS", 1).var("RINGFENCE_SILENCE_SECS", 1);
    story(setting, async |world| {
        let ada = world.person("ada").await?;
        let admin = admin(world).await?;
        let workspace = ada.running().await?;
        let node = ada.client.node(workspace.node.id).await?;
        let untouched = sweep(&admin, false).await?;
        ensure!(of(&untouched, SweepActionKind::EndNode).is_empty(), "{untouched:?}");
        delete_server(world, &node.provider_instance_id.context("it has a machine")?).await?;
        until("its node to be gone", LIMIT, async || {
            sweep(&admin, false).await?;
            Ok(ada.client.node(node.id).await?.state == NodeState::Gone)
        })
        .await?;
        let (node, workspace) = (ada.client.node(node.id).await?, ada.client.workspace(workspace.id).await?);
        ensure!(node.failure.as_deref() == Some("machine_gone"), "{node:?}");
        ensure!(workspace.failure.as_deref() == Some("machine_gone"), "{workspace:?}");
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn a_node_whose_alarm_is_lost_is_ended() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        // Its object's alarm is set for the deadline that there was: from now on nobody comes for the new one.
        world
            .rows("UPDATE nodes SET deadline_at_ms = 1, hard_deadline_at_ms = 1, row_version = row_version + 1")
            .await?;
        world.stack.run_cron(EVERY_MINUTE).await?;
        let gone = ada.node_until(workspace.node.id, NodeState::Gone).await?;
        ensure!(gone.failure.as_deref() == Some("lifetime_over"), "{:?}", gone.failure);
        world.nothing_is_left().await?;
        let ready: ReadyView = ada.client.call(&routes::READYZ, &[]).await?;
        ensure!(ready.ready && !ready.sweeps.is_empty(), "{ready:?}");
        ensure!(ready.sweeps.iter().all(|sweep| sweep.succeeded_at.is_some()), "{ready:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_node_that_cannot_be_destroyed_is_forgotten_and_its_machine_is_found_later() -> Result<()> {
    story(Setting::default().var("RINGFENCE_DESTROYING_SECS", 1), async |world| {
        let ada = world.person("ada").await?;
        let admin = admin(world).await?;
        let node = ada.running().await?.node.id;
        let forget = async |typed: &str| {
            let params = ForgetNodeParams { confirm: typed.to_owned() };
            ada.client.send::<NodeView>(&routes::NODE_FORGET, &[&node], &params).await
        };
        ensure!(code(&forget(&node.to_string()).await) == Some(ErrorCode::Conflict), "it can still be destroyed");
        // The provider answers nothing about this machine from now on.
        let away = json!({ "on": "get_server", "fault": "lose_answer_before_effect", "times": 1000 });
        world.cloud.order_with(away).await?;
        ada.client.delete_node(node).await?;
        until("it to be late", LIMIT, async || Ok(ada.client.node(node).await?.stuck)).await?;
        ensure!(code(&forget("yes").await) == Some(ErrorCode::InvalidBody), "its id is to be typed");
        let gone = forget(&node.to_string()).await?;
        ensure!((gone.state, gone.failure.as_deref()) == (NodeState::Gone, Some("forgotten")), "{gone:?}");
        ensure!(world.stack.cloud_servers().await? == 1, "its machine is still there");
        let audited = world.rows("SELECT subject FROM audit WHERE action = 'node.forget'").await?;
        ensure!(audited.len() == 1, "{audited:?}");
        // The sweep goes on looking, and ends it when it can.
        sweep(&admin, false).await?;
        ensure!(world.stack.cloud_servers().await? == 1, "it cannot be deleted yet");
        world.cloud.forget_faults().await?;
        until("the machine to be gone", LIMIT, async || {
            sweep(&admin, false).await?;
            Ok(world.stack.cloud_servers().await? == 0)
        })
        .await
    })
    .await
}

#[tokio::test]
async fn a_pause_stops_the_making_of_machines_and_nothing_else() -> Result<()> {
    story(Setting::default(), async |world| {
        let ada = world.person("ada").await?;
        let admin = admin(world).await?;
        let running = ada.running().await?;
        let reason = PauseProvisioningParams { reason: "the bill".into() };
        let paused: ProvisioningView = admin.send(&routes::ADMIN_PROVISIONING_PAUSE, &[], &reason).await?;
        ensure!(paused.paused && !paused.by_operator && paused.reason.as_deref() == Some("the bill"), "{paused:?}");
        let refused = ada.create_isolated(Isolation::Ephemeral).await;
        ensure!(code(&refused) == Some(ErrorCode::ProvisioningPaused), "{refused:?}");
        // A place on a node that is there needs no new machine; deleting needs no machine at all.
        let second = ada.running().await?;
        ensure!(second.node.id == running.node.id, "it is on the node that was there");
        ada.client.delete_node(running.node.id).await?;
        world.nothing_is_left().await?;
        ensure!(world.cloud.answers("create_server").await? == [Some(201)], "none was made meanwhile");
        let _: ProvisioningView = admin.call(&routes::ADMIN_PROVISIONING_RESUME, &[]).await?;
        ada.running().await.map(drop)
    })
    .await
}

/// The code of a refusal.
fn code<T>(answer: &Result<T>) -> Option<ErrorCode> {
    answer.as_ref().err()?.downcast_ref::<Refused>()?.code()
}

async fn admin(world: &World) -> Result<Client> {
    Client::sign_in(world.stack.origin(), &world.stack.admin_sign_in_link().await?).await
}

async fn sweep(admin: &Client, dry_run: bool) -> Result<SweepView> {
    let query = SweepParams { dry_run: Some(dry_run) };
    admin.query(&routes::ADMIN_SWEEP, &query).await
}

fn of(view: &SweepView, action: SweepActionKind) -> Vec<SweepActionView> {
    let all = view.sweeps.iter().flat_map(|outcome| outcome.actions.clone());
    all.filter(|found| found.action == action).collect()
}

async fn gone_node(person: &Person) -> Result<NodeId> {
    let node = person.running().await?.node.id;
    person.client.delete_node(node).await?;
    Ok(person.node_until(node, NodeState::Gone).await?.id)
}

/// Orders a server at the cloud without Ringfence.
async fn server(world: &World, name: &str, labels: &Value) -> Result<String> {
    let body =
        json!({ "name": name, "server_type": "cx23", "location": "fsn1", "image": "debian-12", "labels": labels });
    let url = format!("{}/v1/servers", world.stack.cloud_url());
    let token = &world.stack.secrets().cloud_tokens[0];
    let answer = reqwest::Client::new().post(url).bearer_auth(token).json(&body).send().await?;
    let answer: Value = serde_json::from_slice(&answer.error_for_status()?.bytes().await?)?;
    Ok(answer.pointer("/server/id").and_then(Value::as_u64).context("a server without an id")?.to_string())
}

async fn delete_server(world: &World, id: &str) -> Result<()> {
    let url = format!("{}/v1/servers/{id}", world.stack.cloud_url());
    let token = &world.stack.secrets().cloud_tokens[0];
    reqwest::Client::new().delete(url).bearer_auth(token).send().await?.error_for_status()?;
    Ok(())
}
