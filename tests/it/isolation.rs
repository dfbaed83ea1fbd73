//! Isolation modes: an ephemeral workspace has a machine of its own and leaves a receipt; a user has one dedicated machine.

use std::time::Duration;

use ringfence::app::delete_node::delete_node;
use ringfence::app::delete_workspace::delete_workspace;
use ringfence::app::forget_node::forget_node;
use ringfence::app::gateway;
use ringfence::app::idempotency::Repeatable;
use ringfence::app::receipt::receipt;
use ringfence::app::sweep::{Mode, all};
use ringfence::ports::{Clock, Db};
use ringfence::provider::ErrorClass;
use ringfence::store::events;
use ringfence_protocol::link::AgentMessage;
use ringfence_protocol::params::{CreateWorkspaceParams, ForgetNodeParams};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes;
use ringfence_protocol::state::{Isolation, NodeState, Role, SaveOutcome, WorkspaceState};
use ringfence_protocol::sweeps::SweepKind;
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::EventKind;

use crate::support::accounts::Open;
use crate::support::cloud::Fault;
use crate::support::joined::join_all;
use crate::support::keys::config;
use crate::support::world::{Someone, World, run};

fn lasting(isolation: Isolation, secs: u64) -> CreateWorkspaceParams {
    CreateWorkspaceParams {
        isolation: Some(isolation),
        max_duration_secs: Some(secs),
        ..CreateWorkspaceParams::default()
    }
}

async fn refused(world: &World, who: &Someone, params: CreateWorkspaceParams) -> ErrorCode {
    world.create_with(who, params, Vec::new()).await.unwrap_err().code
}

#[test]
fn an_ephemeral_workspace_ends_with_its_machine_when_its_time_is_over() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let start = world.p.now();
        let created = world.create_with(&who, lasting(Isolation::Ephemeral, 900), Vec::new()).await.unwrap();
        let ends = start + Duration::from_secs(900);
        assert_eq!(world.node(&who, created.node.id).await.hard_deadline_at, ends);
        world.until_running(&who, created.id).await;
        world.run_until_time(ends - Duration::from_secs(1)).await;
        assert_eq!(world.workspace(&who, created.id).await.state, WorkspaceState::Running);
        world.until_node_gone(&who, created.node.id).await;
        let node = world.node(&who, created.node.id).await;
        assert_eq!(node.failure.as_deref(), Some("lifetime_over"));
        assert!(world.p.now().since(ends) < Duration::from_secs(60));
    });
}

#[test]
fn without_a_duration_it_lives_an_hour() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create_isolated(&who, Isolation::Ephemeral).await.unwrap();
        let node = world.node(&who, created.node.id).await;
        assert_eq!(node.hard_deadline_at.since(node.created_at), Duration::from_secs(3600));
    });
}

#[test]
fn a_duration_has_bounds_and_goes_with_ephemeral_alone() {
    run(async {
        let world = World::new();
        let who = world.someone();
        assert_eq!(refused(&world, &who, lasting(Isolation::User, 900)).await, ErrorCode::InvalidBody);
        assert_eq!(refused(&world, &who, lasting(Isolation::Dedicated, 900)).await, ErrorCode::InvalidBody);
        assert_eq!(refused(&world, &who, lasting(Isolation::Ephemeral, 59)).await, ErrorCode::InvalidBody);
        assert_eq!(refused(&world, &who, lasting(Isolation::Ephemeral, 86_401)).await, ErrorCode::CeilingExceeded);
        assert_eq!(refused(&world, &who, lasting(Isolation::Ephemeral, u64::MAX)).await, ErrorCode::CeilingExceeded);
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM nodes"), 0);
    });
}

#[test]
fn ephemeral_machines_are_never_shared_and_never_used_again() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let made = join_all((0..6).map(|_| world.create_isolated(&who, Isolation::Ephemeral))).await;
        let mut nodes: Vec<_> = made.iter().map(|made| made.as_ref().unwrap().node.id).collect();
        nodes.sort();
        nodes.dedup();
        assert_eq!(nodes.len(), 6);
        let first = made[0].as_ref().unwrap();
        world.until_running(&who, first.id).await;
        delete_workspace(&world.p, &world.settings, &who.actor, first.id, vec![]).await.unwrap();
        let next = world.create_isolated(&who, Isolation::Ephemeral).await.unwrap();
        assert!(!nodes.contains(&next.node.id));
        world.until_node_gone(&who, first.node.id).await;
    });
}

