//! The disk of a machine in namespaces, seen from outside, and written to before the machine boots.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::Result;
use xtask::client::until_some;
use xtask::skip::skipped;
use xtask::stack::Driver;

use crate::machine::{COMMAND_LIMIT, driver, on_machines};
use crate::world::{Setting, World};

/// From the order to the boot: long enough to write to a disk.
const HELD_BACK_MS: u32 = 4000;

/// A machine's disk.
pub struct Disk {
    directory: PathBuf,
}

impl Disk {
    /// That of the only machine, as soon as it is ordered.
    pub async fn of_the_only_machine(world: &World) -> Result<Self> {
        let machines = world.stack.state_dir().join("local-cloud/machines");
        let directory = until_some("a machine's disk", COMMAND_LIMIT, async || {
            let first = std::fs::read_dir(&machines).ok().and_then(|mut dirs| dirs.next()?.ok());
            Ok(first.map(|dir| dir.path()).filter(|dir| dir.join("upper/usr/lib").is_dir()))
        })
        .await?;
        Ok(Self { directory })
    }

    /// What was written to it.
    pub fn upper(&self) -> PathBuf {
        self.directory.join("upper")
    }

    /// What the agent keeps.
    pub fn state(&self) -> PathBuf {
        self.directory.join("ringfence")
    }

    /// What the engine keeps.
    pub fn containers(&self) -> PathBuf {
        self.directory.join("containers")
    }

    /// Whether there is still such a machine.
    pub fn exists(&self) -> bool {
        self.directory.exists()
    }

    /// Puts a file there.
    pub fn file(&self, path: &str, contents: &str) -> Result<()> {
        let path = self.place(path)?;
        Ok(std::fs::write(path, contents)?)
    }

    /// Puts a program there.
    pub fn program(&self, path: &str, script: &str) -> Result<()> {
        self.file(path, script)?;
        let executable = std::fs::Permissions::from_mode(0o755);
        Ok(std::fs::set_permissions(self.upper().join(path), executable)?)
    }

    /// Puts a symbolic link there.
    pub fn link(&self, path: &str, to: &str) -> Result<()> {
        Ok(symlink(to, self.place(path)?)?)
    }

    fn place(&self, path: &str) -> Result<PathBuf> {
        let path = self.upper().join(Path::new(path));
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(path)
    }
}

/// Tells a story on machines that are ordered a while before they boot, so that their disks can be written to.
pub async fn on_machines_held_back(
    change: impl FnOnce(Setting) -> Setting,
    tell: impl AsyncFnOnce(&World) -> Result<()>,
) -> Result<()> {
    if driver() == Some(Driver::Qemu) {
        skipped("only a machine in namespaces has a disk that can be written before it boots");
        return Ok(());
    }
    on_machines(|setting| change(setting).cloud("--boot-delay-ms", HELD_BACK_MS), tell).await
}
