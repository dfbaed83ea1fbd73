//! The browser UI: `npm ci` and `npm run build` in `web/`, each only when its inputs changed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::progress::step;
use crate::stamp::{Inputs, is_fresh, record};
use crate::toolchain::npm::clean_install;
use crate::{project, run};

/// Builds `web/dist` if it is not up to date.
pub fn build() -> Result<()> {
    let web = project::root().join("web");
    let index = web.join("dist/index.html");
    let described = web.join("dist/openapi.json");
    install_packages(&web)?;
    let stamp = web.join("node_modules/.ringfence-built");
    if index.is_file() && described.is_file() && is_fresh(&stamp, &sources(&web)?) {
        return Ok(());
    }
    step("Building the browser UI", || run::quiet(run::command("npm").args(["run", "build"]).current_dir(&web)))?;
    // The Worker serves it from here: in its own bundle it would take a fortieth of what that may weigh.
    fs::copy(project::root().join("docs/openapi.json"), &described).context("copying docs/openapi.json")?;
    // The build may write files that are inputs of the next one, so the digest is taken after it.
    record(&stamp, &sources(&web)?)
}

/// Installs the packages of a folder with a `package-lock.json`, if the lock changed.
pub fn install_packages(dir: &Path) -> Result<()> {
    let stamp = dir.join("node_modules/.ringfence-installed");
    let lock = Inputs::new().path(&dir.join("package-lock.json"))?.path(&dir.join("package.json"))?.digest();
    if is_fresh(&stamp, &lock) {
        return Ok(());
    }
    let name = dir.strip_prefix(project::root()).unwrap_or(dir).display().to_string();
    step(&format!("Installing the npm packages of {name}"), || clean_install(dir))?;
    record(&stamp, &lock)
}

fn sources(web: &Path) -> Result<String> {
    // The types of the API are made from its description.
    Ok(Inputs::new().path(web)?.path(&project::root().join("docs/openapi.json"))?.digest())
}
