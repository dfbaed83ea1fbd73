//! What cannot be made says why, in words and with a code, and leaves nothing on the machine.

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use ringfence_protocol::SUBPROTOCOL;
use ringfence_protocol::container::RegistryLogin;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::params::{CreateWorkspaceParams, SecretText};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes;
use ringfence_protocol::state::WorkspaceState;
use ringfence_protocol::views::SocketMessage;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use xtask::client::Refused;

use crate::machine::{REGISTRYS_WORKSPACE_IMAGE, on_machines};
use crate::world::{LIMIT, Person};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_had_fails_with_its_reason() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            let ada = world.person("ada").await?;
            let image = |image: &str| CreateWorkspaceParams { image: Some(image.into()), ..ada.params() };

            let pulled = ada.client.create_workspace(&image(REGISTRYS_WORKSPACE_IMAGE)).await?;
            progress_is_shown(&ada, pulled.id).await?;
            let pulled = ada.workspace_until(pulled.id, WorkspaceState::Running).await?;
            let told = ada.told(pulled.node.id).await?;
            ensure!(told.iter().any(|text| text.contains("pull")), "nobody was told of the pull: {told:?}");
            ada.client.delete_workspace(pulled.id).await?;

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

            let shellless = ada.fails(&image("registry.test:5000/ringfence/shellless:latest")).await?;
            ensure!(shellless.failure.as_deref() == Some("command_not_found"), "{shellless:?}");
            ensure!(shellless.reason.contains("`sh`"), "{shellless:?}");

            // The same registry, where it wants a login.
            let private = image("registry.test:5001/ringfence/tiny:latest");
            let with_login = |password: &str| {
                let login = RegistryLogin { username: "reader".into(), password: SecretText::new(password.into()) };
                CreateWorkspaceParams { registry_login: Some(login), ..private.clone() }
            };
            let denied = ada.fails(&private).await?;
            ensure!(denied.failure.as_deref() == Some("pull_denied"), "{denied:?}");
            ensure!(denied.reason.contains("login"), "{denied:?}");
            let wrong = ada.fails(&with_login("s3cret-but-wrong")).await?;
            ensure!(wrong.failure.as_deref() == Some("pull_denied"), "{wrong:?}");
            let tiny = ada.runs(&with_login("let-me-read")).await?;
            let search = "grep -rlsaE '[l]et-me-read|[s]3cret-but-wrong' /etc /var /root /home /usr/local; [ $? = 1 ]";
            let found = world.inside_ok(tiny.node.id, search).await?;
            ensure!(found.trim().is_empty(), "a registry's password is on disk: {found}");
            Ok(())
        },
    )
    .await
}

/// Whoever looks on while an image is fetched sees how far it is.
async fn progress_is_shown(ada: &Person, workspace: WorkspaceId) -> Result<()> {
    let token = ada.client.workspace_token(workspace, None).await?;
    let origin = ada.client.origin();
    let url = format!("{}{}", origin.replacen("http", "ws", 1), routes::WORKSPACE_SOCKET.fill(&[&workspace]));
    let mut request = url.into_client_request()?;
    let offer = format!("{SUBPROTOCOL}, {}", token.expose());
    request.headers_mut().insert("origin", origin.parse()?);
    request.headers_mut().insert("sec-websocket-protocol", offer.parse()?);
    let (mut socket, _) = connect_async(request).await?;
    let looking = async {
        while let Some(message) = socket.next().await {
            let Ok(text) = message?.into_text() else { continue };
            match serde_json::from_str::<SocketMessage>(&text) {
                Ok(SocketMessage::Progress(progress)) if progress.step.starts_with("pull ") => return Ok(progress),
                Ok(_) | Err(_) => {}
            }
        }
        anyhow::bail!("the socket was closed")
    };
    let progress = tokio::time::timeout(LIMIT, looking).await.context("no progress was shown")??;
    ensure!(progress.workspace_id == workspace, "{progress:?}");
    Ok(())
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
