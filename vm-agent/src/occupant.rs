//! Who is on the link: a node that serves, or a machine that only says why it does not.

use std::future::pending;

use ringfence_protocol::PROTOCOL_VERSION;
use ringfence_protocol::link::{AgentMessage, ControlMessage, Hello};
use ringfence_protocol::state::EngineKind;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Bytes;

use crate::boot::BootLog;
use crate::grant::Grant;
use crate::link::{Outbox, Outgoing};
use crate::node::{Constants, Node, NodeEvent};

/// Who is on the link.
pub enum Occupant {
    /// Takes workspaces.
    Serving(Box<Node>),
    /// Takes none.
    Refusing(Box<Refusal>),
}

/// A machine that takes no workspaces: there is no engine, or what must hold does not. It stays linked until it is destroyed.
pub struct Refusal {
    constants: Constants,
    boot: BootLog,
    grants: watch::Receiver<Grant>,
    outbox: Option<Outbox>,
}

impl Refusal {
    /// Of this machine.
    pub fn new(constants: Constants, boot: BootLog, grants: watch::Receiver<Grant>) -> Self {
        Self { constants, boot, grants, outbox: None }
    }

    async fn link_up(&mut self, outbox: Outbox) {
        let hello = AgentMessage::Hello(Hello {
            protocol_version: PROTOCOL_VERSION,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            agent_sha256: self.constants.agent_sha256.clone(),
            terminal_epoch: self.constants.terminal_epoch,
            // The one that was looked for first: the wire has no word for none.
            engine: EngineKind::Podman,
            workspaces: Vec::new(),
        });
        outbox.send(Outgoing::Message(hello)).await;
        let clock = self.grants.borrow().clock;
        for step in self.boot.messages(&clock) {
            outbox.send(Outgoing::Message(AgentMessage::BootStep(step))).await;
        }
        self.outbox = Some(outbox);
    }

    fn handle_message(&mut self, message: ControlMessage) {
        match message {
            ControlMessage::Welcome { .. } => self.boot.confirmed(),
            ControlMessage::EnsureWorkspace { workspace_id, .. } => {
                tracing::warn!(workspace.id = %workspace_id, "this machine takes no workspaces");
            }
            // Nothing runs here that could save.
            ControlMessage::SaveAll
            | ControlMessage::RemoveWorkspace { .. }
            | ControlMessage::OpenChannel(_)
            | ControlMessage::CloseChannel { .. }
            | ControlMessage::Revoke { .. } => {}
        }
    }
}

impl Occupant {
    /// The boot so far.
    pub fn boot(&mut self) -> &mut BootLog {
        match self {
            Self::Serving(node) => &mut node.boot,
            Self::Refusing(refusal) => &mut refusal.boot,
        }
    }

    /// Goes on with what an earlier start left.
    pub async fn resume(&mut self) {
        match self {
            Self::Serving(node) => node.resume().await,
            Self::Refusing(_) => {}
        }
    }

    /// The next thing that happens on the node.
    pub async fn event(&mut self) -> NodeEvent {
        match self {
            Self::Serving(node) => node.event().await,
            Self::Refusing(_) => pending().await,
        }
    }

    /// Takes note of it.
    pub async fn handle_event(&mut self, event: NodeEvent) {
        match self {
            Self::Serving(node) => node.handle_event(event).await,
            Self::Refusing(_) => {}
        }
    }

    /// Says who speaks and what there is.
    pub async fn link_up(&mut self, outbox: Outbox) {
        match self {
            Self::Serving(node) => node.link_up(outbox).await,
            Self::Refusing(refusal) => refusal.link_up(outbox).await,
        }
    }

    /// The link is gone.
    pub async fn link_lost(&mut self) {
        match self {
            Self::Serving(node) => node.link_lost().await,
            Self::Refusing(refusal) => refusal.outbox = None,
        }
    }

    /// Closes the link.
    pub async fn close_link(&mut self) {
        match self {
            Self::Serving(node) => node.close_link().await,
            Self::Refusing(refusal) => {
                if let Some(outbox) = &refusal.outbox {
                    outbox.send(Outgoing::Close).await;
                }
            }
        }
    }

    /// Does what the control plane says.
    pub async fn handle_message(&mut self, message: ControlMessage) {
        match self {
            Self::Serving(node) => node.handle_message(message).await,
            Self::Refusing(refusal) => refusal.handle_message(message),
        }
    }

    /// Takes a viewer's frame.
    pub async fn handle_frame(&mut self, frame: Bytes) {
        match self {
            Self::Serving(node) => node.handle_frame(frame).await,
            Self::Refusing(_) => {}
        }
    }

    /// Lets everything save, and ends all of it.
    pub async fn save_and_end(&mut self) {
        match self {
            Self::Serving(node) => node.save_and_end().await,
            Self::Refusing(_) => {}
        }
    }

    /// The machine is lost: nothing runs on it any more.
    pub fn give_up(&mut self, why: String) {
        match self {
            Self::Serving(node) => node.give_up(why),
            Self::Refusing(_) => {}
        }
    }

    /// The agent ends.
    pub async fn shut_down(&mut self) {
        match self {
            Self::Serving(node) => node.shut_down().await,
            Self::Refusing(_) => {}
        }
    }
}
