//! Guards that stand behind other guards: each statement keeps its rule by itself, whoever calls it (I1, I3, I9).

use std::time::Duration;

use ringfence::domain::lifecycle::{Moment, Timing};
use ringfence::domain::posture::Verdict;
use ringfence::domain::seal::Sealed;
use ringfence::domain::workspace::Workspace;
use ringfence::ports::{Clock, Db, DbError, Entropy, Statement};
use ringfence::store::credentials::CredentialRow;
use ringfence::store::nodes::NodeRow;
use ringfence::store::warm::{self, PoolSpec};
use ringfence::store::workspaces::{NewWorkspace, WorkspaceRow};
use ringfence::store::{credentials, many, nodes, one, versions, workspaces};
use ringfence_protocol::ids::{NodeId, UserId, WorkspaceId};
use ringfence_protocol::link::AgentMessage;
use ringfence_protocol::state::{EngineChoice, Isolation, NodePolicy};
use ringfence_protocol::time::UnixMillis;

use crate::support::world::{Someone, World, run};

const MINUTE: Duration = Duration::from_secs(60);

/// A world with a ready node of somebody, with room on it.
struct Scene {
    world: World,
    who: Someone,
    node: NodeId,
    workspace: WorkspaceId,
}

impl Scene {
    async fn new() -> Self {
        Self::of(World::new()).await
    }

    async fn of(world: World) -> Self {
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        Self { world, who, node: created.node.id, workspace: created.id }
    }

    fn new_workspace(&self, user: UserId) -> NewWorkspace {
        NewWorkspace {
            id: self.world.p.id(),
            user_id: user,
            name: "second".into(),
            placement_explanation: String::new(),
            container: None,
            sealed: None,
        }
    }

    /// Whether the claim statement, by itself, takes a place for the owner.
    async fn claims(&self) -> bool {
        let new = self.new_workspace(self.who.actor.user_id);
        let claim = workspaces::claim(self.node, &new, self.world.p.now() + MINUTE, self.world.p.now());
        self.changes_alone(claim).await
    }

    /// Whether the statement changes a row. Where other guards would refuse it at the end, they are out of the way.
    async fn changes_alone(&self, statement: Statement) -> bool {
        self.world.p.db.execute("PRAGMA foreign_keys = OFF").unwrap();
        self.world.p.db.execute("SAVEPOINT alone").unwrap();
        let changed = self.world.p.db.changes(&statement).is_ok_and(|changes| changes > 0);
        self.world.p.db.execute("ROLLBACK TO alone; RELEASE alone; PRAGMA foreign_keys = ON").unwrap();
        changed
    }

    fn set(&self, assignment: &str) {
        let sql = format!("UPDATE nodes SET {assignment}, row_version = row_version + 1 WHERE id = '{}'", self.node);
        self.world.p.db.execute(&sql).unwrap();
    }
}

#[test]
fn a_claim_takes_a_place_of_the_users_own_ready_node_only() {
    run(async {
        let scene = Scene::new().await;
        assert!(scene.claims().await);
        let stranger = scene.world.someone();
        let theirs = scene.new_workspace(stranger.actor.user_id);
        let claim = workspaces::claim(scene.node, &theirs, scene.world.p.now(), scene.world.p.now());
        assert!(!scene.changes_alone(claim).await, "somebody else's node");
        let first = workspaces::claim_new(scene.node, stranger.actor.user_id, scene.world.p.id(), scene.world.p.now());
        scene.world.p.db.execute("DELETE FROM node_slots").unwrap();
        assert!(!scene.changes_alone(first).await, "somebody else's new node");
        assert!(scene.claims().await);
        for (assignment, undo, why) in [
            ("state = 'destroying'", "state = 'ready'", "a node that ends"),
            ("policy = 'cordoned'", "policy = 'schedulable'", "a cordoned node"),
            ("isolation = 'ephemeral'", "isolation = 'user'", "a node of one workspace"),
            ("hard_deadline_at_ms = 1", "hard_deadline_at_ms = 9000000000000", "a node whose life is over"),
            ("budget_spent_at_ms = 1", "budget_spent_at_ms = NULL", "a node that is not paid for any more"),
            ("engine_choice = 'containers'", "engine_choice = 'unconfined'", "a node of another isolation"),
        ] {
            scene.set(assignment);
            assert!(!scene.claims().await, "{why}");
            scene.set(undo);
            assert!(scene.claims().await, "{why}: and again");
        }
        let ends = |at: UnixMillis| format!("hard_deadline_at_ms = {}", at.get());
        scene.set(&ends(scene.world.p.now() + MINUTE - Duration::from_millis(1)));
        assert!(!scene.claims().await, "it does not live so long");
        scene.set(&ends(scene.world.p.now() + MINUTE));
        assert!(scene.claims().await, "just long enough");
        assert_eq!(NodePolicy::Schedulable.as_str(), "schedulable");
    });
}

