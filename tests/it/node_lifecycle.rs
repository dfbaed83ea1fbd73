//! Nodes and workspaces from the first request to the last machine, over SQLite and a cloud in memory.

use std::time::Duration;

use ringfence::app::delete_node::delete_node;
use ringfence::app::delete_workspace::delete_workspace;
use ringfence::app::node_policy::set_policy;
use ringfence::app::read;
use ringfence::app::set_running::{start_workspace, stop_workspace};
use ringfence::app::workspace_token::{Standing, still_stands};
use ringfence::ports::{Clock, Entropy};
use ringfence_protocol::claims::WorkspaceClaims;
use ringfence_protocol::params::{EventsParams, ListParams};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::{Isolation, NodePolicy, NodeState, Permission, WorkspaceState};

use crate::support::world::{World, run};

#[test]
fn a_workspace_runs_on_a_new_machine_and_leaves_nothing_behind() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        assert_eq!(created.state, WorkspaceState::Requested);
        assert_eq!(created.node.state, NodeState::Requested);
        assert_eq!((created.node.size.as_str(), created.node.region.as_str()), ("cx23", "fsn1"));
        assert!(world.cloud.is_empty(), "a request never calls the provider");

        world.until_running(&who, created.id).await;
        assert_eq!(world.cloud.creates.get(), 1);
        let node = world.node(&who, created.node.id).await;
        assert_eq!(node.workspaces, [created.id]);

        let deleted = delete_workspace(&world.p, &world.settings, &who.actor, created.id, vec![]).await.unwrap();
        assert_eq!(deleted.state, WorkspaceState::Deleting);
        world.until("it is gone", async || world.workspace(&who, created.id).await.state == WorkspaceState::Gone).await;
        let warm = world.node(&who, node.id).await;
        assert_eq!(warm.state, NodeState::Ready);

        world.until_quiet().await;
        let gone = world.node(&who, node.id).await;
        assert_eq!((gone.state, gone.failure.as_deref()), (NodeState::Gone, Some("idle")));
        assert!(world.cloud.is_empty());
        world.assert_rules();
    });
}

#[test]
fn the_second_workspace_takes_a_warm_node_and_an_early_alarm_changes_nothing() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let first = world.create(&who).await.unwrap();
        world.until_running(&who, first.id).await;
        delete_workspace(&world.p, &world.settings, &who.actor, first.id, vec![]).await.unwrap();
        world.until("it is warm", async || world.node(&who, first.node.id).await.warm_since_at.is_some()).await;

        // An alarm may fire early: the node stays warm.
        let before = world.node(&who, first.node.id).await;
        world.p.alarms.borrow_mut().insert(first.node.id, world.p.now.get());
        world.alarm().await;
        assert_eq!(world.node(&who, first.node.id).await.row_version, before.row_version);

        let second = world.create(&who).await.unwrap();
        assert_eq!(second.node.id, first.node.id);
        assert!(second.placement_explanation.contains("was warm"), "{}", second.placement_explanation);
        assert!(world.node(&who, first.node.id).await.warm_since_at.is_none());
        world.until_running(&who, second.id).await;
        assert_eq!(world.cloud.creates.get(), 1);
    });
}

#[test]
fn a_node_takes_three_workspaces_and_the_fourth_gets_another() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let first = world.create(&who).await.unwrap();
        world.until_running(&who, first.id).await;
        for _ in 0..2 {
            assert_eq!(world.create(&who).await.unwrap().node.id, first.node.id);
        }
        let fourth = world.create(&who).await.unwrap();
        assert_ne!(fourth.node.id, first.node.id);
        assert!(fourth.placement_explanation.contains("full"), "{}", fourth.placement_explanation);
        world.assert_rules();
    });
}

#[test]
fn an_ephemeral_node_is_destroyed_with_its_workspace() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create_isolated(&who, Isolation::Ephemeral).await.unwrap();
        world.until_running(&who, created.id).await;
        assert_ne!(world.create_isolated(&who, Isolation::Ephemeral).await.unwrap().node.id, created.node.id);
        let at = world.p.now.get();
        delete_workspace(&world.p, &world.settings, &who.actor, created.id, vec![]).await.unwrap();
        world.until_node_gone(&who, created.node.id).await;
        assert!(world.p.now.get().since(at) < Duration::from_secs(60));
        assert!(!world.cloud.has_machine_of(created.node.id));
    });
}

#[test]
fn nobody_outlives_the_hard_deadline() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create_isolated(&who, Isolation::Ephemeral).await.unwrap();
        world.until_running(&who, created.id).await;
        world.until_quiet().await;
        let (node, workspace) = (world.node(&who, created.node.id).await, world.workspace(&who, created.id).await);
        assert_eq!((node.state, node.failure.as_deref()), (NodeState::Gone, Some("lifetime_over")));
        assert_eq!((workspace.state, workspace.failure.as_deref()), (WorkspaceState::Failed, Some("lifetime_over")));
        assert!(world.cloud.is_empty());
    });
}

