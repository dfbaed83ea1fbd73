//! What goes wrong between intent and effect: lost answers, refusals, crashes, DELETE at any moment. At the end there is no
//! machine that nobody knows (I2), and everything has come to its end (I4, I7).

use std::time::Duration;

use ringfence::app::agent_report::key_conflict;
use ringfence::app::delete_node::delete_node;
use ringfence::app::delete_workspace::delete_workspace;
use ringfence::app::drive_node::drive_node;
use ringfence::app::node_policy::set_policy;
use ringfence::app::outcome::Outgoing;
use ringfence::ports::Clock;
use ringfence::provider::ErrorClass;
use ringfence_protocol::link::{AgentMessage, ControlMessage};
use ringfence_protocol::state::{NodePolicy, NodeState, WorkspaceState};

use crate::support::cloud::Fault;
use crate::support::sqlite::Death;
use crate::support::world::{Someone, World, run};

pub async fn delete_all(world: &World, who: &Someone) {
    for node in world.node_ids() {
        delete_node(&world.p, &world.settings, &who.actor, node, vec![]).await.unwrap();
    }
}

/// Everything was deleted and has come to its end, at the provider too.
pub async fn assert_nothing_left(world: &World, context: &str) {
    world.until_quiet().await;
    assert!(world.cloud.is_empty(), "{context}: machines left: {:?}", world.cloud.machines.borrow());
    let left = world.p.db.texts("SELECT id || ' ' || state FROM nodes WHERE state <> 'gone'");
    assert!(left.is_empty(), "{context}: {left:?}");
    let workspaces =
        world.p.db.texts("SELECT id || ' ' || state FROM workspaces WHERE state NOT IN ('gone', 'failed')");
    assert!(workspaces.is_empty(), "{context}: {workspaces:?}");
    assert_eq!(world.p.db.count("SELECT COUNT(*) FROM node_slots"), 0, "{context}: places are still taken");
    world.assert_history();
    world.assert_rules();
}

#[test]
fn a_machine_whose_answer_was_lost_is_adopted_and_never_made_twice() {
    let faults: [&[Fault]; 5] = [
        &[Fault::LostAfter],
        &[Fault::LostBefore],
        // The machine exists, but is not listed yet: the second create call is refused by its name.
        &[Fault::LostAfter, Fault::EmptyList],
        &[Fault::LostBefore, Fault::LostBefore, Fault::LostAfter],
        &[Fault::Refused(ErrorClass::RateLimited), Fault::Refused(ErrorClass::Transient)],
    ];
    for fault in faults {
        run(async {
            let world = World::new();
            let who = world.someone();
            world.cloud.fail_next(fault.iter().copied());
            let created = world.create(&who).await.unwrap();
            world.until_running(&who, created.id).await;
            assert_eq!(world.cloud.machines.borrow().len(), 1, "{fault:?}");
            delete_all(&world, &who).await;
            assert_nothing_left(&world, &format!("{fault:?}")).await;
        });
    }
}

#[test]
fn a_rate_limit_is_honoured() {
    run(async {
        let world = World::new();
        let who = world.someone();
        world.cloud.fail_next([Fault::Refused(ErrorClass::RateLimited)]);
        world.create(&who).await.unwrap();
        world.alarm().await;
        let asked_at = world.p.now();
        world.until("it is asked again", async || world.cloud.calls.get() > 1).await;
        assert!(world.p.now().since(asked_at).as_secs() >= 7);
    });
}

#[test]
fn a_refused_machine_fails_its_workspace_and_the_node_goes_once_the_lists_have_settled() {
    for (class, word) in [
        (ErrorClass::Capacity, "capacity"),
        (ErrorClass::Quota, "quota"),
        (ErrorClass::Auth, "auth"),
        (ErrorClass::Invalid, "invalid"),
    ] {
        run(async {
            let world = World::new();
            let who = world.someone();
            // Of capacity, for whatever else is tried.
            let times = if class == ErrorClass::Capacity { 4 } else { 1 };
            world.cloud.fail_next(std::iter::repeat_n(Fault::Refused(class), times));
            let created = world.create(&who).await.unwrap();
            let begin = world.p.now();
            world.alarm().await;
            let workspace = world.workspace(&who, created.id).await;
            assert_eq!((workspace.state, workspace.failure.as_deref()), (WorkspaceState::Failed, Some(word)));
            world.until_node_gone(&who, created.node.id).await;
            assert!(world.p.now().since(begin) >= world.settings.timing.settle);
        });
    }
}

