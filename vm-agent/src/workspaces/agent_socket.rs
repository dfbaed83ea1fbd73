//! A socket of its own for each workspace that runs, at which what runs in it speaks to the agent. Lines in, lines out.
//!
//! ```text
//! assistant NAME      takes the workspace's one assistant lock, for as long as the connection lives
//! turn SECS           it is at its turn, for so long at most      turn end    it is not any more
//! keep-awake SECS     the workspace is used for so long; 0 takes it back. No lock is needed
//! ```
//!
//! Each line is answered by one that begins with `ok`, `refused` or `error`; after an error the connection ends. Whoever connects is
//! believed to be the workspace and nothing more: the socket is in a directory that only this workspace's container has, and its
//! user's alone. What can be asked here keeps a workspace awake within its own hard limits, and does nothing else.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringfence_protocol::ids::WorkspaceId;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::assistant_lock::Hold;
use super::task::Task;

/// The socket's name in its directory.
pub const SOCKET_NAME: &str = "agent.sock";
/// Names the socket in a workspace's environment.
pub const SOCKET_VARIABLE: &str = "RINGFENCE_SOCKET";

/// Connections at a time; more wait, and the kernel lets so many wait as it does.
const MAX_CONNECTIONS: usize = 8;
/// Longest line, in bytes, with its end.
const MAX_LINE_BYTES: usize = 128;
/// Longest name of an assistant.
const MAX_NAME_BYTES: usize = 64;
/// One that has not the lock and says nothing for so long leaves room for others.
const SPEAK_WITHIN: Duration = Duration::from_secs(10);
/// One that does not read its answers for so long is given up.
const HEAR_WITHIN: Duration = Duration::from_secs(5);
/// Between two lines of a connection, and between two connections: what a workspace does here costs the machine little.
const LINE_PAUSE: Duration = Duration::from_millis(50);
const CONNECTION_PAUSE: Duration = Duration::from_millis(5);
/// After a connection that could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a workspace's socket is to be, and whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketPlace {
    /// The socket, by [`SOCKET_NAME`].
    pub path: PathBuf,
    /// Who may connect. `None`: the user that the agent itself runs as.
    pub owner: Option<(u32, u32)>,
}

/// What somebody in a workspace wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// To be its assistant.
    Assistant(String),
    /// To be at its turn as that.
    Turn(Hold, Duration),
    /// To be so no more.
    TurnEnd(Hold),
    /// That it be kept awake.
    KeepAwake(Duration),
    /// To be its assistant no more: the connection has ended. Nobody hears the answer.
    Left(Hold),
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The lock.
    Taken(Hold),
    /// So long.
    For(Duration),
    /// It is so.
    Done,
    /// Why not.
    Refused(String),
}

/// A wish, on its way to the node.
#[derive(Debug)]
pub struct Asked {
    /// In which workspace.
    pub workspace_id: WorkspaceId,
    /// What.
    pub wish: Wish,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer>,
}

/// A socket that is served. Dropping it closes it, with every connection.
#[derive(Debug)]
pub struct AgentSocket {
    _serving: Task,
}

impl AgentSocket {
    /// Opens it. As many wishes are on their way as there are connections.
    pub fn open(
        socket_place: &SocketPlace,
        workspace_id: WorkspaceId,
        asked: mpsc::UnboundedSender<Asked>,
    ) -> io::Result<Self> {
        let listener = bind(socket_place)?;
        let owner = socket_place.owner.map(|(uid, _)| uid);
        let serving = Task::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                while connections.len() >= MAX_CONNECTIONS {
                    connections.join_next().await;
                }
                // Those that have ended.
                while connections.try_join_next().is_some() {}
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let is_theirs = stream.peer_cred().is_ok_and(|peer| owner.is_none_or(|uid| peer.uid() == uid));
                        if is_theirs {
                            connections.spawn(Connection::new(stream, workspace_id, asked.clone()).serve());
                        }
                        sleep(CONNECTION_PAUSE).await;
                    }
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                }
            }
        });
        Ok(Self { _serving: serving })
    }
}

/// One that an earlier agent has left is in nobody's way.
fn bind(socket_place: &SocketPlace) -> io::Result<UnixListener> {
    crate::disk::remove_if_there(&socket_place.path).map_err(io::Error::other)?;
    // By way of its directory: a socket's address has room for 107 bytes, whatever a path has.
    let dir = std::fs::File::open(socket_place.path.parent().unwrap_or(Path::new("/")))?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET_NAME}", dir.as_raw_fd()))?;
    lock(&socket_place.path, socket_place.owner)?;
    Ok(listener)
}

