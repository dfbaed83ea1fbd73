//! Tenants: their admins see theirs and nothing else; who has nodes stays where they are.

use ringfence::app::caller::Caller;
use ringfence::app::idempotency::Repeatable;
use ringfence::app::{limits, tenants, users};
use ringfence::config::Config;
use ringfence::error::Error;
use ringfence_protocol::ids::TenantId;
use ringfence_protocol::limits::{CreateTenantParams, LimitAmounts, MembershipParams, SetLimitsParams, TenantView};
use ringfence_protocol::params::{CreateUserParams, ListParams};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes;
use ringfence_protocol::state::{Isolation, LimitMeasure, LimitScope, Role};

use crate::support::keys::config;
use crate::support::world::{Someone, World, run};
use ringfence::ports::Entropy;

fn settings() -> Config {
    config(&[]).unwrap()
}

fn caller(world: &World, who: &Someone, role: Role) -> Caller {
    world.caller(who, role)
}

fn once(caller: &Caller, key: Option<&str>) -> Repeatable {
    Repeatable::new(caller, &routes::ADMIN_TENANT_CREATE, key.map(str::to_owned), String::new())
}

async fn tenant(world: &World, admin: &Caller, name: &str) -> TenantView {
    tenants::create(&world.p, admin, CreateTenantParams { name: name.into() }, &once(admin, None)).await.unwrap()
}

fn code<T>(result: Result<T, Error>) -> Option<ErrorCode> {
    result.err().map(|error| error.code)
}

#[test]
fn the_same_request_makes_one_tenant() {
    run(async {
        let world = World::new();
        let admin = caller(&world, &world.someone(), Role::Admin);
        let ask = async |name: &str| {
            let params = CreateTenantParams { name: name.into() };
            tenants::create(&world.p, &admin, params, &once(&admin, Some("key"))).await
        };
        let first = ask("Acme").await.unwrap();
        assert_eq!(ask("Acme").await.unwrap(), first);
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM tenants WHERE name = 'Acme'"), 1);
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM audit WHERE action = 'tenant.create'"), 1);
        assert_eq!(code(ask(" \n").await), None, "the key is looked at first");
    });
}

#[test]
fn a_user_with_nodes_keeps_their_tenant() {
    run(async {
        let world = World::new();
        let admin = caller(&world, &world.someone(), Role::Admin);
        let who = world.someone();
        let acme = tenant(&world, &admin, "Acme").await;
        let user = who.actor.user_id;
        let put = async |tenant_id, role| {
            tenants::set_membership(&world.p, &admin, user, MembershipParams { tenant_id, role }).await
        };
        let created = world.create(&who).await.unwrap();
        assert_eq!(code(put(acme.id, Role::Member).await), Some(ErrorCode::Conflict));
        // The role alone may change.
        assert_eq!(put(who.actor.tenant_id, Role::TenantAdmin).await.unwrap().role, Role::TenantAdmin);
        ringfence::app::delete_node::delete_node(&world.p, &world.settings, &who.actor, created.node.id, vec![])
            .await
            .unwrap();
        world.until_node_gone(&who, created.node.id).await;
        assert_eq!(put(acme.id, Role::Member).await.unwrap().tenant_id, acme.id);
        let nobody: TenantId = world.p.id();
        assert_eq!(code(put(nobody, Role::Member).await), Some(ErrorCode::NotFound));
    });
}

#[test]
fn nobody_changes_their_own_role() {
    run(async {
        let world = World::new();
        let who = world.someone();
        world.p.db.execute("UPDATE users SET role = 'admin'").unwrap();
        let admin = caller(&world, &who, Role::Admin);
        let params = MembershipParams { tenant_id: who.actor.tenant_id, role: Role::Member };
        assert_eq!(
            code(tenants::set_membership(&world.p, &admin, who.actor.user_id, params).await),
            Some(ErrorCode::Conflict)
        );
    });
}

#[test]
fn a_user_is_created_in_a_tenant_that_exists_or_not_at_all() {
    run(async {
        let world = World::new();
        let admin = caller(&world, &world.someone(), Role::Admin);
        let acme = tenant(&world, &admin, "Acme").await;
        let create = async |name: &str, tenant_id| {
            let params = CreateUserParams { name: name.into(), role: None, tenant_id: Some(tenant_id) };
            users::create(&world.p, &admin, params, &once(&admin, None)).await
        };
        assert_eq!(create("ada", acme.id).await.unwrap().tenant_id, acme.id);
        let nobody: TenantId = world.p.id();
        assert_eq!(code(create("bob", nobody).await), Some(ErrorCode::NotFound));
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM users WHERE name = 'bob'"), 0);
    });
}

