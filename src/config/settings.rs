//! What an installation may choose of the core: deadlines and limits.

use std::time::Duration;

use ringfence_protocol::state::Isolation;

use super::InvalidConfig;
use super::containers::{self, default_limits};
use super::{limits, patience};
use crate::domain::container::Limits;
use crate::domain::lifecycle::Timing;
use crate::domain::patience::PatienceLimits;
use crate::domain::quota::Configured;

/// Most workspaces on one node.
pub const MAX_WORKSPACES_PER_NODE: u32 = 3;
/// From this share of a node's processors in use on, in percent, it gets no further workspace.
pub const MAX_CPU_PERCENT: f64 = 80.0;
/// From this share of a node's memory in use on, in percent, it gets no further workspace.
pub const MAX_MEMORY_PERCENT: f64 = 80.0;
/// What nodes boot from: Hetzner's app image of a current Debian or Ubuntu with Docker from Docker's own packages. A stock image has
/// no engine, so that each boot would fetch one, and Debian 12's own runtime (runc 1.1) is older than the fixes of November 2025
/// that workspaces rely on.
pub const IMAGE: &str = "docker-ce";
/// The longest life that can be asked for an ephemeral workspace: a day.
pub const EPHEMERAL_LIFETIME_MAX_SECS: u64 = 24 * 3600;
/// What the agent's binary runs on.
pub const ARCHITECTURE: &str = "x86_64";

/// The longest that save hooks may be given.
const SAVE_MAX: Duration = Duration::from_secs(90);
/// How much longer than its node may take a workspace waits for it.
const PLACING_MORE: Duration = Duration::from_secs(60);
/// The shortest silence that an agent may take for the end of its control plane.
const DEAD_MAN_MIN: Duration = Duration::from_secs(10);

/// Deadlines and limits of an installation.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How long things take.
    pub timing: Timing,
    /// [`MAX_WORKSPACES_PER_NODE`]
    pub max_workspaces_per_node: u32,
    /// [`MAX_CPU_PERCENT`]
    pub max_cpu_percent: f64,
    /// [`MAX_MEMORY_PERCENT`]
    pub max_memory_percent: f64,
    /// [`IMAGE`]
    pub image: String,
    /// [`ARCHITECTURE`]
    pub architecture: String,
    /// [`EPHEMERAL_LIFETIME_MAX_SECS`]
    pub ephemeral_lifetime_max: Duration,
    /// What containers are given, and the most that can be asked.
    pub containers: Limits,
    /// How long workspaces wait for use, and the longest that can be asked.
    pub patience: PatienceLimits,
    /// Limits of users, tenants and everybody, where no admin has set others.
    pub limits: Configured,
    /// Whether the operator has paused the making of machines.
    pub provisioning_paused: bool,
    /// Whether a warm node is kept until just before the next period that its provider bills at once.
    pub keep_paid_hours: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timing: Timing::default(),
            max_workspaces_per_node: MAX_WORKSPACES_PER_NODE,
            max_cpu_percent: MAX_CPU_PERCENT,
            max_memory_percent: MAX_MEMORY_PERCENT,
            image: IMAGE.into(),
            architecture: ARCHITECTURE.into(),
            ephemeral_lifetime_max: Duration::from_secs(EPHEMERAL_LIFETIME_MAX_SECS),
            containers: default_limits(),
            patience: PatienceLimits::default(),
            limits: Configured::default(),
            provisioning_paused: false,
            keep_paid_hours: false,
        }
    }
}

