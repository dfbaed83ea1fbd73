//! ttyd, a web terminal without a relay, on the same machine in the same run: what our terminal's figures are held against.
//!
//! Its protocol: subprotocol `tty`; the first message names the size; then each message is a byte that says what it is,
//! `0` for input and output, and the bytes.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::statistics::Samples;
use super::table::{Row, Unit};
use super::terminal::{FLOOD_BYTES, KEYSTROKES};
use super::{LIMIT, MIB, say};

/// Names ttyd when it is not `ttyd` on PATH; several words are a command with arguments.
const COMMAND_VARIABLE: &str = "RINGFENCE_TTYD";
const DATA: u8 = b'0';

/// ttyd's figures, or none where it is not installed.
pub(super) async fn measure() -> Result<Vec<Row>> {
    let command = std::env::var(COMMAND_VARIABLE).unwrap_or_else(|_| "ttyd".into());
    let Some(ttyd) = Ttyd::start(&command).await? else {
        say(format!("no ttyd to compare with: install it, or name it in {COMMAND_VARIABLE}"));
        return Ok(Vec::new());
    };
    say("the same with ttyd");
    let echoes = ttyd.echoes().await?;
    let flooded = ttyd.echoes_under_flood().await?;
    let rate = ttyd.throughput().await?;
    Ok(vec![
        Row::figure("ttyd: keystroke → echo, p50", echoes.percentile_ms(50), Unit::Milliseconds),
        Row::figure("ttyd: keystroke → echo, p99", echoes.percentile_ms(99), Unit::Milliseconds),
        Row::figure("ttyd: keystroke → echo beside a flood, p99", flooded.percentile_ms(99), Unit::Milliseconds),
        Row::figure("ttyd: terminal throughput", rate, Unit::MibPerSecond),
    ])
}

/// A running ttyd; it ends with the value.
struct Ttyd {
    _process: Child,
    port: u16,
}

impl Ttyd {
    async fn start(command: &str) -> Result<Option<Self>> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut words = command.split_whitespace();
        let program = words.next().context("an empty command for ttyd")?;
        let started = Command::new(program)
            .args(words)
            .args(["--port", &port.to_string(), "--interface", "127.0.0.1", "--writable", "bash", "--norc"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let process = match started {
            Ok(process) => process,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("starting ttyd"),
        };
        let deadline = Instant::now() + LIMIT;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if Instant::now() > deadline {
                bail!("ttyd does not listen");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Some(Self { _process: process, port }))
    }

    async fn open(&self) -> Result<Peer> {
        let mut request = format!("ws://127.0.0.1:{}/ws", self.port).into_client_request()?;
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("tty"));
        let (socket, _) = connect_async(request).await?;
        let mut peer = Peer { socket };
        peer.socket.send(Message::binary(br#"{"AuthToken":"","columns":80,"rows":24}"#.to_vec())).await?;
        Ok(peer)
    }

    async fn echoes(&self) -> Result<Samples> {
        let mut peer = self.open().await?;
        peer.type_bytes(b"echo cat is \"\"ready; exec cat\n").await?;
        peer.wait_for(b"cat is ready\r\n").await?;
        let mut samples = Vec::with_capacity(KEYSTROKES);
        for _ in 0..KEYSTROKES {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let started = Instant::now();
            peer.type_bytes(b"k").await?;
            while peer.read().await?.is_empty() {}
            samples.push(started.elapsed());
        }
        Ok(Samples::new(samples))
    }

    /// Echoes while another terminal prints without end and is read as fast as can be.
    async fn echoes_under_flood(&self) -> Result<Samples> {
        let mut flood = self.open().await?;
        flood.type_bytes(b"yes\n").await?;
        flood.wait_for(b"y\r\ny\r\ny\r\n").await?;
        let reader = tokio::spawn(async move { while flood.read().await.is_ok() {} });
        let samples = self.echoes().await;
        // ttyd hangs up on what was started for a client that has gone.
        reader.abort();
        samples
    }

    async fn throughput(&self) -> Result<f64> {
        let mut peer = self.open().await?;
        peer.type_bytes(b"stty -opost; echo \"\"ready\n").await?;
        peer.wait_for(b"ready\n").await?;
        let started = Instant::now();
        peer.type_bytes(format!("head -c {FLOOD_BYTES} /dev/zero\n").as_bytes()).await?;
        let mut received = 0;
        while received < FLOOD_BYTES {
            received += peer.read().await?.len() as u64;
        }
        Ok(FLOOD_BYTES as f64 / MIB / started.elapsed().as_secs_f64())
    }
}

struct Peer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Peer {
    async fn type_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let message: Vec<u8> = [&[DATA], bytes].concat();
        Ok(self.socket.send(Message::binary(message)).await?)
    }

    /// The bytes of the next message that is output; empty for any other message.
    async fn read(&mut self) -> Result<Vec<u8>> {
        let message = timeout(LIMIT, self.socket.next()).await.context("ttyd says nothing")?;
        let bytes = message.context("ttyd has closed the socket")??.into_data();
        Ok(bytes.strip_prefix(&[DATA]).map(<[u8]>::to_vec).unwrap_or_default())
    }

    async fn wait_for(&mut self, text: &[u8]) -> Result<()> {
        let mut seen = Vec::new();
        while !seen.windows(text.len()).any(|window| window == text) {
            seen.extend(self.read().await?);
        }
        Ok(())
    }
}
