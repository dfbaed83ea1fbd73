//! How the Worker reaches a node's Durable Object: small JSON calls, and WebSocket upgrades handed on with a ticket that
//! says what the Worker has already checked. Nobody else can reach an object: it has no address.

use ringfence_protocol::ids::{GrantId, NodeId, UserId, WorkspaceId};
use ringfence_protocol::link::Attach;
use ringfence_protocol::state::Permission;
use ringfence_protocol::time::UnixMillis;
use serde::{Deserialize, Serialize};
use worker::{Env, Headers, Method, Request, RequestInit, Response};

use crate::ports::Unreachable;

/// Name of the Durable Object binding in wrangler.toml.
pub const NODES_BINDING: &str = "NODES";
/// Header that carries a [`Ticket`] to an object. The Worker always sets it itself; a client's own is overwritten.
pub const TICKET_HEADER: &str = "x-ringfence-ticket";
/// Header that tells an object which node it is.
pub const NODE_HEADER: &str = "x-ringfence-node";

/// A call to a node's object.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeCall {
    /// Run the alarm at this time at the latest.
    Wake {
        /// When.
        at: UnixMillis,
    },
    /// What it was woken ahead for is written: run the alarm at once.
    Written,
    /// Close what was opened with these grants.
    Revoke {
        /// Which.
        grants: Vec<GrantId>,
    },
    /// Close the viewers of a workspace.
    CloseViewers {
        /// Which.
        workspace: WorkspaceId,
    },
}

/// What the Worker has checked about an upgrade before it hands it to the object.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ticket {
    /// The node's agent, with a valid callback token and proof.
    Agent {
        /// The epoch of its token.
        agent_epoch: i64,
        /// The name of its proof, which opens one link.
        proof_jti: String,
    },
    /// A viewer of a terminal, with a valid workspace token.
    Terminal {
        /// Who and what.
        viewer: Viewer,
        /// The token, for the agent to verify itself.
        token: String,
        /// What the viewer asks of the terminal.
        attach: Attach,
    },
    /// A viewer of boot log and events, with a valid workspace token.
    Events {
        /// Who and what.
        viewer: Viewer,
    },
}

/// The holder of a workspace token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Viewer {
    /// Whose token.
    pub user: UserId,
    /// The session or API token it came from.
    pub sid: GrantId,
    /// The workspace it is for.
    pub workspace: WorkspaceId,
    /// What it allows.
    pub permissions: Vec<Permission>,
}

/// Calls a node's object, which a first call may place near `hint`.
pub(super) async fn call(env: &Env, node: NodeId, hint: Option<&str>, call: &NodeCall) -> Result<(), Unreachable> {
    let unreachable = |error: worker::Error| Unreachable(error.to_string());
    let body = serde_json::to_string(call).map_err(|error| Unreachable(error.to_string()))?;
    let headers = Headers::new();
    headers.set(NODE_HEADER, &node.to_string()).map_err(unreachable)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_headers(headers).with_body(Some(body.into()));
    let request = Request::new_with_init("https://node.internal/call", &init).map_err(unreachable)?;
    // Calls may run twice, and an object that was reset (by a new version of the code, or a panic) answers the next one.
    let repeat = request.clone().map_err(unreachable)?;
    let response = match fetch(env, node, hint, request).await {
        Ok(response) => response,
        Err(_) => fetch(env, node, hint, repeat).await.map_err(unreachable)?,
    };
    if response.status_code() == 204 { Ok(()) } else { Err(Unreachable(format!("status {}", response.status_code()))) }
}

/// Hands a WebSocket upgrade on to a node's object.
pub async fn forward(env: &Env, node: NodeId, ticket: &Ticket) -> Result<Response, Unreachable> {
    let unreachable = |error: worker::Error| Unreachable(error.to_string());
    let ticket = serde_json::to_string(ticket).map_err(|error| Unreachable(error.to_string()))?;
    let headers = Headers::new();
    headers.set("upgrade", "websocket").map_err(unreachable)?;
    headers.set(NODE_HEADER, &node.to_string()).map_err(unreachable)?;
    headers.set(TICKET_HEADER, &ticket).map_err(unreachable)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Get).with_headers(headers);
    let request = Request::new_with_init("https://node.internal/socket", &init).map_err(unreachable)?;
    fetch(env, node, None, request).await.map_err(unreachable)
}

async fn fetch(env: &Env, node: NodeId, hint: Option<&str>, request: Request) -> worker::Result<Response> {
    let (objects, name) = (env.durable_object(NODES_BINDING)?, node.to_string());
    let stub = match hint {
        Some(hint) => objects.get_by_name_with_location_hint(&name, hint)?,
        None => objects.get_by_name(&name)?,
    };
    stub.fetch_with_request(request).await
}
