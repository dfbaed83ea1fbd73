//! The main job on a machine that boots for real: from the click to a prompt in a hardened container, and back to nothing.

use anyhow::{Context, Result, ensure};
use ringfence_protocol::state::{NodeState, PostureOutcome, WorkspaceState};

use crate::machine::{self, COMMAND_LIMIT, On, on_machines};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_on_podman_is_made_used_stopped_started_and_removed_without_a_trace() -> Result<()> {
    on_machines(|setting| On::Podman.setting(setting), async |world| whole_job(world, On::Podman).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_on_docker_is_made_used_stopped_started_and_removed_without_a_trace() -> Result<()> {
    on_machines(|setting| On::Docker.setting(setting), async |world| whole_job(world, On::Docker).await).await
}

async fn whole_job(world: &World, engine: On) -> Result<()> {
    let ada = world.person("ada").await?;
    let workspace = ada.runs(&ada.params()).await?;
    ensure!(workspace.node.engine == Some(engine.kind()), "the engine is {:?}", workspace.node.engine);
    let node = workspace.node.id;

    let posture = ada.node_posture(node).await?;
    ensure!(posture.holds, "the machine's posture does not hold: {posture:?}");
    // No must: a machine is as safe without. Ours have it all the same.
    let timers = posture.checks.iter().find(|check| check.id == "timers").context("timers are not looked at")?;
    ensure!(timers.outcome == PostureOutcome::Pass, "{timers:?}");
    let inside = world.workspace_posture_of(&ada, workspace.id).await?;
    ensure!(inside.holds, "the workspace's posture does not hold: {inside:?}");

    let mut shell = ada.shell(workspace.id).await?;
    ensure!(shell.ok("id -u").await? == "1000", "it runs as somebody else");
    ensure!(shell.ok("pwd").await? == "/workspace", "it begins somewhere else");
    ensure!(shell.run("touch /usr/x").await?.code != 0, "the root can be written");
    shell.ok("echo kept > /workspace/file && echo kept > /sessions/file && echo lost > /tmp/file").await?;
    shell.ok("(sleep 1000 &) ; true").await?;

    // The connection breaks in the middle of output: every line arrives, once.
    shell.terminal().type_line("seq 1 20000; echo all ''printed").await?;
    let mut output = shell.terminal().wait_for("\n3000\r\n", COMMAND_LIMIT).await?;
    shell.terminal().lose_connection();
    shell.terminal().reopen().await?;
    output.extend(shell.terminal().wait_for("all printed", COMMAND_LIMIT).await?);
    let text = String::from_utf8_lossy(&output).into_owned();
    let numbers: Vec<u32> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
    ensure!(numbers.iter().copied().eq(1..=20_000), "numbers were lost or doubled: {} of them", numbers.len());

    ada.client.act(&ringfence_protocol::routes::WORKSPACE_STOP, &[&workspace.id]).await?;
    ada.workspace_until(workspace.id, WorkspaceState::Stopped).await?;
    let left = world.inside_ok(node, "ps -eo args | grep -c '[s]leep 1000' || true").await?;
    ensure!(left.trim() == "0", "what ran in it outlives it: {left}");
    ada.client.act(&ringfence_protocol::routes::WORKSPACE_START, &[&workspace.id]).await?;
    ada.workspace_until(workspace.id, WorkspaceState::Running).await?;
    let mut shell = ada.shell(workspace.id).await?;
    ensure!(shell.ok("cat /workspace/file /sessions/file").await? == "kept\nkept", "files are lost by a stop");
    ensure!(shell.run("test -e /tmp/file").await?.code != 0, "/tmp outlived a stop");

    ada.client.delete_workspace(workspace.id).await?;
    ada.workspace_ended(workspace.id).await?;
    nothing_of_it_is_left(world, node, engine).await?;
    ada.client.delete_node(node).await?;
    ada.node_until(node, NodeState::Gone).await?;
    Ok(())
}

/// Containers, volumes, networks, mounts, loop devices, files and processes of the workspace are gone from its machine.
async fn nothing_of_it_is_left(world: &World, node: ringfence_protocol::ids::NodeId, engine: On) -> Result<()> {
    let tool = engine.cli();
    for (what, command) in [
        ("containers", format!("{tool} ps -aq")),
        ("volumes", format!("{tool} volume ls -q")),
        (
            "networks",
            format!("{tool} network ls --format '{{{{.Name}}}}' | grep -vxE 'podman|bridge|host|none' || true"),
        ),
        ("mounts", "grep -c /var/lib/ringfence/volumes /proc/self/mounts | grep -vx 0 || true".into()),
        (
            "files",
            "find /var/lib/ringfence/volumes /run/ringfence -mindepth 1 -name '*wsp_*' 2>/dev/null || true".into(),
        ),
        ("proxies", "ps -eo comm | grep -x tinyproxy || true".into()),
    ] {
        let left = world.inside_ok(node, &command).await?;
        ensure!(left.trim().is_empty(), "{what} are left: {left}");
    }
    Ok(())
}

/// What the driver must be able to do is checked before anything else is believed.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_runs_real_systemd_and_cloud_init() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            let ada = world.person("ada").await?;
            let node = ada.runs(&ada.params()).await?.node.id;
            ensure!(world.inside_ok(node, "cat /proc/1/comm").await?.trim() == "systemd", "no systemd");
            let ended = world.inside_ok(node, "systemctl is-active cloud-init.target").await?;
            ensure!(ended.trim() == "active", "cloud-init did not come to its end: {ended}");
            ensure!(machine::driver().is_some(), "no driver");
            Ok(())
        },
    )
    .await
}
