//! Ordering, finding and deleting servers.

use crate::actor::{Actor, TOKENS, World, eventually, server_order};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_server_goes_from_initializing_to_running_to_gone() {
    let world = World::new().await;
    let actor = world.actor();
    let created = actor.post("/v1/servers", server_order("one")).await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!(created.body["server"]["status"], "initializing");
    assert_eq!(created.body["action"]["status"], "running");
    let id = created.body["server"]["id"].as_u64().unwrap();
    let action = format!("/v1/actions/{}", created.body["action"]["id"]);
    eventually("running", async || actor.status(id).await == "running").await;
    let action = actor.get(&action).await.body;
    assert_eq!((&action["action"]["status"], &action["action"]["progress"]), (&json!("success"), &json!(100)));

    let deleted = actor.delete(&format!("/v1/servers/{id}")).await;
    assert_eq!((deleted.status, &deleted.body["action"]["command"]), (StatusCode::OK, &json!("delete_server")));
    assert_eq!(actor.delete(&format!("/v1/servers/{id}")).await.code(), (423, "locked"));
    eventually("gone", async || actor.status(id).await == "gone").await;
    let deletion = actor.get(&format!("/v1/actions/{}", deleted.body["action"]["id"])).await;
    assert_eq!(deletion.body["action"]["status"], "success");
    world.end().await;
}

#[tokio::test]
async fn a_server_deleted_while_it_is_created_never_runs() {
    let world =
        World::with(|settings| local_cloud::Settings { boot_delay: Duration::from_millis(300), ..settings }).await;
    let actor = world.actor();
    let mut order = server_order("brief");
    order["user_data"] = crate::actor::user_data("idle").into();
    let id = actor.create(order).await;
    assert_eq!(actor.delete(&format!("/v1/servers/{id}")).await.status, StatusCode::OK);
    eventually("gone", async || actor.status(id).await == "gone").await;
    let later = actor.create(server_order("later")).await;
    eventually("the later one runs", async || actor.status(later).await == "running").await;
    assert_eq!(actor.get("/_machines").await.body["machines"].as_array().unwrap().len(), 1);
    world.end().await;
}

#[tokio::test]
async fn a_request_without_a_known_token_is_unauthorized() {
    let world = World::new().await;
    for token in ["", "wrong", "first-token2"] {
        assert_eq!(Actor::new(&world.url, token).get("/v1/servers").await.code(), (401, "unauthorized"));
    }
    world.end().await;
}

#[tokio::test]
async fn each_token_sees_its_own_servers_only() {
    let world = World::new().await;
    let (first, second) = (world.actor(), Actor::new(&world.url, TOKENS[1]));
    let id = first.create(server_order("same-name")).await;
    second.create(server_order("same-name")).await;
    assert_eq!(second.get(&format!("/v1/servers/{id}")).await.code(), (404, "not_found"));
    assert_eq!(second.delete(&format!("/v1/servers/{id}")).await.code(), (404, "not_found"));
    assert_eq!(second.get(&format!("/v1/servers/{id}/actions")).await.code(), (404, "not_found"));
    assert_eq!(second.names("").await.len(), 1);
    world.end().await;
}

#[tokio::test]
async fn a_read_only_token_looks_and_changes_nothing() {
    let read_only_tokens = vec!["looker".to_owned()];
    let world = World::with(|settings| local_cloud::Settings { read_only_tokens, ..settings }).await;
    let id = world.actor().create(server_order("seen")).await;
    let looker = Actor::new(&world.url, "looker");
    assert_eq!(looker.names("").await, ["seen"]);
    assert_eq!(looker.delete(&format!("/v1/servers/{id}")).await.code(), (403, "token_readonly"));
    assert_eq!(looker.post("/v1/servers", server_order("not")).await.code(), (403, "token_readonly"));
    let nothing = looker.send(Method::PUT, "/v1/servers/0", Some(json!({}))).await.unwrap();
    assert_eq!(nothing.code(), (403, "token_readonly"));
    let allowed = world.actor().send(Method::PUT, "/v1/servers/0", Some(json!({}))).await.unwrap();
    assert_eq!(allowed.code(), (404, "not_found"));
    world.end().await;
}

