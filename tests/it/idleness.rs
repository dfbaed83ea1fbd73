//! Workspaces that nobody uses are warned of, stopped, kept for a while and deleted; use and their owner's wish prevent it, and
//! nothing else does.

use std::time::Duration;

use ringfence::app::delete_node::delete_node;
use ringfence::app::keep_alive::keep_alive;
use ringfence::app::set_running::stop_workspace;
use ringfence::domain::patience::PatienceLimits;
use ringfence::ports::Db as _;
use ringfence::store::{one, versions, workspaces};
use ringfence_protocol::ids::{NodeId, WorkspaceId};
use ringfence_protocol::link::{Activity, AgentMessage, Facts};
use ringfence_protocol::params::{CreateWorkspaceParams, EventsParams, KeepAliveParams};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::{ActivityCause, EndingCause, Isolation, NodeState, SaveOutcome, WorkspaceState};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::{EventKind, WorkspaceView};

use crate::support::world::{Someone, World, run};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// How long a sign of use may be on its way: so much later than was said it is stopped.
const SLACK: Duration = Duration::from_secs(10);

/// A workspace that runs, whose agent has told that it was started.
async fn in_use(world: &World, who: &Someone, params: CreateWorkspaceParams) -> WorkspaceView {
    let created = world.create_with(who, params, Vec::new()).await.unwrap();
    world.until_running(who, created.id).await;
    used(world, created.node.id, created.id, ActivityCause::Started).await;
    world.workspace(who, created.id).await
}

async fn used(world: &World, node: NodeId, id: WorkspaceId, cause: ActivityCause) {
    used_at(world, node, id, Activity { at: world.p.now.get(), cause, lease_ends_at: None }).await;
}

async fn used_at(world: &World, node: NodeId, workspace_id: WorkspaceId, activity: Activity) {
    world.say(node, AgentMessage::Activity { workspace_id, activity }).await;
}

async fn pass(world: &World, time: Duration) {
    world.run_until_time(world.p.now.get() + time).await;
}

/// The warnings so far: when each was given, and of what.
async fn warnings(world: &World, who: &Someone) -> Vec<(UnixMillis, EndingCause, UnixMillis)> {
    let events = ringfence::app::read::events(&world.p, &who.actor, &EventsParams::default()).await.unwrap();
    let warning = |event: EventKind, at| match event {
        EventKind::EndingSoon { ends_at, cause, .. } => Some((at, cause, ends_at)),
        EventKind::NodeState { .. }
        | EventKind::WorkspaceState { .. }
        | EventKind::BootStep { .. }
        | EventKind::Notice { .. }
        | EventKind::Saved { .. } => None,
    };
    events.items.into_iter().filter_map(|item| warning(item.event, item.at)).collect()
}

fn for_secs(secs: u64) -> KeepAliveParams {
    KeepAliveParams { until_at: None, secs: Some(secs) }
}

#[test]
fn a_workspace_that_nobody_uses_is_warned_of_stopped_kept_and_deleted_and_its_machine_with_it() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let view = in_use(&world, &who, CreateWorkspaceParams::default()).await;
        let idle_at = world.p.now.get() + 30 * MINUTE;
        let ending = view.ending.unwrap();
        assert_eq!((ending.at, ending.cause), (idle_at, EndingCause::Idle));

        world.until("it is stopped", async || state(&world, &who, view.id).await == WorkspaceState::Stopped).await;
        let stopped_at = world.p.now.get();
        assert_eq!(stopped_at, idle_at + SLACK);
        let told =
            [(idle_at - 10 * MINUTE, EndingCause::Idle, idle_at), (idle_at - 2 * MINUTE, EndingCause::Idle, idle_at)];
        assert_eq!(warnings(&world, &who).await, told);
        let stopped = world.workspace(&who, view.id).await;
        assert!(stopped.reason.contains("not used for 30 minutes"), "{}", stopped.reason);
        let taken_back = "SELECT COUNT(*) FROM events WHERE event_json LIKE '%not end so soon%'";
        assert_eq!(world.p.db.count(taken_back), 0, "a warning that has come true is not taken back");
        assert_eq!(stopped.ending.unwrap().cause, EndingCause::KeepOver);

        // Its node and files are kept, for a day, and cost money for all to see.
        pass(&world, 23 * HOUR).await;
        let node = world.node(&who, view.node.id).await;
        assert_eq!((node.state, node.workspaces.len()), (NodeState::Ready, 1));
        assert!(node.cost_so_far.amount.as_str() > "0.1", "{:?}", node.cost_so_far);

        let gone_at = stopped_at + 24 * HOUR;
        world.until("it is gone", async || state(&world, &who, view.id).await == WorkspaceState::Gone).await;
        assert_eq!(world.p.now.get(), gone_at);
        let told = warnings(&world, &who).await.split_off(2);
        let expected = [10 * MINUTE, 2 * MINUTE].map(|lead| (gone_at - lead, EndingCause::KeepOver, gone_at));
        assert_eq!(told, expected);
        assert!(world.workspace(&who, view.id).await.reason.contains("stopped for 1 day"));
        world.until_node_gone(&who, view.node.id).await;
        assert!(world.cloud.is_empty());
        world.assert_history();
    });
}

