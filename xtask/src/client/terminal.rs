//! A viewer of a terminal that checks the protocol's promises as it goes: no byte lost, none doubled, windows kept.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use ringfence_protocol::SUBPROTOCOL;
use ringfence_protocol::ids::{Id, ViewerId, WorkspaceId};
use ringfence_protocol::params::SecretText;
use ringfence_protocol::routes;
use ringfence_protocol::terminal::{AgentFrame, Exit, MAX_DATA_BYTES, Opened, ViewerFrame, WINDOW_BYTES};
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::{ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longest wait for the socket to open and for the first frame.
const OPEN_LIMIT: Duration = Duration::from_secs(20);

/// Which terminal, and how large a screen it is looked at on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen {
    /// The terminal's name.
    pub terminal: String,
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

impl Default for Screen {
    fn default() -> Self {
        Self { terminal: "main".into(), cols: 80, rows: 24 }
    }
}

/// WebSocket messages of a viewer: each is one that the node's Durable Object receives, from one side or the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the viewer.
    pub sent: u64,
    /// From the agent.
    pub received: u64,
}

/// The server closed the socket, with this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed(pub u16);

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the terminal's socket was closed with code {}", self.0)
    }
}

impl std::error::Error for Closed {}

/// RFC 6455 section 7.1.5: the connection ended without a close frame.
const ABNORMAL: u16 = 1006;

/// One viewer of one terminal. It may lose its socket and come back with [`Terminal::reopen`].
pub struct Terminal {
    origin: String,
    workspace: WorkspaceId,
    token: SecretText,
    viewer: ViewerId,
    screen: Screen,
    socket: Option<WebSocketStream<MaybeTlsStream<TcpStream>>>,
    opened: Opened,
    /// Bytes of output of this epoch that we have.
    offset: u64,
    acknowledged: u64,
    /// Output since the last reset, from the front of which [`Terminal::wait_for`] takes what it has searched.
    output: Vec<u8>,
    /// Where the input begins that the terminal has not confirmed.
    input_start: u64,
    unconfirmed: VecDeque<u8>,
    /// How far the input has been sent on this socket.
    input_sent: u64,
    resets: u64,
    traffic: Traffic,
    exit: Option<Exit>,
    size: Option<(u16, u16)>,
}

impl Terminal {
    /// Opens a terminal as a new viewer.
    pub async fn open(origin: &str, workspace: WorkspaceId, token: SecretText, screen: Screen) -> Result<Self> {
        let mut terminal = Self {
            origin: origin.to_owned(),
            workspace,
            token,
            viewer: Id::from_entropy(rand::random()),
            screen,
            socket: None,
            opened: Opened { epoch: 0, input_offset: 0, read_only: false, unconfined: false, hears_visibility: false },
            offset: 0,
            acknowledged: 0,
            output: Vec::new(),
            input_start: 0,
            unconfirmed: VecDeque::new(),
            input_sent: 0,
            resets: 0,
            traffic: Traffic::default(),
            exit: None,
            size: None,
        };
        terminal.reopen().await?;
        Ok(terminal)
    }

    /// Opens a socket, going on where the last one ended. Input that the terminal does not have is sent again.
    pub async fn reopen(&mut self) -> Result<()> {
        self.socket = None;
        let (socket, answer) = match tokio::time::timeout(OPEN_LIMIT, connect_async(self.handshake()?)).await? {
            Ok(connected) => connected,
            Err(tungstenite::Error::Http(answer)) => {
                let problem = answer.body().as_deref().and_then(|body| serde_json::from_slice(body).ok());
                return Err(super::Refused { status: answer.status(), problem }.into());
            }
            Err(error) => return Err(error).context("opening the terminal's socket"),
        };
        let chosen = answer.headers().get(SEC_WEBSOCKET_PROTOCOL);
        ensure!(chosen.is_some_and(|chosen| chosen == SUBPROTOCOL), "the server chose subprotocol {chosen:?}");
        self.socket = Some(socket);
        let message = self.next_message(Instant::now() + OPEN_LIMIT).await?.context("no first frame in time")?;
        let AgentFrame::Opened(opened) = AgentFrame::decode(&message)? else {
            bail!("the first frame was not `opened` but {message:?}");
        };
        self.take_up(opened);
        self.flush_input().await
    }

