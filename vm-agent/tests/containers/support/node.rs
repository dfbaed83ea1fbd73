//! The node on a machine: what the link task owns, without a link.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence_protocol::claims::Jwks;
use ringfence_protocol::container::{ContainerSpec, WorkspaceSecrets};
use ringfence_protocol::ids::{NodeId, WorkspaceId};
use ringfence_protocol::link::{CallbackGrant, ControlMessage};
use ringfence_protocol::time::UnixMillis;
use tokio::sync::watch;
use vm_agent::boot::BootLog;
use vm_agent::control_plane::ControlPlane;
use vm_agent::dead_man::Heard;
use vm_agent::grant::Grant;
use vm_agent::identity::Identity;
use vm_agent::node::{Constants, Node};
use vm_agent::origin::Origin;
use vm_agent::workspaces::table::Table;

use super::machine::{Machine, spec};

/// The node. Nobody asks the control plane it names.
pub(crate) async fn start(machine: &Machine) -> Node {
    let dir = machine.state_dir();
    let identity = Identity::load_or_make(&dir.join("key")).unwrap();
    let nowhere = Origin::parse("http://127.0.0.1:9").unwrap();
    let constants = Constants {
        node_id: NodeId::from_entropy([1; 13]),
        control_plane: Arc::new(ControlPlane::new(nowhere, identity, Heard::default()).unwrap()),
        agent_sha256: "0".repeat(64),
        terminal_epoch: 1,
        keep_awake_max: Duration::from_secs(3600),
    };
    let now = UnixMillis::from_secs(1_000);
    let grant = CallbackGrant {
        token: "t".into(),
        expires_at: now + Duration::from_secs(3600),
        now,
        keys: Jwks { keys: Vec::new() },
    };
    let (_, grants) = watch::channel(Grant::received(grant, Instant::now()));
    let table = Table::load(dir.join("workspaces.json")).unwrap();
    Node::new(constants, machine.another_engine().await, table, BootLog::default(), grants)
}

/// Asks that a workspace run.
pub(crate) fn ensure(workspace_id: WorkspaceId, spec_generation: i64, container: &ContainerSpec) -> ControlMessage {
    let secrets = WorkspaceSecrets::default();
    ControlMessage::EnsureWorkspace { workspace_id, spec_generation, spec: spec(container), secrets }
}

/// Lets the node do what there is to do until something is so.
pub(crate) async fn goes_on_until(node: &mut Node, what: &str, is_so: impl Fn() -> bool) {
    super::soon(what, async {
        while !is_so() {
            if let Ok(event) = tokio::time::timeout(Duration::from_millis(50), node.event()).await {
                node.handle_event(event).await;
            }
        }
    })
    .await;
}
