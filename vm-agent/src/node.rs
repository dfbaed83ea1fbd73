//! What the link task owns: the node's workspaces, terminals and channels. It outlives every link.

mod assistant;
mod channels;
mod keys;
mod operations;
mod usage;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence_protocol::PROTOCOL_VERSION;
use ringfence_protocol::container::WorkspaceSecrets;
use ringfence_protocol::ids::{GrantId, NodeId, WorkspaceId};
use ringfence_protocol::link::{AgentMessage, ChannelId, CloseReason, ControlMessage, Hello};
use tokio::sync::{mpsc, watch};

use crate::activity::Ledger;
use crate::boot::BootLog;
use crate::control_plane::ControlPlane;
use crate::grant::Grant;
use crate::link::{Outbox, Outgoing};
use crate::terminal::{self, Ended};
use crate::workspaces::agent_socket::{AgentSocket, Asked};
use crate::workspaces::assistant_lock::AssistantLocks;
use crate::workspaces::table::Table;
use crate::workspaces::{Engine, Said, save};
use channels::Channel;
use keys::{Fetched, KeyFetches};
use operations::{Done, UnderWay};
use usage::{Looked, until};

/// Ended grants that are remembered. A token made from an older one has expired long since.
const MAX_REVOKED: usize = 4096;

/// What stays the same while the agent runs.
pub struct Constants {
    /// This node.
    pub node_id: NodeId,
    /// The control plane: its origin issues tokens, and gives its keys.
    pub control_plane: Arc<ControlPlane>,
    /// Of the agent's binary, lower-case hex.
    pub agent_sha256: String,
    /// Unlike that of every other start; terminals' epochs are counted from it.
    pub terminal_epoch: u64,
    /// For how long a workspace may ask to be kept awake.
    pub keep_awake_max: Duration,
}

struct RunningTerminal {
    epoch: u64,
    handle: terminal::Handle,
}

/// The state of the node.
pub struct Node {
    constants: Constants,
    engine: Arc<Engine>,
    table: Table,
    /// The boot so far.
    pub boot: BootLog,
    grants: watch::Receiver<Grant>,
    terminals: HashMap<(WorkspaceId, String), RunningTerminal>,
    terminals_started: u64,
    channels: HashMap<ChannelId, Channel>,
    revoked: VecDeque<GrantId>,
    key_fetches: KeyFetches,
    /// Workspaces an operation works on.
    busy: HashMap<WorkspaceId, UnderWay>,
    /// What of a workspace is secret, as long as it is to run. In memory only.
    secrets: HashMap<WorkspaceId, Arc<WorkspaceSecrets>>,
    /// Whether and how workspaces are used.
    activity: Ledger,
    next_look: Option<Instant>,
    /// How long save hooks may take.
    save_within: HashMap<WorkspaceId, Duration>,
    /// Whether every workspace was told to save; and whether that is over.
    saving: Option<bool>,
    /// What came of each workspace's last save hook, and when it was first told: it may have been lost with a link.
    saves: HashMap<WorkspaceId, (AgentMessage, Option<Instant>)>,
    /// Who runs the workspaces' assistants; a stop frees them.
    assistants: AssistantLocks,
    /// Why nothing may run on this machine any more.
    lost: Option<String>,
    /// Where what runs in workspaces asks for it.
    sockets: HashMap<WorkspaceId, AgentSocket>,
    outbox: Option<Outbox>,
    ended_sender: mpsc::UnboundedSender<Ended>,
    ended: mpsc::UnboundedReceiver<Ended>,
    done_sender: mpsc::UnboundedSender<Done>,
    done: mpsc::UnboundedReceiver<Done>,
    fetched_sender: mpsc::UnboundedSender<Fetched>,
    fetched: mpsc::UnboundedReceiver<Fetched>,
    said_sender: mpsc::UnboundedSender<Said>,
    said: mpsc::UnboundedReceiver<Said>,
    looked_sender: mpsc::UnboundedSender<Looked>,
    looked: mpsc::UnboundedReceiver<Looked>,
    asked_sender: mpsc::UnboundedSender<Asked>,
    asked: mpsc::UnboundedReceiver<Asked>,
}

