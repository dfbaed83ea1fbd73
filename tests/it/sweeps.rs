//! Sweeps find what has no alarm or no row, end it, and touch nothing else (I2, I13).

use std::time::Duration;

use ringfence::app::delete_node::delete_node;
use ringfence::app::ready;
use ringfence::app::sweep::{Mode, all, cron};
use ringfence::config::Config;
use ringfence::ports::{Clock, Entropy};
use ringfence::provider::ErrorClass;
use ringfence_protocol::link::AgentMessage;
use ringfence_protocol::state::{Isolation, NodeState};
use ringfence_protocol::sweeps::{SweepActionKind, SweepActionView, SweepKind, SweepView};

use crate::inventory::{gone_node, has, plant_machine_of};
use crate::support::accounts::Open;
use crate::support::cloud::Fault;
use crate::support::keys::config;
use crate::support::sqlite::Death;
use crate::support::world::{Someone, World, run};

const DAY: Duration = Duration::from_secs(24 * 3600);

pub fn ours() -> Config {
    config(&[]).map_err(|error| error.0).unwrap()
}

pub async fn sweep(world: &World, mode: Mode) -> SweepView {
    all(&world.p, &ours(), &Open(&world.cloud), mode).await
}

fn actions(view: &SweepView, kind: SweepKind) -> Vec<SweepActionView> {
    view.sweeps.iter().find(|outcome| outcome.sweep == kind).unwrap().actions.clone()
}

pub fn of(view: &SweepView, action: SweepActionKind) -> Vec<SweepActionView> {
    let all = view.sweeps.iter().flat_map(|outcome| outcome.actions.clone());
    all.filter(|found| found.action == action).collect()
}

#[test]
fn a_dry_run_tells_the_same_and_changes_nothing() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let node = gone_node(&world, &who).await;
        let lost = world.create(&who).await.unwrap();
        world.until_running(&who, lost.id).await;
        world.p.alarms.borrow_mut().clear();
        world.p.now.set(world.p.now() + DAY * 40);
        plant_machine_of(&world, "77", "test", node);
        let (written, machines) = (world.p.db.rows_written.get(), world.cloud.machines.borrow().clone());
        let told = sweep(&world, Mode::DryRun).await;
        assert_eq!(world.p.db.rows_written.get(), written);
        assert_eq!(*world.cloud.machines.borrow(), machines);
        assert!(world.p.alarms.borrow().is_empty());
        for kind in [SweepKind::Overdue, SweepKind::Inventory, SweepKind::Prune] {
            assert!(actions(&told, kind).iter().any(|action| !action.done), "{kind}: {told:?}");
        }
        let done = sweep(&world, Mode::Act).await;
        let same = |view: &SweepView| {
            let all = view.sweeps.iter().flat_map(|outcome| outcome.actions.clone());
            all.map(|action| (action.action, action.subject)).collect::<Vec<_>>()
        };
        assert_eq!(same(&told), same(&done));
        assert!(!has(&world, "77"));
    });
}

#[test]
fn a_dry_run_decides_nothing_of_dedicated_machines() {
    run(async {
        let world = World::new();
        let (one, other) = (world.someone(), world.someone());
        let (deleted, failed) = (
            world.create_isolated(&one, Isolation::Dedicated).await.unwrap(),
            world.create_isolated(&other, Isolation::Dedicated).await.unwrap(),
        );
        world.until_running(&other, failed.id).await;
        delete_node(&world.p, &world.settings, &one.actor, deleted.node.id, vec![]).await.unwrap();
        world.until_node_gone(&one, deleted.node.id).await;
        let lost = AgentMessage::Quarantine { detail: "the firewall is gone".into() };
        world.say(failed.node.id, lost).await;
        world.until_node_gone(&other, failed.node.id).await;
        world.p.now.set(world.p.now() + Duration::from_secs(3600));
        let written = world.p.db.rows_written.get();
        let told = actions(&sweep(&world, Mode::DryRun).await, SweepKind::Restarts);
        assert_eq!(world.p.db.rows_written.get(), written);
        let done = actions(&sweep(&world, Mode::Act).await, SweepKind::Restarts);
        let subjects = |actions: &[SweepActionView]| actions.iter().map(|it| it.subject.clone()).collect::<Vec<_>>();
        assert_eq!(subjects(&told), [failed.node.id.to_string()]);
        assert_eq!(subjects(&done), subjects(&told));
        assert!(!told[0].done && done[0].done);
    });
}

#[test]
fn a_node_whose_alarm_is_lost_ends_all_the_same() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        world.p.alarms.borrow_mut().clear();
        let deadline = world.node(&who, created.node.id).await.deadline_at.unwrap();
        world.p.now.set(deadline + Duration::from_secs(60));
        // Its agent tells of itself each hour.
        world.p.db.execute(&format!("UPDATE nodes SET facts_at_ms = {}", deadline.get())).unwrap();
        sweep(&world, Mode::Act).await;
        assert!(world.p.alarms.borrow().is_empty(), "it is not so late yet that its own alarm must be lost");
        world.p.now.set(deadline + Duration::from_secs(180));
        let view = sweep(&world, Mode::Act).await;
        assert_eq!(of(&view, SweepActionKind::WakeNode).len(), 1);
        world.until_node_gone(&who, created.node.id).await;
        assert!(world.cloud.is_empty());
    });
}

