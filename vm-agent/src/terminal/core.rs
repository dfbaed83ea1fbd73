//! The terminal without its PTY: what happened goes in, with the time; frames come out when there is room to send one.
//!
//! Invariants, held by the property test below:
//! * A viewer gets every byte once and in order, or a reset that says where it goes on.
//! * At most a window is on its way to a viewer, whatever it acknowledges.
//! * The PTY is read no further ahead of the fastest viewer than the ring holds, so that this viewer loses nothing; a viewer that
//!   acknowledges nothing for [`super::viewer::STALL`] no longer counts, and while nobody counts the PTY is read freely.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::{Duration, Instant};

use ringfence_protocol::ids::ViewerId;
use ringfence_protocol::link::{ChannelId, CloseReason};
use ringfence_protocol::terminal::{AgentFrame, Exit, Opened, RING_BYTES, ViewerFrame};

use super::input::Input;
use super::pace::Pace;
use super::ring::Ring;
use super::viewer::{State, Viewer};

/// Most viewers of one terminal.
pub const MAX_VIEWERS: usize = 32;
/// After the process has ended, viewers get this long to take what is left.
const LINGER: Duration = Duration::from_secs(10);

/// A viewer that wants in.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// The channel its frames come and go on.
    pub channel: ChannelId,
    /// Who, across reconnections.
    pub viewer: ViewerId,
    /// Whether it may only look.
    pub read_only: bool,
    /// Columns and rows of its screen.
    pub cells: (u16, u16),
    /// The epoch of what it has.
    pub epoch: u64,
    /// How much it has of that epoch.
    pub offset: u64,
}

/// Something to send.
#[derive(Debug, PartialEq, Eq)]
pub enum Transmit {
    /// A frame, without its channel number.
    Frame(ChannelId, Vec<u8>),
    /// The end of a channel.
    Closed(ChannelId, CloseReason),
}

/// The state of a terminal.
#[derive(Debug)]
pub struct Core {
    epoch: u64,
    unconfined: bool,
    ring: Ring,
    pace: Pace,
    input: Input,
    viewers: BTreeMap<ChannelId, Viewer>,
    size: (u16, u16),
    exited: Option<(Exit, Instant)>,
    /// The channel that was served last: the others come first.
    served: ChannelId,
    /// Frames with input that was new.
    inputs: u64,
}

impl Core {
    /// A terminal that has put out nothing yet.
    pub fn new(epoch: u64, unconfined: bool, size: (u16, u16)) -> Self {
        Self {
            epoch,
            unconfined,
            ring: Ring::new(RING_BYTES),
            pace: Pace::default(),
            input: Input::default(),
            viewers: BTreeMap::new(),
            size,
            exited: None,
            served: ChannelId(0),
            inputs: 0,
        }
    }

    /// Columns and rows.
    pub fn size(&self) -> (u16, u16) {
        self.size
    }

    /// How many viewers there are.
    pub fn viewers(&self) -> usize {
        self.viewers.len()
    }

    /// How often something new was typed.
    pub fn inputs(&self) -> u64 {
        self.inputs
    }

    /// Whether somebody can see it, and takes what there is to see.
    pub fn is_watched(&self, now: Instant) -> bool {
        self.viewers.values().any(|viewer| viewer.is_open() && !viewer.hidden && viewer.counts(now))
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        self.pace.tick(now);
    }

    /// A viewer comes. The replay and the live output are one: it is sent the ring from where it left off.
    pub fn attach(&mut self, attachment: Attachment, now: Instant) {
        let kept = self.ring.start()..=self.ring.end();
        let continues = attachment.epoch == self.epoch && kept.contains(&attachment.offset);
        let opened = Opened {
            epoch: self.epoch,
            input_offset: self.input.written(attachment.viewer),
            read_only: attachment.read_only,
            unconfined: self.unconfined,
            hears_visibility: true,
        };
        let mut viewer = Viewer::new(
            attachment.viewer,
            attachment.read_only,
            attachment.cells,
            opened,
            continues.then_some(attachment.offset),
            &self.ring,
        );
        if self.viewers.len() >= MAX_VIEWERS {
            viewer.closing = Some(CloseReason::TooMany);
            self.viewers.insert(attachment.channel, viewer);
            return;
        }
        self.pace.release();
        viewer.measure_lag(self.ring.end(), now);
        let nobody_else_types = self.viewers.values().all(|viewer| viewer.read_only);
        let takes_size = !attachment.read_only && nobody_else_types;
        viewer.size_due = !takes_size && attachment.cells != self.size;
        self.viewers.insert(attachment.channel, viewer);
        if takes_size {
            self.resize(attachment.channel);
        }
    }

    /// A viewer has gone.
    pub fn detach(&mut self, channel: ChannelId) {
        self.viewers.remove(&channel);
    }

    /// All of them have gone.
    pub fn detach_all(&mut self) {
        self.viewers.clear();
    }

    /// Closes every channel, with everything before it that can still be sent left unsent.
    pub fn close_all(&mut self, reason: CloseReason) {
        for viewer in self.viewers.values_mut() {
            viewer.closing.get_or_insert(reason);
        }
    }

    /// A viewer sent a frame. One that is not valid closes its channel.
    pub fn frame(&mut self, channel: ChannelId, frame: &[u8], now: Instant) {
        let accepted = self.accept(channel, frame, now);
        if let (None, Some(viewer)) = (accepted, self.viewers.get_mut(&channel)) {
            viewer.closing.get_or_insert(CloseReason::Invalid);
        }
    }