/// Something happened on the node itself. As many wait as there are terminals, viewers and operations.
pub enum NodeEvent {
    /// A terminal or a viewer's channel has ended.
    Ended(Ended),
    /// An operation on a workspace has ended.
    Done(Done),
    /// The control plane's keys were asked for.
    Fetched(Fetched),
    /// The engine says something of a workspace.
    Said(Said),
    /// It is time to look for signs of use.
    Look,
    /// What workspaces' processes have used.
    Looked(Looked),
    /// Something in a workspace asks.
    Asked(Asked),
}

impl Node {
    /// The node as it was left.
    pub fn new(
        constants: Constants,
        engine: Engine,
        table: Table,
        boot: BootLog,
        grants: watch::Receiver<Grant>,
    ) -> Self {
        // Unbounded, so that nothing on the node waits for the link task; bounded by what there is to end.
        let (ended_sender, ended) = mpsc::unbounded_channel();
        let (done_sender, done) = mpsc::unbounded_channel();
        let (fetched_sender, fetched) = mpsc::unbounded_channel();
        let (said_sender, said) = mpsc::unbounded_channel();
        let (looked_sender, looked) = mpsc::unbounded_channel();
        let (asked_sender, asked) = mpsc::unbounded_channel();
        Self {
            constants,
            engine: Arc::new(engine),
            table,
            boot,
            grants,
            terminals: HashMap::new(),
            terminals_started: 0,
            channels: HashMap::new(),
            revoked: VecDeque::new(),
            key_fetches: KeyFetches::default(),
            busy: HashMap::new(),
            secrets: HashMap::new(),
            activity: Ledger::default(),
            next_look: None,
            save_within: HashMap::new(),
            saving: None,
            saves: HashMap::new(),
            assistants: AssistantLocks::default(),
            lost: None,
            sockets: HashMap::new(),
            outbox: None,
            ended_sender,
            ended,
            done_sender,
            done,
            fetched_sender,
            fetched,
            said_sender,
            said,
            looked_sender,
            looked,
            asked_sender,
            asked,
        }
    }

    /// The next thing that happens on the node.
    pub async fn event(&mut self) -> NodeEvent {
        // The node itself keeps the senders, so the queues never end.
        tokio::select! {
            Some(ended) = self.ended.recv() => NodeEvent::Ended(ended),
            Some(done) = self.done.recv() => NodeEvent::Done(done),
            Some(fetched) = self.fetched.recv() => NodeEvent::Fetched(fetched),
            Some(said) = self.said.recv() => NodeEvent::Said(said),
            Some(looked) = self.looked.recv() => NodeEvent::Looked(looked),
            Some(asked) = self.asked.recv() => NodeEvent::Asked(asked),
            () = until(self.next_look) => NodeEvent::Look,
            else => std::future::pending().await,
        }
    }

    /// Takes note of it.
    pub async fn handle_event(&mut self, event: NodeEvent) {
        match event {
            NodeEvent::Ended(Ended::Channel(channel, outbox)) => {
                self.forget_channel(channel, &outbox);
            }
            NodeEvent::Ended(Ended::Terminal { workspace_id, name, epoch }) => {
                let key = (workspace_id, name);
                if self.terminals.get(&key).is_some_and(|t| t.epoch == epoch) {
                    self.terminals.remove(&key);
                }
            }
            NodeEvent::Done(done) => self.operation_done(done).await,
            NodeEvent::Fetched(fetched) => self.keys_fetched(fetched).await,
            NodeEvent::Said(said) => self.engine_said(said).await,
            NodeEvent::Look => self.look(),
            NodeEvent::Looked(looked) => self.looked(looked).await,
            NodeEvent::Asked(asked) => self.asked(asked),
        }
    }