fn lock(path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    match owner {
        Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

/// One connection.
struct Connection {
    workspace_id: WorkspaceId,
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    asked: mpsc::UnboundedSender<Asked>,
    hold: Option<Hold>,
}

/// What was read.
enum Heard {
    Line(String),
    /// What cannot be a line of ours, in words.
    Nonsense(&'static str),
    End,
}

impl Connection {
    fn new(stream: UnixStream, workspace_id: WorkspaceId, asked: mpsc::UnboundedSender<Asked>) -> Self {
        let (reader, writer) = stream.into_split();
        Self { workspace_id, reader: BufReader::with_capacity(MAX_LINE_BYTES, reader), writer, asked, hold: None }
    }

    async fn serve(mut self) {
        loop {
            let heard = match self.hold {
                Some(_) => self.hear().await,
                None => timeout(SPEAK_WITHIN, self.hear()).await.unwrap_or(Heard::End),
            };
            let answer = match heard {
                Heard::Line(line) => self.answer(&line).await,
                Heard::Nonsense(why) => Err(why),
                Heard::End => return,
            };
            let goes_on = answer.is_ok();
            let text = match answer {
                Ok(answer) => format!("{answer}\n"),
                Err(why) => format!("error {why}\n"),
            };
            let told = timeout(HEAR_WITHIN, self.writer.write_all(text.as_bytes())).await;
            if !goes_on || !matches!(told, Ok(Ok(()))) {
                return;
            }
            sleep(LINE_PAUSE).await;
        }
    }

    async fn hear(&mut self) -> Heard {
        let mut line = Vec::with_capacity(MAX_LINE_BYTES);
        let mut bounded = (&mut self.reader).take(MAX_LINE_BYTES as u64);
        match bounded.read_until(b'\n', &mut line).await {
            Err(_) | Ok(0) => return Heard::End,
            Ok(_) => {}
        }
        if line.pop() != Some(b'\n') {
            // Cut off by its length, or by the end of the connection: then nobody reads this.
            return Heard::Nonsense("a line is at most 127 bytes");
        }
        match String::from_utf8(line) {
            Ok(line) if line.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) => Heard::Line(line),
            Ok(_) | Err(_) => Heard::Nonsense("a line is printable ASCII"),
        }
    }

    async fn answer(&mut self, line: &str) -> Result<String, &'static str> {
        let wish = self.read(line)?;
        let (answer, answered) = oneshot::channel();
        let workspace_id = self.workspace_id;
        let asked = self.asked.send(Asked { workspace_id, wish, answer });
        let Ok(answer) = answered.await else { return Err("the agent ends") };
        asked.map_err(|_| "the agent ends")?;
        Ok(match answer {
            Answer::Taken(hold) => {
                self.hold = Some(hold);
                "ok".to_owned()
            }
            Answer::For(granted) => format!("ok {}", granted.as_secs()),
            Answer::Done => "ok".to_owned(),
            Answer::Refused(why) => format!("refused {why}"),
        })
    }

    fn read(&self, line: &str) -> Result<Wish, &'static str> {
        let words: Vec<&str> = line.split(' ').collect();
        match (words.as_slice(), self.hold) {
            (["assistant", _], Some(_)) => Err("this connection has the lock"),
            (["assistant", name], None) if is_name(name) => Ok(Wish::Assistant((*name).to_owned())),
            (["assistant", _], None) => Err("a name is 1 to 64 letters, digits, dots, dashes and underscores"),
            (["turn", _], None) => Err("say `assistant NAME` first"),
            (["turn", "end"], Some(hold)) => Ok(Wish::TurnEnd(hold)),
            (["turn", secs], Some(hold)) => match seconds(secs)? {
                Duration::ZERO => Err("a turn takes at least a second; `turn end` ends it"),
                lease => Ok(Wish::Turn(hold, lease)),
            },
            (["keep-awake", secs], _) => Ok(Wish::KeepAwake(seconds(secs)?)),
            (_, _) => Err("say `assistant NAME`, `turn SECS`, `turn end` or `keep-awake SECS`"),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            let (answer, _) = oneshot::channel();
            // Nobody hears it: the agent is about to end.
            let _ = self.asked.send(Asked { workspace_id: self.workspace_id, wish: Wish::Left(hold), answer });
        }
    }
}

fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_plain)
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let is_number = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let secs = text.parse().ok().filter(|_| is_number).ok_or("a time is a whole number of seconds")?;
    Ok(Duration::from_secs(secs))
}

#[cfg(test)]
#[path = "agent_socket_tests.rs"]
mod tests;
