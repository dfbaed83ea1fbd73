//! What becomes of a machine's firewall: a restart of the engine or of the machine does not take it away, and somebody who does is
//! undone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ringfence_protocol::state::{NodeState, WorkspaceState};
use serde_json::json;
use xtask::client::{until, until_some};

use crate::machine::{COMMAND_LIMIT, On, on_machines};
use crate::scans;
use crate::world::World;

/// Every rule of both families, without the counters.
const RULES: &str = "iptables-save -t mangle | grep -e ^-A; ip6tables-save -t mangle | grep -e ^-A";

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_podman_ends_neither_rules_nor_link_nor_a_job() -> Result<()> {
    on_machines(|setting| On::Podman.setting(setting), async |world| survives_a_restart(world, On::Podman).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_docker_ends_neither_rules_nor_link_nor_a_job() -> Result<()> {
    on_machines(|setting| On::Docker.setting(setting), async |world| survives_a_restart(world, On::Docker).await).await
}

/// Speaks for ever to whoever comes first, and to nobody else.
const TALKER: &str = r#"
import socket, time
server = socket.create_server(("198.51.100.10", 8080))
only, _ = server.accept()
server.close()
while True:
    only.send(b"beat\n"); time.sleep(0.2)
"#;

async fn survives_a_restart(world: &World, engine: On) -> Result<()> {
    let ada = world.person("ada").await?;
    let workspace = ada.runs(&ada.params()).await?;
    let node = workspace.node.id;
    let talker = format!("setsid python3 -c '{TALKER}' >/dev/null 2>&1 </dev/null & echo $!");
    let talker = world.outside(&["sh", "-c", &talker]).await?.stdout.trim().to_owned();
    until("the talker to listen", COMMAND_LIMIT, async || {
        Ok(world.outside(&["ss", "-Hltn", "sport = :8080"]).await?.stdout.contains(":8080"))
    })
    .await?;
    let mut shell = ada.shell(workspace.id).await?;
    shell.ok("setsid -f sh -c 'while :; do echo beat >> /workspace/beats; sleep 0.2; done' </dev/null").await?;
    shell.ok("setsid -f sh -c 'nc 198.51.100.10 8080 > /workspace/flow' </dev/null").await?;
    let grows = |file: &str| {
        format!(
            "began=$(wc -l < /workspace/{file}); for _ in $(seq 300); do [ $(wc -l < /workspace/{file}) -le $((began + 5)) ] || exit 0; sleep 0.1; done; exit 1"
        )
    };
    for file in ["beats", "flow"] {
        shell.ok(&format!("( {} )", grows(file))).await.with_context(|| format!("{file} do not begin"))?;
    }
    let connected = async || {
        let rows = world.stack.d1("SELECT connected_at_ms FROM nodes WHERE id = ?1", &[json!(node)]).await?;
        rows.first().and_then(|row| row.get("connected_at_ms").cloned()).context("never connected")
    };
    let containers = format!("{} ps --no-trunc -q", engine.cli());
    let before = (connected().await?, world.inside_ok(node, RULES).await?, world.inside_ok(node, &containers).await?);
    ensure!(before.1.lines().count() > 60 && before.2.lines().count() == 1, "{before:?}");

    world.inside_ok(node, engine.restart()).await?;

    // The shell that hung on the engine may have ended; another opens, in the same container.
    let mut again = ada.shell(workspace.id).await?;
    for file in ["beats", "flow"] {
        again.ok(&format!("( {} )", grows(file))).await.with_context(|| format!("{file} end with the engine"))?;
    }
    let after = (connected().await?, world.inside_ok(node, RULES).await?, world.inside_ok(node, &containers).await?);
    ensure!(after.0 == before.0, "the agent's link was opened anew");
    ensure!(after.1 == before.1, "the rules are others:\n{}\n{}", before.1, after.1);
    ensure!(after.2 == before.2, "the containers are others: {} {}", before.2, after.2);
    ensure!(ada.client.workspace(workspace.id).await?.state == WorkspaceState::Running, "it does not run");
    scans::nothing_answers(world, &scans::addresses(world, node).await?).await?;
    world.outside(&["kill", &talker]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_starts_again_is_shut_before_its_network_and_needs_no_cloud_init() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            let ada = world.person("ada").await?;
            let node = ada.runs(&ada.params()).await?.node.id;
            let targets = scans::addresses(world, node).await?;
            // What listens from the first instant on, so that only a firewall keeps it from being found.
            world.inside_ok(node, LISTENS_AT_EVERY_START).await?;
            let boot_id = "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1";
            let before = world.inside_ok(node, boot_id).await?;
            world.inside(node, "systemctl --no-block reboot").await?;
            let started =
                async || Ok(world.inside(node, boot_id).await.is_ok_and(|id| id.exit == 0 && id.stdout != before));
            until("the machine to start again", scans::BOOT_LIMIT, started).await?;
            let loaded = "systemctl is-active ringfence-firewall.service && systemctl is-active listener.service";
            until("what is there at every start", COMMAND_LIMIT, async || {
                Ok(world.inside(node, loaded).await?.exit == 0)
            })
            .await?;
            scans::nothing_answers(world, &targets).await.context("after it started again")?;
            ensure!(world.inside(node, "test -e /run/cloud-init/disabled").await?.exit == 0, "cloud-init ran again");
            let order =
                "systemctl show -P ActiveEnterTimestampMonotonic ringfence-firewall.service systemd-networkd.service";
            let order = world.inside_ok(node, order).await?;
            let times: Vec<u64> = order.split_whitespace().filter_map(|time| time.parse().ok()).collect();
            ensure!(times.len() == 2 && times[0] < times[1], "the network was there before the firewall: {order}");
            until("the agent to be back", COMMAND_LIMIT, async || {
                Ok(world.inside(node, "systemctl is-active vm-agent.service").await?.exit == 0)
            })
            .await?;
            // Which takes no workspaces for as long as something listens.
            Ok(())
        },
    )
    .await
}

const LISTENS_AT_EVERY_START: &str = "printf '[Unit]\\nDefaultDependencies=no\\n[Service]\\nExecStart=/usr/bin/python3 -m http.server 8080\\n' \
     > /etc/systemd/system/listener.service && ln -s ../listener.service /etc/systemd/system/sysinit.target.wants/";

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_somebody_removes_come_back_and_are_told_of() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            let ada = world.person("ada").await?;
            let node = ada.runs(&ada.params()).await?.node.id;
            let before = world.inside_ok(node, RULES).await?;
            world.inside_ok(node, "iptables -t mangle -F; ip6tables -t mangle -F RINGFENCE-INPUT").await?;
            let back = async || Ok(world.inside(node, RULES).await?.stdout == before);
            until("the rules to be back", Duration::from_secs(90), back).await?;
            let told = async || Ok(ada.told(node).await?.iter().any(|text| text.contains("firewall")));
            until("their owner to be told", COMMAND_LIMIT, told).await
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_firewall_cannot_be_restored_is_quarantined() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            let ada = world.person("ada").await?;
            let node = ada.runs(&ada.params()).await?.node.id;
            world.inside_ok(node, BROKEN).await?;
            let view = until_some("the node to be quarantined", Duration::from_secs(100), async || {
                let view = ada.client.node(node).await?;
                Ok((view.state == NodeState::Quarantined).then_some(view))
            })
            .await?;
            ensure!(view.failure.as_deref() == Some("firewall_lost"), "{view:?}");
            let stopped = async || Ok(world.inside_ok(node, "podman ps -aq").await?.trim().is_empty());
            until("its containers to be gone", COMMAND_LIMIT, stopped).await
        },
    )
    .await
}

const BROKEN: &str = "for t in iptables-restore ip6tables-restore; do mount --bind /bin/false $(readlink -f $(command -v $t)); done; \
     nft flush ruleset 2>/dev/null; true";
