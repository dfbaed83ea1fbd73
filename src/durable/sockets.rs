//! The sockets of a node's object: what is attached to each, so that they outlive the object's memory, and how they are found.
//!
//! Tags are `agent`, `sid:…` and `ws:…` only: more than ten on one socket would panic in the bindings.

use std::cell::RefCell;
use std::collections::HashMap;

use ringfence_protocol::ids::{GrantId, WorkspaceId};
use ringfence_protocol::link::ChannelId;
use ringfence_protocol::time::UnixMillis;
use serde::{Deserialize, Serialize};
use worker::{State, WebSocket};

use crate::cloudflare::Viewer;

/// `WebSocket.OPEN` (WHATWG WebSockets, 3).
const OPEN: u16 = 1;
/// Tag of the agent's socket.
const AGENT_TAG: &str = "agent";

/// What of an agent's word is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// Nothing yet: its hello is on its way.
    Nothing,
    /// Everything since its hello.
    All,
    /// Not everything: the database was away. It goes on, and says everything anew once the database is back.
    Gaps,
}

/// What is attached to a socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attached {
    /// The link.
    Agent {
        /// The epoch it was opened with.
        agent_epoch: i64,
        /// When: of two, the newer is the link.
        opened_at: UnixMillis,
        /// What of its word is recorded.
        recorded: Recorded,
    },
    /// A viewer that has been accepted, but whose session has not been read yet: nothing it sends is forwarded.
    Opening {
        /// Who and what.
        viewer: Viewer,
    },
    /// A viewer of a terminal.
    Terminal {
        /// Who and what.
        viewer: Viewer,
        /// Its stream on the link.
        channel: ChannelId,
        /// When its session ends.
        ends_at: UnixMillis,
    },
    /// A viewer of boot log and events.
    Events {
        /// Who and what.
        viewer: Viewer,
        /// When its session ends.
        ends_at: UnixMillis,
    },
}

impl Attached {
    /// When the socket must be closed whatever happens.
    pub fn ends_at(&self) -> Option<UnixMillis> {
        match self {
            Self::Terminal { ends_at, .. } | Self::Events { ends_at, .. } => Some(*ends_at),
            Self::Agent { .. } | Self::Opening { .. } => None,
        }
    }
}

/// The sockets of one object. The map from channels to sockets is only a memory of what the attachments say.
#[derive(Default)]
pub struct Sockets {
    channels: RefCell<Option<HashMap<ChannelId, WebSocket>>>,
}

impl Sockets {
    /// Accepts the agent's socket, hibernating.
    pub fn accept_agent(state: &State, socket: &WebSocket, agent_epoch: i64, now: UnixMillis) -> worker::Result<()> {
        state.accept_websocket_with_tags(socket, &[AGENT_TAG]);
        attach(socket, &Attached::Agent { agent_epoch, opened_at: now, recorded: Recorded::Nothing })
    }

    /// Notes what of an agent's word is recorded.
    pub fn note_recorded(socket: &WebSocket, recorded: Recorded) -> worker::Result<()> {
        let Some(Attached::Agent { agent_epoch, opened_at, recorded: known }) = attached(socket) else { return Ok(()) };
        if known == recorded {
            return Ok(());
        }
        attach(socket, &Attached::Agent { agent_epoch, opened_at, recorded })
    }

    /// Accepts a viewer's socket, hibernating, before anything is read about it: from here on a revocation finds it.
    pub fn accept_viewer(state: &State, socket: &WebSocket, viewer: Viewer) -> worker::Result<()> {
        let tags = [sid_tag(viewer.sid), workspace_tag(viewer.workspace)];
        state.accept_websocket_with_tags(socket, &[&tags[0], &tags[1]]);
        attach(socket, &Attached::Opening { viewer })
    }

    /// Makes an accepted viewer a viewer of a terminal, on a channel number that no other viewer has.
    pub fn open_terminal(
        &self,
        state: &State,
        socket: &WebSocket,
        viewer: Viewer,
        ends_at: UnixMillis,
        candidate: impl Fn() -> u32,
    ) -> worker::Result<Option<ChannelId>> {
        self.with_channels(state, |channels| {
            // Random numbers among at most thousands of viewers: a second try is rare, a tenth never happens.
            let free = (0..10).map(|_| ChannelId(candidate())).find(|id| id.0 != 0 && !channels.contains_key(id));
            let Some(channel) = free else { return Ok(None) };
            attach(socket, &Attached::Terminal { viewer, channel, ends_at })?;
            channels.insert(channel, socket.clone());
            Ok(Some(channel))
        })
    }

    /// Makes an accepted viewer a viewer of events.
    pub fn open_events(socket: &WebSocket, viewer: Viewer, ends_at: UnixMillis) -> worker::Result<()> {
        attach(socket, &Attached::Events { viewer, ends_at })
    }

    /// The socket of a channel.
    pub fn by_channel(&self, state: &State, channel: ChannelId) -> Option<WebSocket> {
        self.with_channels(state, |channels| channels.get(&channel).cloned())
    }

    /// Forgets a channel whose socket is closing.
    pub fn forget(&self, state: &State, channel: ChannelId) {
        self.with_channels(state, |channels| channels.remove(&channel));
    }

    fn with_channels<T>(&self, state: &State, run: impl FnOnce(&mut HashMap<ChannelId, WebSocket>) -> T) -> T {
        let mut channels = self.channels.borrow_mut();
        let channels = channels.get_or_insert_with(|| {
            let sockets = state.get_websockets().into_iter();
            sockets
                .filter_map(|socket| match attached(&socket) {
                    Some(Attached::Terminal { channel, .. }) => Some((channel, socket)),
                    Some(Attached::Agent { .. } | Attached::Opening { .. } | Attached::Events { .. }) | None => None,
                })
                .collect()
        });
        run(channels)
    }
}

/// The newest link, if there is one.
pub fn agent(state: &State) -> Option<WebSocket> {
    let opened_at = |socket: &WebSocket| match attached(socket) {
        Some(Attached::Agent { opened_at, .. }) => Some(opened_at),
        Some(Attached::Opening { .. } | Attached::Terminal { .. } | Attached::Events { .. }) | None => None,
    };
    agents(state).into_iter().max_by_key(opened_at)
}

/// Every link that was not closed here: more than one only while a newer one replaces an older.
pub fn agents(state: &State) -> Vec<WebSocket> {
    let mut links = state.get_websockets_with_tag(AGENT_TAG);
    // One whose other end is gone stays in the list until the platform notices.
    links.retain(|link| link.as_ref().ready_state() == OPEN);
    links
}

/// The viewers whose token came from this session or API token.
pub fn of_grant(state: &State, grant: GrantId) -> Vec<WebSocket> {
    state.get_websockets_with_tag(&sid_tag(grant))
}

/// The viewers of a workspace.
pub fn of_workspace(state: &State, workspace: WorkspaceId) -> Vec<WebSocket> {
    state.get_websockets_with_tag(&workspace_tag(workspace))
}

/// What is attached to a socket; `None` for one that was never accepted.
pub fn attached(socket: &WebSocket) -> Option<Attached> {
    let text: String = socket.deserialize_attachment().ok().flatten()?;
    serde_json::from_str(&text).ok()
}

fn attach(socket: &WebSocket, value: &Attached) -> worker::Result<()> {
    socket.serialize_attachment(serde_json::to_string(value)?)
}

fn sid_tag(grant: GrantId) -> String {
    format!("sid:{grant}")
}

fn workspace_tag(workspace: WorkspaceId) -> String {
    format!("ws:{workspace}")
}