async fn state(world: &World, who: &Someone, id: WorkspaceId) -> WorkspaceState {
    world.workspace(who, id).await.state
}

#[test]
fn every_kind_of_use_keeps_a_workspace_and_hellos_and_figures_do_not() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let view = in_use(&world, &who, CreateWorkspaceParams::default()).await;
        let node = view.node.id;
        for cause in ActivityCause::ALL {
            pass(&world, 29 * MINUTE).await;
            used(&world, node, view.id, *cause).await;
            let now = world.workspace(&who, view.id).await;
            assert_eq!(now.activity.unwrap().cause, *cause);
            assert_eq!(now.ending.unwrap().at, world.p.now.get() + 30 * MINUTE);
        }
        let idle_at = world.p.now.get() + 30 * MINUTE;
        for _ in 0..29 {
            pass(&world, MINUTE).await;
            world.connect(node).await;
            let measured_at = world.p.now.get();
            let facts = Facts {
                cpu_percent: 99.0,
                memory_percent: 1.0,
                memory_total_bytes: 1,
                disk_percent: 1.0,
                disk_total_bytes: 1,
                measured_at,
            };
            world.say(node, AgentMessage::Facts(facts)).await;
        }
        assert_eq!(world.workspace(&who, view.id).await.ending.unwrap().at, idle_at);
        pass(&world, 2 * MINUTE).await;
        assert_eq!(state(&world, &who, view.id).await, WorkspaceState::Stopped);
    });
}

#[test]
fn use_after_a_warning_takes_it_back_once_and_the_next_end_is_warned_of_anew() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let view = in_use(&world, &who, CreateWorkspaceParams::default()).await;
        pass(&world, 21 * MINUTE).await;
        assert_eq!(warnings(&world, &who).await.len(), 1);
        used(&world, view.node.id, view.id, ActivityCause::TerminalInput).await;
        let taken_back = || world.p.db.count("SELECT COUNT(*) FROM events WHERE event_json LIKE '%not end so soon%'");
        assert_eq!(taken_back(), 1);
        pass(&world, 10 * MINUTE).await;
        assert_eq!((warnings(&world, &who).await.len(), taken_back()), (1, 1));
        pass(&world, 11 * MINUTE).await;
        assert_eq!(warnings(&world, &who).await.len(), 2);
    });
}

#[test]
fn a_stop_for_want_of_use_loses_to_use_that_crosses_it() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let view = in_use(&world, &who, CreateWorkspaceParams::default()).await;
        // What a drive reads just before it decides to stop it, …
        let read: workspaces::WorkspaceRow = one(&world.p, workspaces::load(view.id)).await.unwrap().unwrap();
        // … and the use that comes between its reading and its writing.
        world.p.now.set(world.p.now.get() + 30 * MINUTE);
        used(&world, view.node.id, view.id, ActivityCause::TerminalInput).await;

        let mut stopping = read.workspace();
        stopping.running = false;
        let batch = vec![
            versions::require(&[], &[(view.id, read.row_version)]),
            workspaces::update(view.id, read.row_version, &stopping),
        ];
        world.p.batch(batch).await.unwrap_err();
        // The precondition aside, the change itself looks for what was read.
        world.p.batch(vec![workspaces::update(view.id, read.row_version, &stopping)]).await.unwrap();
        assert_eq!(world.p.db.count("SELECT running FROM workspaces"), 1);
        // The drive reads again, and lets it run.
        world.p.alarms.borrow_mut().insert(view.node.id, world.p.now.get());
        world.alarm().await;
        assert_eq!(state(&world, &who, view.id).await, WorkspaceState::Running);
        assert_eq!(world.p.db.count("SELECT running FROM workspaces"), 1);
    });
}

#[test]
fn a_workspace_whose_agent_never_tells_of_use_is_not_stopped_for_want_of_it() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        pass(&world, 24 * HOUR).await;
        let view = world.workspace(&who, created.id).await;
        assert_eq!(view.state, WorkspaceState::Running);
        assert_eq!(view.ending.unwrap().cause, EndingCause::LifetimeOver);
    });
}