#[test]
fn a_receipt_says_what_was_saved_and_when_the_provider_had_nothing_left() {
    run(async {
        let world = World::new();
        let (who, other) = (world.someone(), world.someone());
        let created = world.create_isolated(&who, Isolation::Ephemeral).await.unwrap();
        world.until_running(&who, created.id).await;
        let early = receipt(&world.p, &who.actor, created.id).await.unwrap_err();
        assert_eq!(early.code, ErrorCode::Conflict, "it is not over");
        let saved = EventKind::Saved { outcome: SaveOutcome::Saved, duration_ms: 12, detail: "pushed 4f2528e".into() };
        world.p.batch(vec![events::record(created.node.id, Some(created.id), &saved, world.p.now())]).await.unwrap();
        delete_workspace(&world.p, &world.settings, &who.actor, created.id, vec![]).await.unwrap();
        world.until_node_gone(&who, created.node.id).await;
        let view = receipt(&world.p, &who.actor, created.id).await.unwrap();
        let what = view.saved.unwrap();
        assert_eq!((what.outcome, what.output.as_str()), (SaveOutcome::Saved, "pushed 4f2528e"));
        // By another tool: printf 'pushed 4f2528e' | sha256sum
        assert_eq!(what.output_sha256, HASH);
        let gone_at = world.p.db.count("SELECT state_since_ms FROM nodes");
        assert_eq!((view.machine.node_id, view.machine.gone_at.map(UnixMillis::get)), (created.node.id, Some(gone_at)));
        assert!(view.machine.provider_instance_id.is_some() && Some(view.ended_at) <= view.machine.gone_at);
        let theirs = receipt(&world.p, &other.actor, created.id).await.unwrap_err();
        assert_eq!(theirs.code, ErrorCode::NotFound);
    });
}

/// The output's last lines say what it is about, and its hash is of lines.
#[test]
fn a_receipt_has_the_end_of_what_a_long_hook_has_printed() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create_isolated(&who, Isolation::Ephemeral).await.unwrap();
        world.until_running(&who, created.id).await;
        let last = "0123  /sessions/one\n4567  /sessions/other";
        let saved = AgentMessage::Saved {
            workspace_id: created.id,
            outcome: SaveOutcome::Saved,
            duration_ms: 12,
            detail: format!("{}{last}\u{1b}", "x\r\n".repeat(2_000)),
        };
        // The agent does not know whether it was heard.
        world.say(created.node.id, saved.clone()).await;
        world.say(created.node.id, saved).await;
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM events WHERE kind = 'saved'"), 1);
        delete_workspace(&world.p, &world.settings, &who.actor, created.id, vec![]).await.unwrap();
        world.until_node_gone(&who, created.node.id).await;
        let what = receipt(&world.p, &who.actor, created.id).await.unwrap().saved.unwrap();
        assert!(what.output.ends_with(&format!("x\nx\n{last}")), "{:?}", what.output);
        assert_eq!(what.output.chars().count(), 2_048);
    });
}

/// Of `pushed 4f2528e`.
const HASH: &str = "11bffee76fa7c580814fb399809825f4730c0951c4afe9f65e0c9f9e2440269f";

#[test]
fn a_workspace_that_shares_a_machine_has_no_receipt() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let created = world.create(&who).await.unwrap();
        assert_eq!(receipt(&world.p, &who.actor, created.id).await.unwrap_err().code, ErrorCode::Conflict);
    });
}

#[test]
fn of_many_dedicated_requests_at_once_all_that_fit_land_on_one_machine() {
    for seed in 0..8 {
        run(async {
            let world = World::seeded(seed);
            let who = world.someone();
            let made = join_all((0..10).map(|_| world.create_isolated(&who, Isolation::Dedicated))).await;
            let (good, bad): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
            assert_eq!(good.len(), 3, "a dedicated machine has three places");
            assert!(bad.into_iter().all(|made| made.unwrap_err().code == ErrorCode::Conflict));
            assert_eq!(world.p.db.count("SELECT COUNT(*) FROM nodes"), 1);
            for made in good {
                world.until_running(&who, made.unwrap().id).await;
            }
            world.assert_rules();
        });
    }
}

#[test]
fn a_second_request_waits_for_the_dedicated_machine_that_is_being_made() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let first = world.create_isolated(&who, Isolation::Dedicated).await.unwrap();
        let before = world.node(&who, first.node.id).await;
        let second = world.create_isolated(&who, Isolation::Dedicated).await.unwrap();
        assert_eq!(second.node.id, first.node.id);
        let after = world.node(&who, first.node.id).await;
        assert_eq!(after.deadline_at, before.deadline_at, "it has no longer to be made in");
        world.until_running(&who, first.id).await;
        world.until_running(&who, second.id).await;
        let other = world.someone();
        let theirs = world.create_isolated(&other, Isolation::Dedicated).await.unwrap();
        assert!(theirs.node.id != first.node.id, "one for each user");
    });
}

