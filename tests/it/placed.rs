//! Where workspaces go, by what rows and reports say: the whole way from an agent's figures and a node's time to the choice.

use std::time::Duration;

use ringfence::app::delete_workspace::delete_workspace;
use ringfence_protocol::link::{AgentMessage, Facts};
use ringfence_protocol::state::Isolation;
use ringfence_protocol::time::UnixMillis;

use crate::support::world::{World, run};

fn figures(cpu_percent: f32, memory_percent: f32, measured_at: UnixMillis) -> AgentMessage {
    AgentMessage::Facts(Facts {
        cpu_percent,
        memory_percent,
        memory_total_bytes: 4 << 30,
        disk_percent: 10.0,
        disk_total_bytes: 40 << 30,
        measured_at,
    })
}

#[test]
fn a_machine_that_says_that_it_is_busy_gets_no_further_workspace_until_it_is_not() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let first = world.create(&who).await.unwrap();
        world.until_running(&who, first.id).await;
        let node = first.node.id;
        for (cpu, memory) in [(95.0, 10.0), (10.0, 95.0)] {
            world.p.now.set(world.p.now.get() + Duration::from_secs(60));
            world.say(node, figures(cpu, memory, world.p.now.get())).await;
            let elsewhere = world.create(&who).await.unwrap();
            assert_ne!(elsewhere.node.id, node, "{cpu} % and {memory} %");
            assert!(elsewhere.placement_explanation.contains("too busy"), "{}", elsewhere.placement_explanation);
            delete_workspace(&world.p, &world.settings, &who.actor, elsewhere.id, vec![]).await.unwrap();
            world.until_node_gone(&who, elsewhere.node.id).await;
        }
        world.p.now.set(world.p.now.get() + Duration::from_secs(60));
        world.say(node, figures(10.0, 10.0, world.p.now.get())).await;
        assert_eq!(world.create(&who).await.unwrap().node.id, node);
    });
}

#[test]
fn what_is_about_to_end_takes_nothing_more_and_says_so() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let first = world.create(&who).await.unwrap();
        world.until_running(&who, first.id).await;
        let ends_at = world.node(&who, first.node.id).await.hard_deadline_at;
        world.p.now.set(ends_at - Duration::from_secs(29 * 60));
        let second = world.create(&who).await.unwrap();
        assert_ne!(second.node.id, first.node.id);
        assert!(second.placement_explanation.contains("about to end"), "{}", second.placement_explanation);
        // The same of a dedicated one, of which there is no other.
        let other = world.someone();
        let theirs = world.create_isolated(&other, Isolation::Dedicated).await.unwrap();
        world.until_running(&other, theirs.id).await;
        world.p.db.execute("UPDATE nodes SET budget_spent_at_ms = 1 WHERE isolation = 'dedicated'").unwrap();
        let refused = world.create_isolated(&other, Isolation::Dedicated).await.unwrap_err();
        assert!(refused.detail.contains("about to end"), "{}", refused.detail);
    });
}
