//! What a machine keeps of the secrets it booted with: nothing.

use anyhow::{Result, ensure};
use ringfence_protocol::params::{CreateWorkspaceParams, SecretText};

use crate::machine::on_machines;

#[tokio::test(flavor = "multi_thread")]
async fn after_the_boot_neither_token_nor_user_data_is_anywhere_on_the_disk() -> Result<()> {
    on_machines(|setting| setting, async |world| {
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
        for (what, text) in [("the bootstrap token", token), ("user-data", "\"ssh_pwauth\":false,\"bootcmd\""), ("a workspace's secret", "w0rkspace-s3cret")] {
            // Everything but the kernel's own file systems and tmpfs; the searching command itself is in neither.
            let quoted: String = text.chars().map(|c| format!("[{c}]")).collect::<String>().replace("[\"]", "\"");
            let search = format!(
                "timeout 300 grep -rlsaE --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev --exclude-dir=run '{quoted}' / || true"
            );
            let found = world.inside_ok(node, &search).await?;
            ensure!(found.trim().is_empty(), "{what} is on the disk: {found}");
        }
        let mut shell = ada.shell(workspace.id).await?;
        ensure!(shell.ok("cat /run/secrets/api_key").await? == "w0rkspace-s3cret", "the secret is not where it should be");
        ensure!(shell.ok("stat -f -c %T /run/secrets/api_key").await? == "tmpfs", "the secret is not on tmpfs");
        ensure!(shell.run("env | grep -q w0rkspace").await?.code != 0, "the secret is in the environment");
        let seen = world.inside_ok(node, "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'w0rkspac[e]-s3cret' || true").await?;
        ensure!(seen.trim() == "0", "the secret is in an argument");
        Ok(())
    })
    .await
}
