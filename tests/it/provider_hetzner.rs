//! What the Hetzner provider asks, and what it makes of the answers.

use ringfence::domain::node::{CallError, Deletion, InstanceId};
use ringfence::provider::{
    CreateInstance, Description, ErrorClass, Idempotency, Mark, NOT_OURS, Provider, ProviderError, ProviderFirewall,
    ProviderKey, machine_name,
};
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::money::Micros;
use ringfence_protocol::params::SecretText;
use ringfence_protocol::state::ProviderKind;
use serde_json::{Value, json};
use std::time::Duration;

use crate::scripted::{Answer, Scripted};

const KEY: &str = "jEheVytlAoFl7F8MqUQ7jAo2hOXASztX";

fn provider(url: &str, key: &str) -> Provider {
    Provider::new(ProviderKind::Hetzner, url, ProviderKey::new(&SecretText::new(key.into())))
}

fn mark() -> Mark {
    Mark { installation: "test1".into(), node: NodeId::from_entropy([7; 13]) }
}

fn order(mark: &Mark) -> CreateInstance<'_> {
    CreateInstance { mark, region: "fsn1", size: "cx23", image: None, user_data: "#cloud-config\n{}" }
}

fn server(id: u64, name: &str) -> Value {
    json!({
        "id": id, "name": name, "status": "initializing", "created": "2026-11-22T08:00:00+00:00",
        "labels": { "ringfence-node": mark().node, "ringfence-installation": "test1" },
        "public_net": { "ipv4": { "ip": "192.0.2.7" }, "ipv6": { "ip": "2001:db8::/64" } },
    })
}

/// The provider has this machine of ours.
fn found(id: u64) -> Answer {
    Answer::json(200, json!({ "server": server(id, &machine_name(mark().node)) }))
}

fn refusal(status: u16, code: &str) -> Answer {
    Answer::json(status, json!({ "error": { "code": code, "message": "told so", "details": null } }))
}

fn firewall(id: u64, rules: Value) -> Value {
    json!({ "id": id, "name": "ringfence-test1", "labels": {}, "rules": rules, "applied_to": [] })
}

/// The installation has its firewall.
fn firewalls() -> Answer {
    Answer::json(200, json!({ "firewalls": [firewall(38, json!([]))] }))
}

/// What becomes of a create call that is answered so.
async fn refused(answer: Answer) -> ProviderError {
    let scripted = Scripted::new([firewalls(), answer]).await;
    let mark = mark();
    provider(&scripted.url, KEY).create(&order(&mark)).await.unwrap_err()
}

#[tokio::test]
async fn a_machine_is_ordered_under_the_nodes_name_and_labels() {
    let mark = mark();
    let made = Answer::json(201, json!({ "server": server(42, "x"), "root_password": "p" }));
    let scripted = Scripted::new([firewalls(), made]).await;
    let instance = provider(&format!("{}/", scripted.url), KEY).create(&order(&mark)).await.unwrap();
    assert_eq!(instance.id, InstanceId("42".into()));
    assert_eq!(instance.node(), Some(mark.node));
    assert_eq!(instance.installation(), Some("test1"));
    assert_eq!(instance.known().ipv6.as_deref(), Some("2001:db8::/64"));
    let looked = scripted.asked().remove(0);
    assert_eq!((looked.method.as_str(), looked.path_and_query.as_str()), ("GET", "/v1/firewalls?name=ringfence-test1"));
    let asked = scripted.asked().remove(1);
    assert_eq!((asked.method.as_str(), asked.path_and_query.as_str()), ("POST", "/v1/servers"));
    assert_eq!(asked.authorization, format!("Bearer {KEY}"));
    assert_eq!(
        serde_json::from_str::<Value>(&asked.body).unwrap(),
        json!({
            "name": machine_name(mark.node), "server_type": "cx23", "location": "fsn1", "image": "docker-ce",
            "labels": { "ringfence-installation": "test1", "ringfence-node": mark.node },
            "user_data": "#cloud-config\n{}", "start_after_create": true, "firewalls": [{ "firewall": 38 }],
        })
    );
}

