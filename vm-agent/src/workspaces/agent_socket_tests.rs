//! From outside, over real sockets.

use std::time::Instant;

use proptest::prelude::*;
use tokio::io::Lines;

use super::*;
use crate::workspaces::assistant_lock::AssistantLocks;

/// A socket, and a node that has nothing but locks.
struct Bench {
    dir: tempfile::TempDir,
    _socket: AgentSocket,
    _node: Task,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket_place = SocketPlace { path: dir.path().join(SOCKET_NAME), owner: None };
        let (sender, mut asked) = mpsc::unbounded_channel();
        let socket = AgentSocket::open(&socket_place, WorkspaceId::from_entropy([1; 13]), sender).unwrap();
        let node = Task::spawn(async move {
            let mut locks = AssistantLocks::default();
            while let Some(Asked { workspace_id, wish, answer }) = asked.recv().await {
                let _ = answer.send(match wish {
                    Wish::Assistant(name) => match locks.take(workspace_id, &name) {
                        Ok(hold) => Answer::Taken(hold),
                        Err(held) => Answer::Refused(held.to_string()),
                    },
                    Wish::Turn(_, time) | Wish::KeepAwake(time) => Answer::For(time),
                    Wish::TurnEnd(_) => Answer::Done,
                    Wish::Left(hold) => {
                        locks.release(hold);
                        Answer::Done
                    }
                });
            }
        });
        Self { dir, _socket: socket, _node: node }
    }

    async fn connect(&self) -> Client {
        let stream = UnixStream::connect(self.dir.path().join(SOCKET_NAME)).await.unwrap();
        let (reader, writer) = stream.into_split();
        Client { lines: BufReader::new(reader).lines(), writer }
    }

    /// Tries again until it is the assistant: what was held before is on its way out.
    async fn becomes_assistant(&self, name: &str) -> Client {
        let within = Instant::now() + Duration::from_secs(60);
        loop {
            let mut client = self.connect().await;
            if client.says(&format!("assistant {name}")).await.as_deref() == Some("ok") {
                return client;
            }
            assert!(Instant::now() < within, "the lock is never free");
        }
    }
}

struct Client {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Client {
    /// `None` once the connection has ended.
    async fn says(&mut self, line: &str) -> Option<String> {
        self.sends(format!("{line}\n").as_bytes()).await;
        self.hears().await
    }

    async fn sends(&mut self, bytes: &[u8]) {
        // Refused by a connection that has ended already.
        let _ = self.writer.write_all(bytes).await;
    }

