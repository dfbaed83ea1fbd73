//! `cargo xtask check`: what can be judged without running anything.

use anyhow::Result;

use crate::progress::step;
use crate::toolchain::wasm::WasmToolchain;
use crate::{run, tidy};

/// Warnings are errors here, and only here: a developer's build goes on.
const DENY_WARNINGS: [&str; 2] = ["-D", "warnings"];

/// Runs every check; the first that fails ends it.
pub fn run() -> Result<()> {
    step("Formatting", || run::show(run::command("cargo").args(["fmt", "--all", "--check"])))?;
    step("Layout rules", tidy::run)?;
    step("Lints, native", || {
        let mut clippy = run::command("cargo");
        clippy.args(["clippy", "--quiet", "--workspace", "--all-targets", "--"]).args(DENY_WARNINGS);
        run::show(&mut clippy)
    })?;
    step("Lints, wasm", || {
        let mut clippy = WasmToolchain::ensure()?.clippy()?;
        clippy.args(["--quiet", "--package", "ringfence", "--lib", "--"]).args(DENY_WARNINGS);
        run::show(&mut clippy)
    })?;
    step("Documentation", || {
        let mut doc = run::command("cargo");
        doc.args(["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"]);
        run::show(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })
}
