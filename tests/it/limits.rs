//! Limits hold under any concurrency, are counted from rows, and say who is over which (I5).

use ringfence::app::admission::Subject;
use ringfence::config::Settings;
use ringfence::error::{Error, Result};
use ringfence::store::limits;
use ringfence_protocol::limits::LimitView;
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::{Isolation, LimitMeasure, LimitScope};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::WorkspaceView;

use crate::support::joined::join_all;
use crate::support::spent::used;
use crate::support::world::{Someone, World, run};

const HOUR: i64 = 3_600_000;

/// A world whose installation is configured with these limits.
fn limited(seed: u64, limits: &[(LimitScope, LimitMeasure, i64)]) -> World {
    let mut world = World::seeded(seed);
    for (scope, measure, amount) in limits {
        world.settings.limits.put(*scope, *measure, *amount);
    }
    world
}

fn set(world: &World, scope: LimitScope, subject: &str, measure: LimitMeasure, amount: i64) {
    let sql = format!("INSERT OR REPLACE INTO limits VALUES ('{scope}', '{subject}', '{measure}', {amount}, 0)");
    world.p.db.execute(&sql).unwrap();
}

/// How many got one, and what the others were told.
fn sorted(made: Vec<Result<WorkspaceView>>) -> (usize, Vec<Error>) {
    let (good, bad): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
    (good.len(), bad.into_iter().filter_map(Result::err).collect())
}

fn told(error: &Error) -> (ErrorCode, LimitView) {
    (error.code, *error.limit.clone().unwrap())
}

async fn fifty(world: &World, people: &[Someone], isolation: Isolation) -> (usize, Vec<Error>) {
    let asked = (0..50).map(|number| world.create_isolated(&people[number % people.len()], isolation));
    sorted(join_all(asked).await)
}

#[test]
fn of_fifty_at_once_exactly_the_limit_is_admitted() {
    for seed in 0..3 {
        for scope in LimitScope::ALL {
            for (measure, isolation) in [
                (LimitMeasure::Nodes, Isolation::User),
                (LimitMeasure::Workspaces, Isolation::User),
                (LimitMeasure::EphemeralWorkspaces, Isolation::Ephemeral),
            ] {
                run(async {
                    let world = limited(seed, &[(*scope, measure, 7)]);
                    let people = match scope {
                        LimitScope::User => vec![world.someone()],
                        LimitScope::Tenant | LimitScope::Installation => vec![world.someone(), world.someone()],
                    };
                    let (admitted, refused) = fifty(&world, &people, isolation).await;
                    assert_eq!(admitted, 7, "{scope} {measure}");
                    for error in &refused {
                        let (code, view) = told(error);
                        assert_eq!(code, ErrorCode::LimitReached);
                        assert_eq!((view.scope, view.measure), (*scope, measure));
                        assert_eq!((view.limit.as_deref(), view.usage.as_str()), (Some("7"), "7"));
                    }
                    let left = "SELECT (SELECT COUNT(*) FROM nodes) || ' ' || (SELECT COUNT(*) FROM workspaces)";
                    assert_eq!(world.p.db.texts(left), ["7 7"], "a refused one leaves nothing");
                });
            }
        }
    }
}

#[test]
fn a_place_on_a_node_that_is_there_counts_too() {
    run(async {
        let world = limited(1, &[(LimitScope::User, LimitMeasure::Workspaces, 2)]);
        let who = world.someone();
        let first = world.create(&who).await.unwrap();
        world.until_running(&who, first.id).await;
        let second = world.create(&who).await.unwrap();
        assert_eq!(second.node.id, first.node.id, "the node has room");
        let (code, view) = told(&world.create(&who).await.unwrap_err());
        assert_eq!((code, view.measure), (ErrorCode::LimitReached, LimitMeasure::Workspaces));
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM node_slots"), 2);
    });
}

