//! What a machine keeps of the secrets it booted with: nothing.

use anyhow::{Context as _, Result, ensure};
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::params::{CreateWorkspaceParams, SecretText};

use crate::machine::on_machines;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn after_the_boot_neither_token_nor_user_data_is_anywhere_on_the_disk() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            let ada = world.person("ada").await?;
            let params = CreateWorkspaceParams {
                secrets: Some([("api_key".to_owned(), SecretText::new("w0rkspace-s3cret".into()))].into()),
                ..ada.params()
            };
            let workspace = ada.runs(&params).await?;
            let node = workspace.node.id;
            let user_data = world.user_data(node).await?;
            let token = user_data.rsplit("bootstrap_token").next().and_then(|rest| {
                let start = rest.find("eyJ")?;
                rest.get(start..)?.split(['"', '\\']).next()
            });
            let token = token.expect("user-data has a bootstrap token");
            // What is there is found, wherever it is: in folders of any name.
            world
                .inside_ok(
                    node,
                    "mkdir -p /var/tmp/run /opt/dev && echo f1nd-me > /var/tmp/run/x && echo f1nd-me > /opt/dev/x",
                )
                .await?;
            let found = search(world, node, "f1nd-me").await?;
            ensure!(found == ["/opt/dev/x", "/var/tmp/run/x"], "the search does not find what is there: {found:?}");
            world.inside_ok(node, "rm -r /var/tmp/run /opt/dev").await?;
            for (what, text) in [
                ("the bootstrap token", token),
                ("user-data", "\"ssh_pwauth\":false,\"bootcmd\""),
                ("a workspace's secret", "w0rkspace-s3cret"),
            ] {
                let found = search(world, node, text).await?;
                ensure!(found.is_empty(), "{what} is on the disk: {found:?}");
            }
            let mut shell = ada.shell(workspace.id).await?;
            ensure!(
                shell.ok("cat /run/secrets/api_key").await? == "w0rkspace-s3cret",
                "the secret is not where it should be"
            );
            ensure!(shell.ok("stat -f -c %T /run/secrets/api_key").await? == "tmpfs", "the secret is not on tmpfs");
            ensure!(shell.run("env | grep -q w0rkspace").await?.code != 0, "the secret is in the environment");
            let seen = world
                .inside_ok(
                    node,
                    "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'w0rkspac[e]-s3cret' || true",
                )
                .await?;
            ensure!(seen.trim() == "0", "the secret is in an argument");
            Ok(())
        },
    )
    .await
}

/// The files of a machine's own disk that hold a text. Its state, and what containers keep, are file systems of their own.
async fn search(world: &World, node: NodeId, text: &str) -> Result<Vec<String>> {
    // A pattern that is not in its own command line, should that be noted down anywhere.
    let quoted: String = text.chars().map(|c| format!("[{c}]")).collect::<String>().replace("[\"]", "\"");
    let disks =
        "/ /var/lib/ringfence /var/lib/containers /var/lib/docker $(ls -d /var/lib/ringfence/volumes/*/ 2>/dev/null)";
    let search = format!(
        "find {disks} -xdev -type f -print0 | timeout 300 xargs -0 -r grep -lsaE '{quoted}' 2>/dev/null; echo ended:$?"
    );
    let said = world.inside_ok(node, &search).await?;
    let (files, ended) = said.trim_end().rsplit_once("ended:").context("no end")?;
    // That nothing was found in some of the files is 123 with xargs.
    ensure!(["0", "123"].contains(&ended), "the search did not come to its end: {said}");
    let mut files: Vec<String> = files.lines().map(str::to_owned).collect();
    files.sort();
    files.dedup();
    Ok(files)
}
