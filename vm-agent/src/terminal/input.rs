//! What viewers typed: each byte once, in order, whatever is sent again after a reconnection.

use std::collections::VecDeque;

use ringfence_protocol::ids::ViewerId;
use ringfence_protocol::terminal::WINDOW_BYTES;

/// Viewers remembered. One that is forgotten starts again at zero.
const MAX_REMEMBERED: usize = 64;

/// How far one viewer's input has come.
#[derive(Debug)]
struct Stream {
    viewer: ViewerId,
    /// Queued: what is sent again before this is ignored.
    taken: u64,
    /// Given to the terminal.
    written: u64,
}

/// Input is not what was agreed: a gap, or more than there was credit for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation;

/// The input of one terminal.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Used last comes last.
    streams: VecDeque<Stream>,
    /// Bytes for the terminal.
    queue: VecDeque<u8>,
    /// Whose bytes they are, in the same order.
    owners: VecDeque<(ViewerId, usize)>,
}

impl Input {
    /// How much of the viewer's input the terminal was given.
    ///
    /// What is queued beyond is sent again by a viewer who reconnects, and ignored then: so its credit stays what it was.
    pub(super) fn written(&self, viewer: ViewerId) -> u64 {
        self.streams.iter().find(|stream| stream.viewer == viewer).map_or(0, |stream| stream.written)
    }

    /// Takes what is new of some input. `acknowledged` is the offset the viewer was told last. Returns whether any of it was new.
    pub(super) fn take(
        &mut self,
        viewer: ViewerId,
        offset: u64,
        bytes: &[u8],
        acknowledged: u64,
    ) -> Result<bool, Violation> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(Violation)?;
        if end > acknowledged.saturating_add(WINDOW_BYTES) {
            return Err(Violation);
        }
        let stream = self.stream(viewer);
        if offset > stream.taken {
            return Err(Violation);
        }
        let known = usize::try_from(stream.taken - offset).unwrap_or(usize::MAX);
        let Some(fresh) = bytes.get(known..).filter(|fresh| !fresh.is_empty()) else {
            return Ok(false);
        };
        stream.taken = end;
        self.queue.extend(fresh);
        match self.owners.back_mut() {
            Some((owner, count)) if *owner == viewer => *count += fresh.len(),
            Some(_) | None => self.owners.push_back((viewer, fresh.len())),
        }
        Ok(true)
    }

    /// What the terminal is to be given next.
    pub(super) fn pending(&self) -> &[u8] {
        self.queue.as_slices().0
    }

    /// The terminal took the first `count` bytes of [`Self::pending`].
    pub(super) fn wrote(&mut self, count: usize) {
        self.queue.drain(..count.min(self.queue.len()));
        let mut left = count;
        while left > 0 {
            let Some((viewer, owned)) = self.owners.front_mut() else {
                return;
            };
            let part = left.min(*owned);
            let viewer = *viewer;
            *owned -= part;
            left -= part;
            if *owned == 0 {
                self.owners.pop_front();
            }
            if let Some(stream) = self.streams.iter_mut().find(|s| s.viewer == viewer) {
                stream.written += part as u64;
            }
        }
    }

    /// Drops what waits: there is no terminal to give it to any more.
    pub(super) fn discard(&mut self) {
        self.queue.clear();
        self.owners.clear();
    }

    /// The viewer's stream, made when there is none, moved to the end of the line of those to be forgotten.
    fn stream(&mut self, viewer: ViewerId) -> &mut Stream {
        let place = self.streams.iter().position(|s| s.viewer == viewer);
        let stream = match place.and_then(|place| self.streams.remove(place)) {
            Some(stream) => stream,
            None => {
                self.forget_one();
                Stream { viewer, taken: 0, written: 0 }
            }
        };
        self.streams.push_back(stream);
        let last = self.streams.len() - 1;
        &mut self.streams[last]
    }

    /// Makes room for one more, sparing those whose input still waits.
    fn forget_one(&mut self) {
        if self.streams.len() < MAX_REMEMBERED {
            return;
        }
        let idle = self.streams.iter().position(|s| s.taken == s.written);
        self.streams.remove(idle.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewer(n: u8) -> ViewerId {
        ViewerId::from_entropy([n; 13])
    }

    #[test]
    fn input_sent_again_is_taken_once() {
        let mut input = Input::default();
        assert_eq!(input.take(viewer(1), 0, b"abc", 0), Ok(true));
        assert_eq!(input.take(viewer(1), 0, b"abc", 0), Ok(false));
        assert_eq!(input.take(viewer(1), 1, b"bcde", 0), Ok(true));
        assert_eq!(input.pending(), b"abcde");
        input.wrote(4);
        assert_eq!(input.written(viewer(1)), 4);
        assert_eq!(input.pending(), b"e");
    }

    #[test]
    fn a_gap_or_too_much_is_a_violation() {
        let mut input = Input::default();
        assert_eq!(input.take(viewer(1), 1, b"b", 0), Err(Violation));
        let window = vec![0; WINDOW_BYTES as usize];
        assert_eq!(input.take(viewer(1), 0, &window, 0), Ok(true));
        let next = WINDOW_BYTES;
        assert_eq!(input.take(viewer(1), next, b"x", 0), Err(Violation));
        assert_eq!(input.take(viewer(1), next, b"x", 1), Ok(true));
        assert_eq!(input.take(viewer(1), u64::MAX, b"x", 1), Err(Violation));
    }

    #[test]
    fn each_viewer_is_told_of_its_own_bytes() {
        let mut input = Input::default();
        input.take(viewer(1), 0, b"aa", 0).unwrap();
        input.take(viewer(2), 0, b"b", 0).unwrap();
        input.take(viewer(1), 2, b"a", 0).unwrap();
        input.wrote(3);
        assert_eq!(input.written(viewer(1)), 2);
        assert_eq!(input.written(viewer(2)), 1);
        input.wrote(1);
        assert_eq!(input.written(viewer(1)), 3);
    }
}
