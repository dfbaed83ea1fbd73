//! A machine that does not boot as it must: its agent never runs, its owner is told why, and it is deleted.

use anyhow::{Result, ensure};
use ringfence_protocol::state::NodeState;
use sha2::{Digest as _, Sha256};
use xtask::client::until_some;
use xtask::project;
use xtask::stack::Driver;

use crate::machine::{BARE_IMAGE, COMMAND_LIMIT, driver, on_machines};
use crate::world::{Setting, World};

/// Puts a file where the agent of a digest is served from.
fn publish(digest: &str, contents: &[u8]) -> Result<()> {
    let dir = project::root().join("web/dist/agent-bin").join(digest);
    std::fs::create_dir_all(&dir)?;
    Ok(std::fs::write(dir.join("vm-agent"), contents)?)
}

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Asks for a workspace, and waits for its node to fail with that code and to be gone.
async fn fails_with(world: &World, code: &str) -> Result<()> {
    let ada = world.person("ada").await?;
    let workspace = ada.client.create_workspace(&ada.params()).await?;
    let node = workspace.node.id;
    let gone = ada.node_until(node, NodeState::Gone).await?;
    let told = ada.told(node).await?;
    ensure!(gone.failure.as_deref() == Some(code), "{:?}: {told:?}", gone.failure);
    ensure!(world.stack.cloud_servers().await? == 0, "the machine is still there");
    let hello = "SELECT last_hello_at_ms AS at FROM nodes WHERE last_hello_at_ms IS NOT NULL";
    ensure!(world.rows(hello).await?.is_empty(), "an agent ran");
    let view = ada.client.workspace(workspace.id).await?;
    ensure!(!view.reason.is_empty() && view.failure.is_some(), "its owner is not told: {view:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_with_another_digest_is_never_run() -> Result<()> {
    let pinned = hex_digest(b"the agent that was meant");
    publish(&pinned, b"#!/bin/sh\ntouch /pwned\n")?;
    let swapped = |setting: Setting| setting.var("RINGFENCE_AGENT_SHA256", &pinned);
    on_machines(swapped, async |world| fails_with(world, "agent_digest_mismatch").await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_binary_is_never_run() -> Result<()> {
    let whole = vec![7_u8; 100_000];
    let pinned = hex_digest(&whole);
    publish(&pinned, &whole[..50_000])?;
    let truncated = |setting: Setting| setting.var("RINGFENCE_AGENT_SHA256", &pinned);
    on_machines(truncated, async |world| fails_with(world, "agent_digest_mismatch").await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_finds_no_assets_is_deleted_and_says_so() -> Result<()> {
    // Where there is no such file the assets answer with the page itself, as a dead proxy might with its own.
    let absent = |setting: Setting| setting.var("RINGFENCE_AGENT_SHA256", hex_digest(b"nobody published this"));
    on_machines(absent, async |world| fails_with(world, "agent_digest_mismatch").await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_asset_server_is_dead_is_deleted_in_time() -> Result<()> {
    let impatient = |setting: Setting| setting.var("RINGFENCE_BOOTING_SECS", 20);
    on_machines(impatient, async |world| {
        // What the cloud's network answers to machines is lost.
        let lost = world.outside(&["ip", "route", "add", "blackhole", "192.0.2.0/25"]).await?;
        ensure!(lost.exit == 0, "{lost:?}");
        fails_with(world, "boot_timeout").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_firewall_does_not_load_powers_off_before_anything_else() -> Result<()> {
    if driver() != Some(Driver::Nspawn) {
        eprintln!("SKIPPED: only a machine in namespaces has a disk that can be written before it boots");
        return Ok(());
    }
    // Long enough to write to the disk of a machine that was ordered and does not run yet.
    on_machines(
        |setting| setting.cloud("--boot-delay-ms", 6000),
        async |world| {
            let machines = world.stack.state_dir().join("local-cloud/machines");
            let breaking = async {
                let upper = until_some("a disk to break", COMMAND_LIMIT, async || {
                    let first = std::fs::read_dir(&machines).ok().and_then(|mut dirs| dirs.next()?.ok());
                    Ok(first.map(|dir| dir.path().join("upper")).filter(|upper| upper.is_dir()))
                })
                .await?;
                let broken = upper.join("usr/sbin/iptables-restore");
                std::fs::create_dir_all(broken.parent().unwrap())?;
                std::fs::write(&broken, "#!/bin/sh\necho 'iptables-restore: no chain by that name' >&2\nexit 1\n")?;
                Ok(std::fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755))?)
            };
            let (failed, broken) = tokio::join!(fails_with(world, "firewall_failed"), breaking);
            broken.and(failed)
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_an_engine_gets_one_as_a_step_that_shows() -> Result<()> {
    on_machines(
        |setting| setting.var("RINGFENCE_IMAGE", BARE_IMAGE),
        async |world| {
            let ada = world.person("ada").await?;
            let workspace = ada.runs(&ada.params()).await?;
            let told = ada.told(workspace.node.id).await?;
            ensure!(told.iter().any(|text| text.contains("nstall")), "the installation does not show: {told:?}");
            Ok(())
        },
    )
    .await
}
