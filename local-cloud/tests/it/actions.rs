//! Power, and the actions that tell of it.

use crate::actor::{World, eventually};
use reqwest::StatusCode;
use serde_json::json;

#[tokio::test]
async fn a_server_is_switched_off_and_on_again() {
    let world = World::new().await;
    let actor = world.actor();
    let id = actor.machine("m", "idle").await;
    let path = format!("/v1/servers/{id}/actions");
    let off = actor.post(&format!("{path}/poweroff"), json!({})).await;
    assert_eq!((off.status, &off.body["action"]["command"]), (StatusCode::CREATED, &json!("stop_server")));
    eventually("off", async || actor.status(id).await == "off").await;
    assert_eq!(actor.report(id).await["pid"], json!(null));
    actor.post(&format!("{path}/poweron"), json!({})).await;
    eventually("on", async || actor.status(id).await == "running").await;
    eventually("the agent runs", async || actor.report(id).await["pid"].is_i64()).await;
    let listed = actor.get(&format!("{path}?status=success&sort=id:desc")).await.body;
    let commands: Vec<_> =
        listed["actions"].as_array().unwrap().iter().map(|a| a["command"].as_str().unwrap()).collect();
    assert_eq!(commands, ["start_server", "stop_server", "start_server", "create_server"]);
    world.end().await;
}

#[tokio::test]
async fn shutdown_is_a_request_that_the_machine_may_ignore() {
    let world = World::new().await;
    let actor = world.actor();
    let willing = actor.machine("willing", "idle").await;
    let stubborn = actor.machine("stubborn", "stubborn").await;
    let ready = actor.state_of(stubborn).await.join("ready");
    eventually("it is stubborn", async || ready.exists()).await;
    for id in [willing, stubborn] {
        let answer = actor.post(&format!("/v1/servers/{id}/actions/shutdown"), json!({})).await;
        assert_eq!((answer.status, &answer.body["action"]["status"]), (StatusCode::CREATED, &json!("success")));
    }
    eventually("the willing one is off", async || actor.status(willing).await == "off").await;
    assert_eq!(actor.status(stubborn).await, "running");
    world.end().await;
}

#[tokio::test]
async fn actions_are_listed_by_id_only() {
    let world = World::new().await;
    let actor = world.actor();
    let created = actor.post("/v1/servers", crate::actor::server_order("a")).await.body;
    let (first, second) = (&created["action"]["id"], &created["next_actions"][0]["id"]);
    assert_eq!(actor.get("/v1/actions").await.code(), (410, "deprecated_api_endpoint"));
    let listed = actor.get(&format!("/v1/actions?id={first}&id={second}&id=5")).await.body;
    assert_eq!(listed["actions"].as_array().unwrap().len(), 2);
    let server = &created["server"]["id"];
    let one = actor.get(&format!("/v1/servers/{server}/actions/{first}")).await;
    assert_eq!((one.status, &one.body["action"]["id"]), (StatusCode::OK, first));
    world.end().await;
}
