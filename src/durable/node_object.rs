//! The object of one node: its alarm drives the node's life, its sockets are the agent's link and the viewers.
//!
//! Invariants. The object's memory is a cache: what must not be lost is in D1, in its storage or attached to a socket. All
//! provider calls happen in `alarm()`, of which the platform runs one at a time. No handler returns an error or panics:
//! seven failed alarms in a row would be the last, and a panic in one is never repeated.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ringfence_protocol::SUBPROTOCOL;
use ringfence_protocol::claims::WorkspaceClaims;
use ringfence_protocol::ids::{GrantId, NodeId, WorkspaceId};
use ringfence_protocol::link::{AgentMessage, ControlMessage, OpenChannel, PING, PONG, close_code};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::time::UnixMillis;
use worker::{
    DurableObject, Env, Method, Request, Response, State, WebSocket, WebSocketIncomingMessage, WebSocketPair,
    WebSocketRequestResponsePair, durable_object,
};

use super::alarm::ARMED_KEY;
use super::away::Away;
use super::fault::Faults;
use super::panics::Resettable;
use super::progress::ProgressRecord;
use super::sockets::{self, Attached, Recorded, Sockets};
use super::{log, relay};
use crate::app::workspace_token::Standing;
use crate::app::{agent_report, workspace_token};
use crate::cloudflare::{Host, NODE_HEADER, NodeCall, TICKET_HEADER, Ticket, Usage, Viewer};
use crate::config::Config;
use crate::domain::alarm::{self, Wakes};
use crate::domain::mac;
use crate::ports::{Clock, Entropy};

/// Where the object keeps which node it is.
const NODE_KEY: &str = "node_id";
/// Where the object keeps since when it knows.
const FOUNDED_KEY: &str = "founded_at";
/// Where the object keeps which proofs have opened a link.
const PROOFS_KEY: &str = "link_proofs";
/// Proofs remembered at most: an agent that redials as fast as its backoff lets it makes fewer in ten minutes.
const MAX_PROOFS: usize = 256;

/// The Durable Object of one node.
#[durable_object]
pub struct NodeObject {
    pub(super) state: State,
    pub(super) env: Env,
    pub(super) sockets: Sockets,
    pub(super) faults: Faults,
    /// What was asked of the database since the last alarm told.
    usage: Arc<Usage>,
    pub(super) object: Resettable,
    /// Which node this is, as storage says.
    node: Cell<Option<NodeId>>,
    /// When progress was last recorded.
    progress: ProgressRecord,
    pub(super) away: Away,
    /// Wake-ups that the alarm's own instant does not tell.
    pub(super) wakes: RefCell<Wakes>,
    /// What an agent says is recorded one after another, as it was said: a list of what runs that is recorded after what was
    /// done since would hide it. Waiting for the database lets other events of the object run, the next message's too.
    in_order: tokio::sync::Mutex<()>,
}

impl DurableObject for NodeObject {
    fn new(state: State, env: Env) -> Self {
        // Pings are answered without waking the object.
        if let Ok(pair) = WebSocketRequestResponsePair::new(PING, PONG) {
            state.set_websocket_auto_response(&pair);
        }
        let (object, state) = Resettable::of(state);
        let faults = Faults::read(&env);
        Self {
            state,
            env,
            faults,
            usage: Arc::default(),
            object,
            sockets: Sockets::default(),
            node: Cell::new(None),
            progress: ProgressRecord::default(),
            away: Away::default(),
            wakes: RefCell::default(),
            in_order: tokio::sync::Mutex::default(),
        }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        self.object.guard(self.counted(&self.usage.object_requests, self.on_fetch(request))).await
    }

    async fn websocket_message(&self, socket: WebSocket, message: WebSocketIncomingMessage) -> worker::Result<()> {
        self.object.guard(self.counted(&self.usage.object_messages, self.on_message(socket, message))).await;
        Ok(())
    }

    async fn websocket_close(&self, socket: WebSocket, code: usize, _: String, _: bool) -> worker::Result<()> {
        self.object.guard(self.socket_ended(&socket)).await;
        // Completes the closing handshake; 1005 and 1006 stand for "no code" and may not be sent.
        let code = u16::try_from(code).ok().filter(|code| !matches!(code, 1005 | 1006)).unwrap_or(1000);
        relay::close(&socket, code, "");
        Ok(())
    }

    async fn websocket_error(&self, socket: WebSocket, _: worker::Error) -> worker::Result<()> {
        self.object.guard(self.socket_ended(&socket)).await;
        Ok(())
    }

    async fn alarm(&self) -> worker::Result<Response> {
        self.object.guard(self.counted(&self.usage.object_requests, self.run_alarm())).await;
        Response::empty()
    }
}

