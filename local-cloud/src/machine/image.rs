//! The machine image, as `cargo xtask image` lays it out.

use super::record::Variant;
use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An image in use.
#[derive(Clone, Debug)]
pub(super) struct Image {
    directory: PathBuf,
    /// Held so that nobody removes the image from under its machines.
    _in_use: Arc<File>,
}

impl Image {
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let directory = std::path::absolute(directory)?;
        if !directory.join("base/usr/bin").exists() {
            bail!("no machine image in {} (make it with `cargo xtask image`)", directory.display());
        }
        let in_use = File::open(directory.join("lock")).context("the machine image is not whole")?;
        in_use.try_lock_shared().context("the machine image is being removed")?;
        Ok(Self { directory, _in_use: Arc::new(in_use) })
    }

    /// The disk of a variant, which nobody writes to.
    pub(super) fn disk(&self, variant: Variant) -> PathBuf {
        self.directory.join("disks").join(format!("{}.raw", variant.as_str()))
    }

    pub(super) fn kernel(&self) -> PathBuf {
        self.directory.join("kernel")
    }

    pub(super) fn initrd(&self) -> PathBuf {
        self.directory.join("initrd")
    }

    /// Where something that was found out about this image on this computer may be kept.
    pub(super) fn note(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.note"))
    }

    /// The layers of a variant, as overlay mounts want them.
    pub(super) fn layers(&self, variant: Variant) -> String {
        let base = self.directory.join("base").display().to_string();
        match variant {
            Variant::Plain => base,
            Variant::Podman | Variant::Docker => {
                format!("{}:{base}", self.directory.join("layers").join(variant.as_str()).display())
            }
        }
    }
}
