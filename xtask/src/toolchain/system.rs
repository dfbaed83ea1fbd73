//! Packages of the operating system: installed when we may, named when we may not.

use anyhow::{Result, bail};

use crate::progress::{say, step};
use crate::run;

/// Installs Debian packages as root on a Debian system; otherwise fails with the one line that a person has to type.
pub fn apt_install(packages: &[&str], reason: &str) -> Result<()> {
    let list = packages.join(" ");
    if run::find_program("apt-get").is_none() {
        bail!("{reason} is missing, and this is not a Debian system: install the equivalent of `{list}`");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("{reason} is missing: sudo apt-get install --no-install-recommends {list}");
    }
    step(&format!("Installing {list} ({reason})"), || {
        if let Err(error) = install(packages) {
            say(format!("{}; refreshing the package lists", error.to_string().lines().next().unwrap_or_default()));
            run::quiet(run::command("apt-get").args(["-qq", "update"]))?;
            install(packages)?;
        }
        Ok(())
    })
}

fn install(packages: &[&str]) -> Result<()> {
    let mut command = run::command("apt-get");
    command.args(["-qq", "-y", "--no-install-recommends", "install"]).args(packages);
    run::quiet(command.env("DEBIAN_FRONTEND", "noninteractive"))
}
