//! What a workspace's walls are, measured: in its processes, its mounts, its control groups, and by trying to reach what it must not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ringfence_protocol::container::ContainerSpec;
use ringfence_protocol::posture::{Posture, PostureCheck};
use ringfence_protocol::state::{NetworkMode, PostureOutcome};

use super::api::Api;
use super::exec::{self, Command};
use super::live::Live;
use super::mounts;
use super::probes::{self, Reached, Targets, Tried};
use super::{cgroup, inside};
use crate::clock;

/// Where engines listen.
const ENGINE_SOCKETS: [&str; 5] = [
    "run/podman/podman.sock",
    "run/docker.sock",
    "var/run/docker.sock",
    "run/containerd/containerd.sock",
    "var/run/podman/podman.sock",
];
const STATUS_WITHIN: Duration = Duration::from_secs(5);
/// Kernels round limits to their pages and ticks.
const TOLERANCE_PERCENT: u64 = 2;

/// What is measured against what.
pub(super) struct Subject<'a> {
    pub(super) api: &'a Api,
    pub(super) live: &'a Live,
    pub(super) spec: &'a ContainerSpec,
    /// First processes of other workspaces.
    pub(super) siblings: Vec<i32>,
}

/// Measures everything.
pub(super) async fn measure(subject: &Subject<'_>) -> Posture {
    let (status, reach) = tokio::join!(status_inside(subject), reach(subject));
    let init = std::fs::read_to_string(format!("/proc/{}/status", subject.live.pid)).ok();
    let statuses = [init, status];
    let mut checks = processes(&statuses);
    checks.extend(namespaces(subject.live.pid));
    checks.extend(file_systems(subject));
    checks.extend(limits(subject));
    checks.push(engine_socket(subject.live.pid));
    checks.push(interfaces(subject));
    checks.extend(reach);
    Posture { measured_at: clock::machine_now(), checks }
}

fn check(id: &str, title: &str, rule: &str, measured: impl Into<String>, holds: Option<bool>) -> PostureCheck {
    PostureCheck {
        id: id.into(),
        title: title.into(),
        rule: rule.into(),
        measured: measured.into(),
        outcome: match holds {
            Some(true) => PostureOutcome::Pass,
            Some(false) => PostureOutcome::Fail,
            None => PostureOutcome::Unknown,
        },
        must_pass: true,
    }
}

/// As a command in the container sees itself: that is what terminals are. Images without `cat` are measured by their first process.
async fn status_inside(subject: &Subject<'_>) -> Option<String> {
    let live = subject.live;
    let root = PathBuf::from(format!("/proc/{}/root", live.pid));
    let cat = ["/bin/cat", "/usr/bin/cat"].into_iter().find(|path| inside::has_program(&root, path))?;
    let words = vec![cat.to_owned(), "/proc/self/status".to_owned()];
    let command =
        Command { container: &live.container, container_pid: live.pid, words, env: Vec::new(), limit: STATUS_WITHIN };
    let outcome = exec::run(subject.api, command).await.ok()?;
    (outcome.code == Some(0)).then_some(outcome.tail)
}

fn processes(statuses: &[Option<String>]) -> Vec<PostureCheck> {
    let seen: Vec<&str> = statuses.iter().flatten().map(String::as_str).collect();
    let of = |names: &[&str], is_right: fn(&str) -> bool| {
        let mut measured = Vec::new();
        let mut holds = Some(!seen.is_empty());
        for name in names {
            for status in &seen {
                let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
                holds = value.map(|value| holds == Some(true) && is_right(value)).filter(|_| holds.is_some());
                measured.push(format!("{name} {}", value.unwrap_or("?").replace('\t', " ")));
            }
        }
        measured.dedup();
        (measured.join(", "), holds)
    };
    let nothing = |value: &str| value.bytes().all(|byte| byte == b'0');
    let (capabilities, none) = of(&["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"], nothing);
    let (user, nobody_is_root) = of(&["Uid", "Gid"], |value| value.split_whitespace().all(|id| id != "0"));
    let (privileges, no_new) = of(&["NoNewPrivs"], |value| value == "1");
    let (seccomp, filters) = of(&["Seccomp"], |value| value == "2");
    vec![
        check("user", "Nothing in the container runs as root.", "a user without privileges", user, nobody_is_root),
        check("capabilities", "The container has no capabilities.", "all capabilities dropped", capabilities, none),
        check("no_new_privileges", "No program can gain privileges.", "no-new-privileges", privileges, no_new),
        check(
            "seccomp",
            "System calls are filtered.",
            "seccomp profile without namespaces and mounts",
            seccomp,
            filters,
        ),
    ]
}

