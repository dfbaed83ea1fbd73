//! What a workspace's container is made of: the one place where it gets its walls.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount, MountType,
    MountVolumeOptions, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use ringfence_protocol::container::{CPU_MILLIS, ContainerSpec};
use ringfence_protocol::ids::WorkspaceId;
use sha2::{Digest as _, Sha256};

use super::user::User;
use crate::workspaces::agent_socket;

/// Names the workspace on its container.
pub(super) const LABEL_WORKSPACE: &str = "ringfence.workspace";
/// The generation it was made for.
pub(super) const LABEL_GENERATION: &str = "ringfence.spec-generation";
/// Of everything it was made of: tells whether a container is what is wanted now.
pub(super) const LABEL_FINGERPRINT: &str = "ringfence.fingerprint";

/// Where a workspace's own files are.
pub(super) const HOME: &str = "/sessions/home";
/// Where its terminals and commands start.
pub(super) const WORKING_DIR: &str = "/workspace";
/// Where its secrets are, in the container.
pub(super) const SECRETS_DIR: &str = "/run/secrets";
/// Where its socket is.
const SOCKET_DIR: &str = "/run/ringfence";
/// Where the proxy of a restricted network listens, in the container.
pub(super) const PROXY_PORT: u16 = 3128;

const TMP_MIB: u32 = 512;
const SHM_BYTES: i64 = 64 << 20;
/// For `/run`, `/var/tmp` and where the image declares a volume: these would otherwise be as large as the disk or the memory.
const SMALL_TMPFS: &str = "rw,nosuid,nodev,mode=1777,size=64m";
const NOFILE: i64 = 65_536;
/// Counted over all containers, for the user is the same in each: the pids limit is what bounds a workspace. Podman lowers its own
/// to 32768 where it may not raise it.
const NPROC: i64 = 16_384;

/// Without an init of the engine, a shell is the first process: it reaps what others leave and ends when told.
const IDLE_AS_INIT: &str = "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done";

/// How the container is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Connection {
    /// To nothing.
    None,
    /// To a filtering proxy.
    Proxy,
    /// To a network of its own, which asks these servers for names.
    Network { name: String, nameservers: Vec<IpAddr> },
}

