//! `cargo xtask build`: everything that runs, from this checkout.

pub mod agent;
pub mod web;
pub mod worker;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::progress::{say, step};
use crate::toolchain::Toolchain;
use crate::{project, run};

/// How much the compilers optimise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Quick to build, for development and tests.
    Dev,
    /// What is deployed and measured.
    Release,
}

/// The programs that the local stack starts.
#[derive(Clone, Debug)]
pub struct Artifacts {
    /// The daemon that runs on each machine, static.
    pub agent: PathBuf,
    /// Its digest, under which machines fetch it: the control plane's `RINGFENCE_AGENT_SHA256`.
    pub agent_sha256: String,
    /// The cloud on this machine.
    pub local_cloud: PathBuf,
}

impl Artifacts {
    /// Where the programs of a profile are; they must be built.
    fn locate(profile: Profile) -> Result<Self> {
        let local_cloud = match profile {
            Profile::Dev => "debug/local-cloud",
            Profile::Release => "release/local-cloud",
        };
        let agent = agent::static_binary(profile)?;
        let agent_sha256 = agent::sha256(&agent)?;
        Ok(Self { agent, agent_sha256, local_cloud: project::target_dir().join(local_cloud) })
    }

    /// What an earlier build left, for tests that must not build anything themselves.
    pub fn built(profile: Profile) -> Result<Self> {
        let agent = agent::static_binary(profile)?;
        if !agent.is_file() {
            bail!("{} is not built: run `cargo xtask build --dev` first", agent.display());
        }
        let artifacts = Self::locate(profile)?;
        for path in [&artifacts.local_cloud, &worker::entry()] {
            if !path.is_file() {
                bail!("{} is not built: run `cargo xtask build --dev` first", path.display());
            }
        }
        Ok(artifacts)
    }
}

/// Builds all parts and returns where the programs are.
pub fn all(toolchain: &Toolchain, profile: Profile) -> Result<Artifacts> {
    step("Building vm-agent, static", || agent::build_static(profile))?;
    let mut agents = vec![agent::static_binary(profile)?];
    match profile {
        Profile::Dev => step("Building local-cloud", || {
            run::show(run::command("cargo").args(["build", "--quiet", "-p", "local-cloud"]))
        })?,
        Profile::Release => {
            agents.extend(agent::build_aarch64()?);
            step("Building local-cloud", || {
                run::show(run::command("cargo").args(["build", "--quiet", "--release", "-p", "local-cloud"]))
            })?;
        }
    }
    web::build()?;
    agent::publish(&agents, profile)?;
    worker::build(toolchain, profile)?;
    Artifacts::locate(profile)
}

/// Says how big what is deployed has become.
pub fn report_sizes(artifacts: &Artifacts) -> Result<()> {
    say(format!("Worker: {} gzipped", kib(worker::gzipped_bytes()?)));
    say(format!("vm-agent: {}, SHA-256 {}", kib(file_bytes(&artifacts.agent)?), artifacts.agent_sha256));
    Ok(())
}

fn file_bytes(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path)?.len())
}

fn kib(bytes: u64) -> String {
    format!("{:.1} KiB", bytes as f64 / 1024.0)
}
