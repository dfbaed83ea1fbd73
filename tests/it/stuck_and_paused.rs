//! The ways out of what does not get on: forgetting a node, and pausing the making of machines, which never stops their end (I4).

use ringfence::app::forget_node::forget_node;
use ringfence::app::suspended_nodes;
use ringfence::app::sweep::{Mode, all};
use ringfence::provider::ErrorClass;
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::params::{ForgetNodeParams, ListParams};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::{Isolation, NodeState, Role, WorkspaceState};
use ringfence_protocol::views::NodeView;

use crate::node_faults::{assert_nothing_left, delete_all, node_in};
use crate::support::cloud::Fault;
use crate::support::world::{Someone, World, run};

#[test]
fn only_a_node_that_is_stuck_can_be_forgotten_and_only_by_its_name() {
    for state in NodeState::ALL {
        run(async {
            let world = World::new();
            let who = world.someone();
            node_in(*state, &world, &who).await;
            let node = world.node_ids()[0];
            let before = world.node(&who, node).await;
            let forgotten = forget(&world, &who, node, &node.to_string()).await;
            match *state == NodeState::Gone {
                true => assert_eq!(forgotten.unwrap(), before, "there is nothing to forget"),
                false => assert_eq!(forgotten.unwrap_err().code, ErrorCode::Conflict, "{state}"),
            }
            assert_eq!(world.node(&who, node).await, before, "{state}");
        });
    }
}

#[test]
fn a_node_whose_key_is_refused_can_be_forgotten_and_its_machine_is_deleted_when_the_key_works_again() {
    run(async {
        let world = World::new();
        let (who, stranger) = (world.someone(), world.someone());
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        world.cloud.fail_next([Fault::Refused(ErrorClass::Auth); 400]);
        delete_all(&world, &who).await;
        // Its workspaces save first.
        world.alarm().await;
        world.alarm().await;
        let node = created.node.id;
        let stuck = world.node(&who, node).await;
        assert!(stuck.stuck && stuck.reason.contains("replace the key"), "{}", stuck.reason);

        let id = node.to_string();
        for (someone, typed, code) in [
            (&who, "yes", ErrorCode::InvalidBody),
            (&who, created.id.to_string().as_str(), ErrorCode::InvalidBody),
            (&stranger, id.as_str(), ErrorCode::NotFound),
        ] {
            assert_eq!(forget(&world, someone, node, typed).await.unwrap_err().code, code);
        }
        assert_eq!(world.node(&who, node).await.state, NodeState::Destroying);
        for _ in 0..2 {
            let gone = forget(&world, &who, node, &id).await.unwrap();
            assert_eq!((gone.state, gone.failure.as_deref(), gone.stuck), (NodeState::Gone, Some("forgotten"), false));
        }
        world.until_quiet().await;
        assert!(world.cloud.has_machine_of(node), "nothing could be done about it");
        world.assert_history();

        // The sweep goes on looking.
        let config = crate::support::keys::config(&[]).map_err(|error| error.0).unwrap();
        let sweep = async || all(&world.p, &config, &crate::support::accounts::Open(&world.cloud), Mode::Act).await;
        sweep().await;
        assert!(world.cloud.has_machine_of(node), "the key is still refused");
        world.cloud.faults.borrow_mut().clear();
        sweep().await;
        assert!(world.cloud.is_empty());
    });
}

#[test]
fn a_key_that_works_again_is_seen_by_the_next_answer() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        world.cloud.fail_next([Fault::Refused(ErrorClass::Auth), Fault::LostAfter]);
        delete_all(&world, &who).await;
        // Its workspaces save first.
        world.alarm().await;
        world.alarm().await;
        assert!(world.node(&who, created.node.id).await.stuck);
        world.alarm().await;
        assert!(!world.node(&who, created.node.id).await.stuck, "what is lost was not refused");
        assert_nothing_left(&world, "the key works again").await;
    });
}

