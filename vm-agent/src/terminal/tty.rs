//! What a terminal task reads, writes and waits for: a PTY of this machine, or one that a container engine holds.

use std::pin::Pin;
use std::process::ExitStatus;

use std::os::unix::process::ExitStatusExt as _;

use pty_process::{OwnedReadPty, OwnedWritePty, Pty, Size};
use ringfence_protocol::terminal::Exit;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::sync::{oneshot, watch};

use crate::workspaces::EngineError;

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where a terminal comes from. Starting it may take a while: viewers may come and type meanwhile.
pub struct Source {
    /// Starts it.
    pub tty: Later<Result<Tty, EngineError>>,
    /// Ends everything it has started, when it is told to end. None where that is done elsewhere.
    pub end: Option<Later<()>>,
}

/// A process on a terminal.
pub struct Tty {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) process: Process,
}

impl Tty {
    /// A PTY of this machine, and the process that leads its session.
    pub fn local(pty: Pty, child: Child) -> Self {
        let (reader, writer) = pty.into_split();
        Self { reader: Reader::Pty(reader), writer: Writer::Pty(writer), process: Process::Child(child) }
    }

    /// One that is elsewhere: a stream of bytes, where new sizes go, and where its exit comes from.
    pub fn remote(
        reader: impl AsyncRead + Send + 'static,
        writer: impl AsyncWrite + Send + 'static,
        sizes: watch::Sender<(u16, u16)>,
        exit: oneshot::Receiver<Exit>,
    ) -> Self {
        Self {
            reader: Reader::Remote(Box::pin(reader)),
            writer: Writer::Remote(Box::pin(writer), sizes),
            process: Process::Remote(exit),
        }
    }
}

pub(super) enum Reader {
    Pty(OwnedReadPty),
    Remote(Pin<Box<dyn AsyncRead + Send>>),
}

impl Reader {
    /// Loses nothing when it is given up.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Pty(pty) => pty.read(buffer).await,
            Self::Remote(stream) => stream.read(buffer).await,
        }
    }
}

pub(super) enum Writer {
    Pty(OwnedWritePty),
    Remote(Pin<Box<dyn AsyncWrite + Send>>, watch::Sender<(u16, u16)>),
}

impl Writer {
    /// Loses nothing when it is given up.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Pty(pty) => pty.write(bytes).await,
            // A socket: bytes are on their way when it has taken them, there is nothing to flush.
            Self::Remote(stream, _) => stream.write(bytes).await,
        }
    }

    pub(super) fn resize(&self, (cols, rows): (u16, u16)) {
        match self {
            Self::Pty(pty) => {
                if let Err(error) = pty.resize(Size::new(rows, cols)) {
                    tracing::debug!(%error, "cannot resize a terminal");
                }
            }
            Self::Remote(_, sizes) => {
                sizes.send_replace((cols, rows));
            }
        }
    }
}

pub(super) enum Process {
    Child(Child),
    Remote(oneshot::Receiver<Exit>),
}

impl Process {
    /// Waits for its end. Not to be asked again after that.
    pub(super) async fn wait(&mut self) -> Exit {
        match self {
            Self::Child(child) => child.wait().await.map_or(Exit::Code(-1), exit_of),
            Self::Remote(exit) => exit.await.unwrap_or(Exit::Code(-1)),
        }
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Code(-1),
    }
}
