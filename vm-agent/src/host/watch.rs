//! Looks after the machine while the agent runs, every minute: at the firewall, which is restored, and at everything, which is told when
//! it changed and every three hours.

use std::time::Duration;

use ringfence_protocol::posture::Posture;
use ringfence_protocol::state::PostureOutcome;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::Host;
use super::firewall::{self, Seen};
use super::program::NoAnswer;

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// What was measured is told at least this often: three hours. That an agent is there is told by its figures.
const TELL_EVERY: Duration = Duration::from_secs(3 * 3600);
/// Looks that are tried at a time, loads before the machine counts as lost, and the pause between them.
const MAX_LOOKS: u32 = 3;
const MAX_LOADS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);
/// So often in succession nothing can be seen of the firewall before the machine counts as lost. A machine that is short of
/// memory or descriptors for a while keeps its rules; one of which nothing is known for ten minutes is not believed.
const MAX_UNSEEN: u32 = 10;

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
    let mut unseen = Unseen::default();
    let mut looks = tokio::time::interval_at(told_at + LOOK_EVERY, LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !events.is_closed() {
        looks.tick().await;
        if let Some(event) = unseen.told(tend_firewall(&host).await) {
            let is_lost = matches!(event, HostEvent::Lost(_));
            if events.send(event).await.is_err() || is_lost {
                return;
            }
        }
        let posture = host.measure(engine.as_deref()).await;
        if is_worth_telling(&posture, &last, told_at.elapsed()) {
            told_at = Instant::now();
            last = posture.clone();
            if events.send(HostEvent::Measured(posture)).await.is_err() {
                return;
            }
        }
    }
}

/// What came of a look at the firewall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tended {
    /// It is what it must be.
    Stands,
    /// It was seen not to be, and is again.
    Restored(String),
    /// The machine had not what a look takes: the rules may all be there.
    Unseen(String),
    /// It was seen not to be what it must be, or the machine cannot say any more, and it cannot be restored.
    Lost(String),
}

/// Looks at the firewall, and puts it back where it is not what it must be.
pub async fn tend_firewall(host: &Host) -> Tended {
    let stage = host.stage();
    tend(|| firewall::look(stage), || firewall::restore(stage)).await
}

async fn tend<L, R>(look: impl Fn() -> L, restore: impl Fn() -> R) -> Tended
where
    L: Future<Output = Result<Seen, NoAnswer>>,
    R: Future<Output = Result<(), String>>,
{
    let mut seen = look().await;
    for _ in 1..MAX_LOOKS {
        let Err(NoAnswer::Starved(_)) = seen else { break };
        tokio::time::sleep(PAUSE).await;
        seen = look().await;
    }
    let missing = match seen {
        Ok(seen) if seen.differences.is_empty() => return Tended::Stands,
        Ok(seen) => seen.differences.join("; "),
        Err(NoAnswer::Starved(error)) => {
            tracing::error!(error, "the firewall cannot be looked at");
            return Tended::Unseen(error);
        }
        // Its tools are gone, or say no: then what they would have shown is not believed.
        Err(NoAnswer::Refused(error)) => error,
    };
    tracing::error!(missing, "the firewall is not what it must be");
    let mut refusal = String::new();
    for turn in 0..MAX_LOADS {
        if turn > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        match restore().await {
            Ok(()) => {
                return Tended::Restored(format!("The firewall was not what it must be ({missing}) and was restored."));
            }
            Err(error) => refusal = error,
        }
    }
    Tended::Lost(format!("The firewall is not what it must be ({missing}) and cannot be restored: {refusal}."))
}

/// Counts looks that showed nothing, one after another.
#[derive(Debug, Default)]
struct Unseen {
    looks: u32,
}

impl Unseen {
    /// What is to be said of a look.
    fn told(&mut self, tended: Tended) -> Option<HostEvent> {
        let Tended::Unseen(error) = tended else { return self.seen(tended) };
        self.looks += 1;
        if self.looks >= MAX_UNSEEN {
            return Some(HostEvent::Lost(format!(
                "The firewall could not be looked at {} times, a minute apart: {error}.",
                self.looks
            )));
        }
        (self.looks == 1).then(|| {
            HostEvent::Notice(format!(
                "The firewall could not be looked at: {error}. It is tried again every minute, {MAX_UNSEEN} times at most."
            ))
        })
    }

    fn seen(&mut self, tended: Tended) -> Option<HostEvent> {
        let before = std::mem::take(&mut self.looks);
        match tended {
            Tended::Stands if before > 0 => {
                Some(HostEvent::Notice("The firewall was looked at again, and is what it must be.".into()))
            }
            Tended::Stands | Tended::Unseen(_) => None,
            Tended::Restored(detail) => Some(HostEvent::Notice(detail)),
            Tended::Lost(detail) => Some(HostEvent::Lost(detail)),
        }
    }
}