impl Settings {
    /// Reads what is set; `text` gives a variable, `number` its whole number, `None` where it is not set.
    pub fn read(
        text: impl Fn(&str) -> Option<String>,
        number: impl Fn(&str) -> Result<Option<u64>, InvalidConfig>,
    ) -> Result<Self, InvalidConfig> {
        let mut settings = Self {
            containers: containers::read(&text, &number)?,
            patience: patience::read(&number)?,
            limits: limits::read(&text)?,
            ..Self::default()
        };
        if let Some(image) = text("RINGFENCE_IMAGE") {
            settings.image = image;
        }
        settings.provisioning_paused = match text("RINGFENCE_PROVISIONING").as_deref() {
            None | Some("on") => false,
            Some("paused") => true,
            Some(_) => return Err(InvalidConfig("RINGFENCE_PROVISIONING: `on` or `paused`".into())),
        };
        settings.keep_paid_hours = match text("RINGFENCE_KEEP_PAID_HOURS").as_deref() {
            None | Some("off") => false,
            Some("on") => true,
            Some(_) => return Err(InvalidConfig("RINGFENCE_KEEP_PAID_HOURS: `on` or `off`".into())),
        };
        let timing = &mut settings.timing;
        for (name, place) in [
            ("RINGFENCE_REQUESTED_SECS", &mut timing.requested),
            ("RINGFENCE_PROVISIONING_SECS", &mut timing.provisioning),
            ("RINGFENCE_BOOTING_SECS", &mut timing.booting),
            ("RINGFENCE_QUARANTINED_SECS", &mut timing.quarantined),
            ("RINGFENCE_DESTROYING_SECS", &mut timing.destroying),
            ("RINGFENCE_SETTLE_SECS", &mut timing.settle),
            ("RINGFENCE_STRAY_SECS", &mut timing.stray),
            ("RINGFENCE_SILENCE_SECS", &mut timing.silence),
            ("RINGFENCE_IDLE_TIMEOUT_SECS", &mut timing.idle_timeout),
            ("RINGFENCE_SAVE_SECS", &mut timing.save),
            ("RINGFENCE_DEAD_MAN_AFTER_SECS", &mut timing.dead_man_after),
            ("RINGFENCE_EPHEMERAL_LIFETIME_SECS", &mut timing.ephemeral_lifetime),
            ("RINGFENCE_EPHEMERAL_LIFETIME_MAX_SECS", &mut settings.ephemeral_lifetime_max),
            ("RINGFENCE_USER_LIFETIME_SECS", &mut timing.user_lifetime),
            ("RINGFENCE_DEDICATED_LIFETIME_SECS", &mut timing.dedicated_lifetime),
            ("RINGFENCE_BUDGET_GRACE_SECS", &mut timing.budget_grace),
        ] {
            if let Some(secs) = number(name)? {
                *place = Duration::from_secs(secs);
            }
        }
        timing.placing = timing.requested + timing.provisioning + timing.booting + PLACING_MORE;
        // A stop is commanded again after its own time: the hook must be over by then.
        if timing.save > SAVE_MAX {
            return Err(InvalidConfig(format!("RINGFENCE_SAVE_SECS: at most {}", SAVE_MAX.as_secs())));
        }
        if timing.dead_man_after < DEAD_MAN_MIN {
            return Err(InvalidConfig(format!(
                "RINGFENCE_DEAD_MAN_AFTER_SECS: at least {}, or a link that is lost for a moment ends everything",
                DEAD_MAN_MIN.as_secs()
            )));
        }
        for (name, place) in [
            ("RINGFENCE_MAX_CPU_PERCENT", &mut settings.max_cpu_percent),
            ("RINGFENCE_MAX_MEMORY_PERCENT", &mut settings.max_memory_percent),
        ] {
            if let Some(percent) = number(name)? {
                *place = f64::from(u32::try_from(percent).unwrap_or(u32::MAX));
            }
        }
        Ok(settings)
    }

    /// How many workspaces fit on a node of that isolation: all but `ephemeral` ones are shared by one user's workspaces.
    pub const fn slots(&self, isolation: Isolation) -> u32 {
        match isolation {
            Isolation::User | Isolation::Dedicated => self.max_workspaces_per_node,
            Isolation::Ephemeral => 1,
        }
    }
}
