//! The dead-man switch: an agent that has not reached its control plane for too long, or whose machine is past its hard deadline,
//! ends everything and has the machine switched off. Nothing works on, and costs, when nobody can see it any more.
//!
//! A control plane that answers that its database is away is not silent: it is there, it cannot let the agent in, and it destroys by
//! tickets what is due. Past the hard deadline that is of no use.
//!
//! Time is the machine's since its boot, suspension included: its wall clock may be wrong, and set. When the control plane was last
//! reached is kept on disk, so that an agent that is restarted over and over does not begin anew each time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringfence_protocol::agent_config::AgentConfig;
use ringfence_protocol::time::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::clock::{ControlClock, uptime};
use crate::disk;

/// The file, in the state directory.
const FILE: &str = "contact.json";
/// The file is written at most so often, or eight times within the silence: what is lost with a crash is so much, in favour of
/// switching off.
const NOTE_EVERY: Duration = Duration::from_secs(60);
/// It is looked at the clock so often: a timer stands still while the machine is suspended.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// And no more often.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(50);

/// Why everything is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The control plane was not reached for so long.
    Silence(Duration),
    /// The machine should have been destroyed.
    HardDeadline,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silence(after) => write!(f, "the control plane was not reached for {} s", after.as_secs()),
            Self::HardDeadline => f.write_str("the machine is past its hard deadline"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Contact {
    /// Of which boot: the clock begins anew with each.
    boot_id: String,
    /// When, in milliseconds since that boot.
    uptime_ms: u64,
}

/// When the control plane has answered last, noted by whoever calls it.
#[derive(Debug, Clone, Default)]
pub struct Heard(Arc<AtomicU64>);

impl Heard {
    /// It has answered just now.
    pub fn note(&self) {
        self.0.fetch_max(millis(uptime()), Ordering::Relaxed);
    }

    /// When that was, since the machine's boot; zero is never.
    pub fn newest(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// The switch.
#[derive(Debug)]
pub struct DeadMan {
    after: Option<Duration>,
    hard_deadline: Option<UnixMillis>,
    file: PathBuf,
    boot_id: String,
    heard: Heard,
    last: Duration,
    noted: Option<Duration>,
    /// When to look at the clock next.
    look_at: Instant,
}

impl DeadMan {
    /// Goes on from the last contact that is known of this boot; else from now.
    pub fn new(config: &AgentConfig, state_dir: &Path) -> Self {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
        let mut dead_man = Self {
            after: config.dead_man_after_secs.map(Duration::from_secs),
            hard_deadline: config.hard_deadline_at,
            file: state_dir.join(FILE),
            boot_id,
            heard: Heard::default(),
            last: uptime(),
            noted: None,
            look_at: Instant::now(),
        };
        match dead_man.known() {
            Some(known) => {
                // Never one from the future.
                dead_man.last = known.min(dead_man.last);
                dead_man.noted = Some(dead_man.last);
            }
            None => dead_man.note(),
        }
        dead_man
    }

    fn known(&self) -> Option<Duration> {
        let text = disk::read_if_there(&self.file).ok().flatten()?;
        let contact: Contact = serde_json::from_slice(&text).ok()?;
        (contact.boot_id == self.boot_id).then(|| Duration::from_millis(contact.uptime_ms))
    }

    /// For whoever calls the control plane.
    pub fn heard(&self) -> Heard {
        self.heard.clone()
    }

    fn catch_up(&mut self) {
        self.last = self.last.max(self.heard.newest());
        let spacing = self.after.map_or(NOTE_EVERY, |after| NOTE_EVERY.min(after / 8));
        if self.noted.is_none_or(|noted| self.last.saturating_sub(noted) >= spacing) {
            self.note();
        }
    }

    fn note(&mut self) {
        let contact = Contact { boot_id: self.boot_id.clone(), uptime_ms: millis(self.last) };
        let text = serde_json::to_vec(&contact).unwrap_or_default();
        match disk::write_private(&self.file, &text) {
            Ok(()) => self.noted = Some(self.last),
            Err(error) => tracing::warn!(%error, "the last contact is not on disk"),
        }
    }

    /// How often to try to reach the control plane that is usually tried so often: several times within a silence that is short.
    pub fn at_least_within(&self, usual: Duration) -> Duration {
        self.after.map_or(usual, |after| usual.min(after / 4))
    }

    /// Whether it is time, by that clock of the control plane where one is known.
    pub fn is_due(&mut self, clock: Option<&ControlClock>) -> Option<Reason> {
        self.catch_up();
        let now = Instant::now();
        let alive = self.hard_deadline.zip(clock).map(|(deadline, clock)| clock.until(deadline + OVERTIME, now));
        let silent = self.after.map(|after| (after, after.saturating_sub(uptime().saturating_sub(self.last))));
        let left = alive.into_iter().chain(silent.map(|(_, left)| left)).min().unwrap_or(LOOK_EVERY);
        // Not at once, even if it is time: whoever asks acts on the answer first.
        self.look_at = now + left.clamp(LOOK_AT_MOST_EVERY, LOOK_EVERY);
        if alive.is_some_and(|left| left.is_zero()) {
            return Some(Reason::HardDeadline);
        }
        silent.filter(|(_, left)| left.is_zero()).map(|(after, _)| Reason::Silence(after))
    }

    /// Waits until it is worth asking again. Loses nothing when it is given up: when that is stays the same until it is asked.
    pub async fn pause(&self) {
        tokio::time::sleep_until(self.look_at.into()).await;
    }

    /// Waits until it is time, with no clock but its own: while there is no link yet.
    pub async fn until_due(&mut self) -> Reason {
        loop {
            if let Some(reason) = self.is_due(None) {
                return reason;
            }
            self.pause().await;
        }
    }
}

/// Past its hard deadline, the machine is left this long to its control plane: the save step, and the provider's call.
const OVERTIME: Duration = Duration::from_secs(300);

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use ringfence_protocol::agent_config::{AgentLimits, EngineConfig};
    use ringfence_protocol::claims::Jwks;
    use ringfence_protocol::ids::NodeId;

    use super::*;

    fn switch(dir: &Path, after: Option<u64>, deadline: Option<UnixMillis>) -> DeadMan {
        let config = AgentConfig {
            node_id: NodeId::from_entropy([1; 13]),
            origin: "https://ringfence.example".into(),
            keys: Jwks { keys: Vec::new() },
            bootstrap_token: None,
            engine: EngineConfig::Unconfined,
            dead_man_after_secs: after,
            hard_deadline_at: deadline,
            limits: AgentLimits::default(),
        };
        DeadMan::new(&config, dir)
    }

    #[test]
    fn silence_is_counted_on_over_restarts_and_ends_with_a_contact() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = switch(dir.path(), Some(3600), None);
        assert_eq!(first.is_due(None), None);
        // As if an hour had passed since.
        first.last = uptime().saturating_sub(Duration::from_secs(3600));
        first.note();
        let mut again = switch(dir.path(), Some(3600), None);
        assert_eq!(again.is_due(None), Some(Reason::Silence(Duration::from_secs(3600))));
        again.heard().note();
        assert_eq!((again.is_due(None), switch(dir.path(), Some(3600), None).is_due(None)), (None, None));
        assert_eq!(switch(dir.path(), None, None).is_due(None), None, "an older configuration has none");
    }

    #[test]
    fn an_agent_that_is_restarted_after_a_short_while_is_not_taken_to_be_silent() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = switch(dir.path(), Some(20), None);
        first.last = uptime().saturating_sub(Duration::from_secs(15));
        first.note();
        first.heard().note();
        assert_eq!(first.is_due(None), None);
        let again = switch(dir.path(), Some(20), None);
        assert!(again.last > uptime().saturating_sub(Duration::from_secs(10)), "{again:?}");
    }

    #[test]
    fn what_another_boot_has_noted_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let mut other = switch(dir.path(), Some(10), None);
        (other.boot_id, other.last) = ("another".into(), Duration::ZERO);
        other.note();
        assert_eq!(switch(dir.path(), Some(10), None).is_due(None), None);
    }

    #[test]
    fn past_the_hard_deadline_a_contact_is_of_no_use() {
        let dir = tempfile::tempdir().unwrap();
        let (deadline, now) = (UnixMillis::from_secs(1_000), Instant::now());
        let mut switch = switch(dir.path(), Some(3600), Some(deadline));
        switch.heard().note();
        let clock = |secs| ControlClock::new(UnixMillis::from_secs(secs), now);
        assert_eq!(switch.is_due(Some(&clock(1_000))), None, "its control plane may be at it");
        assert_eq!(switch.is_due(Some(&clock(1_300))), Some(Reason::HardDeadline));
        assert_eq!(switch.is_due(None), None);
    }
}
