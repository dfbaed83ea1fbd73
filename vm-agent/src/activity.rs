//! Signs that workspaces are used: input, output that somebody looks at, processor time. Collected all the time, told seldom.
//!
//! What never counts: an open tab, its size, a heartbeat, a measurement, the agent's own start.

mod load;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::Activity;
use ringfence_protocol::state::ActivityCause;

use crate::clock::ControlClock;
pub use load::{Meter, ProcessTime};

/// What is taken for the idle timeout where none was told.
const USUAL_TIMEOUT: Duration = Duration::from_secs(1800);
/// Signs are told at most so often; or four times within the idle timeout, where that is shorter.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// It is looked for them so often; or eight times within the shortest idle timeout.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(250);

/// A screen of another size is drawn anew within so long. Nobody asked for that output: the page's own warning that a workspace is
/// about to end takes a line of the screen, and must not be what keeps it.
const REDRAWN_WITHIN: Duration = Duration::from_secs(2);

/// What terminals saw last. Written by their tasks, which wait for nothing.
#[derive(Debug)]
pub struct Signs {
    begun: Instant,
    /// Milliseconds after `begun`, and one; zero is never.
    typed: AtomicU64,
    shown: AtomicU64,
    resized: AtomicU64,
}

impl Signs {
    /// Nothing yet.
    pub fn new(begun: Instant) -> Self {
        Self { begun, typed: AtomicU64::new(0), shown: AtomicU64::new(0), resized: AtomicU64::new(0) }
    }

    /// A viewer typed something new.
    pub fn typed(&self, now: Instant) {
        self.typed.store(self.stamp(now), Ordering::Relaxed);
    }

    /// Something was put out while a viewer looked.
    pub fn shown(&self, now: Instant) {
        let (stamp, resized) = (self.stamp(now), self.resized.load(Ordering::Relaxed));
        let within = u64::try_from(REDRAWN_WITHIN.as_millis()).unwrap_or(u64::MAX);
        if resized == 0 || stamp.saturating_sub(resized) > within {
            self.shown.store(stamp, Ordering::Relaxed);
        }
    }

    /// A terminal has another size.
    pub fn resized(&self, now: Instant) {
        self.resized.store(self.stamp(now), Ordering::Relaxed);
    }

    fn stamp(&self, now: Instant) -> u64 {
        let millis = now.saturating_duration_since(self.begun).as_millis();
        u64::try_from(millis).unwrap_or(u64::MAX - 1) + 1
    }

    fn seen(&self) -> impl Iterator<Item = Sign> + use<> {
        let begun = self.begun;
        let sign = move |stamp: u64, cause| {
            let millis = stamp.checked_sub(1)?;
            Some(Sign { at: begun + Duration::from_millis(millis), cause })
        };
        let typed = sign(self.typed.load(Ordering::Relaxed), ActivityCause::TerminalInput);
        let shown = sign(self.shown.load(Ordering::Relaxed), ActivityCause::TerminalOutput);
        shown.into_iter().chain(typed)
    }
}

/// One sign of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sign {
    at: Instant,
    cause: ActivityCause,
}

/// One workspace's use.
#[derive(Debug)]
struct Tracker {
    idle_timeout: Duration,
    signs: Arc<Signs>,
    meter: Meter,
    last: Option<Sign>,
    /// Until when an assistant's turn may last.
    lease: Option<Instant>,
    /// Until when something in the workspace has asked to be kept awake.
    awake: Option<Instant>,
    /// The newest sign that was told, and when.
    told: Option<(Instant, Instant)>,
}

impl Tracker {
    fn new(idle_timeout: Duration, now: Instant) -> Self {
        Self {
            idle_timeout,
            signs: Arc::new(Signs::new(now)),
            meter: Meter::default(),
            last: None,
            lease: None,
            awake: None,
            told: None,
        }
    }

    fn note(&mut self, sign: Sign) {
        if self.last.is_none_or(|last| sign.at >= last.at) {
            self.last = Some(sign);
        }
    }

    fn look(&mut self, processes: Option<&[ProcessTime]>, now: Instant) {
        for sign in self.signs.seen() {
            self.note(sign);
        }
        if processes.is_some_and(|processes| self.meter.works(processes, now)) {
            self.note(Sign { at: now, cause: ActivityCause::Process });
        }
        self.awake = self.awake.filter(|until| *until > now);
        if self.awake.is_some() {
            self.note(Sign { at: now, cause: ActivityCause::KeepAwake });
        }
        self.lease = self.lease.filter(|lease| *lease > now);
        if self.lease.is_some() {
            self.note(Sign { at: now, cause: ActivityCause::Assistant });
        }
    }

    /// Whether there is something to tell that is worth it now.
    fn is_due(&self, now: Instant) -> bool {
        let Some(last) = self.last else { return false };
        let spacing = TELL_EVERY.min(self.idle_timeout / 4);
        self.told.is_none_or(|(sign, when)| last.at > sign && now.saturating_duration_since(when) >= spacing)
    }