#[test]
fn what_does_not_fit_on_the_dedicated_machine_is_told_why() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let first = world.create_isolated(&who, Isolation::Dedicated).await.unwrap();
        let large = CreateWorkspaceParams {
            isolation: Some(Isolation::Dedicated),
            size: Some("cx33".into()),
            ..CreateWorkspaceParams::default()
        };
        let error = world.create_with(&who, large, Vec::new()).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Conflict);
        assert!(error.detail.contains("too small"), "{}", error.detail);
        delete_node(&world.p, &world.settings, &who.actor, first.node.id, vec![]).await.unwrap();
        // It ends: the place is free for the next, before the provider has confirmed anything.
        world.create_isolated(&who, Isolation::Dedicated).await.unwrap();
    });
}

#[test]
fn the_schema_itself_refuses_a_second_dedicated_machine() {
    run(async {
        let world = World::new();
        let who = world.someone();
        world.create_isolated(&who, Isolation::Dedicated).await.unwrap();
        let second = "INSERT INTO nodes (id, user_id, tenant_id, row_version, created_at_ms, installation, provider, credential_id,
              isolation, region, size, cpus, memory_bytes, image, price_micros_per_hour, currency, slots, hard_deadline_at_ms,
              policy, state, state_since_ms, agent_epoch, dedicated_of)
            SELECT 'second', user_id, tenant_id, 1, 0, installation, provider, credential_id, isolation, region, size, cpus,
              memory_bytes, image, 0, currency, slots, 0, policy, 'ready', 0, 1, dedicated_of FROM nodes";
        assert!(world.p.db.execute(second).unwrap_err().to_string().contains("nodes.dedicated_of"));
    });
}

async fn restarts(world: &World) -> Vec<String> {
    let view = all(&world.p, &config(&[]).unwrap(), &Open(&world.cloud), Mode::Act).await;
    let outcome = view.sweeps.into_iter().find(|outcome| outcome.sweep == SweepKind::Restarts).unwrap();
    assert_eq!(outcome.problem, None);
    outcome.actions.into_iter().map(|action| action.detail).collect()
}

/// Lets the user's live dedicated node fail.
async fn fail_dedicated(world: &World, who: &Someone) {
    let live = "SELECT id FROM nodes WHERE state IN ('requested', 'provisioning', 'booting', 'ready')";
    let node = world.p.db.texts(live)[0].parse().unwrap();
    world.until("it is linked", async || world.links.borrow().contains_key(&node)).await;
    world.say(node, AgentMessage::Quarantine { detail: "the firewall is gone".into() }).await;
    world.until_node_gone(who, node).await;
}

#[test]
fn a_dedicated_machine_that_fails_is_made_anew_with_pauses_and_not_for_ever() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let first = world.create_isolated(&who, Isolation::Dedicated).await.unwrap();
        world.until_running(&who, first.id).await;
        for round in 1..=5 {
            fail_dedicated(&world, &who).await;
            world.p.now.set(world.p.now() + Duration::from_secs(2));
            let told = restarts(&world).await;
            if told.is_empty() {
                // Its pause is not over.
                world.p.now.set(world.p.now() + Duration::from_secs(3600));
                let told = restarts(&world).await;
                assert!(told[0].contains(&format!("({round} of 5)")), "{told:?}");
            } else {
                assert!(told[0].contains(&format!("({round} of 5)")), "{told:?}");
            }
            assert_eq!(world.p.db.count("SELECT COUNT(*) FROM nodes WHERE state <> 'gone'"), 1);
            assert!(restarts(&world).await.is_empty(), "once");
        }
        fail_dedicated(&world, &who).await;
        world.p.now.set(world.p.now() + Duration::from_secs(7200));
        let told = restarts(&world).await;
        assert!(told[0].contains("no new one is made"), "{told:?}");
        assert!(restarts(&world).await.is_empty());
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM nodes WHERE state <> 'gone'"), 0);
        let notices =
            "SELECT COUNT(*) FROM events WHERE kind = 'notice' AND event_json LIKE '%dedicated machine has failed%'";
        assert_eq!(world.p.db.count(notices), 6, "its owner was told each time");
        // A wish of the owner's is another thing.
        world.create_isolated(&who, Isolation::Dedicated).await.unwrap();
    });
}

