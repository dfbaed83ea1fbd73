//! How machines are made that are to be kept warm: one for each that is missing, within every limit, and not for ever after
//! failures.

use ringfence::app::sweep::Mode;
use ringfence::ports::Clock;
use ringfence::provider::ErrorClass;
use ringfence_protocol::link::AgentMessage;
use ringfence_protocol::warm::SetWarmPoolParams;

use crate::support::cloud::Fault;
use crate::support::joined::join_all;
use crate::support::pools::{DAY, MINUTE, ask, fill, live, of, ours, pass, pool, somebody, sweep, sweep_as};
use crate::support::world::{Someone, World, run};

#[test]
fn of_many_sweeps_at_once_one_makes_the_machine_that_is_missing() {
    for seed in 0..8 {
        run(async {
            let world = World::seeded(seed);
            let who = somebody(&world);
            ask(&world, &who, of(1)).await.unwrap();
            join_all((0..6).map(|_| sweep(&world))).await;
            assert_eq!(world.p.db.count("SELECT COUNT(*) FROM nodes"), 1, "seed {seed}");
        });
    }
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        ask(&world, &who, of(1)).await.unwrap();
        let written = world.p.db.rows_written.get();
        let told = sweep_as(&world, &ours(), Mode::DryRun).await;
        assert_eq!((world.p.db.rows_written.get(), world.p.alarms.borrow().len()), (written, 0));
        let done = sweep_as(&world, &ours(), Mode::Act).await;
        assert_eq!((told[0].action, &told[0].subject), (done[0].action, &done[0].subject));
        assert!(!told[0].done && done[0].done);
    });
}

#[test]
fn nothing_is_made_for_a_suspended_user_and_what_is_there_is_not_kept() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        ask(&world, &who, of(1)).await.unwrap();
        fill(&world, &who).await;
        let kept = live(&world)[0];
        let suspend = format!("UPDATE users SET state = 'suspended' WHERE id = '{}'", who.actor.user_id);
        world.p.db.execute(&suspend).unwrap();
        world.until_node_gone(&who, kept).await;
        assert_eq!(world.node(&who, kept).await.failure.as_deref(), Some("idle"));
        assert!(sweep(&world).await.is_empty());
        assert!(live(&world).is_empty());
    });
}

#[test]
fn nothing_is_made_while_paused_and_the_view_says_so() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        ask(&world, &who, of(1)).await.unwrap();
        world.p.db.execute("INSERT INTO switches VALUES ('provisioning', 0, 'admin', 'the bill')").unwrap();
        assert!(sweep(&world).await.is_empty());
        assert!(live(&world).is_empty());
        assert!(pool(&world, &who).await.problem.unwrap().contains("paused"));
        world.p.db.execute("DELETE FROM switches").unwrap();
        // Paused between the look at the switch and the write.
        let late = "CREATE TRIGGER late BEFORE UPDATE OF tried_at_ms ON warm_pools
            BEGIN INSERT INTO switches VALUES ('provisioning', 0, 'admin', 'the bill'); END";
        world.p.db.execute(late).unwrap();
        assert!(sweep(&world).await.is_empty());
        assert!(live(&world).is_empty());
        world.p.db.execute("DROP TRIGGER late; DELETE FROM switches").unwrap();
        sweep(&world).await;
        assert_eq!((live(&world).len(), pool(&world, &who).await.problem), (1, None));
    });
}

#[test]
fn at_a_limit_none_is_made_and_its_owner_is_told() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        let limit = |most: u32| {
            let user = who.actor.user_id;
            world.p.db.execute(&format!("INSERT OR REPLACE INTO limits VALUES ('user', '{user}', 'nodes', {most}, 0)"))
        };
        limit(1).unwrap();
        ask(&world, &who, of(2)).await.unwrap();
        assert!(sweep(&world).await[0].contains("is being made"));
        let told = sweep(&world).await;
        assert!(told[0].contains("Your limit for machines is 1"), "{told:?}");
        assert_eq!(live(&world).len(), 1);
        let view = pool(&world, &who).await;
        assert!(view.problem.unwrap().contains("Your limit for machines is 1"));
        assert!(view.next_try_at.unwrap() > world.p.now());
        limit(2).unwrap();
        assert!(sweep(&world).await.is_empty(), "it waits");
        pass(&world, MINUTE * 10);
        sweep(&world).await;
        assert_eq!((live(&world).len(), pool(&world, &who).await.problem), (2, None));
    });
}

#[test]
fn more_workspaces_than_are_allowed_by_now_keep_no_machine_from_being_made() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        let workspace = world.create(&who).await.unwrap();
        world.until_running(&who, workspace.id).await;
        world.p.db.execute("INSERT INTO limits VALUES ('installation', '', 'workspaces', 0, 0)").unwrap();
        ask(&world, &who, of(1)).await.unwrap();
        assert!(sweep(&world).await[0].contains("is being made"));
        assert_eq!(live(&world).len(), 2);
    });
}

#[test]
fn limits_hold_in_the_batch_that_makes_it_whatever_was_seen_before() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        ask(&world, &who, of(1)).await.unwrap();
        // By the time the node is written, an admin has set a limit.
        let late = format!(
            "CREATE TRIGGER late BEFORE INSERT ON nodes BEGIN INSERT INTO limits VALUES ('user', '{}', 'nodes', 0, 0); END",
            who.actor.user_id
        );
        world.p.db.execute(&late).unwrap();
        assert!(sweep(&world).await.is_empty());
        assert!(live(&world).is_empty());
    });
}