    fn tell(&mut self, clock: &ControlClock, now: Instant) -> Option<Activity> {
        let last = self.last?;
        self.told = Some((last.at, now));
        let lease_ends_at = self.lease.max(self.awake).map(|lease| clock.at(lease));
        Some(Activity { at: clock.at(last.at), cause: last.cause, lease_ends_at })
    }
}

/// The use of every workspace that runs.
#[derive(Debug, Default)]
pub struct Ledger {
    trackers: HashMap<WorkspaceId, Tracker>,
}

impl Ledger {
    /// A workspace runs. `is_new`: it was started just now, rather than found by an agent that was.
    pub fn runs(&mut self, id: WorkspaceId, idle_timeout_secs: Option<u64>, is_new: bool, now: Instant) {
        let idle_timeout = idle_timeout_secs.map_or(USUAL_TIMEOUT, Duration::from_secs);
        let tracker = self.trackers.entry(id).or_insert_with(|| Tracker::new(idle_timeout, now));
        tracker.idle_timeout = idle_timeout;
        if is_new {
            tracker.note(Sign { at: now, cause: ActivityCause::Started });
        }
    }

    /// A workspace does not run any more.
    pub fn ended(&mut self, id: WorkspaceId) {
        self.trackers.remove(&id);
    }

    /// Where a workspace's terminals leave their signs.
    pub fn signs(&mut self, id: WorkspaceId, now: Instant) -> Arc<Signs> {
        let tracker = self.trackers.entry(id).or_insert_with(|| Tracker::new(USUAL_TIMEOUT, now));
        Arc::clone(&tracker.signs)
    }

    /// The workspace's assistant is at its turn, for so long at most.
    pub fn turn(&mut self, id: WorkspaceId, lease: Duration, now: Instant) {
        if let Some(tracker) = self.trackers.get_mut(&id) {
            tracker.lease = Some(now + lease);
            tracker.note(Sign { at: now, cause: ActivityCause::Assistant });
        }
    }

    /// The turn is over.
    pub fn turn_ended(&mut self, id: WorkspaceId) {
        if let Some(tracker) = self.trackers.get_mut(&id) {
            tracker.lease = None;
        }
    }

    /// Something in the workspace asks that it count as used for so long; no time takes that back.
    pub fn keep_awake(&mut self, id: WorkspaceId, time: Duration, now: Instant) {
        if let Some(tracker) = self.trackers.get_mut(&id) {
            tracker.awake = Some(now + time).filter(|until| *until > now);
            if tracker.awake.is_some() {
                tracker.note(Sign { at: now, cause: ActivityCause::KeepAwake });
            }
        }
    }

    /// Whose processes to look at.
    pub fn ids(&self) -> Vec<WorkspaceId> {
        self.trackers.keys().copied().collect()
    }

    /// When to look next, after `now`.
    pub fn next_look(&self, now: Instant) -> Option<Instant> {
        let shortest = self.trackers.values().map(|tracker| tracker.idle_timeout).min()?;
        Some(now + (shortest / 8).clamp(LOOK_AT_MOST_EVERY, LOOK_EVERY))
    }

    /// Takes note of what terminals saw, and of a workspace's processes.
    pub fn look(&mut self, id: WorkspaceId, processes: Option<&[ProcessTime]>, now: Instant) {
        if let Some(tracker) = self.trackers.get_mut(&id) {
            tracker.look(processes, now);
        }
    }

    /// What is worth telling of a workspace now.
    pub fn due(&mut self, id: WorkspaceId, clock: &ControlClock, now: Instant) -> Option<Activity> {
        self.trackers.get_mut(&id).filter(|tracker| tracker.is_due(now))?.tell(clock, now)
    }

    /// The newest sign of use, which is about to be told in any case.
    pub fn newest(&mut self, id: WorkspaceId, clock: &ControlClock, now: Instant) -> Option<Activity> {
        let tracker = self.trackers.get_mut(&id)?;
        tracker.look(None, now);
        tracker.tell(clock, now)
    }
}

#[cfg(test)]
mod tests {
    use ringfence_protocol::time::UnixMillis;

    use super::*;

    const HALF_HOUR: Option<u64> = Some(1800);

    struct Bench {
        ledger: Ledger,
        clock: ControlClock,
        start: Instant,
        id: WorkspaceId,
    }

    impl Bench {
        fn new(idle_timeout_secs: Option<u64>) -> Self {
            let start = Instant::now();
            let id = WorkspaceId::from_entropy([1; 13]);
            let mut ledger = Ledger::default();
            ledger.runs(id, idle_timeout_secs, true, start);
            Self { ledger, clock: ControlClock::new(UnixMillis::from_secs(1_000), start), start, id }
        }

        fn at(&self, secs: u64) -> Instant {
            self.start + Duration::from_secs(secs)
        }

        fn look(&mut self, secs: u64) -> Option<(ActivityCause, i64)> {
            let now = self.at(secs);
            self.ledger.look(self.id, None, now);
            let told = self.ledger.due(self.id, &self.clock, now)?;
            Some((told.cause, told.at.as_secs() - 1_000))
        }
    }

