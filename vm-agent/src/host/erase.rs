//! Leaves nothing of user-data on disk: the bootstrap token was in it, and cloud-init keeps many copies.
//!
//! cloud-init is switched off for later starts, too: what it did on the first one stays (network, host name), the firewall and the
//! agent have units of their own, and without its user-data it would make the image's default user.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk;

use super::Host;

/// Its presence switches cloud-init off.
const DISABLED: &str = "etc/cloud/cloud-init.disabled";
/// Where cloud-init keeps what is known of each machine this disk has been.
const INSTANCES: &str = "var/lib/cloud/instances";
/// Whole directories of which nothing may remain.
const DIRECTORIES: [&str; 1] = ["var/lib/cloud/seed"];
/// Where parts of user-data are also found, each file by the beginning of its name.
const PLACES: [(&str, &[&str]); 1] = [("run/cloud-init", &["instance-data", "combined-cloud-config", "cloud-config"])];
/// Files of one instance that hold user-data or are made from it, by the beginnings of their names.
const OF_INSTANCE: [&str; 6] = ["user-data", "vendor-data", "vendor-cloud", "vendor2", "cloud-config", "obj.pkl"];
/// Directories of one instance that hold parts of it.
const PARTS_OF_INSTANCE: [&str; 2] = ["scripts", "handlers"];

impl Host {
    /// Removes every copy of user-data and switches cloud-init off.
    pub fn erase_user_data(&self) -> Result<(), String> {
        let named = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
        for path in self.copies_of_user_data() {
            let removed = match path.symlink_metadata() {
                Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&path),
                Ok(_) | Err(_) => fs::remove_file(&path),
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(named(&path, error)),
                Ok(()) | Err(_) => {}
            }
        }
        let switch = self.path(DISABLED);
        if switch.parent().is_some_and(Path::exists) && !switch.exists() {
            disk::write_private(&switch, b"").map_err(|error| error.to_string())?;
        }
        match self.copies_of_user_data().first() {
            None => Ok(()),
            Some(path) => Err(format!("{} is still there", path.display())),
        }
    }

    /// What holds user-data or parts of it.
    pub fn copies_of_user_data(&self) -> Vec<PathBuf> {
        let mut copies: Vec<PathBuf> =
            DIRECTORIES.iter().map(|directory| self.path(directory)).filter(|path| path.exists()).collect();
        for (directory, beginnings) in PLACES {
            copies.extend(beginning_with(&self.path(directory), beginnings));
        }
        for instance in entries(&self.path(INSTANCES)) {
            copies.extend(beginning_with(&instance, &OF_INSTANCE));
            for part in PARTS_OF_INSTANCE {
                copies.extend(entries(&instance.join(part)));
            }
        }
        copies
    }
}

fn beginning_with(directory: &Path, beginnings: &[&str]) -> Vec<PathBuf> {
    let is_meant = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        beginnings.iter().any(|beginning| name.starts_with(beginning))
    };
    entries(directory).into_iter().filter(is_meant).collect()
}

/// What is in a directory; nothing where there is none.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_copy_of_user_data_is_left_and_cloud_init_is_off() {
        let root = tempfile::tempdir().unwrap();
        let token = "eyJ.bootstrap.token";
        let holding = [
            "var/lib/cloud/seed/nocloud/user-data",
            "var/lib/cloud/instances/i1/user-data.txt",
            "var/lib/cloud/instances/i1/user-data.txt.i",
            "var/lib/cloud/instances/i1/cloud-config.txt",
            "var/lib/cloud/instances/i1/obj.pkl",
            "var/lib/cloud/instances/i1/vendor-data.txt",
            "var/lib/cloud/instances/i1/scripts/runcmd",
            "run/cloud-init/instance-data-sensitive.json",
            "run/cloud-init/instance-data.json",
            "run/cloud-init/combined-cloud-config.json",
        ];
        let harmless = ["var/lib/cloud/instances/i1/boot-finished", "var/lib/cloud/instances/i1/sem/config_runcmd"];
        for path in holding.iter().chain(&harmless) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, token).unwrap();
        }
        fs::create_dir_all(root.path().join("etc/cloud")).unwrap();

        let host = Host::at(root.path());
        assert_eq!(host.copies_of_user_data().len(), holding.len());
        host.erase_user_data().unwrap();
        for path in holding {
            assert!(!root.path().join(path).exists(), "{path}");
        }
        for path in harmless {
            assert!(root.path().join(path).exists(), "{path}");
        }
        assert!(root.path().join(DISABLED).exists());
        host.erase_user_data().unwrap();
    }

    #[test]
    fn a_machine_without_cloud_init_has_nothing_to_erase() {
        let root = tempfile::tempdir().unwrap();
        Host::at(root.path()).erase_user_data().unwrap();
        assert!(fs::read_dir(root.path()).unwrap().next().is_none());
    }
}
