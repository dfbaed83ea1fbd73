//! The agent as one static file that runs on any Linux of its architecture.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::toolchain::wasm::host_triple;
use crate::{project, run, stamp};

/// A folder of its own: other compiler flags in the shared one would rebuild every dependency at each change of mind.
fn target_dir() -> PathBuf {
    project::target_dir().join("agent")
}

/// Where the static agent is, once built.
pub fn static_binary() -> Result<PathBuf> {
    Ok(target_dir().join(host_triple()?).join("agent/vm-agent"))
}

/// Builds the agent with the C library inside.
pub fn build_static() -> Result<()> {
    let host = host_triple()?;
    let mut command = run::command("cargo");
    command.args(["build", "--quiet", "--profile", "agent", "-p", "vm-agent"]);
    // Naming the target keeps the flags away from build scripts and macros, which cannot be static.
    command.args(["--target", &host]).arg("--target-dir").arg(target_dir());
    command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    run::show(&mut command)
}

/// Puts the agent among the static assets, under its digest: VMs fetch it from there and refuse any other.
pub fn publish(agent: &Path) -> Result<()> {
    let digest = stamp::hex(&Sha256::digest(fs::read(agent)?));
    let dir = project::root().join("web/dist/agent-bin").join(digest);
    fs::create_dir_all(&dir)?;
    fs::copy(agent, dir.join("vm-agent")).context("copying the agent to the assets")?;
    Ok(())
}
