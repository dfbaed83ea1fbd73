//! Faults on command.

use crate::actor::{Actor, World, eventually, server_order};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn order(actor: &Actor, fault: Value) {
    let answer = actor.post("/_faults", fault).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
}

#[tokio::test]
async fn an_answer_lost_after_the_effect_leaves_the_server() {
    let world = World::new().await;
    let actor = world.actor();
    order(&actor, json!({"on": "create_server", "fault": "lose_answer_after_effect"})).await;
    let lost = actor.send(Method::POST, "/v1/servers", Some(server_order("kept"))).await;
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(actor.names("").await, ["kept"]);
    assert_eq!(actor.post("/v1/servers", server_order("kept")).await.code(), (409, "uniqueness_error"));
    world.end().await;
}

#[tokio::test]
async fn an_answer_lost_before_the_effect_leaves_nothing() {
    let world = World::new().await;
    let actor = world.actor();
    order(&actor, json!({"on": "create_server", "fault": "lose_answer_before_effect"})).await;
    assert!(actor.send(Method::POST, "/v1/servers", Some(server_order("never"))).await.is_err());
    assert!(actor.names("").await.is_empty());
    world.end().await;
}

#[tokio::test]
async fn a_delete_whose_answer_is_lost_has_deleted() {
    let world = World::new().await;
    let actor = world.actor();
    let id = actor.machine("doomed", "idle").await;
    order(&actor, json!({"on": "delete_server", "fault": "lose_answer_after_effect"})).await;
    assert!(actor.send(Method::DELETE, &format!("/v1/servers/{id}"), None).await.is_err());
    eventually("gone", async || actor.status(id).await == "gone").await;
    world.end().await;
}

#[tokio::test]
async fn refusals_on_command_say_what_a_real_cloud_says() {
    let world = World::new().await;
    let actor = world.actor();
    order(&actor, json!({"on": "list_servers", "fault": "rate_limited", "retry_after_secs": 7})).await;
    order(&actor, json!({"on": "create_server", "fault": "resource_unavailable"})).await;
    let limited = actor.get("/v1/servers").await;
    assert_eq!((limited.code(), limited.headers["retry-after"].to_str().unwrap()), ((429, "rate_limit_exceeded"), "7"));
    assert_eq!(limited.headers["ratelimit-remaining"], "0");
    assert_eq!(actor.post("/v1/servers", server_order("a")).await.code(), (412, "resource_unavailable"));
    assert!(actor.names("").await.is_empty());
    world.end().await;
}

#[tokio::test]
async fn a_delayed_request_takes_effect_even_if_the_client_hangs_up() {
    let world = World::new().await;
    let actor = world.actor();
    order(&actor, json!({"on": "create_server", "fault": "delay", "delay_ms": 300})).await;
    let impatient = actor.send(Method::POST, "/v1/servers", Some(server_order("late")));
    assert!(tokio::time::timeout(Duration::from_millis(100), impatient).await.is_err());
    eventually("it exists", async || !actor.names("").await.is_empty()).await;
    world.end().await;
}

#[tokio::test]
async fn faults_happen_as_often_as_ordered_and_are_counted() {
    let world = World::new().await;
    let actor = world.actor();
    order(&actor, json!({"on": "any", "fault": "delay", "delay_ms": 50, "times": 2})).await;
    let begun = Instant::now();
    actor.get("/v1/servers").await;
    actor.get("/v1/pricing").await;
    assert!(begun.elapsed() >= Duration::from_millis(100));
    actor.get("/v1/pricing").await;
    let listed = actor.get("/_faults").await.body;
    assert_eq!((&listed["faults"][0]["fired"], &listed["faults"][0]["remaining"]), (&json!(2), &json!(0)));
    assert_eq!(actor.delete("/_faults").await.status, StatusCode::NO_CONTENT);
    assert_eq!(actor.get("/_faults").await.body["faults"], json!([]));
    world.end().await;
}

#[tokio::test]
async fn senseless_fault_orders_are_refused() {
    let world = World::new().await;
    let actor = world.actor();
    for body in [
        json!({}),
        json!({"on": "nothing", "fault": "delay", "delay_ms": 1}),
        json!({"on": "any", "fault": "delay"}),
        json!({"on": "any", "fault": "delay", "delay_ms": 600_000}),
        json!({"on": "any", "fault": "rate_limited", "times": 0}),
        json!({"on": "any", "fault": "resource_unavailable", "retry_after_secs": 1}),
        json!({"on": "any", "fault": "rate_limited", "colour": "red"}),
    ] {
        assert_eq!(actor.post("/_faults", body.clone()).await.code(), (422, "invalid_input"), "{body}");
    }
    world.end().await;
}

#[tokio::test]
async fn requests_are_logged_with_what_became_of_them() {
    let world = World::new().await;
    let actor = world.actor();
    order(&actor, json!({"on": "get_server", "fault": "lose_answer_before_effect"})).await;
    actor.get("/v1/servers?name=x").await;
    assert!(actor.send(Method::GET, "/v1/servers/1", None).await.is_err());
    let log = actor.get("/_requests").await.body["requests"].clone();
    assert_eq!((&log[0]["operation"], &log[0]["status"]), (&json!("list_servers"), &json!(200)));
    assert_eq!((&log[1]["path"], &log[1]["status"]), (&json!("/v1/servers/1"), &json!(null)));
    world.end().await;
}

#[tokio::test]
async fn web_pages_cannot_order_faults() {
    let world = World::new().await;
    let url = format!("{}/_faults", world.url);
    let client = reqwest::Client::new();
    for (name, value) in [("origin", "http://evil.example"), ("host", "evil.example:80")] {
        let answer = client.delete(&url).header(name, value).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{name}");
    }
    assert!(local_cloud::listen("0.0.0.0:0".parse().unwrap()).await.is_err());
    world.end().await;
}