    /// Ends the socket without a word, as a network does.
    pub fn lose_connection(&mut self) {
        self.socket = None;
    }

    /// Types.
    pub async fn type_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.unconfirmed.extend(bytes);
        self.flush_input().await
    }

    /// Types a line.
    pub async fn type_line(&mut self, line: &str) -> Result<()> {
        self.type_bytes(format!("{line}\r").as_bytes()).await
    }

    /// Tells the terminal that the screen is now this large.
    pub async fn resize(&mut self, cols: u16, rows: u16) -> Result<()> {
        self.screen = Screen { cols, rows, ..self.screen.clone() };
        self.send(ViewerFrame::Resize { cols, rows }).await
    }

    /// Reads until the text has appeared, and returns all output up to and with it. The next call searches after it.
    pub async fn wait_for(&mut self, text: &str, limit: Duration) -> Result<Vec<u8>> {
        let deadline = Instant::now() + limit;
        let mut searched: usize = 0;
        loop {
            if let Some(place) = find(&self.output[searched..], text.as_bytes()) {
                let end = searched + place + text.len();
                return Ok(self.output.drain(..end).collect());
            }
            // The text may have begun at the end of what there is.
            searched = self.output.len().saturating_sub(text.len());
            if !self.read_frame(deadline).await? {
                let seen = String::from_utf8_lossy(&self.output);
                bail!("waited {} s for {text:?}; there was {:?}", limit.as_secs(), crate::run::tail(&seen));
            }
            searched = searched.min(self.output.len());
        }
    }

    /// Reads one frame and acts on it; `false` when none came in time. The end of the socket is [`Closed`].
    pub async fn read_frame(&mut self, deadline: Instant) -> Result<bool> {
        let Some(message) = self.next_message(deadline).await? else { return Ok(false) };
        match AgentFrame::decode(&message)? {
            AgentFrame::Opened(_) => bail!("a second opened frame"),
            AgentFrame::Output { offset, bytes } => self.take_output(offset, bytes).await?,
            AgentFrame::Reset { offset } => {
                self.resets += 1;
                self.offset = offset;
                self.acknowledged = offset;
                self.output.clear();
            }
            AgentFrame::InputAck { offset } => {
                ensure!(offset <= self.input_sent, "input was confirmed that was never sent");
                self.confirm_input(offset);
                self.flush_input().await?;
            }
            AgentFrame::Exited(exit) => self.exit = Some(exit),
            AgentFrame::Size { cols, rows } => self.size = Some((cols, rows)),
        }
        Ok(true)
    }

    /// Drops the output that has been read so far, where only its amount counts.
    pub fn forget_output(&mut self) {
        self.output.clear();
    }

    /// Waits for the server to close the socket, and returns the code.
    pub async fn wait_for_close(&mut self, limit: Duration) -> Result<Closed> {
        let deadline = Instant::now() + limit;
        loop {
            match self.read_frame(deadline).await {
                Ok(true) => {}
                Ok(false) => bail!("the socket was still open after {} s", limit.as_secs()),
                Err(error) => return error.downcast::<Closed>(),
            }
        }
    }

    /// The control plane's origin.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What the agent said when the socket opened last.
    pub fn opened(&self) -> Opened {
        self.opened
    }

    /// How many bytes of output of this epoch have arrived.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How often the agent has told us to start the screen anew.
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// How many messages have crossed, since the terminal was opened first.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// How the terminal's process ended, once it has.
    pub fn exit(&self) -> Option<Exit> {
        self.exit
    }

    /// The terminal's size, as it was said last.
    pub fn size(&self) -> Option<(u16, u16)> {
        self.size
    }

    fn handshake(&self) -> Result<tungstenite::handshake::client::Request> {
        let Screen { terminal, cols, rows } = &self.screen;
        let path = routes::WORKSPACE_TERMINAL.fill(&[&self.workspace]);
        let origin = self.origin.replacen("http", "ws", 1);
        let mut url = format!("{origin}{path}?terminal={terminal}&cols={cols}&rows={rows}&viewer={}", self.viewer);
        if self.opened.epoch != 0 {
            url += &format!("&epoch={}&offset={}", self.opened.epoch, self.offset);
        }
        let mut request = url.into_client_request()?;
        let protocols = format!("{SUBPROTOCOL}, {}", self.token.expose());
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocols.parse()?);
        request.headers_mut().insert(ORIGIN, self.origin.parse()?);
        Ok(request)
    }

    fn take_up(&mut self, opened: Opened) {
        if opened.epoch == self.opened.epoch {
            self.confirm_input(opened.input_offset);
        } else {
            // Another shell: what was typed for the old one is not for this one.
            self.unconfirmed.clear();
            self.input_start = opened.input_offset;
        }
        self.input_sent = opened.input_offset;
        self.opened = opened;
    }

    fn confirm_input(&mut self, offset: u64) {
        let confirmed = offset.saturating_sub(self.input_start);
        let length = self.unconfirmed.len();
        self.unconfirmed.drain(..usize::try_from(confirmed).unwrap_or(length).min(length));
        self.input_start = offset;
    }

    async fn take_output(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        ensure!(offset == self.offset, "output at {offset}, expected at {}: a byte is lost or doubled", self.offset);
        self.output.extend_from_slice(bytes);
        self.offset += bytes.len() as u64;
        ensure!(self.offset - self.acknowledged <= WINDOW_BYTES, "the agent sent more than the window");
        if self.offset - self.acknowledged >= WINDOW_BYTES / 2 {
            self.acknowledged = self.offset;
            self.send(ViewerFrame::Ack { offset: self.offset }).await?;
        }
        Ok(())
    }

    /// Sends input as far as the window allows; the rest goes when there are confirmations.
    async fn flush_input(&mut self) -> Result<()> {
        let end = (self.input_start + self.unconfirmed.len() as u64).min(self.input_start + WINDOW_BYTES);
        while self.input_sent < end {
            let from = usize::try_from(self.input_sent - self.input_start)?;
            let to = usize::try_from(end - self.input_start)?.min(from + MAX_DATA_BYTES);
            let bytes: Vec<u8> = self.unconfirmed.range(from..to).copied().collect();
            self.send(ViewerFrame::Input { offset: self.input_sent, bytes: &bytes }).await?;
            self.input_sent += bytes.len() as u64;
        }
        Ok(())
    }

    async fn send(&mut self, frame: ViewerFrame<'_>) -> Result<()> {
        let socket = self.socket.as_mut().context("the terminal has no socket")?;
        self.traffic.sent += 1;
        socket.send(Message::binary(frame.encode())).await.map_err(|_| Closed(ABNORMAL).into())
    }

    /// The next binary message, or nothing if there is none in time.
    async fn next_message(&mut self, deadline: Instant) -> Result<Option<Vec<u8>>> {
        let socket = self.socket.as_mut().context("the terminal has no socket")?;
        loop {
            let Ok(next) = timeout_at(deadline.into(), socket.next()).await else { return Ok(None) };
            match next {
                Some(Ok(Message::Binary(bytes))) => {
                    self.traffic.received += 1;
                    return Ok(Some(bytes.into()));
                }
                Some(Ok(Message::Text(text))) => bail!("a text message: {text}"),
                Some(Ok(Message::Close(frame))) => {
                    return Err(Closed(frame.map_or(ABNORMAL, |frame| frame.code.into())).into());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(_)) | None => return Err(Closed(ABNORMAL).into()),
            }
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len().max(1)).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_in_bytes() {
        assert_eq!(find(b"one two", b"two"), Some(4));
        assert_eq!(find(b"on", b"one"), None);
    }
}
