//! A viewer of one terminal, without a link in between.

use ringfence_protocol::ids::{ViewerId, WorkspaceId};
use ringfence_protocol::link::{self, AgentMessage, ChannelId, CloseReason};
use ringfence_protocol::terminal::{AgentFrame, Exit, ViewerFrame};
use tokio::sync::mpsc;
use vm_agent::link::{Outbox, Outgoing};
use vm_agent::terminal::core::{Attachment, Core};
use vm_agent::terminal::{self, Command, Ended, Handle};

use super::machine::Machine;
use super::soon;

const CHANNEL: ChannelId = ChannelId(1);

/// The viewer, and the terminal it looks at.
pub(crate) struct Viewer {
    pub(crate) handle: Handle,
    _ended: mpsc::UnboundedReceiver<Ended>,
    frames: mpsc::Receiver<Outgoing>,
    pub(crate) drawn: Vec<u8>,
    typed: u64,
    is_open: bool,
    pub(crate) exit: Option<Exit>,
    pub(crate) closed: Option<CloseReason>,
}

impl Viewer {
    /// Opens a terminal and looks at it.
    pub(crate) async fn open(machine: &mut Machine, workspace: WorkspaceId) -> Self {
        let opening = machine.opening(workspace);
        let (epoch, size) = (opening.epoch, opening.size);
        let source = machine.engine.spawn(opening).unwrap();
        let (ended_sender, ended) = mpsc::unbounded_channel();
        let name = terminal::Name { workspace_id: workspace, name: "main".into(), epoch };
        let signs = std::sync::Arc::new(vm_agent::activity::Signs::new(std::time::Instant::now()));
        let handle = terminal::start(name, Core::new(epoch, false, size), source, signs, ended_sender);
        let (outbox, frames) = Outbox::new(16);
        let viewer = ViewerId::from_entropy(rand::random());
        let attachment = Attachment { channel: CHANNEL, viewer, read_only: false, cells: size, epoch: 0, offset: 0 };
        handle.tell(Command::Attach(attachment, outbox)).await;
        let mut viewer = Self {
            handle,
            _ended: ended,
            frames,
            drawn: Vec::new(),
            typed: 0,
            is_open: false,
            exit: None,
            closed: None,
        };
        soon("an open terminal", async {
            while !viewer.is_open {
                assert!(viewer.draw().await, "{:?}", viewer.closed);
            }
        })
        .await;
        viewer
    }

    pub(crate) async fn send(&self, frame: ViewerFrame<'_>) {
        self.handle.tell(Command::Frame(CHANNEL, frame.encode().into())).await;
    }

    pub(crate) async fn types(&mut self, text: &str) {
        self.send(ViewerFrame::Input { offset: self.typed, bytes: text.as_bytes() }).await;
        self.typed += text.len() as u64;
    }

    /// Takes one frame; `false` when there are no more.
    async fn draw(&mut self) -> bool {
        let Some(outgoing) = self.frames.recv().await else { return false };
        match outgoing {
            Outgoing::Frame(message) => {
                let (_, frame) = link::unwrap(&message).unwrap();
                match AgentFrame::decode(frame).unwrap() {
                    AgentFrame::Output { bytes, .. } => {
                        self.drawn.extend_from_slice(bytes);
                        let offset = self.drawn.len() as u64;
                        self.send(ViewerFrame::Ack { offset }).await;
                    }
                    AgentFrame::Exited(exit) => self.exit = Some(exit),
                    AgentFrame::Opened(_) => self.is_open = true,
                    AgentFrame::Reset { .. } | AgentFrame::InputAck { .. } | AgentFrame::Size { .. } => {}
                }
            }
            Outgoing::Message(AgentMessage::ChannelClosed { reason, .. }) => {
                self.closed = Some(reason);
                return false;
            }
            Outgoing::Message(_) | Outgoing::Ping | Outgoing::Close => {}
        }
        true
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.drawn).into_owned()
    }

    /// Draws until a text is on the screen.
    pub(crate) async fn shows(&mut self, text: &str) {
        soon(&format!("{text:?} on the screen"), async {
            while !self.drawn.windows(text.len()).any(|window| window == text.as_bytes()) {
                assert!(self.draw().await, "ended without {text:?} ({:?}): {}", self.closed, self.text());
            }
        })
        .await;
    }

    /// Runs a command and returns what it printed.
    pub(crate) async fn runs(&mut self, command: &str) -> String {
        let number = self.typed;
        let from = self.drawn.len();
        // The quotes keep what is echoed apart from what is printed.
        self.types(&format!("{command}; echo e\"\"nd-{number}=$?\n")).await;
        let end = format!("\nend-{number}=");
        soon(&format!("the end of {command:?}: {}", self.text()), async {
            while !String::from_utf8_lossy(&self.drawn[from..]).contains(&end) {
                assert!(self.draw().await, "ended within {command:?} ({:?}): {}", self.closed, self.text());
            }
        })
        .await;
        // The exit code and its line end may come in the next frame.
        while !String::from_utf8_lossy(&self.drawn[from..]).split(&end).nth(1).is_some_and(|rest| rest.contains('\n')) {
            assert!(self.draw().await);
        }
        String::from_utf8_lossy(&self.drawn[from..]).into_owned()
    }

    /// Draws until the terminal is closed.
    pub(crate) async fn sees_the_end(&mut self) -> CloseReason {
        soon("the end of the terminal", async {
            while self.draw().await {}
            self.closed.unwrap()
        })
        .await
    }
}
