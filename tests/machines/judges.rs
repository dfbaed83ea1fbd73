//! What a machine is told, judged by the programs that read it, each in the version that the machine has. And the agent's own tests
//! of containers, which want a machine with an engine.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use xtask::project;

use crate::disk::Disk;
use crate::machine::on_machines;

/// Names the program with the agent's own tests of containers.
const AGENT_TESTS: &str = "RINGFENCE_AGENT_TESTS";

#[tokio::test(flavor = "multi_thread")]
async fn cloud_init_systemd_and_shellcheck_find_nothing_wrong_with_what_a_machine_is_told() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            let ada = world.person("ada").await?;
            let node = ada.runs(&ada.params()).await?.node.id;
            let user_data = world.user_data(node).await?.replace('\'', "'\\''");
            world.inside_ok(node, &format!("printf '%s' '{user_data}' > /run/user-data")).await?;
            let said = world.inside_ok(node, "cloud-init schema --config-file /run/user-data 2>&1").await?;
            ensure!(said.contains("Valid") && !said.to_lowercase().contains("deprecat"), "{said}");

            let units = "/etc/systemd/system/vm-agent.service /etc/systemd/system/ringfence-firewall.service";
            let verified = world.inside(node, &format!("systemd-analyze verify {units} 2>&1")).await?;
            let ours = |line: &&str| line.contains("vm-agent.service") || line.contains("ringfence-firewall");
            let complaints: Vec<&str> = verified.stdout.lines().filter(ours).collect();
            ensure!(complaints.is_empty(), "{complaints:?}");
            // Exposure in tenths, as tests/it/boot_files.rs has it.
            world.inside_ok(node, "systemd-analyze security --threshold=40 --no-pager vm-agent.service").await?;

            // As the machine has them, without comments and indentation: no tool of ours is in between.
            let scripts = "for f in /usr/local/lib/ringfence/*; do echo \"$f\"; sh -n \"$f\" || exit; done";
            ensure!(world.inside_ok(node, scripts).await?.lines().count() == 5, "not all scripts are there");
            let files = std::fs::read_dir(project::root().join("cloud-init"))?.map(|file| anyhow::Ok(file?.path()));
            let files: Vec<_> = files.collect::<Result<_>>()?;
            let scripts = files.iter().filter(|path| path.extension().is_some_and(|end| end == "sh"));
            let checked = std::process::Command::new("shellcheck").arg("--external-sources").args(scripts).output()?;
            ensure!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
            Ok(())
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agents_own_tests_of_containers_pass_on_a_machine() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            let ada = world.person("ada").await?;
            let node = ada.runs(&ada.params()).await?.node.id;
            let program = std::env::var_os(AGENT_TESTS).with_context(|| format!("{AGENT_TESTS} is not set"))?;
            // A folder of the computer's own, which the machine sees while it runs; containers' storage takes no overlay either.
            let place = Disk::of_the_only_machine(world).await?.containers().join("tests");
            std::fs::copy(&program, &place).context("copying the tests")?;
            std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755))?;
            let prepared = "mkdir /var/lib/containers/place && echo 127.0.0.1 git.ringfence.test >> /etc/hosts";
            world.inside_ok(node, prepared).await?;
            // Whatever the machine's agent did to get it: these tests need the proxy, too.
            world.inside_ok(node, "apt-get -qq install -y tinyproxy-bin >/dev/null").await?;
            let run = "RINGFENCE_TEST_PLACE=/var/lib/containers/place RINGFENCE_TEST_NO_SKIPS=1 RINGFENCE_TEST_NETWORKS=1 timeout 350 /var/lib/containers/tests --test-threads=2 2>&1";
            let ran = world.inside(node, run).await?;
            ensure!(ran.exit == 0 && ran.stdout.contains(" 0 ignored"), "{}", ran.stdout);
            Ok(())
        },
    )
    .await
}