    /// There is a link: says who speaks and what there is.
    pub async fn link_up(&mut self, outbox: Outbox) {
        self.outbox = Some(outbox);
        let ids = self.table.ids();
        let reports: Vec<_> = ids.into_iter().filter_map(|id| self.report_of(id)).collect();
        self.say(AgentMessage::Hello(Hello {
            protocol_version: PROTOCOL_VERSION,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            agent_sha256: self.constants.agent_sha256.clone(),
            terminal_epoch: self.constants.terminal_epoch,
            engine: self.engine.kind(),
            workspaces: reports,
        }))
        .await;
        let clock = self.grants.borrow().clock;
        for step in self.boot.messages(&clock) {
            self.say(AgentMessage::BootStep(step)).await;
        }
        self.tell_saves_again().await;
    }

    /// The link is gone, and its channels with it. Terminals go on.
    pub async fn link_lost(&mut self) {
        self.outbox = None;
        self.channels.clear();
        self.key_fetches.forget_waiting();
        for terminal in self.terminals.values() {
            terminal.handle.tell(terminal::Command::LinkLost).await;
        }
    }

    /// Does what the control plane says.
    pub async fn handle_message(&mut self, message: ControlMessage) {
        match message {
            ControlMessage::Welcome { node_id } if node_id == self.constants.node_id => {
                self.boot.confirmed();
            }
            ControlMessage::Welcome { node_id } => {
                tracing::error!(%node_id, "the control plane takes this node for another");
            }
            ControlMessage::EnsureWorkspace { workspace_id, spec_generation, spec, secrets } => {
                let within = spec.save_within_secs.map_or(save::WITHIN, Duration::from_secs);
                self.save_within.insert(workspace_id, within);
                let answer = self.table.ensure(workspace_id, spec_generation, spec, !secrets.files.is_empty());
                self.keep_secrets(workspace_id, answer, secrets);
                self.commanded(workspace_id, spec_generation, answer).await;
            }
            ControlMessage::RemoveWorkspace { workspace_id, spec_generation } => {
                let answer = self.table.remove(workspace_id, spec_generation);
                self.commanded(workspace_id, spec_generation, answer).await;
            }
            ControlMessage::SaveAll => self.save_all().await,
            ControlMessage::OpenChannel(open) => self.open_channel(open).await,
            ControlMessage::CloseChannel { channel } => self.close_channel(channel).await,
            ControlMessage::Revoke { sid } => self.revoke(sid).await,
        }
    }

    /// Ends everything that runs, because the agent does. What was asked stays asked.
    pub async fn shut_down(&mut self) {
        let reason = CloseReason::WorkspaceEnded;
        for terminal in self.terminals.values() {
            terminal.handle.tell(terminal::Command::Leave(reason)).await;
        }
        for (_, terminal) in self.terminals.drain() {
            terminal.handle.ended().await;
        }
        for (id, stopped) in self.leave_all().await {
            if let Err(error) = stopped {
                tracing::warn!(workspace.id = %id, %error, "not stopped");
            }
        }
    }

    /// The machine is not what it must be: everything on it is stopped, at once and for good. Files are kept.
    pub fn give_up(&mut self, why: String) {
        tracing::error!(why, "stopping every workspace");
        self.lost = Some(format!("The workspace was stopped at once, and its files are kept. {why}"));
        for workspace_id in self.table.ids_to_work_on() {
            self.operate(workspace_id);
        }
    }

    /// Lets everything save, and ends all of it: nobody is there any more to say when.
    pub async fn save_and_end(&mut self) {
        self.save_everything().await;
        self.shut_down().await;
        self.stop_all().await;
    }

    async fn say(&self, message: AgentMessage) {
        if let Some(outbox) = &self.outbox {
            outbox.send(Outgoing::Message(message)).await;
        }
    }
}
