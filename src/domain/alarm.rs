//! What the alarm of a node's object is set to. The platform keeps one instant, forgets it when the alarm goes off, and calls
//! an alarm that failed too often never again; this says what to set it to, so that no wake-up is lost.
//!
//! ```text
//!  asleep ──alarm goes off──▶ `begin`: the safety alarm is set ──work──▶ `settle`: the next instant is set
//!                               ▲ meanwhile: `want` and `sooner`, never later
//! ```
//!
//! What is remembered here is lost with the object's memory; the alarm itself is not, and was moved at least as soon. Another request
//! may move it sooner still, and it may come early: so storage keeps until when a request has armed the object ([`of_a_request`]), and
//! the next instance looks back at it ([`Wakes::look_back`]).

use std::collections::VecDeque;
use std::time::Duration;

use ringfence_protocol::time::UnixMillis;

/// When the object looks again if the alarm that is running now never gets to its end.
pub const SAFETY: Duration = Duration::from_secs(30);
/// How long a write may take before the alarm that was armed for it goes off: an alarm that finds nothing to do is cheap,
/// a row without an alarm is not.
pub const ARM_DELAY: Duration = Duration::from_secs(15);
/// How soon what failed is repeated at first.
pub const RETRY: Duration = Duration::from_secs(15);
/// How soon at last. The database is away for seconds, or its quota is spent for hours: then an object that looks every five
/// minutes makes less than three hundred alarms a day, and three hundred objects stay within the free plan's 100,000 requests.
pub const RETRY_MAX: Duration = Duration::from_secs(5 * 60);
/// How long the row of a new node may take to be written: longer than the database works on one batch (30 s).
pub const WRITING: Duration = Duration::from_secs(60);
/// Requests that write at the same time, at most; the alarms of more are set all the same.
const MAX_ARMED: usize = 64;

/// How soon a drive is repeated that has failed that many times in a row before. Each pause is a quarter longer than the one
/// before, so whatever was away is noticed to be back within about a quarter of the time that it was away, even where a look or
/// two fail by chance; [`RETRY_MAX`] comes after some twenty minutes.
pub fn retry_after(failures: u32) -> Duration {
    let growth = 1.25_f64.powi(failures.min(16).cast_signed());
    RETRY.mul_f64(growth).min(RETRY_MAX)
}

/// What to set an alarm to that is set to `current`, so that it goes off at `at`. It is never moved later.
pub fn sooner(at: UnixMillis, current: Option<UnixMillis>) -> Option<UnixMillis> {
    current.is_none_or(|current| at < current).then_some(at)
}

/// Whether a wake-up may be for a request that is about to write: what storage has to keep. One for a later deadline, which an agent's
/// word leads to, is not: its writer is the object itself, and ends with it. The request's clock may be ahead of the object's.
pub fn of_a_request(at: UnixMillis, now: UnixMillis) -> bool {
    now < at && at <= now + ARM_DELAY * 2
}

/// Wake-ups that the alarm's own instant does not tell.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Wakes {
    /// The earliest wake-up asked for while an alarm was running: the alarm's end must not move it later.
    pub wanted: Option<UnixMillis>,
    /// Wake-ups armed by requests that are about to write, the soonest first; two requests may arm the same instant. An alarm
    /// that comes before one does not stand for it: it may have read before the write.
    pub armed: VecDeque<UnixMillis>,
    /// The last instant that requests may have armed an earlier instance of the object for. Nobody is left to say that they have
    /// written, so it stays until it has passed.
    pub inherited: Option<UnixMillis>,
    /// Whether this instance has looked at what earlier ones left behind.
    pub looked_back: bool,
}

impl Wakes {
    /// Before anything else in an instance of the object: with until when earlier ones were armed.
    pub fn look_back(&mut self, armed_until: Option<UnixMillis>, now: UnixMillis) {
        if !std::mem::replace(&mut self.looked_back, true) {
            self.inherited = armed_until.filter(|at| *at > now);
        }
    }

    /// Somebody wakes the object. A request does so before it writes, for a while later; a sweep does so at once, and stands for
    /// nobody's write.
    pub fn arm(&mut self, at: UnixMillis, now: UnixMillis) {
        if at > now && self.armed.len() < MAX_ARMED {
            let place = self.armed.partition_point(|armed| *armed <= at);
            self.armed.insert(place, at);
        }
    }

    /// A request has written: one that was armed is not needed any more. Whose it was makes no difference.
    pub fn written(&mut self) {
        self.armed.pop_front();
    }

