//! The control plane as a Worker: `worker-build` with our own tools, in a target folder of its own.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::Profile;
use crate::progress::step;
use crate::stamp::{Inputs, is_fresh, record};
use crate::toolchain::Toolchain;
use crate::{project, run};

/// What the Worker is compiled from. Text that the sources include (migrations, boot files) counts.
const INPUTS: [&str; 7] =
    ["src", "protocol", "cloud-init", "d1-migrations", "Cargo.toml", "Cargo.lock", "wrangler.toml"];

/// What the module may use: what rustc and wasm-bindgen emit, and nothing that workerd may not know yet.
const WASM_FEATURES: [&str; 7] = [
    "bulk-memory",
    "exception-handling",
    "multivalue",
    "mutable-globals",
    "nontrapping-float-to-int",
    "reference-types",
    "sign-ext",
];

/// The folder that `wrangler.toml` names in `main`.
pub fn output_dir() -> PathBuf {
    project::root().join("build")
}

/// The module that `wrangler.toml` names as `main`.
pub fn entry() -> PathBuf {
    output_dir().join("index.js")
}

/// Builds the Worker if it is not up to date.
pub fn build(toolchain: &Toolchain, profile: Profile) -> Result<()> {
    let mut inputs = Inputs::new().value(&format!("{profile:?} {}", toolchain.wasm.describe()));
    for input in INPUTS {
        inputs = inputs.path(&project::root().join(input))?;
    }
    let digest = inputs.digest();
    let stamp = output_dir().join(".stamp");
    if entry().is_file() && is_fresh(&stamp, &digest) {
        return Ok(());
    }
    let _ = fs::remove_file(&stamp);
    step("Building the Worker", || {
        run::quiet(&mut worker_build(toolchain, profile)?)?;
        match profile {
            // It would take longer than all the rest, for nothing that a test can see.
            Profile::Dev => Ok(()),
            Profile::Release => run::quiet(&mut wasm_opt(toolchain)),
        }
    })?;
    record(&stamp, &digest)
}

fn worker_build(toolchain: &Toolchain, profile: Profile) -> Result<Command> {
    let mut command = run::command(&toolchain.cargo.worker_build);
    command.arg(match profile {
        Profile::Dev => "--dev",
        Profile::Release => "--release",
    });
    command.arg("--no-opt");
    command.env("WASM_BINDGEN_BIN", &toolchain.cargo.wasm_bindgen);
    command.env("ESBUILD_BIN", toolchain.npm.program("esbuild"));
    command.env("CARGO_TARGET_DIR", project::target_dir().join("wasm"));
    command.env_remove("RUSTFLAGS");
    // A backtrace of worker-build would push the compiler's own words out of sight.
    command.env("RUST_BACKTRACE", "0");
    toolchain.wasm.apply(&mut command)?;
    Ok(command)
}

/// Makes the module small. Unlike `worker-build` it leaves the functions' names out: they are an eighth of the bundle, and a panic
/// says its file and line without them.
fn wasm_opt(toolchain: &Toolchain) -> Command {
    let module = output_dir().join("index_bg.wasm");
    let mut command = run::command(toolchain.npm.program("wasm-opt"));
    command.arg("-Oz").args(WASM_FEATURES.map(|feature| format!("--enable-{feature}")));
    command.arg(&module).arg("-o").arg(&module);
    command
}

/// The size of the upload that counts against the plan's limit: the modules, gzipped together.
pub fn gzipped_bytes() -> Result<u64> {
    let mut modules = Vec::new();
    for file in crate::stamp::files_under(&output_dir())? {
        if file.extension().is_some_and(|extension| extension == "js" || extension == "wasm") {
            modules.extend(fs::read(&file)?);
        }
    }
    let mut gzip =
        Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("starting gzip")?;
    let mut stdin = gzip.stdin.take().context("gzip has no standard input")?;
    let writer = std::thread::spawn(move || stdin.write_all(&modules));
    let output = gzip.wait_with_output()?;
    writer.join().ok().context("feeding gzip")??;
    Ok(output.stdout.len() as u64)
}
