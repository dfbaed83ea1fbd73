//! How a workspace ends by itself: stopped when nobody uses it, deleted when it was stopped for long enough, destroyed with a
//! node whose longest life is over. Before that it warns, twice at most; a sign of use or its owner's wish takes all of it back.
//!
//! Use is part of the row that the machine decides on: a stop for want of use and a sign of use that crosses it are two
//! changes of one row version, of which one fails and is decided anew (nothing is killed while it works).

use std::time::Duration;

use ringfence_protocol::link::Activity;
use ringfence_protocol::state::{ActivityCause, EndingCause};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::EventKind;

use super::{Effect, Outlook, State, Workspace};
use crate::domain::lifecycle::{Denied, Moment};
use crate::domain::patience::spoken;

/// The first warning comes so long before the end, where a workspace waits at least so long.
const FIRST_LEAD: Duration = Duration::from_secs(600);
/// The last one; or at a quarter of what a workspace waits, where that is shorter.
const LAST_LEAD: Duration = Duration::from_secs(120);
/// How long a sign of use may be on its way, at most.
const SLACK: Duration = Duration::from_secs(10);
/// Use is recorded in steps of this, or an eighth of the idle timeout: reports are not writes.
const STEP: Duration = Duration::from_secs(15);

/// The last use that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Use {
    /// When it was seen, or until when it goes on for certain.
    pub until: UnixMillis,
    /// What it was.
    pub cause: ActivityCause,
}

/// How a workspace will end by itself if nothing happens before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// When.
    pub at: UnixMillis,
    /// Why.
    pub cause: EndingCause,
    /// How long it waits for that, all in all: warnings keep to it.
    waits: Duration,
}

impl Ending {
    /// What will happen, in a sentence.
    pub fn sentence(&self) -> String {
        match self.cause {
            EndingCause::Idle => {
                format!("It is stopped when it was not used for {}. Its files are kept.", spoken(self.waits))
            }
            EndingCause::KeepOver => {
                format!("It is stopped, and deleted with its files after {} of that.", spoken(self.waits))
            }
            EndingCause::AgentAway => {
                "Its node's agent is away. If it stays so, the machine has switched itself off by then, and this counts as stopped. Its files are kept.".into()
            }
            EndingCause::LifetimeOver => {
                "Its node's longest life is over then, or a budget is spent: it is destroyed with its node, and its files with it.".into()
            }
        }
    }

    /// When to warn, in order.
    fn marks(&self) -> impl Iterator<Item = UnixMillis> + use<> {
        let first = (self.waits >= FIRST_LEAD).then_some(FIRST_LEAD);
        let (at, last) = (self.at, LAST_LEAD.min(self.waits / 4));
        first.into_iter().chain([last]).map(move |lead| at - lead)
    }

    /// How many warnings are due by then.
    fn warnings_due(&self, now: UnixMillis) -> u32 {
        u32::try_from(self.marks().filter(|mark| *mark <= now).count()).unwrap_or(u32::MAX)
    }
}

impl Workspace {
    /// When and why it will next end by itself, on a node that is destroyed at `node_ends_at` whatever happens. `None` when it
    /// ends already, or has. While its node's agent is away nobody knows whether it is used: it ends at `off_at`, with its machine's
    /// own switch.
    pub fn ending(&self, node_ends_at: UnixMillis, off_at: Option<UnixMillis>) -> Option<Ending> {
        let own = match (self.state, off_at) {
            (State::Running | State::Stopped, Some(at)) if self.running => {
                Some(Ending { at, cause: EndingCause::AgentAway, waits: Duration::ZERO })
            }
            (state, _) => self.own_ending(state),
        };
        if self.is_over() {
            return None;
        }
        // All nodes live long enough for both warnings.
        let with_node = Ending { at: node_ends_at, cause: EndingCause::LifetimeOver, waits: FIRST_LEAD };
        Some(own.filter(|own| own.at < node_ends_at).unwrap_or(with_node))
    }

    fn own_ending(&self, state: State) -> Option<Ending> {
        match state {
            State::Running if self.running => {
                self.idle_at().map(|at| Ending { at, cause: EndingCause::Idle, waits: self.patience.idle_timeout })
            }
            State::Stopped if !self.running => {
                let at = self.state_since + self.patience.stop_keep;
                let at = self.keep_alive_until.map_or(at, |until| until.max(at));
                Some(Ending { at, cause: EndingCause::KeepOver, waits: self.patience.stop_keep })
            }
            State::Requested
            | State::Placing
            | State::Creating
            | State::Running
            | State::Stopped
            | State::Deleting
            | State::Gone
            | State::Failed { .. } => None,
        }
    }

    /// When it is idle if it is not used before. `None`: its agent has never told of use, so nobody can know.
    fn idle_at(&self) -> Option<UnixMillis> {
        let used = self.last_use?.until.max(self.state_since);
        let idle = used + self.patience.idle_timeout;
        Some(self.keep_alive_until.map_or(idle, |until| until.max(idle)))
    }

