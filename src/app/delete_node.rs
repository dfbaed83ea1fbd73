//! DELETE of a node: accepted in every state, and a repeat succeeds. Its workspaces go with it.

use ringfence_protocol::ids::NodeId;
use ringfence_protocol::views::NodeView;

use super::actor::Actor;
use super::change_node::change_node;
use crate::config::Settings;
use crate::domain::node::Event;
use crate::error::Result;
use crate::ports::{Platform, Statement};

/// Records that the node is to go. `extra` is stored with it, or not at all.
pub async fn delete_node(
    p: &impl Platform,
    settings: &Settings,
    actor: &Actor,
    id: NodeId,
    extra: Vec<Statement>,
) -> Result<NodeView> {
    change_node(p, settings, actor, id, Event::DeleteRequested, extra).await
}