impl NodeObject {
    async fn on_fetch(&self, mut request: Request) -> worker::Result<Response> {
        let Some(node) = request.headers().get(NODE_HEADER)?.and_then(|text| text.parse().ok()) else {
            return Response::error("no node", 400);
        };
        self.faults.strike(self.state.storage(), "fetch").await;
        if request.method() == Method::Post {
            let call: NodeCall = request.json().await?;
            // Only what sets an alarm, or opens a socket, may begin to remember: an object that has forgotten its node has
            // nothing to close, and nothing would ever make it forget again.
            if matches!(call, NodeCall::Wake { .. } | NodeCall::Written) {
                self.remember(node).await?;
            }
            self.answer(call).await?;
            return Ok(Response::empty()?.with_status(204));
        }
        self.remember(node).await?;
        let ticket = request.headers().get(TICKET_HEADER)?;
        match ticket.and_then(|text| serde_json::from_str(&text).ok()) {
            Some(ticket) => self.accept(node, ticket).await,
            None => Response::error("no ticket", 400),
        }
    }

    async fn on_message(&self, socket: WebSocket, message: WebSocketIncomingMessage) {
        self.faults.strike(self.state.storage(), "message").await;
        match (sockets::attached(&socket), message) {
            (Some(Attached::Agent { .. }), WebSocketIncomingMessage::Binary(frame)) => {
                relay::to_viewer(&self.state, &self.sockets, &frame);
            }
            (Some(Attached::Agent { agent_epoch, .. }), WebSocketIncomingMessage::String(text)) => {
                self.on_agent_message(&socket, agent_epoch, &text).await;
            }
            (Some(Attached::Terminal { channel, .. }), WebSocketIncomingMessage::Binary(frame)) => {
                relay::to_agent(&self.state, &socket, channel, &frame);
            }
            (Some(Attached::Terminal { .. } | Attached::Events { .. } | Attached::Opening { .. }), _) => {
                relay::end_viewer(&self.state, &self.sockets, &socket, close_code::INVALID, "unexpected message");
            }
            (None, _) => relay::close(&socket, close_code::INVALID, "unknown socket"),
        }
    }

    /// Counts an event and how long it takes.
    async fn counted<T>(&self, events: &AtomicU64, handler: impl Future<Output = T>) -> T {
        events.fetch_add(1, Ordering::Relaxed);
        let began = self.host().now();
        let outcome = handler.await;
        let took = u64::try_from(self.host().now().since(began).as_millis()).unwrap_or(0);
        self.usage.object_ms.fetch_add(took, Ordering::Relaxed);
        outcome
    }

