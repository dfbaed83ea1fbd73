//! Nodes and workspaces as the API shows them.

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::money::{Micros, Money};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::{
    ActivityView, ContainerLimitsView, ContainerView, EndingView, NodeSummary, NodeView, PatienceLimitsView,
    WorkspaceView,
};

use crate::config::Settings;
use crate::domain::container::{Container, Limits};
use crate::domain::lifecycle::FailureCode;
use crate::domain::node::{Link, Node, State};
use crate::domain::workspace::{Ending, Workspace};
use crate::store::nodes::{NodeRow, NodeSpec};
use crate::store::workspaces::WorkspaceRow;

/// A workspace with its node.
pub fn workspace_view(row: &WorkspaceRow, workspace: &Workspace, on: &NodeRow, node: &Node) -> WorkspaceView {
    let summary = NodeSummary {
        id: on.id,
        state: node.word(),
        provider: on.provider,
        region: on.region.clone(),
        size: on.size.clone(),
        engine: on.engine,
        price_per_hour: Money::from_micros(on.price_micros_per_hour, on.currency.clone()),
    };
    placed_view(row, workspace, node, summary)
}

/// A workspace with a node that was asked for together with it.
pub fn founding_view(row: &WorkspaceRow, workspace: &Workspace, spec: &NodeSpec, node: &Node) -> WorkspaceView {
    let summary = NodeSummary {
        id: spec.id,
        state: node.word(),
        provider: spec.provider,
        region: spec.region.clone(),
        size: spec.size.clone(),
        engine: None,
        price_per_hour: Money::from_micros(spec.price_micros_per_hour, spec.currency.clone()),
    };
    placed_view(row, workspace, node, summary)
}

fn placed_view(row: &WorkspaceRow, workspace: &Workspace, on: &Node, node: NodeSummary) -> WorkspaceView {
    WorkspaceView {
        id: row.id,
        name: row.name.clone(),
        state: workspace.word(),
        state_since_at: workspace.state_since,
        deadline_at: workspace.deadline,
        failure: workspace.code().map(|code| code.as_str().into()),
        reason: workspace.reason(),
        isolation: on.isolation,
        container: row.container().as_ref().map(container_view),
        idle_timeout_secs: workspace.patience.idle_timeout.as_secs(),
        stop_keep_secs: workspace.patience.stop_keep.as_secs(),
        activity: workspace.last_use.map(|used| ActivityView { cause: used.cause, until_at: used.until }),
        keep_alive_until_at: workspace.keep_alive_until,
        ending: ending(workspace, on).map(|ending| EndingView {
            at: ending.at,
            cause: ending.cause,
            detail: ending.sentence(),
        }),
        node,
        placement_explanation: row.placement_explanation.clone(),
        spec_generation: workspace.spec_generation,
        row_version: row.row_version,
        created_at: UnixMillis::new(row.created_at_ms),
    }
}

/// How it ends by itself, as far as that is known: while its agent is away nobody knows whether what should run is used.
fn ending(workspace: &Workspace, on: &Node) -> Option<Ending> {
    let unknown = workspace.running && matches!(on.link, Link::Down { .. });
    (!unknown).then(|| workspace.ending(on.ends_at(), None)).flatten()
}

/// What was asked of a container. Values of its environment stay where they are.
pub fn container_view(container: &Container) -> ContainerView {
    let spec = &container.spec;
    ContainerView {
        image: spec.image.clone(),
        cpu_limit: f64::from(spec.cpu_limit_millis) / 1000.0,
        memory_limit_bytes: spec.memory_limit_bytes,
        disk_quota_bytes: spec.disk_quota_bytes,
        pids_limit: spec.pids_limit,
        network: spec.network,
        allowed_domains: spec.allowed_domains.clone(),
        repository: spec.repository.clone(),
        env: spec.env.keys().cloned().collect(),
        secrets: container.secrets.clone(),
    }
}

