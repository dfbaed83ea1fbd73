//! Viewers' channels: who may have one, and where its frames go.

use std::time::Instant;

use ringfence_protocol::ids::GrantId;
use ringfence_protocol::link::{AgentMessage, ChannelId, CloseReason, OpenChannel, WorkspaceSpec};
use ringfence_protocol::state::EngineKind;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Bytes;

use super::{MAX_REVOKED, Node, RunningTerminal};
use crate::link::{Outbox, Outgoing};
use crate::terminal::core::{Attachment, Core};
use crate::terminal::{self, Command};
use crate::workspace_token::{self, Admission, Expected, Refusal};
use crate::workspaces::Opening;

/// Most terminals of one workspace.
const MAX_TERMINALS: usize = 16;

/// Why a viewer does not get in.
enum Denied {
    /// The key that signed its token is not among those known: there may be newer ones.
    KeyUnknown,
    /// For this reason.
    Because(CloseReason),
}

impl From<CloseReason> for Denied {
    fn from(reason: CloseReason) -> Self {
        Self::Because(reason)
    }
}

/// A viewer's stream on the link.
pub(super) struct Channel {
    terminal: mpsc::Sender<Command>,
    sid: GrantId,
}

impl Node {
    /// A viewer wants in. Whatever speaks against it ends the channel with its reason.
    pub(super) async fn open_channel(&mut self, open: OpenChannel) {
        let channel = open.channel;
        // A number that is given again: its last viewer is gone.
        self.close_channel(channel).await;
        match self.try_open(&open).await {
            Ok(()) => {}
            Err(Denied::KeyUnknown) if self.fetch_keys_for(&open) => {}
            Err(Denied::KeyUnknown) => self.refuse(channel, CloseReason::TokenRefused).await,
            Err(Denied::Because(reason)) => self.refuse(channel, reason).await,
        }
    }

    async fn refuse(&self, channel: ChannelId, reason: CloseReason) {
        self.say(AgentMessage::ChannelClosed { channel, reason }).await;
    }

    async fn try_open(&mut self, open: &OpenChannel) -> Result<(), Denied> {
        let Some(outbox) = self.outbox.clone() else {
            return Ok(()); // the link has gone, and the viewer with it
        };
        open.attach.validate().map_err(|_| CloseReason::Invalid)?;
        let admission = self.admit(open)?;
        let spec = self.running(open.workspace_id).ok_or(CloseReason::WorkspaceNotRunning)?;
        let attach = &open.attach;
        let attachment = Attachment {
            channel: open.channel,
            viewer: attach.viewer,
            read_only: admission.read_only,
            cells: (attach.cols, attach.rows),
            epoch: attach.epoch,
            offset: attach.offset,
        };
        let key = (open.workspace_id, attach.terminal.clone());
        let terminal = match self.terminals.get(&key).filter(|terminal| !terminal.handle.is_over()) {
            Some(terminal) => terminal.handle.commands(),
            None => {
                let terminal = self.start_terminal(&key, &spec, attachment.cells)?;
                let commands = terminal.handle.commands();
                self.terminals.insert(key, terminal);
                commands
            }
        };
        // It ended in this very moment: the viewer may try again.
        let attached = terminal.send(Command::Attach(attachment, outbox)).await;
        attached.map_err(|_| CloseReason::Exited)?;
        self.channels.insert(open.channel, Channel { terminal, sid: admission.sid });
        Ok(())
    }

    /// Checks the viewer's token, which the relay has only passed on.
    fn admit(&self, open: &OpenChannel) -> Result<Admission, Denied> {
        let grant = self.grants.borrow();
        let expected = Expected {
            issuer: self.constants.control_plane.origin().as_str(),
            node: self.constants.node_id,
            workspace: open.workspace_id,
            now: grant.clock.at(Instant::now()),
        };
        let keys = self.key_fetches.newest(&grant);
        let admission = workspace_token::verify(&open.token, keys, expected).map_err(|refusal| {
            tracing::warn!(workspace.id = %open.workspace_id, %refusal, "a viewer's token is refused");
            match refusal {
                Refusal::UnknownKey => Denied::KeyUnknown,
                Refusal::NotOne | Refusal::Forged | Refusal::NotForThis | Refusal::Expired | Refusal::NotPermitted => {
                    CloseReason::TokenRefused.into()
                }
            }
        })?;
        if self.revoked.contains(&admission.sid) {
            return Err(CloseReason::Revoked.into());
        }
        Ok(admission)
    }

    fn start_terminal(
        &mut self,
        (workspace_id, name): &(ringfence_protocol::ids::WorkspaceId, String),
        spec: &WorkspaceSpec,
        size: (u16, u16),
    ) -> Result<RunningTerminal, CloseReason> {
        let siblings = self.terminals.keys().filter(|(id, _)| id == workspace_id);
        if siblings.count() >= MAX_TERMINALS {
            return Err(CloseReason::TooMany);
        }
        self.terminals_started += 1;
        let epoch = self.constants.terminal_epoch + self.terminals_started;
        let voice = self.voice(*workspace_id);
        let opening = Opening { workspace_id: *workspace_id, spec: spec.clone(), size, epoch, voice };
        let source = self.engine.spawn(opening).map_err(|error| {
            tracing::error!(workspace.id = %workspace_id, %error, "cannot start a terminal");
            CloseReason::SpawnFailed
        })?;
        let is_unconfined = match self.engine.kind() {
            EngineKind::Unconfined => true,
            EngineKind::Podman | EngineKind::Docker => false,
        };
        let name = terminal::Name { workspace_id: *workspace_id, name: name.clone(), epoch };
        let core = Core::new(epoch, is_unconfined, size);
        let signs = self.activity.signs(*workspace_id, Instant::now());
        Ok(RunningTerminal { epoch, handle: terminal::start(name, core, source, signs, self.ended_sender.clone()) })
    }

    /// A frame from a viewer.
    pub async fn handle_frame(&mut self, message: Bytes) {
        let Some((channel, frame)) = ringfence_protocol::link::unwrap(&message) else {
            tracing::warn!("a binary message without a channel number");
            return;
        };
        let frame = message.slice_ref(frame);
        if let Some(open) = self.channels.get(&channel) {
            let _ = open.terminal.send(Command::Frame(channel, frame)).await;
        }
    }

    /// A viewer has gone.
    pub(super) async fn close_channel(&mut self, channel: ChannelId) {
        if let Some(open) = self.channels.remove(&channel) {
            let _ = open.terminal.send(Command::Detach(channel)).await;
        }
    }

    /// A grant has ended: its viewers go, and nobody comes with it again.
    pub(super) async fn revoke(&mut self, sid: GrantId) {
        if !self.revoked.contains(&sid) {
            if self.revoked.len() == MAX_REVOKED {
                self.revoked.pop_front();
            }
            self.revoked.push_back(sid);
        }
        let theirs = self.channels.iter().filter(|(_, open)| open.sid == sid);
        let theirs: Vec<ChannelId> = theirs.map(|(channel, _)| *channel).collect();
        for channel in theirs {
            self.close_channel(channel).await;
            self.refuse(channel, CloseReason::Revoked).await;
        }
    }

    /// The terminal has closed a channel that came over this link.
    pub(super) fn forget_channel(&mut self, channel: ChannelId, outbox: &Outbox) {
        if self.outbox.as_ref().is_some_and(|own| own.is_same(outbox)) {
            self.channels.remove(&channel);
        }
    }

    /// Says goodbye on the link.
    pub async fn close_link(&mut self) {
        if let Some(outbox) = self.outbox.take() {
            outbox.send(Outgoing::Close).await;
        }
    }
}