#[test]
fn a_dedicated_machine_that_was_deleted_stays_so_and_limits_hold_for_restarts() {
    run(async {
        let world = World::new();
        let (one, two) = (world.someone(), world.someone());
        let deleted = world.create_isolated(&one, Isolation::Dedicated).await.unwrap();
        delete_node(&world.p, &world.settings, &one.actor, deleted.node.id, vec![]).await.unwrap();
        world.until_node_gone(&one, deleted.node.id).await;
        assert!(restarts(&world).await.is_empty());
        let failed = world.create_isolated(&two, Isolation::Dedicated).await.unwrap();
        world.until_running(&two, failed.id).await;
        fail_dedicated(&world, &two).await;
        let none = format!("INSERT INTO limits VALUES ('user', '{}', 'nodes', 0, 0)", two.actor.user_id);
        world.p.db.execute(&none).unwrap();
        world.p.now.set(world.p.now() + Duration::from_secs(3600));
        assert!(restarts(&world).await.is_empty(), "it waits: limits change");
        world.p.now.set(world.p.now() + Duration::from_secs(24 * 3600));
        let told = restarts(&world).await;
        assert!(told[0].contains("Your limit for machines is 0"), "{told:?}");
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM nodes WHERE state <> 'gone'"), 0);
        assert!(restarts(&world).await.is_empty(), "it is decided");
    });
}

#[test]
fn a_dedicated_machine_waits_for_the_end_of_the_one_in_whose_place_it_comes() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let only = format!("INSERT INTO limits VALUES ('user', '{}', 'nodes', 1, 0)", who.actor.user_id);
        world.p.db.execute(&only).unwrap();
        let first = world.create_isolated(&who, Isolation::Dedicated).await.unwrap();
        world.until_running(&who, first.id).await;
        // Its provider does not answer: it goes on counting.
        world.cloud.fail_next([Fault::LostBefore; 40]);
        world.say(first.node.id, AgentMessage::Quarantine { detail: "the firewall is gone".into() }).await;
        let ending = async || world.node(&who, first.node.id).await.state == NodeState::Destroying;
        world.until("it is being deleted", ending).await;
        world.p.now.set(world.p.now() + Duration::from_secs(60));
        assert!(restarts(&world).await.is_empty(), "there is no room for a second one yet");
        world.cloud.faults.borrow_mut().clear();
        world.until_node_gone(&who, first.node.id).await;
        world.p.now.set(world.p.now() + Duration::from_secs(60));
        let told = restarts(&world).await;
        assert!(told[0].contains("(1 of 5)"), "{told:?}");
    });
}

#[test]
fn a_dedicated_machine_is_made_anew_of_whatever_is_free_by_then() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let first = world.create_isolated(&who, Isolation::Dedicated).await.unwrap();
        world.until_running(&who, first.id).await;
        let before = world.node(&who, first.node.id).await;
        fail_dedicated(&world, &who).await;
        world.p.now.set(world.p.now() + Duration::from_secs(60));
        let told = restarts(&world).await;
        assert!(told[0].contains("(1 of 5)"), "{told:?}");
        world.cloud.fail_next([Fault::Refused(ErrorClass::Capacity)]);
        let node = *world.node_ids().last().unwrap();
        let ready = async || world.node(&who, node).await.state == NodeState::Ready;
        world.until("another one is ready", ready).await;
        let after = world.node(&who, node).await;
        assert_ne!((before.region, before.size), (after.region, after.size));
    });
}

#[test]
fn what_its_owner_gave_up_is_not_made_anew() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let made = world.create_isolated(&who, Isolation::Dedicated).await.unwrap();
        world.until_running(&who, made.id).await;
        // While none are made nothing is decided of those that end.
        world.p.db.execute("INSERT INTO switches VALUES ('provisioning', 0, 'admin', 'a look')").unwrap();
        delete_node(&world.p, &world.settings, &who.actor, made.node.id, vec![]).await.unwrap();
        world.cloud.fail_next([Fault::Refused(ErrorClass::Auth); 60]);
        world.until("it is stuck", async || world.node(&who, made.node.id).await.stuck).await;
        let typed = ForgetNodeParams { confirm: made.node.id.to_string() };
        forget_node(&world.p, &world.settings, &who.actor, made.node.id, &typed, vec![]).await.unwrap();
        let view = world.node(&who, made.node.id).await;
        assert!(
            view.reason.contains("may still exist") && !view.reason.contains("No machine is left"),
            "{}",
            view.reason
        );
        world.p.db.execute("DELETE FROM switches").unwrap();
        world.p.now.set(world.p.now() + Duration::from_secs(3600));
        assert!(restarts(&world).await.is_empty());
        assert_eq!(world.node_ids().len(), 1);
    });
}

