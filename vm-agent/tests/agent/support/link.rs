//! The control plane's end of a link.

use std::collections::{HashMap, VecDeque};
use std::future::Future;

use axum::extract::ws::{Message, WebSocket};
use ringfence_protocol::container::WorkspaceSecrets;
use ringfence_protocol::ids::{NodeId, WorkspaceId};
use ringfence_protocol::link::{
    self, AgentMessage, ChannelId, CloseReason, ControlMessage, Hello, WorkspacePhase, WorkspaceReport, WorkspaceSpec,
};
use ringfence_protocol::terminal::ViewerFrame;
use tokio::sync::mpsc;

use super::soon;

/// A link that an agent has opened. Dropping it cuts the connection without a word.
pub(crate) struct Link {
    incoming: mpsc::UnboundedReceiver<Message>,
    outgoing: mpsc::UnboundedSender<Message>,
    messages: VecDeque<AgentMessage>,
    frames: HashMap<ChannelId, VecDeque<Vec<u8>>>,
    /// Whether it has ended.
    pub(crate) has_ended: bool,
}

impl Link {
    /// The link, and the task that moves its messages.
    pub(crate) fn new(mut socket: WebSocket) -> (Self, impl Future<Output = ()>) {
        let (to_test, incoming) = mpsc::unbounded_channel();
        let (outgoing, mut from_test) = mpsc::unbounded_channel();
        let relay = async move {
            loop {
                tokio::select! {
                    message = socket.recv() => match message {
                        Some(Ok(Message::Text(text))) if text.as_str() == link::PING => {
                            let _ = socket.send(Message::text(link::PONG)).await;
                        }
                        Some(Ok(message)) => if to_test.send(message).is_err() { return },
                        Some(Err(_)) | None => return,
                    },
                    message = from_test.recv() => match message {
                        Some(message) => if socket.send(message).await.is_err() { return },
                        None => return,
                    },
                }
            }
        };
        let link = Self { incoming, outgoing, messages: VecDeque::new(), frames: HashMap::new(), has_ended: false };
        (link, relay)
    }

    pub(crate) fn say(&self, message: &ControlMessage) {
        let text = serde_json::to_string(message).unwrap();
        let _ = self.outgoing.send(Message::text(text));
    }

    pub(crate) fn say_text(&self, text: &str) {
        let _ = self.outgoing.send(Message::text(text));
    }

    pub(crate) fn send_bytes(&self, bytes: &'static [u8]) {
        let _ = self.outgoing.send(Message::binary(bytes));
    }

    pub(crate) fn send_frame(&self, channel: ChannelId, frame: ViewerFrame<'_>) {
        let message = link::wrap(channel, &frame.encode());
        let _ = self.outgoing.send(Message::binary(message));
    }

    /// Asks for a channel with any token.
    pub(crate) fn open_with(&self, screen: &super::screen::Screen, channel: u32, token: String) {
        self.say(&ControlMessage::OpenChannel(link::OpenChannel {
            channel: ChannelId(channel),
            workspace_id: screen.workspace,
            token,
            attach: link::Attach {
                terminal: screen.terminal.clone(),
                cols: screen.cells.0,
                rows: screen.cells.1,
                epoch: 0,
                offset: 0,
                viewer: screen.viewer,
            },
        }));
    }

    /// The next message that the test is interested in; others are dropped.
    pub(crate) async fn message<T>(&mut self, what: &str, mut wanted: impl FnMut(AgentMessage) -> Option<T>) -> T {
        soon(what, async {
            loop {
                while let Some(message) = self.messages.pop_front() {
                    if let Some(found) = wanted(message) {
                        return found;
                    }
                }
                assert!(self.receive().await, "the link ended before {what}");
            }
        })
        .await
    }

    /// The next frame of a channel; `None` once the link or the channel has ended.
    pub(crate) async fn frame(&mut self, channel: ChannelId) -> Option<Vec<u8>> {
        soon("a frame", async {
            loop {
                if let Some(frame) = self.frames.entry(channel).or_default().pop_front() {
                    return Some(frame);
                }
                if self.close_reason(channel).is_some() || !self.receive().await {
                    return None;
                }
            }
        })
        .await
    }

    /// Why the agent closed the channel, if it has.
    pub(crate) fn close_reason(&self, wanted: ChannelId) -> Option<CloseReason> {
        self.messages.iter().find_map(|message| match message {
            AgentMessage::ChannelClosed { channel, reason } if *channel == wanted => Some(*reason),
            _ => None,
        })
    }

    /// Why the agent closes the channel.
    pub(crate) async fn closed(&mut self, channel: ChannelId) -> CloseReason {
        soon("the end of the channel", async {
            loop {
                if let Some(reason) = self.close_reason(channel) {
                    return reason;
                }
                assert!(self.receive().await, "the link ended first");
            }
        })
        .await
    }

    /// Waits until the link has ended.
    pub(crate) async fn ended(&mut self) {
        soon("the end of the link", async { while self.receive().await {} }).await;
    }

    /// Takes one message off the wire; `false` when there are no more.
    async fn receive(&mut self) -> bool {
        match self.incoming.recv().await {
            Some(Message::Text(text)) => {
                let message = serde_json::from_str(&text).unwrap();
                self.messages.push_back(message);
            }
            Some(Message::Binary(message)) => {
                let (channel, frame) = link::unwrap(&message).unwrap();
                self.frames.entry(channel).or_default().push_back(frame.to_vec());
            }
            Some(Message::Close(_)) | None => {
                self.has_ended = true;
                return false;
            }
            Some(Message::Ping(_) | Message::Pong(_)) => {}
        }
        true
    }

    pub(crate) async fn hello(&mut self) -> Hello {
        self.message("a hello", |message| match message {
            AgentMessage::Hello(hello) => Some(hello),
            _ => None,
        })
        .await
    }

    /// Greets and waits until the node is ready.
    pub(crate) async fn welcome(&mut self, node_id: NodeId) -> Hello {
        let hello = self.hello().await;
        self.say(&ControlMessage::Welcome { node_id });
        self.message("ready", |message| (message == AgentMessage::Ready).then_some(())).await;
        hello
    }

    pub(crate) async fn report(&mut self, workspace: WorkspaceId) -> WorkspaceReport {
        self.message("a report", |message| match message {
            AgentMessage::Workspace(report) if report.workspace_id == workspace => Some(report),
            _ => None,
        })
        .await
    }

    pub(crate) fn ensure(&self, workspace_id: WorkspaceId, spec_generation: i64, running: bool) {
        self.ensure_within(workspace_id, spec_generation, running, (None, None));
    }

    /// The same with an idle timeout, and a time for its save hook.
    pub(crate) fn ensure_within(
        &self,
        workspace_id: WorkspaceId,
        spec_generation: i64,
        running: bool,
        (idle_timeout_secs, save_within_secs): (Option<u64>, Option<u64>),
    ) {
        let name = "demo".into();
        let spec = WorkspaceSpec { name, running, container: None, idle_timeout_secs, save_within_secs };
        let secrets = WorkspaceSecrets::default();
        self.say(&ControlMessage::EnsureWorkspace { workspace_id, spec_generation, spec, secrets });
    }

    /// Makes a workspace and waits until it runs.
    pub(crate) async fn make_workspace(&mut self) -> WorkspaceId {
        let workspace_id = WorkspaceId::from_entropy(rand::random());
        self.ensure(workspace_id, 1, true);
        let report = self.report(workspace_id).await;
        assert_eq!(report.phase, WorkspacePhase::Running, "{report:?}");
        workspace_id
    }
}