    /// `None` when the frame is a violation.
    fn accept(&mut self, channel: ChannelId, frame: &[u8], now: Instant) -> Option<()> {
        let Some(viewer) = self.viewers.get_mut(&channel) else {
            return Some(()); // it was on its way when the channel ended
        };
        if !viewer.is_open() {
            return None;
        }
        match ViewerFrame::decode(frame).ok()? {
            ViewerFrame::Ack { offset } => viewer.acknowledge(offset, self.ring.end(), now).then_some(()),
            ViewerFrame::Visibility { hidden } => {
                viewer.hidden = hidden;
                Some(())
            }
            ViewerFrame::Resize { .. } | ViewerFrame::Input { .. } if viewer.read_only => None,
            ViewerFrame::Resize { cols, rows } => {
                viewer.cells = (cols, rows);
                self.resize(channel);
                Some(())
            }
            ViewerFrame::Input { offset, bytes } => {
                let (id, told) = (viewer.id, viewer.input_told);
                let is_new = self.input.take(id, offset, bytes, told).ok()?;
                if is_new && self.exited.is_some() {
                    self.input.discard();
                } else if is_new {
                    self.inputs += 1;
                    self.pace.input(now);
                    self.resize(channel);
                }
                Some(())
            }
        }
    }

    /// The viewer acts: its size is the terminal's now, and the others are told.
    fn resize(&mut self, by: ChannelId) {
        let Some(cells) = self.viewers.get(&by).map(|viewer| viewer.cells) else {
            return;
        };
        if cells == self.size {
            return;
        }
        self.size = cells;
        for (channel, viewer) in &mut self.viewers {
            viewer.size_due = *channel != by;
        }
    }

    /// The terminal put this out.
    pub fn output(&mut self, bytes: &[u8], now: Instant) {
        self.ring.push(bytes);
        let end = self.ring.end();
        self.pace.output(end, now);
        for viewer in self.viewers.values_mut() {
            viewer.measure_lag(end, now);
        }
    }

    /// How many bytes of output may be read now.
    pub fn allowance(&self, now: Instant) -> u64 {
        let fastest = self.viewers.values().filter(|viewer| viewer.counts(now)).map(Viewer::acknowledged).max();
        match fastest {
            Some(acknowledged) => (acknowledged + RING_BYTES as u64).saturating_sub(self.ring.end()),
            None => RING_BYTES as u64,
        }
    }

    /// What the terminal is to be given.
    pub fn pending_input(&self) -> &[u8] {
        self.input.pending()
    }

    /// The terminal took the first `count` bytes of it.
    pub fn wrote(&mut self, count: usize, now: Instant) {
        self.input.wrote(count);
        for viewer in self.viewers.values_mut() {
            let written = self.input.written(viewer.id);
            viewer.input_written(written, now);
        }
    }

    /// The process has ended and its output was read to the end.
    pub fn exited(&mut self, exit: Exit, now: Instant) {
        self.exited.get_or_insert((exit, now));
        self.input.discard();
        self.pace.release();
    }

    /// Whether there is nothing left to do.
    pub fn is_over(&self) -> bool {
        self.exited.is_some() && self.viewers.is_empty()
    }

    /// Whether [`Self::transmit`] has something to send.
    pub fn has_something_to_send(&self, now: Instant) -> bool {
        self.next_due(now).is_some()
    }

    /// The next thing to send, each viewer in turn.
    pub fn transmit(&mut self, now: Instant) -> Option<Transmit> {
        self.pace.tick(now);
        let (channel, due) = self.next_due(now)?;
        self.served = channel;
        match due {
            Due::Close(reason) => {
                self.viewers.remove(&channel);
                Some(Transmit::Closed(channel, reason))
            }
            Due::Exited(exit) => {
                let viewer = self.viewers.get_mut(&channel)?;
                viewer.closing = Some(CloseReason::Exited);
                Some(Transmit::Frame(channel, AgentFrame::Exited(exit).encode()))
            }
            Due::Owed(owed) => {
                let viewer = self.viewers.get_mut(&channel)?;
                let frame = viewer.pay(owed, &self.ring, self.size);
                Some(Transmit::Frame(channel, frame))
            }
        }
    }

    fn next_due(&self, now: Instant) -> Option<(ChannelId, Due)> {
        let after = (Bound::Excluded(self.served), Bound::Unbounded);
        let in_turn = self.viewers.range(after).chain(self.viewers.range(..=self.served));
        in_turn.filter_map(|(channel, viewer)| Some((*channel, self.due(viewer, now)?))).next()
    }

    fn due(&self, viewer: &Viewer, now: Instant) -> Option<Due> {
        if let Some(reason) = viewer.closing {
            return Some(Due::Close(reason));
        }
        let state = State {
            ring: &self.ring,
            released: match self.pace.deadline() {
                Some(deadline) if deadline <= now => self.ring.end(),
                Some(_) | None => self.pace.released(),
            },
            written: &|id| self.input.written(id),
        };
        if let Some(owed) = viewer.owed(&state, now) {
            return Some(Due::Owed(owed));
        }
        let (exit, since) = self.exited?;
        if viewer.has_everything(&self.ring) {
            Some(Due::Exited(exit))
        } else if now >= since + LINGER {
            Some(Due::Close(CloseReason::Exited))
        } else {
            None
        }
    }

    /// When something may change by itself, after `now`. What is due already waits for room to be sent, not for time.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let viewers = self.viewers.values().flat_map(|viewer| {
            let linger = self.exited.map(|(_, since)| since + LINGER);
            [viewer.input_ack_at(), viewer.stalls_at(), linger]
        });
        let deadlines = viewers.flatten().chain(self.pace.deadline());
        deadlines.filter(|deadline| *deadline > now).min()
    }
}

/// What a viewer is due.
#[derive(Debug)]
enum Due {
    Owed(super::viewer::Owed),
    Exited(Exit),
    Close(CloseReason),
}
