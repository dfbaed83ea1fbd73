//! Where the provider has no such machine free, the next one of an ordered list is ordered, and what is adopted is what it is.

use ringfence::app::admission::Subject;
use ringfence::app::delete_node::delete_node;
use ringfence::app::receipt::receipt;
use ringfence::ports::Clock;
use ringfence::provider::{Catalog, ErrorClass, Price, Region};
use ringfence_protocol::money::Micros;
use ringfence_protocol::params::{AlternativeParams, CreateWorkspaceParams};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::{Isolation, LimitMeasure, LimitScope, NodeState, WorkspaceState};
use ringfence_protocol::views::{NodeView, WorkspaceView};

use crate::support::cloud::Fault;
use crate::support::spent::used;
use crate::support::world::{Someone, World, catalog, run};

const SOLD_OUT: Fault = Fault::Refused(ErrorClass::Capacity);

async fn order(world: &World, who: &Someone, params: CreateWorkspaceParams) -> WorkspaceView {
    world.create_with(who, params, vec![]).await.unwrap()
}

fn alternative(region: Option<&str>, size: Option<&str>) -> AlternativeParams {
    AlternativeParams { region: region.map(Into::into), size: size.map(Into::into) }
}

/// The machines that may be ordered for the newest node, in order.
fn offers(world: &World) -> Vec<String> {
    world.p.db.texts(
        "SELECT json_extract(o.value, '$.size') || ' ' || json_extract(o.value, '$.region')
         FROM nodes n, json_each(n.offers_json) o WHERE n.rowid = (SELECT MAX(rowid) FROM nodes) ORDER BY o.key",
    )
}

#[test]
fn where_there_is_none_free_the_next_is_ordered_and_paid() {
    run(async {
        let world = World::new();
        let who = world.someone();
        world.cloud.fail_next([SOLD_OUT]);
        let created = world.create(&who).await.unwrap();
        assert_eq!((created.node.size.as_str(), created.node.region.as_str()), ("cx23", "fsn1"));
        world.until_running(&who, created.id).await;
        let node = world.node(&who, created.node.id).await;
        assert_eq!((node.size.as_str(), node.region.as_str()), ("cx23", "hel1"));
        assert_eq!(node.price_per_hour.amount, "0.007");
        assert_eq!(world.cloud.machines.borrow().values().next().unwrap().region.as_deref(), Some("hel1"));
        let told = world
            .p
            .db
            .count("SELECT COUNT(*) FROM events WHERE event_json LIKE '%no cx23 in fsn1 free: trying cx23 in hel1%'");
        assert_eq!(told, 1);
        // The next workspace finds the node where it is.
        let second = world.create(&who).await.unwrap();
        assert_eq!(second.node.id, node.id);
        assert!(second.placement_explanation.contains("in another region"), "{}", second.placement_explanation);
    });
}

#[test]
fn what_took_several_calls_to_make_has_cost_what_it_has_cost() {
    run(async {
        let world = World::new();
        let who = world.someone();
        world.cloud.fail_next([SOLD_OUT]);
        let params =
            CreateWorkspaceParams { isolation: Some(Isolation::Ephemeral), ..CreateWorkspaceParams::default() };
        let created = order(&world, &who, params).await;
        world.until_running(&who, created.id).await;
        let begun = world.p.now();
        world.run_until_time(begun + std::time::Duration::from_secs(1800)).await;
        let there = world.node(&who, created.node.id).await;
        delete_node(&world.p, &world.settings, &who.actor, created.node.id, vec![]).await.unwrap();
        world.until_node_gone(&who, created.node.id).await;
        let gone = world.node(&who, created.node.id).await;
        let micros = |node: &NodeView| Micros::parse(&node.cost_so_far.amount).unwrap().0;
        assert!(micros(&there) >= 3_500 && micros(&gone) >= micros(&there), "{there:?} and then {gone:?}");
        let receipt = receipt(&world.p, &who.actor, created.id).await.unwrap();
        assert!(receipt.machine.provider_instance_id.is_some() && receipt.machine.gone_at.is_some(), "{receipt:?}");
        assert_eq!(receipt.machine.cost, gone.cost_so_far);
        for scope in LimitScope::ALL {
            let subject = Subject { user: who.actor.user_id, tenant: who.actor.tenant_id }.in_scope(*scope);
            let spent = used(&world, *scope, &subject, LimitMeasure::CostPerMonth).await;
            assert_eq!(spent, micros(&gone), "{scope}");
        }
    });
}

#[test]
fn when_all_are_sold_out_the_node_fails_and_says_so() {
    run(async {
        let world = World::new();
        let who = world.someone();
        world.cloud.fail_next([SOLD_OUT; 10]);
        let created = world.create(&who).await.unwrap();
        let tried = offers(&world).len();
        world.alarm().await;
        // Each once, at once, and a look whether one was made after all.
        assert_eq!(world.cloud.calls.get() as usize, tried + 1);
        let failed = world.workspace(&who, created.id).await;
        assert_eq!((failed.state, failed.failure.as_deref()), (WorkspaceState::Failed, Some("capacity")));
        world.cloud.faults.borrow_mut().clear();
        world.until_node_gone(&who, created.node.id).await;
    });
}

