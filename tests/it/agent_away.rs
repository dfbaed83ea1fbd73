//! An agent that stays away: its machine switches itself off, and what the control plane holds of it follows in time (decision 0048).

use std::time::Duration;

use ringfence::app::agent_report::{link_closed, link_lost};
use ringfence::app::lifecycle;
use ringfence::app::sweep::{Mode, all};
use ringfence::ports::Nodes;
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::link::{Activity, AgentMessage};
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::state::{ActivityCause, Isolation, NodeHealth, NodeState, WorkspaceState};
use ringfence_protocol::sweeps::{SweepActionKind, SweepKind};
use ringfence_protocol::views::WorkspaceView;

use crate::support::accounts::Open;
use crate::support::keys::config;
use crate::support::world::{Someone, World, run};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// The dead-man switch, and what a stop may take.
const OFF: Duration = Duration::from_secs(4200);

async fn in_use(world: &World, who: &Someone, isolation: Isolation) -> WorkspaceView {
    let params = CreateWorkspaceParams { isolation: Some(isolation), ..CreateWorkspaceParams::default() };
    let view = world.create_with(who, params, Vec::new()).await.unwrap();
    world.until_running(who, view.id).await;
    let activity = Activity { at: world.p.now.get(), cause: ActivityCause::Process, lease_ends_at: None };
    world.say(view.node.id, AgentMessage::Activity { workspace_id: view.id, activity }).await;
    view
}

/// Its agent goes, and does not come back.
async fn goes(world: &World, node: NodeId) {
    world.machines_boot.set(false);
    world.links.borrow_mut().remove(&node);
    world.p.now.set(world.p.now.get() + Duration::from_secs(1));
    link_lost(&world.p, node).await.unwrap();
}

async fn pass(world: &World, time: Duration) {
    world.run_until_time(world.p.now.get() + time).await;
}

#[test]
fn a_machine_without_a_word_costs_its_keep_and_not_its_life() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let view = in_use(&world, &who, Isolation::User).await;
        let node = view.node.id;
        goes(&world, node).await;
        let gone_at = world.p.now.get();
        pass(&world, OFF - MINUTE).await;
        assert_eq!(world.workspace(&who, view.id).await.state, WorkspaceState::Running, "long after it would be idle");
        pass(&world, MINUTE).await;
        let stopped = world.workspace(&who, view.id).await;
        assert_eq!((stopped.state, stopped.state_since_at), (WorkspaceState::Stopped, gone_at + OFF));
        assert!(stopped.reason.contains("switched itself off"), "{}", stopped.reason);
        pass(&world, 23 * HOUR).await;
        assert_eq!(world.workspace(&who, view.id).await.state, WorkspaceState::Stopped, "its files are kept for a day");
        world.until_node_gone(&who, node).await;
        let gone = world.node(&who, node).await;
        assert_eq!(gone.failure.as_deref(), Some("agent_lost"));
        assert!(gone.state_since_at < gone_at + OFF + 25 * HOUR && world.cloud.is_empty());
    });
}

#[test]
fn an_agent_that_comes_back_at_the_last_moment_ends_nothing() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let view = in_use(&world, &who, Isolation::User).await;
        // Its owner keeps it: once its agent is back, nothing else ends it either.
        let until = world.p.now.get() + 20 * HOUR;
        world.p.db.execute(&format!("UPDATE workspaces SET keep_alive_until_ms = {}", until.get())).unwrap();
        goes(&world, view.node.id).await;
        let off_at = world.p.now.get() + OFF;
        world.run_until_time(off_at - Duration::from_secs(1)).await;
        // It says hello between the drive's read and its write. Neither row's version tells of that.
        let read = world.p.db.batches.get() + 1;
        let hello = async {
            while world.p.db.batches.get() < read {
                tokio::task::yield_now().await;
            }
            let sql = format!("UPDATE nodes SET connected_at_ms = {0}, last_hello_at_ms = {0}", off_at.get());
            world.p.db.execute(&sql).unwrap();
        };
        tokio::join!(biased; world.alarm(), hello);
        assert_eq!(world.p.now.get(), off_at, "it was the alarm of its end");
        let workspace = world.workspace(&who, view.id).await;
        assert_eq!((workspace.state, workspace.reason.as_str()), (WorkspaceState::Running, "Runs."));
    });
}

/// Its row would say for ever that it is away: nothing there would be idle, and what works would be given up.
#[test]
fn the_end_of_a_link_that_is_told_late_does_not_hide_the_next_one() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let view = in_use(&world, &who, Isolation::User).await;
        let node = view.node.id;
        let ended = world.p.now.get() + MINUTE;
        world.p.now.set(ended + Duration::from_millis(500));
        world.connect(node).await;
        link_closed(&world.p, node, ended).await.unwrap();
        assert_eq!(world.node(&who, node).await.health, NodeHealth::Connected);
    });
}

#[test]
fn what_is_said_while_an_agent_is_away_is_true_and_comes_true() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let view = in_use(&world, &who, Isolation::User).await;
        goes(&world, view.node.id).await;
        pass(&world, HOUR).await;
        let shown = world.workspace(&who, view.id).await;
        assert_eq!(shown.ending, None, "nobody knows whether it is used");
        let node = world.node(&who, view.node.id).await;
        assert_eq!(node.health, NodeHealth::Disconnected);
        assert!(
            node.reason.contains("agent has been away since") && node.reason.contains("cost money"),
            "{}",
            node.reason
        );
        let timing = &world.settings.timing;
        let life = lifecycle::of_workspace(&world.p, timing, &who.actor, view.id).await.unwrap();
        let alive = life.alive.unwrap();
        assert!(alive.because.contains("agent is away"), "{}", alive.because);
        let next = life.next.unwrap();
        world.run_until_time(next.at - Duration::from_secs(1)).await;
        assert_eq!(world.workspace(&who, view.id).await.state, WorkspaceState::Running);
        world.run_until_time(next.at).await;
        assert_eq!(world.workspace(&who, view.id).await.state.as_str(), next.state);
    });
}

