//! Terminal frames: binary WebSocket messages between a viewer and the agent, the same over every transport.
//!
//! A frame is one byte of type and a body; integers are big endian. A viewer opens a socket and waits for
//! [`AgentFrame::Opened`]; what it sends before is a violation. Output carries its byte offset within the terminal's
//! epoch; a viewer that reconnects says how far it got and gets the rest. Each side may have at most
//! [`WINDOW_BYTES`] unacknowledged; acknowledgements go per half window.

use crate::MAX_MESSAGE_BYTES;
use crate::link::{Attach, CHANNEL_HEADER_BYTES};

/// Bytes of output the agent sends a viewer beyond the last acknowledged offset; the same for input the other way.
pub const WINDOW_BYTES: u64 = 256 * 1024;
/// Bytes of output the agent keeps of each terminal for viewers who come back.
pub const RING_BYTES: usize = 512 * 1024;

const INPUT: u8 = 0x01;
const ACK: u8 = 0x02;
const RESIZE: u8 = 0x03;
const VISIBILITY: u8 = 0x04;
const OPENED: u8 = 0x81;
const OUTPUT: u8 = 0x82;
const RESET: u8 = 0x83;
const INPUT_ACK: u8 = 0x84;
const EXITED: u8 = 0x85;
const SIZE: u8 = 0x86;

const FLAG_READ_ONLY: u8 = 1;
const FLAG_UNCONFINED: u8 = 2;
const FLAG_HEARS_VISIBILITY: u8 = 4;

/// Bytes of type and offset before the bytes of input or output.
pub const DATA_HEADER_BYTES: usize = 1 + 8;
/// Most bytes one input or output frame carries, so that the message stays within [`MAX_MESSAGE_BYTES`] on the link too.
pub const MAX_DATA_BYTES: usize = MAX_MESSAGE_BYTES - CHANNEL_HEADER_BYTES - DATA_HEADER_BYTES;

/// From a viewer to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewerFrame<'a> {
    /// Bytes typed. `offset` counts this viewer's input to this terminal epoch from its first byte; what the agent has already is ignored.
    Input {
        /// Where the bytes begin.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Every byte of output before this offset has been drawn.
    Ack {
        /// The first byte not drawn yet.
        offset: u64,
    },
    /// The viewer's screen changed size.
    Resize {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// Whether anybody can see the viewer's screen: output that nobody can see is no use of the workspace. One that says nothing
    /// counts as seen. Only to an agent whose [`Opened`] says that it hears it.
    Visibility {
        /// Nobody can: its tab is in the background.
        hidden: bool,
    },
}

/// From the agent to a viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentFrame<'a> {
    /// First on every channel.
    Opened(Opened),
    /// Bytes of output.
    Output {
        /// Where the bytes begin.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// What the viewer has is not continued: clear the screen; output goes on at `offset`.
    Reset {
        /// The first byte that follows.
        offset: u64,
    },
    /// Every byte of input before this offset was given to the terminal.
    InputAck {
        /// The first byte not taken yet.
        offset: u64,
    },
    /// The terminal's process has ended; the channel closes after this.
    Exited(Exit),
    /// The terminal's size is now this, whoever changed it.
    Size {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
}

/// The start of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The terminal's epoch. When it is not the viewer's, the shell is another one and a [`AgentFrame::Reset`] follows.
    pub epoch: u64,
    /// How much of this viewer's input the terminal has: send again what follows, and nothing before it.
    pub input_offset: u64,
    /// The viewer may only look.
    pub read_only: bool,
    /// The workspace runs without any isolation.
    pub unconfined: bool,
    /// The agent hears [`ViewerFrame::Visibility`]; an older one takes it for a violation.
    pub hears_visibility: bool,
}

/// How a terminal's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// Bytes that are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidFrame;

impl std::fmt::Display for InvalidFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a valid terminal frame")
    }
}
impl std::error::Error for InvalidFrame {}

impl<'a> ViewerFrame<'a> {
    /// Reads a frame.
    pub fn decode(frame: &'a [u8]) -> Result<Self, InvalidFrame> {
        let (kind, body) = frame.split_first().ok_or(InvalidFrame)?;
        match *kind {
            INPUT => {
                let (offset, bytes) = data(body)?;
                Ok(Self::Input { offset, bytes })
            }
            ACK => Ok(Self::Ack { offset: u64::from_be_bytes(exactly(body)?) }),
            RESIZE => {
                let (cols, rows) = cells(body)?;
                Ok(Self::Resize { cols, rows })
            }
            VISIBILITY => match exactly(body)? {
                [hidden @ 0..=1] => Ok(Self::Visibility { hidden: hidden == 1 }),
                [_] => Err(InvalidFrame),
            },
            _ => Err(InvalidFrame),
        }
    }