#[test]
fn what_is_over_because_its_agent_is_away_needs_it_to_be_away_at_the_write() {
    run(async {
        let scene = Scene::new().await;
        let away = async || scene.world.p.batch(vec![nodes::require_away(scene.node)]).await.is_ok();
        assert!(!away().await, "it is there");
        scene.world.p.db.execute("UPDATE nodes SET connected_at_ms = NULL").unwrap();
        assert!(away().await);
    });
}

#[test]
fn a_claim_wants_what_was_measured_by_the_agent_of_now() {
    run(async {
        let scene = Scene::of(World::of_containers()).await;
        let claims = async || {
            let world = &scene.world;
            let container = ringfence::domain::container::ask(
                &ringfence_protocol::params::CreateWorkspaceParams::default(),
                &world.settings.containers,
            );
            let mut new = scene.new_workspace(scene.who.actor.user_id);
            new.container = Some(container.unwrap().container);
            assert_eq!(new.engine(), EngineChoice::Containers);
            scene.changes_alone(workspaces::claim(scene.node, &new, world.p.now(), world.p.now())).await
        };
        assert!(claims().await);
        scene.set("posture_holds = 0");
        assert!(!claims().await, "what was measured does not hold");
        scene.set("posture_holds = 1, agent_epoch = agent_epoch + 1");
        assert!(!claims().await, "another agent has measured it");
    });
}

#[test]
fn candidates_are_the_users_own() {
    run(async {
        let scene = Scene::new().await;
        let stranger = scene.world.someone();
        let credential = scene.who.credential;
        let asked_by = async |user: UserId| {
            let statement = nodes::candidates(user, credential, Isolation::User);
            many::<NodeRow>(&scene.world.p, statement).await.unwrap().len()
        };
        assert_eq!(asked_by(scene.who.actor.user_id).await, 1);
        assert_eq!(asked_by(stranger.actor.user_id).await, 0, "even with somebody else's credential");
    });
}

#[test]
fn a_place_has_one_workspace_whoever_writes() {
    run(async {
        let scene = Scene::new().await;
        let (node, user) = (scene.node, scene.who.actor.user_id);
        scene.world.p.db.execute("PRAGMA foreign_keys = OFF").unwrap();
        let second = format!(
            "INSERT INTO node_slots VALUES ('{node}', 0, '{user}', '{}', 0)",
            scene.world.p.id::<ringfence_protocol::ids::kind::Workspace>()
        );
        assert!(scene.world.p.db.execute(&second).unwrap_err().to_string().contains("UNIQUE"));
        let again = format!("INSERT INTO node_slots VALUES ('{node}', 1, '{user}', '{}', 0)", scene.workspace);
        assert!(scene.world.p.db.execute(&again).unwrap_err().to_string().contains("UNIQUE"));
    });
}

#[test]
fn a_write_that_read_something_older_changes_nothing() {
    run(async {
        let scene = Scene::new().await;
        let p = &scene.world.p;
        let node: NodeRow = one(p, nodes::load(scene.node)).await.unwrap().unwrap();
        let workspace: WorkspaceRow = one(p, workspaces::load(scene.workspace)).await.unwrap().unwrap();
        for (older, changes) in [(0, true), (1, false)] {
            let version = node.row_version - older;
            assert_eq!(scene.changes_alone(nodes::update(scene.node, version, &node.node())).await, changes);
            let version = workspace.row_version - older;
            let update = workspaces::update(scene.workspace, version, &workspace.workspace());
            assert_eq!(scene.changes_alone(update).await, changes);
        }
        for required in [
            versions::require(&[(scene.node, node.row_version - 1)], &[]),
            versions::require(&[(scene.node, node.row_version)], &[(scene.workspace, workspace.row_version - 1)]),
        ] {
            let refused = p.batch(vec![required]).await.unwrap_err();
            assert!(matches!(&refused, DbError::Constraint(why) if why.contains("precondition_failed")), "{refused:?}");
        }
        let read = (scene.node, node.row_version);
        let other = (scene.workspace, workspace.row_version);
        p.batch(vec![versions::require(&[read], &[other])]).await.unwrap();
    });
}

/// The epoch may rise between the read of the node and the write of what its agent has said.
#[test]
fn what_an_agent_was_seen_to_be_is_written_for_the_epoch_of_now() {
    run(async {
        let scene = Scene::new().await;
        let (node, now) = (scene.node, scene.world.p.now() + MINUTE);
        let AgentMessage::Hello(hello) = scene.world.agents.borrow()[&node].hello() else { panic!("no hello") };
        for (epoch, changes) in [(0, false), (1, true), (2, false)] {
            let seen = nodes::observe_hello(node, epoch, &hello, now);
            assert_eq!(scene.changes_alone(seen).await, changes, "a hello of epoch {epoch}");
            let measured = nodes::observe_posture(node, epoch, Verdict::Holds, "{}".into(), now);
            assert_eq!(scene.changes_alone(measured).await, changes, "a posture of epoch {epoch}");
        }
    });
}

