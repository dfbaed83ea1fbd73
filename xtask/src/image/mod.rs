//! `cargo xtask image`: the one Debian image that machines in namespaces and in qemu boot from.
//!
//! The recipe is the shell scripts beside this file, run one after the other, and the files they put into the image. An image is
//! made under a temporary name, renamed when it is whole, and found again by the digest of its recipe. It holds a base without a
//! container engine, a layer with Podman and one with Docker, disks of all three, a kernel, and what the local cloud's registry serves.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;

use crate::progress::{say, step};
use crate::stamp::Inputs;
use crate::toolchain::system::apt_install;
use crate::{project, run};

/// The scripts in their order, each with what it does.
const RECIPE: [(&str, &str); 7] = [
    ("base", "Debian 13 with a kernel, systemd and cloud-init"),
    ("packages", "Packages of container engines"),
    ("podman", "The layer with Podman"),
    ("workspace", "Container images"),
    ("registry", "The registry's storage"),
    ("docker", "The layer with Docker"),
    ("disks", "Disks for qemu"),
];

/// Programs that making and running machines takes, with Debian's names of their packages.
const PROGRAMS: [(&str, &str); 9] = [
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("ip", "iproute2"),
    ("mkfs.ext4", "e2fsprogs"),
    ("dnsmasq", "dnsmasq-base"),
    ("skopeo", "skopeo"),
    ("curl", "curl"),
    ("nsenter", "util-linux"),
    ("shellcheck", "shellcheck"),
];
const QEMU_PROGRAMS: [(&str, &str); 3] =
    [("qemu-system-x86_64", "qemu-system-x86"), ("qemu-img", "qemu-utils"), ("genisoimage", "genisoimage")];

/// An image that is whole.
#[derive(Clone, Debug)]
pub struct Image {
    /// The folder that `local-cloud --image` takes.
    pub dir: PathBuf,
}

impl Image {
    /// The root file system without a container engine; the engines' layers lie over it.
    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("base")
    }

    /// The disk with Podman.
    pub fn disk(&self) -> PathBuf {
        self.dir.join("disks/podman.raw")
    }

    /// The kernel of all disks.
    pub fn kernel(&self) -> PathBuf {
        self.dir.join("kernel")
    }

    /// The initial RAM disk of that kernel.
    pub fn initrd(&self) -> PathBuf {
        self.dir.join("initrd")
    }

    /// What the registry of the local cloud serves.
    pub fn registry(&self) -> PathBuf {
        self.dir.join("registry/storage")
    }
}

/// `cargo xtask image`: makes it if need be, and says where it is.
pub fn print() -> Result<()> {
    let image = ensure()?;
    println!("{}", image.dir.display());
    Ok(())
}

/// Finds the image of this checkout's recipe, or makes it.
pub fn ensure() -> Result<Image> {
    if !cfg!(target_os = "linux") {
        bail!("machines in namespaces need Linux: take --driver process");
    }
    if !geteuid().is_root() {
        bail!("making and running machines needs root: run it with sudo, or take --driver process");
    }
    install(&PROGRAMS, "what machines are made with")?;
    let folder = project::cache_dir()?.join("image");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    // Set-user-id programs of another system are in there, which age: no other account gets at them.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
    let digest = digest()?;
    let dir = folder.join(&digest);
    if !dir.is_dir() {
        // One at a time; whoever waited finds it made.
        let lock = File::create(folder.join("lock"))?;
        lock.lock().context("waiting for another `cargo xtask image`")?;
        if !dir.is_dir() {
            step("Making the machine image", || make(&dir))?;
            remove_others(&folder, &digest);
        }
    }
    Ok(Image { dir })
}

/// Installs what machines in qemu take beyond that.
pub fn ensure_qemu() -> Result<()> {
    install(&QEMU_PROGRAMS, "what virtual machines run in")
}

fn install(programs: &[(&str, &str)], reason: &str) -> Result<()> {
    let missing: Vec<&str> = programs
        .iter()
        .filter(|(program, _)| run::find_program(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() { Ok(()) } else { apt_install(&missing, reason) }
}

fn recipe() -> PathBuf {
    project::root().join("xtask/src/image/recipe")
}

fn digest() -> Result<String> {
    let mut inputs = Inputs::new();
    for (script, _) in RECIPE {
        inputs = inputs.value(&fs::read_to_string(recipe().join(format!("{script}.sh")))?);
    }
    inputs = inputs.value(&fs::read_to_string(recipe().join("lib.sh"))?);
    for file in crate::stamp::files_under(&recipe().join("files"))? {
        // Relative, so that all checkouts share an image.
        inputs = inputs.value(&file.strip_prefix(recipe())?.to_string_lossy()).value(&fs::read_to_string(&file)?);
    }
    let mut digest = inputs.digest();
    digest.truncate(16);
    Ok(digest)
}

fn make(dir: &Path) -> Result<()> {
    let making = dir.with_extension("making");
    remove(&making)?;
    fs::create_dir(&making)?;
    for (script, title) in RECIPE {
        step(title, || {
            let mut command = run::command("bash");
            command.args(["-c", ". \"$LIB\"; . \"$1\"", "recipe"]).arg(recipe().join(format!("{script}.sh")));
            command.env("LIB", recipe().join("lib.sh")).env("FILES", recipe().join("files")).env("OUT", &making);
            run::quiet(&mut command)
        })?;
    }
    File::create(making.join("lock"))?;
    fs::rename(&making, dir).with_context(|| format!("naming {}", dir.display()))
}

/// Images of older recipes go, except those that a running local cloud still uses.
fn remove_others(folder: &Path, digest: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if !path.is_dir() || entry.file_name().to_string_lossy() == digest {
            continue;
        }
        let in_use = File::open(path.join("lock")).is_ok_and(|lock| lock.try_lock().is_err());
        if in_use {
            say(format!("{} is still in use", path.display()));
        } else if let Err(error) = remove(&path) {
            say(format!("{error:#}"));
        }
    }
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", dir.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_of_the_recipe_is_there_and_says_what_it_does() {
        for script in RECIPE.iter().map(|(script, _)| *script).chain(["lib"]) {
            let text = fs::read_to_string(recipe().join(format!("{script}.sh"))).unwrap();
            assert!(text.starts_with("# "), "{script}.sh");
        }
        assert_eq!(digest().unwrap().len(), 16);
    }

    #[test]
    fn images_of_older_recipes_go_unless_they_are_in_use() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["new", "old", "used", "broken.making"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            File::create(folder.path().join(name).join("lock")).unwrap();
        }
        let user = File::open(folder.path().join("used/lock")).unwrap();
        user.lock_shared().unwrap();
        remove_others(folder.path(), "new");
        let left = |name: &str| folder.path().join(name).exists();
        assert!(left("new") && left("used") && !left("old") && !left("broken.making"));
    }
}
