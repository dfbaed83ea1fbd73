//! Attempts to get out of a workspace, made inside it as its own user, each of which has to fail.

use anyhow::{Context, Result, ensure};
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::views::WorkspaceView;
use xtask::client::until;

use crate::attempts::{self, METADATA_ANSWER};
use crate::machine::{COMMAND_LIMIT, On, on_machines};
use crate::shell::Shell;
use crate::world::{Person, World};

/// A shell's word for a command that is not there, or is none: such an attempt was not made.
const NOT_RUN: [i32; 2] = [126, 127];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_runs_in_a_workspace_on_podman_gets_out_of_it() -> Result<()> {
    on_machines(|setting| On::Podman.setting(setting), async |world| nothing_gets_out(world, On::Podman).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_runs_in_a_workspace_on_docker_gets_out_of_it() -> Result<()> {
    on_machines(|setting| On::Docker.setting(setting), async |world| nothing_gets_out(world, On::Docker).await).await
}

async fn nothing_gets_out(world: &World, engine: On) -> Result<()> {
    let ada = world.person("ada").await?;
    let workspace = ada.runs(&ada.params()).await?;
    let sibling = ada.runs(&ada.params()).await?;
    let node = workspace.node.id;
    ensure!(sibling.node.id == node, "the two are not on one machine");
    let mut shell = ada.shell(workspace.id).await?;
    let gateway = shell.ok("ip route show default | cut -d' ' -f3").await?;
    let listeners = Listeners::start(world, node, &gateway).await?;
    what_must_not_be_reached_is_there(world, node, &gateway).await?;
    shell.ok("curl -sS -m 5 -f http://internet.test/ >/dev/null").await.context("the internet is reached")?;
    let set_uid = shell.ok("stat -c %a,%u /usr/local/bin/id-as-root").await?;
    ensure!(set_uid == "4755,0", "the image has no set-user-id program of root's: {set_uid}");

    let mut open = Vec::new();
    for (way, command) in attempts::all() {
        let ran = shell.run(&command).await?;
        ensure!(!NOT_RUN.contains(&ran.code), "{way} was not tried: {ran:?}");
        if ran.code == 0 || ran.output.contains(METADATA_ANSWER) {
            open.push(format!("{way}: {}", ran.output.trim()));
        }
    }
    ensure!(open.is_empty(), "ways out of a workspace are open:\n{}", open.join("\n"));
    no_lease_is_taken_from_a_container(world, node, engine, &gateway).await?;
    listeners.stop(world).await?;
    the_sibling_is_out_of_reach(world, &ada, &workspace, &sibling).await
}

/// Servers that answer whoever gets to them: mail on the internet, pages on the machine itself.
struct Listeners {
    node: NodeId,
    mail: String,
}

impl Listeners {
    async fn start(world: &World, node: NodeId, gateway: &str) -> Result<Self> {
        let mail = "setsid python3 -m http.server --bind 198.51.100.10 25 >/dev/null 2>&1 </dev/null & echo $!";
        let mail = world.outside(&["sh", "-c", mail]).await?.stdout.trim().to_owned();
        let pages = "systemd-run --quiet --unit=pages python3 -m http.server --directory /run --bind 0.0.0.0 80";
        world.inside_ok(node, pages).await?;
        until("the machine to serve pages to itself", COMMAND_LIMIT, async || {
            Ok(world.inside(node, &format!("curl -sS -m 3 http://{gateway}/")).await?.exit == 0)
        })
        .await?;
        Ok(Self { node, mail })
    }

    async fn stop(&self, world: &World) -> Result<()> {
        world.outside(&["kill", &self.mail]).await?;
        world.inside_ok(self.node, "systemctl stop pages").await.map(drop)
    }
}

/// What a workspace must not reach answers whoever is not in one, so that not reaching it means something.
async fn what_must_not_be_reached_is_there(world: &World, node: NodeId, gateway: &str) -> Result<()> {
    let metadata = ["http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/latest/meta-data/"];
    for url in metadata.into_iter().chain(["http://10.77.0.1/", "http://198.51.100.10:25/"]) {
        // The metadata service knows machines by their addresses, and this is none: that it answers is what counts.
        until(&format!("an answer of {url}"), COMMAND_LIMIT, async || {
            let answer = world.outside(&["curl", "-sS", "-m", "5", "-g", url]).await?;
            Ok(answer.exit == 0 && !answer.stdout.is_empty())
        })
        .await?;
    }
    let redirected = world.outside(&["curl", "-sSi", "-m", "5", "http://198.51.100.10/redirect"]).await?;
    ensure!(redirected.stdout.contains("http://169.254.169.254/"), "nothing redirects to metadata: {redirected:?}");
    for (name, address) in
        [("metadata.test", "169.254.169.254"), ("metadata6.test", "fd00:ec2::254"), ("private.test", "10.77.0.1")]
    {
        let found = world.inside_ok(node, &format!("getent ahosts {name}")).await?;
        ensure!(found.contains(address), "{name} does not lead to {address}: {found}");
    }
    let page = world.inside(node, &format!("curl -sS -m 3 http://{gateway}/")).await?;
    ensure!(page.exit == 0, "the machine serves no pages: {page:?}");
    Ok(())
}

/// Sends what a DHCP server would, IPv4 and, where there is an address for it, IPv6.
const OFFER: &str = r#"
import socket, sys
four = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
four.bind(("", 67)); four.sendto(b"offer", (sys.argv[1], 68))
six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
six.bind(("::", 547))
for name in [name for _, name in socket.if_nameindex() if name != "lo"]:
    try:
        six.sendto(b"offer", ("ff02::1", 546, 0, socket.if_nametoindex(name)))
    except OSError as error:
        print(name, error, file=sys.stderr)
print("sent")
"#;

/// Notes what comes to the ports of DHCP clients.
const CLIENT: &str = r#"
import select, socket
four = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); four.bind(("", 68))
six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); six.bind(("::", 546))
while True:
    for ready in select.select([four, six], [], [])[0]:
        open("/run/offers", "a").write(str(ready.recvfrom(99)[1]) + "\n")
