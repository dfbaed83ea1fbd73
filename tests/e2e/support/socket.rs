//! A viewer of events, as a page opens one beside its terminal.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use ringfence_protocol::SUBPROTOCOL;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::params::SecretText;
use ringfence_protocol::routes;
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::header::{ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// RFC 6455 section 7.1.5: the connection ended without a close frame.
const ABNORMAL: u16 = 1006;

/// An open socket of events.
pub struct EventsSocket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl EventsSocket {
    /// Opens it, and reads the first message: from then on it is looked after.
    pub async fn open(origin: &str, workspace: WorkspaceId, token: &SecretText) -> Result<Self> {
        let url = format!("{}{}", origin.replacen("http", "ws", 1), routes::WORKSPACE_SOCKET.fill(&[&workspace]));
        let mut request = url.into_client_request()?;
        let offer = format!("{SUBPROTOCOL}, {}", token.expose());
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, offer.parse()?);
        request.headers_mut().insert(ORIGIN, origin.parse()?);
        let (stream, _) = connect_async(request).await?;
        let mut socket = Self { stream };
        match socket.next(Duration::from_secs(10)).await? {
            Some(Message::Text(_)) => Ok(socket),
            other => bail!("the first message was {other:?}"),
        }
    }

    /// Goes to the server and back.
    pub async fn ping(&mut self, limit: Duration) -> Result<()> {
        self.stream.send(Message::Ping("there?".into())).await?;
        let deadline = Instant::now() + limit;
        loop {
            match self.next(deadline.saturating_duration_since(Instant::now())).await? {
                Some(Message::Pong(_)) => return Ok(()),
                Some(Message::Close(frame)) => bail!("closed: {frame:?}"),
                Some(_) => {}
                None => bail!("no answer within {} s", limit.as_secs()),
            }
        }
    }

    /// The code the server closes with, if it does so in time.
    pub async fn closed_within(&mut self, limit: Duration) -> Result<Option<u16>> {
        let deadline = Instant::now() + limit;
        loop {
            let Some(message) = self.next(deadline.saturating_duration_since(Instant::now())).await? else {
                return Ok(None);
            };
            if let Message::Close(frame) = message {
                return Ok(Some(frame.map_or(ABNORMAL, |frame| frame.code.into())));
            }
        }
    }

    /// Whether a message with this in it comes in time.
    pub async fn hears(&mut self, part: &str, limit: Duration) -> Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            match self.next(deadline.saturating_duration_since(Instant::now())).await? {
                Some(Message::Text(text)) if text.contains(part) => return Ok(true),
                Some(Message::Close(frame)) => bail!("closed: {frame:?}"),
                Some(_) => {}
                None => return Ok(false),
            }
        }
    }

    async fn next(&mut self, limit: Duration) -> Result<Option<Message>> {
        match timeout_at((Instant::now() + limit).into(), self.stream.next()).await {
            Err(_) => Ok(None),
            Ok(Some(Ok(message))) => Ok(Some(message)),
            Ok(Some(Err(_)) | None) => Ok(Some(Message::Close(None))),
        }
    }
}