/// Everything that decides what the container is.
pub(super) struct Plan<'a> {
    pub(super) workspace_id: WorkspaceId,
    pub(super) spec_generation: i64,
    pub(super) name: &'a str,
    pub(super) spec: &'a ContainerSpec,
    pub(super) image: &'a str,
    pub(super) user: &'a User,
    /// From `devcontainer.json`.
    pub(super) extra_env: &'a BTreeMap<String, String>,
    pub(super) connection: &'a Connection,
    /// Named volumes, and where they are mounted.
    pub(super) volumes: [(String, &'static str); 2],
    pub(super) secrets_dir: PathBuf,
    /// Where its socket is, on the machine.
    pub(super) socket_dir: PathBuf,
    /// Where the image wants volumes of its own.
    pub(super) image_volumes: &'a [String],
    /// `None`: the engine's own.
    pub(super) seccomp: Option<String>,
    pub(super) has_engine_init: bool,
    pub(super) runtime: Option<String>,
    /// Hard limits that the machine has itself: (open files, processes).
    pub(super) hard_limits: (u64, u64),
}

/// The engine's request.
pub(super) fn body(plan: &Plan<'_>) -> ContainerCreateBody {
    let mut body = ContainerCreateBody {
        hostname: Some(hostname(plan.name)),
        user: Some(plan.user.as_engine_says()),
        env: Some(environment(plan).into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
        cmd: Some(command(plan.has_engine_init)),
        entrypoint: Some(Vec::new()),
        // An image's own would run beside the workspace.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".into()]), ..HealthConfig::default() }),
        image: Some(plan.image.to_owned()),
        working_dir: Some(WORKING_DIR.into()),
        network_disabled: Some(!matches!(plan.connection, Connection::Network { .. })),
        stop_signal: Some("SIGTERM".into()),
        host_config: Some(host_config(plan)),
        ..ContainerCreateBody::default()
    };
    let fingerprint = fingerprint(&body);
    let labels = [
        (LABEL_WORKSPACE, plan.workspace_id.to_string()),
        (LABEL_GENERATION, plan.spec_generation.to_string()),
        (LABEL_FINGERPRINT, fingerprint),
    ];
    body.labels = Some(labels.map(|(name, value)| (name.to_owned(), value)).into());
    body
}

fn host_config(plan: &Plan<'_>) -> HostConfig {
    let spec = plan.spec;
    let memory = signed(spec.memory_limit_bytes);
    let (network_mode, dns) = match plan.connection {
        Connection::None | Connection::Proxy => ("none".to_owned(), None),
        Connection::Network { name, nameservers } => {
            (name.clone(), Some(nameservers.iter().map(IpAddr::to_string).collect()))
        }
    };
    let mut security = vec!["no-new-privileges".to_owned()];
    security.extend(plan.seccomp.iter().map(|profile| format!("seccomp={profile}")));
    HostConfig {
        init: Some(plan.has_engine_init),
        runtime: plan.runtime.clone(),
        privileged: Some(false),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".into()]),
        security_opt: Some(security),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        ipc_mode: Some("private".into()),
        pids_limit: Some(i64::from(spec.pids_limit)),
        memory: Some(memory),
        // With swap: none beyond the memory.
        memory_swap: Some(memory),
        nano_cpus: Some(i64::from(spec.cpu_limit_millis) * (1_000_000_000 / i64::from(CPU_MILLIS))),
        shm_size: Some(SHM_BYTES),
        tmpfs: Some(tmpfs(plan.image_volumes)),
        mounts: Some(mounts(plan)),
        network_mode: Some(network_mode),
        dns,
        dns_search: Some(vec![".".into()]),
        log_config: Some(HostConfigLogConfig { typ: Some("none".into()), config: None }),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        ulimits: Some(ulimits(plan.hard_limits)),
        ..HostConfig::default()
    }
}

fn tmpfs(image_volumes: &[String]) -> HashMap<String, String> {
    let mut places: HashMap<String, String> =
        [("/tmp".to_owned(), format!("rw,nosuid,nodev,mode=1777,size={TMP_MIB}m"))].into();
    for place in ["/run", "/var/tmp"].into_iter().chain(image_volumes.iter().map(String::as_str)) {
        let is_ours = [WORKING_DIR, "/sessions", SECRETS_DIR, SOCKET_DIR].contains(&place) || place == "/";
        if !is_ours {
            places.entry(place.to_owned()).or_insert_with(|| SMALL_TMPFS.to_owned());
        }
    }
    places
}

fn mounts(plan: &Plan<'_>) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    for (name, place) in &plan.volumes {
        mounts.push(Mount {
            typ: Some(MountType::VOLUME),
            source: Some(name.clone()),
            target: Some((*place).to_owned()),
            // Nothing of the image is copied into it.
            volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
            ..Mount::default()
        });
    }
    // A socket can be connected to where nothing can be written.
    for (dir, place) in [(&plan.secrets_dir, SECRETS_DIR), (&plan.socket_dir, SOCKET_DIR)] {
        mounts.push(Mount {
            typ: Some(MountType::BIND),
            source: Some(dir.to_string_lossy().into_owned()),
            target: Some(place.into()),
            read_only: Some(true),
            ..Mount::default()
        });
    }
    mounts
}

/// Never above the machine's own hard limits: raising those needs a right that the engine may not have.
fn ulimits((nofile, nproc): (u64, u64)) -> Vec<ResourcesUlimits> {
    let nofile = signed(nofile).min(NOFILE);
    let nproc = signed(nproc).min(NPROC);
    let limits = [("nofile", nofile.min(1024), nofile), ("nproc", nproc, nproc), ("core", 0, 0)];
    let limits = limits.map(|(name, soft, hard)| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(soft),
        hard: Some(hard),
    });
    limits.into()
}

fn command(has_engine_init: bool) -> Vec<String> {
    let words: &[&str] = if has_engine_init { &["sleep", "infinity"] } else { &["sh", "-c", IDLE_AS_INIT] };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What everything in the container finds in its environment. Later ones win: what is ours cannot be changed by others.
pub(super) fn environment(plan: &Plan<'_>) -> BTreeMap<String, String> {
    let mut environment = plan.extra_env.clone();
    environment.extend(plan.spec.env.clone());
    environment.retain(|name, value| is_variable(name) && !value.contains('\0'));
    environment.entry("LANG".into()).or_insert_with(|| "C.UTF-8".into());
    environment.insert("HOME".into(), HOME.into());
    environment.insert(crate::processes::WORKSPACE_VARIABLE.into(), plan.workspace_id.to_string());
    environment.insert("RINGFENCE_WORKSPACE_NAME".into(), plan.name.to_owned());
    environment.insert(agent_socket::SOCKET_VARIABLE.into(), format!("{SOCKET_DIR}/{}", agent_socket::SOCKET_NAME));
    match plan.connection {
        Connection::None | Connection::Network { .. } => {}
        Connection::Proxy => {
            let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
            for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
                environment.insert(name.into(), proxy.clone());
            }
            for name in ["no_proxy", "NO_PROXY"] {
                environment.insert(name.into(), "localhost,127.0.0.1,::1".into());
            }
        }
    }
    environment
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.starts_with("RINGFENCE_") && !name.contains(['=', '\0'])
}

/// A name for the prompt: host names take letters, digits and dashes only.
fn hostname(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(plain).take(63).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "workspace".into() } else { name.to_owned() }
}

fn fingerprint(body: &ContainerCreateBody) -> String {
    // By way of a map with an order: the request itself has maps without one.
    let value = serde_json::to_value(body).unwrap_or_default();
    let digest = Sha256::digest(value.to_string());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "create_tests.rs"]
mod tests;