#[test]
fn while_the_link_is_down_nothing_is_idle_and_what_the_next_hello_tells_comes_first() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let view = in_use(&world, &who, CreateWorkspaceParams::default()).await;
        let node = view.node.id;
        world.machines_boot.set(false);
        world.links.borrow_mut().remove(&node);
        ringfence::app::agent_report::link_closed(&world.p, node, world.p.now.get() + MINUTE).await.unwrap();
        pass(&world, HOUR).await;
        assert_eq!(state(&world, &who, view.id).await, WorkspaceState::Running);
        assert_eq!(warnings(&world, &who).await, []);

        // It was used meanwhile.
        let at = world.p.now.get() - 5 * MINUTE;
        let activity = Activity { at, cause: ActivityCause::Process, lease_ends_at: None };
        world.agents.borrow_mut().get_mut(&node).unwrap().uses.insert(view.id, activity);
        world.connect(node).await;
        assert_eq!(state(&world, &who, view.id).await, WorkspaceState::Running);
        world.until("it is stopped", async || state(&world, &who, view.id).await == WorkspaceState::Stopped).await;
        assert_eq!(world.p.now.get(), at + 30 * MINUTE + SLACK);
    });
}

#[test]
fn an_owner_keeps_a_workspace_to_an_end_within_the_ceiling_and_may_take_it_back() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let view = in_use(&world, &who, CreateWorkspaceParams::default()).await;
        let keep = async |params: KeepAliveParams| {
            keep_alive(&world.p, &world.settings, &who.actor, view.id, &params, vec![]).await
        };
        let now = world.p.now.get();
        for (params, code) in [
            (KeepAliveParams::default(), ErrorCode::InvalidBody),
            (KeepAliveParams { until_at: Some(now + HOUR), secs: Some(60) }, ErrorCode::InvalidBody),
            (KeepAliveParams { until_at: Some(now), secs: None }, ErrorCode::InvalidBody),
            (for_secs(24 * 3600 + 1), ErrorCode::CeilingExceeded),
            (for_secs(u64::MAX), ErrorCode::CeilingExceeded),
        ] {
            assert_eq!(keep(params).await.unwrap_err().code, code, "{params:?}");
        }
        assert_eq!(world.workspace(&who, view.id).await.keep_alive_until_at, None);

        let kept = keep(for_secs(5 * 3600)).await.unwrap();
        assert_eq!(kept.keep_alive_until_at, Some(now + 5 * HOUR));
        assert_eq!(kept.ending.unwrap().at, now + 5 * HOUR);
        let again = keep(KeepAliveParams { until_at: Some(now + 5 * HOUR), secs: None }).await.unwrap();
        assert_eq!(again.row_version, kept.row_version, "a repeat changes nothing");
        pass(&world, 4 * HOUR).await;
        assert_eq!(state(&world, &who, view.id).await, WorkspaceState::Running);

        assert_eq!(keep(for_secs(0)).await.unwrap().keep_alive_until_at, None);
        pass(&world, Duration::from_secs(1)).await;
        assert_eq!(state(&world, &who, view.id).await, WorkspaceState::Stopped);

        // A stopped one is kept from being deleted the same way.
        let stopped_at = world.workspace(&who, view.id).await.state_since_at;
        pass(&world, 24 * HOUR - 5 * MINUTE).await;
        keep(for_secs(2 * 3600)).await.unwrap();
        pass(&world, HOUR).await;
        assert_eq!(state(&world, &who, view.id).await, WorkspaceState::Stopped);
        world.until("it is gone", async || state(&world, &who, view.id).await == WorkspaceState::Gone).await;
        assert!(world.p.now.get() > stopped_at + 25 * HOUR);
        assert_eq!(keep(for_secs(60)).await.unwrap_err().code, ErrorCode::Conflict);
    });
}

#[test]
fn short_patience_is_warned_of_at_a_quarter_before_its_end_and_what_may_be_asked_has_bounds() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let asked =
            CreateWorkspaceParams { idle_timeout_secs: Some(40), stop_keep_secs: Some(80), ..Default::default() };
        let view = in_use(&world, &who, asked).await;
        assert_eq!((view.idle_timeout_secs, view.stop_keep_secs), (40, 80));
        let idle_at = world.p.now.get() + Duration::from_secs(40);
        world.until("it is gone", async || state(&world, &who, view.id).await == WorkspaceState::Gone).await;
        let told = warnings(&world, &who).await;
        assert_eq!(told[0], (idle_at - Duration::from_secs(10), EndingCause::Idle, idle_at));
        let gone_at = idle_at + SLACK + Duration::from_secs(80);
        assert_eq!(told[1..], [(gone_at - Duration::from_secs(20), EndingCause::KeepOver, gone_at)]);
    });
    let limits = PatienceLimits::default();
    for (idle, keep) in [(Some(4), None), (Some(86_401), None), (None, Some(0)), (None, Some(7 * 86_400 + 1))] {
        limits.ask(idle, keep).unwrap_err();
    }
}

