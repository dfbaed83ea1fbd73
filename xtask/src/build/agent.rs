//! The agent as one static file that runs on any Linux of its architecture, the same bytes from the same sources wherever they
//! are built, and its place among the static assets: VMs fetch it from there by its digest and refuse any other.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::Profile;
use crate::progress::say;
use crate::toolchain::wasm::host_triple;
use crate::{clock, project, run, stamp};

/// The name of the program, and of its file in the assets.
const NAME: &str = "vm-agent";
/// Binaries that stay published, the newest included: machines that are about to boot were told the digest of an older one.
const KEPT: usize = 3;
/// What a static asset may have at most, in bytes: 25 MiB.
const MAX_ASSET_BYTES: u64 = 25 * 1024 * 1024;
/// The other architecture that providers have machines of, its target and the linker that it takes.
const AARCH64: &str = "aarch64-unknown-linux-gnu";
const AARCH64_LINKER: &str = "aarch64-linux-gnu-gcc";

/// A folder of its own: other compiler flags in the shared one would rebuild every dependency at each change of mind.
fn target_dir() -> PathBuf {
    project::target_dir().join("agent")
}

/// Cargo's profile, and the name of the folder where it puts things.
fn cargo_profile(profile: Profile) -> &'static str {
    match profile {
        Profile::Dev => "agent-dev",
        Profile::Release => "agent",
    }
}

/// Where the static agent for this machine's architecture is, once built.
pub fn static_binary(profile: Profile) -> Result<PathBuf> {
    Ok(binary_for(&host_triple()?, profile))
}

fn binary_for(target: &str, profile: Profile) -> PathBuf {
    target_dir().join(target).join(cargo_profile(profile)).join(NAME)
}

/// Builds the agent for this machine's architecture, with the C library inside.
pub fn build_static(profile: Profile) -> Result<()> {
    build_for(&host_triple()?, profile)
}

/// Builds the agent for the other architecture too, where its compiler is installed. Says so where it is not.
pub fn build_aarch64() -> Result<Option<PathBuf>> {
    if host_triple()? == AARCH64 {
        return Ok(None);
    }
    let library = run::read(run::command("rustc").args(["--print", "target-libdir", "--target", AARCH64]))?;
    let has_linker = run::read(run::command(AARCH64_LINKER).arg("--version")).is_ok();
    if !Path::new(&library).is_dir() || !has_linker {
        say(format!(
            "vm-agent for aarch64 was left out: it takes `rustup target add {AARCH64}`, {AARCH64_LINKER} and its C library"
        ));
        return Ok(None);
    }
    build_for(AARCH64, Profile::Release)?;
    Ok(Some(binary_for(AARCH64, Profile::Release)))
}

fn build_for(target: &str, profile: Profile) -> Result<()> {
    let mut command = run::command("cargo");
    command.args(["build", "--quiet", "--locked", "--profile", cargo_profile(profile), "-p", NAME]);
    // Naming the target keeps the flags away from build scripts and macros, which cannot be static.
    command.args(["--target", target]).arg("--target-dir").arg(target_dir());
    let places = places()?;
    command.env("CARGO_ENCODED_RUSTFLAGS", rust_flags(&places));
    command.env_remove("RUSTFLAGS");
    command.env("CFLAGS", c_flags(&places));
    if target == AARCH64 {
        command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", AARCH64_LINKER);
    }
    run::show(&mut command)
}

/// Folders whose paths would get into the binary (as places of panics and in C's `__FILE__`), and what stands there instead.
/// The innermost come last: where several fit, the last one is taken.
fn places() -> Result<Vec<(PathBuf, &'static str)>> {
    let home = std::env::home_dir().context("no home directory: set HOME")?;
    let cargo_home = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let sysroot = PathBuf::from(run::read(run::command("rustc").args(["--print", "sysroot"]))?);
    Ok(vec![
        (sysroot, "/rust"),
        (cargo_home, "/cargo"),
        (project::root().to_path_buf(), "/ringfence"),
        (target_dir(), "/target"),
    ])
}

/// Separated as cargo wants it where paths may hold spaces.
fn rust_flags(places: &[(PathBuf, &str)]) -> OsString {
    let mut flags = OsString::from("-Ctarget-feature=+crt-static");
    for (path, instead) in places {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(path);
        flags.push(format!("={instead}"));
    }
    flags
}

fn c_flags(places: &[(PathBuf, &str)]) -> String {
    let maps = places.iter().map(|(path, instead)| format!("-ffile-prefix-map={}={instead}", path.display()));
    maps.collect::<Vec<_>>().join(" ")
}

