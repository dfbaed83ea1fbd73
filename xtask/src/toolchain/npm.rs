//! wrangler, miniflare, esbuild and wasm-opt, from npm at the versions of `xtask/npm/package-lock.json`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::progress::step;
use crate::stamp::Inputs;
use crate::{project, run};

/// The installed packages.
#[derive(Clone, Debug)]
pub struct NpmTools {
    dir: PathBuf,
}

impl NpmTools {
    /// Finds the packages in the cache under the digest of their lock file, or installs them there.
    pub fn ensure() -> Result<Self> {
        let source = project::root().join("xtask/npm");
        let files = ["package.json", "package-lock.json"];
        let mut inputs = Inputs::new();
        for file in files {
            inputs = inputs.value(&fs::read_to_string(source.join(file)).with_context(|| format!("reading {file}"))?);
        }
        let digest = inputs.digest();
        let dir = project::cache_dir()?.join("npm").join(&digest[..16]);
        if !dir.is_dir() {
            step("Installing wrangler, esbuild and wasm-opt from npm", || {
                // Made aside and renamed: two set-ups at once must not see each other's halves.
                let aside = dir.with_extension(std::process::id().to_string());
                fs::create_dir_all(&aside)?;
                for file in files {
                    fs::copy(source.join(file), aside.join(file))?;
                }
                clean_install(&aside)?;
                if fs::rename(&aside, &dir).is_err() {
                    fs::remove_dir_all(&aside)?;
                }
                Ok(())
            })?;
        }
        Ok(Self { dir })
    }

    /// The folder that holds `node_modules`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A program that one of the packages brings.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join("node_modules/.bin").join(name)
    }
}

/// Installs just what the lock file in a folder says. Install scripts do not run: the packages that carry programs carry
/// them as packages of their own.
pub fn clean_install(dir: &Path) -> Result<()> {
    let mut command = run::command("npm");
    command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"]);
    run::quiet(command.current_dir(dir))
}
