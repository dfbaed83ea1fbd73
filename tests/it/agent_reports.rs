//! What a node's agent says: from whom it is taken, and that its deadlines are looked after whatever dies meanwhile (I6, I7).

use ringfence::app::agent_report::{agent_report, key_conflict};
use ringfence::ports::Clock;
use ringfence_protocol::link::{
    Activity, AgentMessage, BootFailedReport, BootStep, Facts, WorkspacePhase, WorkspaceReport,
};
use ringfence_protocol::state::{
    ActivityCause, BootFailure, Isolation, NodeState, PostureOutcome, SaveOutcome, WorkspaceState,
};

use crate::node_faults::assert_nothing_left;
use crate::support::agent::posture;
use crate::support::sqlite::Death;
use crate::support::world::{World, run};

#[test]
fn a_report_of_another_epoch_is_refused_and_changes_nothing() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let node = created.node.id;
        let written = world.p.db.rows_written.get();
        let hello = world.agents.borrow()[&node].hello();
        for message in [hello, AgentMessage::Ready] {
            for epoch in [0, 2] {
                let driven = agent_report(&world.p, &world.settings, node, epoch, message.clone()).await.unwrap();
                assert!(driven.refused && driven.to_agent.is_empty(), "{message:?} of epoch {epoch}");
            }
        }
        assert_eq!(world.p.db.rows_written.get(), written);
    });
}

#[test]
fn a_quarantined_nodes_agent_is_refused_and_its_node_ends() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        key_conflict(&world.p, &world.settings, created.node.id).await.unwrap();
        assert_eq!(world.workspace(&who, created.id).await.state, WorkspaceState::Failed);
        assert!(world.links.borrow().contains_key(&created.node.id));
        world.say(created.node.id, AgentMessage::Ready).await;
        assert!(!world.links.borrow().contains_key(&created.node.id), "its old epoch is refused");
        let node = world.node(&who, created.node.id).await;
        assert_eq!((node.state, node.failure.as_deref()), (NodeState::Quarantined, Some("key_conflict")));
        assert_nothing_left(&world, "quarantined").await;
    });
}

#[test]
fn a_quarantine_is_looked_after_even_where_its_object_dies_right_after_writing_it() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let node = created.node.id;
        let epoch = world.p.db.count(&format!("SELECT agent_epoch FROM nodes WHERE id = '{node}'"));
        let lost = AgentMessage::Quarantine { detail: "rules are gone".into() };
        // What it has left to do is dropped with the process.
        drop(agent_report(&world.p, &world.settings, node, epoch, lost).await.unwrap());
        assert_eq!(world.node(&who, node).await.state, NodeState::Quarantined);
        assert!(world.p.alarms.borrow()[&node] <= world.p.now());
    });
}

/// What asks the node nothing is refused by its own statement.
#[test]
fn what_only_tells_of_a_machine_is_written_for_the_epoch_of_now() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let (node, workspace_id) = (created.node.id, created.id);
        let told = [
            AgentMessage::Facts(Facts {
                cpu_percent: 1.0,
                memory_percent: 2.0,
                memory_total_bytes: 4 << 30,
                disk_percent: 3.0,
                disk_total_bytes: 40 << 30,
                measured_at: world.p.now(),
            }),
            AgentMessage::Notice { workspace_id: None, detail: "a rule was restored".into() },
            AgentMessage::Notice { workspace_id: Some(workspace_id), detail: "out of memory".into() },
            AgentMessage::BootStep(step(&world)),
            AgentMessage::Saved { workspace_id, outcome: SaveOutcome::Saved, duration_ms: 1, detail: "pushed".into() },
            AgentMessage::WorkspacePosture { workspace_id, posture: posture(PostureOutcome::Pass) },
        ];
        let rows = async |epoch, message: &AgentMessage| {
            let before = world.p.db.rows_written.get();
            let driven = agent_report(&world.p, &world.settings, node, epoch, message.clone()).await.unwrap();
            (world.p.db.rows_written.get() - before, driven.events.len())
        };
        for message in &told {
            for epoch in [0, 2] {
                assert_eq!(rows(epoch, message).await, (0, 0), "{message:?} of epoch {epoch}");
            }
            assert_eq!(rows(1, message).await.0, 1, "{message:?} of the agent of now");
        }
    });
}