/// The digest of a binary, as user-data names it.
pub fn sha256(agent: &Path) -> Result<String> {
    let bytes = fs::read(agent).with_context(|| format!("reading {}", agent.display()))?;
    Ok(stamp::hex(&Sha256::digest(bytes)))
}

/// Puts binaries among the static assets, each under its digest, beside those of earlier builds of the profile.
pub fn publish(agents: &[PathBuf], profile: Profile) -> Result<()> {
    let store = project::target_dir().join("agent-bin").join(cargo_profile(profile));
    publish_to(agents, &store, &project::root().join("web/dist/agent-bin"))
}

/// The build of the browser UI empties the assets' folder, so what is to stay has a store of its own.
fn publish_to(agents: &[PathBuf], store: &Path, assets: &Path) -> Result<()> {
    for agent in agents {
        let bytes = fs::metadata(agent)?.len();
        if bytes > MAX_ASSET_BYTES {
            bail!("{} has {bytes} bytes, and a static asset may have {MAX_ASSET_BYTES}", agent.display());
        }
        let digest = sha256(agent)?;
        let stored = copy_into(agent, &store.join(&digest))?;
        // The newest by use, not by when it was first built: a return to older sources counts.
        fs::File::options().append(true).open(stored)?.set_modified(clock::system_now())?;
    }
    let mut kept = stored_by_age(store)?;
    for old in kept.split_off(kept.len().min(KEPT * agents.len())) {
        fs::remove_dir_all(old)?;
    }
    for dir in fs::read_dir(assets).into_iter().flatten() {
        let dir = dir?;
        if !kept.iter().any(|kept| kept.file_name() == Some(&dir.file_name())) {
            fs::remove_dir_all(dir.path())?;
        }
    }
    for dir in &kept {
        let digest = dir.file_name().context("a digest")?;
        copy_into(&dir.join(NAME), &assets.join(digest))?;
    }
    Ok(())
}

/// Copies a binary into a folder named by its digest, unless it is there. Whole or not at all: a server may be reading.
fn copy_into(agent: &Path, dir: &Path) -> Result<PathBuf> {
    let to = dir.join(NAME);
    if !to.is_file() {
        fs::create_dir_all(dir)?;
        let draft = dir.join(".draft");
        fs::copy(agent, &draft).with_context(|| format!("copying the agent to {}", dir.display()))?;
        fs::rename(draft, &to)?;
    }
    Ok(to)
}

/// The folders of a store, the most recently published first.
fn stored_by_age(store: &Path) -> Result<Vec<PathBuf>> {
    let mut stored = Vec::new();
    for dir in fs::read_dir(store)? {
        let dir = dir?.path();
        match fs::metadata(dir.join(NAME)) {
            Ok(metadata) => stored.push((metadata.modified()?, dir)),
            // A copy that was broken off.
            Err(_) => fs::remove_dir_all(dir)?,
        }
    }
    stored.sort_unstable_by(|a, b| b.cmp(a));
    Ok(stored.into_iter().map(|(_, dir)| dir).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_digests_stay_published_up_to_a_number() {
        let dir = tempfile::tempdir().unwrap();
        let (store, assets, agent) = (dir.path().join("store"), dir.path().join("assets"), dir.path().join("built"));
        let mut digests = Vec::new();
        let mut publish = |contents: &str| {
            fs::write(&agent, contents).unwrap();
            publish_to(std::slice::from_ref(&agent), &store, &assets).unwrap();
            digests.push(sha256(&agent).unwrap());
            digests.clone()
        };
        for contents in ["one", "two", "three", "one"] {
            publish(contents);
        }
        // As the build of the UI does.
        fs::remove_dir_all(&assets).unwrap();
        let digests = publish("four");
        let published = |digest: &str| assets.join(digest).join(NAME).is_file();
        assert!(published(&digests[4]) && published(&digests[2]) && published(&digests[3]));
        assert!(!published(&digests[1]), "the one that was not used for longest goes");
        assert_eq!(fs::read(assets.join(&digests[3]).join(NAME)).unwrap(), b"one");
    }

    #[test]
    fn paths_with_spaces_are_one_flag() {
        let flags = rust_flags(&[(PathBuf::from("/home/a b"), "/ringfence")]);
        let flags: Vec<_> = flags.to_str().unwrap().split('\u{1f}').collect();
        assert_eq!(flags, ["-Ctarget-feature=+crt-static", "--remap-path-prefix=/home/a b=/ringfence"]);
    }
}
