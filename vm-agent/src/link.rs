//! The link's socket: how it is opened, and the queue through which everything goes out.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::StatusCode;
use reqwest::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use ringfence_protocol::link::AgentMessage;
use ringfence_protocol::{MAX_MESSAGE_BYTES, SUBPROTOCOL};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::control_plane::{CallError, ControlPlane};
use crate::secret::Secret;

/// Messages waiting to be sent: at most 1 MiB of output, so that a keystroke's echo never stands behind more.
const QUEUE_MESSAGES: usize = 16;
/// Longest time one message may take to be sent before the link counts as dead.
const SEND_SECS: u64 = 20;

type Socket = WebSocketStream<reqwest::Upgraded>;

/// The incoming half of a link.
pub type Incoming = SplitStream<Socket>;

/// Something to send.
#[derive(Debug)]
pub enum Outgoing {
    /// A message of the agent's own.
    Message(AgentMessage),
    /// A channel frame, its number included.
    Frame(Vec<u8>),
    /// A sign of life.
    Ping,
    /// The end of the link.
    Close,
}

/// The way out of one link. Everyone who sends has a copy; all of them fail once the link is gone.
#[derive(Debug, Clone)]
pub struct Outbox {
    sender: mpsc::Sender<Outgoing>,
}

impl Outbox {
    /// A way out that ends in the given queue.
    pub fn new(messages: usize) -> (Self, mpsc::Receiver<Outgoing>) {
        let (sender, queue) = mpsc::channel(messages);
        (Self { sender }, queue)
    }

    /// Waits for a place in the queue; `None` once the link is gone.
    pub async fn place(&self) -> Option<mpsc::OwnedPermit<Outgoing>> {
        self.sender.clone().reserve_owned().await.ok()
    }

    /// Sends when there is room. What is lost with a link is said again on the next one.
    pub async fn send(&self, outgoing: Outgoing) {
        if let Some(place) = self.place().await {
            place.send(outgoing);
        }
    }

    /// Whether both lead to the same link.
    pub fn is_same(&self, other: &Self) -> bool {
        self.sender.same_channel(&other.sender)
    }
}

/// A link that has just been opened.
pub struct Link {
    /// What comes in.
    pub incoming: Incoming,
    /// The way out.
    pub outbox: Outbox,
    /// Ends, with the reason, when nothing can be sent any more.
    pub sending: tokio::task::JoinHandle<String>,
}

/// Opens the link.
pub async fn dial(control_plane: &ControlPlane, token: &Secret) -> Result<Link, CallError> {
    let key = generate_key();
    let mut handshake = HeaderMap::new();
    handshake.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    handshake.insert(UPGRADE, HeaderValue::from_static("websocket"));
    handshake.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    handshake.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let key_value = HeaderValue::from_str(&key).map_err(|_| CallError::Malformed("the handshake's key".into()))?;
    handshake.insert(SEC_WEBSOCKET_KEY, key_value);

    let response = control_plane.open_link(token, handshake).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(CallError::Malformed("not a WebSocket".into()));
    }
    let has = |name, wanted: &str| {
        let value = response.headers().get(name);
        value.is_some_and(|value| value.as_bytes() == wanted.as_bytes())
    };
    if !has(SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key.as_bytes())) || !has(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return Err(CallError::Malformed("not the WebSocket that was asked for".into()));
    }
    let stream = response.upgrade().await.map_err(|error| CallError::Unreachable(error.to_string()))?;
    // Twice what any peer may send: a limit, not a promise.
    let limits = WebSocketConfig::default()
        .max_message_size(Some(2 * MAX_MESSAGE_BYTES))
        .max_frame_size(Some(2 * MAX_MESSAGE_BYTES));
    let socket = WebSocketStream::from_raw_socket(stream, Role::Client, Some(limits)).await;
    let (sink, incoming) = socket.split();
    let (outbox, queue) = Outbox::new(QUEUE_MESSAGES);
    Ok(Link { incoming, outbox, sending: tokio::spawn(send_all(sink, queue)) })
}

/// Sends what is queued. Its end drops the queue, which tells every sender that the link is gone.
async fn send_all(mut sink: SplitSink<Socket, Message>, mut queue: mpsc::Receiver<Outgoing>) -> String {
    while let Some(outgoing) = queue.recv().await {
        let closing = matches!(outgoing, Outgoing::Close);
        let message = match outgoing {
            Outgoing::Message(message) => Message::text(serde_json::to_string(&message).unwrap_or_default()),
            Outgoing::Frame(frame) => Message::binary(frame),
            Outgoing::Ping => Message::text(ringfence_protocol::link::PING),
            Outgoing::Close => Message::Close(None),
        };
        let sent = tokio::time::timeout(Duration::from_secs(SEND_SECS), sink.send(message)).await;
        match sent {
            Ok(Ok(())) if closing => return "closed".into(),
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return format!("a message could not be sent within {SEND_SECS} s"),
        }
    }
    "nobody sends any more".into()
}