#[tokio::test]
async fn of_many_concurrent_creations_with_one_name_one_wins() {
    let world = World::new().await;
    let actor = world.actor();
    let racers: Vec<_> = (0..40)
        .map(|_| {
            let actor = actor.clone();
            tokio::spawn(async move { actor.post("/v1/servers", server_order("wanted")).await })
        })
        .collect();
    let mut won = 0;
    for racer in racers {
        let answer = racer.await.unwrap();
        match answer.status {
            StatusCode::CREATED => won += 1,
            _ => assert_eq!(answer.code(), (409, "uniqueness_error")),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(actor.names("?name=wanted").await, ["wanted"]);
    world.end().await;
}

#[tokio::test]
async fn pages_cover_every_server_once() {
    let world = World::new().await;
    let actor = world.actor();
    for number in 0..7 {
        actor.create(server_order(&format!("n{number}"))).await;
    }
    let mut seen = Vec::new();
    let mut next = Some(1);
    while let Some(page) = next {
        let answer = actor.get(&format!("/v1/servers?per_page=3&page={page}&sort=name:desc")).await.body;
        let meta = &answer["meta"]["pagination"];
        assert_eq!((&meta["last_page"], &meta["total_entries"], &meta["page"]), (&json!(3), &json!(7), &json!(page)));
        seen.extend(
            answer["servers"].as_array().unwrap().iter().map(|server| server["name"].as_str().unwrap().to_owned()),
        );
        next = meta["next_page"].as_u64();
    }
    assert_eq!(seen, ["n6", "n5", "n4", "n3", "n2", "n1", "n0"]);
    assert!(actor.names("?page=9").await.is_empty());
    assert_eq!(actor.get("/v1/servers?per_page=1000").await.body["meta"]["pagination"]["per_page"], 50);
    for query in ["page=0", "per_page=x", "page=-1", "sort=colour", "sort=id:up"] {
        assert_eq!(actor.get(&format!("/v1/servers?{query}")).await.code(), (422, "invalid_input"), "{query}");
    }
    world.end().await;
}

#[tokio::test]
async fn lists_are_filtered_by_label_name_and_status() {
    let world = World::new().await;
    let actor = world.actor();
    for (name, labels) in [("a", json!({"env": "prod", "tier": "db"})), ("b", json!({"env": "test"})), ("c", json!({}))]
    {
        let mut order = server_order(name);
        order["labels"] = labels;
        actor.create(order).await;
    }
    assert_eq!(actor.names("?label_selector=env%3D%3Dprod").await, ["a"]);
    assert_eq!(actor.names("?label_selector=env%20in%20(prod,test)").await, ["a", "b"]);
    assert_eq!(actor.names("?label_selector=!env").await, ["c"]);
    assert_eq!(actor.names("?label_selector=env,tier!%3Ddb").await, ["b"]);
    assert_eq!(actor.names("?name=b").await, ["b"]);
    assert!(actor.names("?status=off&status=deleting").await.is_empty());
    assert_eq!(actor.get("/v1/servers?label_selector=in%20in").await.code(), (422, "invalid_input"));
    world.end().await;
}

#[tokio::test]
async fn orders_that_hetzner_would_refuse_are_refused() {
    let world = World::new().await;
    let actor = world.actor();
    for (field, value) in [
        ("name", json!("not a host name")),
        ("name", json!(7)),
        ("server_type", json!("cx9000")),
        ("image", json!("plan9")),
        ("location", json!("moon1")),
        ("datacenter", json!("nbg1-dc3")),
        ("labels", json!({"-": "x"})),
        ("labels", json!({"a": 7})),
        ("user_data", json!("x".repeat(32 * 1024 + 1))),
        ("ssh_keys", json!(["none"])),
        ("image", json!(114_690_389)),
    ] {
        let mut order = server_order("refused");
        order[field] = value;
        let answer = actor.post("/v1/servers", order).await;
        assert_eq!(answer.code(), (422, "invalid_input"), "{field}: {:?}", answer.body);
    }
    let mut elsewhere = server_order("refused");
    elsewhere["location"] = "sin".into();
    assert_eq!(actor.post("/v1/servers", elsewhere).await.code(), (422, "invalid_input"));
    for body in ["", "{", "nonsense", "{\"name\":}"] {
        assert_eq!(actor.post_raw("/v1/servers", body).await.code(), (400, "json_error"), "{body}");
    }
    for body in ["[]", "{}", "null"] {
        assert_eq!(actor.post_raw("/v1/servers", body).await.code(), (422, "invalid_input"), "{body}");
    }
    for path in ["/v1/servers/x", "/v1/servers/99999999999999999999", "/v1/nothing", "/v1/actions/-1"] {
        assert_eq!(actor.get(path).await.code(), (404, "not_found"), "{path}");
    }
    assert_eq!(actor.send(Method::PATCH, "/v1/servers", None).await.unwrap().code(), (405, "method_not_allowed"));
    assert!(actor.names("").await.is_empty());
    world.end().await;
}

#[tokio::test]
async fn a_server_can_be_renamed_and_relabelled() {
    let world = World::new().await;
    let actor = world.actor();
    let id = actor.create(server_order("before")).await;
    actor.create(server_order("taken")).await;
    let path = format!("/v1/servers/{id}");
    let renamed = actor.send(Method::PUT, &path, Some(json!({"name": "after", "labels": {"a": "b"}}))).await.unwrap();
    assert_eq!((renamed.status, &renamed.body["server"]["labels"]["a"]), (StatusCode::OK, &json!("b")));
    let clash = actor.send(Method::PUT, &path, Some(json!({"name": "taken"}))).await.unwrap();
    assert_eq!(clash.code(), (409, "uniqueness_error"));
    assert_eq!(actor.names("?label_selector=a%3Db").await, ["after"]);
    world.end().await;
}

#[tokio::test]
async fn a_project_has_a_limit_of_servers_and_of_requests() {
    let world =
        World::with(|settings| local_cloud::Settings { servers_max: 1, requests_per_hour: 3, ..settings }).await;
    let actor = world.actor();
    let first = actor.post("/v1/servers", server_order("a")).await;
    assert_eq!(first.headers["ratelimit-limit"], "3");
    assert_eq!(first.headers["ratelimit-remaining"], "2");
    assert!(first.headers.contains_key("ratelimit-reset"));
    assert_eq!(actor.post("/v1/servers", server_order("b")).await.code(), (403, "resource_limit_exceeded"));
    actor.get("/v1/servers").await;
    let refused = actor.get("/v1/servers").await;
    assert_eq!(refused.code(), (429, "rate_limit_exceeded"));
    assert!(refused.headers.contains_key("retry-after"));
    world.end().await;
}
