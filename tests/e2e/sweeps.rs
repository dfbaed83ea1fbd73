//! Sweeps, in workerd and at a cloud: what was left behind is ended, what is not ours is not touched (I2).

use anyhow::{Context, Result, ensure};
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::routes;
use ringfence_protocol::state::NodeState;
use ringfence_protocol::sweeps::{SweepActionKind, SweepActionView, SweepParams, SweepView};
use ringfence_protocol::views::ReadyView;
use serde_json::{Value, json};
use xtask::client::{Client, until};

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
