//! What ends on a machine of its own: a container's save hook runs first, and an agent without its control plane switches the
//! machine off from within its sandbox.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::receipt::ReceiptView;
use ringfence_protocol::routes;
use ringfence_protocol::state::{Isolation, NodeState, SaveOutcome, WorkspaceState};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use xtask::client::until;

use crate::machine::{COMMAND_LIMIT, on_machines};
use crate::world::{Setting, World};

const HOOK: &str = "mkdir .ringfence && printf '#!/bin/sh\\nid -u; echo kept in /sessions\\nid -u > /sessions/saved\\n' > .ringfence/save && chmod +x .ringfence/save";

#[tokio::test(flavor = "multi_thread")]
async fn a_containers_job_keeps_it_and_its_hook_runs_before_it_is_stopped_for_want_of_use() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            let ada = world.person("ada").await?;
            let params = CreateWorkspaceParams { idle_timeout_secs: Some(12), ..ada.params() };
            let workspace = ada.runs(&params).await?;
            let mut shell = ada.shell(workspace.id).await?;
            shell.ok(HOOK).await?;
            shell.terminal().type_line("timeout 40 sh -c 'while :; do :; done'").await?;
            drop(shell);
            let worked = async || {
                let view = ada.client.workspace(workspace.id).await?;
                ensure!(view.state == WorkspaceState::Running, "stopped at work: {}", view.reason);
                let activity = view.activity.context("no use was told")?;
                Ok(activity.until_at.since(workspace.state_since_at) > Duration::from_secs(36))
            };
            until("it to have worked for three times its idle timeout", COMMAND_LIMIT, worked).await?;
            let stopped = ada.workspace_until(workspace.id, WorkspaceState::Stopped).await?;
            ensure!(stopped.reason.contains("not used for 12 seconds"), "{}", stopped.reason);
            let told = ada.told(workspace.node.id).await?;
            ensure!(
                told.iter().any(|line| line.starts_with("1000") && line.ends_with("kept in /sessions")),
                "the hook's output: {told:?}"
            );
            Ok(())
        },
    )
    .await
}

/// Saves a file and prints its hash, as a hook should.
const SAVING: &str = "mkdir .ringfence && printf '#!/bin/sh\\nprintf kept > /sessions/bundle\\nsha256sum /sessions/bundle\\n' > .ringfence/save && chmod +x .ringfence/save";

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_workspaces_receipt_has_what_its_hook_said_and_the_hash_of_what_it_saved() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            let ada = world.person("ada").await?;
            let params = CreateWorkspaceParams { isolation: Some(Isolation::Ephemeral), ..ada.params() };
            let workspace = ada.runs(&params).await?;
            ada.shell(workspace.id).await?.ok(SAVING).await?;
            ada.client.delete_workspace(workspace.id).await?;
            ada.node_until(workspace.node.id, NodeState::Gone).await?;
            let receipt: ReceiptView = ada.client.call(&routes::WORKSPACE_RECEIPT, &[&workspace.id]).await?;
            let saved = receipt.saved.context("its hook left nothing")?;
            ensure!(saved.outcome == SaveOutcome::Saved, "{saved:?}");
            ensure!(saved.output.contains(&format!("{:x}  /sessions/bundle", Sha256::digest("kept"))), "{saved:?}");
            ensure!(saved.output_sha256 == format!("{:x}", Sha256::digest(&saved.output)), "{saved:?}");
            Ok(())
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_agent_was_killed_stays_on_and_one_without_its_control_plane_switches_itself_off() -> Result<()>
{
    let silent = |setting: Setting| setting.var("RINGFENCE_DEAD_MAN_AFTER_SECS", 20);
    on_machines(silent, async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.runs(&ada.params()).await?;
        let node = workspace.node.id;
        world.inside_ok(node, "systemctl kill -s KILL vm-agent.service").await?;
        until("the agent to be back", COMMAND_LIMIT, async || {
            let restarts = world.inside_ok(node, "systemctl show -P NRestarts vm-agent.service").await?;
            let active = world.inside_ok(node, "systemctl is-active vm-agent.service || true").await?;
            Ok(restarts.trim() == "1" && active.trim() == "active")
        })
        .await?;
        ensure!(server_status(world).await? == "running", "an agent that was killed switched its machine off");

        world.stack.kill_control_plane().await?;
        until("the machine to be off", COMMAND_LIMIT, async || Ok(server_status(world).await? == "off")).await?;
        world.stack.start_control_plane().await?;
        ada.client.delete_node(node).await?;
        ada.node_until(node, NodeState::Gone).await?;
        Ok(())
    })
    .await
}

/// What the cloud says of the only server.
pub async fn server_status(world: &World) -> Result<String> {
    let url = format!("{}/v1/servers", world.stack.cloud_url());
    let token = &world.stack.secrets().cloud_tokens[0];
    let body = reqwest::Client::new().get(url).bearer_auth(token).send().await?.error_for_status()?.bytes().await?;
    let list: Value = serde_json::from_slice(&body)?;
    Ok(list["servers"][0]["status"].as_str().context("no server")?.to_owned())
}
