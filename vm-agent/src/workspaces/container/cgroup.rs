//! What the kernel's control groups say of a container, in both of their versions.

use std::fs;
use std::path::{Path, PathBuf};

/// The limits of a container, as the kernel has them. `None`: there is none, or it cannot be read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) memory_bytes: Option<u64>,
    pub(super) pids: Option<u64>,
    pub(super) cpu_millis: Option<u64>,
}

/// Where a process's groups are.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    /// Where the control groups are mounted.
    mounted: PathBuf,
    /// Contents of `/proc/<pid>/cgroup`.
    listed: String,
}

impl Groups {
    pub(super) fn of(pid: i32) -> Option<Self> {
        let listed = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        Some(Self { mounted: "/sys/fs/cgroup".into(), listed })
    }

    /// Processes that were killed because the memory limit was reached, since the container was made.
    pub(super) fn oom_kills(&self) -> Option<u64> {
        let counted = |text: String| {
            let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
            line?.trim().parse().ok()
        };
        let files = [("memory", "memory.oom_control"), ("", "memory.events")];
        files.into_iter().find_map(|(controller, file)| self.read(controller, file).and_then(counted))
    }

    pub(super) fn limits(&self) -> Limits {
        let number = |text: String| text.trim().parse::<u64>().ok();
        let memory = self.read("memory", "memory.limit_in_bytes").and_then(number);
        let pids = self.read("pids", "pids.max").and_then(number);
        let quota = self.read("cpu", "cpu.cfs_quota_us").and_then(number);
        let period = self.read("cpu", "cpu.cfs_period_us").and_then(number);
        let cpu = quota.zip(period);
        let cpu_of_both = |text: String| {
            let (quota, period) = text.trim().split_once(' ')?;
            quota.parse::<u64>().ok().zip(period.parse::<u64>().ok())
        };
        let cpu = cpu.or_else(|| self.read_limited("cpu.max").and_then(cpu_of_both));
        Limits {
            memory_bytes: memory.or_else(|| self.read_limited("memory.max").and_then(number)),
            pids: pids.or_else(|| self.read_limited("pids.max").and_then(number)),
            cpu_millis: cpu.and_then(|(quota, period)| quota.saturating_mul(1000).checked_div(period)),
        }
    }

    /// A file of version 1's hierarchy for this controller, or of version 2's where there is no name.
    fn read(&self, controller: &str, file: &str) -> Option<String> {
        fs::read_to_string(self.directory(controller)?.join(file)).ok()
    }

    /// A limit of version 2: the engine may put it on the group above, with one for the container alone below.
    fn read_limited(&self, file: &str) -> Option<String> {
        let own = self.directory("")?;
        let places = [Some(own.as_path()), own.parent()];
        let limits = places.into_iter().flatten().filter_map(|place| fs::read_to_string(place.join(file)).ok());
        limits.into_iter().find(|limit| !limit.starts_with("max"))
    }

    fn directory(&self, controller: &str) -> Option<PathBuf> {
        // `4:memory:/path`, `1:cpu,cpuacct:/path`, `0::/path`
        let path = self.listed.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let controllers = fields.next()?;
            let path = fields.next()?;
            controllers.split(',').any(|name| name == controller).then_some(path)
        })?;
        let path = path.trim_start_matches('/');
        // Hybrid: version 2 is there, for processes only, in a directory of its own.
        let roots = if controller.is_empty() { vec![self.mounted.clone()] } else { self.roots_of(controller) };
        roots.into_iter().map(|root| root.join(path)).find(|directory| directory.is_dir())
    }

    fn roots_of(&self, controller: &str) -> Vec<PathBuf> {
        let joined = ["cpu,cpuacct", "cpuacct,cpu"].map(|name| self.mounted.join(name));
        let own: &Path = controller.as_ref();
        let mut roots = vec![self.mounted.join(own)];
        if controller == "cpu" {
            roots.extend(joined);
        }
        roots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(files: &[(&str, &str)], listed: &str) -> (tempfile::TempDir, Groups) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let groups = Groups { mounted: dir.path().to_owned(), listed: listed.into() };
        (dir, groups)
    }

    #[test]
    fn version_1_has_a_hierarchy_for_each() {
        let (_dir, groups) = groups(
            &[
                ("memory/libpod/c/memory.limit_in_bytes", "134217728\n"),
                ("memory/libpod/c/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),
                ("pids/libpod/c/pids.max", "64\n"),
                ("cpu,cpuacct/libpod/c/cpu.cfs_quota_us", "150000\n"),
                ("cpu,cpuacct/libpod/c/cpu.cfs_period_us", "100000\n"),
            ],
            "8:pids:/libpod/c\n4:memory:/libpod/c\n1:cpu,cpuacct:/libpod/c\n0::/libpod/c\n",
        );
        assert_eq!(groups.limits(), Limits { memory_bytes: Some(134_217_728), pids: Some(64), cpu_millis: Some(1500) });
        assert_eq!(groups.oom_kills(), Some(3));
    }

    #[test]
    fn version_2_has_one_and_the_limits_may_be_on_the_group_above() {
        let (_dir, groups) = groups(
            &[
                ("machine.slice/c.scope/container/memory.max", "max\n"),
                ("machine.slice/c.scope/memory.max", "1048576\n"),
                ("machine.slice/c.scope/container/pids.max", "max\n"),
                ("machine.slice/c.scope/pids.max", "99\n"),
                ("machine.slice/c.scope/cpu.max", "50000 100000\n"),
                ("machine.slice/c.scope/container/memory.events", "low 0\noom 1\noom_kill 2\noom_group_kill 0\n"),
            ],
            "0::/machine.slice/c.scope/container\n",
        );
        assert_eq!(groups.limits(), Limits { memory_bytes: Some(1 << 20), pids: Some(99), cpu_millis: Some(500) });
        assert_eq!(groups.oom_kills(), Some(2));
    }

    #[test]
    fn what_cannot_be_read_is_no_limit() {
        let (_dir, groups) = groups(&[("c/memory.max", "max\n")], "0::/c\nbroken\n");
        assert_eq!(groups.limits(), Limits::default());
        assert_eq!(groups.oom_kills(), None);
    }
}