fn namespaces(pid: i32) -> [PostureCheck; 2] {
    let link = |process: &str, kind: &str| std::fs::read_link(format!("/proc/{process}/ns/{kind}")).ok();
    let is_own = |kind: &str| link(&pid.to_string(), kind).zip(link("self", kind)).map(|(theirs, ours)| theirs != ours);
    let kinds = ["ipc", "mnt", "net", "pid", "uts"];
    let own = kinds.map(is_own);
    let shared: Vec<&str> =
        kinds.into_iter().zip(own).filter(|(_, own)| *own != Some(true)).map(|(kind, _)| kind).collect();
    let holds = own.iter().all(Option::is_some).then_some(shared.is_empty());
    let measured = match shared.is_empty() {
        true => format!("own: {}", kinds.join(", ")),
        false => format!("shared: {}", shared.join(", ")),
    };
    let title = "The container shares no namespace with the machine.";
    let mut groups = check(
        "cgroup_namespace",
        "The container does not see where its control groups are.",
        "control group namespace of its own",
        is_own("cgroup").map_or("not readable", |own| if own { "own" } else { "shared" }),
        is_own("cgroup"),
    );
    // Podman gives none with version 1 of control groups. What is shared are names, which it can only read.
    groups.must_pass = false;
    [check("namespaces", title, "namespaces of its own", measured, holds), groups]
}

fn file_systems(subject: &Subject<'_>) -> Vec<PostureCheck> {
    let mounted = std::fs::read_to_string(format!("/proc/{}/mountinfo", subject.live.pid)).ok();
    let mounted = mounted.as_deref().map(mounts::parse);
    let root = mounted.as_ref().map(|mounted| mounts::is_read_only(mounted, "/"));
    let unexpected = mounted.as_ref().map(|mounted| mounts::unexpected(mounted));
    let flagged = mounted.as_ref().map(|mounted| mounts::without_flags(mounted));
    let list = |places: &Option<Vec<String>>| match places {
        None => "not readable".to_owned(),
        Some(places) if places.is_empty() => "none".to_owned(),
        Some(places) => places.join(", "),
    };
    let size =
        rustix::fs::statvfs(subject.live.volume.root()).ok().map(|disk| disk.f_blocks.saturating_mul(disk.f_frsize));
    let quota = subject.spec.disk_quota_bytes;
    let is_volume = mounted.as_ref().zip(device_of(subject.live.volume.root()));
    let is_volume = is_volume.map(|(mounted, device)| mounts::are_of_device(mounted, &device));
    let within = size.map(|size| size <= quota).zip(is_volume).map(|(within, own)| within && own);
    vec![
        check("read_only_root", "The image's files cannot be changed.", "read-only root", format!("{root:?}"), root)
            .with_measured(if root == Some(true) { "/ is read-only" } else { "/ is not read-only" }),
        check(
            "mounts",
            "Nothing of the machine is mounted into the container but its own volumes.",
            "no mounts beyond a workspace's own",
            format!("unexpected: {}", list(&unexpected)),
            unexpected.as_ref().map(Vec::is_empty),
        ),
        check(
            "mount_flags",
            "Devices and set-user-id programs do not work where the workspace can write.",
            "nosuid and nodev",
            format!("without: {}", list(&flagged)),
            flagged.as_ref().map(Vec::is_empty),
        ),
        check(
            "disk_quota",
            "The workspace's files are on a file system of limited size.",
            "disk quota",
            format!("{} MiB of {} MiB asked", size.unwrap_or(0) >> 20, quota >> 20),
            within,
        ),
    ]
}

trait WithMeasured {
    fn with_measured(self, measured: &str) -> Self;
}

impl WithMeasured for PostureCheck {
    fn with_measured(mut self, measured: &str) -> Self {
        self.measured = measured.to_owned();
        self
    }
}

fn device_of(path: &Path) -> Option<String> {
    let device = rustix::fs::stat(path).ok()?.st_dev;
    Some(format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)))
}

fn limits(subject: &Subject<'_>) -> Vec<PostureCheck> {
    let limits = subject.live.groups().map(cgroup::Groups::limits).unwrap_or_default();
    let spec = subject.spec;
    let within =
        |limit: Option<u64>, asked: u64| limit.map(|limit| limit <= asked + asked * TOLERANCE_PERCENT / 100 + 1);
    let say = |limit: Option<u64>, unit: &str| limit.map_or("no limit".to_owned(), |limit| format!("{limit}{unit}"));
    // No limit is not unknown: it is none.
    let or_none = |holds: Option<bool>| holds.or(Some(false));
    vec![
        check(
            "memory_limit",
            "The container's memory is limited.",
            "memory limit",
            say(limits.memory_bytes, " bytes"),
            or_none(within(limits.memory_bytes, spec.memory_limit_bytes)),
        ),
        check(
            "pids_limit",
            "The number of its processes is limited.",
            "process limit",
            say(limits.pids, " processes"),
            or_none(within(limits.pids, u64::from(spec.pids_limit))),
        ),
        check(
            "cpu_limit",
            "Its processor time is limited.",
            "processor limit",
            say(limits.cpu_millis, " thousandths of a processor"),
            or_none(within(limits.cpu_millis, u64::from(spec.cpu_limit_millis))),
        ),
    ]
}

