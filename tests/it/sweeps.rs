//! Sweeps find what has no alarm or no row, end it, and touch nothing else (I2, I13).

use std::time::Duration;

use ringfence::app::agent_report::link_closed;
use ringfence::app::delete_node::delete_node;
use ringfence::app::outcome::{Accounts, Cloud};
use ringfence::app::ready;
use ringfence::app::sweep::{Mode, all, cron};
use ringfence::config::Config;
use ringfence::domain::node::{Deletion, InstanceId};
use ringfence::ports::{Clock, Entropy};
use ringfence::provider::{self, CreateInstance, ErrorClass, Instance, InstanceStatus, Inventory, Mark};
use ringfence::store::credentials::CredentialRow;
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::state::{NodeState, WorkspaceState};
use ringfence_protocol::sweeps::{SweepActionKind, SweepActionView, SweepKind, SweepView};

use crate::support::accounts::Open;
use crate::support::cloud::Fault;
use crate::support::keys::config;
use crate::support::world::{Someone, World, run};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn ours() -> Config {
    config(&[]).map_err(|error| error.0).unwrap()
}

async fn sweep(world: &World, mode: Mode) -> SweepView {
    all(&world.p, &ours(), &Open(&world.cloud), mode).await
}

fn actions(view: &SweepView, kind: SweepKind) -> Vec<SweepActionView> {
    view.sweeps.iter().find(|outcome| outcome.sweep == kind).unwrap().actions.clone()
}

fn of(view: &SweepView, action: SweepActionKind) -> Vec<SweepActionView> {
    let all = view.sweeps.iter().flat_map(|outcome| outcome.actions.clone());
    all.filter(|found| found.action == action).collect()
}

/// Puts a machine into the cloud that no use case has asked for.
fn plant(world: &World, id: &str, name: &str, labels: &[(&str, &str)]) {
    let machine = Instance {
        id: InstanceId(id.into()),
        name: name.into(),
        labels: labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        status: InstanceStatus::Running,
        ipv4: None,
        ipv6: None,
        created_at: None,
        region: None,
        size: None,
    };
    world.cloud.machines.borrow_mut().insert(machine.id.clone(), machine);
}

fn plant_machine_of(world: &World, id: &str, installation: &str, node: NodeId) {
    let mark = Mark { installation: installation.into(), node };
    let labels = mark.labels();
    let labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    plant(world, id, "planted", &labels);
}

fn has(world: &World, id: &str) -> bool {
    world.cloud.machines.borrow().contains_key(&InstanceId(id.into()))
}

async fn gone_node(world: &World, who: &Someone) -> NodeId {
    let created = world.create(who).await.unwrap();
    world.until_running(who, created.id).await;
    delete_node(&world.p, &world.settings, &who.actor, created.node.id, vec![]).await.unwrap();
    world.until_node_gone(who, created.node.id).await;
    created.node.id
}

#[test]
fn a_machine_whose_node_is_gone_is_found_deleted_and_told_of() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let node = gone_node(&world, &who).await;
        plant_machine_of(&world, "77", "test", node);
        let view = sweep(&world, Mode::Act).await;
        let deleted = of(&view, SweepActionKind::DeleteMachine);
        assert_eq!(
            deleted.iter().map(|action| (action.subject.as_str(), action.done)).collect::<Vec<_>>(),
            [("77", true)]
        );
        assert!(world.cloud.is_empty());
        assert_eq!(
            world.p.db.count("SELECT COUNT(*) FROM audit WHERE action = 'machine.delete' AND actor = 'sweep'"),
            1
        );
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM events WHERE event_json LIKE '%left over (77)%'"), 1);
        // Nothing is left to find.
        assert!(of(&sweep(&world, Mode::Act).await, SweepActionKind::DeleteMachine).is_empty());
    });
}

#[test]
fn what_is_not_provably_ours_and_over_is_left_alone() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let gone = gone_node(&world, &who).await;
        let lives = world.create(&who).await.unwrap();
        world.until_running(&who, lives.id).await;
        let live_machine = world.node(&who, lives.node.id).await.provider_instance_id.unwrap();
        plant_machine_of(&world, "90", "another", gone);
        plant(&world, "91", "web-1", &[]);
        plant(&world, "92", "db-1", &[("ringfence-installation", "test")]);
        plant(&world, "93", "db-2", &[("ringfence-installation", "test"), ("ringfence-node", "not a node")]);
        let view = sweep(&world, Mode::Act).await;
        assert!(of(&view, SweepActionKind::DeleteMachine).is_empty(), "{view:?}");
        for id in [live_machine.as_str(), "90", "91", "92", "93"] {
            assert!(has(&world, id), "{id} was touched");
        }
    });
}

/// A cloud in which every node comes back to life with the first deletion: as when a database is restored meanwhile.
struct Revenant<'a>(&'a World);

impl Cloud for Revenant<'_> {
    async fn create(&self, order: &CreateInstance<'_>) -> provider::Result<Instance> {
        (&self.0.cloud).create(order).await
    }
    async fn get(&self, id: &InstanceId) -> provider::Result<Option<Instance>> {
        (&self.0.cloud).get(id).await
    }
    async fn find(&self, node: NodeId) -> provider::Result<Vec<Instance>> {
        (&self.0.cloud).find(node).await
    }
    async fn delete(&self, mark: &Mark, id: &InstanceId) -> provider::Result<Deletion> {
        self.0.p.db.execute("UPDATE nodes SET state = 'ready', row_version = row_version + 1").unwrap();
        (&self.0.cloud).delete(mark, id).await
    }
    async fn list(&self, installation: &str) -> provider::Result<Inventory> {
        (&self.0.cloud).list(installation).await
    }
}

