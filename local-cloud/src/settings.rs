//! What a cloud is started with.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of one local cloud. [`Settings::new`] gives the times a real cloud would have, shortened.
#[derive(Clone)]
pub struct Settings {
    /// Where state, machines and consoles live. One local-cloud at a time uses it.
    pub state_dir: PathBuf,
    /// How machines are run.
    pub driver: DriverSettings,
    /// The vm-agent that machines of the `process` driver run. The others fetch theirs, as at a real cloud.
    pub agent_bin: PathBuf,
    /// Each API token is a project with servers of its own.
    pub tokens: Vec<String>,
    /// Tokens for the first token's project that may only look.
    pub read_only_tokens: Vec<String>,
    /// From `initializing` to `running`.
    pub boot_delay: Duration,
    /// From DELETE to 404.
    pub delete_delay: Duration,
    /// Between the end of a broken agent and its next start.
    pub restart_delay: Duration,
    /// How long machines may take to shut down when local-cloud ends.
    pub shutdown_grace: Duration,
    /// Servers a project may have.
    pub servers_max: usize,
    /// Requests a project may make in an hour, given back evenly.
    pub requests_per_hour: u32,
}

/// How machines are run.
#[derive(Clone, Debug)]
pub enum DriverSettings {
    /// The agent as a plain process, without any isolation.
    Process,
    /// A booted Debian in namespaces of this computer.
    Nspawn(MachineSettings),
    /// A virtual machine with a kernel of its own.
    Qemu(MachineSettings),
}

/// What machines with a disk and a network are made of.
#[derive(Clone, Debug)]
pub struct MachineSettings {
    /// The folder that `cargo xtask image` made.
    pub image: PathBuf,
    /// Ports of this computer's loopback that machines reach at the gateway.
    pub forward: Vec<u16>,
}

impl Settings {
    /// The usual settings for a state directory, an agent and tokens.
    pub fn new(state_dir: impl Into<PathBuf>, agent_bin: impl Into<PathBuf>, tokens: Vec<String>) -> Self {
        Self {
            state_dir: state_dir.into(),
            driver: DriverSettings::Process,
            agent_bin: agent_bin.into(),
            tokens,
            read_only_tokens: Vec::new(),
            boot_delay: Duration::from_millis(400),
            delete_delay: Duration::from_millis(250),
            restart_delay: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(2),
            servers_max: 100,
            requests_per_hour: 3600,
        }
    }
}