#[test]
fn of_two_who_read_a_credential_one_changes_it() {
    run(async {
        let scene = Scene::new().await;
        let (p, now) = (&scene.world.p, scene.world.p.now());
        let own = || credentials::by_id(scene.who.credential, scene.who.actor.user_id);
        let read: CredentialRow = one(p, own()).await.unwrap().unwrap();
        let sealed = |text: &str| Sealed { version: 1, text: text.into() };
        assert_eq!(p.db.changes(&credentials::replace(&read, &sealed("first"), now)).unwrap(), 1);
        assert_eq!(p.db.changes(&credentials::replace(&read, &sealed("second"), now)).unwrap(), 0);
        assert_eq!(p.db.changes(&credentials::mark_validated(&read, now)).unwrap(), 0, "another key was tried");
        let after: CredentialRow = one(p, own()).await.unwrap().unwrap();
        assert_eq!(after.sealed_secret, "first");
        assert_eq!(p.db.changes(&credentials::mark_validated(&after, now)).unwrap(), 1);
        assert_eq!(p.db.changes(&credentials::replace(&after, &sealed("third"), now)).unwrap(), 0);
    });
}

#[test]
fn nobody_moves_a_hard_deadline() {
    run(async {
        let scene = Scene::new().await;
        let p = &scene.world.p;
        let row: NodeRow = one(p, nodes::load(scene.node)).await.unwrap().unwrap();
        let mut node = row.node();
        node.hard_deadline = node.hard_deadline + std::time::Duration::from_secs(1);
        p.batch(vec![nodes::update(scene.node, row.row_version, &node)]).await.unwrap();
        let after: NodeRow = one(p, nodes::load(scene.node)).await.unwrap().unwrap();
        assert_eq!(after.node().hard_deadline, row.node().hard_deadline);
    });
}

#[test]
fn a_workspace_is_made_only_where_its_user_has_got_its_place() {
    run(async {
        let scene = Scene::new().await;
        let timing = Timing::default();
        let patience = scene.world.settings.patience.ask(None, None).unwrap();
        let workspace =
            Workspace::requested(patience, &Moment { now: scene.world.p.now(), jitter: 0, timing: &timing });
        let mut new = scene.new_workspace(scene.who.actor.user_id);
        assert!(
            !scene.changes_alone(workspaces::insert(&new, &workspace, scene.world.p.now())).await,
            "without a place"
        );
        new.id = scene.workspace;
        new.user_id = scene.world.someone().actor.user_id;
        scene.world.p.db.execute("PRAGMA foreign_keys = OFF; DELETE FROM workspaces").unwrap();
        assert!(
            !scene.changes_alone(workspaces::insert(&new, &workspace, scene.world.p.now())).await,
            "on another's place"
        );
    });
}

#[test]
fn a_pool_is_of_its_users_own_credential_whoever_asks() {
    run(async {
        let scene = Scene::new().await;
        let spec = PoolSpec {
            minimum: 1,
            credential_id: scene.who.credential,
            region: "fsn1".into(),
            size: "cx23".into(),
            cpus: 2,
            memory_bytes: 4 << 30,
            disk_bytes: 40 << 30,
            price_micros_per_hour: 6_600,
            currency: "EUR".into(),
        };
        let put = |user: UserId| warm::put(user, &spec, EngineChoice::Unconfined, scene.world.p.now());
        let stranger = scene.world.someone().actor.user_id;
        assert!(!scene.changes_alone(put(stranger)).await, "somebody else's credential");
        assert!(scene.changes_alone(put(scene.who.actor.user_id)).await);
        let deleted =
            format!("UPDATE provider_credentials SET deleted_at_ms = 0 WHERE id = '{}'", scene.who.credential);
        scene.world.p.db.execute(&deleted).unwrap();
        assert!(!scene.changes_alone(put(scene.who.actor.user_id)).await, "a deleted one");
    });
}

#[test]
fn a_credential_stays_for_as_long_as_a_machine_needs_it() {
    run(async {
        let scene = Scene::new().await;
        let (credential, user, now) = (scene.who.credential, scene.who.actor.user_id, scene.world.p.now());
        assert!(!scene.changes_alone(credentials::delete(credential, user, now)).await, "its node is not gone");
        scene.set("state = 'gone', deadline_at_ms = NULL");
        let stranger = scene.world.someone().actor.user_id;
        assert!(!scene.changes_alone(credentials::delete(credential, stranger, now)).await, "it is somebody else's");
        assert!(scene.changes_alone(credentials::delete(credential, user, now)).await);
    });
}
