//! A viewer as the browser is one: draws, acknowledges per half window, counts its input, comes back where it left off.

use ringfence_protocol::ids::{GrantId, SessionId, ViewerId, WorkspaceId};
use ringfence_protocol::link::{Attach, ChannelId, ControlMessage, OpenChannel};
use ringfence_protocol::state::Permission;
use ringfence_protocol::terminal::{AgentFrame, Exit, Opened, ViewerFrame, WINDOW_BYTES};

use super::control_plane::ControlPlane;
use super::link::Link;
use super::soon;

/// What one viewer has seen.
pub(crate) struct Screen {
    pub(crate) workspace: WorkspaceId,
    pub(crate) terminal: String,
    pub(crate) viewer: ViewerId,
    pub(crate) sid: GrantId,
    pub(crate) permissions: Vec<Permission>,
    pub(crate) channel: ChannelId,
    pub(crate) cells: (u16, u16),
    pub(crate) epoch: u64,
    /// Bytes of output it has.
    pub(crate) offset: u64,
    /// Bytes it has typed.
    pub(crate) typed: u64,
    /// Everything drawn since the last reset.
    pub(crate) drawn: Vec<u8>,
    pub(crate) resets: u32,
    pub(crate) opened: Option<Opened>,
    pub(crate) size: Option<(u16, u16)>,
    pub(crate) exit: Option<Exit>,
    pub(crate) input_acknowledged: u64,
    /// Whether it acknowledges what it draws.
    pub(crate) acknowledges: bool,
    acknowledged: u64,
}

impl Screen {
    pub(crate) fn new(workspace: WorkspaceId) -> Self {
        Self {
            workspace,
            terminal: "main".into(),
            viewer: ViewerId::from_entropy(rand::random()),
            sid: GrantId::Session(SessionId::from_entropy(rand::random())),
            permissions: vec![Permission::TerminalRead, Permission::TerminalWrite],
            channel: ChannelId(0),
            cells: (80, 24),
            epoch: 0,
            offset: 0,
            typed: 0,
            drawn: Vec::new(),
            resets: 0,
            opened: None,
            size: None,
            exit: None,
            input_acknowledged: 0,
            acknowledges: true,
            acknowledged: 0,
        }
    }

    /// Asks for a channel and waits until it is open.
    pub(crate) async fn open(&mut self, control_plane: &ControlPlane, link: &mut Link, channel: u32) {
        self.ask(control_plane, link, channel);
        self.opened = None;
        while self.opened.is_none() {
            assert!(self.draw(link).await, "{:?}", link.close_reason(self.channel));
        }
    }

    /// Asks for a channel.
    pub(crate) fn ask(&mut self, control_plane: &ControlPlane, link: &mut Link, channel: u32) {
        let token = control_plane.workspace_token(self.workspace, self.sid, &self.permissions);
        self.channel = ChannelId(channel);
        link.say(&ControlMessage::OpenChannel(OpenChannel {
            channel: self.channel,
            workspace_id: self.workspace,
            token,
            attach: Attach {
                terminal: self.terminal.clone(),
                cols: self.cells.0,
                rows: self.cells.1,
                epoch: self.epoch,
                offset: self.offset,
                viewer: self.viewer,
            },
        }));
    }

    pub(crate) fn type_text(&mut self, link: &Link, text: &str) {
        let bytes = text.as_bytes();
        let offset = self.typed;
        link.send_frame(self.channel, ViewerFrame::Input { offset, bytes });
        self.typed += bytes.len() as u64;
    }

    /// Draws one frame; `false` when there are no more.
    pub(crate) async fn draw(&mut self, link: &mut Link) -> bool {
        let Some(frame) = link.frame(self.channel).await else {
            return false;
        };
        match AgentFrame::decode(&frame).unwrap() {
            AgentFrame::Opened(opened) => {
                if opened.epoch != self.epoch {
                    self.typed = 0;
                }
                self.epoch = opened.epoch;
                self.opened = Some(opened);
            }
            AgentFrame::Output { offset, bytes } => {
                assert!(self.opened.is_some(), "output before opened");
                assert_eq!(offset, self.offset, "output is not continued");
                self.drawn.extend_from_slice(bytes);
                self.offset += bytes.len() as u64;
                if self.acknowledges && self.offset - self.acknowledged >= WINDOW_BYTES / 2 {
                    self.acknowledge(link);
                }
            }
            AgentFrame::Reset { offset } => {
                self.resets += 1;
                self.drawn.clear();
                self.offset = offset;
                self.acknowledged = self.acknowledged.min(offset);
            }
            AgentFrame::InputAck { offset } => self.input_acknowledged = offset,
            AgentFrame::Exited(exit) => self.exit = Some(exit),
            AgentFrame::Size { cols, rows } => self.size = Some((cols, rows)),
        }
        true
    }

    pub(crate) fn acknowledge(&mut self, link: &Link) {
        self.acknowledged = self.offset;
        let offset = self.offset;
        link.send_frame(self.channel, ViewerFrame::Ack { offset });
    }

    pub(crate) fn text(&self) -> String {
        // Without the marks by which bash turns bracketed paste on and off.
        String::from_utf8_lossy(&self.drawn).replace("\x1b[?2004l\r", "").replace("\x1b[?2004h", "")
    }

    /// Draws until a text is on the screen.
    pub(crate) async fn shows(&mut self, link: &mut Link, text: &str) {
        let mut searched = 0;
        let what = format!("{text:?} on the screen");
        soon(&what, async {
            loop {
                let from = searched.min(self.drawn.len());
                let fresh = &self.drawn[from..];
                if fresh.windows(text.len()).any(|w| w == text.as_bytes()) {
                    return;
                }
                searched = self.drawn.len().saturating_sub(text.len());
                assert!(self.draw(link).await, "ended without {text:?}: {}", self.text());
            }
        })
        .await;
    }
}
