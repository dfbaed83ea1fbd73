//! What a machine lets in, asked from outside: nothing, at any time.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::state::WorkspaceState;
use xtask::client::{until, until_some};

use crate::disk::{Disk, on_machines_held_back};
use crate::machine::{COMMAND_LIMIT, On};
use crate::world::World;

/// Asks every TCP port of an address, from outside.
const SCANNER: &str = include_str!("scan.py");
/// Longest boot to look on: a machine that is emulated takes minutes.
pub const BOOT_LIMIT: Duration = Duration::from_secs(15 * 60);
/// Each of 65,535 ports, twice.
const TCP_SENT: u32 = 2 * 65_535;
/// What is opened on purpose, TCP and UDP.
const OPENED: u16 = 4500;

/// For names of a local network. What listens there is told to stop with the firewall.
const RESOLVERS: u16 = 5355;

/// Common UDP ports: an open one answers, a closed one refuses with an ICMP error, behind the firewall there is silence.
const UDP_SCANNER: &str = r#"
import socket, sys
sent, answered, refused = 0, [], []
for port in (53, 67, 68, 69, 111, 123, 137, 161, 500, 514, 546, 1194, 1900, 4500, 4789, 5353, 5355, 8472, 51820):
    family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(0.2)
    s.connect((sys.argv[1], port)); s.send(b"\0" * 16); sent += 1
    try:
        s.recv(1); answered.append(port)
    except socket.timeout:
        pass
    except ConnectionRefusedError:
        refused.append(port)
print(f"sent: {sent}, answered: {answered}, refused: {refused}")
"#;
const UDP_SENT: u32 = 19;

/// Listens on purpose: TCP and UDP, IPv4 and IPv6, and answers.
const OPENER: &str = r#"
import socket, threading
port = int(__import__("sys").argv[1])
def echo(s):
    while True:
        data, peer = s.recvfrom(99); s.sendto(data, peer)
for family, any in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    u = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6: u.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    u.bind((any, port)); threading.Thread(target=echo, args=(u,)).start()
keep = [socket.create_server(("0.0.0.0", port)), socket.create_server(("::", port), family=socket.AF_INET6)]
open("/run/opened", "w").close()
"#;

/// What was found at one address.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    tcp: String,
    udp: String,
}

/// Scans all of the addresses at the same time. A scan that could not send everything is none.
async fn scan(world: &World, addresses: &[String; 2]) -> Result<[Found; 2]> {
    let of = async |address: &str| -> Result<Found> {
        let (tcp, udp) = (["python3", "-c", SCANNER, address], ["python3", "-c", UDP_SCANNER, address]);
        let (tcp, udp) = tokio::join!(world.outside(&tcp), world.outside(&udp));
        let (tcp, udp) = (tcp?, udp?);
        let found = |ran: &crate::inside::Executed, sent: u32| {
            let rest = ran.stdout.trim().strip_prefix(&format!("sent: {sent}, ")).map(str::to_owned);
            rest.filter(|_| ran.exit == 0).with_context(|| format!("{address} was not scanned: {ran:?}"))
        };
        Ok(Found { tcp: found(&tcp, TCP_SENT)?, udp: found(&udp, UDP_SENT)? })
    };
    let (first, second) = tokio::join!(of(&addresses[0]), of(&addresses[1]));
    Ok([first?, second?])
}

/// What a machine shows that has just got its address and no firewall yet: nothing but what the stock image's own resolver opens
/// before anything of ours can run. Closed ports refuse.
async fn shows(world: &World, addresses: &[String; 2], open: &[u16]) -> Result<()> {
    let tcp: Vec<u16> = open.iter().copied().chain([RESOLVERS]).collect();
    for found in scan(world, addresses).await? {
        let (ports, refused) = found.tcp.split_once(", refused: ").context("no count")?;
        let as_it_must = ports == format!("open: {tcp:?}") && refused.parse::<usize>()? == 65_535 - tcp.len();
        let udp = found.udp.starts_with(&format!("answered: {open:?}, refused: [53, "));
        ensure!(as_it_must && udp, "{addresses:?}: {found:?}");
    }
    Ok(())
}

