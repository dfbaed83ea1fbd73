//! Percentiles of durations.

use std::time::Duration;

/// Durations, sorted.
pub(super) struct Samples(Vec<Duration>);

impl Samples {
    pub(super) fn new(mut samples: Vec<Duration>) -> Self {
        samples.sort();
        Self(samples)
    }

    /// The duration that `percent` of the samples do not exceed, in milliseconds (nearest rank); zero without samples.
    pub(super) fn percentile_ms(&self, percent: u32) -> f64 {
        let rank = (self.0.len() * percent as usize).div_ceil(100).max(1);
        self.0.get(rank - 1).map_or(0.0, |sample| sample.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples = Samples::new((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!(samples.percentile_ms(50), 100.0);
        assert_eq!(samples.percentile_ms(99), 198.0);
        assert_eq!(Samples::new(Vec::new()).percentile_ms(50), 0.0);
    }
}