#[test]
fn a_workspace_whose_node_has_lost_its_alarm_ends_all_the_same() {
    run(async {
        let world = World::new();
        let who = world.someone();
        world.machines_boot.set(false);
        let created = world.create(&who).await.unwrap();
        world.alarm().await;
        world.p.alarms.borrow_mut().clear();
        world.p.db.execute("UPDATE nodes SET deadline_at_ms = 9e12").unwrap();
        let deadline = world.workspace(&who, created.id).await.deadline_at.unwrap();
        world.p.now.set(deadline + Duration::from_secs(180));
        let view = sweep(&world, Mode::Act).await;
        let woken = of(&view, SweepActionKind::WakeNode);
        assert_eq!(
            woken.iter().map(|action| action.subject.clone()).collect::<Vec<_>>(),
            [created.node.id.to_string()]
        );
    });
}

#[test]
fn overdue_nodes_that_cannot_be_helped_keep_no_other_waiting() {
    run(async {
        let world = World::new();
        for _ in 0..12 {
            let who = world.someone();
            world.create(&who).await.unwrap();
        }
        world.p.alarms.borrow_mut().clear();
        world.p.now.set(world.p.now() + DAY);
        let mut woken = std::collections::BTreeSet::new();
        for _ in 0..2 {
            let view = sweep(&world, Mode::Act).await;
            let found = of(&view, SweepActionKind::WakeNode);
            assert_eq!(found.len(), 10, "a run does a bounded amount");
            woken.extend(found.into_iter().map(|action| action.subject));
            world.p.now.set(world.p.now() + Duration::from_secs(60));
        }
        assert_eq!(woken.len(), 12);
    });
}

#[test]
fn every_account_has_its_turn_and_one_that_fails_keeps_no_other_waiting() {
    run(async {
        let world = World::new();
        let people: Vec<Someone> = (0..5).map(|_| world.someone()).collect();
        // The first account of each run refuses.
        for _ in 0..4 {
            world.cloud.fail_next([Fault::Refused(ErrorClass::Auth), Fault::None]);
            let failures = cron(&world.p, &ours(), &Open(&world.cloud)).await;
            assert!(failures.is_empty(), "{failures:?}");
            world.cloud.faults.borrow_mut().clear();
            world.p.now.set(world.p.now() + Duration::from_secs(60));
        }
        let tried = world.p.db.count("SELECT COUNT(*) FROM provider_credentials WHERE sweep_tried_at_ms IS NOT NULL");
        assert_eq!(tried as usize, people.len());
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM provider_credentials WHERE swept_at_ms IS NOT NULL"), 2);
        let again = world.p.db.texts("SELECT id FROM provider_credentials WHERE sweep_tried_at_ms IS NOT NULL");
        world.p.now.set(world.p.now() + Duration::from_secs(3600));
        for _ in 0..3 {
            cron(&world.p, &ours(), &Open(&world.cloud)).await;
            world.p.now.set(world.p.now() + Duration::from_secs(60));
        }
        assert_eq!(again.len(), people.len());
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM provider_credentials WHERE swept_at_ms IS NOT NULL"), 5);
    });
}

#[test]
fn a_run_that_is_cut_short_has_told_of_what_came_before() {
    run(async {
        let world = World::new();
        world.someone();
        let begun = world.p.db.batches.get();
        cron(&world.p, &ours(), &Open(&world.cloud)).await;
        let whole = world.p.db.batches.get() - begun;
        world.p.db.execute("DELETE FROM sweeps").unwrap();
        world.p.now.set(world.p.now() + Duration::from_secs(60 * 60));
        world.die_after(whole - 1, Death::BeforeCommit);
        cron(&world.p, &ours(), &Open(&world.cloud)).await;
        world.p.db.heal();
        assert!(world.p.db.count("SELECT COUNT(*) FROM sweeps WHERE succeeded_at_ms IS NOT NULL") >= 3);
    });
}