#[test]
fn a_suspended_users_stuck_node_is_forgotten_by_an_admin_and_nobody_else() {
    run(async {
        let world = World::new();
        let (who, other) = (world.someone(), world.someone());
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        let (node, id) = (created.node.id, created.node.id.to_string());
        let forget = async |role, node, typed: &str| {
            let params = ForgetNodeParams { confirm: typed.into() };
            let caller = world.caller(&other, role);
            let forgotten = suspended_nodes::forget(&world.p, &world.settings, &caller, node, &params).await;
            forgotten.map_err(|error| error.code)
        };
        let listed = async |role, cursor: Option<String>| {
            let params = ListParams { limit: Some(1), cursor };
            suspended_nodes::stuck(&world.p, &world.caller(&other, role), &params).await.map_err(|error| error.code)
        };
        assert_eq!(forget(Role::Admin, node, &id).await, Err(ErrorCode::Conflict), "it can still be destroyed");
        world.cloud.fail_next([Fault::Refused(ErrorClass::Auth); 400]);
        delete_all(&world, &who).await;
        world.alarm().await;
        world.alarm().await;
        assert_eq!(forget(Role::Admin, node, &id).await, Err(ErrorCode::Conflict), "its owner can do so");
        assert_eq!(listed(Role::Admin, None).await.unwrap().items, vec![], "and nobody else needs to see it");
        world
            .p
            .db
            .execute(&format!("UPDATE users SET state = 'suspended' WHERE id = '{}'", who.actor.user_id))
            .unwrap();
        let page = listed(Role::Admin, None).await.unwrap();
        let [seen] = page.items.as_slice() else { panic!("{page:?}") };
        assert_eq!((seen.id, seen.user_id, seen.state), (node, who.actor.user_id, NodeState::Destroying));
        assert!(seen.reason.contains("refuses the credential"), "{}", seen.reason);
        assert_eq!(page.next_cursor, None);
        for role in [Role::Member, Role::TenantAdmin] {
            assert_eq!(forget(role, node, &id).await, Err(ErrorCode::Forbidden));
            assert_eq!(listed(role, None).await, Err(ErrorCode::Forbidden));
        }
        assert_eq!(forget(Role::Admin, node, "yes").await, Err(ErrorCode::InvalidBody));
        let unknown = NodeId::from_entropy([9; 13]);
        for typed in [unknown.to_string(), "yes".into()] {
            assert_eq!(forget(Role::Admin, unknown, &typed).await, Err(ErrorCode::NotFound));
        }
        assert!(!world.p.alarms.borrow().contains_key(&unknown), "an object of no node is not woken");
        forget(Role::Admin, node, &id).await.unwrap();
        forget(Role::Admin, node, &id).await.unwrap();
        assert_eq!(listed(Role::Admin, None).await.unwrap().items, vec![]);
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM nodes WHERE state = 'gone' AND failure = 'forgotten'"), 1);
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM audit WHERE action = 'node.forget'"), 1);
    });
}

#[test]
fn a_suspended_users_node_is_deleted_by_an_admin_and_nobody_elses_is() {
    run(async {
        let world = World::new();
        let (who, other, admin) = (world.someone(), world.someone(), world.someone());
        let (mine, theirs) = (world.create(&who).await.unwrap(), world.create(&other).await.unwrap());
        world.until_running(&who, mine.id).await;
        world.until_running(&other, theirs.id).await;
        let delete = async |role, node| {
            let deleted = suspended_nodes::delete(&world.p, &world.settings, &world.caller(&admin, role), node).await;
            deleted.map_err(|error| error.code)
        };
        let listed = async |role| {
            let listed = suspended_nodes::list(&world.p, &world.caller(&admin, role), &ListParams::default()).await;
            listed.map(|page| page.items).map_err(|error| error.code)
        };
        let node = mine.node.id;
        assert_eq!(delete(Role::Admin, node).await, Err(ErrorCode::Conflict), "its owner can do so");
        assert_eq!(listed(Role::Admin).await, Ok(vec![]), "and nobody else needs to see it");
        let user = who.actor.user_id;
        world.p.db.execute(&format!("UPDATE users SET state = 'suspended' WHERE id = '{user}'")).unwrap();
        let seen = listed(Role::Admin).await.unwrap();
        let [one] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!((one.id, one.user_id, one.state, one.stuck), (node, user, NodeState::Ready, false));
        for role in [Role::Member, Role::TenantAdmin] {
            assert_eq!(delete(role, node).await, Err(ErrorCode::Forbidden));
            assert_eq!(listed(role).await, Err(ErrorCode::Forbidden));
        }
        let unknown = NodeId::from_entropy([9; 13]);
        assert_eq!(delete(Role::Admin, unknown).await, Err(ErrorCode::NotFound));
        assert!(!world.p.alarms.borrow().contains_key(&unknown), "an object of no node is not woken");
        assert_eq!(delete(Role::Admin, theirs.node.id).await, Err(ErrorCode::Conflict));
        assert_eq!(world.node(&who, node).await.state, NodeState::Ready, "nothing was changed so far");

        for _ in 0..2 {
            assert_eq!(delete(Role::Admin, node).await, Ok(()), "a repeat succeeds");
        }
        world.until_node_gone(&who, node).await;
        assert!(!world.cloud.has_machine_of(node) && world.cloud.has_machine_of(theirs.node.id));
        assert_eq!(world.workspace(&who, mine.id).await.state, WorkspaceState::Gone, "asked to go, not lost");
        assert_eq!(delete(Role::Admin, node).await, Ok(()), "also when it is gone");
        assert_eq!(listed(Role::Admin).await, Ok(vec![]));
        let acts = format!("SELECT actor FROM audit WHERE action = 'node.delete' AND subject = '{node}'");
        assert_eq!(world.p.db.texts(&acts), [admin.actor.user_id.to_string()], "once, and by whom");
    });
}

