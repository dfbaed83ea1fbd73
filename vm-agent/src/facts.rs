//! Figures of the machine: measured often, sent seldom.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringfence_protocol::agent_config::AgentLimits;
use ringfence_protocol::link::Facts;

use crate::clock;

/// How often to measure.
pub const MEASURE_EVERY: Duration = Duration::from_secs(10);
/// Figures are sent at least this often.
const AT_LEAST_EVERY: Duration = Duration::from_secs(3600);
/// And at most this often, when a threshold is crossed.
const AT_MOST_EVERY: Duration = Duration::from_secs(60);
/// A machine with this share of its disk in use is full.
const FULL_DISK_PERCENT: f64 = 80.0;

/// Processor time since boot, in the kernel's ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CpuTime {
    busy: u64,
    total: u64,
}

/// Measures the machine.
pub struct Sampler {
    workspaces: PathBuf,
    cpu: Option<CpuTime>,
}

impl Sampler {
    /// Measures the disk that holds this directory.
    pub fn new(workspaces: &Path) -> Self {
        Self { workspaces: workspaces.to_owned(), cpu: cpu_time() }
    }

    /// Measures. The processors' figure covers the time since the last call, or since this was made: a machine is busy while it
    /// boots, and that is no reason to place nothing on it.
    pub fn measure(&mut self) -> Facts {
        let now = cpu_time();
        let before = std::mem::replace(&mut self.cpu, now);
        let memory = fs::read_to_string("/proc/meminfo").ok();
        let memory = memory.as_deref().and_then(parse_memory).unwrap_or_default();
        let memory = within_cgroup().map_or(memory, |limited| limited.smaller(memory));
        let disk = disk_of(&self.workspaces).unwrap_or_default();
        Facts {
            cpu_percent: cpu_percent(before, now),
            memory_percent: memory.percent(),
            memory_total_bytes: memory.total,
            disk_percent: disk.percent(),
            disk_total_bytes: disk.total,
            measured_at: clock::machine_now(),
        }
    }
}

fn cpu_time() -> Option<CpuTime> {
    parse_cpu(&fs::read_to_string("/proc/stat").ok()?)
}

/// An amount of something, and how much of it is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Usage {
    used: u64,
    total: u64,
}

impl Usage {
    fn percent(self) -> f32 {
        share(self.used, self.total)
    }

    fn smaller(self, other: Self) -> Self {
        if self.total < other.total { self } else { other }
    }
}

fn share(part: u64, whole: u64) -> f32 {
    if whole == 0 {
        return 0.0;
    }
    (100.0 * part as f64 / whole as f64).clamp(0.0, 100.0) as f32
}

fn cpu_percent(before: Option<CpuTime>, now: Option<CpuTime>) -> f32 {
    let (Some(before), Some(now)) = (before, now) else { return 0.0 };
    share(now.busy.saturating_sub(before.busy), now.total.saturating_sub(before.total))
}

/// The first line of /proc/stat: user nice system idle iowait irq softirq steal guest guest_nice. The guests' are in user and nice already.
fn parse_cpu(stat: &str) -> Option<CpuTime> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    let total = ticks.iter().sum();
    Some(CpuTime { busy: total - idle, total })
}

fn parse_memory(meminfo: &str) -> Option<Usage> {
    let kib = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    };
    let total = kib("MemTotal:")?;
    let available = kib("MemAvailable:")?;
    Some(Usage { used: total.saturating_sub(available) * 1024, total: total * 1024 })
}

/// The limit of the control group the machine itself is in, where it is a container. Both versions put it in the same two places.
fn within_cgroup() -> Option<Usage> {
    let places = [
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "inactive_file", "/sys/fs/cgroup/memory.stat"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
            "total_inactive_file",
            "/sys/fs/cgroup/memory/memory.stat",
        ),
    ];
    places.into_iter().find_map(|(limit, usage, cache, stat)| {
        let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        let total = number(limit)?;
        let stat = fs::read_to_string(stat).unwrap_or_default();
        let cached = stat.lines().find_map(|line| {
            let value = line.strip_prefix(cache)?.strip_prefix(' ')?;
            value.parse::<u64>().ok()
        });
        Some(Usage { used: number(usage)?.saturating_sub(cached.unwrap_or(0)), total })
    })
}

