//! The steps of the machine's and the agent's boot, timed, kept until the control plane has confirmed them.
//!
//! What user-data's scripts did before the agent ran stands in a file: a line each, name, begin and end in seconds since the kernel
//! started, and the error, separated by tabs.

use std::collections::VecDeque;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringfence_protocol::link::BootStep;

use crate::clock::ControlClock;
use crate::disk;

/// Most steps that are kept; retries push the agent's own oldest out.
const MAX_STEPS: usize = 48;
/// Most steps that are taken from the scripts' file.
const MAX_SCRIPT_STEPS: usize = 24;

struct Step {
    name: String,
    started: Instant,
    took: Duration,
    error: Option<String>,
}

/// What the boot has done so far.
#[derive(Default)]
pub struct BootLog {
    steps: VecDeque<Step>,
    /// How many of them, at the front, are the scripts'.
    script_steps: usize,
    script_log: Option<PathBuf>,
}

impl BootLog {
    /// Puts what the scripts did in front. Their file is removed once that is confirmed, so that a restart does not tell it again.
    pub fn read_script_log(&mut self, path: &Path) {
        let read = |path: &Path| std::fs::read_to_string(path).ok();
        let (Some(log), Some(uptime)) = (read(path), read(Path::new("/proc/uptime"))) else { return };
        let uptime = uptime.split_whitespace().next().and_then(|seconds| seconds.parse().ok());
        let Some(uptime) = uptime else { return };
        let steps = parse_script_log(&log, uptime, Instant::now());
        self.script_steps = steps.len();
        for step in steps.into_iter().rev() {
            self.steps.push_front(step);
        }
        self.script_log = Some(path.to_owned());
    }

    /// Records a step that began at `started` and has just ended.
    pub fn ended<T, E: Display>(
        &mut self,
        name: &'static str,
        started: Instant,
        outcome: Result<T, E>,
    ) -> Result<T, E> {
        self.ended_after(name, started, started.elapsed(), outcome)
    }

    /// Records a step that ended a while ago.
    pub fn ended_after<T, E: Display>(
        &mut self,
        name: &'static str,
        started: Instant,
        took: Duration,
        outcome: Result<T, E>,
    ) -> Result<T, E> {
        let error = outcome.as_ref().err().map(ToString::to_string);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match &error {
            None => tracing::info!(step = name, duration_ms, "boot step done"),
            Some(error) => tracing::warn!(step = name, duration_ms, error, "boot step failed"),
        }
        if self.steps.len() == MAX_STEPS {
            self.steps.remove(self.script_steps);
        }
        self.steps.push_back(Step { name: name.to_owned(), started, took, error });
        outcome
    }

    /// The steps as messages, in the control plane's time.
    pub fn messages(&self, clock: &ControlClock) -> Vec<BootStep> {
        self.steps
            .iter()
            .map(|step| BootStep {
                step: step.name.clone(),
                started_at: clock.at(step.started),
                duration_ms: u64::try_from(step.took.as_millis()).unwrap_or(u64::MAX),
                error: step.error.clone(),
            })
            .collect()
    }

    /// Forgets them: they are recorded elsewhere now.
    pub fn confirmed(&mut self) {
        self.steps.clear();
        self.script_steps = 0;
        if let Some(path) = self.script_log.take()
            && let Err(error) = disk::remove_if_there(&path)
        {
            tracing::warn!(%error, "the scripts' boot log stays, and will be told again");
        }
    }
}

/// Reads the scripts' lines; what is not one is left out. `uptime` is what the kernel's clock shows at `now`.
fn parse_script_log(log: &str, uptime: f64, now: Instant) -> Vec<Step> {
    let steps = log.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let (began, ended): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let since_began = Duration::try_from_secs_f64(uptime - began).ok()?;
        Some(Step {
            name: name.to_owned(),
            started: now.checked_sub(since_began)?,
            took: Duration::try_from_secs_f64(ended - began).ok()?,
            error: fields.next().filter(|error| !error.is_empty()).map(str::to_owned),
        })
    });
    steps.take(MAX_SCRIPT_STEPS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_steps_are_read_with_their_times_and_errors() {
        let log = "load the firewall\t10.00\t10.25\t\nfetch the agent\t12.50\t13.00\tcurl: (7) refused\n\
                   \t1\t2\t\nnonsense\nfuture\t99.0\t99.5\t\nbackwards\t9.0\t8.0\t\n";
        let now = Instant::now() + Duration::from_secs(100);
        let steps = parse_script_log(log, 20.0, now);
        let told: Vec<_> = steps.iter().map(|step| (step.name.as_str(), step.took, step.error.as_deref())).collect();
        let ms = Duration::from_millis;
        assert_eq!(
            told,
            [("load the firewall", ms(250), None), ("fetch the agent", ms(500), Some("curl: (7) refused")),]
        );
        assert_eq!(now.duration_since(steps[0].started), Duration::from_secs(10));
    }

    #[test]
    fn retries_push_out_the_agents_own_steps_first_and_confirmed_ones_are_not_told_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("boot.log");
        std::fs::write(&path, "load the firewall\t0.01\t0.02\t\n").unwrap();
        let mut boot = BootLog::default();
        let _: Result<(), String> = boot.ended("first", Instant::now(), Ok(()));
        boot.read_script_log(&path);
        for _ in 0..2 * MAX_STEPS {
            let _: Result<(), &str> = boot.ended("trade", Instant::now(), Err("no answer"));
        }
        assert_eq!(boot.steps.len(), MAX_STEPS);
        assert_eq!(boot.steps[0].name, "load the firewall");
        boot.confirmed();
        assert!(!path.exists());
        boot.read_script_log(&path);
        assert!(boot.steps.is_empty());
    }
}