async fn forget(world: &World, who: &Someone, node: NodeId, typed: &str) -> Result<NodeView, ringfence::error::Error> {
    let params = ForgetNodeParams { confirm: typed.into() };
    forget_node(&world.p, &world.settings, &who.actor, node, &params, vec![]).await
}

const PAUSE: &str = "INSERT INTO switches VALUES ('provisioning', 0, 'admin', 'the bill')";
const RESUME: &str = "DELETE FROM switches";

#[test]
fn while_paused_no_machine_is_made_and_everything_else_goes_on() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let running = world.create(&who).await.unwrap();
        world.until_running(&who, running.id).await;
        // One was accepted and not asked for yet.
        let waiting = world.create_isolated(&who, Isolation::Ephemeral).await.unwrap();
        world.p.db.execute(PAUSE).unwrap();
        let refused = world.create_isolated(&who, Isolation::Ephemeral).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::ProvisioningPaused);
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM nodes"), 2, "nothing was created");
        world.until("it fails", async || world.workspace(&who, waiting.id).await.state == WorkspaceState::Failed).await;
        let failed = world.workspace(&who, waiting.id).await;
        assert_eq!(failed.failure.as_deref(), Some("provisioning_paused"));
        assert_eq!(world.node(&who, waiting.node.id).await.state, NodeState::Gone, "it was never asked for");
        assert_eq!(world.cloud.creates.get(), 1);

        // A place on a node that is there is no new machine.
        let second = world.create(&who).await.unwrap();
        assert_eq!(second.node.id, running.node.id);
        world.until_running(&who, second.id).await;
        delete_all(&world, &who).await;
        assert_nothing_left(&world, "destroying never asks").await;
        world.p.db.execute(RESUME).unwrap();
        let again = world.create(&who).await.unwrap();
        world.until_running(&who, again.id).await;
    });
}

#[test]
fn the_operators_variable_pauses_as_well() {
    run(async {
        let mut world = World::new();
        world.settings.provisioning_paused = true;
        let who = world.someone();
        assert_eq!(world.create(&who).await.unwrap_err().code, ErrorCode::ProvisioningPaused);
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM nodes"), 0);
    });
}

#[test]
fn a_machine_that_may_exist_is_looked_for_while_paused_and_never_asked_for_again() {
    for (fault, made) in [(Fault::LostAfter, true), (Fault::LostBefore, false)] {
        run(async {
            let world = World::new();
            let who = world.someone();
            let created = world.create(&who).await.unwrap();
            world.cloud.fail_next([fault]);
            world.alarm().await;
            world.p.db.execute(PAUSE).unwrap();
            let ended = if made { WorkspaceState::Running } else { WorkspaceState::Failed };
            world.until("it is decided", async || world.workspace(&who, created.id).await.state == ended).await;
            assert_eq!(world.cloud.machines.borrow().len(), usize::from(made));
            assert_eq!(world.cloud.creates.get(), u32::from(made), "never asked for again");
            delete_all(&world, &who).await;
            assert_nothing_left(&world, &format!("{fault:?}")).await;
        });
    }
}

#[test]
fn a_pause_at_the_last_instant_stops_the_create_call() {
    run(async {
        let world = World::new();
        let who = world.someone();
        world.create(&who).await.unwrap();
        // Between the look at the switch and the write that precedes the call.
        let paused = format!(
            "CREATE TRIGGER late BEFORE INSERT ON bootstrap_tokens BEGIN {} ON CONFLICT DO NOTHING; END",
            PAUSE
        );
        world.p.db.execute(&paused).unwrap();
        world.alarm().await;
        assert_eq!(world.cloud.calls.get(), 0, "the batch failed, and with it the call");
    });
}