    #[test]
    fn signs_are_told_once_at_most_once_a_minute_and_nothing_is_said_of_what_nobody_uses() {
        let mut bench = Bench::new(HALF_HOUR);
        let signs = bench.ledger.signs(bench.id, bench.start);
        assert_eq!(bench.look(1), Some((ActivityCause::Started, 0)));
        signs.typed(bench.at(10));
        assert_eq!(bench.look(11), None);
        signs.shown(bench.at(20));
        assert_eq!(bench.look(60), None);
        assert_eq!(bench.look(61), Some((ActivityCause::TerminalOutput, 20)));
        for secs in (65..100_000).step_by(5) {
            assert_eq!(bench.look(secs), None, "nobody uses it");
        }
        signs.typed(bench.at(100_000));
        assert_eq!(bench.look(100_001), Some((ActivityCause::TerminalInput, 100_000)), "the first sign comes at once");
    }

    #[test]
    fn what_is_drawn_anew_at_another_size_is_no_use_and_what_follows_is() {
        let mut bench = Bench::new(HALF_HOUR);
        let signs = bench.ledger.signs(bench.id, bench.start);
        assert!(bench.look(0).is_some());
        signs.resized(bench.at(100));
        signs.shown(bench.at(100));
        signs.shown(bench.at(101));
        assert_eq!(bench.look(200), None);
        signs.shown(bench.at(103));
        assert_eq!(bench.look(201), Some((ActivityCause::TerminalOutput, 103)));
        signs.resized(bench.at(300));
        signs.typed(bench.at(300));
        assert_eq!(bench.look(301), Some((ActivityCause::TerminalInput, 300)));
    }

    #[test]
    fn a_short_timeout_hears_of_use_four_times() {
        let mut bench = Bench::new(Some(20));
        assert_eq!(bench.ledger.next_look(bench.start), Some(bench.start + Duration::from_millis(2_500)));
        let signs = bench.ledger.signs(bench.id, bench.start);
        assert!(bench.look(0).is_some());
        signs.typed(bench.at(1));
        assert_eq!((bench.look(4), bench.look(5)), (None, Some((ActivityCause::TerminalInput, 1))));
    }

    #[test]
    fn an_agent_that_was_restarted_does_not_count_as_use() {
        let mut bench = Bench::new(HALF_HOUR);
        bench.ledger.ended(bench.id);
        bench.ledger.runs(bench.id, HALF_HOUR, false, bench.start);
        assert_eq!(bench.ledger.newest(bench.id, &bench.clock, bench.start), None);
        assert_eq!(bench.look(100), None);
    }

    #[test]
    fn an_assistants_turn_is_use_until_it_ends_or_its_lease_does() {
        let mut bench = Bench::new(HALF_HOUR);
        assert!(bench.look(0).is_some());
        let now = bench.at(100);
        bench.ledger.turn(bench.id, Duration::from_secs(300), now);
        let told = bench.ledger.due(bench.id, &bench.clock, now).unwrap();
        assert_eq!(told.lease_ends_at, Some(UnixMillis::from_secs(1_400)));
        assert_eq!(bench.look(399), Some((ActivityCause::Assistant, 399)));
        assert_eq!(bench.look(500), None, "a lease is finite");
        let now = bench.at(600);
        bench.ledger.turn(bench.id, Duration::from_secs(300), now);
        bench.ledger.turn_ended(bench.id);
        assert_eq!(bench.look(600), Some((ActivityCause::Assistant, 600)));
        assert_eq!(bench.look(700), None);
    }

    #[test]
    fn what_is_kept_awake_is_use_until_its_time_is_over_or_it_is_taken_back() {
        let mut bench = Bench::new(HALF_HOUR);
        assert!(bench.look(0).is_some());
        let now = bench.at(100);
        bench.ledger.keep_awake(bench.id, Duration::from_secs(3_000), now);
        let told = bench.ledger.due(bench.id, &bench.clock, now).unwrap();
        assert_eq!((told.cause, told.lease_ends_at), (ActivityCause::KeepAwake, Some(UnixMillis::from_secs(4_100))));
        assert_eq!(bench.look(3_099), Some((ActivityCause::KeepAwake, 3_099)));
        assert_eq!(bench.look(3_200), None);
        let now = bench.at(4_000);
        bench.ledger.keep_awake(bench.id, Duration::from_secs(3_000), now);
        bench.ledger.keep_awake(bench.id, Duration::ZERO, now);
        assert_eq!(bench.look(4_000), Some((ActivityCause::KeepAwake, 4_000)));
        assert_eq!(bench.look(4_100), None);
    }

    #[test]
    fn a_process_that_works_is_use_with_nobody_looking_on() {
        let mut bench = Bench::new(HALF_HOUR);
        assert!(bench.look(0).is_some());
        let mut at = |secs, ticks| {
            let now = bench.at(secs);
            let process = ProcessTime { pid: 7, born: 1, ticks, is_foreground: true };
            bench.ledger.look(bench.id, Some(&[process]), now);
            bench.ledger.due(bench.id, &bench.clock, now).map(|told| told.cause)
        };
        let told = [at(100, 1_000), at(110, 1_500), at(200, 1_501)];
        assert_eq!(told, [None, Some(ActivityCause::Process), None]);
    }
}