"#;

/// Leases come from the provider. The packets are sent by root in the container's network: a workspace's own user may not even.
async fn no_lease_is_taken_from_a_container(world: &World, node: NodeId, engine: On, gateway: &str) -> Result<()> {
    for (name, script) in [("offer", OFFER), ("client", CLIENT)] {
        let quoted = script.replace('\'', "'\\''");
        world.inside_ok(node, &format!("printf '%s' '{quoted}' > /run/{name}.py")).await?;
    }
    world.inside_ok(node, "systemd-run --quiet --unit=client python3 /run/client.py").await?;
    let offers = async || anyhow::Ok(world.inside(node, "cat /run/offers").await?.stdout);
    // From the machine to itself it gets there.
    until("the client to hear the machine itself", COMMAND_LIMIT, async || {
        world.inside_ok(node, "python3 /run/offer.py 127.0.0.1").await?;
        Ok(offers().await?.contains("127.0.0.1"))
    })
    .await?;
    world.inside_ok(node, "rm /run/offers").await?;
    let cli = engine.cli();
    let pids = world.inside_ok(node, &format!("{cli} inspect -f '{{{{.State.Pid}}}}' $({cli} ps -q)")).await?;
    for pid in pids.split_whitespace() {
        let sent = world.inside_ok(node, &format!("nsenter -t {pid} -n python3 /run/offer.py {gateway}")).await?;
        ensure!(sent.contains("sent"), "{sent}");
    }
    // Behind what it must not hear comes what it does.
    until("the client to hear the machine again", COMMAND_LIMIT, async || {
        world.inside_ok(node, "python3 /run/offer.py 127.0.0.1").await?;
        Ok(offers().await?.contains("127.0.0.1"))
    })
    .await?;
    let heard = offers().await?;
    let own = world.inside_ok(node, "ip -o addr show | awk '{print $4}' | cut -d/ -f1").await?;
    let own: Vec<&str> = own.lines().collect();
    let sender =
        |line: &str| line.split('\'').nth(1).map(|address| address.split('%').next().unwrap_or(address).to_owned());
    let strange: Vec<String> = heard.lines().filter_map(sender).filter(|from| !own.contains(&from.as_str())).collect();
    ensure!(strange.is_empty(), "containers offer leases: {heard}");
    world.inside_ok(node, "systemctl stop client; rm -f /run/offers").await.map(drop)
}

async fn the_sibling_is_out_of_reach(
    world: &World,
    ada: &Person,
    workspace: &WorkspaceView,
    sibling: &WorkspaceView,
) -> Result<()> {
    let mut theirs = ada.shell(sibling.id).await?;
    theirs.ok("echo ours > /workspace/mark; echo ours > /tmp/mark; echo ours > /sessions/mark").await?;
    let address = theirs.ok("ip -4 -o addr show scope global | awk '{print $4}' | cut -d/ -f1").await?;
    theirs.ok("(while :; do echo secret-of-a-sibling | nc -l -p 7777; done >/dev/null 2>&1 &) ; true").await?;
    let answers = async |shell: &mut Shell, address: &str| {
        let asked = shell.run(&format!("nc -w 3 {address} 7777 </dev/null")).await?;
        Ok::<bool, anyhow::Error>(asked.output.contains("secret-of-a-sibling"))
    };
    // The server begins anew after each answer.
    let mut heard = false;
    for _ in 0..20 {
        heard = heard || answers(&mut theirs, "127.0.0.1").await?;
    }
    ensure!(heard, "the sibling's server does not answer the sibling");
    let knock = format!("timeout 3 bash -c 'exec 3<>/dev/tcp/{address}/7777; head -n 1 <&3'");
    until("the sibling's server to answer its machine", COMMAND_LIMIT, async || {
        Ok(world.inside(workspace.node.id, &knock).await?.stdout.contains("secret-of-a-sibling"))
    })
    .await?;
    let mut ours = ada.shell(workspace.id).await?;
    for _ in 0..3 {
        ensure!(!answers(&mut ours, &address).await?, "the sibling's network is reached");
    }

    ours.ok("echo mine > /sessions/mark").await?;
    let search = "find / '(' -path /proc -o -path /sys ')' -prune -o -name mark -exec cat {} + 2>/dev/null";
    let files = ours.run(search).await?;
    ensure!(files.output.trim() == "mine", "the sibling's files are reached: {files:?}");
    // A pattern that is not in its own command line.
    let sees = "grep -lsa '[7]777' /proc/[0-9]*/cmdline";
    ensure!(theirs.run(sees).await?.output.contains("/proc/"), "the sibling does not see its own processes");
    let processes = ours.run(sees).await?;
    ensure!(!processes.output.contains("/proc/"), "the sibling's processes are seen: {processes:?}");
    Ok(())
}
