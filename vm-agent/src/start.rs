//! From nothing to somebody on the link: configuration, key, credentials, and, on a machine of its own, everything that must hold
//! before it takes workspaces.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence_protocol::PROTOCOL_VERSION;
use ringfence_protocol::agent_config::{AgentLimits, EngineConfig};
use ringfence_protocol::link::{BootFailedReport, BootstrapParams};
use ringfence_protocol::posture::Posture;
use ringfence_protocol::state::BootFailure;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, watch};

use crate::agent::AgentError;
use crate::boot::BootLog;
use crate::bootstrap;
use crate::config;
use crate::control_plane::ControlPlane;
use crate::dead_man::{DeadMan, Heard};
use crate::grant::Grant;
use crate::host::report::HostReport;
use crate::host::watch::{HostEvent, Tended, look_after, tend_firewall};
use crate::host::{BOOT_LOG_PATH, Host, notify};
use crate::identity::Identity;
use crate::node::{Constants, Node};
use crate::occupant::{Occupant, Refusal};
use crate::options::Options;
use crate::workspaces::Engine;
use crate::workspaces::table::Table;

const KEY_FILE: &str = "key";
/// Where the callback token is kept, in the state directory.
pub const GRANT_FILE: &str = "grant.json";
const TABLE_FILE: &str = "workspaces.json";
/// Events of the machine that wait for the link task: one a minute is usual.
const HOST_EVENTS: usize = 16;

/// An agent that is ready to dial.
pub struct Started {
    /// Who will be on the link.
    pub occupant: Occupant,
    /// What is to be said of the machine.
    pub host: HostReport,
    /// The control plane.
    pub control_plane: Arc<ControlPlane>,
    /// The callback token, which is renewed.
    pub grants: Arc<watch::Sender<Grant>>,
    /// What the installation has set.
    pub limits: AgentLimits,
}

/// The switch of the machine whose configuration this is; one that cannot be read has none.
pub fn dead_man(options: &Options) -> Result<DeadMan, AgentError> {
    let (config, _) = config::load(&options.config)?;
    Ok(DeadMan::new(&config, &options.state_dir))
}

/// Starts, for as long as it takes. Answers of the control plane are noted, from now on.
pub async fn start(options: &Options, heard: Heard) -> Result<Started, AgentError> {
    let mut boot = BootLog::default();
    let started = Instant::now();
    let (mut config, origin) = boot.ended("read the configuration", started, config::load(&options.config))?;
    // A plain process has no machine of its own to look after.
    let host = match config.engine {
        EngineConfig::Unconfined => None,
        EngineConfig::Containers => Some(Host::at("/")),
    };
    if host.is_some() {
        boot.read_script_log(Path::new(BOOT_LOG_PATH));
    }
    let started = Instant::now();
    let identity = Identity::load_or_make(&options.state_dir.join(KEY_FILE));
    let identity = boot.ended("make or load the node's key", started, identity)?;
    let started = Instant::now();
    let hashed = tokio::task::spawn_blocking(own_sha256).await;
    let hashed = hashed.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let agent_sha256 = boot.ended("hash the agent's binary", started, hashed).map_err(AgentError::Binary)?;
    let control_plane = Arc::new(ControlPlane::new(origin, identity, heard)?);
    // What can make the start fail for good is behind: from here on the agent itself tells what goes wrong.
    notify::ready();

    let firewall = match &host {
        Some(host) => {
            let started = Instant::now();
            boot.ended("check the firewall", started, check_firewall(host).await)
        }
        None => Ok(None),
    };
    let params = BootstrapParams { protocol_version: PROTOCOL_VERSION, agent_sha256: agent_sha256.clone() };
    let files = bootstrap::Files {
        config: &options.config,
        grant: options.state_dir.join(GRANT_FILE),
        remove: &options.remove_after_bootstrap,
    };
    // The engine needs nothing of the control plane, and a while to wake up.
    let waking = wake_engine(config.engine, host.as_ref(), &options.state_dir);
    let trading = bootstrap::obtain(&control_plane, &mut config, &files, &params, &mut boot);
    let (grant, waking) = tokio::join!(trading, waking);
    let grant = grant?;
    let engine = match &host {
        Some(_) => boot.ended_after("reach the engine", waking.started, waking.took, waking.engine),
        None => waking.engine,
    };

    let (grants, newest_grant) = watch::channel(grant);
    let constants = Constants {
        node_id: config.node_id,
        control_plane: Arc::clone(&control_plane),
        agent_sha256,
        terminal_epoch: new_epoch(),
        keep_awake_max: Duration::from_secs(config.limits.keep_awake_max_secs),
    };
    let mut report = HostReport::default();
    if let Some(host) = host {
        let versions = engine.as_ref().ok().map(Engine::versions);
        let posture = shut(&host, versions.as_deref(), &mut boot).await;
        report.failure = refusal_of(&posture);
        let (events, received) = mpsc::channel(HOST_EVENTS);
        report.posture = Some(posture.clone());
        report.events = Some(received);
        if let Ok(Some(restored)) = &firewall {
            let _ = events.try_send(restored.clone());
        }
        tokio::spawn(look_after(host, versions, posture, events));
    }
    // What was found first is the cause of what was found later.
    let occupant = match (firewall, engine) {
        (Err(failure), engine) => {
            // What an earlier agent has left running must not go on without a firewall.
            if let Ok(engine) = engine {
                stop_all(&engine, &Table::load(options.state_dir.join(TABLE_FILE))?).await;
            }
            report.failure = Some(failure.0);
            Occupant::Refusing(Box::new(Refusal::new(constants, boot, newest_grant)))
        }
        (Ok(_), Err(failure)) => {
            report.failure = Some(failure.0);
            Occupant::Refusing(Box::new(Refusal::new(constants, boot, newest_grant)))
        }
        (Ok(_), Ok(_)) if report.failure.is_some() => {
            Occupant::Refusing(Box::new(Refusal::new(constants, boot, newest_grant)))
        }
        (Ok(_), Ok(engine)) => {
            let table = Table::load(options.state_dir.join(TABLE_FILE))?;
            Occupant::Serving(Box::new(Node::new(constants, engine, table, boot, newest_grant)))
        }
    };
    Ok(Started { occupant, host: report, control_plane, grants: Arc::new(grants), limits: config.limits })
}

