//! What is said of a node's or workspace's life is what comes true, and stays readable when it is over.

use std::time::Duration;

use ringfence::app::agent_report::key_conflict;
use ringfence::app::delete_node::delete_node;
use ringfence::app::delete_workspace::delete_workspace;
use ringfence::app::lifecycle::{of_node, of_workspace};
use ringfence::app::read;
use ringfence::app::set_running::{start_workspace, stop_workspace};
use ringfence::app::sweep::{Mode, all};
use ringfence::ports::Clock;
use ringfence_protocol::ids::{NodeId, WorkspaceId};
use ringfence_protocol::lifecycle::LifecycleView;
use ringfence_protocol::params::{EventsParams, ListParams};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::{Isolation, WorkspaceState};

use crate::support::accounts::Open;
use crate::support::keys::config;
use crate::support::world::{Someone, World, run};

async fn life(world: &World, who: &Someone, id: NodeId) -> LifecycleView {
    of_node(&world.p, &world.settings.timing, &who.actor, id).await.unwrap()
}

async fn life_of(world: &World, who: &Someone, id: WorkspaceId) -> LifecycleView {
    of_workspace(&world.p, &world.settings.timing, &who.actor, id).await.unwrap()
}

fn states(view: &LifecycleView) -> Vec<&str> {
    view.transitions.iter().map(|transition| transition.state.as_str()).collect()
}

fn euros(view: &LifecycleView) -> f64 {
    view.cost_so_far.amount.parse().unwrap()
}

/// Lets time pass until what was said is to come, and sees that it has come and not before.
async fn comes_true(world: &World, who: &Someone, node: NodeId, what: &str) {
    let said = life(world, who, node).await;
    let next = said.next.unwrap_or_else(|| panic!("{what}: nothing is said to follow"));
    world.run_until_time(next.at - Duration::from_secs(1)).await;
    assert_eq!(life(world, who, node).await.state, said.state, "{what}: not before");
    world.run_until_time(next.at + Duration::from_secs(1)).await;
    let after = life(world, who, node).await;
    assert!(states(&after).contains(&next.state.as_str()), "{what}: {} by {:?}", next.state, states(&after));
    assert!(after.transitions.iter().all(|transition| !transition.cause.is_empty()), "{what}");
}

#[test]
fn what_is_said_to_follow_follows_when_it_is_said_to() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let node = created.node.id;
        delete_workspace(&world.p, &world.settings, &who.actor, created.id, vec![]).await.unwrap();
        world.until("it is warm", async || world.node(&who, node).await.warm_since_at.is_some()).await;
        let warm = life(&world, &who, node).await;
        let alive = warm.alive.as_ref().unwrap();
        assert!(alive.because.contains("kept for your next workspace"), "{}", alive.because);
        assert_eq!(alive.until_at, warm.next.as_ref().map(|next| next.at));
        comes_true(&world, &who, node, "a warm node").await;
    });
    run(async {
        let world = World::new();
        let who = world.someone();
        let node = world.create_isolated(&who, Isolation::Ephemeral).await.unwrap().node.id;
        world.run_until_time(world.p.now() + Duration::from_secs(60)).await;
        comes_true(&world, &who, node, "a node with a workspace, at its longest life").await;
    });
    run(async {
        let world = World::new();
        world.machines_boot.set(false);
        let who = world.someone();
        let node = world.create(&who).await.unwrap().node.id;
        world.alarm().await;
        comes_true(&world, &who, node, "a machine that never boots").await;
    });
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        key_conflict(&world.p, &world.settings, created.node.id).await.unwrap();
        comes_true(&world, &who, created.node.id, "a quarantined node").await;
    });
}

#[test]
fn a_running_workspace_says_why_until_when_and_what_it_costs() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        let asked = life_of(&world, &who, created.id).await;
        assert_eq!((asked.state.as_str(), asked.cost_so_far.amount.as_str()), ("requested", "0.00"));
        world.until_running(&who, created.id).await;
        let before = life_of(&world, &who, created.id).await;
        assert!(before.alive.as_ref().unwrap().because.starts_with("because "), "{before:?}");
        assert_eq!(states(&before).last(), Some(&"running"));
        assert_eq!(before.price_per_hour.amount, "0.0066");
        assert_eq!((before.workspaces_on_node, before.readable_until_at), (1, None));
        assert_eq!(before.hard_limit_at, Some(world.node(&who, created.node.id).await.hard_deadline_at));
        assert!(before.next.as_ref().unwrap().at <= before.hard_limit_at.unwrap());
        world.p.now.set(world.p.now() + Duration::from_secs(3600));
        let after = life_of(&world, &who, created.id).await;
        let hour = euros(&after) - euros(&before);
        assert!((0.0065..=0.0067).contains(&hour), "{hour}");
    });
}

