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
    /// The daemon that runs on each machine.
    pub agent: PathBuf,
    /// The cloud on this machine.
    pub local_cloud: PathBuf,
}

impl Artifacts {
    /// Where the programs of a profile are, whether or not they are built yet.
    fn locate(profile: Profile) -> Result<Self> {
        let target = project::target_dir();
        Ok(match profile {
            Profile::Dev => {
                Self { agent: target.join("debug/vm-agent"), local_cloud: target.join("debug/local-cloud") }
            }
            Profile::Release => {
                Self { agent: agent::static_binary()?, local_cloud: target.join("release/local-cloud") }
            }
        })
    }

    /// What an earlier build left, for tests that must not build anything themselves.
    pub fn built(profile: Profile) -> Result<Self> {
        let artifacts = Self::locate(profile)?;
        for path in [&artifacts.agent, &artifacts.local_cloud, &worker::entry()] {
            if !path.is_file() {
                bail!("{} is not built: run `cargo xtask build --dev` first", path.display());
            }
        }
        Ok(artifacts)
    }
}

/// Builds all parts and returns where the programs are.
pub fn all(toolchain: &Toolchain, profile: Profile) -> Result<Artifacts> {
    let artifacts = Artifacts::locate(profile)?;
    match profile {
        Profile::Dev => step("Building vm-agent and local-cloud", || {
            run::show(run::command("cargo").args(["build", "--quiet", "-p", "vm-agent", "-p", "local-cloud"]))
        })?,
        Profile::Release => {
            step("Building vm-agent, static", agent::build_static)?;
            step("Building local-cloud", || {
                run::show(run::command("cargo").args(["build", "--quiet", "--release", "-p", "local-cloud"]))
            })?;
        }
    }
    web::build()?;
    if profile == Profile::Release {
        agent::publish(&artifacts.agent)?;
    }
    worker::build(toolchain, profile)?;
    Ok(artifacts)
}

/// Says how big what is deployed has become.
pub fn report_sizes(artifacts: &Artifacts) -> Result<()> {
    say(format!("Worker: {} gzipped", kib(worker::gzipped_bytes()?)));
    say(format!("vm-agent: {}", kib(file_bytes(&artifacts.agent)?)));
    Ok(())
}

fn file_bytes(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path)?.len())
}

fn kib(bytes: u64) -> String {
    format!("{:.1} KiB", bytes as f64 / 1024.0)
}