    async fn hears(&mut self) -> Option<String> {
        let heard = timeout(Duration::from_secs(60), self.lines.next_line()).await;
        heard.expect("no answer").unwrap_or(None)
    }
}

#[tokio::test]
async fn one_connection_is_the_assistant_until_it_ends_and_a_second_is_told_who_it_is() {
    let bench = Bench::new();
    let mut first = bench.connect().await;
    assert_eq!(first.says("assistant first").await.unwrap(), "ok");
    let mut second = bench.connect().await;
    let refused = second.says("assistant second").await.unwrap();
    assert_eq!(refused, "refused an assistant runs in this workspace already: first");
    assert_eq!(first.says("turn 30").await.unwrap(), "ok 30");
    assert_eq!(first.says("turn end").await.unwrap(), "ok");
    assert_eq!(second.says("keep-awake 60").await.unwrap(), "ok 60", "which needs no lock");
    drop(first);
    bench.becomes_assistant("second").await;
}

#[tokio::test]
async fn the_lock_is_free_when_the_process_that_had_it_is_killed() {
    let bench = Bench::new();
    let mut holder = bench.connect().await;
    assert_eq!(holder.says("assistant holder").await.unwrap(), "ok");
    // A process has the connection, and nobody else.
    let stream = holder.lines.into_inner().into_inner().reunite(holder.writer).unwrap().into_std().unwrap();
    let mut process =
        std::process::Command::new("sleep").arg("1000").stdin(std::os::fd::OwnedFd::from(stream)).spawn().unwrap();
    let refused = bench.connect().await.says("assistant other").await.unwrap();
    assert!(refused.starts_with("refused ") && refused.ends_with(": holder"), "{refused}");
    process.kill().unwrap();
    process.wait().unwrap();
    bench.becomes_assistant("other").await;
}

#[tokio::test]
async fn what_is_no_line_of_ours_is_answered_once_and_ends_its_connection() {
    let bench = Bench::new();
    let long = "x".repeat(1 << 20);
    for line in [
        "",
        " ",
        "assistant",
        "assistant ",
        "assistant a b",
        "assistant a/b",
        &format!("assistant {}", "x".repeat(65)),
        "turn 5",
        "turn end",
        "keep-awake",
        "keep-awake -1",
        "keep-awake 1.5",
        "keep-awake 1e9",
        "keep-awake +1",
        "keep-awake 9999999999",
        "KEEP-AWAKE 5",
        "keep-awake  5",
        "stop",
        "assistant a\u{e9}",
        "assistant a\x1b[2J",
        "GET / HTTP/1.1\r",
        &long,
    ] {
        let mut client = bench.connect().await;
        let answer = client.says(line).await;
        assert!(answer.is_none_or(|answer| answer.starts_with("error ") && answer.len() < 100), "{:.40}", line);
        assert_eq!(client.hears().await, None, "{line:.40}");
    }
    let mut client = bench.connect().await;
    client.sends(b"\xff\xfe\0\n").await;
    assert!(client.hears().await.unwrap().starts_with("error "));
    let mut assistant = bench.becomes_assistant("a").await;
    for line in ["turn 0", "assistant b"] {
        assert!(assistant.says(line).await.unwrap().starts_with("error "), "{line}");
        assistant = bench.becomes_assistant("a").await;
    }
}

#[tokio::test]
async fn a_thousand_connections_and_lines_without_an_end_are_in_nobodys_way() {
    let bench = Bench::new();
    let mut assistant = bench.becomes_assistant("a").await;
    let mut crowd = Vec::new();
    for n in 0..1000 {
        // The kernel lets so many wait and no more.
        let Ok(Ok(mut stream)) =
            timeout(Duration::from_millis(10), UnixStream::connect(bench.dir.path().join(SOCKET_NAME))).await
        else {
            continue;
        };
        if n % 2 == 0 {
            let _ = timeout(Duration::from_millis(10), stream.write_all(b"keep-awake 5\nkeep-awake 5\nkeep-aw")).await;
        }
        crowd.push(stream);
    }
    assert!(crowd.len() > MAX_CONNECTIONS);
    assert_eq!(assistant.says("turn 5").await.unwrap(), "ok 5", "who is in is heard");
    drop(crowd);
    assert_eq!(bench.connect().await.says("keep-awake 5").await.unwrap(), "ok 5");
}

#[tokio::test]
async fn a_socket_at_the_end_of_a_long_way_is_reached_from_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(200));
    std::fs::create_dir(&deep).unwrap();
    let (sender, _asked) = mpsc::unbounded_channel();
    let socket_place = SocketPlace { path: deep.join(SOCKET_NAME), owner: None };
    let _socket = AgentSocket::open(&socket_place, WorkspaceId::from_entropy([1; 13]), sender).unwrap();
    let handle = std::fs::File::open(&deep).unwrap();
    UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET_NAME}", handle.as_raw_fd())).await.unwrap();
}

#[tokio::test]
async fn a_socket_that_is_closed_ends_what_is_in_it_and_the_next_one_is_where_it_was() {
    let mut bench = Bench::new();
    let mut client = bench.connect().await;
    assert_eq!(client.says("assistant a").await.unwrap(), "ok");
    let next = Bench::new();
    // As an agent that was restarted does: the socket of the one before is still there.
    let socket_place = SocketPlace { path: bench.dir.path().join(SOCKET_NAME), owner: None };
    let (sender, _asked) = mpsc::unbounded_channel();
    bench._socket = AgentSocket::open(&socket_place, WorkspaceId::from_entropy([1; 13]), sender).unwrap();
    assert_eq!(client.hears().await, None);
    assert_eq!(next.connect().await.says("keep-awake 1").await.unwrap(), "ok 1", "others are others");
    let mode = std::fs::metadata(&socket_place.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

proptest! {
    #[test]
    fn no_time_is_read_that_is_not_a_whole_number(text in "[0-9+.eE-]{0,12}") {
        if let Ok(time) = seconds(&text) {
            prop_assert_eq!(text.parse::<u64>().unwrap(), time.as_secs());
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_digit()));
        }
    }
}