struct OpenRevenant<'a>(&'a World);

impl<'a> Accounts for OpenRevenant<'a> {
    type Cloud = Revenant<'a>;
    fn account(&self, _: &CredentialRow) -> provider::Result<Revenant<'a>> {
        Ok(Revenant(self.0))
    }
}

#[test]
fn a_row_is_read_again_just_before_its_machine_is_deleted() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let nodes = [gone_node(&world, &who).await, gone_node(&world, &who).await];
        plant_machine_of(&world, "77", "test", nodes[0]);
        plant_machine_of(&world, "78", "test", nodes[1]);
        let view = all(&world.p, &ours(), &OpenRevenant(&world), Mode::Act).await;
        assert_eq!(of(&view, SweepActionKind::DeleteMachine).len(), 1);
        assert_eq!(of(&view, SweepActionKind::LeaveMachine).len(), 1);
        assert!(!has(&world, "77") && has(&world, "78"));
    });
}

#[test]
fn a_node_ends_whose_machine_was_deleted_at_the_provider_and_no_other() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let node = created.node.id;
        let told = async |mode| {
            let ended = of(&sweep(&world, mode).await, SweepActionKind::EndNode);
            ended.iter().map(|action| (action.subject.clone(), action.done)).collect::<Vec<_>>()
        };
        let machines = world.cloud.machines.take();
        let view = sweep(&world, Mode::Act).await;
        assert_eq!(of(&view, SweepActionKind::EndNode), [], "its agent is there, whatever the provider says");
        assert_eq!(of(&view, SweepActionKind::WakeNode).len(), 1, "it looks whether that is so");
        assert_eq!(world.p.alarms.borrow()[&node], world.p.now());
        link_closed(&world.p, node, world.p.now() + Duration::from_secs(1)).await.unwrap();
        assert_eq!(told(Mode::Act).await, [], "it is so young that the provider may not show it yet");
        world.p.now.set(world.p.now() + world.settings.timing.settle);

        world.cloud.machines.replace(machines);
        world.cloud.fail_next([Fault::EmptyList]);
        assert_eq!(told(Mode::Act).await, [], "the list was behind");
        world.cloud.machines.take();
        world.cloud.fail_next([Fault::None, Fault::LostBefore]);
        let id = node.to_string();
        assert_eq!(told(Mode::Act).await, [(id.clone(), false)], "nothing is known");
        assert_eq!(told(Mode::DryRun).await, [(id.clone(), false)]);
        assert_eq!(world.node(&who, node).await.state, NodeState::Ready);

        assert_eq!(told(Mode::Act).await, [(id, true)]);
        world.until_node_gone(&who, node).await;
        assert_eq!(world.node(&who, node).await.failure.as_deref(), Some("machine_gone"));
        let workspace = world.workspace(&who, created.id).await;
        assert_eq!((workspace.state, workspace.failure.as_deref()), (WorkspaceState::Failed, Some("machine_gone")));
        assert_eq!((world.cloud.creates.get(), told(Mode::Act).await), (1, vec![]));
    });
}

#[test]
fn nothing_follows_from_what_is_not_in_a_list_that_was_cut_short() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        link_closed(&world.p, created.node.id, world.p.now() + Duration::from_secs(1)).await.unwrap();
        world.p.now.set(world.p.now() + world.settings.timing.settle);
        world.cloud.machines.take();
        for (cut_short, ended) in [(true, 0), (false, 1)] {
            world.cloud.cut_short.set(cut_short);
            assert_eq!(of(&sweep(&world, Mode::Act).await, SweepActionKind::EndNode).len(), ended);
        }
    });
}

#[test]
fn a_machine_without_a_row_is_watched_for_an_hour_and_then_deleted() {
    run(async {
        let world = World::new();
        world.someone();
        plant_machine_of(&world, "77", "test", NodeId::from_entropy([9; 13]));
        let begin = world.p.now();
        for minutes in [0, 30, 59] {
            world.p.now.set(begin + Duration::from_secs(minutes * 60));
            let view = sweep(&world, Mode::Act).await;
            assert_eq!(of(&view, SweepActionKind::LeaveMachine).len(), 1, "after {minutes} minutes");
            assert!(has(&world, "77"));
        }
        world.p.now.set(begin + Duration::from_secs(3600));
        sweep(&world, Mode::Act).await;
        assert!(world.cloud.is_empty());
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM events"), 0, "there is nobody to tell");
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM audit WHERE action = 'machine.delete'"), 1);
    });
}

#[test]
fn a_machine_whose_row_came_back_is_not_remembered_as_a_stray() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        // A restored database knows nothing of the node for half an hour.
        let node = created.node.id;
        world
            .p
            .db
            .execute("PRAGMA foreign_keys = OFF; CREATE TABLE kept AS SELECT * FROM nodes; DELETE FROM nodes")
            .unwrap();
        sweep(&world, Mode::Act).await;
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM stray_machines"), 1);
        world.p.db.execute("INSERT INTO nodes SELECT * FROM kept; PRAGMA foreign_keys = ON").unwrap();
        world.p.now.set(world.p.now() + Duration::from_secs(7200));
        sweep(&world, Mode::Act).await;
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM stray_machines"), 0);
        assert!(world.cloud.has_machine_of(node));
    });
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
fn a_node_whose_alarm_is_lost_ends_all_the_same() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        world.p.alarms.borrow_mut().clear();
        let deadline = world.node(&who, created.node.id).await.deadline_at.unwrap();
        world.p.now.set(deadline + Duration::from_secs(60));
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
