//! One viewer of a terminal: what it was sent, what it has acknowledged, what it is owed.

use std::time::{Duration, Instant};

use ringfence_protocol::ids::ViewerId;
use ringfence_protocol::link::CloseReason;
use ringfence_protocol::terminal::{AgentFrame, MAX_DATA_BYTES, Opened, WINDOW_BYTES};

use super::flight::Flight;
use super::ring::Ring;

/// A viewer that lags this long without acknowledging anything no longer holds the terminal back.
pub(super) const STALL: Duration = Duration::from_secs(2);
/// Input is acknowledged this long after it was written, or per half window.
pub(super) const INPUT_ACK_DELAY: Duration = Duration::from_secs(1);
/// A viewer that fell off the ring is reset only when this much fits into its window, so that gaps stay few.
const RESET_ROOM_BYTES: u64 = WINDOW_BYTES / 2;

/// One viewer.
#[derive(Debug)]
pub(super) struct Viewer {
    /// Who, across reconnections.
    pub(super) id: ViewerId,
    /// Whether it may only look.
    pub(super) read_only: bool,
    /// Columns and rows of its screen.
    pub(super) cells: (u16, u16),
    /// Whether it has said that nobody can see its screen.
    pub(super) hidden: bool,
    /// Set when the channel is to be closed.
    pub(super) closing: Option<CloseReason>,
    /// Whether it is to be told of the terminal's size.
    pub(super) size_due: bool,
    /// The input offset it was told last.
    pub(super) input_told: u64,
    opened: Option<Opened>,
    /// Whether what it has is not continued.
    reset_due: bool,
    /// The next offset to send.
    sent: u64,
    acknowledged: u64,
    flight: Flight,
    /// Since when it is a window or more behind without having acknowledged anything.
    lagging_since: Option<Instant>,
    input_ack_at: Option<Instant>,
}

impl Viewer {
    /// A viewer that has everything before `have`, or nothing that can be continued.
    pub(super) fn new(
        id: ViewerId,
        read_only: bool,
        cells: (u16, u16),
        opened: Opened,
        have: Option<u64>,
        ring: &Ring,
    ) -> Self {
        // One that has nothing is as far behind as can be: it must not pass for the fastest.
        let from = have.unwrap_or_else(|| ring.start());
        Self {
            id,
            read_only,
            cells,
            hidden: false,
            closing: None,
            size_due: false,
            input_told: opened.input_offset,
            opened: Some(opened),
            reset_due: have.is_none(),
            sent: from,
            acknowledged: from,
            flight: Flight::default(),
            lagging_since: None,
            input_ack_at: None,
        }
    }

    /// Whether it was told that its channel is open; it must not send before.
    pub(super) fn is_open(&self) -> bool {
        self.opened.is_none()
    }

    /// The first offset it has not acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Everything before `offset` was drawn; `false` when so much was never sent.
    pub(super) fn acknowledge(&mut self, offset: u64, end: u64, now: Instant) -> bool {
        if offset > self.sent {
            return false;
        }
        if offset > self.acknowledged {
            self.acknowledged = offset;
            self.flight.acknowledge(offset);
            self.lagging_since = None;
            self.measure_lag(end, now);
        }
        true
    }

    /// Notes since when the viewer lags behind `end`.
    pub(super) fn measure_lag(&mut self, end: u64, now: Instant) {
        if end.saturating_sub(self.acknowledged) < WINDOW_BYTES {
            self.lagging_since = None;
        } else {
            self.lagging_since.get_or_insert(now);
        }
    }

    /// When it stops to hold the terminal back, unless it acknowledges something.
    pub(super) fn stalls_at(&self) -> Option<Instant> {
        self.lagging_since.map(|since| since + STALL)
    }

    /// Whether the terminal waits for it.
    pub(super) fn counts(&self, now: Instant) -> bool {
        self.stalls_at().is_none_or(|at| now < at)
    }

    /// Input of this viewer was written up to `written`.
    pub(super) fn input_written(&mut self, written: u64, now: Instant) {
        if written > self.input_told {
            self.input_ack_at.get_or_insert(now + INPUT_ACK_DELAY);
        }
    }

    /// When the next acknowledgement of input is due.
    pub(super) fn input_ack_at(&self) -> Option<Instant> {
        self.input_ack_at
    }

    /// The frame it is owed next, if any may be sent now.
    pub(super) fn owed(&self, state: &State<'_>, now: Instant) -> Option<Owed> {
        if self.opened.is_some() {
            return Some(Owed::Opened);
        }
        if self.size_due {
            return Some(Owed::Size);
        }
        let written = (state.written)(self.id);
        let unsaid = written.saturating_sub(self.input_told);
        let in_time = self.input_ack_at.is_some_and(|at| at <= now);
        if unsaid >= WINDOW_BYTES / 2 || (unsaid > 0 && in_time) {
            return Some(Owed::InputAck { offset: written });
        }
        let room = WINDOW_BYTES.saturating_sub(self.flight.bytes());
        if self.reset_due || self.sent < state.ring.start() {
            return (room >= RESET_ROOM_BYTES).then_some(Owed::Reset);
        }
        let ready = state.released.saturating_sub(self.sent).min(room);
        (ready > 0).then_some(Owed::Output { bytes: MAX_DATA_BYTES.min(usize::try_from(ready).unwrap_or(usize::MAX)) })
    }

    /// Whether it was sent everything there is.
    pub(super) fn has_everything(&self, ring: &Ring) -> bool {
        self.is_open() && !self.reset_due && self.sent == ring.end()
    }

    /// Makes the frame that is owed, and notes that it was sent.
    pub(super) fn pay(&mut self, owed: Owed, ring: &Ring, size: (u16, u16)) -> Vec<u8> {
        match owed {
            Owed::Opened => match self.opened.take() {
                Some(opened) => AgentFrame::Opened(opened).encode(),
                None => Vec::new(),
            },
            Owed::Size => {
                self.size_due = false;
                let (cols, rows) = size;
                AgentFrame::Size { cols, rows }.encode()
            }
            Owed::InputAck { offset } => {
                self.input_told = offset;
                self.input_ack_at = None;
                AgentFrame::InputAck { offset }.encode()
            }
            Owed::Reset => {
                self.reset_due = false;
                self.sent = ring.clean_start();
                AgentFrame::Reset { offset: self.sent }.encode()
            }
            Owed::Output { bytes } => {
                let offset = self.sent;
                let bytes = ring.copy(offset, bytes);
                self.sent += bytes.len() as u64;
                self.flight.push(offset..self.sent);
                AgentFrame::Output { offset, bytes: &bytes }.encode()
            }
        }
    }
}

/// What a viewer's debts depend on.
pub(super) struct State<'a> {
    /// The terminal's output.
    pub(super) ring: &'a Ring,
    /// How much of it may be sent.
    pub(super) released: u64,
    /// How much of a viewer's input was written.
    pub(super) written: &'a dyn Fn(ViewerId) -> u64,
}

/// A frame a viewer is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owed {
    /// That the channel is open: always first.
    Opened,
    /// The terminal's size.
    Size,
    /// How much of its input was written.
    InputAck {
        /// Everything before this.
        offset: u64,
    },
    /// That what it has is not continued.
    Reset,
    /// Output.
    Output {
        /// This much.
        bytes: usize,
    },
}
