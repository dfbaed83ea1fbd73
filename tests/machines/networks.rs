//! What each kind of network reaches.

use anyhow::{Result, ensure};
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::state::NetworkMode;
use ringfence_protocol::views::WorkspaceView;

use crate::machine::{On, on_machines};
use crate::world::{Person, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_network_on_podman_reaches_what_its_name_says_and_no_more() -> Result<()> {
    on_machines(|setting| On::Podman.setting(setting), async |world| reaches_no_more(world).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_on_docker_reaches_what_its_name_says_and_no_more() -> Result<()> {
    on_machines(|setting| On::Docker.setting(setting), async |world| reaches_no_more(world).await).await
}

async fn reaches_no_more(world: &World) -> Result<()> {
    let ada = world.person("ada").await?;
    let none = ada.runs(&CreateWorkspaceParams { network: Some(NetworkMode::None), ..ada.params() }).await?;
    let restricted = CreateWorkspaceParams {
        network: Some(NetworkMode::Restricted),
        // Two of them lead to where nobody may go, whatever the list says.
        allowed_domains: Some(vec!["allowed.test".into(), "metadata.test".into(), "private.test".into()]),
        ..ada.params()
    };
    let restricted = the_proxy_is_installed_when_it_is_needed(world, &ada, none.node.id, &restricted).await?;

    let mut shell = ada.shell(none.id).await?;
    ensure!(shell.ok("ls /sys/class/net").await? == "lo", "there is an interface");
    ensure!(shell.run("curl -sS -m 3 http://198.51.100.10/").await?.code != 0, "`none` reaches the internet");

    let mut shell = ada.shell(restricted.id).await?;
    ensure!(shell.ok("ls /sys/class/net").await? == "lo", "there is an interface beside the proxy");
    shell.ok("curl -sS -m 8 -f http://allowed.test/").await?;
    for (way, command) in [
        ("a domain that is not listed", "curl -sS -m 8 -f http://denied.test/"),
        ("a name that only begins like a listed one", "curl -sS -m 8 -f http://allowed.test.denied.test/"),
        ("a name that only ends like a listed one", "curl -sS -m 8 -f http://notallowed.test/"),
        ("the address of a listed domain", "curl -sS -m 8 -f http://198.51.100.10/"),
        ("metadata by a listed name", "curl -sS -m 8 -f http://metadata.test/hetzner/v1/metadata"),
        ("a private address by a listed name", "curl -sS -m 8 -f http://private.test/"),
        ("metadata by address through the proxy", "curl -sS -m 8 -f http://169.254.169.254/hetzner/v1/metadata"),
        ("metadata by redirect through the proxy", "curl -sS -m 8 -fL http://allowed.test/redirect"),
        ("the machine itself through the proxy", "curl -sS -m 8 -f http://127.0.0.1:22/"),
        ("another port by CONNECT", "curl -sS -m 8 -f -p http://allowed.test:25/"),
        ("the way around the proxy", "curl -sS -m 3 --noproxy '*' http://198.51.100.10/"),
    ] {
        let ran = shell.run(command).await?;
        ensure!(ran.code != 0, "a restricted network reaches {way}: {ran:?}");
    }
    // The same after a stop and a start, when the container's network is another one.
    ada.client.act(&ringfence_protocol::routes::WORKSPACE_STOP, &[&restricted.id]).await?;
    ada.workspace_until(restricted.id, ringfence_protocol::state::WorkspaceState::Stopped).await?;
    ada.client.act(&ringfence_protocol::routes::WORKSPACE_START, &[&restricted.id]).await?;
    ada.workspace_until(restricted.id, ringfence_protocol::state::WorkspaceState::Running).await?;
    let mut shell = ada.shell(restricted.id).await?;
    shell.ok("curl -sS -m 8 -f http://allowed.test/").await?;
    ensure!(shell.run("curl -sS -m 8 -f http://denied.test/").await?.code != 0, "the list is gone after a start");
    Ok(())
}

/// No image brings the proxy. Where its package cannot be had the workspace fails with words, and can be tried again.
async fn the_proxy_is_installed_when_it_is_needed(
    world: &World,
    ada: &Person,
    node: NodeId,
    restricted: &CreateWorkspaceParams,
) -> Result<WorkspaceView> {
    ensure!(world.inside(node, "command -v tinyproxy").await?.exit != 0, "the image has a proxy already");
    world.inside_ok(node, "mv /opt/packages /opt/elsewhere").await?;
    let failed = ada.fails(restricted).await?;
    ensure!(failed.node.id == node, "another machine was made");
    ensure!(failed.failure.as_deref() == Some("proxy_unavailable"), "{failed:?}");
    ensure!(failed.reason.contains("tinyproxy-bin cannot be installed"), "{failed:?}");
    world.inside_ok(node, "mv /opt/elsewhere /opt/packages").await?;
    let runs = ada.runs(restricted).await?;
    let told = ada.told(node).await?;
    ensure!(told.iter().any(|text| text.trim() == "install tinyproxy"), "the installation does not show: {told:?}");
    Ok(runs)
}