#[test]
fn stop_and_start_are_confirmed_by_the_agent_and_repeats_succeed() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let id = world.create(&who).await.unwrap().id;
        let early = stop_workspace(&world.p, &world.settings, &who.actor, id, vec![]).await.unwrap_err();
        assert_eq!(early.code, ErrorCode::Conflict);
        world.until_running(&who, id).await;
        for _ in 0..2 {
            stop_workspace(&world.p, &world.settings, &who.actor, id, vec![]).await.unwrap();
        }
        let state = async |state| world.workspace(&who, id).await.state == state;
        world.until("it stops", async || state(WorkspaceState::Stopped).await).await;
        start_workspace(&world.p, &world.settings, &who.actor, id, vec![]).await.unwrap();
        world.until("it runs again", async || state(WorkspaceState::Running).await).await;
        assert_eq!(world.workspace(&who, id).await.spec_generation, 3);
    });
}

#[test]
fn a_machine_whose_agent_never_comes_fails_and_goes() {
    run(async {
        let world = World::new();
        world.machines_boot.set(false);
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_quiet().await;
        let (node, workspace) = (world.node(&who, created.node.id).await, world.workspace(&who, created.id).await);
        assert_eq!((node.state, node.failure.as_deref()), (NodeState::Gone, Some("boot_timeout")));
        assert_eq!((workspace.state, workspace.failure.as_deref()), (WorkspaceState::Failed, Some("boot_timeout")));
        assert!(world.cloud.is_empty());
        let deleted = delete_workspace(&world.p, &world.settings, &who.actor, created.id, vec![]).await.unwrap();
        assert_eq!(deleted.state, WorkspaceState::Gone);
    });
}

#[test]
fn an_agent_that_cannot_make_a_workspace_gives_its_place_back() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.agents.borrow_mut().entry(created.node.id).or_default().clumsy = true;
        world.until("it fails", async || world.workspace(&who, created.id).await.state == WorkspaceState::Failed).await;
        world.until("its place is free", async || world.node(&who, created.node.id).await.workspaces.is_empty()).await;
    });
}

#[test]
fn a_workspace_that_the_agent_lost_is_made_again_and_a_stray_one_is_removed() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        let node = created.node.id;
        world.until_running(&who, created.id).await;
        {
            let mut agents = world.agents.borrow_mut();
            let agent = agents.get_mut(&node).unwrap();
            agent.workspaces.clear();
            let stray = ringfence::ports::Entropy::id(&world.p);
            agent.workspaces.insert(stray, (4, ringfence_protocol::link::WorkspacePhase::Running));
        }
        world.connect(node).await;
        let agents = world.agents.borrow();
        assert_eq!(agents[&node].workspaces.keys().copied().collect::<Vec<_>>(), [created.id]);
    });
}

#[test]
fn an_agent_that_never_answers_cannot_hold_a_workspace_that_is_to_go() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        world.agents.borrow_mut().get_mut(&created.node.id).unwrap().mute = true;
        delete_workspace(&world.p, &world.settings, &who.actor, created.id, vec![]).await.unwrap();
        world
            .until("it is gone all the same", async || {
                world.workspace(&who, created.id).await.state == WorkspaceState::Gone
            })
            .await;
    });
}

#[test]
fn no_terminal_opens_in_a_workspace_that_is_being_deleted() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        world.agents.borrow_mut().get_mut(&created.node.id).unwrap().mute = true;
        let (user, sid, ends_at) = (who.actor.user_id, who.actor.grant, world.p.now() + Duration::from_secs(3600));
        world
            .p
            .db
            .execute(&format!("INSERT INTO sessions VALUES ('{sid}', '{user}', 0, {}, '', '', NULL)", ends_at.get()))
            .unwrap();
        let jti = world.p.id();
        let (workspace, node) = (created.id, created.node.id);
        let claims = WorkspaceClaims { jti, user, workspace, node, permissions: vec![Permission::TerminalRead], sid };
        let standing = async || still_stands(&world.p, &claims).await.unwrap();
        assert_eq!(standing().await, Some(Standing { ends_at, is_ending: false }));
        delete_node(&world.p, &world.settings, &who.actor, node, vec![]).await.unwrap();
        assert_eq!(standing().await, Some(Standing { ends_at, is_ending: true }));
    });
}

