//! The engine: found by its socket, asked who it is, refused when its runtime is too old.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use ringfence_protocol::state::EngineKind;

use super::gate::{Found, RuntimeGate, Version, version_printed};
use super::host;
use super::settings::Settings;
use crate::workspaces::NoEngine;

/// Longest wait for an answer's beginning, in seconds.
const ANSWER_WITHIN_SECS: u64 = 120;
/// How long an engine that is just being started is waited for.
const SOCKET_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The first whose own API has what its networks are made by.
const OLDEST_PODMAN: Version = Version::release(4, 0, 0);
/// What helps, whatever is too old.
const OTHER_IMAGE: &str =
    "The operator should choose a machine image that brings Docker from Docker's own packages, as `docker-ce` does.";

/// The engine.
pub(super) struct Api {
    pub(super) docker: Docker,
    /// For requests of our own.
    pub(super) socket: PathBuf,
    pub(super) kind: EngineKind,
    /// Where it keeps images, as the machine names it.
    pub(super) store: Option<PathBuf>,
    version: String,
    runtime: Found,
    /// What the engine takes when it is not told.
    pub(super) default_runtime: String,
    /// The runtime's name, where it is not the engine's default.
    pub(super) runtime_name: Option<String>,
}

impl Api {
    /// Finds the engine. Waits a little for one that starts.
    pub(super) async fn connect(settings: &Settings) -> Result<Self, NoEngine> {
        let deadline = tokio::time::Instant::now() + SOCKET_WITHIN;
        loop {
            let mut seen = Vec::new();
            for socket in settings.sockets.iter().filter(|socket| socket.exists()) {
                match reach(socket).await {
                    Ok(docker) => return Self::meet(docker, socket, &settings.gate).await,
                    Err(error) => seen.push(format!("{}: {error}", socket.display())),
                }
            }
            if tokio::time::Instant::now() >= deadline {
                let sockets: Vec<_> = settings.sockets.iter().map(|socket| socket.display().to_string()).collect();
                let seen = if seen.is_empty() { "no such socket".to_owned() } else { seen.join("; ") };
                return Err(NoEngine::unavailable(format!(
                    "No container engine answers at {} ({seen}). Install Podman or Docker and start its socket.",
                    sockets.join(" or ")
                )));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn meet(docker: Docker, socket: &Path, gate: &RuntimeGate) -> Result<Self, NoEngine> {
        let version = docker.version().await.map_err(NoEngine::unavailable)?;
        let components = version.components.unwrap_or_default();
        let is_podman = components.iter().any(|component| component.name == "Podman Engine");
        let kind = if is_podman { EngineKind::Podman } else { EngineKind::Docker };
        let engine_version = version.version.unwrap_or_default();
        if is_podman && Version::parse(&engine_version).is_none_or(|version| version < OLDEST_PODMAN) {
            return Err(NoEngine::outdated(format!(
                "Podman {engine_version} is older than {OLDEST_PODMAN}. {OTHER_IMAGE}"
            )));
        }
        let info = docker.info().await.map_err(NoEngine::unavailable)?;
        let store = info.docker_root_dir.map(PathBuf::from);
        let default = info.default_runtime.unwrap_or_else(|| "runc".into());
        let configured = info.runtimes.unwrap_or_default();
        let mut names = vec![default.clone()];
        names.extend(["runc", "crun"].map(str::to_owned).into_iter().filter(|name| *name != default));
        let mut refused = Vec::new();
        for name in names {
            let path = configured.get(&name).and_then(|runtime| runtime.path.clone());
            // Podman's answers name a runtime by its path where it was configured so.
            let path = path.filter(|path| !path.is_empty()).unwrap_or_else(|| name.clone());
            let Some(found) = look_at(&path).await else { continue };
            if !gate.admits(&found) {
                refused.push(found.to_string());
                continue;
            }
            let version = engine_version;
            let runtime_name = (name != default).then_some(name);
            let (socket, default_runtime) = (socket.to_owned(), default);
            return Ok(Self { docker, socket, kind, store, version, runtime: found, default_runtime, runtime_name });
        }
        let refused = if refused.is_empty() { "none was found".to_owned() } else { refused.join(", ") };
        Err(NoEngine::outdated(format!(
            "The container runtime lacks the fixes of November 2025 ({refused}): they are in runc 1.2.8, 1.3.3 and 1.4, and in crun 1.25.1. {OTHER_IMAGE}"
        )))
    }

    /// The engine and its runtime, for people.
    pub(super) fn versions(&self) -> String {
        format!("{} {}, {}", self.kind, self.version, self.runtime)
    }

    /// An engine at this socket that nothing was asked yet.
    #[cfg(test)]
    pub(super) fn unmet(socket: &Path) -> Self {
        let runtime = Found { name: "runc".into(), path: "runc".into(), version: Default::default(), package: None };
        Self {
            docker: Docker::connect_with_unix(&socket.to_string_lossy(), ANSWER_WITHIN_SECS, API_DEFAULT_VERSION)
                .unwrap(),
            socket: socket.to_owned(),
            kind: EngineKind::Docker,
            store: None,
            version: String::new(),
            runtime,
            default_runtime: "runc".into(),
            runtime_name: None,
        }
    }

    /// The runtime that containers must have.
    pub(super) fn runtime(&self) -> &Found {
        &self.runtime
    }
}

async fn reach(socket: &Path) -> Result<Docker, bollard::errors::Error> {
    let path = socket.to_string_lossy();
    let docker = Docker::connect_with_unix(&path, ANSWER_WITHIN_SECS, API_DEFAULT_VERSION)?;
    docker.negotiate_version().await
}

async fn look_at(path: &str) -> Option<Found> {
    let (name, version) = version_printed(&host::run(path, &["--version"]).await.ok()?)?;
    let mut package = None;
    if let Ok(owner) = host::run("dpkg-query", &["--search", &absolute(path).await]).await {
        let owner = owner.split(':').next().unwrap_or_default().trim().to_owned();
        if let Ok(version) = host::run("dpkg-query", &["--show", "--showformat=${Version}", &owner]).await {
            package = Some((owner, version));
        }
    }
    Some(Found { name, path: path.to_owned(), version, package })
}

/// As the package manager knows it. On systems with a merged `/usr` it knows `/usr/bin`.
async fn absolute(path: &str) -> String {
    let found = match path.starts_with('/') {
        true => path.to_owned(),
        false => host::run("which", &[path]).await.unwrap_or_default().trim().to_owned(),
    };
    std::fs::canonicalize(&found).map_or(found, |path| path.to_string_lossy().into_owned())
}
