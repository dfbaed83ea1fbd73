//! What nobody uses ends by itself, and what works does not: in workerd, with whole agents and terminals.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::params::KeepAliveParams;
use ringfence_protocol::routes;
use ringfence_protocol::state::{ActivityCause, EndingCause, NodeState, SaveOutcome, WorkspaceState};
use ringfence_protocol::views::{EventKind, EventsView, WorkspaceView};
use serde_json::Value;
use xtask::client::{Terminal, until, until_some};

use crate::support::socket::EventsSocket;
use crate::viewing::{OUTPUT_LIMIT, quiet_shell};
use crate::world::{LIMIT, Person, Setting, World, story};

const IDLE: Duration = Duration::from_secs(8);

fn impatient() -> Setting {
    Setting::default()
        .var("RINGFENCE_WORKSPACE_IDLE_SECS", IDLE.as_secs())
        .var("RINGFENCE_STOP_KEEP_SECS", 6)
        .var("RINGFENCE_IDLE_TIMEOUT_SECS", 1)
}

#[tokio::test]
async fn with_nothing_but_open_tabs_a_workspace_is_warned_of_saved_stopped_kept_and_deleted() -> Result<()> {
    story(impatient(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        let mut terminal = quiet_shell(&ada, workspace.id).await?;
        hook(&mut terminal, "echo kept all of it").await?;
        let token = ada.client.workspace_token(workspace.id, None).await?;
        let mut tab = EventsSocket::open(ada.client.origin(), workspace.id, &token).await?;

        // The tab hears of it while it is open, and the terminal's tab is open to the end.
        ensure!(tab.hears("\"kind\":\"ending_soon\"", LIMIT).await?, "no warning came to the open tab");
        let stopped = ada.workspace_until(workspace.id, WorkspaceState::Stopped).await?;
        ensure!(stopped.reason.contains("not used for 8 seconds"), "{}", stopped.reason);
        ensure!(stopped.ending.as_ref().is_some_and(|ending| ending.cause == EndingCause::KeepOver), "{stopped:?}");
        let told = events(&ada, &workspace).await?;
        let saved = told.iter().find_map(|event| match event {
            EventKind::Saved { outcome, detail, .. } => Some((*outcome, detail.as_str())),
            EventKind::NodeState { .. }
            | EventKind::WorkspaceState { .. }
            | EventKind::BootStep { .. }
            | EventKind::Notice { .. }
            | EventKind::EndingSoon { .. } => None,
        });
        ensure!(saved == Some((SaveOutcome::Saved, "kept all of it")), "{told:?}");

        ada.workspace_until(workspace.id, WorkspaceState::Gone).await?;
        ada.node_until(workspace.node.id, NodeState::Gone).await?;
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn a_job_that_works_survives_the_closing_of_its_tab_and_ends_its_workspaces_life_when_it_ends() -> Result<()> {
    story(impatient(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        let mut terminal = quiet_shell(&ada, workspace.id).await?;
        terminal.type_line("while [ ! -e enough ]; do :; done; echo over").await?;
        drop(terminal);
        let begun = used(&ada, workspace.id).await?.0;
        // Three times as long as it may be idle.
        let last = until_some("the job to be seen at work", LIMIT, async || {
            let (at, cause) = used(&ada, workspace.id).await?;
            Ok((at.since(begun) > IDLE * 3 && cause == ActivityCause::Process).then_some(at))
        })
        .await?;
        ensure!(ada.client.workspace(workspace.id).await?.state == WorkspaceState::Running, "killed at work");
        std::fs::write(home(world, workspace.id).await?.join("enough"), "")?;
        ada.workspace_until(workspace.id, WorkspaceState::Stopped).await?;
        let (at, _) = used(&ada, workspace.id).await?;
        ensure!(at.since(last) < IDLE, "it was taken to be used after its job: {at} after {last}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_owner_keeps_a_workspace_that_nobody_uses_and_its_machine_saves_before_it_is_deleted() -> Result<()> {
    story(impatient(), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        let keep = KeepAliveParams { until_at: None, secs: Some(600) };
        let kept: WorkspaceView = ada.client.send(&routes::WORKSPACE_KEEP_ALIVE, &[&workspace.id], &keep).await?;
        let until_at = kept.keep_alive_until_at.context("it is not kept")?;
        let mut terminal = quiet_shell(&ada, workspace.id).await?;
        hook(&mut terminal, "echo pushed; exit 4").await?;
        let mark = used(&ada, workspace.id).await?.0;
        let ended = until("its idle time to be over", LIMIT, async || {
            let view = ada.client.workspace(workspace.id).await?;
            ensure!(view.state == WorkspaceState::Running, "{}", view.reason);
            let now: Vec<_> = world.rows("SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now").await?;
            let now = now[0]["now"].as_i64().unwrap_or(0);
            Ok(now > mark.get() + 2 * i64::try_from(IDLE.as_millis())?)
        });
        ended.await?;
        let view = ada.client.workspace(workspace.id).await?;
        ensure!(view.ending.is_some_and(|ending| ending.at == until_at), "it ends at another time");

        ada.client.delete_node(workspace.node.id).await?;
        ada.node_until(workspace.node.id, NodeState::Gone).await?;
        let told = events(&ada, &workspace).await?;
        let failed = |event: &EventKind| {
            matches!(event, EventKind::Saved { outcome: SaveOutcome::Failed, detail, .. } if detail.contains("pushed"))
        };
        ensure!(told.iter().any(failed), "the hook's failure is lost: {told:?}");
        world.nothing_is_left().await
    })
    .await
}

#[tokio::test]
async fn a_machine_that_has_lost_its_control_plane_for_too_long_saves_and_switches_itself_off() -> Result<()> {
    story(Setting::default().var("RINGFENCE_DEAD_MAN_AFTER_SECS", 10), async |world| {
        let ada = world.person("ada").await?;
        let workspace = ada.running().await?;
        let mut terminal = quiet_shell(&ada, workspace.id).await?;
        let home = home(world, workspace.id).await?;
        hook(&mut terminal, "echo saved > the-mark").await?;
        world.stack.kill_control_plane().await?;
        until("the machine to be off", LIMIT, async || Ok(server_status(world).await? == "off")).await?;
        ensure!(std::fs::read_to_string(home.join("the-mark"))?.trim() == "saved", "its hook has not run");
        // It costs money still, and its owner can see and delete it.
        world.stack.start_control_plane().await?;
        ada.client.delete_node(workspace.node.id).await?;
        world.nothing_is_left().await
    })
    .await
}

/// Makes a save hook in the workspace of a terminal.
pub async fn hook(terminal: &mut Terminal, script: &str) -> Result<()> {
    let line = format!(
        "mkdir .ringfence; printf '#!/bin/sh\\n%s\\n' '{script}' > .ringfence/save; chmod +x .ringfence/save; echo hook \"\"made"
    );
    terminal.type_line(&line).await?;
    terminal.wait_for("hook made", OUTPUT_LIMIT).await?;
    Ok(())
}

async fn events(person: &Person, workspace: &WorkspaceView) -> Result<Vec<EventKind>> {
    let query = [("node_id", workspace.node.id.to_string()), ("after", "0".into())];
    let events: EventsView = person.client.query(&routes::EVENTS, &query).await?;
    Ok(events.items.into_iter().map(|item| item.event).collect())
}

async fn used(person: &Person, id: WorkspaceId) -> Result<(ringfence_protocol::time::UnixMillis, ActivityCause)> {
    let view = person.client.workspace(id).await?;
    let activity = view.activity.context("no use was told")?;
    Ok((activity.until_at, activity.cause))
}

/// The directory of an unconfined workspace.
async fn home(world: &World, workspace: WorkspaceId) -> Result<std::path::PathBuf> {
    let machine = world.cloud.machines().await?.pop().context("no machine")?;
    Ok(machine.directory.join("state/workspaces").join(workspace.to_string()))
}

/// What the cloud says of the only server.
pub async fn server_status(world: &World) -> Result<String> {
    let url = format!("{}/v1/servers", world.stack.cloud_url());
    let token = &world.stack.secrets().cloud_tokens[0];
    let body = reqwest::Client::new().get(url).bearer_auth(token).send().await?.error_for_status()?.bytes().await?;
    let list: Value = serde_json::from_slice(&body)?;
    Ok(list["servers"][0]["status"].as_str().context("no server")?.to_owned())
}
