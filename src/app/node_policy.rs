//! Cordon, uncordon, drain. A repeat succeeds.

use ringfence_protocol::ids::NodeId;
use ringfence_protocol::state::NodePolicy;
use ringfence_protocol::views::NodeView;

use super::actor::Actor;
use super::change_node::change_node;
use crate::config::Settings;
use crate::domain::node::Event;
use crate::error::Result;
use crate::ports::{Platform, Statement};

/// Records what the owner wants of the node. `extra` is stored with it, or not at all.
pub async fn set_policy(
    p: &impl Platform,
    settings: &Settings,
    actor: &Actor,
    id: NodeId,
    policy: NodePolicy,
    extra: Vec<Statement>,
) -> Result<NodeView> {
    change_node(p, settings, actor, id, Event::PolicyRequested(policy), extra).await
}
