//! Repositories and their `devcontainer.json`.

use anyhow::{Context as _, Result, ensure};
use ringfence_protocol::container::Repository;
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::params::CreateWorkspaceParams;

use crate::machine::{REGISTRYS_WORKSPACE_IMAGE, on_machines};
use crate::world::{Person, World};

/// Serves repositories over https in the cloud's network: static files are all that git needs.
const SERVER: &str = r#"
set -e
work=$(mktemp -d)
cd "$work"
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 1 -subj /CN=internet.test >/dev/null 2>&1
make() {
  name=$1; shift
  git init -q -b main "$name" && cd "$name"
  git config user.email a@b.c && git config user.name a
  mkdir .devcontainer && printf '%s' "$1" > .devcontainer/devcontainer.json
  echo hello > README && git add -A && git commit -qm one && git checkout -q -b side && echo side > SIDE && git add -A && git commit -qm two && git checkout -q main
  cd .. && git clone -q --bare "$name" "$name.git" && (cd "$name.git" && git update-server-info)
}
make plain '{}'
make full '{ // a comment
  "remoteUser": "dev", "containerEnv": {"GREETING": "from devcontainer"}, "postCreateCommand": "echo made > /workspace/made-by-post-create", }'
make image '{"image": "registry.test:5000/ringfence/workspace:latest", "postCreateCommand": ["touch", "/workspace/by a list"]}'
make object '{"postCreateCommand": {"one": "touch /workspace/by-text", "two": ["touch", "/workspace/by-list"]}}'
make capabilities '{"capAdd": ["SYS_PTRACE"]}'
make fails '{"postCreateCommand": "echo it broke >&2; exit 7"}'
make privileged '{"privileged": true}'
make mounts '{"mounts": ["source=/,target=/host,type=bind"]}'
make root '{"remoteUser": "root"}'
cat > serve.py <<'PY'
import http.server, ssl
server = http.server.ThreadingHTTPServer(("198.51.100.10", 443), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
PY
setsid python3 serve.py >/dev/null 2>&1 </dev/null &
echo $!
"#;

fn asked(ada: &Person, name: &str, branch: Option<&str>) -> CreateWorkspaceParams {
    let url = format!("https://internet.test/{name}.git");
    CreateWorkspaceParams {
        repository: Some(Repository { url, branch: branch.map(str::to_owned) }),
        // The server's certificate is its own.
        env: Some([("GIT_SSL_NO_VERIFY".to_owned(), "1".to_owned())].into()),
        ..ada.params()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_cloned_and_its_devcontainer_honoured_within_the_limits() -> Result<()> {
    on_machines(
        |setting| setting,
        async |world| {
            let server = world.outside(&["sh", "-c", SERVER]).await?;
            ensure!(server.exit == 0, "no server: {server:?}");
            let told = tell(world).await;
            world.outside(&["kill", server.stdout.trim()]).await?;
            told
        },
    )
    .await
}

async fn tell(world: &World) -> Result<()> {
    let ada = world.person("ada").await?;
    let plain = ada.runs(&asked(&ada, "plain", Some("side"))).await?;
    let mut shell = ada.shell(plain.id).await?;
    ensure!(shell.ok("cat README SIDE").await? == "hello\nside", "another branch was cloned");
    ensure!(shell.ok("git status --porcelain").await?.is_empty(), "the clone is not clean, or git does not trust it");
    ada.client.delete_workspace(plain.id).await?;

    let full = ada.runs(&asked(&ada, "full", None)).await?;
    let mut shell = ada.shell(full.id).await?;
    ensure!(
        shell.ok("cat made-by-post-create; echo $GREETING; id -un").await? == "made\nfrom devcontainer\ndev",
        "not honoured"
    );
    ada.client.delete_workspace(full.id).await?;

    let image = ada.runs(&asked(&ada, "image", None)).await?;
    ada.shell(image.id).await?.ok("test -e '/workspace/by a list'").await.context("a list of words was not run")?;
    let names = world.inside_ok(image.node.id, "podman ps --format '{{.Image}}'").await?;
    ensure!(names.trim() == REGISTRYS_WORKSPACE_IMAGE, "another image is run: {names}");
    ada.client.delete_workspace(image.id).await?;

    let object = ada.runs(&asked(&ada, "object", None)).await?;
    let both = "test -e /workspace/by-text && test -e /workspace/by-list";
    ada.shell(object.id).await?.ok(both).await.context("not all of an object's commands were run")?;
    ada.client.delete_workspace(object.id).await?;

    for (name, code, words) in [
        ("capabilities", "devcontainer_refused", "capAdd"),
        ("privileged", "devcontainer_refused", "privileged"),
        ("mounts", "devcontainer_refused", "mounts"),
        ("root", "devcontainer_refused", "remoteUser"),
        ("fails", "post_create_failed", "it broke"),
        ("no-such-repository", "clone_failed", "not found"),
    ] {
        let failed = ada.fails(&asked(&ada, name, None)).await?;
        ensure!(failed.failure.as_deref() == Some(code), "{name}: {failed:?}");
        ensure!(failed.reason.contains(words), "{name}: {}", failed.reason);
        nothing_runs(world, failed.node.id).await?;
    }
    Ok(())
}

/// A workspace that failed has left no container.
async fn nothing_runs(world: &World, node: NodeId) -> Result<()> {
    let gone = async || Ok(world.inside_ok(node, "podman ps -aq").await?.trim().is_empty());
    xtask::client::until("the failed workspace's container to be gone", crate::machine::COMMAND_LIMIT, gone).await
}
