//! The agent from start to end: boot, then the link task, which dials for ever and owns the node.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use ringfence_protocol::PROTOCOL_VERSION;
use ringfence_protocol::link::{AgentMessage, BootstrapParams, ControlMessage, PING_INTERVAL_SECS, PONG};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::backoff::Backoff;
use crate::boot::BootLog;
use crate::bootstrap::{self, BootstrapError};
use crate::config::{self, ConfigError};
use crate::control_plane::{CallError, ControlPlane};
use crate::disk::{self, DiskError};
use crate::facts::{self, Reporter, Sampler};
use crate::grant::Grant;
use crate::identity::{Identity, IdentityError};
use crate::link::{self, Link, Outgoing};
use crate::node::{Constants, Node, NodeEvent};
use crate::options::Options;
use crate::renewal;
use crate::workspaces::table::Table;
use crate::workspaces::{Engine, NoEngine};

/// First wait before dialing again.
const REDIAL_FLOOR: Duration = Duration::from_millis(250);
/// Longest wait before dialing again.
const REDIAL_CEILING: Duration = Duration::from_secs(30);
/// A link that lived this long was of use, welcome or not.
const USEFUL_LIFE: Duration = Duration::from_secs(60);
/// A ping without an answer for this long: the link is dead.
const PONG_WITHIN: Duration = Duration::from_secs(20);
/// Longest wait for the link to close when the agent ends.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Why the agent cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The state directory cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no key pair.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// There is no callback token and no way to one.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// Requests cannot be made at all.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Workspaces cannot be run.
    #[error(transparent)]
    Engine(#[from] NoEngine),
    /// The agent cannot read its own binary.
    #[error("cannot read the agent's own binary: {0}")]
    Binary(std::io::Error),
}

/// Runs until `shutdown` completes or going on is impossible.
pub async fn run(options: &Options, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
    let mut shutdown = std::pin::pin!(shutdown);
    disk::make_private_dir(&options.state_dir)?;
    let _lock = disk::lock_dir(&options.state_dir)?;
    let booted = tokio::select! {
        booted = boot(options) => booted?,
        () = &mut shutdown => return Ok(()),
    };
    let Booted { mut node, control_plane, grants } = booted;
    let renewal = tokio::spawn(renewal::keep_fresh(
        Arc::clone(&control_plane),
        options.state_dir.join(GRANT_FILE),
        Arc::clone(&grants),
    ));
    node.resume().await;
    let sampler = Sampler::new(&options.state_dir);
    let mut task = LinkTask { node, control_plane, grants, sampler, reporter: Reporter::default(), has_dialed: false };
    task.run(shutdown).await;
    renewal.abort();
    tracing::info!("ended");
    Ok(())
}

const KEY_FILE: &str = "key";
const GRANT_FILE: &str = "grant.json";
const TABLE_FILE: &str = "workspaces.json";

struct Booted {
    node: Node,
    control_plane: Arc<ControlPlane>,
    grants: Arc<watch::Sender<Grant>>,
}

async fn boot(options: &Options) -> Result<Booted, AgentError> {
    let mut boot = BootLog::default();
    let started = Instant::now();
    let (mut config, origin) = boot.ended("read the configuration", started, config::load(&options.config))?;
    let started = Instant::now();
    let identity = Identity::load_or_make(&options.state_dir.join(KEY_FILE));
    let identity = boot.ended("make or load the node's key", started, identity)?;
    let started = Instant::now();
    let hashed = tokio::task::spawn_blocking(own_sha256).await;
    let hashed = hashed.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let agent_sha256 = boot.ended("hash the agent's binary", started, hashed).map_err(AgentError::Binary)?;

    let control_plane = Arc::new(ControlPlane::new(origin, identity)?);
    let params = BootstrapParams { protocol_version: PROTOCOL_VERSION, agent_sha256: agent_sha256.clone() };
    let files = bootstrap::Files {
        config: &options.config,
        grant: options.state_dir.join(GRANT_FILE),
        remove: &options.remove_after_bootstrap,
    };
    let grant = bootstrap::obtain(&control_plane, &mut config, &files, &params, &mut boot).await?;
    let (grants, newest_grant) = watch::channel(grant);
    let constants = Constants {
        node_id: config.node_id,
        control_plane: Arc::clone(&control_plane),
        agent_sha256,
        terminal_epoch: new_epoch(),
    };
    let engine = Engine::new(config.engine, &options.state_dir).await?;
    let table = Table::load(options.state_dir.join(TABLE_FILE))?;
    Ok(Booted {
        node: Node::new(constants, engine, table, boot, newest_grant),
        control_plane,
        grants: Arc::new(grants),
    })
}

/// Not zero, and so small that 2^52 terminals may follow before JavaScript's numbers lose precision.
fn new_epoch() -> u64 {
    1 + (rand::random::<u64>() >> 12)
}

fn own_sha256() -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    std::io::copy(&mut std::fs::File::open(Path::new("/proc/self/exe"))?, &mut hasher)?;
    let digest = hasher.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

struct LinkTask {
    node: Node,
    control_plane: Arc<ControlPlane>,
    grants: Arc<watch::Sender<Grant>>,
    sampler: Sampler,
    reporter: Reporter,
    has_dialed: bool,
}

/// How a link ended.
enum LinkEnd {
    /// The agent is told to end.
    Shutdown,
    /// The link is gone; whether it was of use.
    Lost { was_of_use: bool },
}

/// What the loop over a live link wakes up for.
enum Event {
    Incoming(Option<Result<Message, tungstenite::Error>>),
    Node(NodeEvent),
    Ping,
    PongOverdue,
    Measure,
    SendingEnded(String),
    Shutdown,
}