/// What was asked, as method and path, of a project that answers so.
async fn order_of(answers: Vec<Answer>) -> (Result<u64, ErrorClass>, Vec<(String, String, Value)>) {
    let scripted = Scripted::new(answers).await;
    let mark = mark();
    let made = provider(&scripted.url, KEY).create(&order(&mark)).await;
    let body = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    let asked = scripted.asked().into_iter().map(|asked| (asked.method, asked.path_and_query, body(&asked.body)));
    (made.map(|made| made.id.0.parse().unwrap()).map_err(|error| error.class), asked.collect())
}

fn made() -> Answer {
    Answer::json(201, json!({ "server": server(42, "x") }))
}

#[tokio::test]
async fn the_first_order_makes_the_firewall_and_no_server_is_ordered_without_it() {
    let none = || Answer::json(200, json!({ "firewalls": [] }));
    let firewall_made = Answer::json(201, json!({ "firewall": firewall(39, json!([])), "actions": [] }));
    let (ordered, asked) = order_of(vec![none(), firewall_made, made()]).await;
    assert_eq!(ordered, Ok(42));
    assert_eq!((asked[1].0.as_str(), asked[1].1.as_str()), ("POST", "/v1/firewalls"));
    let wanted = json!({ "name": "ringfence-test1", "labels": { "ringfence-installation": "test1" }, "rules": [] });
    assert_eq!(asked[1].2, wanted);
    assert_eq!(asked[2].2["firewalls"], json!([{ "firewall": 39 }]));

    // Whatever is not known of the firewall, no server was asked for: the same order may be repeated.
    for (answer, class) in [
        (Answer::Lost, ErrorClass::Transient),
        (refusal(500, "service_error"), ErrorClass::Transient),
        (refusal(403, "token_readonly"), ErrorClass::Auth),
        (refusal(403, "resource_limit_exceeded"), ErrorClass::Quota),
        (refusal(429, "rate_limit_exceeded"), ErrorClass::RateLimited),
    ] {
        let (ordered, asked) = order_of(vec![none(), answer.clone()]).await;
        assert_eq!((ordered, asked.len()), (Err(class), 2));
        let (ordered, asked) = order_of(vec![answer]).await;
        assert_eq!((ordered, asked.len()), (Err(class), 1));
    }
}

#[tokio::test]
async fn a_firewall_that_another_order_made_first_is_found() {
    let none = || Answer::json(200, json!({ "firewalls": [] }));
    let taken = || refusal(409, "uniqueness_error");
    let (ordered, asked) = order_of(vec![none(), taken(), firewalls(), made()]).await;
    assert_eq!((ordered, asked.len()), (Ok(42), 4));
    assert_eq!(asked[3].2["firewalls"], json!([{ "firewall": 38 }]));
    // Taken and not listed is not the server's name: nothing is adopted, the order is repeated.
    let (ordered, _) = order_of(vec![none(), taken(), none()]).await;
    assert_eq!(ordered, Err(ErrorClass::Transient));
}

#[tokio::test]
async fn what_somebody_let_in_is_shut_again_before_a_server_relies_on_it() {
    let rule =
        |direction| json!({ "direction": direction, "protocol": "tcp", "port": "22", "source_ips": ["0.0.0.0/0"] });
    let listed = |rules| Answer::json(200, json!({ "firewalls": [firewall(38, rules)] }));
    let set = || Answer::json(201, json!({ "actions": [] }));
    let (ordered, asked) = order_of(vec![listed(json!([rule("in")])), set(), made()]).await;
    assert_eq!(ordered, Ok(42));
    assert_eq!((asked[1].0.as_str(), asked[1].1.as_str()), ("POST", "/v1/firewalls/38/actions/set_rules"));
    assert_eq!(asked[1].2, json!({ "rules": [] }));
    let (ordered, asked) = order_of(vec![listed(json!([rule("in")])), refusal(423, "locked")]).await;
    assert_eq!((ordered, asked.len()), (Err(ErrorClass::Transient), 2), "not shut: no server");
    let (ordered, asked) = order_of(vec![listed(json!([rule("out")])), made()]).await;
    assert_eq!((ordered, asked.len()), (Ok(42), 2));
}

