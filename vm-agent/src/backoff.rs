//! How long to wait before trying again.

use std::time::Duration;

/// Doubles from a floor to a ceiling; the lower half of each wait is fixed, the upper half is chance, so that a thousand
/// agents who lost the same control plane do not come back at once.
#[derive(Debug, Clone)]
pub struct Backoff {
    floor: Duration,
    ceiling: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at `floor`, never exceeds `ceiling`.
    pub fn new(floor: Duration, ceiling: Duration) -> Self {
        Self { floor, ceiling, next: floor }
    }

    /// The next wait, with `chance` from 0 to 1.
    pub fn next(&mut self, chance: f64) -> Duration {
        let wait = self.next;
        self.next = self.ceiling.min(wait * 2);
        wait.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
    }

    /// Starts again at the floor.
    pub fn reset(&mut self) {
        self.next = self.floor;
    }

    /// Waits for [`Self::next`] of a random chance.
    pub async fn pause(&mut self) {
        let wait = self.next(rand::random());
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_ceiling_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(1));
        let waits: Vec<_> = (0..4).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.next(0.0).as_millis(), 125);
    }
}
