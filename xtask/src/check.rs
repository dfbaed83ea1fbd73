//! `cargo xtask check`: what can be judged without running anything.

use anyhow::{Result, bail};

use crate::build::web;
use crate::progress::step;
use crate::toolchain::wasm::WasmToolchain;
use crate::{project, run, tidy};

/// Warnings are errors here, and only here: a developer's build goes on.
const DENY_WARNINGS: [&str; 2] = ["-D", "warnings"];

/// One check, by its title.
type Check = (&'static str, fn() -> Result<()>);

const CHECKS: [Check; 7] = [
    ("Formatting", formatting),
    ("Layout rules", tidy::run),
    ("Lints, native", native_lints),
    ("Lints, wasm", wasm_lints),
    ("Documentation", documentation),
    ("Types of the browser UI", web_types),
    ("Types of the browser tests", browser_test_types),
];

/// Runs every check to the end, so that one run shows all there is to repair.
pub fn run() -> Result<()> {
    let mut failed = Vec::new();
    for (title, check) in CHECKS {
        if let Err(error) = step(title, check) {
            eprintln!("  {error:#}");
            failed.push(title);
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("not in order: {}", failed.join(", ")) }
}

fn formatting() -> Result<()> {
    run::show(run::command("cargo").args(["fmt", "--all", "--check", "--", "--files-with-diff"]))
}

fn native_lints() -> Result<()> {
    let mut clippy = run::command("cargo");
    clippy.args(["clippy", "--quiet", "--workspace", "--all-targets", "--"]).args(DENY_WARNINGS);
    run::show(&mut clippy)
}

fn wasm_lints() -> Result<()> {
    let mut clippy = WasmToolchain::ensure()?.clippy()?;
    clippy.args(["--quiet", "--package", "ringfence", "--lib", "--"]).args(DENY_WARNINGS);
    run::show(&mut clippy)
}

fn documentation() -> Result<()> {
    let mut doc = run::command("cargo");
    doc.args(["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"]);
    run::show(doc.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links"))
}

fn web_types() -> Result<()> {
    let web = project::root().join("web");
    web::install_packages(&web)?;
    run::quiet(run::command("npm").args(["run", "--silent", "check"]).current_dir(&web))
}

/// The tests are plain JavaScript: without this a name that is nowhere is found only by the one test that comes across it.
fn browser_test_types() -> Result<()> {
    let root = project::root();
    web::install_packages(&root.join("web"))?;
    let tests = root.join("tests/browser");
    web::install_packages(&tests)?;
    run::quiet(run::command("npm").args(["exec", "--no", "--", "tsc", "-p"]).arg(tests).current_dir(root.join("web")))
}