#[tokio::test]
async fn each_refusal_has_its_class() {
    for (status, code, class) in [
        (412, "resource_unavailable", ErrorClass::Capacity),
        (412, "placement_error", ErrorClass::Capacity),
        (403, "resource_limit_exceeded", ErrorClass::Quota),
        (401, "unauthorized", ErrorClass::Auth),
        (403, "forbidden", ErrorClass::Auth),
        (403, "token_readonly", ErrorClass::Auth),
        (429, "rate_limit_exceeded", ErrorClass::RateLimited),
        (409, "uniqueness_error", ErrorClass::NameTaken),
        (422, "invalid_input", ErrorClass::Invalid),
        (400, "json_error", ErrorClass::Invalid),
        (404, "not_found", ErrorClass::Invalid),
        (409, "conflict", ErrorClass::Transient),
        (423, "locked", ErrorClass::Transient),
        (503, "maintenance", ErrorClass::Transient),
        (500, "service_error", ErrorClass::Unknown),
        (504, "timeout", ErrorClass::Unknown),
        (422, "a_code_of_tomorrow", ErrorClass::Invalid),
        (403, "a_code_of_tomorrow", ErrorClass::Auth),
        (500, "a_code_of_tomorrow", ErrorClass::Unknown),
    ] {
        let error = refused(refusal(status, code)).await;
        assert_eq!((error.class, error.code.as_str()), (class, code), "{status} {code}");
        assert_eq!(error.message, "told so");
    }
}

#[tokio::test]
async fn an_order_whose_answer_is_lost_or_unreadable_may_have_been_carried_out() {
    assert_eq!(refused(Answer::Lost).await.class, ErrorClass::Unknown);
    assert_eq!(refused(Answer::Says(201, vec![], "<html>".into())).await.class, ErrorClass::Unknown);
    assert_eq!(refused(Answer::Says(502, vec![], "Bad Gateway".into())).await.class, ErrorClass::Unknown);
    let error = refused(Answer::Lost).await;
    assert_eq!(CallError::from(&error), CallError::Unknown);
}

#[tokio::test]
async fn a_question_whose_answer_is_lost_is_simply_asked_again() {
    let scripted = Scripted::new([Answer::Lost]).await;
    let error = provider(&scripted.url, KEY).get(&InstanceId("42".into())).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
}

#[tokio::test]
async fn what_answers_in_the_providers_place_is_not_believed() {
    let scripted = Scripted::new([
        Answer::Says(404, vec![], "no such page".into()),
        found(42),
        Answer::Says(404, vec![], "no such page".into()),
        Answer::Says(403, vec![], "blocked".into()),
    ])
    .await;
    let (provider, id) = (provider(&scripted.url, KEY), InstanceId("42".into()));
    assert_eq!(provider.get(&id).await.unwrap_err().class, ErrorClass::Transient);
    assert_eq!(provider.delete(&mark(), &id).await.unwrap_err().class, ErrorClass::Unknown);
    assert_eq!(provider.get(&id).await.unwrap_err().class, ErrorClass::Transient);
}

#[tokio::test]
async fn what_the_provider_says_of_waiting_is_passed_on() {
    let body = json!({ "error": { "code": "rate_limit_exceeded", "message": "slow down" } }).to_string();
    let error = refused(Answer::Says(429, vec![("retry-after", "17")], body)).await;
    assert_eq!(error.retry_after, Some(Duration::from_secs(17)));
    assert_eq!(CallError::from(&error), CallError::RateLimited { retry_after_ms: Some(17_000) });
}

#[tokio::test]
async fn a_key_never_gets_into_an_error() {
    let error = refused(Answer::json(
        401,
        json!({ "error": { "code": "unauthorized", "message": format!("token {KEY} is unknown") } }),
    ))
    .await;
    assert!(!format!("{error:?} {error}").contains(KEY));
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_refused_without_asking() {
    let scripted = Scripted::new([]).await;
    let error = provider(&scripted.url, "two\nlines").validate().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Auth);
    assert!(scripted.asked().is_empty());
}

