//! The newest output of a terminal, by offset.

use std::collections::VecDeque;

/// How far into the ring to look for the end of a line to start a replay at.
const LINE_SEARCH_BYTES: usize = 4096;

/// The last bytes of a stream, each known by its offset from the stream's first.
#[derive(Debug)]
pub(super) struct Ring {
    bytes: VecDeque<u8>,
    start: u64,
    capacity: usize,
}

impl Ring {
    /// A ring that keeps `capacity` bytes. Memory is taken as it fills.
    pub(super) fn new(capacity: usize) -> Self {
        Self { bytes: VecDeque::new(), start: 0, capacity }
    }

    /// Offset of the oldest byte kept.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Offset after the newest byte.
    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Adds output, dropping what is oldest.
    pub(super) fn push(&mut self, output: &[u8]) {
        let skipped = output.len().saturating_sub(self.capacity);
        let kept = &output[skipped..];
        let overflow = (self.bytes.len() + kept.len()).saturating_sub(self.capacity);
        self.bytes.drain(..overflow);
        self.bytes.extend(kept);
        self.start += (overflow + skipped) as u64;
    }

    /// A copy of up to `most` bytes from `offset` on; empty outside of what is kept.
    pub(super) fn copy(&self, offset: u64, most: usize) -> Vec<u8> {
        let Some(from) = self.index(offset) else {
            return Vec::new();
        };
        let to = self.bytes.len().min(from + most);
        let (front, back) = self.bytes.as_slices();
        let split = front.len();
        let mut copy = Vec::with_capacity(to - from);
        copy.extend_from_slice(&front[from.min(split)..to.min(split)]);
        copy.extend_from_slice(&back[from.saturating_sub(split)..to.saturating_sub(split)]);
        copy
    }

    /// Where a replay should start: at the ring's start while nothing was dropped, else after the first line break near it, so
    /// that no half escape sequence or character is drawn.
    pub(super) fn clean_start(&self) -> u64 {
        if self.start == 0 {
            return 0;
        }
        let newline = self.bytes.iter().take(LINE_SEARCH_BYTES).position(|byte| *byte == b'\n');
        let skip = match newline {
            Some(place) => place + 1,
            // Continuation bytes of UTF-8: the rest of a character whose beginning was dropped.
            None => self.bytes.iter().take(3).take_while(|byte| **byte & 0xC0 == 0x80).count(),
        };
        self.start + skip as u64
    }

    fn index(&self, offset: u64) -> Option<usize> {
        let index = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        (index <= self.bytes.len()).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_newest_bytes_by_offset() {
        let mut ring = Ring::new(4);
        ring.push(b"abc");
        ring.push(b"def");
        assert_eq!((ring.start(), ring.end()), (2, 6));
        assert_eq!(ring.copy(3, 10), b"def");
        assert_eq!(ring.copy(2, 1), b"c");
        assert!(ring.copy(1, 10).is_empty());
        assert!(ring.copy(7, 10).is_empty());
        ring.push(b"0123456789");
        assert_eq!((ring.start(), ring.end()), (12, 16));
        assert_eq!(ring.copy(12, 10), b"6789");
    }

    #[test]
    fn a_replay_starts_on_a_new_line_or_a_whole_character() {
        let mut ring = Ring::new(8);
        ring.push(b"dropped");
        assert_eq!(ring.clean_start(), 0);
        ring.push(b"[31m\nabc");
        assert_eq!(ring.copy(ring.clean_start(), 9), b"abc");
        ring.push("-éxyzéxy".as_bytes());
        assert_eq!(ring.copy(ring.clean_start(), 9), "xyzéxy".as_bytes());
    }
}
