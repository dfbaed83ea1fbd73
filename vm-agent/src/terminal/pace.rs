//! When output goes out: at once where somebody waits for it, in large frames where it floods.

use std::time::{Duration, Instant};

use ringfence_protocol::terminal::MAX_DATA_BYTES;

/// Output after this much quiet, or this soon after input, goes out at once; no output waits longer.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);

/// How much of a terminal's output may be sent.
#[derive(Debug, Default)]
pub(super) struct Pace {
    released: u64,
    end: u64,
    waiting_since: Option<Instant>,
    last_output: Option<Instant>,
    last_input: Option<Instant>,
}

impl Pace {
    /// Output before this offset may be sent.
    pub(super) fn released(&self) -> u64 {
        self.released
    }

    /// Somebody typed.
    pub(super) fn input(&mut self, now: Instant) {
        self.last_input = Some(now);
    }

    /// The terminal has put out everything before `end`.
    pub(super) fn output(&mut self, end: u64, now: Instant) {
        let is_recent = |then: Option<Instant>| then.is_some_and(|then| now.saturating_duration_since(then) < PATIENCE);
        let is_answer = is_recent(self.last_input);
        let was_quiet = !is_recent(self.last_output);
        self.last_output = Some(now);
        self.end = end;
        let frame_is_full = end - self.released >= MAX_DATA_BYTES as u64;
        if is_answer || was_quiet || frame_is_full {
            self.release();
        } else {
            self.waiting_since.get_or_insert(now);
        }
    }

    /// Lets everything go.
    pub(super) fn release(&mut self) {
        self.released = self.end;
        self.waiting_since = None;
    }

    /// Lets go what has waited long enough.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.release();
        }
    }

    /// When [`Self::tick`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting_since.map(|since| since + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_first_output_after_quiet_goes_out_at_once_and_the_rest_within_50_ms() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.output(10, start);
        assert_eq!(pace.released(), 10);
        pace.output(20, start + MS);
        assert_eq!(pace.released(), 10);
        assert_eq!(pace.deadline(), Some(start + MS + PATIENCE));
        pace.tick(start + PATIENCE);
        assert_eq!(pace.released(), 10);
        pace.tick(start + MS + PATIENCE);
        assert_eq!(pace.released(), 20);
    }

    #[test]
    fn an_echo_never_waits_even_in_a_flood() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.output(10, start);
        pace.output(20, start + MS);
        pace.input(start + 2 * MS);
        pace.output(21, start + 3 * MS);
        assert_eq!(pace.released(), 21);
    }

    #[test]
    fn a_flood_goes_out_in_full_frames() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.output(1, start);
        pace.output(MAX_DATA_BYTES as u64, start + MS);
        assert_eq!(pace.released(), 1);
        pace.output(1 + MAX_DATA_BYTES as u64, start + MS);
        assert_eq!(pace.released(), 1 + MAX_DATA_BYTES as u64);
    }
}
