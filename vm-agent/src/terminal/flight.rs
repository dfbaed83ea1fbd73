//! Output on its way to one viewer: sent and not acknowledged.

use std::collections::VecDeque;
use std::ops::Range;

/// Ranges of offsets that were sent. More than one only where a reset left a gap.
#[derive(Debug, Default)]
pub(super) struct Flight {
    sent: VecDeque<Range<u64>>,
}

impl Flight {
    /// Bytes on their way.
    pub(super) fn bytes(&self) -> u64 {
        self.sent.iter().map(|range| range.end - range.start).sum()
    }

    /// `range` was sent, after everything before it.
    pub(super) fn push(&mut self, range: Range<u64>) {
        match self.sent.back_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            Some(_) | None => self.sent.push_back(range),
        }
    }

    /// Everything before `offset` has arrived.
    pub(super) fn acknowledge(&mut self, offset: u64) {
        while let Some(first) = self.sent.front_mut() {
            if first.end > offset {
                first.start = first.start.max(offset);
                return;
            }
            self.sent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_before_a_gap_stay_in_flight_until_they_are_acknowledged() {
        let mut flight = Flight::default();
        flight.push(0..10);
        flight.push(10..20);
        flight.push(100..130);
        assert_eq!(flight.bytes(), 50);
        flight.acknowledge(15);
        assert_eq!(flight.bytes(), 35);
        flight.acknowledge(100);
        assert_eq!(flight.bytes(), 30);
        flight.acknowledge(130);
        assert_eq!(flight.bytes(), 0);
    }
}
