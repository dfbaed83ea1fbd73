//! With the database away, or its daily quota spent, machines still come to their end (I2, I7).

use std::time::Duration;

use ringfence::app::delete_node::delete_node;
use ringfence::app::ticket::{Outcome, destroy_by_ticket};
use ringfence::domain::alarm::retry_after;
use ringfence::domain::ticket::DestroyTicket;
use ringfence::ports::Clock;
use ringfence::provider::{self, ErrorClass, Mark};
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::state::NodeState;

use crate::support::cloud::Fault;
use crate::support::sqlite::Death;
use crate::support::world::{World, run};

fn ticket(world: &World, node: NodeId) -> DestroyTicket {
    world.tickets.borrow().get(&node).cloned().expect("the object keeps a ticket")
}

async fn destroy(world: &World, node: NodeId) -> provider::Result<Outcome> {
    destroy_by_ticket(&&world.cloud, "test", &ticket(world, node), world.p.now()).await
}

#[test]
fn a_machine_past_its_hard_deadline_is_deleted_without_the_database() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let node = created.node.id;
        let ends = world.node(&who, node).await.hard_deadline_at;
        world.die_after(0, Death::BeforeCommit);
        assert_eq!(destroy(&world, node).await.unwrap(), Outcome::NotDue);
        assert!(world.cloud.has_machine_of(node));
        world.p.now.set(ends);
        // The provider fails meanwhile, too.
        world.cloud.fail_next([Fault::Refused(ErrorClass::Transient), Fault::None, Fault::LostBefore]);
        for _ in 0..2 {
            destroy(&world, node).await.unwrap_err();
        }
        assert_eq!(destroy(&world, node).await.unwrap(), Outcome::Deleted);
        assert_eq!(destroy(&world, node).await.unwrap(), Outcome::NothingFound);
        assert!(world.cloud.is_empty());

        // When the database is back, the row follows.
        world.p.db.heal();
        world.p.alarms.borrow_mut().insert(node, world.p.now());
        world.until_node_gone(&who, node).await;
        assert_eq!(world.node(&who, node).await.failure.as_deref(), Some("lifetime_over"));
    });
}

#[test]
fn what_was_being_deleted_when_the_database_went_away_is_deleted() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let node = created.node.id;
        delete_node(&world.p, &world.settings, &who.actor, node, vec![]).await.unwrap();
        // Its workspaces save first.
        world.alarm().await;
        // The drive reads, writes, and calls the provider, which does not answer; then the database is gone.
        world.cloud.fail_next([Fault::LostBefore]);
        world.die_after(3, Death::AfterCommit);
        world.alarm().await;
        assert!(world.cloud.has_machine_of(node));
        assert_eq!(destroy(&world, node).await.unwrap(), Outcome::Deleted);
        assert!(world.cloud.is_empty());
        world.p.db.heal();
        world.until_node_gone(&who, node).await;
    });
}

#[test]
fn nothing_is_deleted_by_ticket_while_its_workspaces_save_nor_much_later() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let node = created.node.id;
        delete_node(&world.p, &world.settings, &who.actor, node, vec![]).await.unwrap();
        world.p.alarms.borrow_mut().insert(node, world.p.now());
        world.alarm().await;
        assert!(world.node(&who, node).await.reason.contains("its workspaces save"), "or there is nothing to see here");
        world.die_after(0, Death::BeforeCommit);
        assert_eq!(destroy(&world, node).await.unwrap(), Outcome::NotDue);
        assert!(world.cloud.has_machine_of(node));
        let over = ticket(&world, node).hard_deadline;
        assert!(over <= world.p.now() + Duration::from_secs(75), "the hooks' time, and the way there and back");
        world.p.now.set(over);
        assert_eq!(destroy(&world, node).await.unwrap(), Outcome::Deleted);
    });
}

#[test]
fn a_machine_that_was_just_ordered_when_the_database_went_away_has_a_ticket() {
    for fault in [Fault::None, Fault::LostAfter] {
        for batches in 1..8 {
            run(async {
                let world = World::new();
                let who = world.someone();
                let node = world.create(&who).await.unwrap().node.id;
                world.cloud.fail_next([fault]);
                world.die_after(batches, Death::AfterCommit);
                world.alarm().await;
                if world.cloud.is_empty() {
                    return;
                }
                world.p.now.set(ticket(&world, node).hard_deadline);
                assert_eq!(destroy(&world, node).await.unwrap(), Outcome::Deleted, "{fault:?} {batches}");
                assert!(world.cloud.is_empty());
            });
        }
    }
}

#[test]
fn a_ticket_deletes_what_carries_its_marks_and_nothing_else() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let node = created.node.id;
        let theirs = Mark { installation: "another".into(), node };
        for machine in world.cloud.machines.borrow_mut().values_mut() {
            machine.labels = theirs.labels();
        }
        world.p.now.set(ticket(&world, node).hard_deadline);
        assert_eq!(destroy(&world, node).await.unwrap_err().code, provider::NOT_OURS);
        assert!(world.cloud.has_machine_of(node));
    });
}

#[test]
fn the_ticket_of_a_machine_that_is_gone_is_dropped() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        delete_node(&world.p, &world.settings, &who.actor, created.node.id, vec![]).await.unwrap();
        world.until_node_gone(&who, created.node.id).await;
        assert!(world.tickets.borrow().is_empty());
        assert_eq!(world.node(&who, created.node.id).await.state, NodeState::Gone);
    });
}

#[test]
fn a_day_without_the_database_costs_an_object_few_alarms() {
    let day = Duration::from_secs(24 * 3600);
    let (mut passed, mut alarms) = (Duration::ZERO, 0);
    while passed < day {
        passed += retry_after(alarms);
        alarms += 1;
    }
    assert!(alarms <= 300, "{alarms} alarms: three hundred objects use up the free plan's 100,000 requests");
    assert!(retry_after(0) <= Duration::from_secs(15), "what passes in seconds is seen in seconds");
    let mut passed = Duration::ZERO;
    for failures in 0..300 {
        let pause = retry_after(failures);
        assert!(
            pause <= passed / 4 + Duration::from_millis(15_001),
            "{pause:?} after {passed:?}: that it is back is seen late"
        );
        passed += pause;
    }
}
