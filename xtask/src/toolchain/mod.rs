//! The tools that building and running take, found or installed.
//!
//! Everything lands once per version in the user's cache, so a second checkout on the same machine sets up nothing and a
//! machine that is set up needs no network. What only the system can install is said in one line.

pub mod browser;
pub mod cargo_tools;
pub mod npm;
pub mod system;
pub mod wasm;

use std::process::Command;

use anyhow::{Result, bail};

use crate::progress::step;
use crate::run;

/// Everything that the Worker's build and the local stack need.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// How this machine compiles Rust to WebAssembly.
    pub wasm: wasm::WasmToolchain,
    /// `worker-build` and `wasm-bindgen`.
    pub cargo: cargo_tools::CargoTools,
    /// wrangler, miniflare, esbuild and wasm-opt.
    pub npm: npm::NpmTools,
}

impl Toolchain {
    /// Finds what is there and installs what is missing.
    pub fn ensure() -> Result<Self> {
        prerequisites()?;
        Ok(Self {
            npm: npm::NpmTools::ensure()?,
            wasm: wasm::WasmToolchain::ensure()?,
            cargo: cargo_tools::CargoTools::ensure()?,
        })
    }
}

/// `cargo xtask setup`: all of it, the browser for tests included.
pub fn setup() -> Result<()> {
    step("Setting up", || {
        let toolchain = Toolchain::ensure()?;
        crate::progress::say(format!("wasm32: {}", toolchain.wasm.describe()));
        crate::progress::say(format!("npm tools: {}", toolchain.npm.dir().display()));
        crate::progress::say(format!("browser: {}", browser::ensure()?.display()));
        Ok(())
    })
}

/// Oldest Node.js that wrangler 4.86 and Vite 8 run on.
const NODE_MAJOR: u32 = 20;
const NODE_MINOR: u32 = 19;

fn prerequisites() -> Result<()> {
    for (program, advice) in [
        ("cargo", "install Rust from https://rustup.rs"),
        ("cc", "install a C compiler: apt-get install build-essential"),
        ("node", "install Node.js 20.19 or newer from https://nodejs.org"),
        ("npm", "install npm, which comes with Node.js"),
    ] {
        if run::find_program(program).is_none() {
            bail!("`{program}` is not on PATH: {advice}");
        }
    }
    let version = run::read(Command::new("node").arg("--version"))?;
    match parse_node_version(&version) {
        Some(found) if found >= (NODE_MAJOR, NODE_MINOR) => Ok(()),
        Some(_) | None => bail!("Node.js {version} is too old: install {NODE_MAJOR}.{NODE_MINOR} or newer"),
    }
}

fn parse_node_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix('v')?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_versions_compare_as_numbers() {
        assert_eq!(parse_node_version("v20.20.2"), Some((20, 20)));
        assert!(parse_node_version("v20.9.0") < Some((NODE_MAJOR, NODE_MINOR)));
        assert_eq!(parse_node_version("nonsense"), None);
    }
}