#[test]
fn a_sweep_that_fails_skips_no_other_and_readiness_tells() {
    run(async {
        let world = World::new();
        let who = world.someone();
        world.create(&who).await.unwrap();
        world.p.alarms.borrow_mut().clear();
        world.p.now.set(world.p.now() + DAY);
        let ready = ready::check(&world.p, &ours()).await;
        assert!(ready.ready && ready.sweeps.is_empty(), "a cron that never ran is no failure: {ready:?}");
        assert!(cron(&world.p, &ours(), &Open(&world.cloud)).await.is_empty());

        // As a table that another release has changed would do.
        let broken = "CREATE TRIGGER broken BEFORE UPDATE OF sweep_tried_at_ms ON provider_credentials
                      BEGIN SELECT RAISE(ABORT, 'broken'); END";
        world.p.db.execute(broken).unwrap();
        for _ in 0..5 {
            world.p.now.set(world.p.now() + Duration::from_secs(600));
            world.p.alarms.borrow_mut().clear();
            let failures = cron(&world.p, &ours(), &Open(&world.cloud)).await;
            assert_eq!(failures.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [SweepKind::Inventory]);
            assert_eq!(world.p.alarms.borrow().len(), 1, "the overdue node was woken all the same");
        }
        let ready = ready::check(&world.p, &ours()).await;
        assert!(!ready.ready);
        let check = ready.checks.iter().find(|check| check.name == "sweeps").unwrap();
        assert!(!check.ok && check.detail.as_ref().unwrap().contains("inventory"), "{check:?}");
        let inventory = ready.sweeps.iter().find(|view| view.sweep == SweepKind::Inventory).unwrap();
        assert!(inventory.oldest_at.is_some());

        world.p.db.execute("DROP TRIGGER broken").unwrap();
        cron(&world.p, &ours(), &Open(&world.cloud)).await;
        assert!(ready::check(&world.p, &ours()).await.ready);
    });
}

#[test]
fn what_is_gone_stays_readable_for_thirty_days_and_then_leaves_nothing() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        delete_node(&world.p, &world.settings, &who.actor, created.node.id, vec![]).await.unwrap();
        world.until_node_gone(&who, created.node.id).await;
        let keeps = world.create(&who).await.unwrap();
        world.until_running(&who, keeps.id).await;
        let gone_at = world.p.now();

        world.p.now.set(gone_at + DAY * 29);
        sweep(&world, Mode::Act).await;
        let view = world.node(&who, created.node.id).await;
        assert_eq!((view.state, view.failure.as_deref()), (NodeState::Gone, Some("deleted")));
        let node = created.node.id;
        assert!(world.p.db.count(&format!("SELECT COUNT(*) FROM events WHERE node_id = '{node}'")) > 3);

        world.p.now.set(gone_at + DAY * 33);
        sweep(&world, Mode::Act).await;
        for table in
            ["nodes WHERE id", "workspaces WHERE node_id", "events WHERE node_id", "bootstrap_tokens WHERE node_id"]
        {
            assert_eq!(world.p.db.count(&format!("SELECT COUNT(*) FROM {table} = '{node}'")), 0, "{table}");
        }
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM nodes"), 1, "the one that lives stays");
        assert!(world.p.db.texts("PRAGMA foreign_key_check").is_empty());
    });
}

#[test]
fn what_has_happened_to_a_machine_is_told_for_as_long_as_it_can_be_read() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let (began, node) = (world.p.now(), created.node.id);
        let told = || world.p.db.count(&format!("SELECT COUNT(*) FROM events WHERE node_id = '{node}'"));
        let everything = told();
        let mut config = ours();
        config.settings.timing.dedicated_lifetime = DAY * 90;
        let pruned_on = async |day: u32| {
            world.p.now.set(began + DAY * day);
            // Only what prunes: the node would end otherwise.
            world.p.db.execute("UPDATE nodes SET hard_deadline_at_ms = 1e15, deadline_at_ms = NULL").unwrap();
            all(&world.p, &config, &Open(&world.cloud), Mode::Act).await;
        };
        pruned_on(121).await;
        assert!(told() >= everything, "{} of {everything}", told());
        pruned_on(123).await;
        assert!(told() < everything, "{} of {everything}", told());
    });
}

#[test]
fn expired_links_tokens_and_keys_are_deleted_a_bounded_number_at_a_time() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let (user, now) = (who.actor.user_id, world.p.now().get());
        let old = now - DAY.as_millis() as i64 * 2;
        for i in 0..250 {
            let expires = if i < 240 { old } else { now + 1000 };
            let id: ringfence_protocol::ids::SessionId = world.p.id();
            world
                .p
                .db
                .execute(&format!(
                    "INSERT INTO sign_in_links (id, user_id, secret_sha256, created_at_ms, expires_at_ms)
                       VALUES ('l{i}', '{user}', '', 0, {expires});
                     INSERT INTO sessions (id, user_id, created_at_ms, expires_at_ms, user_agent, source_address)
                       VALUES ('{id}', '{user}', 0, {expires}, '', '');
                     INSERT INTO api_tokens (id, user_id, name, secret_sha256, created_at_ms, expires_at_ms)
                       VALUES ('t{i}', '{user}', '', '', 0, {expires});
                     INSERT INTO idempotency_keys VALUES ('{user}', 'k{i}', '', '', '', {expires});"
                ))
                .unwrap();
        }
        let tables = ["sign_in_links", "sessions", "api_tokens", "idempotency_keys"];
        for (run, left) in [(1, 50), (2, 10), (3, 10)] {
            sweep(&world, Mode::Act).await;
            for table in tables {
                assert_eq!(
                    world.p.db.count(&format!("SELECT COUNT(*) FROM {table}")),
                    left,
                    "{table} after {run} runs"
                );
            }
        }
    });
}
