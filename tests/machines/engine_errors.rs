//! What cannot be made says why, in words and with a code, and leaves nothing on the machine.

use anyhow::{Result, ensure};
use ringfence_protocol::container::RegistryLogin;
use ringfence_protocol::params::{CreateWorkspaceParams, SecretText};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes;
use ringfence_protocol::state::WorkspaceState;
use xtask::client::Refused;

use crate::machine::on_machines;

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_had_fails_with_its_reason() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            let ada = world.person("ada").await?;
            let image = |image: &str| CreateWorkspaceParams { image: Some(image.into()), ..ada.params() };

            let pulled = ada.runs(&image("registry.test:5000/ringfence/workspace:latest")).await?;
            let told = ada.told(pulled.node.id).await?;
            ensure!(told.iter().any(|text| text.contains("pull")), "nobody was told of the pull: {told:?}");

            let missing = ada.fails(&image("registry.test:5000/ringfence/no-such-image:latest")).await?;
            ensure!(missing.failure.as_deref() == Some("image_not_found"), "{missing:?}");
            let missing_tag = ada.fails(&image("registry.test:5000/ringfence/workspace:no-such-tag")).await?;
            ensure!(missing_tag.failure.as_deref() == Some("image_not_found"), "{missing_tag:?}");
            let unreachable = ada.fails(&image("denied.test:5999/ringfence/workspace:latest")).await?;
            ensure!(unreachable.failure.as_deref() == Some("pull_failed"), "{unreachable:?}");

            // Pulls are made by root on the machine: an image's name must not make it ask where nobody may.
            let by_name = ada.fails(&image("metadata.test/latest/meta-data:latest")).await?;
            ensure!(by_name.failure.as_deref() == Some("registry_forbidden"), "{by_name:?}");
            let refused = ada.client.create_workspace(&image("169.254.169.254/latest/meta-data:latest")).await;
            let code = refused.err().and_then(|error| error.downcast_ref::<Refused>().and_then(Refused::code));
            ensure!(code == Some(ErrorCode::InvalidBody), "an image at the metadata address was taken: {code:?}");

            let login = RegistryLogin { username: "nobody".into(), password: SecretText::new("s3cret-login".into()) };
            let with_login = CreateWorkspaceParams {
                registry_login: Some(login),
                ..image("registry.test:5000/ringfence/tiny:latest")
            };
            // The registry takes anybody; what matters is where the password is not.
            let tiny = ada.client.create_workspace(&with_login).await?;
            let found = world
                .inside_ok(tiny.node.id, "grep -rlsa s3cret-login /etc /var /root /home /usr/local 2>/dev/null || true")
                .await?;
            ensure!(found.trim().is_empty(), "a registry's password is on disk: {found}");
            Ok(())
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_somebody_ends_is_told_of_and_keeps_its_files() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            let ada = world.person("ada").await?;
            let workspace = ada.runs(&ada.params()).await?;
            ada.shell(workspace.id).await?.ok("echo kept > /workspace/file").await?;
            world.inside_ok(workspace.node.id, "podman kill --signal KILL $(podman ps -q)").await?;
            let stopped = ada.workspace_until(workspace.id, WorkspaceState::Stopped).await?;
            ensure!(stopped.reason.contains("its files are kept"), "{stopped:?}");
            ensure!(stopped.reason.contains("has ended, though nobody stopped it"), "{stopped:?}");

            ada.client.act(&routes::WORKSPACE_START, &[&workspace.id]).await?;
            ada.workspace_until(workspace.id, WorkspaceState::Running).await?;
            ensure!(ada.shell(workspace.id).await?.ok("cat /workspace/file").await? == "kept", "its files are lost");
            Ok(())
        },
    )
    .await
}
