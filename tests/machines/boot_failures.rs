//! A machine that does not boot as it must: its agent never runs, its owner is told why, and it is deleted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ringfence_protocol::state::NodeState;
use sha2::{Digest as _, Sha256};
use xtask::client::{until, until_some};
use xtask::project;

use crate::disk::{Disk, on_machines_held_back};
use crate::ends::server_status;
use crate::machine::{BARE_IMAGE, COMMAND_LIMIT, OLD_IMAGE, on_machines};
use crate::world::{Setting, World};

/// A machine tries to fetch its agent for two minutes.
const FAILS_WITHIN: Duration = Duration::from_secs(300);

/// A file where the agent of a digest is served from, for as long as this value.
struct Published {
    digest: String,
    dir: PathBuf,
}

impl Published {
    fn new(digest: String, contents: &[u8]) -> Result<Self> {
        let dir = project::root().join("web/dist/agent-bin").join(&digest);
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join("vm-agent"), contents)?;
        Ok(Self { digest, dir })
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an agent that ran leaves on its machine's disk, or what ran in its place.
fn traces_of_an_agent(disk: &Disk) -> Vec<&'static str> {
    let there = |path: &Path| path.exists();
    let mut found = Vec::new();
    for (what, path) in [
        ("a binary to run", disk.upper().join("usr/local/bin/vm-agent")),
        ("the work of another program", disk.upper().join("pwned")),
        ("a key", disk.state().join("key")),
    ] {
        if there(&path) {
            found.push(what);
        }
    }
    found
}

/// Looks at the only machine's disk until it is gone; what was ever there.
async fn watched(world: &World) -> Result<Vec<&'static str>> {
    let disk = Disk::of_the_only_machine(world).await?;
    let mut found = Vec::new();
    while disk.exists() {
        found.extend(traces_of_an_agent(&disk));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    found.dedup();
    Ok(found)
}

/// What a workspace's owner reads of a node's failure, in part.
fn owners_words(code: &str) -> &'static str {
    match code {
        "agent_digest_mismatch" => "What the machine fetched is not the agent that was pinned",
        "agent_fetch_failed" => "The machine could not fetch its agent",
        "firewall_failed" => "The machine's firewall could not be loaded",
        "boot_timeout" => "its agent did not report ready in time",
        other => panic!("no words for {other}"),
    }
}