async fn stop_all(engine: &Engine, table: &Table) {
    for workspace_id in table.ids_to_work_on() {
        if let Err(error) = engine.stop(workspace_id).await {
            tracing::error!(workspace.id = %workspace_id, %error, "a workspace that must not run was not stopped");
        }
    }
}

/// A failure of the boot that can stand in the boot's log.
#[derive(Debug, thiserror::Error)]
#[error("{detail}", detail = .0.detail)]
struct Failure(BootFailedReport);

impl Failure {
    fn new(failure: BootFailure, detail: impl ToString) -> Self {
        Self(BootFailedReport { failure, detail: detail.to_string() })
    }
}

struct Waking {
    started: Instant,
    took: Duration,
    engine: Result<Engine, Failure>,
}

async fn wake_engine(config: EngineConfig, host: Option<&Host>, state_dir: &Path) -> Waking {
    let started = Instant::now();
    let wake = async {
        if let Some(host) = host {
            host.wait_for_engine().await.map_err(Failure)?;
        }
        Engine::new(config, state_dir).await.map_err(|error| Failure::new(error.failure, error.detail))
    };
    let engine = wake.await;
    Waking { started, took: started.elapsed(), engine }
}

/// Makes sure of the firewall. What is told of it is that it had to be restored.
async fn check_firewall(host: &Host) -> Result<Option<HostEvent>, Failure> {
    match tend_firewall(host).await {
        Tended::Stands => Ok(None),
        Tended::Restored(detail) => Ok(Some(HostEvent::Notice(detail))),
        // A machine that was never seen to be shut takes nothing.
        Tended::Unseen(detail) | Tended::Lost(detail) => Err(Failure::new(BootFailure::FirewallFailed, detail)),
    }
}

/// Does what needs no credentials any more to be undone, and measures. What fails here shows in what is measured.
async fn shut(host: &Host, engine: Option<&str>, boot: &mut BootLog) -> Posture {
    let started = Instant::now();
    let _ = boot.ended("close the metadata service", started, host.lock_down().await);
    let started = Instant::now();
    let _ = boot.ended("erase user-data", started, host.erase_user_data());
    let started = Instant::now();
    let posture = host.measure(engine).await;
    let verdict = refusal_of(&posture).map_or(Ok(()), |failure| Err(Failure(failure)));
    let _ = boot.ended("measure the machine", started, verdict);
    posture
}

/// Why a machine of which this was measured takes no workspaces.
fn refusal_of(posture: &Posture) -> Option<BootFailedReport> {
    if posture.holds() {
        return None;
    }
    let broken: Vec<_> =
        posture.broken().map(|check| format!("{} Measured: {}.", check.title, check.measured)).collect();
    let detail = format!("This does not hold: {}", broken.join(" "));
    Some(BootFailedReport { failure: BootFailure::PostureFailed, detail })
}

/// Not zero, and so small that 2^52 terminals may follow before JavaScript's numbers lose precision.
fn new_epoch() -> u64 {
    1 + (rand::random::<u64>() >> 12)
}

fn own_sha256() -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    std::io::copy(&mut std::fs::File::open(Path::new("/proc/self/exe"))?, &mut hasher)?;
    let digest = hasher.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