    /// When its patience has to be looked at next.
    pub(super) fn patience_timeout(&self, outlook: Outlook) -> Option<UnixMillis> {
        let ending = self.applicable_ending(outlook)?;
        let next_mark = ending.marks().nth(usize::try_from(self.warned_of(ending.cause)).unwrap_or(usize::MAX));
        match (next_mark, ending.cause) {
            (Some(mark), _) => Some(mark),
            (None, EndingCause::Idle) => Some(ending.at + self.slack()),
            (None, EndingCause::KeepOver | EndingCause::AgentAway) => Some(ending.at),
            // The node has a deadline of its own.
            (None, EndingCause::LifetimeOver) => None,
        }
    }

    fn applicable_ending(&self, outlook: Outlook) -> Option<Ending> {
        let Outlook::Ready { ends_at, off_at } = outlook else { return None };
        self.ending(ends_at, off_at)
    }

    /// Time has passed: it warns, or ends.
    pub(super) fn wait(&mut self, outlook: Outlook, at: &Moment<'_>) -> Vec<Effect> {
        let Some(ending) = self.applicable_ending(outlook) else { return Vec::new() };
        let due = ending.warnings_due(at.now);
        match ending.cause {
            EndingCause::Idle if at.now >= ending.at + self.slack() => self.stop_idle(at),
            EndingCause::AgentAway if at.now >= ending.at => self.stopped_with_its_machine(at),
            EndingCause::KeepOver if at.now >= ending.at => {
                let why = format!("It was stopped for {}.", spoken(self.patience.stop_keep));
                self.delete(Some(why), at)
            }
            EndingCause::Idle | EndingCause::KeepOver | EndingCause::LifetimeOver | EndingCause::AgentAway => {
                self.warn(ending, due)
            }
        }
    }

    /// How many warnings of this end were given.
    fn warned_of(&self, cause: EndingCause) -> u32 {
        self.warned.filter(|(of, _)| *of == cause).map_or(0, |(_, count)| count)
    }

    fn warn(&mut self, ending: Ending, due: u32) -> Vec<Effect> {
        let given = self.warned_of(ending.cause);
        if due > given {
            self.warned = Some((ending.cause, due));
            let detail = ending.sentence();
            return vec![Effect::Record(EventKind::EndingSoon { ends_at: ending.at, cause: ending.cause, detail })];
        }
        if due == given && due > 0 {
            return Vec::new();
        }
        // It was used or kept since: nobody need go on reading what was said.
        let said = self.warned.take().filter(|(_, count)| *count > 0);
        self.warned = (due > 0).then_some((ending.cause, due));
        let taken_back = Effect::Record(EventKind::Notice { detail: "It does not end so soon any more.".into() });
        said.map(|_| taken_back).into_iter().collect()
    }

    /// How long a sign of use may be on its way: agents look for them every five seconds, and oftener where the timeout is short. What
    /// is said is the time itself; a workspace that is used just before it is not stopped just after.
    fn slack(&self) -> Duration {
        SLACK.min(self.patience.idle_timeout / 4)
    }

    fn stop_idle(&mut self, at: &Moment<'_>) -> Vec<Effect> {
        let why = format!("It was stopped because it was not used for {}.", spoken(self.patience.idle_timeout));
        let mut effects = vec![Effect::Record(EventKind::Notice { detail: why.clone() })];
        effects.extend(self.want_running(false, why, at));
        effects
    }

    /// Its agent tells that it is used.
    pub(super) fn used(&mut self, activity: &Activity, at: &Moment<'_>) -> Result<Vec<Effect>, Denied> {
        match self.state {
            State::Requested | State::Placing => return Err(Denied::TooEarly),
            State::Creating | State::Running | State::Stopped => {}
            State::Deleting | State::Gone | State::Failed { .. } => return Ok(Vec::new()),
        }
        // The machine's clock may be ahead, and a lease is finite: neither keeps it alive for long by itself.
        let lease = activity.lease_ends_at.map(|ends| ends.min(at.now + at.timing.lease_max));
        let until = activity.at.min(at.now).max(lease.unwrap_or_default());
        let step = STEP.min(self.patience.idle_timeout / 8);
        if self.last_use.is_some_and(|known| until.since(known.until) < step) {
            return Ok(Vec::new());
        }
        self.last_use = Some(Use { until, cause: activity.cause });
        Ok(Vec::new())
    }

    /// Its owner wants it kept.
    pub(super) fn keep_alive(&mut self, until: Option<UnixMillis>) -> Result<Vec<Effect>, Denied> {
        match self.state {
            State::Requested | State::Placing | State::Creating | State::Running | State::Stopped => {}
            State::Deleting | State::Gone | State::Failed { .. } => return Err(Denied::Ending),
        }
        if self.keep_alive_until == until {
            return Ok(Vec::new());
        }
        self.keep_alive_until = until;
        let detail = match until {
            Some(until) => format!("Its owner keeps it until {until}."),
            None => "Its owner does not keep it any longer.".into(),
        };
        Ok(vec![Effect::Record(EventKind::Notice { detail })])
    }
}
