//! The life of one of the actor's nodes or workspaces: why it is still there, what follows, what it has cost, all that happened.
//! Also when it is gone, for as long as its row is kept.

use ringfence_protocol::ids::{NodeId, WorkspaceId};
use ringfence_protocol::lifecycle::{AliveView, LifecycleView, NextTransitionView, TransitionView};
use ringfence_protocol::money::{Micros, Money};
use ringfence_protocol::state::WorkspaceState;
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::{EventKind, EventView};

use super::actor::Actor;
use super::sweep::GONE_KEPT;
use super::views::billed_millis;
use crate::domain::lifecycle::Timing;
use crate::domain::node::{self, Next, Standing};
use crate::domain::workspace;
use crate::error::{Error, Result};
use crate::ports::{Outcome, Platform};
use crate::store::events::EventRow;
use crate::store::nodes::NodeRow;
use crate::store::workspaces::WorkspaceRow;
use crate::store::{all, events, first, nodes, workspaces};

/// Transitions shown at most.
const MAX_TRANSITIONS: u32 = 200;

/// The life of a node.
pub async fn of_node(p: &impl Platform, timing: &Timing, actor: &Actor, id: NodeId) -> Result<LifecycleView> {
    let statements = vec![nodes::load(id), events::transitions_of_node(id, actor.user_id, MAX_TRANSITIONS)];
    let mut outcomes = p.batch(statements).await?.into_iter();
    let row = first::<NodeRow>(outcomes.next())?.filter(|row| row.user_id == actor.user_id);
    let row = row.ok_or_else(|| Error::not_found("node"))?;
    let (node, now) = (row.node(), p.now());
    let gone = matches!(node.state, node::State::Gone { .. });
    let standing = node.standing(timing);
    Ok(LifecycleView {
        state: node.word().as_str().into(),
        reason: node.reason(),
        alive: standing.as_ref().map(alive),
        next: standing.and_then(|standing| standing.next).map(|next| next_view(next.to.as_str(), &next)),
        hard_limit_at: (!gone).then_some(node.hard_deadline),
        readable_until_at: gone.then_some(node.state_since + GONE_KEPT),
        price_per_hour: price(&row, gone),
        cost_so_far: cost(&row, billed_millis(&node, now)),
        workspaces_on_node: node.places_taken,
        transitions: transitions(outcomes.next()),
    })
}

/// The life of a workspace.
pub async fn of_workspace(p: &impl Platform, timing: &Timing, actor: &Actor, id: WorkspaceId) -> Result<LifecycleView> {
    let statements = vec![
        workspaces::load(id),
        nodes::of_workspace(id),
        events::transitions_of_workspace(id, actor.user_id, MAX_TRANSITIONS),
    ];
    let mut outcomes = p.batch(statements).await?.into_iter();
    let row = first::<WorkspaceRow>(outcomes.next())?.filter(|row| row.user_id == actor.user_id);
    let on = first::<NodeRow>(outcomes.next())?.filter(|row| row.user_id == actor.user_id);
    let (Some(row), Some(on)) = (row, on) else { return Err(Error::not_found("workspace")) };
    let (workspace, node, now) = (row.workspace(), on.node(), p.now());
    let over = !workspace.holds_place;
    let gone = workspace.state == workspace::State::Gone;
    let standing = workspace.standing(node.ends_at(), node.off_at(timing), now);
    let transitions = transitions(outcomes.next());
    let until = if workspace.holds_place { now } else { left_at(&transitions).unwrap_or(workspace.state_since) };
    let there = until.get().saturating_sub(row.created_at_ms).max(0);
    Ok(LifecycleView {
        state: workspace.word().as_str().into(),
        reason: workspace.reason(),
        alive: standing.as_ref().map(alive),
        next: standing.and_then(|standing| standing.next).map(|next| next_view(next.to.as_str(), &next)),
        hard_limit_at: (!over).then_some(node.hard_deadline),
        readable_until_at: gone.then_some(workspace.state_since + GONE_KEPT),
        price_per_hour: price(&on, over),
        // For as long as the node was billed while the workspace was there.
        cost_so_far: cost(&on, there.min(billed_millis(&node, now))),
        workspaces_on_node: node.places_taken,
        transitions,
    })
}

/// When a workspace that is over was over first: one that had failed costs nothing until somebody deletes its row.
fn left_at(transitions: &[TransitionView]) -> Option<UnixMillis> {
    let is_over = |step: &&TransitionView| {
        [WorkspaceState::Failed, WorkspaceState::Gone].map(WorkspaceState::as_str).contains(&step.state.as_str())
    };
    transitions.iter().find(is_over).map(|step| step.at)
}

fn price(row: &NodeRow, over: bool) -> Money {
    Money::from_micros(if over { 0 } else { row.price_micros_per_hour }, row.currency.clone())
}

fn cost(row: &NodeRow, millis: i64) -> Money {
    Money::from_micros(Micros(row.price_micros_per_hour).per_hour_for(millis).0, row.currency.clone())
}

fn alive<S>(standing: &Standing<S>) -> AliveView {
    AliveView { because: standing.because.clone(), until_at: standing.until }
}

fn next_view<S>(state: &str, next: &Next<S>) -> NextTransitionView {
    NextTransitionView { state: state.into(), at: next.at, cause: next.why.clone() }
}

fn transitions(outcome: Option<Outcome>) -> Vec<TransitionView> {
    let rows = all::<EventRow>(outcome);
    let mut views: Vec<TransitionView> = rows.iter().filter_map(EventRow::view).filter_map(transition).collect();
    // Read newest first, so that what is left out is the oldest.
    views.reverse();
    views
}

fn transition(event: EventView) -> Option<TransitionView> {
    let (state, cause) = match event.event {
        EventKind::NodeState { state, detail } => (state.as_str(), detail),
        EventKind::WorkspaceState { state, detail } => (state.as_str(), detail),
        EventKind::BootStep { .. }
        | EventKind::Notice { .. }
        | EventKind::EndingSoon { .. }
        | EventKind::Saved { .. } => {
            return None;
        }
    };
    Some(TransitionView { at: event.at, state: state.into(), cause })
}
