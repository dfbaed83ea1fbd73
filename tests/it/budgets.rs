//! Budgets of a month: told at their thresholds, and at the last one machines end, those with work after a warning.

use std::time::Duration;

use ringfence::app::limits::{budget_alerts, tenant_budget_alerts};
use ringfence::app::sweep::{Mode, all};
use ringfence::domain::lifecycle::BUDGET_GRACE_SECS;
use ringfence::ports::Clock;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::{Isolation, LimitScope, NodeState, Role, WorkspaceState};
use ringfence_protocol::sweeps::{SweepActionKind, SweepActionView, SweepKind};
use ringfence_protocol::time::UnixMillis;

use crate::support::accounts::Open;
use crate::support::keys::config;
use crate::support::world::{Someone, World, run};

const HOUR: i64 = 3_600_000;
/// The cheapest machine of the catalog.
const PRICE: i64 = 6_600;

fn budget(world: &World, scope: &str, subject: &str, micros: i64) {
    let sql = format!("INSERT OR REPLACE INTO limits VALUES ('{scope}', '{subject}', 'cost_per_month', {micros}, 0)");
    world.p.db.execute(&sql).unwrap();
}

async fn sweep(world: &World, mode: Mode) -> Vec<SweepActionView> {
    let view = all(&world.p, &config(&[]).unwrap(), &Open(&world.cloud), mode).await;
    let outcome = view.sweeps.into_iter().find(|outcome| outcome.sweep == SweepKind::Budgets).unwrap();
    assert_eq!(outcome.problem, None);
    outcome.actions
}

fn told(world: &World) -> Vec<String> {
    let sql = "SELECT json_extract(event_json, '$.detail') FROM events WHERE kind = 'notice' ORDER BY id";
    world.p.db.texts(sql).into_iter().filter(|text| text.contains("budget")).collect()
}

/// Lets so many hours' worth of one machine be spent, from the first create call on, without any alarm.
fn spend(world: &World, hours: i64) {
    let asked = world.p.db.count("SELECT MIN(first_create_attempt_at_ms) FROM nodes");
    world.p.now.set(UnixMillis::new(asked + hours * HOUR));
}

async fn running(world: &World, who: &Someone) -> ringfence_protocol::views::WorkspaceView {
    let created = world.create_isolated(who, Isolation::Dedicated).await.unwrap();
    world.until_running(who, created.id).await;
    created
}

#[test]
fn each_threshold_is_told_once() {
    run(async {
        let world = World::new();
        let who = world.someone();
        running(&world, &who).await;
        budget(&world, "user", "", 10 * PRICE);
        for (hours, expected) in [(4, 0), (5, 1), (6, 1), (8, 2), (9, 2)] {
            spend(&world, hours);
            sweep(&world, Mode::Act).await;
            sweep(&world, Mode::Act).await;
            assert_eq!(told(&world).len(), expected, "after {hours} hours: {:?}", told(&world));
        }
        assert!(told(&world)[0].starts_with("50 %") && told(&world)[1].starts_with("80 %"), "{:?}", told(&world));
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM nodes WHERE budget_spent_at_ms IS NOT NULL"), 0);
    });
}

#[test]
fn a_spent_budget_ends_a_machine_with_work_after_a_warning() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let work = running(&world, &who).await;
        budget(&world, "user", &who.actor.user_id.to_string(), PRICE);
        spend(&world, 2);
        let spent_at = world.p.now();
        let ended = sweep(&world, Mode::Act).await;
        assert_eq!(ended.len(), 1);
        assert_eq!((ended[0].action, ended[0].done), (SweepActionKind::EndNode, true));
        let grace = Duration::from_secs(BUDGET_GRACE_SECS);
        world
            .until("the node has heeded it", async || {
                world.node(&who, work.node.id).await.hard_deadline_at == spent_at + grace
            })
            .await;
        assert_eq!(world.workspace(&who, work.id).await.state, WorkspaceState::Running, "it goes on for the grace");
        assert!(told(&world).iter().any(|text| text.contains("Save what you need")), "{:?}", told(&world));
        let warned = "SELECT COUNT(*) FROM events WHERE kind = 'ending_soon'";
        world.until("viewers are warned", async || world.p.db.count(warned) > 0).await;
        assert_eq!(sweep(&world, Mode::Act).await.len(), 0, "one that has heeded it is not told again");
        world.until_node_gone(&who, work.node.id).await;
        assert!(world.p.now() >= spent_at + grace, "not before");
        let node = world.node(&who, work.node.id).await;
        assert_eq!(node.failure.as_deref(), Some("budget_spent"));
        let error = world.create(&who).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::BudgetReached);
    });
}

#[test]
fn a_machine_without_work_ends_at_once_and_so_does_one_on_its_way() {
    run(async {
        let world = World::new();
        let (one, two) = (world.someone(), world.someone());
        let idle = world.create(&one).await.unwrap();
        world.until_running(&one, idle.id).await;
        ringfence::app::delete_workspace::delete_workspace(&world.p, &world.settings, &one.actor, idle.id, vec![])
            .await
            .unwrap();
        world.until("it is warm", async || world.node(&one, idle.node.id).await.warm_since_at.is_some()).await;
        let coming = world.create(&two).await.unwrap();
        budget(&world, "installation", "", 1);
        world.p.now.set(world.p.now() + Duration::from_secs(5));
        let before = world.p.now();
        assert_eq!(sweep(&world, Mode::Act).await.len(), 2);
        world.until_node_gone(&one, idle.node.id).await;
        world.until_node_gone(&two, coming.node.id).await;
        assert!(world.p.now().since(before) < Duration::from_secs(BUDGET_GRACE_SECS));
    });
}

