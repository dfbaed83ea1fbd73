//! Many at once: claims, users; and what all of it costs (I1, I3, budgets).

use ringfence::app::agent_report::agent_report;
use ringfence::app::delete_workspace::delete_workspace;
use ringfence::ports::Clock;
use ringfence_protocol::ids::{NodeId, UserId};
use ringfence_protocol::link::{AgentMessage, WorkspacePhase, WorkspaceReport};
use ringfence_protocol::state::{Isolation, WorkspaceState};
use ringfence_protocol::time::UnixMillis;

use crate::support::joined::join_all;
use crate::support::world::{World, run};

#[test]
fn fifty_claims_of_one_place_have_one_winner() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let first = world.create(&who).await.unwrap();
        world.until_running(&who, first.id).await;
        world.create(&who).await.unwrap();
        let before = world.node_ids();
        let claims = (0..50).map(|_| world.create(&who));
        let made = join_all(claims).await;
        let on_the_first = made.iter().filter(|made| made.as_ref().unwrap().node.id == first.node.id).count();
        assert_eq!(on_the_first, 1);
        assert_eq!(world.node_ids().len(), before.len() + 49);
        world.assert_rules();
    });
}

#[test]
fn two_users_never_share_a_node_in_any_interleaving() {
    for seed in 0..8 {
        run(async {
            let world = World::seeded(seed);
            let users = [world.someone(), world.someone()];
            for round in 0..5 {
                let creations = (0..10).map(|number| world.create(&users[(number + round) % 2]));
                for created in join_all(creations).await {
                    created.unwrap();
                }
                for _ in 0..20 {
                    world.alarm().await;
                }
                world.assert_rules();
            }
            assert_eq!(world.p.db.count("SELECT COUNT(*) FROM workspaces"), 50);
        });
    }
}

/// Each of the two removals sees the other's place still taken: whichever comes last has to see that the node is empty.
#[test]
fn a_node_whose_last_two_workspaces_go_at_once_is_looked_at_at_once() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let one = world.create(&who).await.unwrap();
        world.until_running(&who, one.id).await;
        let other = world.create(&who).await.unwrap();
        world.until_running(&who, other.id).await;
        assert_eq!(one.node.id, other.node.id);
        world.agents.borrow_mut().get_mut(&one.node.id).unwrap().mute = true;
        for workspace in [&one, &other] {
            delete_workspace(&world.p, &world.settings, &who.actor, workspace.id, vec![]).await.unwrap();
        }
        let epoch = world.p.db.count("SELECT agent_epoch FROM nodes");
        let gone = async |workspace_id| {
            let sql = format!("SELECT spec_generation FROM workspaces WHERE id = '{workspace_id}'");
            let report = WorkspaceReport {
                workspace_id,
                spec_generation: world.p.db.count(&sql),
                phase: WorkspacePhase::Absent,
                failure: None,
                detail: None,
                activity: None,
            };
            let message = AgentMessage::Workspace(report);
            agent_report(&world.p, &world.settings, one.node.id, epoch, message).await.unwrap().next_wake
        };
        let wakes = join_all([gone(one.id), gone(other.id)]).await;
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM node_slots"), 0);
        assert!(wakes.iter().flatten().any(|wake| *wake <= world.p.now()), "nobody looks at once: {wakes:?}");
    });
}

#[test]
fn the_schema_itself_refuses_to_mix_users() {
    run(async {
        let world = World::new();
        let (one, other) = (world.someone(), world.someone());
        let (mine, theirs) = (world.create(&one).await.unwrap(), world.create(&other).await.unwrap());
        for sql in [
            format!("UPDATE nodes SET user_id = '{}' WHERE id = '{}'", other.actor.user_id, mine.node.id),
            format!("UPDATE workspaces SET node_id = '{}' WHERE id = '{}'", theirs.node.id, mine.id),
            format!(
                "INSERT INTO node_slots VALUES ('{}', 1, '{}', '{}', 0)",
                mine.node.id, other.actor.user_id, theirs.id
            ),
            format!("UPDATE node_slots SET node_id = '{}' WHERE workspace_id = '{}'", theirs.node.id, mine.id),
            "INSERT INTO node_slots SELECT node_id, slot, user_id, 'x', 0 FROM node_slots WHERE slot = 0".into(),
        ] {
            assert!(world.p.db.execute(&sql).is_err(), "{sql}");
        }
        // By itself too, where no foreign key helps.
        world.p.db.execute("PRAGMA foreign_keys = OFF").unwrap();
        let sql = format!("UPDATE nodes SET user_id = '{}' WHERE id = '{}'", other.actor.user_id, mine.node.id);
        assert!(world.p.db.execute(&sql).unwrap_err().to_string().contains("keeps its owner"));
    });
}

