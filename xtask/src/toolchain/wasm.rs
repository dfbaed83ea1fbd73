//! Compiling Rust to `wasm32-unknown-unknown`: with rustup's target, or without rustup's servers.
//!
//! Where the target cannot be downloaded, Debian ships a current Rust (`rustc-web`) with the matching sources of the
//! standard library (`rust-web-src`); cargo then builds the standard library itself, once per profile.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::system::apt_install;
use crate::progress::{say, step};
use crate::{project, run};

/// worker-build asks `rustc` where the target's library is, and would have rustup download it if there is nothing in that
/// place. Cargo makes the library itself, so any folder is a true enough answer.
const STAND_IN: &str = "#!/bin/sh
case \" $* \" in
*' target-libdir '*) echo 'LIB' ;;
*) exec RUSTC \"$@\" ;;
esac
";
const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CLIPPY: &str = "/usr/bin/cargo-clippy";
const DEBIAN_STD_SOURCES: &str = "/usr/lib/rustlib/src/rust/library/std";
/// The edition and the language features in use need at least this (`rust-version` of the workspace).
const OLDEST_MINOR: u32 = 95;
/// An unreachable server must not hold up set-up for longer.
const RUSTUP_TIMEOUT_SECS: &str = "60";

/// How this machine compiles Rust to WebAssembly.
#[derive(Clone, Debug)]
pub enum WasmToolchain {
    /// The default toolchain has the target.
    Installed,
    /// Debian's compiler and standard library sources, linked with the default toolchain's `rust-lld`.
    Debian {
        /// The folder that holds `rust-lld`.
        linker_dir: PathBuf,
        /// The folder that holds [`STAND_IN`] as `rustc`.
        stand_in_dir: PathBuf,
    },
}

impl WasmToolchain {
    /// Finds a way that works, installing what is missing.
    pub fn ensure() -> Result<Self> {
        if let Some(found) = Self::find()? {
            return Ok(found);
        }
        let title = format!("Adding the {TARGET} target");
        let added = step(&title, || {
            let mut command = run::command("timeout");
            run::quiet(command.args([RUSTUP_TIMEOUT_SECS, "rustup", "target", "add", TARGET]))
        });
        if let Err(error) = added {
            say(format!("rustup could not: {}", error.to_string().lines().last().unwrap_or_default()));
            apt_install(&["rustc-web", "rust-web-src"], "a Rust compiler with a wasm32 target")?;
        }
        Self::find()?.with_context(|| {
            format!(
                "no Rust compiler for {TARGET}: `rustup target add {TARGET}`, or Debian's rustc-web and rust-web-src"
            )
        })
    }

    fn find() -> Result<Option<Self>> {
        if default_toolchain_has_target()? {
            return Ok(Some(Self::Installed));
        }
        if !debian_has_current_rust() {
            return Ok(None);
        }
        let Some(linker_dir) = linker_dir()? else { return Ok(None) };
        Ok(Some(Self::Debian { linker_dir, stand_in_dir: stand_in_dir()? }))
    }

    /// The toolchain in a word or two, for people and for stamps.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Installed => "rustup's target",
            Self::Debian { .. } => "Debian's rustc-web, standard library from source",
        }
    }

    /// Prepares a command that compiles for the target, directly or through cargo.
    pub fn apply(&self, command: &mut Command) -> Result<()> {
        match self {
            Self::Installed => {}
            Self::Debian { linker_dir, stand_in_dir } => {
                command.env("RUSTC", DEBIAN_RUSTC);
                // Stable compilers build the standard library only when told that we know what we do.
                command.env("RUSTC_BOOTSTRAP", "1");
                command.env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort");
                command.env("PATH", path_with(&[stand_in_dir, linker_dir])?);
            }
        }
        Ok(())
    }
}

impl WasmToolchain {
    /// Clippy for the target, without its arguments. Linter and compiler must be of one version, so Debian's compiler
    /// brings Debian's linter.
    pub fn clippy(&self) -> Result<Command> {
        let mut command = match self {
            Self::Installed => run::command("cargo"),
            Self::Debian { .. } => {
                if !Path::new(DEBIAN_CLIPPY).is_file() {
                    apt_install(&["rust-web-clippy"], "the linter of Debian's Rust")?;
                }
                run::command(DEBIAN_CLIPPY)
            }
        };
        command.args(["clippy", "--target", TARGET]);
        command.env("CARGO_TARGET_DIR", project::target_dir().join("wasm"));
        self.apply(&mut command)?;
        Ok(command)
    }
}

/// PATH with more folders in front.
fn path_with(dirs: &[&PathBuf]) -> Result<OsString> {
    let old = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(dirs.iter().map(|dir| (*dir).clone()).chain(std::env::split_paths(&old)))?)
}

/// Writes [`STAND_IN`] and the empty folder that it speaks of.
fn stand_in_dir() -> Result<PathBuf> {
    let dir = project::cache_dir()?.join("tools/debian-rustc");
    let (bin, lib) = (dir.join("bin"), dir.join("lib"));
    fs::create_dir_all(&bin)?;
    fs::create_dir_all(&lib)?;
    let script = STAND_IN.replace("RUSTC", DEBIAN_RUSTC).replace("LIB", &lib.to_string_lossy());
    let program = bin.join("rustc");
    if fs::read_to_string(&program).is_ok_and(|text| text == script) {
        return Ok(bin);
    }
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(bin)
}

fn default_toolchain_has_target() -> Result<bool> {
    let libdir = run::read(run::command("rustc").args(["--print", "target-libdir", "--target", TARGET]))?;
    let mut entries = match fs::read_dir(libdir) {
        Ok(entries) => entries,
        Err(_) => return Ok(false),
    };
    Ok(entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))))
}

fn debian_has_current_rust() -> bool {
    Path::new(DEBIAN_STD_SOURCES).is_dir()
        && run::read(run::command(DEBIAN_RUSTC).arg("--version"))
            .is_ok_and(|version| minor_version(&version).is_some_and(|minor| minor >= OLDEST_MINOR))
}

/// The middle number of `rustc 1.96.0 (…)`.
fn minor_version(text: &str) -> Option<u32> {
    text.strip_prefix("rustc 1.")?.split('.').next()?.parse().ok()
}

/// The folder of the default toolchain's `rust-lld`, which Debian's compiler lacks.
fn linker_dir() -> Result<Option<PathBuf>> {
    let sysroot = PathBuf::from(run::read(run::command("rustc").args(["--print", "sysroot"]))?);
    let dir = sysroot.join("lib/rustlib").join(host_triple()?).join("bin");
    Ok(dir.join("rust-lld").is_file().then_some(dir))
}

/// The triple of this machine, as the default compiler calls it.
pub fn host_triple() -> Result<String> {
    let version = run::read(run::command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_versions_are_read_from_rustc() {
        assert_eq!(minor_version("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)"), Some(96));
        assert_eq!(minor_version("rustc 2.0.0"), None);
    }
}
