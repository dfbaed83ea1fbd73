//! Firewalls: kept, named once, put before servers, and not removed while they stand there.

use crate::actor::{Actor, TOKENS, World, eventually, server_order};
use reqwest::StatusCode;
use serde_json::{Value, json};

async fn fence(actor: &Actor, name: &str) -> Value {
    let created = actor.post("/v1/firewalls", json!({"name": name, "rules": [], "labels": {"of": "test"}})).await;
    assert_eq!(created.status, StatusCode::CREATED, "{:?}", created.body);
    created.body["firewall"]["id"].clone()
}

#[tokio::test]
async fn a_firewall_stands_before_a_server_until_the_server_goes() {
    let world = World::new().await;
    let actor = world.actor();
    let firewall = fence(&actor, "no-inbound").await;
    let mut order = server_order("behind");
    order["firewalls"] = json!([{"firewall": firewall}]);
    let server = actor.create(order).await;
    let shown = actor.get(&format!("/v1/servers/{server}")).await.body;
    assert_eq!(shown["server"]["public_net"]["firewalls"], json!([{"id": firewall, "status": "applied"}]));
    let path = format!("/v1/firewalls/{firewall}");
    assert_eq!(actor.delete(&path).await.code(), (422, "resource_in_use"));
    actor.delete(&format!("/v1/servers/{server}")).await;
    eventually("gone", async || actor.status(server).await == "gone").await;
    assert_eq!(actor.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(actor.get(&path).await.code(), (404, "not_found"));
    world.end().await;
}

#[tokio::test]
async fn a_firewalls_name_is_taken_once_in_a_project_and_found_again_after_a_restart() {
    let world = World::new().await;
    let firewall = fence(&world.actor(), "no-inbound").await;
    let again = world.actor().post("/v1/firewalls", json!({"name": "no-inbound"})).await;
    assert_eq!(again.code(), (409, "uniqueness_error"));
    fence(&Actor::new(&world.url, TOKENS[1]), "no-inbound").await;
    let world = world.restart().await;
    let found = world.actor().get("/v1/firewalls?name=no-inbound").await.body;
    assert_eq!(found["firewalls"].as_array().unwrap().len(), 1);
    assert_eq!(found["firewalls"][0]["id"], firewall);
    world.end().await;
}

#[tokio::test]
async fn a_firewall_of_another_project_or_none_is_refused() {
    let world = World::new().await;
    let foreign = fence(&Actor::new(&world.url, TOKENS[1]), "theirs").await;
    for firewall in [foreign.clone(), json!(7)] {
        let mut order = server_order("behind");
        order["firewalls"] = json!([{"firewall": firewall}]);
        assert_eq!(world.actor().post("/v1/servers", order).await.code(), (422, "invalid_input"));
    }
    assert_eq!(world.actor().get(&format!("/v1/firewalls/{foreign}")).await.code(), (404, "not_found"));
    world.end().await;
}
