//! Where the container engine finds and keeps things. Tests give places of their own.

use std::path::{Path, PathBuf};

use super::gate::RuntimeGate;

/// Where things are on this machine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Sockets of engines; the first that answers is used.
    pub sockets: Vec<PathBuf>,
    /// Which runtimes are new enough.
    pub gate: RuntimeGate,
    /// Holds the file system images of workspaces and where they are mounted.
    pub volumes_dir: PathBuf,
    /// The process in whose mount namespace the engine runs; where it is not the agent's own.
    pub mounts_of: Option<i32>,
    /// On a tmpfs: secrets, and what else lives no longer than the machine runs.
    pub run_dir: PathBuf,
    /// The user that filtering proxies run as.
    pub proxy_user: String,
    /// Podman's default seccomp profile; the first that is there is used, as Podman does.
    pub seccomp_profiles: Vec<PathBuf>,
}

impl Settings {
    /// Those of a machine of ours.
    pub fn of_machine(state_dir: &Path) -> Self {
        Self {
            sockets: ["/run/podman/podman.sock", "/var/run/docker.sock"].map(PathBuf::from).into(),
            gate: RuntimeGate::with_fixes_of_november_2025(),
            volumes_dir: state_dir.join("volumes"),
            mounts_of: Some(1),
            run_dir: "/run/ringfence".into(),
            proxy_user: "ringfence-proxy".into(),
            seccomp_profiles: ["/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json"]
                .map(PathBuf::from)
                .into(),
        }
    }
}