fn engine_socket(pid: i32) -> PostureCheck {
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let found: Result<Vec<&str>, std::io::Error> = ENGINE_SOCKETS
        .into_iter()
        .map(|place| inside::exists(&root, place).map(|exists| exists.then_some(place)))
        .filter_map(Result::transpose)
        .collect();
    let (measured, holds) = match &found {
        Ok(found) if found.is_empty() => ("none".to_owned(), Some(true)),
        Ok(found) => (found.join(", "), Some(false)),
        Err(error) => (error.to_string(), None),
    };
    check(
        "engine_socket",
        "The container engine's socket is not in the container.",
        "no engine socket",
        measured,
        holds,
    )
}

fn interfaces(subject: &Subject<'_>) -> PostureCheck {
    let devices = std::fs::read_to_string(format!("/proc/{}/net/dev", subject.live.pid)).ok();
    let devices = devices.as_deref().map(|text| {
        let names = text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
        names.filter(|name| *name != "lo").map(str::to_owned).collect::<Vec<_>>()
    });
    let measured = devices.as_ref().map_or("not readable".to_owned(), |devices| match devices.is_empty() {
        true => "none".to_owned(),
        false => devices.join(", "),
    });
    let holds = devices.map(|devices| match subject.spec.network {
        NetworkMode::None | NetworkMode::Restricted => devices.is_empty(),
        NetworkMode::Internet => devices.len() == 1,
    });
    check("interfaces", "The container has the network that was asked for.", "own network, or none", measured, holds)
}

async fn reach(subject: &Subject<'_>) -> Vec<PostureCheck> {
    let pid = subject.live.pid;
    let targets = Targets::find(&subject.siblings).await;
    let kinds = [
        ("metadata_v4", "The cloud's metadata service cannot be reached (IPv4).", "no metadata", &targets.metadata_v4),
        ("metadata_v6", "The cloud's metadata service cannot be reached (IPv6).", "no metadata", &targets.metadata_v6),
        ("private_network", "Private networks cannot be reached.", "no private ranges", &targets.private),
        (
            "machine",
            "The machine itself cannot be reached over the network.",
            "nothing inbound on the machine",
            &targets.machine,
        ),
        ("other_workspaces", "Other workspaces cannot be reached.", "no other workspace", &targets.siblings),
    ];
    let tries = kinds.map(|(id, title, rule, addresses)| async move {
        let tried = probes::try_all(pid, addresses).await;
        let (measured, holds) = said_of(&tried);
        check(id, title, rule, measured, holds)
    });
    futures_util::future::join_all(tries).await
}

fn said_of(tried: &[Tried]) -> (String, Option<bool>) {
    if tried.is_empty() {
        return ("there is none".into(), Some(true));
    }
    let word = |reached| match reached {
        Reached::Yes => "reached",
        Reached::No => "not reached",
        Reached::Unknown => "could not be tried",
    };
    let measured: Vec<String> =
        tried.iter().map(|tried| format!("{} {}", tried.address, word(tried.reached))).collect();
    let is_any = |wanted: Reached| tried.iter().any(|tried| tried.reached == wanted);
    let holds = if is_any(Reached::Yes) { Some(false) } else { (!is_any(Reached::Unknown)).then_some(true) };
    (measured.join(", "), holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Uid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n\
                        CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";

    fn outcomes(statuses: &[Option<&str>]) -> Vec<PostureOutcome> {
        let statuses: Vec<Option<String>> = statuses.iter().map(|status| status.map(str::to_owned)).collect();
        processes(&statuses).into_iter().map(|check| check.outcome).collect()
    }

    #[test]
    fn every_process_that_was_looked_at_must_be_confined() {
        assert_eq!(outcomes(&[Some(GOOD), Some(GOOD)]), [PostureOutcome::Pass; 4]);
        assert_eq!(outcomes(&[Some(GOOD), None]), [PostureOutcome::Pass; 4]);
        let bad = GOOD
            .replace("CapBnd:\t0000000000000000", "CapBnd:\t00000000a80425fb")
            .replace("Seccomp:\t2", "Seccomp:\t0");
        let (pass, fail) = (PostureOutcome::Pass, PostureOutcome::Fail);
        assert_eq!(outcomes(&[Some(GOOD), Some(&bad)]), [pass, fail, pass, fail]);
        assert_eq!(outcomes(&[Some(&bad), Some(GOOD)]), [pass, fail, pass, fail]);
        let root = GOOD.replace("Uid:\t1000\t1000", "Uid:\t1000\t0");
        assert_eq!(outcomes(&[Some(&root)])[0], fail);
    }

    #[test]
    fn what_could_not_be_measured_does_not_pass() {
        assert!(outcomes(&[None, None]).iter().all(|outcome| *outcome != PostureOutcome::Pass));
        assert!(outcomes(&[Some("Name:\tx\n")]).iter().all(|outcome| *outcome == PostureOutcome::Unknown));
        let unknown = [Tried { address: "1.2.3.4".parse().unwrap(), reached: Reached::Unknown }];
        assert_eq!(said_of(&unknown).1, None);
    }
}
