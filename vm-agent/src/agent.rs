//! The agent from start to end: [`start`], then the link task, which dials for ever and owns the node.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use ringfence_protocol::link::{AgentMessage, ControlMessage, PING_INTERVAL_SECS, PONG};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::backoff::Backoff;
use crate::bootstrap::BootstrapError;
use crate::config::ConfigError;
use crate::control_plane::{CallError, ControlPlane};
use crate::dead_man::{DeadMan, Heard};
use crate::disk::{self, DiskError};
use crate::facts::{self, Reporter, Sampler};
use crate::grant::Grant;
use crate::host::report::HostReport;
use crate::host::watch::HostEvent;
use crate::identity::IdentityError;
use crate::link::{self, Link, Outgoing};
use crate::node::NodeEvent;
use crate::occupant::Occupant;
use crate::options::Options;
use crate::renewal;
use crate::start::{self, Started};

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
    /// The agent cannot read its own binary.
    #[error("cannot read the agent's own binary: {0}")]
    Binary(std::io::Error),
}

/// Why the agent has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Told,
    /// The dead-man switch: the machine is to be switched off.
    SwitchedOff,
}

/// Runs until `shutdown` completes, the dead-man switch falls or going on is impossible.
pub async fn run(options: &Options, shutdown: impl Future<Output = ()>) -> Result<Ended, AgentError> {
    let mut shutdown = std::pin::pin!(shutdown);
    disk::make_private_dir(&options.state_dir)?;
    let _lock = disk::lock_dir(&options.state_dir)?;
    let mut dead_man = start::dead_man(options)?;
    let heard = dead_man.heard();
    let started = tokio::select! {
        started = start::start(options, heard.clone()) => started?,
        () = &mut shutdown => return Ok(Ended::Told),
        reason = dead_man.until_due() => {
            tracing::error!(%reason, "switching off before there was a link");
            return Ok(Ended::SwitchedOff);
        }
    };
    let Started { occupant: mut node, host, control_plane, grants, limits } = started;
    let renewal = tokio::spawn(renewal::keep_fresh(
        Arc::clone(&control_plane),
        options.state_dir.join(start::GRANT_FILE),
        Arc::clone(&grants),
    ));
    node.resume().await;
    let sampler = Sampler::new(&options.state_dir);
    let mut task = LinkTask {
        node,
        host,
        control_plane,
        grants,
        sampler,
        dead_man,
        heard,
        reporter: Reporter::new(&limits),
        has_dialed: false,
    };
    let ended = task.run(shutdown).await;
    renewal.abort();
    tracing::info!(?ended, "ended");
    Ok(ended)
}

struct LinkTask {
    node: Occupant,
    host: HostReport,
    control_plane: Arc<ControlPlane>,
    grants: Arc<watch::Sender<Grant>>,
    sampler: Sampler,
    dead_man: DeadMan,
    heard: Heard,
    reporter: Reporter,
    has_dialed: bool,
}

/// How a link ended.
enum LinkEnd {
    /// The agent is told to end.
    Shutdown,
    /// The dead-man switch.
    SwitchedOff,
    /// The link is gone; whether it was of use.
    Lost { was_of_use: bool },
}

/// What the loop over a live link wakes up for.
enum Event {
    Incoming(Option<Result<Message, tungstenite::Error>>),
    Node(NodeEvent),
    Host(HostEvent),
    Ping,
    PongOverdue,
    Measure,
    SendingEnded(String),
    DeadMan,
    Shutdown,
}

/// What ended while something was going on beside the link.
enum Meanwhile<T> {
    Done(T),
    Shutdown,
    SwitchedOff,
}

impl LinkTask {
    async fn run<S: Future<Output = ()>>(&mut self, mut shutdown: Pin<&mut S>) -> Ended {
        let mut backoff = Backoff::new(REDIAL_FLOOR, self.dead_man.at_least_within(REDIAL_CEILING));
        loop {
            let started = Instant::now();
            let token = self.grants.borrow().token.clone();
            let control_plane = Arc::clone(&self.control_plane);
            let dial = link::dial(&control_plane, &token);
            let dialed = match self.meanwhile(dial, &mut shutdown).await {
                Meanwhile::Done(dialed) => dialed,
                Meanwhile::Shutdown => break,
                Meanwhile::SwitchedOff => return self.switch_off().await,
            };
            let dialed = match self.has_dialed {
                false => self.node.boot().ended("dial the link", started, dialed),
                true => dialed,
            };
            match dialed {
                Ok(link) => {
                    self.has_dialed = true;
                    self.heard.note();
                    match self.serve(link, &mut shutdown).await {
                        LinkEnd::Shutdown => return Ended::Told,
                        LinkEnd::SwitchedOff => return self.switch_off().await,
                        LinkEnd::Lost { was_of_use: true } => backoff.reset(),
                        LinkEnd::Lost { was_of_use: false } => {}
                    }
                    self.node.link_lost().await;
                }
                Err(error) => tracing::warn!(%error, "the link cannot be opened"),
            }
            match self.meanwhile(backoff.pause(), &mut shutdown).await {
                Meanwhile::Done(()) => {}
                Meanwhile::Shutdown => break,
                Meanwhile::SwitchedOff => return self.switch_off().await,
            }
        }
        self.node.shut_down().await;
        Ended::Told
    }