impl LinkTask {
    async fn run<S: Future<Output = ()>>(&mut self, mut shutdown: Pin<&mut S>) {
        let mut backoff = Backoff::new(REDIAL_FLOOR, REDIAL_CEILING);
        loop {
            let started = Instant::now();
            let token = self.grants.borrow().token.clone();
            let control_plane = Arc::clone(&self.control_plane);
            let dial = link::dial(&control_plane, &token);
            let Some(dialed) = self.meanwhile(dial, &mut shutdown).await else {
                break;
            };
            let dialed = match self.has_dialed {
                false => self.node.boot.ended("dial the link", started, dialed),
                true => dialed,
            };
            match dialed {
                Ok(link) => {
                    self.has_dialed = true;
                    match self.serve(link, &mut shutdown).await {
                        LinkEnd::Shutdown => return,
                        LinkEnd::Lost { was_of_use: true } => backoff.reset(),
                        LinkEnd::Lost { was_of_use: false } => {}
                    }
                    self.node.link_lost().await;
                }
                Err(error) => tracing::warn!(%error, "the link cannot be opened"),
            }
            if self.meanwhile(backoff.pause(), &mut shutdown).await.is_none() {
                break;
            }
        }
        self.node.shut_down().await;
    }

    /// Does something while the node goes on; `None` when the agent is told to end.
    async fn meanwhile<T, S: Future<Output = ()>>(
        &mut self,
        something: impl Future<Output = T>,
        shutdown: &mut Pin<&mut S>,
    ) -> Option<T> {
        let mut something = std::pin::pin!(something);
        loop {
            tokio::select! {
                result = &mut something => return Some(result),
                event = self.node.event() => self.node.handle_event(event).await,
                () = shutdown.as_mut() => return None,
            }
        }
    }

    /// Lives on one link until it ends.
    async fn serve<S: Future<Output = ()>>(&mut self, link: Link, shutdown: &mut Pin<&mut S>) -> LinkEnd {
        let Link { mut incoming, outbox, mut sending } = link;
        tracing::info!("link open");
        self.node.link_up(outbox.clone()).await;
        self.reporter.link_is_new();
        let opened = Instant::now();
        let mut was_welcome = false;
        let mut pong_by: Option<Instant> = None;
        let mut closed = None;
        let mut ping = tokio::time::interval(Duration::from_secs(PING_INTERVAL_SECS));
        let mut measure = tokio::time::interval(facts::MEASURE_EVERY);
        for timer in [&mut ping, &mut measure] {
            timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        }
        let lost = loop {
            let event = tokio::select! {
                message = incoming.next() => Event::Incoming(message),
                event = self.node.event() => Event::Node(event),
                _ = ping.tick() => Event::Ping,
                () = sleep_until(pong_by), if pong_by.is_some() => Event::PongOverdue,
                _ = measure.tick() => Event::Measure,
                ended = &mut sending => Event::SendingEnded(ended.unwrap_or_else(|error| error.to_string())),
                () = shutdown.as_mut() => Event::Shutdown,
            };
            match event {
                Event::Incoming(Some(Ok(Message::Binary(frame)))) => {
                    self.node.handle_frame(frame).await;
                }
                Event::Incoming(Some(Ok(Message::Text(text)))) if text.as_str() == PONG => {
                    pong_by = None;
                }
                Event::Incoming(Some(Ok(Message::Text(text)))) => {
                    was_welcome |= self.handle_text(&text).await;
                }
                Event::Incoming(Some(Ok(Message::Close(close)))) => {
                    // Read on to the end of the stream: that sends the answer to the closing handshake.
                    closed = close.map(|close| format!("closed with {} {}", close.code, close.reason));
                    pong_by = Some(Instant::now() + CLOSE_WITHIN);
                }
                Event::Incoming(None) => break closed.unwrap_or_else(|| "closed".into()),
                Event::Incoming(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {}
                Event::Incoming(Some(Err(error))) => break closed.unwrap_or_else(|| error.to_string()),
                Event::Node(event) => self.node.handle_event(event).await,
                Event::Ping => {
                    pong_by.get_or_insert(Instant::now() + PONG_WITHIN);
                    outbox.send(Outgoing::Ping).await;
                }
                Event::PongOverdue => break closed.unwrap_or_else(|| "no answer to a ping".into()),
                Event::Measure => self.measure(&outbox).await,
                Event::SendingEnded(reason) => break closed.unwrap_or(reason),
                Event::Shutdown => {
                    self.node.shut_down().await;
                    self.node.close_link().await;
                    let _ = tokio::time::timeout(CLOSE_WITHIN, sending).await;
                    return LinkEnd::Shutdown;
                }
            }
        };
        sending.abort();
        tracing::warn!(reason = lost, "link lost");
        LinkEnd::Lost { was_of_use: was_welcome || opened.elapsed() >= USEFUL_LIFE }
    }

    /// Does what a text message says; whether it was a welcome.
    async fn handle_text(&mut self, text: &str) -> bool {
        match serde_json::from_str::<ControlMessage>(text) {
            Ok(message) => {
                let is_welcome = matches!(message, ControlMessage::Welcome { .. });
                self.node.handle_message(message).await;
                is_welcome
            }
            Err(error) => {
                // A newer control plane may say what this agent does not know yet. Its text may hold a token: never log it.
                tracing::warn!(line = error.line(), column = error.column(), "a message is not understood");
                false
            }
        }
    }

    async fn measure(&mut self, outbox: &link::Outbox) {
        let facts = self.sampler.measure();
        if self.reporter.is_worth_sending(&facts, Instant::now()) {
            outbox.send(Outgoing::Message(AgentMessage::Facts(facts))).await;
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline.into()).await;
    }
}