    /// Writes the frame.
    pub fn encode(&self) -> Vec<u8> {
        match *self {
            Self::Input { offset, bytes } => parts(INPUT, &[&offset.to_be_bytes(), bytes]),
            Self::Ack { offset } => parts(ACK, &[&offset.to_be_bytes()]),
            Self::Resize { cols, rows } => parts(RESIZE, &[&cols.to_be_bytes(), &rows.to_be_bytes()]),
            Self::Visibility { hidden } => parts(VISIBILITY, &[&[u8::from(hidden)]]),
        }
    }
}

impl<'a> AgentFrame<'a> {
    /// Reads a frame.
    pub fn decode(frame: &'a [u8]) -> Result<Self, InvalidFrame> {
        let (kind, body) = frame.split_first().ok_or(InvalidFrame)?;
        match *kind {
            OPENED => {
                let (epoch, rest) = body.split_first_chunk::<8>().ok_or(InvalidFrame)?;
                let (input_offset, flags) = rest.split_first_chunk::<8>().ok_or(InvalidFrame)?;
                let [flags] = exactly(flags)?;
                Ok(Self::Opened(Opened {
                    epoch: u64::from_be_bytes(*epoch),
                    input_offset: u64::from_be_bytes(*input_offset),
                    read_only: flags & FLAG_READ_ONLY != 0,
                    unconfined: flags & FLAG_UNCONFINED != 0,
                    hears_visibility: flags & FLAG_HEARS_VISIBILITY != 0,
                }))
            }
            OUTPUT => {
                let (offset, bytes) = data(body)?;
                Ok(Self::Output { offset, bytes })
            }
            RESET => Ok(Self::Reset { offset: u64::from_be_bytes(exactly(body)?) }),
            INPUT_ACK => Ok(Self::InputAck { offset: u64::from_be_bytes(exactly(body)?) }),
            EXITED => {
                let (by_signal, value) = body.split_first().ok_or(InvalidFrame)?;
                let value = i32::from_be_bytes(exactly(value)?);
                match by_signal {
                    0 => Ok(Self::Exited(Exit::Code(value))),
                    1 => Ok(Self::Exited(Exit::Signal(value))),
                    _ => Err(InvalidFrame),
                }
            }
            SIZE => {
                let (cols, rows) = cells(body)?;
                Ok(Self::Size { cols, rows })
            }
            _ => Err(InvalidFrame),
        }
    }

    /// Writes the frame.
    pub fn encode(&self) -> Vec<u8> {
        match *self {
            Self::Opened(opened) => {
                let flags = if opened.read_only { FLAG_READ_ONLY } else { 0 }
                    | if opened.unconfined { FLAG_UNCONFINED } else { 0 }
                    | if opened.hears_visibility { FLAG_HEARS_VISIBILITY } else { 0 };
                parts(OPENED, &[&opened.epoch.to_be_bytes(), &opened.input_offset.to_be_bytes(), &[flags]])
            }
            Self::Output { offset, bytes } => parts(OUTPUT, &[&offset.to_be_bytes(), bytes]),
            Self::Reset { offset } => parts(RESET, &[&offset.to_be_bytes()]),
            Self::InputAck { offset } => parts(INPUT_ACK, &[&offset.to_be_bytes()]),
            Self::Exited(Exit::Code(code)) => parts(EXITED, &[&[0], &code.to_be_bytes()]),
            Self::Exited(Exit::Signal(signal)) => parts(EXITED, &[&[1], &signal.to_be_bytes()]),
            Self::Size { cols, rows } => parts(SIZE, &[&cols.to_be_bytes(), &rows.to_be_bytes()]),
        }
    }
}

fn parts(kind: u8, bodies: &[&[u8]]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(1 + bodies.iter().map(|body| body.len()).sum::<usize>());
    frame.push(kind);
    for body in bodies {
        frame.extend_from_slice(body);
    }
    frame
}

fn exactly<const N: usize>(body: &[u8]) -> Result<[u8; N], InvalidFrame> {
    body.try_into().map_err(|_| InvalidFrame)
}

fn data(body: &[u8]) -> Result<(u64, &[u8]), InvalidFrame> {
    let (offset, bytes) = body.split_first_chunk::<8>().ok_or(InvalidFrame)?;
    let offset = u64::from_be_bytes(*offset);
    // An end past the last offset would make the receiver's sum overflow.
    let end = offset.checked_add(bytes.len() as u64);
    if bytes.len() > MAX_DATA_BYTES || end.is_none() { Err(InvalidFrame) } else { Ok((offset, bytes)) }
}

fn cells(body: &[u8]) -> Result<(u16, u16), InvalidFrame> {
    let [c0, c1, r0, r1] = exactly(body)?;
    let (cols, rows) = (u16::from_be_bytes([c0, c1]), u16::from_be_bytes([r0, r1]));
    let within = 1..=Attach::MAX_CELLS;
    if within.contains(&cols) && within.contains(&rows) { Ok((cols, rows)) } else { Err(InvalidFrame) }
}