/// Nobody learns from outside that there is a machine: neither a TCP port nor one of the common UDP ports answers.
pub async fn nothing_answers(world: &World, addresses: &[String; 2]) -> Result<()> {
    for found in scan(world, addresses).await? {
        let silence = found.tcp == "open: [], refused: 0" && found.udp == "answered: [], refused: []";
        ensure!(silence, "{addresses:?}: {found:?}");
    }
    Ok(())
}

/// A machine's addresses, of both families.
pub async fn addresses(world: &World, node: NodeId) -> Result<[String; 2]> {
    let machine = until_some("the machine", COMMAND_LIMIT, async || Ok(world.machine(node).await.ok())).await?;
    Ok([machine.ipv4.to_string(), machine.ipv6.to_string()])
}

/// Listens on purpose inside a machine, until it is told to stop.
async fn open_on_purpose(world: &World, node: NodeId) -> Result<()> {
    let quoted = OPENER.replace('\'', "'\\''");
    world.inside_ok(node, &format!("setsid python3 -c '{quoted}' {OPENED} >/dev/null 2>&1 </dev/null &")).await?;
    until("a listener", COMMAND_LIMIT, async || Ok(world.inside(node, "test -e /run/opened").await?.exit == 0)).await
}

async fn close_again(world: &World, node: NodeId) -> Result<()> {
    let kill = format!("rm /run/opened; kill $(pgrep -f '[i]mport socket, threading.* {OPENED}$')");
    world.inside_ok(node, &kill).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn from_outside_nothing_is_open_while_a_machine_with_podman_boots_and_nothing_answers_when_it_runs() -> Result<()>
{
    on_machines_held_back(|setting| On::Podman.setting(setting), async |world| is_shut(world, On::Podman).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn from_outside_nothing_is_open_while_a_machine_with_docker_boots_and_nothing_answers_when_it_runs() -> Result<()>
{
    on_machines_held_back(|setting| On::Docker.setting(setting), async |world| is_shut(world, On::Docker).await).await
}

/// Keeps cloud-init from coming to `bootcmd` until a file is there.
const HELD: &str = "[Service]\nExecStartPre=/bin/sh -c 'until [ -e /run/go-on ]; do sleep 0.1; done'\n";

/// The machine is held before the firewall, and again where it fetches its agent.
async fn is_shut(world: &World, engine: On) -> Result<()> {
    let ada = world.person("ada").await?;
    world.lead_astray("/agent-bin/", &["hold"]).await?;
    let workspace = ada.client.create_workspace(&ada.params()).await?;
    let node = workspace.node.id;
    let disk = Disk::of_the_only_machine(world).await?;
    disk.file("etc/systemd/system/cloud-init-network.service.d/held.conf", HELD)?;
    let targets = addresses(world, node).await?;

    let held = "systemctl show -P SubState cloud-init-network.service | grep -qx start-pre";
    until("the machine to be held", BOOT_LIMIT, async || {
        Ok(world.inside(node, held).await.is_ok_and(|ran| ran.exit == 0))
    })
    .await?;
    ensure!(
        world.inside(node, "iptables -t mangle -S RINGFENCE-INPUT").await?.exit != 0,
        "the firewall is there already"
    );
    shows(world, &targets, &[]).await.context("before the firewall")?;
    open_on_purpose(world, node).await?;
    shows(world, &targets, &[OPENED]).await.context("a listener before the firewall")?;

    // The listener stays: from here on only the firewall keeps it from being found.
    world.inside_ok(node, "touch /run/go-on").await?;
    let fetches = "grep -q 'close ssh' /run/ringfence/boot.log && pgrep -x curl";
    until("the machine to fetch its agent", BOOT_LIMIT, async || Ok(world.inside(node, fetches).await?.exit == 0))
        .await?;
    nothing_answers(world, &targets).await.context("while it fetches its agent")?;
    let phase = ada.client.workspace(workspace.id).await?;
    ensure!(
        phase.state != WorkspaceState::Running && world.inside(node, fetches).await?.exit == 0,
        "it went on: {phase:?}"
    );
    close_again(world, node).await?;

    world.lead_straight().await?;
    ada.workspace_until(workspace.id, WorkspaceState::Running).await?;
    open_on_purpose(world, node).await?;
    nothing_answers(world, &targets).await.context("when it runs")?;
    world.inside_ok(node, engine.restart()).await?;
    nothing_answers(world, &targets).await.context("after the engine was restarted")?;
    close_again(world, node).await
}