#[test]
fn a_pause_that_comes_while_a_dedicated_machine_is_made_anew_lets_it_wait() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let failed = world.create_isolated(&who, Isolation::Dedicated).await.unwrap();
        world.until_running(&who, failed.id).await;
        fail_dedicated(&world, &who).await;
        // Between the look at the switch and the write of the new node.
        let late = "CREATE TRIGGER late AFTER UPDATE OF restart_tried_at_ms ON nodes BEGIN
             INSERT INTO switches VALUES ('provisioning', 0, 'admin', 'a look'); END";
        world.p.db.execute(late).unwrap();
        world.p.now.set(world.p.now() + Duration::from_secs(3600));
        assert!(restarts(&world).await.is_empty());
        assert_eq!(world.node_ids().len(), 1, "none is made");
        world.p.db.execute("DROP TRIGGER late; DELETE FROM switches").unwrap();
        let told = restarts(&world).await;
        assert!(told[0].contains("(1 of 5)"), "{told:?}");
    });
}

#[test]
fn what_another_run_has_decided_meanwhile_is_not_decided_again() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let failed = world.create_isolated(&who, Isolation::Dedicated).await.unwrap();
        world.until_running(&who, failed.id).await;
        fail_dedicated(&world, &who).await;
        // Between this run's read and the write of the new node.
        let other = "CREATE TRIGGER other AFTER UPDATE OF restart_tried_at_ms ON nodes BEGIN
             UPDATE nodes SET replaced_by = '' WHERE id = NEW.id; END";
        world.p.db.execute(other).unwrap();
        world.p.now.set(world.p.now() + Duration::from_secs(3600));
        restarts(&world).await;
        world.p.db.execute("DROP TRIGGER other").unwrap();
        assert_eq!(world.node_ids().len(), 1, "none is made");
        assert!(restarts(&world).await.is_empty());
    });
}

#[test]
fn a_gateway_token_opens_one_view_of_the_dedicated_machine_that_is_there() {
    run(async {
        let world = World::new();
        let config = config(&[]).unwrap();
        let (who, other) = (world.someone(), world.someone());
        let owner = world.caller(&who, Role::Member);
        let once = Repeatable::new(&owner, &routes::NODE_GATEWAY_TOKEN, None, String::new());
        let shared = world.create(&who).await.unwrap();
        let refused = gateway::create(&world.p, &config, &owner, shared.node.id, &once).await;
        assert_eq!(refused.err().map(|error| error.code), Some(ErrorCode::Conflict), "not dedicated");
        let made = world.create_isolated(&who, Isolation::Dedicated).await.unwrap();
        let stranger = world.caller(&other, Role::Member);
        let refused = gateway::create(&world.p, &config, &stranger, made.node.id, &once).await;
        assert_eq!(refused.err().map(|error| error.code), Some(ErrorCode::NotFound));
        let token = gateway::create(&world.p, &config, &owner, made.node.id, &once).await.unwrap().secret;
        let see = async |token: &str| gateway::node(&world.p, &config, token).await.map_err(|error| error.code);
        assert_eq!(see(token.expose()).await.unwrap().id, made.node.id);
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM gateway_tokens WHERE instr(secret_sha256, 'rfg') > 0"), 0);
        assert_eq!(
            see("rfg_00000000000000000000_AAAA.AAAAAAAAAAAAAAAAAAAAAA").await.err(),
            Some(ErrorCode::TokenInvalid)
        );
        // A new one ends the one before.
        let next = gateway::create(&world.p, &config, &owner, made.node.id, &once).await.unwrap().secret;
        assert_eq!(see(token.expose()).await.err(), Some(ErrorCode::TokenInvalid));
        assert_eq!(see(next.expose()).await.unwrap().id, made.node.id);
        // It names the machine that stands in its place.
        world.until_running(&who, made.id).await;
        world.say(made.node.id, AgentMessage::Quarantine { detail: "the firewall is gone".into() }).await;
        world.until_node_gone(&who, made.node.id).await;
        assert_eq!(see(next.expose()).await.err(), Some(ErrorCode::NotFound));
        world.p.now.set(world.p.now() + Duration::from_secs(3600));
        restarts(&world).await;
        assert_ne!(see(next.expose()).await.unwrap().id, made.node.id);
        let suspend = format!("UPDATE users SET state = 'suspended' WHERE id = '{}'", who.actor.user_id);
        world.p.db.execute(&suspend).unwrap();
        assert_eq!(see(next.expose()).await.err(), Some(ErrorCode::TokenInvalid));
    });
}