/// Not even of another machine of the same user.
#[test]
fn an_agent_tells_of_no_workspace_but_those_on_its_machine() {
    run(async {
        let world = World::new();
        let (who, stranger) = (world.someone(), world.someone());
        let created = world.create(&who).await.unwrap();
        let elsewhere = world.create_isolated(&who, Isolation::Ephemeral).await.unwrap();
        let theirs = world.create(&stranger).await.unwrap();
        world.until_running(&who, created.id).await;
        world.until_running(&who, elsewhere.id).await;
        world.until_running(&stranger, theirs.id).await;
        let written = world.p.db.rows_written.get();
        for workspace_id in [elsewhere.id, theirs.id] {
            let activity = Activity { at: world.p.now(), cause: ActivityCause::TerminalInput, lease_ends_at: None };
            for message in [
                AgentMessage::Workspace(WorkspaceReport {
                    workspace_id,
                    spec_generation: 1,
                    phase: WorkspacePhase::Failed,
                    failure: None,
                    detail: None,
                    activity: Some(activity),
                }),
                AgentMessage::WorkspaceStep { workspace_id, step: step(&world) },
                AgentMessage::Activity { workspace_id, activity },
                AgentMessage::Saved {
                    workspace_id,
                    outcome: SaveOutcome::Saved,
                    duration_ms: 1,
                    detail: String::new(),
                },
                AgentMessage::Notice { workspace_id: Some(workspace_id), detail: "out of memory".into() },
                AgentMessage::WorkspacePosture { workspace_id, posture: posture(PostureOutcome::Fail) },
            ] {
                let said = agent_report(&world.p, &world.settings, created.node.id, 1, message.clone()).await.unwrap();
                assert!(said.events.is_empty(), "{message:?}");
                assert_eq!(world.p.db.rows_written.get(), written, "{message:?}");
            }
        }
    });
}

fn step(world: &World) -> BootStep {
    BootStep { step: "once more".into(), started_at: world.p.now(), duration_ms: 1, error: None }
}

/// Its object dies between the write of what an agent has said and anything that follows (seed 1545689).
#[test]
fn what_an_agent_says_sets_the_alarm_for_its_deadline_before_it_is_written() {
    let failed =
        AgentMessage::BootFailed(BootFailedReport { failure: BootFailure::EngineUnavailable, detail: String::new() });
    for (said, state) in [(AgentMessage::Ready, NodeState::Ready), (failed, NodeState::Failed)] {
        run(async {
            let world = World::new();
            let who = world.someone();
            world.machines_boot.set(false);
            let created = world.create(&who).await.unwrap();
            let node = created.node.id;
            world.until("it boots", async || world.node(&who, node).await.state == NodeState::Booting).await;
            let epoch = world.p.db.count(&format!("SELECT agent_epoch FROM nodes WHERE id = '{node}'"));
            let before = world.p.alarms.borrow()[&node];
            // The second batch is the write; the first one that fails is its answer.
            world.die_after(2, Death::AfterCommit);
            agent_report(&world.p, &world.settings, node, epoch, said).await.unwrap_err();
            assert!(world.p.db.heal());
            assert_eq!(world.node(&who, node).await.state, state);
            let deadlines = "SELECT deadline_at_ms AS at FROM nodes UNION ALL SELECT deadline_at_ms FROM workspaces";
            let due = world.p.db.count(&format!("SELECT MIN(at) FROM ({deadlines})"));
            let alarm = world.p.alarms.borrow()[&node];
            assert!(alarm < before && alarm.get() <= due.max(world.p.now().get() + 15_000), "{state}: {alarm:?}");
        });
    }
}

#[test]
fn what_an_agent_says_that_moves_no_deadline_sets_no_alarm() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let node = created.node.id;
        let epoch = world.p.db.count(&format!("SELECT agent_epoch FROM nodes WHERE id = '{node}'"));
        world.p.alarms.borrow_mut().remove(&node);
        let hello = world.agents.borrow()[&node].hello();
        for said in [hello, AgentMessage::Ready, AgentMessage::SavedAll] {
            agent_report(&world.p, &world.settings, node, epoch, said).await.unwrap();
        }
        assert!(!world.p.alarms.borrow().contains_key(&node), "each is a row written and a request");
    });
}
