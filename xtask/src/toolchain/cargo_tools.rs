//! `worker-build` and `wasm-bindgen`, at the versions that `Cargo.lock` asks for.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::progress::step;
use crate::{project, run};

/// The two programs that turn the crate into a Worker.
#[derive(Clone, Debug)]
pub struct CargoTools {
    /// Cloudflare's wrapper around cargo, wasm-bindgen and esbuild.
    pub worker_build: PathBuf,
    /// Must match the `wasm-bindgen` crate to the last digit.
    pub wasm_bindgen: PathBuf,
}

impl CargoTools {
    /// Finds both in the cache, or compiles them into it: some minutes, once per version and user.
    pub fn ensure() -> Result<Self> {
        // worker-build is released together with the worker crate, under the same numbers.
        Ok(Self {
            worker_build: ensure("worker-build", &project::locked_version("worker")?, "worker-build")?,
            wasm_bindgen: ensure("wasm-bindgen-cli", &project::locked_version("wasm-bindgen")?, "wasm-bindgen")?,
        })
    }
}

fn ensure(package: &str, version: &str, program: &str) -> Result<PathBuf> {
    let dir = project::cache_dir()?.join(format!("tools/{package}-{version}"));
    let program = dir.join("bin").join(program);
    if !program.is_file() {
        let title = format!("Compiling {package} {version} (a few minutes, once)");
        step(&title, || install(package, version, &dir))?;
    }
    Ok(program)
}

fn install(package: &str, version: &str, dir: &Path) -> Result<()> {
    // A debug build compiles three times as fast, and is fast enough at its work. The build directory goes to the cache
    // too, so that an interrupted installation goes on where it stopped.
    let build_dir = project::cache_dir()?.join("tools/build");
    let mut command = run::command("cargo");
    command.args(["install", "--debug", "--root"]).arg(dir).args(["--version", version, package]);
    // Not `--locked`: the published lock files name yanked packages.
    command.env("CARGO_TARGET_DIR", build_dir).env_remove("RUSTC").env_remove("RUSTFLAGS");
    command.current_dir(std::env::temp_dir());
    run::quiet(&mut command)
}