/// Whether to tell what was measured now, so long after what was told last.
fn is_worth_telling(posture: &Posture, last: &Posture, since: Duration) -> bool {
    since >= TELL_EVERY || outcomes(posture) != outcomes(last)
}

/// What changes only when something happened; counters do so all the time.
fn outcomes(posture: &Posture) -> Vec<(&str, PostureOutcome)> {
    posture.checks.iter().map(|check| (check.id.as_str(), check.outcome)).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;

    use ringfence_protocol::posture::PostureCheck;
    use ringfence_protocol::time::UnixMillis;

    use super::*;

    fn missing() -> Seen {
        Seen { differences: vec!["INPUT lacks a rule".into()], ..Seen::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_firewall_that_cannot_be_looked_at_is_not_one_that_is_gone() {
        let loads = Cell::new(0);
        let restore = || {
            loads.set(loads.get() + 1);
            ready(Err("Too many open files".to_owned()))
        };
        let tended = tend(|| ready(Err(NoAnswer::Starved("iptables-save: Too many open files".into()))), restore).await;
        assert_eq!((tended, loads.get()), (Tended::Unseen("iptables-save: Too many open files".into()), 0));

        let looks = Cell::new(0);
        let recovers = || {
            looks.set(looks.get() + 1);
            ready(if looks.get() < MAX_LOOKS {
                Err(NoAnswer::Starved("Too many open files".into()))
            } else {
                Ok(Seen::default())
            })
        };
        assert_eq!(tend(recovers, || ready(Err("nothing is loaded".into()))).await, Tended::Stands);
    }

    #[tokio::test(start_paused = true)]
    async fn rules_that_are_gone_are_restored_or_the_machine_is_lost() {
        let restored = tend(|| ready(Ok(missing())), || ready(Ok(()))).await;
        assert!(matches!(&restored, Tended::Restored(detail) if detail.contains("INPUT lacks")), "{restored:?}");
        let loads = Cell::new(0);
        let lost = tend(
            || ready(Ok(missing())),
            || {
                loads.set(loads.get() + 1);
                ready(Err("no such program".into()))
            },
        )
        .await;
        assert!(matches!(&lost, Tended::Lost(detail) if detail.contains("no such program")), "{lost:?}");
        assert_eq!(loads.get(), MAX_LOADS);
        let broken = || ready(Err(NoAnswer::Refused("iptables-save: exit status: 1".into())));
        let blind = tend(broken, || ready(Err("exit status: 1".into()))).await;
        assert!(matches!(blind, Tended::Lost(_)), "{blind:?}");
        assert!(matches!(tend(broken, || ready(Ok(()))).await, Tended::Restored(_)));
        assert!(matches!(Unseen::default().told(lost), Some(HostEvent::Lost(_))));
    }

    #[test]
    fn a_posture_that_stays_as_it_is_is_told_every_three_hours_and_one_that_changes_at_once() {
        let measured = |secs, measured: &str, outcome| Posture {
            measured_at: UnixMillis::from_secs(secs),
            checks: vec![PostureCheck {
                id: "ports".into(),
                title: "Nothing listens.".into(),
                rule: "no listening socket".into(),
                measured: measured.into(),
                outcome,
                must_pass: true,
            }],
        };
        let last = measured(0, "0 of 12 sockets listen", PostureOutcome::Pass);
        let same = measured(60, "0 of 14 sockets listen", PostureOutcome::Pass);
        let other = measured(60, "1 of 14 sockets listens", PostureOutcome::Fail);
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert_eq!([1, 2, 3].map(|since| is_worth_telling(&same, &last, hours(since))), [false, false, true]);
        assert!(is_worth_telling(&other, &last, Duration::from_secs(60)));
    }

    #[test]
    fn what_cannot_be_seen_for_long_is_lost_and_a_look_begins_the_count_anew() {
        let mut unseen = Unseen::default();
        let nothing = || Tended::Unseen("Too many open files".into());
        assert!(matches!(unseen.told(nothing()), Some(HostEvent::Notice(_))));
        for _ in 2..MAX_UNSEEN {
            assert_eq!(unseen.told(nothing()), None);
        }
        assert!(matches!(unseen.told(Tended::Stands), Some(HostEvent::Notice(_))));
        assert_eq!(unseen.told(Tended::Stands), None);
        for _ in 1..MAX_UNSEEN {
            assert!(!matches!(unseen.told(nothing()), Some(HostEvent::Lost(_))));
        }
        assert!(matches!(unseen.told(nothing()), Some(HostEvent::Lost(_))));
    }
}
