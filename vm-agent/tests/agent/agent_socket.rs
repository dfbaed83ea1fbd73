//! What runs in a workspace asks at its socket, and the control plane hears of the use.

use std::path::PathBuf;

use ringfence_protocol::link::{Activity, AgentMessage, WorkspacePhase};
use ringfence_protocol::state::ActivityCause;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::support::soon;
use crate::usage::{Stage, stage};

struct Client {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Client {
    async fn connect(stage: &Stage) -> Self {
        let stream = UnixStream::connect(socket(stage)).await.unwrap();
        let (reader, writer) = stream.into_split();
        Self { lines: BufReader::new(reader).lines(), writer }
    }

    async fn says(&mut self, line: &str) -> Option<String> {
        self.writer.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        self.hears().await
    }

    async fn hears(&mut self) -> Option<String> {
        soon("an answer", self.lines.next_line()).await.unwrap()
    }
}

fn socket(stage: &Stage) -> PathBuf {
    stage.home().join(".ringfence/agent.sock")
}

/// The next sign of use with a lease.
async fn leased(stage: &mut Stage) -> Activity {
    let wanted = |message| match message {
        AgentMessage::Activity { activity, .. } if activity.lease_ends_at.is_some() => Some(activity),
        _ => None,
    };
    stage.link.message("a sign of use with a lease", wanted).await
}

#[tokio::test]
async fn an_assistants_turn_and_a_wish_to_stay_awake_are_told_as_use_with_an_end() {
    let mut s = stage(None).await;
    let mut assistant = Client::connect(&s).await;
    assert_eq!(assistant.says("assistant coder").await.unwrap(), "ok");
    assert_eq!(assistant.says("turn 1000000").await.unwrap(), "ok 600", "a lease is finite");
    let told = leased(&mut s).await;
    assert_eq!(told.cause, ActivityCause::Assistant);
    assert_eq!(assistant.says("turn end").await.unwrap(), "ok");
    assert_eq!(assistant.says("keep-awake 999999999").await.unwrap(), "ok 86400", "as the installation has it");
    while leased(&mut s).await.cause != ActivityCause::KeepAwake {}
    assert_eq!(assistant.says("keep-awake 1").await.unwrap(), "ok 1");
    // It ends by itself: nothing is told for as long as the workspace may be idle.
    let mut told = 0;
    while tokio::time::timeout(std::time::Duration::from_secs(4), s.used()).await.is_ok() {
        told += 1;
        assert!(told < 6, "what is over counts as use");
    }
    s.agent.stop().await;
}

#[tokio::test]
async fn a_stop_frees_the_lock_and_ends_who_had_it() {
    let mut s = stage(None).await;
    let mut first = Client::connect(&s).await;
    assert_eq!(first.says("assistant first").await.unwrap(), "ok");
    assert!(Client::connect(&s).await.says("assistant second").await.unwrap().ends_with(": first"));
    let workspace = s.workspace;
    s.link.ensure(workspace, 2, false);
    assert_eq!(s.link.report(workspace).await.phase, WorkspacePhase::Stopped);
    assert_eq!(first.hears().await, None);
    assert!(UnixStream::connect(socket(&s)).await.is_err(), "nobody serves the socket of a workspace that is stopped");
    s.link.ensure(workspace, 3, true);
    assert_eq!(s.link.report(workspace).await.phase, WorkspacePhase::Running);
    assert_eq!(Client::connect(&s).await.says("assistant second").await.unwrap(), "ok");
    s.agent.stop().await;
}