#[test]
fn every_transition_says_who_or_what_was_its_cause() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let is = async |state| world.workspace(&who, created.id).await.state == state;
        let (p, settings, actor) = (&world.p, &world.settings, &who.actor);
        stop_workspace(p, settings, actor, created.id, vec![]).await.unwrap();
        world.until("it is stopped", async || is(WorkspaceState::Stopped).await).await;
        start_workspace(p, settings, actor, created.id, vec![]).await.unwrap();
        world.until("it runs again", async || is(WorkspaceState::Running).await).await;
        delete_workspace(&world.p, &world.settings, &who.actor, created.id, vec![]).await.unwrap();
        world.until("it is gone", async || is(WorkspaceState::Gone).await).await;
        let ended = life_of(&world, &who, created.id).await;
        assert_eq!(ended.reason, "Nothing of it is left. Its owner deleted it.");
        let causes: Vec<(&str, &str)> =
            ended.transitions.iter().map(|transition| (transition.state.as_str(), transition.cause.as_str())).collect();
        for expected in [
            ("stopped", "Does not run; its files are kept. Its owner stopped it."),
            ("running", "Runs. Its owner started it."),
            ("deleting", "Is being removed from its node. Its owner deleted it."),
        ] {
            assert!(causes.contains(&expected), "{expected:?} in {causes:?}");
        }
        // The node's: it waits, and is taken again.
        world.until("it waits", async || world.node(&who, created.node.id).await.warm_since_at.is_some()).await;
        let second = world.create(&who).await.unwrap();
        assert_eq!(second.node.id, created.node.id);
        let node = life(&world, &who, created.node.id).await;
        let causes: Vec<&str> = node.transitions.iter().map(|transition| transition.cause.as_str()).collect();
        let [.., waits, taken] = causes.as_slice() else { panic!("{causes:?}") };
        assert!(
            waits.contains("waits for the next one") && taken.contains("A workspace was placed on it"),
            "{causes:?}"
        );
    });
}

#[test]
fn what_is_gone_can_be_read_with_its_reason_for_thirty_days() {
    run(async {
        let world = World::new();
        let (who, stranger) = (world.someone(), world.someone());
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let (node, workspace) = (created.node.id, created.id);
        delete_node(&world.p, &world.settings, &who.actor, node, vec![]).await.unwrap();
        world.until_node_gone(&who, node).await;
        world.until("it is gone", async || world.workspace(&who, workspace).await.state == WorkspaceState::Gone).await;
        let end = world.p.now();
        world.p.now.set(end + Duration::from_secs(29 * 24 * 3600));
        all(&world.p, &config(&[]).map_err(|error| error.0).unwrap(), &Open(&world.cloud), Mode::Act).await;

        let gone = life(&world, &who, node).await;
        assert_eq!((gone.state.as_str(), gone.alive, gone.next, gone.hard_limit_at), ("gone", None, None, None));
        assert!(gone.reason.contains("owner deleted it"), "{}", gone.reason);
        assert_eq!(gone.price_per_hour.amount, "0.00");
        assert!(gone.readable_until_at.unwrap() > world.p.now());
        let history: Vec<&str> = gone.transitions.iter().map(|transition| transition.state.as_str()).collect();
        assert_eq!(history, ["requested", "provisioning", "booting", "ready", "destroying", "gone"]);
        let cost = gone.cost_so_far;
        let causes: Vec<&str> = gone.transitions.iter().map(|transition| transition.cause.as_str()).collect();
        assert!(causes.last().is_some_and(|cause| cause.contains("owner deleted it")), "{causes:?}");
        let ended = life_of(&world, &who, workspace).await;
        assert_eq!((ended.state.as_str(), ended.alive.is_none()), ("gone", true));
        assert_eq!(states(&ended).last(), Some(&"gone"));
        world.p.now.set(world.p.now() + Duration::from_secs(3600));
        assert_eq!(life(&world, &who, node).await.cost_so_far, cost, "what is gone costs nothing more");

        for refused in [
            of_node(&world.p, &world.settings.timing, &stranger.actor, node).await.unwrap_err(),
            of_workspace(&world.p, &world.settings.timing, &stranger.actor, workspace).await.unwrap_err(),
        ] {
            assert_eq!(refused.code, ErrorCode::NotFound);
        }
    });
}

