//! Whether a workspace's processes work, by the processor time they have used since they were last looked at.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// From this share of one processor on, what runs in the foreground of a terminal works. A program that only waits for input, or
/// redraws a clock, stays below.
const FOREGROUND_SHARE: f64 = 0.03;
/// The same for everything together, in the background too: a build that was put there, and no server that waits.
const ALL_SHARE: f64 = 0.25;
/// The kernel's ticks of processor time in a second, on every Linux that is in use (USER_HZ).
const TICKS_PER_SEC: f64 = 100.0;
/// Shorter than this, a tick is too coarse a measure.
const LOOK_APART: Duration = Duration::from_millis(200);

/// What one process has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessTime {
    /// Its number.
    pub pid: i32,
    /// When it was born, in ticks since the machine's start: numbers are given again.
    pub born: u64,
    /// Its processor time and that of its children that have ended, in ticks.
    pub ticks: u64,
    /// Whether it is in the foreground of a terminal.
    pub is_foreground: bool,
}

/// Ticks that were used, by a process's number and birth.
type Used = HashMap<(i32, u64), u64>;

/// Remembers what was used, to tell what is.
#[derive(Debug, Default)]
pub struct Meter {
    last: Option<(Instant, Used)>,
}

impl Meter {
    /// Whether these processes work. The first look only remembers: nobody knows when that time was used.
    pub fn works(&mut self, processes: &[ProcessTime], now: Instant) -> bool {
        let used = processes.iter().map(|process| ((process.pid, process.born), process.ticks)).collect();
        let Some((when, before)) = self.last.take() else {
            self.last = Some((now, used));
            return false;
        };
        let passed = now.saturating_duration_since(when);
        if passed < LOOK_APART {
            self.last = Some((when, before));
            return false;
        }
        // One that was born since has used all of its time since.
        let since = |process: &ProcessTime| {
            let known = before.get(&(process.pid, process.born)).copied().unwrap_or(0);
            process.ticks.saturating_sub(known)
        };
        let all: u64 = processes.iter().map(since).sum();
        let foreground: u64 = processes.iter().filter(|process| process.is_foreground).map(since).sum();
        self.last = Some((now, used));
        let share = |ticks: u64| ticks as f64 / TICKS_PER_SEC / passed.as_secs_f64();
        share(foreground) >= FOREGROUND_SHARE || share(all) >= ALL_SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, ticks: u64, is_foreground: bool) -> ProcessTime {
        ProcessTime { pid, born: 1, ticks, is_foreground }
    }

    #[test]
    fn what_works_in_the_foreground_is_told_from_what_waits_and_from_a_server_in_the_background() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        for (ticks, is_foreground, works) in
            [(29, true, false), (30, true, true), (249, false, false), (250, false, true)]
        {
            let mut meter = Meter::default();
            assert!(!meter.works(&[process(1, 5_000, is_foreground)], at(0)), "nobody knows when that was");
            assert_eq!(
                meter.works(&[process(1, 5_000 + ticks, is_foreground)], at(10)),
                works,
                "{ticks} ticks in 10 s"
            );
            assert!(!meter.works(&[process(1, 5_000 + ticks, is_foreground)], at(20)));
        }
    }

    #[test]
    fn short_lived_processes_count_and_those_that_end_take_nothing_away() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut meter = Meter::default();
        meter.works(&[process(1, 10_000, true), process(2, 0, true)], at(0));
        assert!(meter.works(&[process(2, 0, true), process(3, 100, true)], at(10)));
        let reborn = ProcessTime { born: 2, ..process(3, 60, true) };
        assert!(meter.works(&[reborn], at(20)), "a number that was given again");
    }
}