#[test]
fn what_is_deleted_makes_room_once_its_machine_is_gone() {
    run(async {
        let world = limited(1, &[(LimitScope::User, LimitMeasure::Nodes, 1)]);
        let who = world.someone();
        let first = world.create(&who).await.unwrap();
        world.until_running(&who, first.id).await;
        let refused = |error: Error| told(&error).0 == ErrorCode::LimitReached;
        assert!(refused(world.create_isolated(&who, Isolation::Ephemeral).await.unwrap_err()));
        ringfence::app::delete_node::delete_node(&world.p, &world.settings, &who.actor, first.node.id, vec![])
            .await
            .unwrap();
        assert!(refused(world.create(&who).await.unwrap_err()), "it is still billed");
        world.until_node_gone(&who, first.node.id).await;
        world.create(&who).await.unwrap();
    });
}

#[test]
fn the_cost_of_an_hour_is_held_by_price() {
    run(async {
        // The cheapest machine costs 0.0066 an hour.
        let world = limited(1, &[(LimitScope::Tenant, LimitMeasure::CostPerHour, 2 * 6_600)]);
        let people = [world.someone(), world.someone()];
        // Nothing is to be made in its place: what may be would count.
        let alone = CreateWorkspaceParams { alternatives: Some(Vec::new()), ..CreateWorkspaceParams::default() };
        let asked = (0..50).map(|number| world.create_with(&people[number % people.len()], alone.clone(), Vec::new()));
        let (admitted, refused) = sorted(join_all(asked).await);
        assert_eq!(admitted, 2);
        let (code, view) = told(&refused[0]);
        assert_eq!((code, code.status()), (ErrorCode::BudgetReached, 402));
        assert_eq!((view.limit.as_deref(), view.usage.as_str()), (Some("0.0132"), "0.0132"));
    });
}

#[test]
fn a_dearer_machine_is_refused_where_a_cheaper_one_is_not() {
    run(async {
        let world = limited(1, &[(LimitScope::User, LimitMeasure::CostPerHour, 10_000)]);
        let who = world.someone();
        let large = CreateWorkspaceParams { size: Some("cx33".into()), ..CreateWorkspaceParams::default() };
        let (code, view) = told(&world.create_with(&who, large, Vec::new()).await.unwrap_err());
        assert_eq!((code, view.usage.as_str()), (ErrorCode::BudgetReached, "0.00"));
        world.create(&who).await.unwrap();
    });
}

#[test]
fn the_money_of_a_month_is_nodes_times_price_times_time() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let first = world.create(&who).await.unwrap();
        world.until_running(&who, first.id).await;
        let asked_at = world.p.db.count("SELECT first_create_attempt_at_ms FROM nodes");
        let spent = async |scope| {
            let subject = Subject { user: who.actor.user_id, tenant: who.actor.tenant_id };
            used(&world, scope, &subject.in_scope(scope), LimitMeasure::CostPerMonth).await
        };
        world.run_until_time(UnixMillis::new(asked_at + 10 * HOUR)).await;
        for scope in LimitScope::ALL {
            assert_eq!(spent(*scope).await, 66_000, "{scope}");
        }
        ringfence::app::delete_node::delete_node(&world.p, &world.settings, &who.actor, first.node.id, vec![])
            .await
            .unwrap();
        world.until_node_gone(&who, first.node.id).await;
        let lasted = world.p.db.count("SELECT state_since_ms - first_create_attempt_at_ms FROM nodes");
        let cost = (6_600 * lasted + HOUR - 1) / HOUR;
        world.run_until_time(UnixMillis::new(asked_at + 40 * HOUR)).await;
        for scope in LimitScope::ALL {
            assert_eq!(spent(*scope).await, cost, "{scope}: what is gone costs no more");
        }
        // Tests begin on 2027-01-15: a month later nothing of this month is spent.
        world.run_until_time(UnixMillis::new(asked_at + 20 * 24 * HOUR)).await;
        assert_eq!(spent(LimitScope::User).await, 0);
    });
}

#[test]
fn a_month_that_is_spent_admits_nothing_more() {
    run(async {
        let world = limited(1, &[(LimitScope::User, LimitMeasure::CostPerMonth, 6_600)]);
        let who = world.someone();
        let first = world.create_isolated(&who, Isolation::Dedicated).await.unwrap();
        world.until_running(&who, first.id).await;
        world.create(&who).await.unwrap();
        let asked_at = world.p.db.count("SELECT MIN(first_create_attempt_at_ms) FROM nodes");
        world.p.now.set(UnixMillis::new(asked_at + 2 * HOUR));
        let (code, view) = told(&world.create_isolated(&who, Isolation::Ephemeral).await.unwrap_err());
        assert_eq!((code, view.measure), (ErrorCode::BudgetReached, LimitMeasure::CostPerMonth));
    });
}