fn disk_of(path: &Path) -> Option<Usage> {
    let disk = rustix::fs::statvfs(path).ok()?;
    let used = disk.f_blocks.saturating_sub(disk.f_bfree);
    Some(Usage {
        // What only root may use counts as gone, as in `df`.
        used: used * disk.f_frsize,
        total: (used + disk.f_bavail) * disk.f_frsize,
    })
}

/// Decides which figures are worth sending.
#[derive(Debug)]
pub struct Reporter {
    /// From which share on processors, memory and disk are full: where the control plane places nothing more.
    full: [f64; 3],
    last: Option<(Instant, [bool; 3])>,
}

impl Reporter {
    /// For an installation with these limits.
    pub fn new(limits: &AgentLimits) -> Self {
        Self { full: [limits.max_cpu_percent, limits.max_memory_percent, FULL_DISK_PERCENT], last: None }
    }

    /// A new link: the next figures are sent whatever they are.
    pub fn link_is_new(&mut self) {
        self.last = None;
    }

    /// Whether to send these; if so they count as sent.
    pub fn is_worth_sending(&mut self, facts: &Facts, now: Instant) -> bool {
        let figures = [facts.cpu_percent, facts.memory_percent, facts.disk_percent];
        let full = std::array::from_fn(|figure| f64::from(figures[figure]) >= self.full[figure]);
        let is_worth = self.last.is_none_or(|(sent, was_full)| {
            let passed = now.saturating_duration_since(sent);
            passed >= AT_LEAST_EVERY || (full != was_full && passed >= AT_MOST_EVERY)
        });
        if is_worth {
            self.last = Some((now, full));
        }
        is_worth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(cpu_percent: f32) -> Facts {
        Facts {
            cpu_percent,
            memory_percent: 1.0,
            memory_total_bytes: 1,
            disk_percent: 1.0,
            disk_total_bytes: 1,
            measured_at: clock::machine_now(),
        }
    }

    #[test]
    fn figures_are_sent_hourly_and_on_crossing_a_threshold_at_most_once_a_minute() {
        let (mut reporter, start) = (Reporter::new(&AgentLimits::default()), Instant::now());
        let at = |secs| start + Duration::from_secs(secs);
        assert!(reporter.is_worth_sending(&facts(1.0), at(0)));
        assert!(!reporter.is_worth_sending(&facts(79.0), at(100)));
        assert!(reporter.is_worth_sending(&facts(81.0), at(110)));
        assert!(!reporter.is_worth_sending(&facts(1.0), at(120)));
        assert!(reporter.is_worth_sending(&facts(1.0), at(170)));
        assert!(!reporter.is_worth_sending(&facts(1.0), at(3769)));
        assert!(reporter.is_worth_sending(&facts(1.0), at(3770)));
    }

    #[test]
    fn what_is_full_is_what_the_installation_says() {
        let limits = AgentLimits { max_cpu_percent: 50.0, ..AgentLimits::default() };
        let (mut reporter, start) = (Reporter::new(&limits), Instant::now());
        let at = |secs| start + Duration::from_secs(secs);
        assert!(reporter.is_worth_sending(&facts(1.0), at(0)));
        assert!(!reporter.is_worth_sending(&facts(49.0), at(100)));
        assert!(reporter.is_worth_sending(&facts(51.0), at(110)));
    }

    #[test]
    fn processor_use_is_a_share_of_all_processors_since_the_last_figure() {
        let before = parse_cpu("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1").unwrap();
        let now = parse_cpu("cpu  150 0 100 740 110 0 0 0 50 0\n").unwrap();
        assert_eq!(before, CpuTime { busy: 200, total: 1000 });
        assert_eq!(cpu_percent(Some(before), Some(now)), 50.0);
        assert_eq!(cpu_percent(None, Some(now)), 0.0, "the average since boot is no figure: a boot is busy");
        assert_eq!(parse_cpu("intr 1"), None);
    }

    #[test]
    fn memory_that_the_kernel_can_give_back_is_not_in_use() {
        let memory = parse_memory("MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 750 kB\n").unwrap();
        assert_eq!(memory.percent(), 25.0);
        assert_eq!(memory.total, 1_024_000);
    }

    #[test]
    fn the_machine_itself_can_be_measured() {
        let facts = Sampler::new(Path::new("/")).measure();
        assert!(facts.memory_total_bytes > 0 && facts.disk_total_bytes > 0);
        assert!((0.0..=100.0).contains(&facts.cpu_percent));
    }
}
