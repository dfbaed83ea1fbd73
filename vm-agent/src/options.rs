//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Runs Ringfence's workspaces on this machine. Dials its control plane; listens on nothing.
#[derive(Debug, Clone, Parser)]
#[command(name = "vm-agent", version)]
pub struct Options {
    /// The configuration that cloud-init wrote. The bootstrap token in it is erased once it has been traded.
    #[arg(long, value_name = "FILE", default_value = ringfence_protocol::agent_config::AGENT_CONFIG_PATH)]
    pub config: PathBuf,
    /// Where the agent keeps its key, its token, what it knows of workspaces, and the workspaces of the unconfined engine.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/ringfence")]
    pub state_dir: PathBuf,
    /// How log lines look on standard error.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// A further file that holds the bootstrap token (the cached user-data, say): removed once the token has been traded. May be repeated.
    #[arg(long, value_name = "FILE")]
    pub remove_after_bootstrap: Vec<PathBuf>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