#[test]
fn what_an_admin_sets_for_one_holds_before_what_holds_for_all() {
    run(async {
        let world = limited(1, &[(LimitScope::User, LimitMeasure::Nodes, 1)]);
        let (one, other, third) = (world.someone(), world.someone(), world.someone());
        set(&world, LimitScope::User, "", LimitMeasure::Nodes, 2);
        set(&world, LimitScope::User, &one.actor.user_id.to_string(), LimitMeasure::Nodes, 3);
        assert_eq!(fifty(&world, &[one], Isolation::User).await.0, 3);
        assert_eq!(fifty(&world, &[other], Isolation::User).await.0, 2);
        world.p.db.execute("DELETE FROM limits").unwrap();
        assert_eq!(fifty(&world, &[third], Isolation::User).await.0, 1);
    });
}

#[test]
fn a_limit_of_nothing_admits_nothing() {
    run(async {
        let world = limited(1, &[(LimitScope::Installation, LimitMeasure::Nodes, 0)]);
        assert_eq!(fifty(&world, &[world.someone()], Isolation::User).await.0, 0);
    });
}

#[test]
fn a_user_who_was_moved_or_suspended_meanwhile_gets_nothing() {
    run(async {
        let world = World::new();
        let who = world.someone();
        world.p.db.execute("INSERT INTO tenants VALUES ('elsewhere', 'elsewhere', 0)").unwrap();
        world.p.db.execute("UPDATE users SET tenant_id = 'elsewhere'").unwrap();
        assert_eq!(world.create(&who).await.unwrap_err().code, ErrorCode::Conflict);
        world.p.db.execute(&format!("UPDATE users SET tenant_id = '{}', state = 'suspended'", world.tenant)).unwrap();
        assert_eq!(world.create(&who).await.unwrap_err().code, ErrorCode::Conflict);
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM nodes"), 0);
    });
}

#[test]
fn ephemeral_workspaces_are_limited_without_being_configured() {
    let limits = Settings::default().limits;
    let ephemeral = |scope| limits.get(scope, LimitMeasure::EphemeralWorkspaces);
    assert_eq!(ephemeral(LimitScope::Tenant), Some(100));
    assert_eq!(ephemeral(LimitScope::Installation), Some(1000));
    assert_eq!(limits.get(LimitScope::User, LimitMeasure::Nodes), None);
}

#[test]
fn limits_are_read_from_variables() {
    use crate::support::keys::config;
    let limits = config(&[
        ("RINGFENCE_LIMIT_USER_NODES", "3"),
        ("RINGFENCE_LIMIT_TENANT_COST_PER_MONTH", "20.5"),
        ("RINGFENCE_LIMIT_INSTALLATION_EPHEMERAL_WORKSPACES", "5"),
    ])
    .unwrap()
    .settings
    .limits;
    assert_eq!(limits.get(LimitScope::User, LimitMeasure::Nodes), Some(3));
    assert_eq!(limits.get(LimitScope::Tenant, LimitMeasure::CostPerMonth), Some(20_500_000));
    assert_eq!(limits.get(LimitScope::Installation, LimitMeasure::EphemeralWorkspaces), Some(5));
    for (name, value) in [
        ("RINGFENCE_LIMIT_USER_NODES", "-1"),
        ("RINGFENCE_LIMIT_USER_NODES", "1.5"),
        ("RINGFENCE_LIMIT_USER_COST_PER_HOUR", "cheap"),
        ("RINGFENCE_LIMIT_USER_NODES", "99999999999999999999"),
    ] {
        assert!(config(&[(name, value)]).err().unwrap().0.starts_with(name), "{name}={value}");
    }
}

#[test]
fn counting_goes_through_indexes() {
    let db = crate::support::sqlite::SqliteDb::migrated();
    let plan = db.plan(limits::usage(&[], UnixMillis::new(0)).sql);
    let scans: Vec<&String> = plan.iter().filter(|step| *step == "SCAN n" || *step == "SCAN s").collect();
    assert!(scans.is_empty(), "{plan:#?}");
}