#[test]
fn a_dedicated_machine_that_went_silent_is_made_anew() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let view = in_use(&world, &who, Isolation::Dedicated).await;
        let node = view.node.id;
        ringfence::app::delete_workspace::delete_workspace(&world.p, &world.settings, &who.actor, view.id, vec![])
            .await
            .unwrap();
        world.until("it is empty", async || world.node(&who, node).await.warm_since_at.is_some()).await;
        goes(&world, node).await;
        let life = lifecycle::of_node(&world.p, &world.settings.timing, &who.actor, node).await.unwrap();
        let next = life.next.unwrap();
        assert_eq!((next.state.as_str(), next.at), ("destroying", world.p.now.get() + OFF));
        world.until_node_gone(&who, node).await;
        assert_eq!(world.node(&who, node).await.failure.as_deref(), Some("agent_lost"));
        world.machines_boot.set(true);
        world.p.now.set(world.p.now.get() + MINUTE);
        let view = all(&world.p, &config(&[]).unwrap(), &Open(&world.cloud), Mode::Act).await;
        let restarts = view.sweeps.into_iter().find(|outcome| outcome.sweep == SweepKind::Restarts).unwrap();
        assert_eq!(restarts.actions.len(), 1, "{restarts:?}");
    });
}

/// As agents do each hour.
fn says_something(world: &World) {
    world.p.db.execute(&format!("UPDATE nodes SET facts_at_ms = {}", world.p.now.get().get())).unwrap();
}

/// The nodes that a sweep of every ready node wakes.
async fn woken(world: &World) -> Vec<String> {
    let view = all(&world.p, &config(&[]).unwrap(), &Open(&world.cloud), Mode::Act).await;
    let actions = view.sweeps.into_iter().flat_map(|outcome| outcome.actions);
    actions.filter(|action| action.action == SweepActionKind::WakeNode).map(|action| action.subject).collect()
}

#[test]
fn what_no_row_has_a_deadline_for_is_found_without_an_alarm() {
    for case in ["idle", "kept", "away", "silent"] {
        run(async {
            let world = World::new();
            let who = world.someone();
            let view = in_use(&world, &who, Isolation::User).await;
            let node = view.node.id;
            let late = match case {
                "idle" => 33 * MINUTE,
                "kept" => {
                    pass(&world, HOUR).await;
                    assert_eq!(world.workspace(&who, view.id).await.state, WorkspaceState::Stopped);
                    24 * HOUR
                }
                "away" => {
                    goes(&world, node).await;
                    OFF + 3 * MINUTE
                }
                // Nobody has seen its link end, and it is kept.
                _ => {
                    let until = world.p.now.get() + 20 * HOUR;
                    let sql = format!("UPDATE workspaces SET keep_alive_until_ms = {}", until.get());
                    world.p.db.execute(&sql).unwrap();
                    140 * MINUTE
                }
            };
            world.p.alarms.borrow_mut().clear();
            let begun = world.p.now.get();
            let later = |time: Duration| {
                world.p.now.set(begun + time);
                if case != "silent" {
                    says_something(&world);
                }
            };
            later(late / 2);
            assert!(woken(&world).await.is_empty(), "{case}: not before its time");
            later(late);
            assert_eq!(woken(&world).await, [node.to_string()], "{case}");
            assert!(woken(&world).await.is_empty(), "{case}: one that is not helped is not woken every minute");
            world.alarm().await;
            let after = world.workspace(&who, view.id).await;
            let expected = match case {
                "idle" | "away" => WorkspaceState::Stopped,
                "kept" => WorkspaceState::Deleting,
                _ => WorkspaceState::Running,
            };
            assert!(after.state == expected || !after.reason.contains("Runs."), "{case}: {after:?}");
            assert_eq!(world.node(&who, node).await.state, NodeState::Ready);
        });
    }
}

/// While its agent is there it ends for want of use, long before its machine; without it, with its machine, of which it is told earlier.
#[test]
fn a_warning_that_is_due_sooner_because_the_agent_went_comes_in_time() {
    run(async {
        let mut world = World::new();
        world.settings.timing.user_lifetime = 20 * MINUTE;
        let who = world.someone();
        let params = CreateWorkspaceParams { idle_timeout_secs: Some(60), ..CreateWorkspaceParams::default() };
        let view = world.create_with(&who, params, Vec::new()).await.unwrap();
        world.until_running(&who, view.id).await;
        let now = world.p.now.get();
        let lease = Some(now + 12 * MINUTE);
        let activity = Activity { at: now, cause: ActivityCause::Process, lease_ends_at: lease };
        world.say(view.node.id, AgentMessage::Activity { workspace_id: view.id, activity }).await;
        // An alarm in between is set anew for what is ahead of one whose agent is there.
        world.p.wake(view.node.id, now).await.unwrap();
        pass(&world, MINUTE).await;
        goes(&world, view.node.id).await;
        pass(&world, 9 * MINUTE).await;
        let warned = "SELECT COUNT(*) FROM events WHERE kind = 'ending_soon'";
        assert_eq!(world.p.db.count(warned), 1, "ten minutes before its machine ends");
    });
}
