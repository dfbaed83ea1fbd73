//! What stands behind a server: an agent, its children, its console.

use crate::actor::{World, eventually, is_alive, started, user_data};
use reqwest::StatusCode;
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;

#[tokio::test]
async fn delete_ends_the_whole_process_tree() {
    let world = World::new().await;
    let actor = world.actor();
    let id = actor.machine("tree", "tree").await;
    let state = actor.state_of(id).await;
    eventually("the tree has grown", async || state.join("ready").exists() && started(&state).len() == 4).await;
    let processes = started(&state);
    assert!(processes.iter().all(|pid| is_alive(*pid)), "{processes:?}");
    actor.delete(&format!("/v1/servers/{id}")).await;
    eventually("gone", async || actor.status(id).await == "gone").await;
    assert!(!processes.iter().any(|pid| is_alive(*pid)), "{processes:?}");
    assert!(!state.exists());
    world.end().await;
}

#[tokio::test]
async fn an_agent_that_is_killed_is_started_again() {
    let world = World::new().await;
    let actor = world.actor();
    let id = actor.machine("m", "tree").await;
    let state = actor.state_of(id).await;
    eventually("the tree has grown", async || state.join("ready").exists() && started(&state).len() == 4).await;
    let before = started(&state);
    let killed = actor.post(&format!("/_machines/{id}/kill"), json!({"signal": "SIGKILL"})).await;
    assert_eq!(killed.status, StatusCode::NO_CONTENT);
    eventually("a new agent", async || started(&state).len() == 8).await;
    assert!(!before.iter().any(|pid| is_alive(*pid)), "what the agent left is ended with it");
    let report = actor.report(id).await;
    assert_eq!((&report["restarts"], &report["status"]), (&json!(1), &json!("running")));
    world.end().await;
}

#[tokio::test]
async fn an_agent_that_fails_is_started_again_and_again() {
    let world = World::new().await;
    let actor = world.actor();
    let id = actor.machine("m", "crash").await;
    eventually("three starts", async || actor.report(id).await["restarts"].as_u64() >= Some(3)).await;
    assert_eq!(actor.status(id).await, "running");
    let console = actor.get(&format!("/_machines/{id}/console")).await.body;
    let console = console.as_str().unwrap();
    assert!(console.contains("agent says crash") && console.contains("exit code 3"), "{console}");
    actor.delete(&format!("/v1/servers/{id}")).await;
    eventually("gone", async || actor.status(id).await == "gone").await;
    world.end().await;
}

#[tokio::test]
async fn an_agent_that_ends_well_has_powered_its_machine_off() {
    let world = World::new().await;
    let actor = world.actor();
    let id = actor.machine("m", "power_off").await;
    eventually("off", async || actor.status(id).await == "off").await;
    assert_eq!(actor.report(id).await["restarts"], 0);
    world.end().await;
}

#[tokio::test]
async fn a_machine_without_an_agent_stays_on_and_says_why() {
    let world = World::new().await;
    let actor = world.actor();
    let mut order = crate::actor::server_order("empty");
    order["user_data"] = "#!/bin/sh\ntrue".into();
    let id = actor.create(order).await;
    eventually("running", async || actor.status(id).await == "running").await;
    let console = format!("/_machines/{id}/console");
    eventually("explained", async || actor.get(&console).await.body.to_string().contains("not a #cloud-config")).await;
    assert_eq!(actor.post(&format!("/_machines/{id}/kill"), json!({})).await.code(), (404, "not_found"));
    world.end().await;
}

#[tokio::test]
async fn a_machine_that_is_a_process_has_no_inside_and_its_cloud_no_network() {
    let world = World::new().await;
    let actor = world.actor();
    let id = actor.machine("m", "idle").await;
    let report = actor.report(id).await;
    assert_eq!((&report["driver"], &report["isolation"]), (&json!("process"), &json!("unconfined")));
    assert_eq!((&report["ipv4"], &report["cloud_namespace"]), (&json!(null), &json!(null)));
    let body = json!({"argv": ["true"]});
    assert_eq!(actor.post(&format!("/_machines/{id}/exec"), body.clone()).await.code(), (412, "resource_unavailable"));
    assert_eq!(actor.post("/_cloud/exec", body.clone()).await.code(), (404, "not_found"));
    // Nobody without a token even learns that much.
    let stranger = crate::actor::Actor::new(&world.url, "wrong");
    assert_eq!(stranger.post(&format!("/_machines/{id}/exec"), body.clone()).await.code(), (401, "unauthorized"));
    assert_eq!(stranger.post("/_cloud/exec", body).await.code(), (401, "unauthorized"));
    for refused in
        [json!({"argv": []}), json!({"argv": ["a"], "timeout_secs": 0}), json!({"argv": ["a"], "shell": true})]
    {
        assert_eq!(actor.post("/_cloud/exec", refused).await.code(), (422, "invalid_input"));
    }
    world.end().await;
}

#[tokio::test]
async fn the_agents_configuration_is_private_and_written_once() {
    let world = World::new().await;
    let actor = world.actor();
    let id = actor.machine("m", "idle").await;
    let state = actor.state_of(id).await;
    let config = state.parent().unwrap().join("agent.json");
    eventually("configured", async || !started(&state).is_empty()).await;
    assert_eq!(std::fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(user_data("idle").contains(&std::fs::read_to_string(&config).unwrap()));
    assert!(!config.with_file_name("user-data").exists(), "nothing else keeps the token");
    // The agent erases its bootstrap token; a reboot must not bring it back.
    std::fs::write(&config, "tree").unwrap();
    actor.post(&format!("/_machines/{id}/kill"), json!({})).await;
    eventually("rebooted", async || state.join("ready").exists()).await;
    assert_eq!(std::fs::read_to_string(&config).unwrap(), "tree");
    world.end().await;
}