#[test]
fn a_node_that_was_never_asked_for_is_gone_at_once() {
    run(async {
        let world = World::new();
        let who = world.someone();
        world.create(&who).await.unwrap();
        let begin = world.p.now();
        delete_all(&world, &who).await;
        assert_nothing_left(&world, "never asked for").await;
        assert_eq!(world.p.now(), begin);
        assert_eq!(world.cloud.calls.get(), 0);
    });
}

#[test]
fn a_key_that_works_no_more_leaves_the_node_destroying_and_a_new_one_ends_it() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        world.cloud.fail_next([Fault::Refused(ErrorClass::Auth); 400]);
        delete_all(&world, &who).await;
        world.run_until_time(world.p.now() + std::time::Duration::from_secs(4 * 3600)).await;
        let node = world.node(&who, created.node.id).await;
        assert_eq!(node.state, NodeState::Destroying);
        assert!(node.reason.contains("replace the key"), "{}", node.reason);
        let alerts =
            world.p.db.count("SELECT COUNT(*) FROM events WHERE event_json LIKE '%could not be deleted in time%'");
        assert!((3..=8).contains(&alerts), "{alerts} alerts in four hours");
        world.cloud.faults.borrow_mut().clear();
        assert_nothing_left(&world, "after the key was replaced").await;
    });
}

#[test]
fn lost_answers_of_deletions_end_all_the_same() {
    for faults in [
        vec![Fault::LostAfter],
        vec![Fault::LostBefore],
        vec![Fault::None, Fault::LostBefore],
        vec![Fault::LostBefore, Fault::LostAfter, Fault::Refused(ErrorClass::RateLimited)],
    ] {
        run(async {
            let world = World::new();
            let who = world.someone();
            let created = world.create(&who).await.unwrap();
            world.until_running(&who, created.id).await;
            world.cloud.fail_next(faults.clone());
            delete_all(&world, &who).await;
            assert_nothing_left(&world, &format!("{faults:?}")).await;
        });
    }
}

/// Brings a node into a state in which it rests, with a workspace.
pub async fn node_in(state: NodeState, world: &World, who: &Someone) {
    let created = world.create(who).await.unwrap();
    let node = created.node.id;
    match state {
        NodeState::Requested => {}
        NodeState::Provisioning => {
            world.cloud.fail_next([Fault::LostAfter]);
            world.alarm().await;
        }
        NodeState::Booting => {
            world.machines_boot.set(false);
            world.alarm().await;
        }
        NodeState::Ready => world.until_running(who, created.id).await,
        NodeState::Quarantined => {
            world.until_running(who, created.id).await;
            key_conflict(&world.p, &world.settings, node).await.unwrap();
        }
        NodeState::Failed => {
            // It rests here only if the process dies in between.
            world.until_running(who, created.id).await;
            let sql = "UPDATE nodes SET state = 'failed', failure = 'boot_timeout', row_version = row_version + 1";
            world.p.db.execute(sql).unwrap();
        }
        NodeState::Destroying | NodeState::Gone => {
            world.until_running(who, created.id).await;
            delete_node(&world.p, &world.settings, &who.actor, node, vec![]).await.unwrap();
            if state == NodeState::Gone {
                world.until_node_gone(who, node).await;
            }
        }
    }
    assert_eq!(world.node(who, node).await.state, state);
}

#[test]
fn delete_of_a_node_works_in_every_state_and_again() {
    for state in NodeState::ALL {
        run(async {
            let world = World::new();
            let who = world.someone();
            node_in(*state, &world, &who).await;
            delete_all(&world, &who).await;
            delete_all(&world, &who).await;
            assert_nothing_left(&world, state.as_str()).await;
        });
    }
}