#[test]
fn a_tenants_admin_sees_its_own_and_never_what_is_ephemeral() {
    run(async {
        let world = World::new();
        let (mine, theirs) = (world.someone(), world.someone());
        let admin = caller(&world, &world.someone(), Role::Admin);
        let acme = tenant(&world, &admin, "Acme").await;
        let params = MembershipParams { tenant_id: acme.id, role: Role::Member };
        tenants::set_membership(&world.p, &admin, theirs.actor.user_id, params).await.unwrap();
        let theirs = Someone { actor: ringfence::app::actor::Actor { tenant_id: acme.id, ..theirs.actor }, ..theirs };

        let shared = world.create(&mine).await.unwrap();
        let secret = world.create_isolated(&mine, Isolation::Ephemeral).await.unwrap();
        let other = world.create(&theirs).await.unwrap();
        let boss = caller(&world, &mine, Role::TenantAdmin);
        let list = ListParams::default();
        let nodes = tenants::own_nodes(&world.p, &boss, &list).await.unwrap().items;
        assert_eq!(nodes.iter().map(|node| node.id).collect::<Vec<_>>(), [shared.node.id]);
        let workspaces = tenants::own_workspaces(&world.p, &boss, &list).await.unwrap().items;
        assert_eq!(workspaces.iter().map(|workspace| workspace.id).collect::<Vec<_>>(), [shared.id]);
        let users = tenants::own_users(&world.p, &boss, list.clone()).await.unwrap().items;
        assert!(users.iter().all(|user| user.id != theirs.actor.user_id) && users.len() == 2, "{users:?}");
        let config = settings();
        let usage = limits::tenant_usage(&world.p, &config, &boss).await.unwrap().items;
        let used = |measure| usage.iter().find(|item| item.measure == measure).unwrap().usage.clone();
        assert_eq!(used(LimitMeasure::Nodes), "2", "what is ephemeral is counted");
        assert_eq!(used(LimitMeasure::EphemeralWorkspaces), "1");
        assert_eq!(used(LimitMeasure::CostPerHour), "0.024", "as long as the dearest may be made in their place");
        assert!(other.id != secret.id);

        let member = caller(&world, &mine, Role::Member);
        assert_eq!(code(tenants::own_nodes(&world.p, &member, &list).await), Some(ErrorCode::Forbidden));
        assert_eq!(code(tenants::own_workspaces(&world.p, &member, &list).await), Some(ErrorCode::Forbidden));
        assert_eq!(code(tenants::own_users(&world.p, &member, list.clone()).await), Some(ErrorCode::Forbidden));
        assert_eq!(code(limits::tenant_usage(&world.p, &config, &member).await), Some(ErrorCode::Forbidden));
        assert_eq!(code(tenants::list(&world.p, &boss, list).await), Some(ErrorCode::Forbidden));
    });
}

#[test]
fn an_admin_sets_limits_of_what_exists_and_reads_them_back() {
    run(async {
        let world = World::new();
        let config = settings();
        let who = world.someone();
        let admin = caller(&world, &world.someone(), Role::Admin);
        let put = async |scope, id: Option<String>, limits| {
            ringfence::app::limits::set(&world.p, &config, &admin, SetLimitsParams { scope, id, limits }).await
        };
        let amounts = LimitAmounts { nodes: Some(3), cost_per_month: Some("20.50".into()), ..LimitAmounts::default() };
        let user = Some(who.actor.user_id.to_string());
        let view = put(LimitScope::User, user.clone(), amounts.clone()).await.unwrap();
        assert_eq!(view.set, amounts);
        let limit = |measure| view.items.iter().find(|item| item.measure == measure).unwrap().limit.clone();
        assert_eq!(limit(LimitMeasure::Nodes).as_deref(), Some("3"));
        assert_eq!(limit(LimitMeasure::CostPerMonth).as_deref(), Some("20.50"));
        assert_eq!(limit(LimitMeasure::Workspaces), None);
        // A PUT stands in place of the one before.
        let view = put(LimitScope::User, user, LimitAmounts::default()).await.unwrap();
        assert_eq!(view.set, LimitAmounts::default());
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM limits"), 0);
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM audit WHERE action = 'limits.set'"), 2);

        let nobody: TenantId = world.p.id();
        let other = Some(nobody.to_string());
        assert_eq!(code(put(LimitScope::Tenant, other.clone(), amounts.clone()).await), Some(ErrorCode::NotFound));
        assert_eq!(code(put(LimitScope::User, other.clone(), amounts.clone()).await), Some(ErrorCode::NotFound));
        assert_eq!(code(put(LimitScope::Installation, other, amounts).await), Some(ErrorCode::InvalidParameter));
        let nonsense = LimitAmounts { cost_per_hour: Some("-1".into()), ..LimitAmounts::default() };
        assert_eq!(code(put(LimitScope::Installation, None, nonsense).await), Some(ErrorCode::InvalidBody));
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM limits"), 0);
    });
}
