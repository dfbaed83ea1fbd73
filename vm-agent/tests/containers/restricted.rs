//! A restricted network: its proxy, what the proxy lets pass, and a repository fetched through it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use axum::Router;
use axum::extract::{Path as Asked, State};
use axum::http::{StatusCode, Version};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use ringfence_protocol::container::{ContainerSpec, Repository};
use ringfence_protocol::state::{NetworkMode, WorkspaceFailure};

use crate::support::machine::{IMAGE, Machine, container};
use crate::support::skipped;
use crate::support::viewer::Viewer;

/// A name that has to lead to this machine (`127.0.0.1 git.ringfence.test` in `/etc/hosts`); else the test is skipped.
const DOMAIN: &str = "git.ringfence.test";

fn restricted(domains: &[&str]) -> ContainerSpec {
    let mut container = container();
    container.network = NetworkMode::Restricted;
    container.allowed_domains = domains.iter().map(|domain| (*domain).to_owned()).collect();
    container
}

/// Asks the proxy for a page and prints the first line of its answer.
fn ask(url: &str) -> String {
    format!("exec 3<>/dev/tcp/127.0.0.1/3128; printf 'GET {url} HTTP/1.0\\r\\n\\r\\n' >&3; head -1 <&3; exec 3>&-")
}

/// Serves a bare repository as files, as any web server can. In version 1.0: the proxy closes each connection without saying so, and
/// git, which would keep it otherwise, finds out too late on a busy machine.
async fn serve(dir: PathBuf) -> SocketAddr {
    async fn file(State(dir): State<PathBuf>, Asked(path): Asked<String>) -> Result<Response, StatusCode> {
        let bytes = std::fs::read(dir.join(path)).map_err(|_| StatusCode::NOT_FOUND)?;
        let mut response = bytes.into_response();
        *response.version_mut() = Version::HTTP_10;
        Ok(response)
    }
    let router = Router::new().route("/{*path}", get(file)).with_state(dir);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn git(dir: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.current_dir(dir).args(["-c", "user.name=t", "-c", "user.email=t@t.test"]).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A repository with this `devcontainer.json`.
fn repository(dir: &Path, devcontainer: &str) {
    let work = dir.join("work");
    std::fs::create_dir_all(work.join(".devcontainer")).unwrap();
    std::fs::write(work.join("README"), "cloned").unwrap();
    std::fs::write(work.join(".devcontainer/devcontainer.json"), devcontainer).unwrap();
    git(&work, &["init", "-q", "-b", "main"]);
    git(&work, &["add", "-A"]);
    git(&work, &["commit", "-q", "-m", "one"]);
    git(dir, &["clone", "-q", "--bare", "work", "demo.git"]);
    git(&dir.join("demo.git"), &["update-server-info"]);
}

async fn leads_here() -> bool {
    tokio::net::lookup_host((DOMAIN, 80)).await.is_ok_and(|mut found| found.any(|address| address.ip().is_loopback()))
}

#[tokio::test]
async fn only_the_allowed_domains_pass_and_the_proxy_survives_an_agents_restart() {
    let Some(mut machine) = Machine::start("restricted").await else { return };
    let container = restricted(&["allowed.invalid"]);
    let workspace = machine.start_workspace(&container).await;
    for round in 0..2 {
        let mut viewer = Viewer::open(&mut machine, workspace).await;
        assert!(viewer.runs("echo $https_proxy").await.contains("http://127.0.0.1:3128"));
        for denied in
            ["http://169.254.169.254/", "http://127.0.0.1:22/", "http://denied.invalid/", "http://notallowed.invalid/"]
        {
            let said = viewer.runs(&ask(denied)).await;
            assert!(said.contains(" 403 "), "{denied}: {said}");
        }
        // It passes the filter; that there is no such host is another matter.
        for allowed in ["http://allowed.invalid/", "http://under.Allowed.invalid/"] {
            let said = viewer.runs(&ask(allowed)).await;
            assert!(said.contains("HTTP/1") && !said.contains(" 403 "), "{allowed}: {said}");
        }
        drop(viewer);
        if round == 0 {
            machine.restart_agent().await;
            machine.engine.end_leftovers(workspace).await.unwrap();
            machine.engine.start(machine.order(workspace, &container)).await.unwrap();
        }
    }
    machine.engine.remove(workspace).await.unwrap();
    assert_eq!(machine.traces(workspace), Vec::<String>::new());
}

#[tokio::test]
async fn a_domain_that_is_none_is_refused() {
    let Some(machine) = Machine::start("no domain").await else { return };
    let error = machine.try_start(&restricted(&["*.example.com"])).await.unwrap_err();
    assert_eq!(error.failure, WorkspaceFailure::ProxyUnavailable, "{error}");
}

#[tokio::test]
async fn a_repository_is_cloned_once_and_its_devcontainer_honoured_or_refused() {
    if !leads_here().await {
        return skipped("repository", &format!("{DOMAIN} does not lead to this machine"));
    }
    let Some(mut machine) = Machine::start("repository").await else { return };
    let dir = tempfile::tempdir().unwrap();
    repository(
        dir.path(),
        &format!(
            r#"{{ "image": "{IMAGE}", "remoteUser": "other", "containerEnv": {{"COLOUR": "blue"}},
                 "postCreateCommand": "echo once >> made", }} // fine"#
        ),
    );
    let address = serve(dir.path().to_owned()).await;
    let mut container = restricted(&[DOMAIN]);
    container.repository =
        Some(Repository { url: format!("http://{DOMAIN}:{}/demo.git", address.port()), branch: None });
    let workspace = machine.start_workspace(&container).await;
    machine.engine.stop(workspace).await.unwrap();
    machine.engine.start(machine.order(workspace, &container)).await.unwrap();
    let mut viewer = Viewer::open(&mut machine, workspace).await;
    let said = viewer.runs("cat README; id -u; echo $COLOUR; wc -l < made; stat -c %u .git").await;
    for part in ["cloned", "\n1234\r", "blue", "\n1\r"] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    machine.engine.remove(workspace).await.unwrap();

    let dir = tempfile::tempdir().unwrap();
    repository(dir.path(), r#"{ "runArgs": ["--privileged"] }"#);
    let address = serve(dir.path().to_owned()).await;
    container.repository =
        Some(Repository { url: format!("http://{DOMAIN}:{}/demo.git", address.port()), branch: None });
    let error = machine.try_start(&container).await.unwrap_err();
    assert_eq!(error.failure, WorkspaceFailure::DevcontainerRefused, "{error}");
    assert!(error.detail.contains("runArgs"), "{error}");

    container.repository =
        Some(Repository { url: format!("http://{DOMAIN}:{}/none.git", address.port()), branch: None });
    let error = machine.try_start(&container).await.unwrap_err();
    assert_eq!(error.failure, WorkspaceFailure::CloneFailed, "{error}");
    assert!(error.detail.contains("not found"), "{error}");
}
