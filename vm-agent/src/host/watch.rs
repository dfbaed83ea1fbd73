//! Looks after the machine while the agent runs: the firewall every minute, everything hourly and when it changed.

use std::time::Duration;

use ringfence_protocol::posture::Posture;
use ringfence_protocol::state::PostureOutcome;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::Host;
use super::firewall;

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// What was measured is told at least this often.
const TELL_EVERY: Duration = Duration::from_secs(3600);
/// Loads that are tried before the machine counts as lost, and the pause between them.
const MAX_LOADS: u32 = 3;
const LOAD_PAUSE: Duration = Duration::from_secs(2);

/// Something happened to the machine.
#[derive(Debug, Clone, PartialEq)]
pub enum HostEvent {
    /// This was measured.
    Measured(Posture),
    /// A person should know.
    Notice(String),
    /// The machine cannot be trusted any more.
    Lost(String),
}

/// Looks until nobody listens. `engine` is what the engine is, in words; `last` what was told before.
pub async fn look_after(host: Host, engine: Option<String>, mut last: Posture, events: mpsc::Sender<HostEvent>) {
    let mut told_at = Instant::now();
    let mut looks = tokio::time::interval_at(told_at + LOOK_EVERY, LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !events.is_closed() {
        looks.tick().await;
        if let Some(event) = tend_firewall(&host).await {
            let is_lost = matches!(event, HostEvent::Lost(_));
            if events.send(event).await.is_err() || is_lost {
                return;
            }
        }
        let posture = host.measure(engine.as_deref()).await;
        if told_at.elapsed() >= TELL_EVERY || outcomes(&posture) != outcomes(&last) {
            told_at = Instant::now();
            last = posture.clone();
            if events.send(HostEvent::Measured(posture)).await.is_err() {
                return;
            }
        }
    }
}

/// Puts the firewall back where it is not what it must be.
pub async fn tend_firewall(host: &Host) -> Option<HostEvent> {
    let stage = host.stage();
    let missing = match firewall::look(stage).await {
        Ok(seen) if seen.differences.is_empty() => return None,
        Ok(seen) => seen.differences.join("; "),
        Err(error) => error,
    };
    tracing::error!(missing, "the firewall is not what it must be");
    let mut refusal = String::new();
    for turn in 0..MAX_LOADS {
        if turn > 0 {
            tokio::time::sleep(LOAD_PAUSE).await;
        }
        match firewall::restore(stage).await {
            Ok(()) => {
                return Some(HostEvent::Notice(format!(
                    "The firewall was not what it must be ({missing}) and was restored."
                )));
            }
            Err(error) => refusal = error,
        }
    }
    Some(HostEvent::Lost(format!("The firewall is not what it must be ({missing}) and cannot be restored: {refusal}.")))
}

/// What changes only when something happened; counters do so all the time.
fn outcomes(posture: &Posture) -> Vec<(&str, PostureOutcome)> {
    posture.checks.iter().map(|check| (check.id.as_str(), check.outcome)).collect()
}