#[test]
fn delete_of_a_workspace_works_in_every_state_of_its_node_and_again() {
    for state in NodeState::ALL {
        run(async {
            let world = World::new();
            let who = world.someone();
            node_in(*state, &world, &who).await;
            let id = world.p.db.texts("SELECT id FROM workspaces")[0].parse().unwrap();
            for _ in 0..2 {
                delete_workspace(&world.p, &world.settings, &who.actor, id, vec![]).await.unwrap();
            }
            world.until("it is gone", async || world.workspace(&who, id).await.state == WorkspaceState::Gone).await;
            world.machines_boot.set(true);
            assert_nothing_left(&world, state.as_str()).await;
        });
    }
}

#[test]
fn delete_while_the_create_call_is_in_flight_leaves_no_machine() {
    for yields in 0..20 {
        for fault in [Fault::None, Fault::LostAfter, Fault::LostBefore] {
            run(async {
                let world = World::new();
                let who = world.someone();
                world.cloud.fail_next([fault]);
                let node = world.create(&who).await.unwrap().node.id;
                let driving = async {
                    let driven = drive_node(&world.p, &world.settings, &&world, node).await.unwrap();
                    world.apply(node, driven).await;
                };
                let deleting = async {
                    for _ in 0..yields {
                        tokio::task::yield_now().await;
                    }
                    delete_node(&world.p, &world.settings, &who.actor, node, vec![]).await.unwrap();
                };
                tokio::join!(driving, deleting);
                assert_nothing_left(&world, &format!("{fault:?} after {yields} steps")).await;
            });
        }
    }
}

#[test]
fn a_crash_at_any_batch_loses_no_machine_and_no_timer() {
    for death in [Death::BeforeCommit, Death::AfterCommit] {
        // Until the whole story is told without the database dying.
        let reached_the_end = (1..80).any(|batches| {
            run(async {
                let context = format!("{death:?} at batch {batches}");
                let world = World::seeded(u64::from(batches));
                let who = world.someone();
                world.die_after(batches, death);
                let created = world.create(&who).await;
                for _ in 0..12 {
                    world.alarm().await;
                }
                if let Ok(created) = &created {
                    let _ = delete_workspace(&world.p, &world.settings, &who.actor, created.id, vec![]).await;
                }
                for _ in 0..4 {
                    world.alarm().await;
                }
                let died = world.p.db.heal();
                // Whatever was written has an alarm: nobody has to come back for it to end.
                for node in world.p.db.texts("SELECT id FROM nodes WHERE state <> 'gone'") {
                    let set = world.p.alarms.borrow().contains_key(&node.parse().unwrap());
                    assert!(set, "{context}: {node} has no alarm");
                }
                delete_all(&world, &who).await;
                assert_nothing_left(&world, &context).await;
                !died
            })
        });
        assert!(reached_the_end, "{death:?}: more batches than were tried");
    }
}

#[test]
fn a_wish_that_was_written_by_a_process_that_died_then_is_not_forgotten() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        // The second batch of a DELETE is its write.
        world.die_after(2, Death::AfterCommit);
        delete_workspace(&world.p, &world.settings, &who.actor, created.id, vec![]).await.unwrap_err();
        assert!(world.p.db.heal());
        assert_eq!(world.workspace(&who, created.id).await.state, WorkspaceState::Deleting);
        let alarm = world.p.alarms.borrow()[&created.node.id];
        assert!(alarm.since(world.p.now()).as_secs() <= 15, "the alarm is armed before the write");
    });
}

#[test]
fn a_quarantine_that_was_written_by_a_process_that_died_then_is_not_forgotten() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        // The second batch is the write.
        world.die_after(2, Death::AfterCommit);
        key_conflict(&world.p, &world.settings, created.node.id).await.unwrap_err();
        assert!(world.p.db.heal());
        assert_eq!(world.node(&who, created.node.id).await.state, NodeState::Quarantined);
        let alarm = world.p.alarms.borrow()[&created.node.id];
        assert!(alarm.since(world.p.now()).as_secs() <= 15, "its object closes the link and the viewers soon");
    });
}

