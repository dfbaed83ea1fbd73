//! What a machine lets in: nothing, at any time. And what becomes of a firewall that somebody takes away.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::state::{NodeState, WorkspaceState};
use serde_json::json;
use xtask::client::{until, until_some};

use crate::machine::{COMMAND_LIMIT, on_machines};
use crate::world::World;

/// Asks every TCP port of an address, from outside.
const SCANNER: &str = include_str!("scan.py");
/// Longest boot to look on: a machine that is emulated takes minutes.
const BOOT_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Common UDP ports: an open one answers, a closed one refuses with an ICMP error, behind the firewall there is silence.
const UDP_SCANNER: &str = r#"
import socket, sys
answered, refused = [], []
for port in (53, 67, 69, 111, 123, 137, 161, 500, 514, 1194, 1900, 4500, 4789, 5353, 5355, 8472, 51820):
    family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(0.2)
    try:
        s.connect((sys.argv[1], port)); s.send(b"\0" * 16); s.recv(1); answered.append(port)
    except socket.timeout:
        pass
    except OSError:
        refused.append(port)
print(f"answered: {answered}, refused: {refused}")
"#;

/// Nothing is open, TCP or UDP. A machine that has just got its address refuses: nothing listens, and its kernel says so until
/// the firewall stands.
async fn nothing_is_open(world: &World, addresses: &[String]) -> Result<()> {
    for address in addresses {
        let tcp = world.outside(&["python3", "-c", SCANNER, address]).await?;
        ensure!(tcp.stdout.starts_with("open: [],"), "{address}: {tcp:?}");
        let udp = world.outside(&["python3", "-c", UDP_SCANNER, address]).await?;
        ensure!(udp.stdout.starts_with("answered: [],"), "{address}: {udp:?}");
    }
    Ok(())
}

/// Nobody learns from outside that there is a machine: neither a TCP port nor one of the common UDP ports answers.
async fn nothing_answers(world: &World, addresses: &[String]) -> Result<()> {
    for address in addresses {
        let tcp = world.outside(&["python3", "-c", SCANNER, address]).await?;
        ensure!(tcp.stdout.trim() == "open: [], refused: 0", "{address}: {tcp:?}");
        let udp = world.outside(&["python3", "-c", UDP_SCANNER, address]).await?;
        ensure!(udp.stdout.trim() == "answered: [], refused: []", "{address}: {udp:?}");
    }
    Ok(())
}

/// The scanner sees what is there: the registry of the machines' network listens on one port, and refuses the others.
async fn the_scanner_sees(world: &World) -> Result<()> {
    let seen = world.outside(&["python3", "-c", SCANNER, "198.51.100.5"]).await?;
    let (open, refused) = seen.stdout.trim().split_once(", refused: ").context("the scanner failed")?;
    ensure!(open == "open: [5000]", "it does not see the open port: {seen:?}");
    ensure!(refused.parse::<u32>()? > 65_000, "it does not see closed ports: {seen:?}");
    Ok(())
}

async fn addresses(world: &World, node: NodeId) -> Result<Vec<String>> {
    let machine = until_some("the machine", COMMAND_LIMIT, async || Ok(world.machine(node).await.ok())).await?;
    Ok(vec![machine.ipv4.to_string(), machine.ipv6.to_string()])
}

#[tokio::test(flavor = "multi_thread")]
async fn from_outside_nothing_is_open_while_a_machine_boots_and_nothing_answers_when_it_runs() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            the_scanner_sees(world).await?;
            let ada = world.person("ada").await?;
            let workspace = ada.client.create_workspace(&ada.params()).await?;
            let node = workspace.node.id;
            let targets = addresses(world, node).await?;
            // From its first packet on: the last of these scans begins before it runs and ends after.
            let runs = async || {
                nothing_is_open(world, &targets).await.context("while it boots")?;
                Ok(ada.client.workspace(workspace.id).await?.state == WorkspaceState::Running)
            };
            until("it to run", BOOT_LIMIT, runs).await?;
            nothing_answers(world, &targets).await.context("when it runs")?;

            world.inside_ok(node, "systemctl restart podman.socket podman.service").await?;
            nothing_answers(world, &targets).await.context("after the engine was restarted")
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_engine_ends_neither_the_link_nor_a_job() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            let ada = world.person("ada").await?;
            let workspace = ada.runs(&ada.params()).await?;
            let node = workspace.node.id;
            let mut shell = ada.shell(workspace.id).await?;
            shell.ok("setsid -f sh -c 'while :; do echo beat >> /workspace/beats; sleep 0.2; done' </dev/null").await?;
            let connected = async || {
                let rows = world.stack.d1("SELECT connected_at_ms FROM nodes WHERE id = ?1", &[json!(node)]).await?;
                rows.first().and_then(|row| row.get("connected_at_ms").cloned()).context("never connected")
            };
            let before = connected().await?;

            world.inside_ok(node, "systemctl restart podman.socket podman.service").await?;

            // The shell that hung on the engine may have ended; another opens, in the same container.
            let mut again = ada.shell(workspace.id).await?;
            let beats: u64 = again.ok("wc -l < /workspace/beats").await?.parse()?;
            again.ok(&format!("while [ $(wc -l < /workspace/beats) -le {} ]; do sleep 0.1; done", beats + 5)).await?;
            ensure!(connected().await? == before, "the agent's link was opened anew");
            ensure!(ada.client.workspace(workspace.id).await?.state == WorkspaceState::Running, "it does not run");
            Ok(())
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_somebody_removes_come_back_and_are_told_of() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            let ada = world.person("ada").await?;
            let node = ada.runs(&ada.params()).await?.node.id;
            let rules = "iptables -t mangle -S RINGFENCE-INPUT; ip6tables -t mangle -S RINGFENCE-INPUT; \
                     iptables -t mangle -S RINGFENCE-FORWARD; iptables -t mangle -S INPUT";
            let before = world.inside_ok(node, rules).await?;
            world.inside_ok(node, "iptables -t mangle -F; ip6tables -t mangle -F RINGFENCE-INPUT").await?;
            let back = async || Ok(world.inside(node, rules).await?.stdout == before);
            until("the rules to be back", Duration::from_secs(90), back).await?;
            let told = async || Ok(ada.told(node).await?.iter().any(|text| text.contains("firewall")));
            until("their owner to be told", COMMAND_LIMIT, told).await
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_firewall_cannot_be_restored_is_quarantined() -> Result<()> {
    on_machines(|setting| setting, async |world| {
        let ada = world.person("ada").await?;
        let node = ada.runs(&ada.params()).await?.node.id;
        let broken = "for t in iptables-restore ip6tables-restore; do mount --bind /bin/false $(readlink -f $(command -v $t)); done; \
                      nft flush ruleset 2>/dev/null; true";
        world.inside_ok(node, broken).await?;
        let view = until_some("the node to be quarantined", Duration::from_secs(100), async || {
            let view = ada.client.node(node).await?;
            Ok((view.state == NodeState::Quarantined).then_some(view))
        })
        .await?;
        ensure!(view.failure.as_deref() == Some("firewall_lost"), "{view:?}");
        let stopped = async || Ok(world.inside_ok(node, "podman ps -aq").await?.trim().is_empty());
        until("its containers to be gone", COMMAND_LIMIT, stopped).await
    })
    .await
}
