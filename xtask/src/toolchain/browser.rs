//! The browser that the browser tests drive.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::system::apt_install;
use crate::run;

/// Names under which Chromium is installed.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Finds a Chromium, or installs Debian's.
pub fn ensure() -> Result<PathBuf> {
    if let Some(found) = find() {
        return Ok(found);
    }
    apt_install(&["chromium"], "a Chromium for the browser tests")?;
    find().context("chromium is installed, but not on PATH")
}

fn find() -> Option<PathBuf> {
    NAMES.iter().find_map(|name| run::find_program(name))
}
