//! Ways to log in to this machine, of which there must be none.

use std::fs;
use std::path::{Path, PathBuf};

use super::Host;

/// Units that would let somebody in.
const SSH_UNITS: [&str; 4] = ["ssh.service", "ssh.socket", "sshd.service", "sshd.socket"];
/// Units that change or restart things by themselves.
const TIMERS: [&str; 4] =
    ["apt-daily.timer", "apt-daily-upgrade.timer", "unattended-upgrades.service", "podman-auto-update.timer"];

impl Host {
    /// Units of ssh that could be started.
    pub(super) fn open_ssh_units(&self) -> Vec<&'static str> {
        SSH_UNITS.into_iter().filter(|unit| !self.is_masked(unit)).collect()
    }

    /// Timers that could run.
    pub(super) fn open_timers(&self) -> Vec<&'static str> {
        TIMERS.into_iter().filter(|unit| !self.is_masked(unit)).collect()
    }

    fn is_masked(&self, unit: &str) -> bool {
        fs::read_link(self.path("etc/systemd/system").join(unit)).is_ok_and(|to| to == Path::new("/dev/null"))
    }

    /// Accounts with a password, an empty one included. `Err` when that cannot be read.
    pub(super) fn accounts_with_password(&self) -> Result<Vec<String>, String> {
        let shadow = fs::read_to_string(self.path("etc/shadow")).map_err(|error| format!("/etc/shadow: {error}"))?;
        let open = shadow.lines().filter_map(|line| {
            let (user, rest) = line.split_once(':')?;
            let password = rest.split(':').next().unwrap_or_default();
            (!password.starts_with(['!', '*'])).then(|| user.to_owned())
        });
        Ok(open.collect())
    }

    /// Files of keys that ssh would take.
    pub(super) fn authorized_keys(&self) -> Vec<PathBuf> {
        let homes = fs::read_dir(self.path("home")).into_iter().flatten();
        let homes = homes.filter_map(|home| home.ok().map(|home| home.path()));
        let homes = homes.chain([self.path("root")]);
        homes.map(|home| home.join(".ssh/authorized_keys")).filter(|keys| keys.exists()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_keys_and_units_that_are_not_masked_are_found() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::at(root.path());
        assert!(host.accounts_with_password().is_err(), "what cannot be read is not taken for good");
        for directory in ["etc/systemd/system", "home/debian/.ssh"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        fs::write(root.path().join("etc/shadow"), "root:*:1:0:::::\nold:!$y$x:1::::::\na:$y$x:1::::::\nb::1::::::\n")
            .unwrap();
        assert_eq!(host.accounts_with_password().unwrap(), ["a", "b"]);
        assert!(host.authorized_keys().is_empty());
        fs::write(root.path().join("home/debian/.ssh/authorized_keys"), "ssh-ed25519 …").unwrap();
        assert_eq!(host.authorized_keys().len(), 1);
        for unit in SSH_UNITS {
            std::os::unix::fs::symlink("/dev/null", root.path().join("etc/systemd/system").join(unit)).unwrap();
        }
        assert!(host.open_ssh_units().is_empty());
        assert_eq!(host.open_timers(), TIMERS);
    }
}