    /// Notes that a row of the object's own storage is written.
    pub(super) fn count_write(&self) {
        self.usage.object_rows_written.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells what was asked of the database since this was last told.
    pub(super) fn log_usage(&self, node: NodeId) {
        log::alarm(node, &self.usage);
    }

    /// The platform of this event.
    pub(super) fn host(&self) -> Host {
        Host::counting(self.env.clone(), self.usage.clone())
    }

    /// The configuration, if it is valid; without one the Worker does not get here.
    pub(super) fn config(&self) -> Option<Arc<Config>> {
        crate::cloudflare::shared(&self.env).ok()
    }

    /// Which node this is: from memory or from storage.
    pub(super) async fn node_id(&self) -> Option<NodeId> {
        if self.node.get().is_none() {
            let stored: Option<String> = self.state.storage().get(NODE_KEY).await.ok().flatten();
            self.node.set(stored.and_then(|text| text.parse().ok()));
        }
        self.node.get()
    }

    async fn remember(&self, node: NodeId) -> worker::Result<()> {
        if self.node_id().await.is_none() {
            self.count_write();
            self.state.storage().put(FOUNDED_KEY, self.host().now()).await?;
            self.count_write();
            self.state.storage().put(NODE_KEY, node.to_string()).await?;
            self.node.set(Some(node));
        }
        Ok(())
    }

    /// Until when a row that is not there may still be on its way. An alarm that comes before it, and a request that dies right
    /// after writing it, would otherwise leave a row that nobody looks after.
    pub(super) async fn row_awaited_until(&self) -> Option<UnixMillis> {
        let founded: Option<UnixMillis> = self.state.storage().get(FOUNDED_KEY).await.ok().flatten();
        founded.map(|founded| founded + alarm::WRITING).filter(|until| *until > self.host().now())
    }

    /// Leaves nothing behind: the node is gone, and an object without storage costs nothing.
    pub(super) async fn forget(&self) -> worker::Result<()> {
        self.node.set(None);
        self.state.storage().delete_alarm().await?;
        self.state.storage().delete_all().await
    }

    async fn answer(&self, call: NodeCall) -> worker::Result<()> {
        self.look_back().await?;
        match call {
            NodeCall::Wake { at } => {
                let now = self.host().now();
                self.wakes.borrow_mut().arm(at, now);
                if alarm::of_a_request(at, now) {
                    self.count_write();
                    self.state.storage().put(ARMED_KEY, at).await?;
                }
                self.wake(at).await?;
            }
            NodeCall::Written => {
                self.wakes.borrow_mut().written();
                self.wake(self.host().now()).await?;
            }
            NodeCall::Revoke { grants } => {
                for grant in grants {
                    for viewer in sockets::of_grant(&self.state, grant) {
                        relay::end_viewer(&self.state, &self.sockets, &viewer, close_code::REVOKED, "revoked");
                    }
                    // A session never comes back. An API token does when its user is resumed: the agent must not
                    // remember it as ended; closing its channels, as just done, is enough.
                    if matches!(grant, GrantId::Session(_)) {
                        relay::tell_agent(&self.state, &ControlMessage::Revoke { sid: grant });
                    }
                }
            }
            NodeCall::CloseViewers { workspace } => self.close_viewers(workspace),
        }
        Ok(())
    }

    /// Closes every viewer of a workspace.
    pub(super) fn close_viewers(&self, workspace: WorkspaceId) {
        for viewer in sockets::of_workspace(&self.state, workspace) {
            if !matches!(sockets::attached(&viewer), Some(Attached::Events { .. })) {
                relay::end_viewer(&self.state, &self.sockets, &viewer, close_code::ENDED, "workspace ended");
            }
        }
    }

    async fn accept(&self, node: NodeId, ticket: Ticket) -> worker::Result<Response> {
        let WebSocketPair { client, server } = WebSocketPair::new()?;
        match ticket {
            Ticket::Agent { agent_epoch, proof_jti } => {
                if !self.first_use(proof_jti).await? {
                    return Response::error("replayed", 401);
                }
                // A newer link replaces an older one, whose channels ended with it.
                for older in sockets::agents(&self.state) {
                    relay::close(&older, 4000, "replaced by a newer link");
                }
                self.end_terminals();
                Sockets::accept_agent(&self.state, &server, agent_epoch, self.host().now())?;
            }
            Ticket::Terminal { viewer, token, attach } => {
                Sockets::accept_viewer(&self.state, &server, viewer.clone())?;
                let Some(Standing { ends_at, is_ending }) = self.still_stands(node, &viewer).await else {
                    relay::close(&server, close_code::REVOKED, "revoked");
                    return upgraded(client);
                };
                if is_ending {
                    relay::close(&server, close_code::ENDED, "workspace ended");
                    return upgraded(client);
                }
                self.end_silent_links().await;
                let candidate = || u32::from_be_bytes(self.host().bytes());
                let workspace_id = viewer.workspace;
                let channel = self.sockets.open_terminal(&self.state, &server, viewer, ends_at, candidate)?;
                let opened = channel.is_some_and(|channel| {
                    let open = OpenChannel { channel, workspace_id, token, attach };
                    relay::tell_agent(&self.state, &ControlMessage::OpenChannel(open))
                });
                if opened {
                    self.wake(ends_at).await?;
                } else {
                    relay::end_viewer(
                        &self.state,
                        &self.sockets,
                        &server,
                        close_code::AGENT_AWAY,
                        "agent not connected",
                    );
                }
            }
            Ticket::Events { viewer } => {
                Sockets::accept_viewer(&self.state, &server, viewer.clone())?;
                let Some(Standing { ends_at, .. }) = self.still_stands(node, &viewer).await else {
                    relay::close(&server, close_code::REVOKED, "revoked");
                    return upgraded(client);
                };
                Sockets::open_events(&server, viewer.clone(), ends_at)?;
                self.show_history(&server, &viewer).await;
                self.wake(ends_at).await?;
            }
        }
        upgraded(client)
    }

    /// Whether a proof opens a link for the first time. Remembered for as long as its nonce may be fresh.
    async fn first_use(&self, jti: String) -> worker::Result<bool> {
        let storage = self.state.storage();
        let now = self.host().now();
        let mut used: Vec<(String, UnixMillis)> = storage.get(PROOFS_KEY).await.ok().flatten().unwrap_or_default();
        used.retain(|(_, at)| now.since(*at) <= mac::NONCE_LIFETIME * 2);
        let first = used.iter().all(|(other, _)| *other != jti);
        if first {
            used.push((jti, now));
            let spare = used.len().saturating_sub(MAX_PROOFS);
            self.count_write();
            storage.put(PROOFS_KEY, used.split_off(spare)).await?;
        }
        Ok(first)
    }

    /// Reads, now that the socket can be found by a revocation, whether its session and workspace still stand.
    async fn still_stands(&self, node: NodeId, viewer: &Viewer) -> Option<Standing> {
        let host = self.host();
        let claims = WorkspaceClaims {
            jti: host.id(),
            user: viewer.user,
            workspace: viewer.workspace,
            node,
            permissions: viewer.permissions.clone(),
            sid: viewer.sid,
        };
        workspace_token::still_stands(&host, &claims).await.ok().flatten()
    }

    async fn on_agent_message(&self, socket: &WebSocket, agent_epoch: i64, text: &str) {
        let Ok(message) = serde_json::from_str::<AgentMessage>(text) else {
            relay::close(socket, close_code::INVALID, "not a message of this protocol");
            return;
        };
        if let AgentMessage::Hello(hello) = &message
            && !ringfence_protocol::is_supported(hello.protocol_version)
        {
            relay::close(socket, close_code::INVALID, "this version of the protocol is not supported");
            return;
        }
        if let AgentMessage::ChannelClosed { channel, reason } = message {
            relay::channel_closed(&self.state, &self.sockets, channel, reason);
            return;
        }
        if let AgentMessage::Progress(progress) = &message {
            self.show_progress(&agent_report::shown(progress));
            // It may come twice a second; the workspace's deadline is moved now and then.
            if !self.progress.is_due(progress.workspace_id, self.host().now()) {
                return;
            }
        }
        let _turn = self.in_order.lock().await;
        let (Some(node), Some(config)) = (self.node_id().await, self.config()) else { return };
        if has_gaps(socket) {
            // As if the link were closed already: what comes now would be recorded without what came before.
            if let Err(error) = self.observe_link(node).await {
                log::error("agent report", node, &error);
            }
            return;
        }
        let is_hello = matches!(message, AgentMessage::Hello(_));
        match agent_report::agent_report(&self.host(), &config.settings, node, agent_epoch, message).await {
            Ok(driven) => {
                if is_hello {
                    note(socket, Recorded::All);
                }
                self.apply(driven, None).await;
            }
            // What runs on the machine goes on, and so do its terminals.
            Err(error) if error.code == ErrorCode::Unavailable => {
                log::error("agent report", node, &error);
                note(socket, Recorded::Gaps);
                if let Err(error) = self.wake(self.host().now() + alarm::RETRY).await {
                    worker::console_error!("wake: {error}");
                }
            }
            // The agent says it again after every hello: closing the link makes it do so.
            Err(error) => {
                log::error("agent report", node, &error);
                relay::close(socket, close_code::AGENT_AWAY, "not recorded, try again");
            }
        }
    }

    async fn socket_ended(&self, socket: &WebSocket) {
        match sockets::attached(socket) {
            Some(Attached::Terminal { channel, .. }) => {
                self.sockets.forget(&self.state, channel);
                relay::tell_agent(&self.state, &ControlMessage::CloseChannel { channel });
            }
            Some(Attached::Agent { .. }) => {
                // A link that was replaced leaves a newer one behind: only the last one's end matters.
                let last = sockets::agents(&self.state).iter().all(|other| other == socket);
                if last {
                    self.end_terminals();
                    self.link_lost().await;
                }
            }
            Some(Attached::Events { .. } | Attached::Opening { .. }) | None => {}
        }
    }

    pub(super) async fn link_lost(&self) {
        let Some(node) = self.node_id().await else { return };
        if let Err(error) = agent_report::link_lost(&self.host(), node).await {
            log::error("link closed", node, &error);
        }
    }

    /// Ends every terminal's socket: the link they were on is gone, and with it their channels. Viewers come back by themselves.
    pub(super) fn end_terminals(&self) {
        for viewer in self.state.get_websockets() {
            if let Some(Attached::Terminal { channel, .. }) = sockets::attached(&viewer) {
                self.sockets.forget(&self.state, channel);
                relay::close(&viewer, close_code::AGENT_AWAY, "agent not connected");
            }
        }
    }
}

fn has_gaps(link: &WebSocket) -> bool {
    matches!(sockets::attached(link), Some(Attached::Agent { recorded: Recorded::Gaps, .. }))
}

fn note(link: &WebSocket, recorded: Recorded) {
    if let Err(error) = Sockets::note_recorded(link, recorded) {
        worker::console_error!("attachment: {error}");
    }
}

/// The answer to an upgrade: echoes our subprotocol only, never the token.
fn upgraded(client: WebSocket) -> worker::Result<Response> {
    let response = Response::from_websocket(client)?;
    response.headers().set("sec-websocket-protocol", SUBPROTOCOL)?;
    Ok(response)
}
