//! Frames between viewers and the agent: the channel number goes on or comes off, nothing else is read or kept.
//!
//! There is no fan-out and no buffer here: the agent sends each viewer its own copy, within that viewer's window.

use ringfence_protocol::MAX_MESSAGE_BYTES;
use ringfence_protocol::link::{self, CHANNEL_HEADER_BYTES, ChannelId, CloseReason, ControlMessage, close_code};
use worker::{State, WebSocket};

use super::sockets::{self, Attached, Sockets};

/// A viewer's frame, to the agent.
pub fn to_agent(state: &State, viewer: &WebSocket, channel: ChannelId, frame: &[u8]) {
    if frame.len() + CHANNEL_HEADER_BYTES > MAX_MESSAGE_BYTES {
        close(viewer, close_code::INVALID, "frame too large");
        return;
    }
    match sockets::agent(state) {
        Some(agent) if agent.send_with_bytes(link::wrap(channel, frame)).is_ok() => {}
        Some(_) | None => close(viewer, close_code::AGENT_AWAY, "agent not connected"),
    }
}

/// The agent's frame, to the viewer of its channel. One for a viewer that has gone is dropped; the agent is told by then.
pub fn to_viewer(state: &State, sockets: &Sockets, message: &[u8]) {
    let Some((channel, frame)) = link::unwrap(message) else { return };
    if let Some(viewer) = sockets.by_channel(state, channel) {
        // A send on a socket that is closing fails; its close event follows.
        let _ = viewer.send_with_bytes(frame);
    }
}

/// The agent has ended a channel.
pub fn channel_closed(state: &State, sockets: &Sockets, channel: ChannelId, reason: CloseReason) {
    if let Some(viewer) = sockets.by_channel(state, channel) {
        sockets.forget(state, channel);
        let text = serde_json::to_string(&reason).unwrap_or_default();
        close(&viewer, close_code::of(reason), text.trim_matches('"'));
    }
}

/// Sends the agent a message; `false` when there is no link.
pub fn tell_agent(state: &State, message: &ControlMessage) -> bool {
    let Ok(text) = serde_json::to_string(message) else { return false };
    sockets::agent(state).is_some_and(|agent| agent.send_with_str(text).is_ok())
}

/// Closes a viewer's socket and, for a terminal, its channel at the agent.
pub fn end_viewer(state: &State, sockets: &Sockets, viewer: &WebSocket, code: u16, reason: &str) {
    if let Some(Attached::Terminal { channel, .. }) = sockets::attached(viewer) {
        sockets.forget(state, channel);
        tell_agent(state, &ControlMessage::CloseChannel { channel });
    }
    close(viewer, code, reason);
}

/// Closes a socket; one that is closed already stays so.
pub fn close(socket: &WebSocket, code: u16, reason: &str) {
    let _ = socket.close(Some(code), Some(reason));
}