#[test]
fn a_stop_that_no_agent_confirms_counts_as_done_in_the_end_and_is_put_right_when_the_agent_is_back() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let view = in_use(&world, &who, CreateWorkspaceParams::default()).await;
        world.agents.borrow_mut().get_mut(&view.node.id).unwrap().mute = true;
        stop_workspace(&world.p, &world.settings, &who.actor, view.id, vec![]).await.unwrap();
        let asked_at = world.p.now.get();
        world
            .until("it counts as stopped", async || state(&world, &who, view.id).await == WorkspaceState::Stopped)
            .await;
        assert!(world.p.now.get() >= asked_at + 10 * MINUTE);
        assert!(world.workspace(&who, view.id).await.reason.contains("does not confirm"));

        // The agent has it still running: it is told to stop, and does.
        world.agents.borrow_mut().get_mut(&view.node.id).unwrap().mute = false;
        world.connect(view.node.id).await;
        let phase = world.agents.borrow()[&view.node.id].workspaces[&view.id].1;
        assert_eq!(phase, ringfence_protocol::link::WorkspacePhase::Stopped);
        assert_eq!(state(&world, &who, view.id).await, WorkspaceState::Stopped);
    });
}

#[test]
fn neither_a_lease_nor_a_clock_that_is_ahead_keeps_a_workspace_for_long() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let view = in_use(&world, &who, CreateWorkspaceParams::default()).await;
        pass(&world, MINUTE).await;
        let (now, year) = (world.p.now.get(), 365 * 24 * HOUR);
        let cause = ActivityCause::Assistant;
        used_at(&world, view.node.id, view.id, Activity { at: now, cause, lease_ends_at: Some(now + year) }).await;
        let leased = world.workspace(&who, view.id).await.ending.unwrap().at;
        assert_eq!(leased, now + 10 * MINUTE + 30 * MINUTE);
        used_at(&world, view.node.id, view.id, Activity { at: now + year, cause, lease_ends_at: None }).await;
        assert_eq!(world.workspace(&who, view.id).await.ending.unwrap().at, leased);
    });
}

#[test]
fn the_end_of_a_nodes_longest_life_is_warned_of_whatever_is_used_or_wished() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let asked = CreateWorkspaceParams { isolation: Some(Isolation::Ephemeral), ..Default::default() };
        let view = in_use(&world, &who, asked).await;
        let ends_at = world.node(&who, view.node.id).await.hard_deadline_at;
        keep_alive(&world.p, &world.settings, &who.actor, view.id, &for_secs(10 * 3600), vec![]).await.unwrap();
        let ending = world.workspace(&who, view.id).await.ending.unwrap();
        assert_eq!((ending.at, ending.cause), (ends_at, EndingCause::LifetimeOver));
        for _ in 0..56 {
            pass(&world, MINUTE).await;
            used(&world, view.node.id, view.id, ActivityCause::Process).await;
        }
        world.until_node_gone(&who, view.node.id).await;
        let expected = [10 * MINUTE, 2 * MINUTE].map(|lead| (ends_at - lead, EndingCause::LifetimeOver, ends_at));
        assert_eq!(warnings(&world, &who).await, expected);
    });
}

#[test]
fn use_in_the_last_moment_counts_though_it_is_told_after_it() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let view = in_use(&world, &who, CreateWorkspaceParams::default()).await;
        let ends_at = view.ending.unwrap().at;
        world.run_until_time(ends_at + Duration::from_secs(4)).await;
        let at = ends_at - Duration::from_secs(3);
        let activity = Activity { at, cause: ActivityCause::TerminalInput, lease_ends_at: None };
        used_at(&world, view.node.id, view.id, activity).await;
        assert_eq!(world.workspace(&who, view.id).await.ending.unwrap().at, at + 30 * MINUTE);
        pass(&world, 29 * MINUTE).await;
        assert_eq!(state(&world, &who, view.id).await, WorkspaceState::Running);
    });
}