#[test]
fn who_answers_for_a_budget_sees_what_was_told_of_it_and_other_tenants_admins_do_not() {
    run(async {
        let world = World::new();
        let (who, admin) = (world.someone(), world.someone());
        running(&world, &who).await;
        budget(&world, "user", "", 10 * PRICE);
        budget(&world, "installation", "", 20 * PRICE);
        for hours in [5, 8, 10] {
            spend(&world, hours);
            sweep(&world, Mode::Act).await;
        }
        let seen = async |caller: &_| {
            let alerts = tenant_budget_alerts(&world.p, caller).await.unwrap().items;
            alerts.into_iter().map(|one| (one.scope, one.id, one.percent, one.spent, one.budget)).collect::<Vec<_>>()
        };
        let everybody = budget_alerts(&world.p, &world.caller(&admin, Role::Admin)).await.unwrap().items;
        let scopes: Vec<_> = everybody.iter().map(|one| (one.scope, one.percent)).collect();
        assert!(scopes.contains(&(LimitScope::User, 100)) && scopes.contains(&(LimitScope::Installation, 50)));
        assert_eq!(scopes.len(), 2, "the highest of each: {scopes:?}");
        let own = (LimitScope::User, Some(who.actor.user_id.to_string()), 100, "0.066".into(), "0.066".into());
        assert_eq!(seen(&world.caller(&admin, Role::TenantAdmin)).await, [own]);

        let mut elsewhere = world.caller(&admin, Role::TenantAdmin);
        elsewhere.user.tenant_id = ringfence::ports::Entropy::id(&world.p);
        assert_eq!(seen(&elsewhere).await, []);
        for role in [Role::Member, Role::TenantAdmin] {
            let refused = budget_alerts(&world.p, &world.caller(&admin, role)).await.unwrap_err();
            assert_eq!(refused.code, ErrorCode::Forbidden);
        }
        let refused = tenant_budget_alerts(&world.p, &world.caller(&who, Role::Member)).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Forbidden);
        // Another month begins with nothing told.
        world.p.now.set(world.p.now() + Duration::from_secs(32 * 24 * 3600));
        assert_eq!(budget_alerts(&world.p, &world.caller(&admin, Role::Admin)).await.unwrap().items, []);
    });
}

#[test]
fn others_are_left_alone_and_a_dry_run_tells_only() {
    run(async {
        let world = World::new();
        let (one, other) = (world.someone(), world.someone());
        let mine = running(&world, &one).await;
        let theirs = running(&world, &other).await;
        budget(&world, "user", &one.actor.user_id.to_string(), PRICE);
        spend(&world, 2);
        let found = sweep(&world, Mode::DryRun).await;
        assert_eq!(found.len(), 1);
        assert!(!found[0].done && found[0].subject == mine.node.id.to_string());
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM nodes WHERE budget_spent_at_ms IS NOT NULL"), 0);
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM budget_alerts"), 0);
        sweep(&world, Mode::Act).await;
        world.until_node_gone(&one, mine.node.id).await;
        assert_eq!(world.node(&other, theirs.node.id).await.state, NodeState::Ready);
    });
}

/// Those that are stuck, and those whose objects do not answer, keep nobody's budget from being held (I13).
#[test]
fn every_spent_budget_is_held_in_one_run_whatever_others_cannot_be_stopped() {
    run(async {
        let world = World::new();
        let mut last = None;
        for count in 0..10 {
            let who = world.someone();
            let node = running(&world, &who).await.node.id;
            if count < 9 {
                let stuck =
                    "UPDATE nodes SET state = 'destroying', step = 'delete', failure = 'deleted', key_refused = 1";
                world.p.db.execute(&format!("{stuck} WHERE id = '{node}'")).unwrap();
            }
            last = Some((who, node));
        }
        let (who, node) = last.unwrap();
        budget(&world, "user", "", PRICE);
        spend(&world, 2);
        world.p.objects_answer.set(false);
        sweep(&world, Mode::Act).await;
        let told = format!("SELECT COUNT(*) FROM nodes WHERE id = '{node}' AND budget_spent_at_ms IS NOT NULL");
        assert_eq!(world.p.db.count(&told), 1);
        // Nobody has woken it; the sweep for what is overdue does.
        world.p.objects_answer.set(true);
        world.p.alarms.borrow_mut().clear();
        world.p.now.set(world.p.now() + Duration::from_secs(130));
        sweep(&world, Mode::Act).await;
        assert!(world.p.alarms.borrow().contains_key(&node));
        world.until_node_gone(&who, node).await;
        assert_eq!(world.node(&who, node).await.failure.as_deref(), Some("budget_spent"));
    });
}

#[test]
fn many_machines_of_a_spent_budget_all_end_some_at_a_time() {
    run(async {
        let world = World::new();
        let who = world.someone();
        for _ in 0..20 {
            world.create_isolated(&who, Isolation::Ephemeral).await.unwrap();
        }
        for _ in 0..200 {
            world.alarm().await;
        }
        budget(&world, "tenant", "", 1);
        let mut runs = 0;
        while world.p.db.count("SELECT COUNT(*) FROM nodes WHERE state <> 'gone' AND budget_spent_at_ms IS NULL") > 0 {
            runs += 1;
            assert!(runs < 10, "every candidate leaves");
            sweep(&world, Mode::Act).await;
            for _ in 0..60 {
                world.alarm().await;
            }
        }
        world.until_quiet().await;
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM nodes WHERE state <> 'gone'"), 0);
    });
}
