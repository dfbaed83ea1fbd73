//! Channels: one viewer's stream of a terminal on a link, how it is opened and why it ends.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{ViewerId, WorkspaceId};

/// Bytes of the channel number before a terminal frame.
pub const CHANNEL_HEADER_BYTES: usize = 4;

/// Numbers one viewer's stream on a link, for as long as the viewer's socket is open. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelId(pub u32);

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Puts a channel number before a terminal frame.
pub fn wrap(channel: ChannelId, frame: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(CHANNEL_HEADER_BYTES + frame.len());
    message.extend_from_slice(&channel.0.to_be_bytes());
    message.extend_from_slice(frame);
    message
}

/// Takes the channel number off a binary message; `None` when it is too short to have one.
pub fn unwrap(message: &[u8]) -> Option<(ChannelId, &[u8])> {
    let (number, frame) = message.split_first_chunk::<CHANNEL_HEADER_BYTES>()?;
    Some((ChannelId(u32::from_be_bytes(*number)), frame))
}

/// A viewer's wish to look at a terminal.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenChannel {
    /// The number of the viewer's stream on this link.
    pub channel: ChannelId,
    /// The workspace the viewer asked for; must be the token's.
    pub workspace_id: WorkspaceId,
    /// The viewer's workspace token, which the agent verifies itself.
    pub token: String,
    /// The terminal, how large, and how much of it the viewer already has.
    pub attach: Attach,
}

impl fmt::Debug for OpenChannel {
    /// Without the token (I12).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenChannel")
            .field("channel", &self.channel)
            .field("attach", &self.attach)
            .finish_non_exhaustive()
    }
}

/// What a viewer asks of a terminal. Comes from the query of the WebSocket's URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// Which terminal of the workspace: 1 to 32 lower-case letters, digits and dashes. Made when it does not exist.
    #[serde(default = "Attach::main_terminal")]
    pub terminal: String,
    /// Columns of the viewer's screen, 1 to 1000.
    #[serde(default = "Attach::default_cols")]
    pub cols: u16,
    /// Rows of the viewer's screen, 1 to 1000.
    #[serde(default = "Attach::default_rows")]
    pub rows: u16,
    /// The terminal epoch the viewer's `offset` belongs to; zero or absent when it has nothing.
    #[serde(default)]
    pub epoch: u64,
    /// How many bytes of output the viewer has of that epoch.
    #[serde(default)]
    pub offset: u64,
    /// The viewer, so that input it sent before a reconnection is not taken twice.
    pub viewer: ViewerId,
}

impl Attach {
    /// Largest number of columns or rows.
    pub const MAX_CELLS: u16 = 1000;
    /// Longest terminal name, in bytes.
    pub const MAX_NAME_BYTES: usize = 32;

    fn main_terminal() -> String {
        "main".into()
    }
    fn default_cols() -> u16 {
        80
    }
    fn default_rows() -> u16 {
        24
    }

    /// What is wrong with these wishes, if anything.
    pub fn validate(&self) -> Result<(), &'static str> {
        let name = self.terminal.as_bytes();
        if name.is_empty() || name.len() > Self::MAX_NAME_BYTES {
            return Err("terminal: 1 to 32 characters");
        }
        if !name.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-') {
            return Err("terminal: lower-case letters, digits and dashes only");
        }
        if !(1..=Self::MAX_CELLS).contains(&self.cols) || !(1..=Self::MAX_CELLS).contains(&self.rows) {
            return Err("cols and rows: 1 to 1000");
        }
        Ok(())
    }
}

/// Why a viewer's channel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The token was not accepted by the agent.
    TokenRefused,
    /// No such workspace runs on the machine.
    WorkspaceNotRunning,
    /// The request or a frame was not valid.
    Invalid,
    /// The terminal's process ended; an exit frame went before.
    Exited,
    /// The session or token behind it was revoked or has expired.
    Revoked,
    /// The workspace was stopped or removed.
    WorkspaceEnded,
    /// The agent has as many terminals or viewers as it takes.
    TooMany,
    /// The terminal could not be started.
    SpawnFailed,
}

/// WebSocket close codes of viewers' sockets (the private range of RFC 6455 section 7.4.2).
pub mod close_code {
    use super::CloseReason;

    /// A frame was not valid: do not reconnect.
    pub const INVALID: u16 = 4400;
    /// The token was not accepted or its session was revoked: sign in again.
    pub const REVOKED: u16 = 4401;
    /// The workspace is not running any more: look at its page.
    pub const ENDED: u16 = 4404;
    /// The terminal's process has ended: a new socket starts a new one.
    pub const EXITED: u16 = 4410;
    /// Too many viewers.
    pub const TOO_MANY: u16 = 4429;
    /// The agent is not connected at the moment: reconnect with backoff.
    pub const AGENT_AWAY: u16 = 4503;

    /// The code for a reason.
    pub const fn of(reason: CloseReason) -> u16 {
        match reason {
            CloseReason::TokenRefused | CloseReason::Revoked => REVOKED,
            CloseReason::WorkspaceNotRunning | CloseReason::WorkspaceEnded => ENDED,
            CloseReason::Invalid => INVALID,
            CloseReason::Exited => EXITED,
            CloseReason::TooMany => TOO_MANY,
            CloseReason::SpawnFailed => ENDED,
        }
    }
}