    /// The object is to wake at `at`. Comes before the alarm is read and moved ([`sooner`]): a run that ends in between finds it.
    pub fn want(&mut self, at: UnixMillis) {
        self.wanted = Some(self.wanted.map_or(at, |earlier| earlier.min(at)));
    }

    /// The alarm goes off. Gives what to set it to before anything else is done: if this run is cut off, that one comes.
    pub fn begin(&mut self, now: UnixMillis) -> UnixMillis {
        self.wanted = None;
        self.armed.retain(|at| *at > now);
        self.inherited = self.inherited.filter(|at| *at > now);
        now + SAFETY
    }

    /// The alarm's last act, with the alarm set to `current`: the next deadline, or an earlier wake-up that was asked for while
    /// it ran. Only the safety alarm, which is our own, is moved later. `None` when nothing is to come.
    pub fn settle(
        &mut self,
        deadline: Option<UnixMillis>,
        current: Option<UnixMillis>,
        safety: UnixMillis,
    ) -> Option<UnixMillis> {
        let current = current.filter(|at| *at != safety);
        let armed = self.armed.front().copied();
        [deadline, current, self.wanted.take(), armed, self.inherited].into_iter().flatten().min()
    }

    /// Whether somebody asked for a wake-up while the alarm ran.
    pub const fn are_wanted(&self) -> bool {
        self.wanted.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> UnixMillis {
        UnixMillis::from_secs(1000 + secs)
    }

    #[test]
    fn nobody_moves_an_alarm_later() {
        assert_eq!(sooner(at(5), Some(at(9))), Some(at(5)));
        assert_eq!(sooner(at(9), Some(at(5))), None);
        assert_eq!(sooner(at(9), None), Some(at(9)));
    }

    #[test]
    fn the_safety_alarm_alone_gives_way_to_a_later_deadline() {
        let mut wakes = Wakes::default();
        let safety = wakes.begin(at(0));
        assert_eq!(wakes.settle(Some(at(600)), Some(safety), safety), Some(at(600)));
        assert_eq!(wakes.settle(Some(at(600)), Some(at(20)), safety), Some(at(20)));
        assert_eq!(wakes.settle(None, Some(safety), safety), None);
    }

    #[test]
    fn a_wake_up_asked_for_while_the_alarm_runs_is_kept_even_where_it_moved_nothing() {
        let mut wakes = Wakes::default();
        let safety = wakes.begin(at(0));
        wakes.want(safety);
        assert_eq!(wakes.settle(Some(at(600)), Some(safety), safety), Some(safety));
        assert_eq!(wakes.settle(Some(at(600)), Some(safety), safety), Some(at(600)));
    }

    #[test]
    fn an_alarm_before_a_write_does_not_stand_for_the_one_that_was_armed_for_it() {
        let mut wakes = Wakes::default();
        wakes.arm(at(15), at(0));
        let safety = wakes.begin(at(2));
        assert_eq!(wakes.settle(None, Some(safety), safety), Some(at(15)));
        wakes.arm(at(3), at(3));
        assert_eq!(wakes.settle(None, Some(safety), safety), Some(at(15)), "a sweep's wake-up stands for no write");
        wakes.written();
        assert_eq!(wakes.settle(None, Some(safety), safety), None);
    }

    #[test]
    fn what_an_earlier_instance_was_armed_for_is_looked_at_when_it_has_passed() {
        let mut wakes = Wakes::default();
        wakes.look_back(Some(at(15)), at(2));
        // Another request comes and writes; nobody says so of the first.
        wakes.arm(at(17), at(2));
        wakes.written();
        for now in [3, 4] {
            let safety = wakes.begin(at(now));
            wakes.look_back(None, at(now));
            assert_eq!(wakes.settle(Some(at(600)), Some(safety), safety), Some(at(15)), "whatever came early");
        }
        let safety = wakes.begin(at(15));
        assert_eq!(wakes.settle(Some(at(600)), Some(safety), safety), Some(at(600)), "once");
    }

    #[test]
    fn storage_keeps_what_a_request_arms_and_nothing_else() {
        let kept = [-1, 0, 1, 15, 16, 90].map(|secs| of_a_request(at(secs), at(0)));
        assert_eq!(kept, [false, false, true, true, true, false], "also of a clock that is ahead");
    }

    #[test]
    fn of_two_that_were_armed_for_the_same_instant_one_is_left_when_the_other_has_written() {
        let mut wakes = Wakes::default();
        wakes.arm(at(15), at(0));
        wakes.arm(at(15), at(0));
        wakes.written();
        let safety = wakes.begin(at(2));
        assert_eq!(wakes.settle(None, Some(safety), safety), Some(at(15)));
    }
}
