//! What is measured of the machine, each with the rule it stands for.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use ringfence_protocol::posture::{Posture, PostureCheck};
use ringfence_protocol::state::PostureOutcome;

use super::firewall::{self, Family};
use super::metadata::{METADATA_V4, METADATA_V6, probe};
use super::{ENGINE_SOCKETS, Host, sockets};
use crate::clock;

/// Most things of one kind that a measurement names.
const MAX_NAMED: usize = 5;

impl Host {
    /// Measures everything. `engine` is the engine and its runtime with their versions; absent where there is none.
    pub async fn measure(&self, engine: Option<&str>) -> Posture {
        let (metadata_v4, metadata_v6) = tokio::join!(probe(METADATA_V4), probe(METADATA_V6));
        let checks = vec![
            self.firewall(Family::V4).await,
            self.firewall(Family::V6).await,
            listening().await,
            must(
                "metadata_v4",
                "The machine does not reach its provider's metadata service over IPv4.",
                "no metadata",
                metadata_v4,
            ),
            must(
                "metadata_v6",
                "The machine does not reach its provider's metadata service over IPv6.",
                "no metadata",
                metadata_v6,
            ),
            self.ssh(),
            self.logins(),
            self.user_data(),
            self.engine_socket(),
            self.timers(),
            forwarding(),
            self.versions(engine),
        ];
        Posture { measured_at: clock::machine_now(), checks }
    }

    async fn firewall(&self, family: Family) -> PostureCheck {
        let (id, title) = match family {
            Family::V4 => ("firewall_v4", "The firewall drops what nobody on the machine asked for (IPv4)."),
            Family::V6 => ("firewall_v6", "The firewall drops what nobody on the machine asked for (IPv6)."),
        };
        let measured = match firewall::look_at(family, self.stage()).await {
            Ok(seen) if !seen.differences.is_empty() => (PostureOutcome::Fail, some_of(&seen.differences)),
            Ok(seen) if seen.rules == 0 => (PostureOutcome::Pass, "the kernel has no IPv6".to_owned()),
            Ok(seen) => {
                let dropped: Vec<_> =
                    seen.dropped.iter().map(|(chain, packets)| format!("{chain}: {packets}")).collect();
                let dropped = if dropped.is_empty() { "none yet".to_owned() } else { dropped.join(", ") };
                (PostureOutcome::Pass, format!("{} rules as they must be; packets dropped: {dropped}", seen.rules))
            }
            Err(error) => (PostureOutcome::Unknown, error.to_string()),
        };
        must(id, title, "default deny, in and out of containers", measured)
    }

    fn ssh(&self) -> PostureCheck {
        let open = self.open_ssh_units();
        let measured = none_of(&open, "every unit of ssh is masked", "not masked");
        must("ssh", "Nobody can log in by ssh.", "ssh masked", measured)
    }

    fn logins(&self) -> PostureCheck {
        let measured = match self.accounts_with_password() {
            Err(error) => (PostureOutcome::Unknown, error),
            Ok(mut open) => {
                open.extend(self.authorized_keys().iter().map(|path| path.display().to_string()));
                none_of(&open, "no account has a password, no file holds keys", "open")
            }
        };
        must("logins", "No account can be logged in to.", "no passwords, no keys", measured)
    }

    fn user_data(&self) -> PostureCheck {
        let copies: Vec<_> = self.copies_of_user_data().iter().map(|path| path.display().to_string()).collect();
        let measured = none_of(&copies, "no copy is left", "still there");
        must("user_data", "User-data and the bootstrap token in it are erased.", "no secret stays on disk", measured)
    }

    fn engine_socket(&self) -> PostureCheck {
        let (id, title, rule) =
            ("engine_socket", "Only root speaks to the container engine.", "the engine's socket is root's");
        let groups = fs::read_to_string(self.path("etc/group")).unwrap_or_default();
        let mut seen = Vec::new();
        for (path, _) in ENGINE_SOCKETS {
            let Ok(metadata) = fs::metadata(self.path(path)) else { continue };
            let mode = metadata.mode() & 0o777;
            let is_open = mode & 0o007 != 0 || metadata.uid() != 0 || has_members(metadata.gid(), &groups);
            let words = format!("/{path} has mode {mode:04o}, owner {}:{}", metadata.uid(), metadata.gid());
            if is_open || !metadata.file_type().is_socket() {
                return must(id, title, rule, (PostureOutcome::Fail, words));
            }
            seen.push(words);
        }
        match seen.is_empty() {
            true => must(id, title, rule, (PostureOutcome::Unknown, "there is no socket".into())),
            false => must(id, title, rule, (PostureOutcome::Pass, seen.join(", "))),
        }
    }