#[test]
fn what_was_asked_for_by_name_is_not_replaced_by_something_else() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let named = |region: Option<&str>, size: Option<&str>| CreateWorkspaceParams {
            region: region.map(Into::into),
            size: size.map(Into::into),
            ..CreateWorkspaceParams::default()
        };
        order(&world, &who, named(Some("hel1"), Some("cx33"))).await;
        assert_eq!(offers(&world), ["cx33 hel1"]);
        order(&world, &who, named(Some("hel1"), None)).await;
        assert_eq!(offers(&world), ["cx23 hel1", "cx33 hel1"]);
        order(&world, &who, named(None, Some("cx33"))).await;
        assert_eq!(offers(&world), ["cx33 fsn1", "cx33 hel1"]);
        order(&world, &who, CreateWorkspaceParams { alternatives: Some(vec![]), ..Default::default() }).await;
        assert_eq!(offers(&world), ["cx23 fsn1"]);
    });
}

#[test]
fn named_alternatives_are_tried_in_their_order() {
    run(async {
        let world = World::new();
        let who = world.someone();
        let params = CreateWorkspaceParams {
            region: Some("hel1".into()),
            size: Some("cx23".into()),
            alternatives: Some(vec![
                alternative(None, Some("cx33")),
                alternative(None, None),
                alternative(Some("fsn1"), None),
            ]),
            ..CreateWorkspaceParams::default()
        };
        let created = order(&world, &who, params.clone()).await;
        assert_eq!(offers(&world), ["cx23 hel1", "cx33 hel1", "cx23 fsn1"], "a repeat is left out");
        world.cloud.fail_next([SOLD_OUT, SOLD_OUT]);
        world.until_running(&who, created.id).await;
        assert_eq!(world.node(&who, created.node.id).await.region, "fsn1");

        let unknown = Some(vec![alternative(Some("nowhere"), None)]);
        let refused = CreateWorkspaceParams { alternatives: unknown, ..params.clone() };
        assert_eq!(world.create_with(&who, refused, vec![]).await.unwrap_err().code, ErrorCode::NotOffered);
        let many = Some(vec![alternative(None, None); 11]);
        let refused = CreateWorkspaceParams { alternatives: many, ..params };
        assert_eq!(world.create_with(&who, refused, vec![]).await.unwrap_err().code, ErrorCode::InvalidBody);
        assert_eq!(world.p.db.count("SELECT COUNT(*) FROM nodes"), 1, "nothing was created");
    });
}

/// The usual alternatives of a catalog.
async fn usual(change: impl FnOnce(&mut Catalog)) -> Vec<String> {
    let world = World::new();
    let who = world.someone();
    let mut catalog = catalog();
    change(&mut catalog);
    let params = CreateWorkspaceParams::default();
    world.create_from(&who, params, &catalog, vec![]).await.unwrap();
    offers(&world)
}

#[test]
fn nothing_goes_to_another_part_of_the_world_or_gets_much_dearer_unasked() {
    run(async {
        let zone = |catalog: &mut Catalog, zone: Option<&str>| {
            catalog.regions[1] = Region { id: "hel1".into(), name: "Elsewhere".into(), zone: zone.map(Into::into) };
        };
        assert_eq!(usual(|_| {}).await, ["cx23 fsn1", "cx23 hel1", "cx33 fsn1", "cx33 hel1"]);
        assert_eq!(usual(|catalog| zone(catalog, Some("us-east"))).await, ["cx23 fsn1", "cx33 fsn1"]);
        assert_eq!(usual(|catalog| zone(catalog, None)).await, ["cx23 fsn1", "cx33 fsn1"], "where nothing is said");
        let dear = |catalog: &mut Catalog| {
            catalog.sizes[1].prices = vec![Price { region: "fsn1".into(), per_hour: Micros(13_201) }];
        };
        assert_eq!(usual(dear).await, ["cx23 fsn1", "cx23 hel1"]);
    });
}

#[test]
fn an_adopted_machine_is_recorded_as_what_it_is() {
    run(async {
        let world = World::new();
        let who = world.someone();
        // The first order took effect and its answer was lost; the list does not show it yet; the same order is then refused,
        // and the next one's name is taken by the machine of the first.
        world.cloud.fail_next([Fault::LostAfter, Fault::EmptyList, SOLD_OUT]);
        let created = world.create(&who).await.unwrap();
        world.until_running(&who, created.id).await;
        assert_eq!(world.cloud.machines.borrow().len(), 1);
        assert_eq!(world.cloud.creates.get(), 2, "the second was told that the name is taken");
        let node = world.node(&who, created.node.id).await;
        assert_eq!((node.region.as_str(), node.price_per_hour.amount.as_str()), ("fsn1", "0.0066"));
        assert_eq!(node.state, NodeState::Ready);
    });
}

#[test]
fn what_may_be_made_counts_against_a_budget_until_it_is_known_what_was() {
    run(async {
        let mut world = World::new();
        world.settings.limits.put(LimitScope::User, LimitMeasure::CostPerHour, 14_000);
        let who = world.someone();
        let first = world.create_isolated(&who, Isolation::Ephemeral).await.unwrap();
        assert_eq!(offers(&world).len(), 4, "the dearest, at 12,000, is within the budget");
        let refused = world.create_isolated(&who, Isolation::Ephemeral).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::BudgetReached, "the first may come to cost 12,000");
        world.until_running(&who, first.id).await;
        world.create_isolated(&who, Isolation::Ephemeral).await.unwrap();
        assert_eq!(offers(&world), ["cx23 fsn1"], "it costs 6,600: nothing dearer fits beside it");
    });
}