#[test]
fn a_cordoned_node_gets_no_workspace_and_a_drained_one_ends_with_its_last() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        let node = created.node.id;
        world.until_running(&who, created.id).await;
        set_policy(&world.p, &world.settings, &who.actor, node, NodePolicy::Cordoned, vec![]).await.unwrap();
        assert_ne!(world.create(&who).await.unwrap().node.id, node);
        set_policy(&world.p, &world.settings, &who.actor, node, NodePolicy::Schedulable, vec![]).await.unwrap();
        let second = world.create(&who).await.unwrap();
        assert_eq!(second.node.id, node);
        set_policy(&world.p, &world.settings, &who.actor, node, NodePolicy::Draining, vec![]).await.unwrap();
        for id in [created.id, second.id] {
            assert_eq!(world.node(&who, node).await.state, NodeState::Ready);
            delete_workspace(&world.p, &world.settings, &who.actor, id, vec![]).await.unwrap();
        }
        world.until_node_gone(&who, node).await;
        assert_eq!(world.node(&who, node).await.failure.as_deref(), Some("drained"));
    });
}

#[test]
fn a_linked_agent_is_told_to_remove_what_was_given_up_while_the_database_was_away() {
    for a_word_comes_first in [false, true] {
        run(async {
            let world = World::new();
            let who = world.someone();
            // Two, so that the node lives on.
            let kept = world.create(&who).await.unwrap();
            world.until_running(&who, kept.id).await;
            let deleted = world.create(&who).await.unwrap();
            world.until_running(&who, deleted.id).await;
            let node = kept.node.id;
            assert_eq!(deleted.node.id, node);
            let there = || world.agents.borrow()[&node].workspaces.keys().copied().collect::<Vec<_>>();
            assert!(there().contains(&deleted.id));

            delete_workspace(&world.p, &world.settings, &who.actor, deleted.id, vec![]).await.unwrap();
            world.die_after(0, Death::BeforeCommit);
            world.run_until_time(world.p.now() + Duration::from_secs(600)).await;
            world.p.db.heal();
            if a_word_comes_first {
                world.say(node, AgentMessage::Ready).await;
            }
            world
                .until("it is given up", async || world.workspace(&who, deleted.id).await.state == WorkspaceState::Gone)
                .await;
            assert_eq!(there(), [kept.id], "its link was there all the time, and no hello comes to put it right");
        });
    }
}

/// Nobody else would see it: its row is over, and its link was there all the time (seed 2424186).
#[test]
fn what_is_given_up_is_ordered_to_be_removed_also_where_the_answer_of_that_write_is_lost() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let kept = world.create(&who).await.unwrap();
        world.until_running(&who, kept.id).await;
        let deleted = world.create(&who).await.unwrap();
        world.until_running(&who, deleted.id).await;
        delete_workspace(&world.p, &world.settings, &who.actor, deleted.id, vec![]).await.unwrap();
        world.die_after(0, Death::BeforeCommit);
        world.run_until_time(world.p.now() + Duration::from_secs(600)).await;
        world.p.db.heal();
        // The second batch of a drive is its write.
        world.die_after(2, Death::AfterCommit);
        world.alarm().await;
        let there: Vec<_> = world.agents.borrow()[&kept.node.id].workspaces.keys().copied().collect();
        assert!(world.p.db.heal());
        assert_eq!(world.workspace(&who, deleted.id).await.state, WorkspaceState::Gone);
        assert_eq!(there, [kept.id]);
    });
}

/// The plan's rows to write may be spent while it still reads. A drive that can only read has failed: its object tries again
/// less and less often, and destroys by its ticket what is due; what it gives up is ordered to be removed all the same.
#[test]
fn a_drive_that_reads_and_cannot_write_has_failed() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let kept = world.create(&who).await.unwrap();
        world.until_running(&who, kept.id).await;
        let deleted = world.create(&who).await.unwrap();
        world.until_running(&who, deleted.id).await;
        delete_workspace(&world.p, &world.settings, &who.actor, deleted.id, vec![]).await.unwrap();
        world.p.now.set(world.p.now() + Duration::from_secs(3600));
        world.p.db.refuses_writes.set(true);
        let node = kept.node.id;
        let failed = drive_node(&world.p, &world.settings, &&world, node).await.unwrap_err();
        let [Outgoing { message: ControlMessage::RemoveWorkspace { workspace_id, .. }, .. }] = &failed.to_agent[..]
        else {
            panic!("{:?}", failed.to_agent)
        };
        assert_eq!(*workspace_id, deleted.id);
        assert_eq!(world.workspace(&who, deleted.id).await.state, WorkspaceState::Deleting);
    });
}