/// How long workspaces wait in this installation, and the longest that can be asked.
pub const fn patience_view(settings: &Settings) -> PatienceLimitsView {
    let limits = &settings.patience;
    PatienceLimitsView {
        idle_timeout_secs: limits.idle.default,
        idle_timeout_secs_max: limits.idle.max,
        stop_keep_secs: limits.stop_keep.default,
        stop_keep_secs_max: limits.stop_keep.max,
        keep_alive_secs_max: limits.keep_alive_max,
        max_duration_secs: settings.timing.ephemeral_lifetime.as_secs(),
        max_duration_secs_max: settings.ephemeral_lifetime_max.as_secs(),
    }
}

/// What containers are given in this installation, and the most that can be asked.
pub fn limits_view(limits: &Limits) -> ContainerLimitsView {
    ContainerLimitsView {
        default: ContainerView {
            image: limits.image.clone(),
            cpu_limit: f64::from(limits.cpu_millis.default) / 1000.0,
            memory_limit_bytes: limits.memory_bytes.default,
            disk_quota_bytes: limits.disk_bytes.default,
            pids_limit: limits.pids.default,
            network: limits.network.default,
            allowed_domains: Vec::new(),
            repository: None,
            env: Vec::new(),
            secrets: Vec::new(),
        },
        cpu_limit_max: f64::from(limits.cpu_millis.max) / 1000.0,
        memory_limit_bytes_max: limits.memory_bytes.max,
        disk_quota_bytes_max: limits.disk_bytes.max,
        pids_limit_max: limits.pids.max,
        network_max: limits.network.max,
        image_registries: limits.image_registries.clone(),
    }
}

/// A node with the workspaces that hold its places.
pub fn node_view(row: &NodeRow, node: &Node, workspaces: Vec<WorkspaceId>, now: UnixMillis) -> NodeView {
    let price = Micros(row.price_micros_per_hour);
    NodeView {
        id: row.id,
        state: node.word(),
        state_since_at: node.state_since,
        deadline_at: node.deadline,
        failure: node.code().map(|code: FailureCode| code.as_str().into()),
        reason: node.reason(),
        policy: node.policy,
        health: row.health(),
        away_since_at: match node.link {
            Link::Down { since } => Some(since),
            Link::Never | Link::Up => None,
        },
        isolation: node.isolation,
        provider: row.provider,
        credential_id: row.credential_id,
        region: row.region.clone(),
        size: row.size.clone(),
        provider_instance_id: node.machine().map(|id| id.0.clone()),
        engine: row.engine,
        agent_version: row.agent_version.clone(),
        facts: row.facts(),
        slots: row.slots,
        workspaces,
        warm_since_at: match node.state {
            State::Ready { warm_since } => warm_since,
            State::Requested
            | State::Provisioning { .. }
            | State::Booting
            | State::Failed { .. }
            | State::Quarantined { .. }
            | State::Destroying { .. }
            | State::Gone { .. } => None,
        },
        hard_deadline_at: node.hard_deadline,
        price_per_hour: Money::from_micros(price.0, row.currency.clone()),
        stuck: node.is_stuck(),
        cost_so_far: Money::from_micros(price.per_hour_for(billed_millis(node, now)).0, row.currency.clone()),
        row_version: row.row_version,
        created_at: UnixMillis::new(row.created_at_ms),
    }
}

/// From the first create call to now, or to the provider's word that nothing is left. Nothing was billed where no machine
/// was ever seen and none is left.
pub(super) fn billed_millis(node: &Node, now: UnixMillis) -> i64 {
    let until = match node.state {
        State::Gone { .. } if node.machine().is_none() => return 0,
        State::Gone { .. } => node.state_since,
        State::Requested
        | State::Provisioning { .. }
        | State::Booting
        | State::Ready { .. }
        | State::Failed { .. }
        | State::Quarantined { .. }
        | State::Destroying { .. } => now,
    };
    node.first_create_at.map_or(0, |from| i64::try_from(until.since(from).as_millis()).unwrap_or(i64::MAX))
}