/// An ephemeral workspace that was warned of for want of use, and is used with its longest life about to end.
#[test]
fn another_end_is_warned_of_anew_and_nothing_is_taken_back_that_comes_sooner() {
    for used_after in [51 * MINUTE, 52 * MINUTE + MINUTE / 2] {
        run(async {
            let world = World::new();
            let who = world.someone();
            let asked = CreateWorkspaceParams { isolation: Some(Isolation::Ephemeral), ..Default::default() };
            let view = in_use(&world, &who, asked).await;
            let ends_at = world.node(&who, view.node.id).await.hard_deadline_at;
            let began = ends_at - HOUR;
            world.run_until_time(began + 24 * MINUTE).await;
            used(&world, view.node.id, view.id, ActivityCause::TerminalInput).await;
            world.run_until_time(began + used_after).await;
            let taken_back =
                || world.p.db.count("SELECT COUNT(*) FROM events WHERE event_json LIKE '%not end so soon%'");
            let before = taken_back();
            assert_eq!(warnings(&world, &who).await.last().unwrap().1, EndingCause::Idle);
            used(&world, view.node.id, view.id, ActivityCause::TerminalInput).await;
            let told: Vec<_> =
                warnings(&world, &who).await.into_iter().skip_while(|told| told.1 == EndingCause::Idle).collect();
            assert_eq!(told, [(began + used_after, EndingCause::LifetimeOver, ends_at)]);
            assert_eq!(taken_back(), before);
            world.until_node_gone(&who, view.node.id).await;
            assert_eq!(
                warnings(&world, &who).await.last().unwrap(),
                &(ends_at - 2 * MINUTE, EndingCause::LifetimeOver, ends_at)
            );
        });
    }
}

#[test]
fn before_a_machine_with_running_workspaces_is_deleted_they_save_and_nobody_waits_for_longer_than_that_takes() {
    for mute in [false, true] {
        run(async {
            let world = World::new();
            let who = world.someone();
            let view = in_use(&world, &who, CreateWorkspaceParams::default()).await;
            let node = view.node.id;
            world.agents.borrow_mut().get_mut(&node).unwrap().mute = mute;
            let asked_at = world.p.now.get();
            delete_node(&world.p, &world.settings, &who.actor, node, vec![]).await.unwrap();
            let deleting = world.node(&who, node).await;
            assert_eq!(deleting.state, NodeState::Destroying);
            assert!(deleting.reason.contains("workspaces save"), "{}", deleting.reason);
            // The link is still up, and what comes of the hooks is recorded.
            let saved = AgentMessage::Saved {
                workspace_id: view.id,
                outcome: SaveOutcome::Failed,
                duration_ms: 7,
                detail: format!("{}no remote\u{1b}", "x".repeat(9_999)),
            };
            world.say(node, saved).await;
            let told = world.p.db.texts("SELECT event_json FROM events WHERE kind = 'saved'");
            assert!(told[0].contains("no remote") && told[0].len() < 2_200, "{told:?}");
            world.until_node_gone(&who, node).await;
            assert!(world.cloud.is_empty());
            let took = world.p.now.get().since(asked_at);
            let patience = Duration::from_secs(75);
            assert!(if mute { took >= patience } else { took < Duration::from_secs(30) }, "{took:?}");
            world.assert_history();
        });
    }
}

#[test]
fn where_nobody_can_save_a_machine_is_deleted_at_once() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let view = in_use(&world, &who, CreateWorkspaceParams::default()).await;
        ringfence::app::agent_report::link_closed(&world.p, view.node.id, world.p.now.get() + MINUTE).await.unwrap();
        let asked_at = world.p.now.get();
        delete_node(&world.p, &world.settings, &who.actor, view.node.id, vec![]).await.unwrap();
        world.until_node_gone(&who, view.node.id).await;
        assert!(world.p.now.get() < asked_at + Duration::from_secs(30));
    });
}

#[test]
fn a_save_step_ends_at_the_deadline_of_its_state_where_that_is_shorter_and_no_alarm_spins() {
    run(async {
        let mut world = World::new();
        world.settings.timing.destroying = Duration::from_secs(20);
        let who = world.someone();
        let view = in_use(&world, &who, CreateWorkspaceParams::default()).await;
        world.agents.borrow_mut().get_mut(&view.node.id).unwrap().mute = true;
        let (asked_at, drives) = (world.p.now.get(), world.drives.get());
        delete_node(&world.p, &world.settings, &who.actor, view.node.id, vec![]).await.unwrap();
        world.until_node_gone(&who, view.node.id).await;
        let took = world.p.now.get().since(asked_at);
        assert!(took >= Duration::from_secs(20) && took < Duration::from_secs(60), "{took:?}");
        assert!(world.drives.get() - drives < 12, "{} drives", world.drives.get() - drives);
    });
}