#[tokio::test]
async fn an_id_that_is_not_a_number_never_becomes_part_of_a_path() {
    let scripted = Scripted::new([]).await;
    let error = provider(&scripted.url, KEY).delete(&mark(), &InstanceId("../images/1".into())).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Invalid);
    assert!(scripted.asked().is_empty());
}

#[tokio::test]
async fn a_machine_that_is_gone_is_gone_and_its_deletion_a_success() {
    let scripted = Scripted::new([
        refusal(404, "not_found"),
        refusal(404, "not_found"),
        // It went between the look and the call.
        found(42),
        refusal(404, "not_found"),
        found(42),
        Answer::json(200, json!({ "action": { "id": 1 } })),
    ])
    .await;
    let (provider, id) = (provider(&scripted.url, KEY), InstanceId("42".into()));
    assert_eq!(provider.get(&id).await.unwrap(), None);
    assert_eq!(provider.delete(&mark(), &id).await.unwrap(), Deletion::NotFound);
    assert_eq!(provider.delete(&mark(), &id).await.unwrap(), Deletion::NotFound);
    assert_eq!(provider.delete(&mark(), &id).await.unwrap(), Deletion::Accepted);
}

#[tokio::test]
async fn a_machine_that_does_not_prove_to_be_ours_is_never_deleted() {
    let mut theirs = server(42, &machine_name(mark().node));
    theirs["labels"]["ringfence-installation"] = "another".into();
    let mut nobodys = server(42, "web-1");
    nobodys["labels"] = json!({});
    for machine in [theirs, nobodys] {
        let scripted = Scripted::new([Answer::json(200, json!({ "server": machine }))]).await;
        let error = provider(&scripted.url, KEY).delete(&mark(), &InstanceId("42".into())).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::Invalid, NOT_OURS));
        let asked = scripted.asked();
        assert_eq!(asked.iter().map(|asked| asked.method.as_str()).collect::<Vec<_>>(), ["GET"]);
    }
}

#[tokio::test]
async fn a_machine_is_found_by_its_name_and_by_its_label_once_each() {
    let name = machine_name(mark().node);
    let scripted = Scripted::new([
        Answer::json(200, json!({ "servers": [server(42, &name)] })),
        Answer::json(200, json!({ "servers": [server(42, &name), server(43, "renamed")] })),
    ])
    .await;
    let found = provider(&scripted.url, KEY).find(mark().node).await.unwrap();
    let ids: Vec<&str> = found.iter().map(|instance| instance.id.0.as_str()).collect();
    assert_eq!(ids, ["42", "43"]);
    let asked = scripted.asked();
    assert!(asked[0].path_and_query.contains(&format!("name={name}")));
    assert!(asked[1].path_and_query.contains(&format!("label_selector=ringfence-node%3D%3D{}", mark().node)));
}

#[tokio::test]
async fn a_list_is_read_to_its_end() {
    let page = |id: u64, next: Option<u32>| {
        Answer::json(
            200,
            json!({ "servers": [server(id, "x")], "meta": { "pagination": { "page": id, "next_page": next } } }),
        )
    };
    let scripted = Scripted::new([page(1, Some(2)), page(2, Some(3)), page(3, None)]).await;
    let inventory = provider(&scripted.url, KEY).list("test1").await.unwrap();
    assert!(inventory.complete);
    assert_eq!(inventory.instances.len(), 3);
    assert!(scripted.asked()[2].path_and_query.contains("page=3"));
}

#[tokio::test]
async fn a_list_that_never_ends_or_runs_in_circles_is_cut_and_says_so() {
    let page = |number: u32, next: u32| {
        Answer::json(
            200,
            json!({ "servers": [server(u64::from(number), "x")], "meta": { "pagination": { "next_page": next } } }),
        )
    };
    let endless = Scripted::new((1..=10).map(|number| page(number, number + 1))).await;
    let inventory = provider(&endless.url, KEY).list("test1").await.unwrap();
    assert_eq!((inventory.instances.len(), inventory.complete), (10, false));
    let circle = Scripted::new([page(1, 2), page(2, 1)]).await;
    let inventory = provider(&circle.url, KEY).list("test1").await.unwrap();
    assert_eq!((inventory.instances.len(), inventory.complete), (2, false));
}