    /// Everything saves and ends; the machine is switched off by whoever started the agent.
    async fn switch_off(&mut self) -> Ended {
        self.node.save_and_end().await;
        Ended::SwitchedOff
    }

    /// Whether the dead-man switch has fallen.
    fn is_over(&mut self) -> bool {
        let clock = self.grants.borrow().clock;
        let reason = self.dead_man.is_due(Some(&clock));
        if let Some(reason) = reason {
            tracing::error!(%reason, "switching off");
        }
        reason.is_some()
    }

    /// Does something while the node goes on.
    async fn meanwhile<T, S: Future<Output = ()>>(
        &mut self,
        something: impl Future<Output = T>,
        shutdown: &mut Pin<&mut S>,
    ) -> Meanwhile<T> {
        let mut something = std::pin::pin!(something);
        loop {
            tokio::select! {
                result = &mut something => return Meanwhile::Done(result),
                event = self.node.event() => self.node.handle_event(event).await,
                event = self.host.event() => self.host_event(event, None).await,
                () = self.dead_man.pause() => if self.is_over() { return Meanwhile::SwitchedOff },
                () = shutdown.as_mut() => return Meanwhile::Shutdown,
            }
        }
    }

    /// Lives on one link until it ends.
    async fn serve<S: Future<Output = ()>>(&mut self, link: Link, shutdown: &mut Pin<&mut S>) -> LinkEnd {
        let Link { mut incoming, outbox, mut sending } = link;
        tracing::info!("link open");
        self.node.link_up(outbox.clone()).await;
        self.host.link_up(&outbox).await;
        self.reporter.link_is_new();
        let opened = Instant::now();
        let mut was_welcome = false;
        let mut pong_by: Option<Instant> = None;
        let mut closed = None;
        let mut ping = tokio::time::interval(self.dead_man.at_least_within(Duration::from_secs(PING_INTERVAL_SECS)));
        // Not at once: what the first figure says counts until the machine has been something else for a while.
        let mut measure =
            tokio::time::interval_at(tokio::time::Instant::now() + facts::MEASURE_EVERY, facts::MEASURE_EVERY);
        for timer in [&mut ping, &mut measure] {
            timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        }
        let lost = loop {
            let event = tokio::select! {
                message = incoming.next() => Event::Incoming(message),
                event = self.node.event() => Event::Node(event),
                event = self.host.event() => Event::Host(event),
                _ = ping.tick() => Event::Ping,
                () = sleep_until(pong_by), if pong_by.is_some() => Event::PongOverdue,
                _ = measure.tick() => Event::Measure,
                () = self.dead_man.pause() => Event::DeadMan,
                ended = &mut sending => Event::SendingEnded(ended.unwrap_or_else(|error| error.to_string())),
                () = shutdown.as_mut() => Event::Shutdown,
            };
            match event {
                Event::Incoming(Some(Ok(Message::Binary(frame)))) => {
                    self.node.handle_frame(frame).await;
                }
                Event::Incoming(Some(Ok(Message::Text(text)))) if text.as_str() == PONG => {
                    pong_by = None;
                    self.heard.note();
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
                Event::Host(event) => self.host_event(event, Some(&outbox)).await,
                Event::Ping => {
                    pong_by.get_or_insert(Instant::now() + PONG_WITHIN);
                    outbox.send(Outgoing::Ping).await;
                }
                Event::PongOverdue => break closed.unwrap_or_else(|| "no answer to a ping".into()),
                Event::Measure => self.measure(&outbox).await,
                Event::SendingEnded(reason) => break closed.unwrap_or(reason),
                Event::DeadMan if self.is_over() => {
                    sending.abort();
                    return LinkEnd::SwitchedOff;
                }
                Event::DeadMan => {}
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

    /// Tells what happened to the machine, and does what follows for what runs on it: nobody waits for the control plane's word.
    async fn host_event(&mut self, event: HostEvent, outbox: Option<&link::Outbox>) {
        let lost = match &event {
            HostEvent::Lost(detail) => Some(detail.clone()),
            HostEvent::Measured(_) | HostEvent::Notice(_) => None,
        };
        if let Some(detail) = lost {
            self.node.give_up(detail);
        }
        self.host.handle(event, outbox).await;
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