#[test]
fn what_is_gone_is_listed_for_its_owner_what_ended_last_first_and_page_by_page() {
    run(async {
        let world = World::new();
        let (who, stranger) = (world.someone(), world.someone());
        let mut made = Vec::new();
        for _ in 0..3 {
            made.push(world.create_isolated(&who, Isolation::Ephemeral).await.unwrap());
        }
        let kept = world.create(&who).await.unwrap();
        for created in &made {
            world.until_running(&who, created.id).await;
        }
        // Not in the order in which they were made.
        let order = [made[1].clone(), made[2].clone(), made[0].clone()];
        for created in &order {
            delete_node(&world.p, &world.settings, &who.actor, created.node.id, vec![]).await.unwrap();
            world.until_node_gone(&who, created.node.id).await;
        }
        let (mut workspaces, mut nodes) = (Vec::new(), Vec::new());
        let mut page = ListParams { limit: Some(2), cursor: None };
        loop {
            let part = read::ended_workspaces(&world.p, &who.actor, &page).await.unwrap();
            assert!(part.items.iter().all(|one| one.state == WorkspaceState::Gone && !one.reason.is_empty()));
            workspaces.extend(part.items.into_iter().map(|one| one.id));
            page.cursor = part.next_cursor;
            if page.cursor.is_none() {
                break;
            }
        }
        loop {
            let part = read::ended_nodes(&world.p, &who.actor, &page).await.unwrap();
            assert!(part.items.iter().all(|one| one.reason.contains("owner deleted it")));
            nodes.extend(part.items.into_iter().map(|one| one.id));
            page.cursor = part.next_cursor;
            if page.cursor.is_none() {
                break;
            }
        }
        let newest: Vec<_> = order.iter().rev().collect();
        assert_eq!(nodes, newest.iter().map(|one| one.node.id).collect::<Vec<_>>());
        assert_eq!(workspaces, newest.iter().map(|one| one.id).collect::<Vec<_>>());
        let there = read::nodes(&world.p, &who.actor, &ListParams::default()).await.unwrap().items;
        assert_eq!(there.iter().map(|one| one.id).collect::<Vec<_>>(), [kept.node.id]);
        assert_eq!(read::ended_nodes(&world.p, &stranger.actor, &ListParams::default()).await.unwrap().items, []);
        assert_eq!(read::ended_workspaces(&world.p, &stranger.actor, &ListParams::default()).await.unwrap().items, []);
    });
}

#[test]
fn events_are_read_back_in_time_whoever_elses_lie_between() {
    run(async {
        let world = World::new();
        let (who, stranger) = (world.someone(), world.someone());
        for _ in 0..2 {
            // Events of both, in turns.
            for someone in [&who, &stranger] {
                let created = world.create_isolated(someone, Isolation::Ephemeral).await.unwrap();
                world.until_running(someone, created.id).await;
            }
        }
        let ask = async |someone: &Someone, params: EventsParams| {
            let view = read::events(&world.p, &someone.actor, &params).await.unwrap();
            view.items.into_iter().map(|event| event.id).collect::<Vec<_>>()
        };
        let all = ask(&who, EventsParams { after: Some(0), ..EventsParams::default() }).await;
        assert!(all.len() > 10 && all.is_sorted(), "{all:?}");
        let (mut read_back, mut before) = (Vec::new(), None);
        loop {
            let part = ask(&who, EventsParams { before, limit: Some(4), ..EventsParams::default() }).await;
            let Some(oldest) = part.first() else { break };
            assert!(part.len() == 4 || *oldest == all[0], "a page that is not full is the last");
            before = Some(*oldest);
            read_back = [part, read_back].concat();
        }
        assert_eq!(read_back, all);
        let node = world.node_ids()[0];
        let of_node = ask(&who, EventsParams { before: Some(1 << 50), node_id: Some(node), ..EventsParams::default() });
        let of_node = of_node.await;
        assert!(!of_node.is_empty() && of_node.len() < all.len() && of_node.iter().all(|id| all.contains(id)));
        for (before, after) in [(Some(1), Some(1)), (Some(-1), None), (Some(1 << 54), None)] {
            let params = EventsParams { before, after, ..EventsParams::default() };
            let refused = read::events(&world.p, &who.actor, &params).await.unwrap_err();
            assert_eq!(refused.code, ErrorCode::InvalidParameter);
        }
    });
}

#[test]
fn a_workspace_that_failed_costs_nothing_until_its_row_is_deleted() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let kept = world.create(&who).await.unwrap();
        world.until_running(&who, kept.id).await;
        world.agents.borrow_mut().get_mut(&kept.node.id).unwrap().clumsy = true;
        let failed = world.create(&who).await.unwrap();
        let state = async || world.workspace(&who, failed.id).await.state;
        world.until("it has failed", async || state().await == WorkspaceState::Failed).await;
        assert_eq!(failed.node.id, kept.node.id);
        let cost = life_of(&world, &who, failed.id).await.cost_so_far;
        world.p.now.set(world.p.now() + Duration::from_secs(5 * 3600));
        assert_eq!(life_of(&world, &who, failed.id).await.cost_so_far, cost);
        delete_workspace(&world.p, &world.settings, &who.actor, failed.id, vec![]).await.unwrap();
        assert_eq!(state().await, WorkspaceState::Gone);
        assert_eq!(life_of(&world, &who, failed.id).await.cost_so_far, cost);
    });
}

#[test]
fn a_workspace_waits_for_its_node_for_as_long_as_that_may_take() {
    let timing = config(&[("RINGFENCE_BOOTING_SECS", "1800")]).map_err(|error| error.0).unwrap().settings.timing;
    assert!(timing.placing > timing.requested + timing.provisioning + timing.booting, "{timing:?}");
}