/// Each transaction breaks one rule of the schema and keeps every other: nothing else refuses it.
#[test]
fn each_constraint_refuses_to_mix_users_by_itself() {
    run(async {
        let world = World::new();
        let (one, other) = (world.someone(), world.someone());
        let (mine, theirs) = (world.create(&one).await.unwrap(), world.create(&other).await.unwrap());
        let elsewhere = world.create_isolated(&one, Isolation::Ephemeral).await.unwrap();
        let (me, them) = (one.actor.user_id, other.actor.user_id);
        let (my_node, their_node, my_second) = (mine.node.id, theirs.node.id, elsewhere.node.id);
        let workspace = |user: UserId, node: NodeId| {
            format!(
                "INSERT INTO workspaces (id, user_id, node_id, row_version, created_at_ms, name, placement_explanation,
                   running, spec_generation, state, state_since_ms)
                 VALUES ('fresh', '{user}', '{node}', 1, 0, 'fresh', '', 1, 1, 'creating', 0)"
            )
        };
        let place = |user: UserId| format!("INSERT INTO node_slots VALUES ('{my_node}', 2, '{user}', 'fresh', 0)");
        let moved = |user: UserId, node: NodeId| {
            let (slot, id) = ("DELETE FROM node_slots WHERE workspace_id =", mine.id);
            format!("{slot} '{id}'; UPDATE workspaces SET user_id = '{user}', node_id = '{node}' WHERE id = '{id}'")
        };
        let foreign = "FOREIGN KEY";
        for (sql, why) in [
            (format!("{}; {}", workspace(them, their_node), place(them)), foreign),
            (format!("{}; {}", workspace(them, their_node), place(me)), foreign),
            (workspace(them, my_node), foreign),
            (moved(me, my_second), "keeps its owner and its node"),
            (moved(them, their_node), "keeps its owner and its node"),
            (format!("UPDATE nodes SET credential_id = '{}' WHERE id = '{my_node}'", other.credential), foreign),
            (
                format!(
                    "INSERT INTO events (user_id, node_id, at_ms, kind, event_json)
                     VALUES ('{them}', '{my_node}', 0, 'notice', '{{}}')"
                ),
                foreign,
            ),
        ] {
            let refused = world.p.db.execute(&format!("BEGIN; {sql}; COMMIT")).expect_err(&sql).to_string();
            assert!(refused.contains(why), "{refused}: {sql}");
            world.p.db.execute("ROLLBACK").unwrap();
        }
        // The same with nobody else in it is no harm.
        let own = format!("BEGIN; {}; {}; COMMIT", workspace(me, my_node), place(me));
        world.p.db.execute(&own).unwrap();
    });
}

#[test]
fn an_idle_node_writes_next_to_nothing_in_a_day() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create_isolated(&who, Isolation::Dedicated).await.unwrap();
        world.until_running(&who, created.id).await;
        let (rows, drives) = (world.p.db.rows_written.get(), world.drives.get());
        world.run_until_time(UnixMillis::new(world.p.now().get() + 24 * 3_600_000)).await;
        assert_eq!(world.p.db.rows_written.get() - rows, 0);
        assert!(world.drives.get() - drives <= 2);
        assert_eq!(world.workspace(&who, created.id).await.state, WorkspaceState::Running);
    });
}

#[test]
fn a_request_and_an_alarm_stay_within_the_budget_of_statements() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let count = || world.p.db.statements.get();
        let before = count();
        let created = world.create(&who).await.unwrap();
        // Who asks, their credential, the act and its key are four more.
        assert!(count() - before <= 10 - 4, "create: {} statements", count() - before);
        let mut most = 0;
        while world.workspace(&who, created.id).await.state != WorkspaceState::Running {
            let before = count();
            world.alarm().await;
            most = most.max(count() - before);
        }
        assert!(most <= 50, "an alarm with its agent's reports: {most} statements");
        let before = count();
        delete_workspace(&world.p, &world.settings, &who.actor, created.id, vec![]).await.unwrap();
        assert!(count() - before <= 10, "delete: {} statements", count() - before);
    });
}
