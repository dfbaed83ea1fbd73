//! A node and its workspaces in one turn: each decides by itself, and then they follow one another until nothing follows.

use ringfence_protocol::time::UnixMillis;

use super::lifecycle::{Moment, Timing};
use super::node::{self, Node};
use super::workspace::{self, Outlook, Workspace};

/// Steps that follow from one another within a turn, at most: Failed → Destroying, with its workspaces, and one to see that
/// nothing follows. What is left over is done in the next turn.
const MAX_STEPS: usize = 6;

/// What follows from a turn, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Of the node.
    Node(node::Effect),
    /// Of the workspace at that place in the list.
    Workspace(usize, workspace::Effect),
}

/// Lets the workspaces follow their node, and counts the places they hold. Asks nothing of the provider.
pub fn settle(node: &mut Node, workspaces: &mut [&mut Workspace], at: &Moment<'_>) -> Vec<Effect> {
    let outlook = Outlook::of(node, at.timing);
    let mut effects = Vec::new();
    for (place, workspace) in workspaces.iter_mut().enumerate() {
        // A tick is never denied.
        let follows = workspace.handle(workspace::Event::Tick(outlook), at).unwrap_or_default();
        effects.extend(follows.into_iter().map(|effect| Effect::Workspace(place, effect)));
    }
    let taken = workspaces.iter().filter(|workspace| workspace.holds_place).count();
    node.places_taken = u32::try_from(taken).unwrap_or(u32::MAX);
    effects
}

/// Lets time pass, until nothing follows or the provider has to be asked. `asking` says that it has to be already.
pub fn tick(node: &mut Node, workspaces: &mut [&mut Workspace], asking: bool, at: &Moment<'_>) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut asking = asking;
    for _ in 0..MAX_STEPS {
        let before = node.clone();
        effects.extend(settle(node, workspaces, at));
        if !asking {
            // A tick is never denied.
            let follows = node.handle(node::Event::Tick, at).unwrap_or_default();
            asking = follows.iter().any(|effect| matches!(effect, node::Effect::Call(_)));
            effects.extend(follows.into_iter().map(Effect::Node));
        }
        if asking || *node == before {
            break;
        }
    }
    effects.extend(settle(node, workspaces, at));
    effects
}

/// When to look at them again, whatever else happens.
pub fn poll_timeout<'a>(
    node: &Node,
    workspaces: impl IntoIterator<Item = &'a Workspace>,
    timing: &Timing,
) -> Option<UnixMillis> {
    let outlook = Outlook::of(node, timing);
    let workspaces = workspaces.into_iter().filter_map(|workspace| workspace.poll_timeout(outlook));
    node.poll_timeout(timing).into_iter().chain(workspaces).min()
}