/// Asks for a workspace, and waits for its node to fail with that code, in those words, and to be gone.
async fn fails_with(world: &World, code: &str, words: &str) -> Result<()> {
    let ada = world.person("ada").await?;
    let workspace = ada.client.create_workspace(&ada.params()).await?;
    let node = workspace.node.id;
    let gone = until_some("the node to be gone", FAILS_WITHIN, async || {
        Ok(Some(ada.client.node(node).await?).filter(|node| node.state == NodeState::Gone))
    });
    let (gone, watched) = tokio::join!(gone, watched(world));
    let gone = gone?;
    let told = ada.told(node).await?;
    ensure!(gone.failure.as_deref() == Some(code), "{:?}: {told:?}", gone.failure);
    ensure!(gone.reason.contains(words), "the node's reason is {:?} and not {words:?}: {told:?}", gone.reason);
    ensure!(world.stack.cloud_servers().await? == 0, "the machine is still there");
    let watched = watched?;
    ensure!(watched.is_empty(), "an agent ran: {watched:?}");
    let hello = "SELECT last_hello_at_ms AS at FROM nodes WHERE last_hello_at_ms IS NOT NULL";
    ensure!(world.rows(hello).await?.is_empty(), "an agent said hello");
    let view = ada.client.workspace(workspace.id).await?;
    ensure!(view.failure.as_deref() == Some(code), "its owner is not told: {view:?}");
    ensure!(view.reason.contains(owners_words(code)), "its owner is told {:?}", view.reason);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_with_another_digest_is_never_run() -> Result<()> {
    let swapped = Published::new(hex_digest(b"the agent that was meant"), b"#!/bin/sh\ntouch /pwned\n")?;
    let pinned = |setting: Setting| setting.var("RINGFENCE_AGENT_SHA256", &swapped.digest);
    on_machines(pinned, async |world| fails_with(world, "agent_digest_mismatch", "the SHA-256 is").await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_the_first_half_of_a_binary_is_never_run() -> Result<()> {
    let whole = vec![7_u8; 100_000];
    let half = Published::new(hex_digest(&whole), &whole[..50_000])?;
    let pinned = |setting: Setting| setting.var("RINGFENCE_AGENT_SHA256", &half.digest);
    on_machines(pinned, async |world| fails_with(world, "agent_digest_mismatch", "the SHA-256 is").await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_agent_nobody_has_published_is_deleted_and_says_so() -> Result<()> {
    let absent = |setting: Setting| setting.var("RINGFENCE_AGENT_SHA256", hex_digest(b"nobody published this"));
    on_machines(absent, async |world| fails_with(world, "agent_fetch_failed", "404").await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_transfers_all_break_in_the_middle_never_runs_what_it_got() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            world.lead_astray("/agent-bin/", &["cut", "unavailable"]).await?;
            fails_with(world, "agent_fetch_failed", "curl: (").await
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_breaks_in_the_middle_is_made_anew() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            world.lead_astray("/agent-bin/", &["cut"]).await?;
            let ada = world.person("ada").await?;
            let workspace = ada.client.create_workspace(&ada.params()).await?;
            let disk = Disk::of_the_only_machine(world).await?;
            let part = disk.upper().join("usr/local/bin/.vm-agent.new");
            until_some("a part of the agent", COMMAND_LIMIT, async || {
                let bytes = std::fs::metadata(&part).map_or(0, |part| part.len());
                Ok((bytes > 0).then_some(()))
            })
            .await?;
            ensure!(traces_of_an_agent(&disk).is_empty(), "a part was taken for the whole");
            world.lead_straight().await?;
            ada.workspace_until(workspace.id, ringfence_protocol::state::WorkspaceState::Running).await?;
            let traces = traces_of_an_agent(&disk);
            ensure!(traces == ["a binary to run", "a key"], "an agent that ran leaves no traces: {traces:?}");
            Ok(())
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_reaches_nobody_is_deleted_in_time() -> Result<()> {
    let impatient = |setting: Setting| setting.var("RINGFENCE_BOOTING_SECS", 20);
    on_machines(impatient, async |world| {
        // What the cloud's network answers to machines is lost.
        let lost = world.outside(&["ip", "route", "add", "blackhole", "192.0.2.0/25"]).await?;
        ensure!(lost.exit == 0, "{lost:?}");
        fails_with(world, "boot_timeout", "").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_firewall_does_not_load_powers_off_before_anything_else() -> Result<()> {
    let script = "#!/bin/sh\necho 'iptables-restore: no chain by that name' >&2\nexit 1\n";
    on_machines_held_back(
        |setting| setting,
        async |world| {
            let breaking =
                async { Disk::of_the_only_machine(world).await?.program("usr/sbin/iptables-restore", script) };
            let failing = fails_with(world, "firewall_failed", "no chain by that name");
            let (failed, broken) = tokio::join!(failing, breaking);
            broken.and(failed)
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_boot_is_killed_before_it_is_shut_powers_off() -> Result<()> {
    // The first program that the boot runs; what called the boot goes on.
    let killer = "#!/bin/sh\nexec pkill -KILL -f '^sh /usr/local/lib/ringfence/boot'\n";
    on_machines_held_back(
        |setting| setting.var("RINGFENCE_BOOTING_SECS", 30),
        async |world| {
            let breaking = async {
                let disk = Disk::of_the_only_machine(world).await?;
                disk.program("usr/local/sbin/getent", killer)?;
                until("the machine to be off", COMMAND_LIMIT, async || Ok(server_status(world).await? == "off")).await
            };
            let (failed, off) = tokio::join!(fails_with(world, "boot_timeout", ""), breaking);
            off.and(failed)
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
            ensure!(
                told.iter().any(|text| text.trim() == "install Podman"),
                "the installation does not show: {told:?}"
            );
            Ok(())
        },
    )
    .await
}

/// Waits until a workspace is refused, and its node says this of why.
async fn refuses_with(world: &World, code: &str, words: &str) -> Result<()> {
    let ada = world.person("ada").await?;
    let workspace = ada.client.create_workspace(&ada.params()).await?;
    let failed = until_some("the node to refuse", COMMAND_LIMIT, async || {
        Ok(Some(ada.client.node(workspace.node.id).await?).filter(|node| node.failure.is_some()))
    })
    .await?;
    ensure!(failed.failure.as_deref() == Some(code), "{failed:?}");
    ensure!(failed.reason.contains(words), "{failed:?}");
    ada.workspace_ended(workspace.id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_distribution_has_only_an_old_runtime_is_refused_with_what_helps() -> Result<()> {
    // Debian 13's own: it takes no other version than this one.
    let pin = "Package: runc\nPin: version 1.1.15*\nPin-Priority: 1001\n";
    on_machines_held_back(
        |setting| setting.var("RINGFENCE_IMAGE", OLD_IMAGE),
        async |world| {
            let pinning = async { Disk::of_the_only_machine(world).await?.file("etc/apt/preferences.d/runtime", pin) };
            let (refused, pinned) = tokio::join!(refuses_with(world, "engine_outdated", "docker-ce"), pinning);
            pinned.and(refused).context("a machine with runc 1.1.15")
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_can_have_no_engine_is_refused() -> Result<()> {
    on_machines_held_back(
        |setting| setting.var("RINGFENCE_IMAGE", BARE_IMAGE),
        async |world| {
            let emptying =
                async { Disk::of_the_only_machine(world).await?.file("etc/apt/sources.list.d/local.list", "") };
            let (refused, emptied) =
                tokio::join!(refuses_with(world, "engine_unavailable", "no container engine"), emptying);
            emptied.and(refused)
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_listens_to_the_network_is_never_ready() -> Result<()> {
    let unit =
        "[Unit]\nAfter=network.target\n[Service]\nExecStart=/usr/bin/python3 -m http.server --bind 0.0.0.0 8080\n";
    on_machines_held_back(
        |setting| setting,
        async |world| {
            let listening = async {
                let disk = Disk::of_the_only_machine(world).await?;
                disk.file("etc/systemd/system/listener.service", unit)?;
                disk.link("etc/systemd/system/sysinit.target.wants/listener.service", "../listener.service")
            };
            let (refused, listens) = tokio::join!(refuses_with(world, "posture_failed", "8080"), listening);
            listens.and(refused)
        },
    )
    .await
}