#[test]
fn other_peoples_things_do_not_exist() {
    run(async {
        let world = World::new();
        let (owner, stranger) = (world.someone(), world.someone());
        let created = world.create(&owner).await.unwrap();
        let (p, settings, actor) = (&world.p, &world.settings, &stranger.actor);
        let (workspace, node) = (created.id, created.node.id);
        let answers = [
            read::workspace(p, actor, workspace).await.err(),
            read::node(p, actor, node).await.err(),
            delete_workspace(p, settings, actor, workspace, vec![]).await.err(),
            stop_workspace(p, settings, actor, workspace, vec![]).await.err(),
            delete_node(p, settings, actor, node, vec![]).await.err(),
        ];
        for answer in answers {
            assert_eq!(answer.unwrap().code, ErrorCode::NotFound);
        }
        assert!(read::workspaces(p, actor, &Default::default()).await.unwrap().items.is_empty());
        assert!(read::nodes(p, actor, &Default::default()).await.unwrap().items.is_empty());
        let params = EventsParams { node_id: Some(node), ..EventsParams::default() };
        assert!(read::events(p, actor, &params).await.unwrap().items.is_empty());
        assert_eq!(world.workspace(&owner, workspace).await.row_version, created.row_version);
    });
}

#[test]
fn lists_go_page_by_page_and_events_follow_one_another() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let mut made = Vec::new();
        for _ in 0..5 {
            made.push(world.create(&who).await.unwrap().id);
        }
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let params = ListParams { limit: Some(2), cursor };
            let page = read::workspaces(&world.p, &who.actor, &params).await.unwrap();
            assert!(page.items.len() <= 2);
            seen.extend(page.items.iter().map(|item| item.id));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let page = read::nodes(&world.p, &who.actor, &ListParams { limit: Some(4), cursor: None }).await.unwrap();
        let rest = read::nodes(&world.p, &who.actor, &ListParams { limit: Some(4), cursor: page.next_cursor }).await;
        assert_eq!((page.items.len(), rest.unwrap().items.len()), (4, 1));
        made.sort();
        seen.sort();
        assert_eq!(seen, made);

        let start = read::events(&world.p, &who.actor, &Default::default()).await.unwrap();
        assert!(start.items.windows(2).all(|pair| pair[0].id < pair[1].id));
        world.until_running(&who, made[0]).await;
        let params = EventsParams { after: Some(start.last_id), ..Default::default() };
        let later = read::events(&world.p, &who.actor, &params).await.unwrap();
        assert!(!later.items.is_empty() && later.items[0].id > start.last_id);
    });
}

#[test]
fn a_warm_node_is_kept_until_just_before_its_next_paid_hour_where_that_is_wanted() {
    for (minutes, keeps, expected) in [(5, false, 35), (5, true, 58), (20, true, 58), (29, true, 59), (40, true, 118)] {
        run(async {
            let mut world = World::new();
            world.settings.keep_paid_hours = keeps;
            let who = world.someone();
            let begin = world.p.now();
            let created = world.create(&who).await.unwrap();
            world.until_running(&who, created.id).await;
            world.p.now.set(begin + Duration::from_secs(minutes * 60));
            delete_workspace(&world.p, &world.settings, &who.actor, created.id, vec![]).await.unwrap();
            let node = created.node.id;
            world.until("it is warm", async || world.node(&who, node).await.warm_since_at.is_some()).await;
            let deadline = world.node(&who, node).await.deadline_at.unwrap();
            // Whole minutes: some seconds have passed.
            let kept = deadline.since(begin).as_secs() / 60;
            assert_eq!(kept, expected, "emptied after {minutes} minutes, {keeps}");
            if keeps {
                let life = ringfence::app::lifecycle::of_node(&world.p, &world.settings.timing, &who.actor, node)
                    .await
                    .unwrap();
                assert!(life.alive.unwrap().because.contains("is paid"), "it says so");
            }
            world.until_node_gone(&who, node).await;
            assert!(world.p.now().since(begin).as_secs() / 60 <= expected + 1);
        });
    }
}

#[test]
fn what_a_request_finds_to_be_late_is_given_up_by_the_alarm_which_tells_the_agent() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let deleted = world.create(&who).await.unwrap();
        world.until_running(&who, deleted.id).await;
        let node = deleted.node.id;
        world.agents.borrow_mut().get_mut(&node).unwrap().mute = true;
        delete_workspace(&world.p, &world.settings, &who.actor, deleted.id, vec![]).await.unwrap();
        world.alarm().await;
        world.p.now.set(world.p.now() + Duration::from_secs(600));
        world.agents.borrow_mut().get_mut(&node).unwrap().mute = false;
        set_policy(&world.p, &world.settings, &who.actor, node, NodePolicy::Cordoned, vec![]).await.unwrap();
        assert_eq!(world.workspace(&who, deleted.id).await.state, WorkspaceState::Deleting);
        world.alarm().await;
        assert_eq!(world.workspace(&who, deleted.id).await.state, WorkspaceState::Gone);
        assert!(world.agents.borrow()[&node].workspaces.is_empty(), "its agent was told");
    });
}
