//! A node without an agent around it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence_protocol::agent_config::EngineConfig;
use ringfence_protocol::claims::Jwks;
use ringfence_protocol::container::WorkspaceSecrets;
use ringfence_protocol::ids::{NodeId, WorkspaceId};
use ringfence_protocol::link::{AgentMessage, CallbackGrant, ControlMessage, WorkspaceReport, WorkspaceSpec};
use ringfence_protocol::time::UnixMillis;
use tokio::sync::{mpsc, watch};
use vm_agent::boot::BootLog;
use vm_agent::control_plane::ControlPlane;
use vm_agent::dead_man::Heard;
use vm_agent::grant::Grant;
use vm_agent::identity::Identity;
use vm_agent::link::{Outbox, Outgoing};
use vm_agent::node::{Constants, Node};
use vm_agent::origin::Origin;
use vm_agent::workspaces::Engine;
use vm_agent::workspaces::table::Table;

use super::soon;

/// A node, its link's other end, and nothing between: what has happened is handled when the test asks.
pub(crate) struct Bench {
    _dir: tempfile::TempDir,
    pub(crate) node: Node,
    said: mpsc::Receiver<Outgoing>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::load_or_make(&dir.path().join("key")).unwrap();
        let nowhere = Origin::parse("http://127.0.0.1:9").unwrap();
        let constants = Constants {
            node_id: NodeId::from_entropy([1; 13]),
            control_plane: Arc::new(ControlPlane::new(nowhere, identity, Heard::default()).unwrap()),
            agent_sha256: "0".repeat(64),
            terminal_epoch: 1,
            keep_awake_max: Duration::ZERO,
        };
        let now = UnixMillis::from_secs(1_000);
        let keys = Jwks { keys: Vec::new() };
        let grant = CallbackGrant { token: "t".into(), expires_at: now + Duration::from_secs(3600), now, keys };
        let (_, grants) = watch::channel(Grant::received(grant, Instant::now()));
        let table = Table::load(dir.path().join("workspaces.json")).unwrap();
        let engine = Engine::new(EngineConfig::Unconfined, dir.path()).await.unwrap();
        let mut node = Node::new(constants, engine, table, BootLog::default(), grants);
        let (outbox, said) = Outbox::new(64);
        node.link_up(outbox).await;
        Self { _dir: dir, node, said }
    }

    /// Another link takes the place of this one. What its hello says of workspaces.
    pub(crate) async fn relink(&mut self) -> Vec<WorkspaceReport> {
        self.node.link_lost().await;
        let (outbox, said) = Outbox::new(64);
        self.said = said;
        self.node.link_up(outbox).await;
        match self.said.try_recv() {
            Ok(Outgoing::Message(AgentMessage::Hello(hello))) => hello.workspaces,
            other => panic!("no hello: {other:?}"),
        }
    }

    pub(crate) async fn ensure(&mut self, workspace_id: WorkspaceId, spec_generation: i64) {
        self.command(workspace_id, spec_generation, true).await;
    }

    pub(crate) async fn ensure_stopped(&mut self, workspace_id: WorkspaceId, spec_generation: i64) {
        self.command(workspace_id, spec_generation, false).await;
    }

    async fn command(&mut self, workspace_id: WorkspaceId, spec_generation: i64, running: bool) {
        let spec = WorkspaceSpec {
            name: "demo".into(),
            running,
            container: None,
            idle_timeout_secs: None,
            save_within_secs: None,
        };
        let secrets = WorkspaceSecrets::default();
        self.node
            .handle_message(ControlMessage::EnsureWorkspace { workspace_id, spec_generation, spec, secrets })
            .await;
    }

    pub(crate) async fn report(&mut self) -> WorkspaceReport {
        soon("a report", async {
            loop {
                while let Ok(said) = self.said.try_recv() {
                    if let Outgoing::Message(AgentMessage::Workspace(report)) = said {
                        return report;
                    }
                }
                let event = self.node.event().await;
                self.node.handle_event(event).await;
            }
        })
        .await
    }
}