fn server_type(name: &str, gross: &str, more: Value) -> Value {
    let mut described = json!({
        "name": name, "cores": 2, "memory": 4.0, "disk": 40, "architecture": "x86",
        "prices": [
            { "location": "fsn1", "price_hourly": { "net": "0.1", "gross": gross } },
            { "location": "hel1", "price_hourly": { "net": "0.1", "gross": "0.0040000001" } },
        ],
    });
    described.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    described
}

#[tokio::test]
async fn the_catalog_holds_what_can_be_ordered_cheapest_first() {
    let offered = json!({ "locations": [{ "name": "fsn1", "deprecation": null, "available": true }, { "name": "hel1", "deprecation": null }] });
    let only_fsn = json!({ "locations": [
        { "name": "fsn1", "deprecation": null },
        { "name": "hel1", "deprecation": null, "available": false },
    ] });
    let deprecated = json!({ "deprecation": { "announced": "2025-01-01T00:00:00Z" } });
    let deprecated_there =
        json!({ "locations": [{ "name": "fsn1", "deprecation": { "announced": "2025-01-01T00:00:00Z" } }] });
    let scripted = Scripted::new([
        Answer::json(
            200,
            json!({ "locations": [
                { "name": "fsn1", "city": "Falkenstein", "country": "DE" },
                { "name": "hel1", "city": "Helsinki", "country": "FI" },
            ] }),
        ),
        Answer::json(
            200,
            json!({ "server_types": [
                server_type("big", "0.0952000000000000", only_fsn),
                server_type("small", "0.0095200000000000", offered),
                server_type("old", "0.0010000000", deprecated),
                server_type("old-there", "0.0010000000", deprecated_there),
                server_type("strange", "0.0010000000", json!({ "architecture": "riscv" })),
            ] }),
        ),
        Answer::json(200, json!({ "pricing": { "currency": "USD", "vat_rate": "19.00" } })),
    ])
    .await;
    let catalog = provider(&scripted.url, KEY).catalog().await.unwrap();
    let ids: Vec<&str> = catalog.sizes.iter().map(|size| size.id.as_str()).collect();
    assert_eq!(ids, ["small", "big"]);
    assert_eq!(catalog.sizes[0].prices[0].region, "hel1");
    assert_eq!(catalog.price("small", "hel1"), Some(Micros(4_001)));
    assert_eq!(catalog.price("big", "hel1"), None);
    assert_eq!(catalog.sizes[0].memory_bytes, 4 << 30);
    assert_eq!((catalog.currency.as_str(), catalog.regions[0].name.as_str()), ("USD", "Falkenstein, DE"));
}

#[tokio::test]
async fn a_key_that_may_write_is_valid_and_one_that_may_only_read_is_not() {
    let servers = || Answer::json(200, json!({ "servers": [] }));
    let writer = Scripted::new([servers(), refusal(404, "not_found")]).await;
    provider(&writer.url, KEY).validate().await.unwrap();
    let asked = writer.asked();
    assert_eq!((asked[1].method.as_str(), asked[1].path_and_query.as_str()), ("PUT", "/v1/servers/0"));
    assert_eq!(asked[1].body, "{}");

    let strict = Scripted::new([servers(), refusal(422, "invalid_input")]).await;
    provider(&strict.url, KEY).validate().await.unwrap();

    let reader = Scripted::new([servers(), refusal(403, "token_readonly")]).await;
    assert_eq!(provider(&reader.url, KEY).validate().await.unwrap_err().class, ErrorClass::Auth);

    let nobody = Scripted::new([refusal(401, "unauthorized")]).await;
    assert_eq!(provider(&nobody.url, KEY).validate().await.unwrap_err().class, ErrorClass::Auth);
}

#[test]
fn a_hetzner_machine_that_is_off_still_costs() {
    let description = Description::of(ProviderKind::Hetzner);
    assert_eq!(description.idempotency, Idempotency::UniqueName);
    assert!(!description.view().poweroff_ends_billing);
    assert_eq!(description.firewall, ProviderFirewall::NothingComesIn);
}