    fn timers(&self) -> PostureCheck {
        let measured = none_of(&self.open_timers(), "package timers are masked", "not masked");
        should(
            "timers",
            "Nothing restarts network, engine or agent behind our back.",
            "no unattended upgrades",
            measured,
        )
    }

    fn versions(&self, engine: Option<&str>) -> PostureCheck {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let release = fs::read_to_string(self.path("etc/os-release")).unwrap_or_default();
        let distribution = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown");
        let measured = format!(
            "vm-agent {}; {}; Linux {}; {}",
            env!("CARGO_PKG_VERSION"),
            distribution.trim_matches('"'),
            kernel.trim(),
            engine.unwrap_or("no container engine"),
        );
        should("versions", "What runs on the machine.", "versions are known", (PostureOutcome::Pass, measured))
    }
}

async fn listening() -> PostureCheck {
    let measured = match sockets::listening().await {
        Ok(found) => none_of(&found, "nothing but a DHCP client", "listening"),
        Err(error) => (PostureOutcome::Unknown, error),
    };
    must("listening", "No program listens to the network.", "no listening sockets beyond loopback", measured)
}

fn forwarding() -> PostureCheck {
    let is_on = |path: &str| match fs::read_to_string(path).as_deref().map(str::trim) {
        Ok("0") => "off",
        Ok(_) => "on",
        Err(_) => "not there",
    };
    let v4 = is_on("/proc/sys/net/ipv4/ip_forward");
    let v6 = is_on("/proc/sys/net/ipv6/conf/all/forwarding");
    let measured = format!("IPv4 {v4}, IPv6 {v6}; the firewall decides what of it passes, of IPv6 nothing");
    should(
        "forwarding",
        "What is forwarded between networks.",
        "containers reach the internet alone",
        (PostureOutcome::Pass, measured),
    )
}

/// Whether a group has members beside those whose first group it is. Root's own may have any.
fn has_members(gid: u32, groups: &str) -> bool {
    let group = groups.lines().find(|line| line.split(':').nth(2).and_then(|id| id.parse().ok()) == Some(gid));
    gid != 0 && group.is_none_or(|line| line.split(':').nth(3).is_none_or(|members| !members.is_empty()))
}

fn none_of<T: ToString>(found: &[T], good: &str, bad: &str) -> (PostureOutcome, String) {
    match found.is_empty() {
        true => (PostureOutcome::Pass, good.to_owned()),
        false => (PostureOutcome::Fail, format!("{bad}: {}", some_of(found))),
    }
}

fn some_of<T: ToString>(found: &[T]) -> String {
    let named: Vec<_> = found.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    match found.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn must(id: &str, title: &str, rule: &str, measured: (PostureOutcome, String)) -> PostureCheck {
    PostureCheck { must_pass: true, ..should(id, title, rule, measured) }
}

fn should(id: &str, title: &str, rule: &str, (outcome, measured): (PostureOutcome, String)) -> PostureCheck {
    PostureCheck { id: id.into(), title: title.into(), rule: rule.into(), measured, outcome, must_pass: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_docker_group_with_members_is_as_good_as_root_for_them() {
        let groups = "root:x:0:\ndocker:x:990:\nopen:x:991:alice\n";
        assert!(!has_members(0, groups));
        assert!(!has_members(990, groups));
        assert!(has_members(991, groups));
        assert!(has_members(992, groups), "an unknown group may have anybody in it");
    }

    #[tokio::test]
    async fn an_untouched_machine_does_not_pass() {
        let root = tempfile::tempdir().unwrap();
        let posture = Host::at(root.path()).measure(None).await;
        let broken: Vec<_> = posture.broken().map(|check| check.id.as_str()).collect();
        for id in ["firewall_v4", "ssh", "logins", "engine_socket"] {
            assert!(broken.contains(&id), "{id} not in {broken:?}");
        }
        assert!(posture.checks.len() <= ringfence_protocol::posture::MAX_CHECKS);
    }
}
