//! What a machine lets in: nothing, at any time. And what becomes of a firewall that somebody takes away.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::state::NodeState;
use xtask::client::{until, until_some};

use crate::machine::{COMMAND_LIMIT, on_machines};
use crate::world::World;

/// TCP ports are tried by the thousand at once: dropped packets are not answered, and each try takes its time.
const SCANNER: &str = r#"
import asyncio, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
async def tcp(address, port, gate):
    async with gate:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 0.6)
            writer.close()
            return port
        except (OSError, asyncio.TimeoutError):
            return None
async def main(address, first, last):
    gate = asyncio.Semaphore(8000)
    found = await asyncio.gather(*(tcp(address, port, gate) for port in range(first, last + 1)))
    print("open:", sorted(port for port in found if port))
asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"#;

/// Common UDP ports: an open one answers or stays silent, a closed one answers with an ICMP error. Only silence is right.
const UDP_SCANNER: &str = r#"
import socket, sys
said = []
for port in (53, 67, 69, 111, 123, 137, 161, 500, 514, 1194, 1900, 4500, 4789, 5353, 5355, 8472, 51820):
    family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(0.2)
    try:
        s.connect((sys.argv[1], port)); s.send(b"\0" * 16); s.recv(1); said.append(port)
    except socket.timeout:
        pass
    except OSError as error:
        said.append((port, str(error)))
print("said:", said)
"#;

async fn nothing_answers(world: &World, addresses: &[String]) -> Result<()> {
    for address in addresses {
        let tcp = world.outside(&["python3", "-c", SCANNER, address, "1", "65535"]).await?;
        ensure!(tcp.stdout.trim() == "open: []", "{address}: {tcp:?}");
        let udp = world.outside(&["python3", "-c", UDP_SCANNER, address]).await?;
        ensure!(udp.stdout.trim() == "said: []", "{address}: {udp:?}");
    }
    Ok(())
}

async fn addresses(world: &World, node: NodeId) -> Result<Vec<String>> {
    let machine = until_some("the machine", COMMAND_LIMIT, async || Ok(world.machine(node).await.ok())).await?;
    Ok(vec![machine.ipv4.to_string(), machine.ipv6.to_string()])
}

#[tokio::test(flavor = "multi_thread")]
async fn from_outside_nothing_on_a_machine_answers_before_during_and_after_its_boot() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            let ada = world.person("ada").await?;
            let workspace = ada.client.create_workspace(&ada.params()).await?;
            let node = workspace.node.id;
            let targets = addresses(world, node).await?;
            // From its first packet on; the last scan that begins before it runs ends after.
            let mut scans = 0;
            while ada.client.workspace(workspace.id).await?.state != ringfence_protocol::state::WorkspaceState::Running
            {
                nothing_answers(world, &targets).await.context("while it boots")?;
                scans += 1;
                ensure!(scans < 20, "it never runs");
            }
            nothing_answers(world, &targets).await.context("when it runs")?;

            world.inside_ok(node, "systemctl restart podman.socket podman.service").await?;
            nothing_answers(world, &targets).await.context("after the engine was restarted")
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
        Ok(())
    })
    .await
}