#[test]
fn after_machines_that_fail_pauses_grow_and_it_is_given_up_until_asked_again() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        ask(&world, &who, of(2)).await.unwrap();
        world.machines_boot.set(false);
        for round in 0..6 {
            // While they fail, one at a time is tried.
            sweep(&world).await;
            pass(&world, MINUTE);
            if round > 0 {
                assert!(sweep(&world).await.is_empty());
                assert_eq!(live(&world).len(), 1, "round {round}");
            }
            world.until("it has failed", async || live(&world).is_empty()).await;
            let told = sweep(&world).await;
            if round < 5 {
                let count = round + 1;
                if told[0].contains("being made") {
                    continue;
                }
                assert!(told[0].contains(&format!("tried again ({count} of 5)")), "{told:?}");
                let view = pool(&world, &who).await;
                assert!(view.problem.unwrap().contains("failed") && view.next_try_at.is_some());
                assert!(sweep(&world).await.is_empty(), "it waits");
                pass(&world, DAY / 24);
            } else {
                assert!(told[0].contains("no more are made"), "{told:?}");
            }
        }
        pass(&world, DAY * 3);
        assert!(sweep(&world).await.is_empty());
        assert!(pool(&world, &who).await.problem.unwrap().contains("5 in a row have failed"));
        let told = "SELECT COUNT(*) FROM events WHERE kind = 'notice' AND event_json LIKE '%kept warm for you%'";
        assert_eq!(world.p.db.count(told), 1);
        world.machines_boot.set(true);
        ask(&world, &who, of(2)).await.unwrap();
        fill(&world, &who).await;
    });
}

#[test]
fn a_machine_that_lost_its_trust_is_no_warm_one() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        ask(&world, &who, of(1)).await.unwrap();
        fill(&world, &who).await;
        let kept = live(&world)[0];
        world.say(kept, AgentMessage::Quarantine { detail: "the firewall is gone".into() }).await;
        assert!(sweep(&world).await[0].contains("tried again (1 of 5)"));
        pass(&world, MINUTE);
        sweep(&world).await;
        assert_eq!(live(&world).len(), 1);
    });
}

#[test]
fn a_spent_budget_ends_it_and_none_is_made() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        ask(&world, &who, of(1)).await.unwrap();
        fill(&world, &who).await;
        let kept = live(&world)[0];
        let spent = format!(
            "UPDATE nodes SET budget_spent_at_ms = 0; INSERT INTO limits VALUES ('user', '{}', 'cost_per_month', 0, 0)",
            who.actor.user_id
        );
        world.p.db.execute(&spent).unwrap();
        world.until_node_gone(&who, kept).await;
        assert_eq!(world.node(&who, kept).await.failure.as_deref(), Some("budget_spent"));
        assert!(sweep(&world).await[0].contains("the cost of this month"));
        assert!(live(&world).is_empty());
    });
}

#[test]
fn a_sweep_that_read_an_older_wish_makes_nothing() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        ask(&world, &who, SetWarmPoolParams { size: Some("cx33".into()), ..of(1) }).await.unwrap();
        // Between the look and the write, its owner asks for something else.
        let late = "CREATE TRIGGER late BEFORE UPDATE OF tried_at_ms ON warm_pools
            BEGIN UPDATE warm_pools SET size = 'cx23', row_version = row_version + 1; END";
        world.p.db.execute(late).unwrap();
        assert!(sweep(&world).await.is_empty());
        assert!(live(&world).is_empty());
        world.p.db.execute("DROP TRIGGER late").unwrap();
        sweep(&world).await;
        assert_eq!(world.node(&who, live(&world)[0]).await.size, "cx23");
    });
}

#[test]
fn a_machine_that_became_warm_meanwhile_is_one_less_to_make() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        ask(&world, &who, of(1)).await.unwrap();
        // Between the look and the write, its workspace leaves a machine.
        let late = "CREATE TRIGGER late BEFORE UPDATE OF tried_at_ms ON warm_pools BEGIN DELETE FROM node_slots; END";
        world.p.db.execute(late).unwrap();
        assert!(sweep(&world).await.is_empty());
        assert_eq!(live(&world), [created.node.id]);
    });
}

#[test]
fn pools_that_cannot_be_helped_keep_no_other_waiting() {
    run(async {
        let world = World::new();
        let many: Vec<Someone> = (0..5).map(|_| somebody(&world)).collect();
        for who in &many {
            ask(&world, who, of(1)).await.unwrap();
        }
        // Every batch that makes one fails for the first four.
        let refused: Vec<String> = many[..4].iter().map(|who| format!("'{}'", who.actor.user_id)).collect();
        let trigger = format!(
            "CREATE TRIGGER refused BEFORE INSERT ON nodes WHEN NEW.user_id IN ({}) BEGIN
               INSERT INTO preconditions VALUES (1); END",
            refused.join(", ")
        );
        world.p.db.execute(&trigger).unwrap();
        for _ in 0..3 {
            pass(&world, MINUTE);
            sweep(&world).await;
        }
        assert_eq!(live(&world).len(), 1);
        assert_eq!(world.p.db.texts("SELECT user_id FROM nodes"), [many[4].actor.user_id.to_string()]);
    });
}

#[test]
fn a_provider_that_has_none_free_is_a_failure_like_another() {
    run(async {
        let world = World::new();
        let who = somebody(&world);
        ask(&world, &who, of(1)).await.unwrap();
        let none = Fault::Refused(ErrorClass::Capacity);
        world.cloud.fail_next([none; 40]);
        sweep(&world).await;
        world.until("it is over", async || live(&world).is_empty()).await;
        world.cloud.faults.borrow_mut().clear();
        assert!(sweep(&world).await[0].contains("(1 of 5)"));
    });
}
