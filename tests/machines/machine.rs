//! A world whose machines are real, and a look inside them.

use std::time::Duration;

use anyhow::Result;
use ringfence_protocol::ids::{NodeId, WorkspaceId};
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::routes;
use ringfence_protocol::state::{EngineKind, NetworkMode, WorkspaceState};
use ringfence_protocol::views::{EventKind, EventsView, PostureView, WorkspaceView};
use xtask::skip::skipped;
use xtask::stack::Driver;

use crate::shell::Shell;
use crate::world::{Person, Setting, World, story};

/// The driver that the suite was started for: `nspawn` or `qemu`.
const DRIVER_VARIABLE: &str = "RINGFENCE_TEST_DRIVER";
/// Longest wait for a command inside a machine.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// What machines boot from: Podman, with a current runtime.
pub const PODMAN_IMAGE: &str = "debian-13";
/// The same with Docker.
pub const DOCKER_IMAGE: &str = "docker-ce";
/// The same without any engine, whose package source has a current runtime, as that distribution's has.
pub const BARE_IMAGE: &str = "ubuntu-24.04";
/// One whose package source has none, once it is pinned to what that distribution has.
pub const OLD_IMAGE: &str = "debian-12";
/// What workspaces run by default: the machine has it already.
pub const WORKSPACE_IMAGE: &str = "localhost/ringfence/workspace:latest";
/// The same, where every machine can fetch it.
pub const REGISTRYS_WORKSPACE_IMAGE: &str = "registry.test:5000/ringfence/workspace:latest";

/// An engine to tell a story on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Podman,
    Docker,
}

impl On {
    /// Which one it is.
    pub fn kind(self) -> EngineKind {
        match self {
            Self::Podman => EngineKind::Podman,
            Self::Docker => EngineKind::Docker,
        }
    }

    /// Its command.
    pub fn cli(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Docker => "docker",
        }
    }

    /// Restarts it, as an upgrade of its package would.
    pub fn restart(self) -> &'static str {
        match self {
            Self::Podman => "systemctl restart podman.socket podman.service",
            Self::Docker => "systemctl restart docker.socket docker.service",
        }
    }

    /// Machines that bring it.
    pub fn setting(self, setting: Setting) -> Setting {
        match self {
            Self::Podman => setting,
            // Such a machine has the default image only a while after it has booted.
            Self::Docker => {
                setting.var("RINGFENCE_IMAGE", DOCKER_IMAGE).var("RINGFENCE_DEFAULT_IMAGE", REGISTRYS_WORKSPACE_IMAGE)
            }
        }
    }
}

/// The driver to test, or why there is none.
pub fn driver() -> Option<Driver> {
    let driver = match std::env::var(DRIVER_VARIABLE).as_deref() {
        Ok("nspawn") => Driver::Nspawn,
        Ok("qemu") => Driver::Qemu,
        Ok(other) => panic!("{DRIVER_VARIABLE}={other} is no driver"),
        Err(_) => {
            skipped("run with `cargo xtask test --only nspawn` or `--only qemu`");
            return None;
        }
    };
    if !rustix::process::geteuid().is_root() {
        skipped("machines need root");
        return None;
    }
    Some(driver)
}

/// The usual setting: machines with Podman, and a default image that they have.
pub fn setting(driver: Driver) -> Setting {
    Setting::default()
        .driver(driver)
        .var("RINGFENCE_IMAGE", PODMAN_IMAGE)
        .var("RINGFENCE_DEFAULT_IMAGE", WORKSPACE_IMAGE)
}

/// Tells a story on real machines, if there can be any.
pub async fn on_machines(
    change: impl FnOnce(Setting) -> Setting,
    tell: impl AsyncFnOnce(&World) -> Result<()>,
) -> Result<()> {
    match driver() {
        Some(driver) => story(change(setting(driver)), tell).await,
        None => Ok(()),
    }
}

impl Person {
    /// What a workspace is asked for when only the network matters.
    pub fn params(&self) -> CreateWorkspaceParams {
        CreateWorkspaceParams {
            credential_id: Some(self.credential),
            network: Some(NetworkMode::Internet),
            disk_quota_bytes: Some(256 << 20),
            ..CreateWorkspaceParams::default()
        }
    }

    /// Asks for it and waits until it runs.
    pub async fn runs(&self, params: &CreateWorkspaceParams) -> Result<WorkspaceView> {
        let workspace = self.client.create_workspace(params).await?;
        self.workspace_until(workspace.id, WorkspaceState::Running).await
    }

    /// Asks for it and waits until it has failed.
    pub async fn fails(&self, params: &CreateWorkspaceParams) -> Result<WorkspaceView> {
        let workspace = self.client.create_workspace(params).await?;
        self.workspace_until(workspace.id, WorkspaceState::Failed).await
    }

    /// A shell in a workspace.
    pub async fn shell(&self, workspace: WorkspaceId) -> Result<Shell> {
        Shell::open(&self.client, workspace).await
    }

    /// What was measured in a workspace.
    pub async fn workspace_posture(&self, id: WorkspaceId) -> Result<PostureView> {
        self.client.call(&routes::WORKSPACE_POSTURE, &[&id]).await
    }

    /// What was measured of a node.
    pub async fn node_posture(&self, id: NodeId) -> Result<PostureView> {
        self.client.call(&routes::NODE_POSTURE, &[&id]).await
    }

    /// Everything that happened on a node, in sentences.
    pub async fn told(&self, node: NodeId) -> Result<Vec<String>> {
        let query = [("node_id", node.to_string()), ("after", "0".into())];
        let events: EventsView = self.client.query(&routes::EVENTS, &query).await?;
        let sentence = |event: EventKind| match event {
            EventKind::NodeState { state, detail } => format!("{state}: {detail}"),
            EventKind::WorkspaceState { state, detail } => format!("{state}: {detail}"),
            EventKind::BootStep { step, error, .. } => format!("{step} {}", error.unwrap_or_default()),
            EventKind::Notice { detail } | EventKind::EndingSoon { detail, .. } | EventKind::Saved { detail, .. } => {
                detail
            }
        };
        Ok(events.items.into_iter().map(|item| sentence(item.event)).collect())
    }
}

impl World {
    /// What was measured in a workspace, once something was.
    pub async fn workspace_posture_of(&self, person: &Person, id: WorkspaceId) -> Result<PostureView> {
        let what = format!("the posture of {id} to be measured");
        xtask::client::until_some(&what, COMMAND_LIMIT, async || Ok(person.workspace_posture(id).await.ok())).await
    }
}
