//! Bombs: each goes off inside its own workspace. The machine and a sibling go on.

use anyhow::{Context, Result, ensure};
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::state::PostureOutcome;

use crate::machine::{COMMAND_LIMIT, on_machines};

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_of_any_kind_harms_its_own_workspace_alone() -> Result<()> {
    on_machines(|setting| setting, async |world| {
        let ada = world.person("ada").await?;
        let small = CreateWorkspaceParams {
            cpu_limit: Some(0.5),
            memory_limit_bytes: Some(256 << 20),
            disk_quota_bytes: Some(256 << 20),
            pids_limit: Some(64),
            ..ada.params()
        };
        let bomber = ada.runs(&small).await?;
        let sibling = ada.runs(&ada.params()).await?;
        ensure!(bomber.node.id == sibling.node.id, "the two are not on one machine");
        let node = bomber.node.id;
        let measured = world.workspace_posture_of(&ada, sibling.id).await?;
        let others = measured.checks.iter().find(|check| check.id == "other_workspaces").context("no such check")?;
        ensure!(others.outcome == PostureOutcome::Pass && others.measured != "there is none", "{others:?}");
        let mut bombs = ada.shell(bomber.id).await?;
        let mut theirs = ada.shell(sibling.id).await?;

        // Processes.
        let forks = "perl -e '$n = 0; for (1..500) { my $p = fork(); last unless defined $p; if (!$p) { sleep 4; exit } $n++ } print \"made $n\\n\"'";
        let made = bombs.ok(forks).await.context("the bomb of processes")?;
        let count: u32 = made.trim_start_matches("made ").trim().parse().with_context(|| made.clone())?;
        ensure!(count < 64, "{count} processes were made beside 64 that are allowed");
        theirs.ok("true").await.context("the sibling forks while the bomb is on")?;

        // Memory: a process dies, its workspace does not, and its owner is told.
        let eaten = bombs.run("perl -e '$x = \"x\" x (400 << 20); print length $x'").await.context("the bomb of memory")?;
        ensure!(eaten.code != 0, "400 MiB were had of 256: {eaten:?}");
        bombs.ok("echo alive").await.context("the workspace outlives what ran out of memory")?;
        theirs.ok("true").await.context("the sibling is well after the bomb of memory")?;
        let told = async || Ok(ada.told(node).await?.iter().any(|text| text.contains("memory limit")));
        xtask::client::until("its owner to be told of the memory limit", COMMAND_LIMIT, told).await?;

        // Disk.
        let filled = bombs.run("dd if=/dev/zero of=/workspace/big bs=1M count=400").await.context("the bomb of the disk")?;
        ensure!(filled.code != 0 && filled.output.contains("No space left"), "400 MiB fit in 256: {filled:?}");
        let rest = bombs.run("dd if=/dev/zero of=/sessions/big bs=1M count=64").await.context("the rest of the quota")?;
        ensure!(rest.code != 0, "the quota is for both volumes together: {rest:?}");
        let told = async || Ok(ada.told(node).await?.iter().any(|text| text.contains("disk quota of 256 MiB")));
        xtask::client::until("its owner to be told of the disk quota", COMMAND_LIMIT, told).await?;
        // What is in /tmp is memory: only who has more of it than /tmp may take sees the end of /tmp first.
        let shared = theirs.run("dd if=/dev/zero of=/tmp/big bs=1M count=600").await.context("the bomb of /tmp")?;
        ensure!(shared.code != 0, "/tmp takes more than its 512 MiB: {shared:?}");
        world.inside_ok(node, "dd if=/dev/zero of=/var/lib/ringfence/probe bs=1M count=8 && rm /var/lib/ringfence/probe").await?;
        theirs.ok("dd if=/dev/zero of=/workspace/big bs=1M count=8 && rm /workspace/big").await?;
        bombs.ok("rm -f /workspace/big /sessions/big").await?;
            theirs.ok("rm -f /tmp/big").await?;

        // Processors: half of one is what the bomber gets, however many it tries to use. What the sibling gets is held against
        // that, because the computer may be busy with other things, and so unevenly that one look of three is enough. What is left of the bomb of processes may still be in the way.
        let four = "perl -e 'for (1..4) { my $p; sleep 1 until defined($p = fork); next if $p; my $e = time + 4; while (time < $e) {} exit } 1 while wait > 0; my @t = times; printf \"%.2f\", $t[2] + $t[3]'";
        let one = "perl -e 'my $e = time + 4; while (time < $e) {} my @t = times; printf \"%.2f\", $t[0] + $t[1]'";
        let mut unfair = Vec::new();
        for _ in 0..3 {
            let alone: f64 = theirs.ok(one).await?.trim().parse()?;
            let (bomb, spun) = tokio::join!(bombs.ok(four), theirs.ok(one));
            let (bomb, spun): (f64, f64) = (bomb?.trim().parse()?, spun?.trim().parse()?);
            ensure!(bomb < 0.65 * 4.0, "half a processor was {bomb} s in 4");
            if spun > 0.7 * bomb && spun > 0.3 * alone {
                return Ok(());
            }
            unfair.push(format!("{spun} s of processor beside {bomb} s of the bomb, {alone} s without"));
        }
        anyhow::bail!("the sibling does not get its share: {unfair:?}")
    })
    .await
}
