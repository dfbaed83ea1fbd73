//! A provider's inventory and our rows, compared both ways (I2).

use std::time::Duration;

use ringfence::app::agent_report::link_closed;
use ringfence::app::delete_node::delete_node;
use ringfence::app::outcome::{Accounts, Cloud};
use ringfence::app::sweep::{Mode, all};
use ringfence::domain::node::{Deletion, InstanceId};
use ringfence::ports::Clock;
use ringfence::provider::{self, CreateInstance, Instance, InstanceStatus, Inventory, Mark, machine_name};
use ringfence::store::credentials::CredentialRow;
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::state::{Isolation, NodeState, WorkspaceState};
use ringfence_protocol::sweeps::SweepActionKind;

use crate::support::cloud::Fault;
use crate::support::world::{Someone, World, run};
use crate::sweeps::{of, ours, sweep};

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

pub fn plant_machine_of(world: &World, id: &str, installation: &str, node: NodeId) {
    let mark = Mark { installation: installation.into(), node };
    let labels = mark.labels();
    let labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    plant(world, id, "planted", &labels);
}

pub fn has(world: &World, id: &str) -> bool {
    world.cloud.machines.borrow().contains_key(&InstanceId(id.into()))
}

pub async fn gone_node(world: &World, who: &Someone) -> NodeId {
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

/// Machines whose labels were taken off are in no list, and are there: they are asked for again and again (I13).
#[test]
fn machines_that_are_there_and_in_no_list_keep_no_other_from_being_looked_for() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let mut nodes = Vec::new();
        for _ in 0..4 {
            let created = world.create_isolated(&who, Isolation::Ephemeral).await.unwrap();
            world.until_running(&who, created.id).await;
            nodes.push(created.node.id);
        }
        world.p.now.set(world.p.now() + world.settings.timing.settle);
        for node in &nodes {
            link_closed(&world.p, *node, world.p.now()).await.unwrap();
        }
        world.p.alarms.borrow_mut().clear();
        // The one that comes last by name is the one that was deleted.
        let gone = *nodes.iter().max().unwrap();
        world.cloud.machines.borrow_mut().retain(|_, machine| machine.name != machine_name(gone));
        let ended = async || {
            world.cloud.fail_next([Fault::EmptyList]);
            let view = sweep(&world, Mode::Act).await;
            of(&view, SweepActionKind::EndNode).iter().any(|action| action.subject == gone.to_string() && action.done)
        };
        for _ in 0..40 {
            if ended().await {
                return;
            }
            world.p.now.set(world.p.now() + Duration::from_secs(60));
        }
        panic!("it was never looked for");
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
