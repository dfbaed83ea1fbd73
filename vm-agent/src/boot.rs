//! The steps of the agent's boot, timed, kept until the control plane has confirmed them.

use std::collections::VecDeque;
use std::fmt::Display;
use std::time::{Duration, Instant};

use ringfence_protocol::link::BootStep;

use crate::clock::ControlClock;

/// Most steps that are kept; retries push the oldest out.
const MAX_STEPS: usize = 32;

struct Step {
    name: &'static str,
    started: Instant,
    took: Duration,
    error: Option<String>,
}

/// What the boot has done so far.
#[derive(Default)]
pub struct BootLog {
    steps: VecDeque<Step>,
}

impl BootLog {
    /// Records a step that began at `started` and has just ended.
    pub fn ended<T, E: Display>(
        &mut self,
        name: &'static str,
        started: Instant,
        outcome: Result<T, E>,
    ) -> Result<T, E> {
        let error = outcome.as_ref().err().map(ToString::to_string);
        let took = started.elapsed();
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match &error {
            None => tracing::info!(step = name, duration_ms, "boot step done"),
            Some(error) => tracing::warn!(step = name, duration_ms, error, "boot step failed"),
        }
        if self.steps.len() == MAX_STEPS {
            self.steps.pop_front();
        }
        self.steps.push_back(Step { name, started, took, error });
        outcome
    }

    /// The steps as messages, in the control plane's time.
    pub fn messages(&self, clock: &ControlClock) -> Vec<BootStep> {
        self.steps
            .iter()
            .map(|step| BootStep {
                step: step.name.to_owned(),
                started_at: clock.at(step.started),
                duration_ms: u64::try_from(step.took.as_millis()).unwrap_or(u64::MAX),
                error: step.error.clone(),
            })
            .collect()
    }

    /// Forgets them: they are recorded elsewhere now.
    pub fn confirmed(&mut self) {
        self.steps.clear();
    }
}
