//! Every answer is held against Hetzner's published description.

use crate::actor::{Actor, Answer, World, eventually, server_order};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The description, in the form that JSON Schema has it.
struct Description(Value);

impl Description {
    /// Looks in `RINGFENCE_SPECS_DIR`, or next to the checkout.
    fn find() -> Option<Self> {
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/specs");
        let directory = std::env::var_os("RINGFENCE_SPECS_DIR").map_or_else(beside, PathBuf::from);
        let text = std::fs::read(directory.join("hetzner/hcloud.json")).ok()?;
        let mut document = serde_json::from_slice(&text).expect("the description is JSON");
        to_json_schema(&mut document);
        Some(Self(document))
    }

    fn judge(&self, method: &Method, path: &str, answer: &Answer) {
        let status = match answer.status {
            status if status.is_client_error() => "4xx".to_owned(),
            status => status.as_u16().to_string(),
        };
        let response = &self.0["paths"][path][method.as_str().to_lowercase()]["responses"][&status];
        let mut schema = response["content"]["application/json"]["schema"].clone();
        assert!(schema.is_object(), "{method} {path} has no answer {status}");
        schema["components"] = self.0["components"].clone();
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).expect("a valid schema");
        let faults: Vec<String> =
            validator.iter_errors(&answer.body).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(faults.is_empty(), "{method} {path} {status}: {faults:#?}");
    }
}

/// OpenAPI 3.0 says `nullable` where JSON Schema has a second type; and what the description does not name, we do not send.
fn to_json_schema(value: &mut Value) {
    if let Value::Array(items) = value {
        items.iter_mut().for_each(to_json_schema);
    }
    let Value::Object(map) = value else { return };
    map.values_mut().for_each(to_json_schema);
    if map.get("type") == Some(&json!("object")) && map.get("properties").is_some_and(Value::is_object) {
        map.entry("additionalProperties").or_insert(json!(false));
    }
    if map.get("nullable") == Some(&json!(true)) {
        map.remove("nullable");
        let described = std::mem::take(value);
        *value = json!({"anyOf": [described, {"type": "null"}]});
    }
}

/// Sends a request and judges the answer.
struct Judged {
    actor: Actor,
    description: Description,
}

impl Judged {
    async fn send(&self, method: Method, template: &str, path: &str, body: Option<Value>) -> Answer {
        let answer = self.actor.send(method.clone(), &format!("/v1{path}"), body).await.unwrap();
        self.description.judge(&method, template, &answer);
        answer
    }

    async fn get(&self, template: &str, path: &str) -> Answer {
        self.send(Method::GET, template, path, None).await
    }
}

#[tokio::test]
async fn every_answer_is_as_hetzner_describes_it() {
    let Some(description) = Description::find() else {
        eprintln!("skipped: no hetzner/hcloud.json in RINGFENCE_SPECS_DIR");
        return;
    };
    let world = World::new().await;
    let judged = Judged { actor: world.actor(), description };
    for name in ["server_types", "locations", "datacenters", "images"] {
        let list = format!("/{name}");
        let answer = judged.get(&list, &format!("{list}?per_page=2")).await;
        let id = &answer.body[name][0]["id"];
        judged.get(&format!("{list}/{{id}}"), &format!("{list}/{id}")).await;
        judged.get(&format!("{list}/{{id}}"), &format!("{list}/0")).await;
        judged.get(&list, &format!("{list}?page=0")).await;
    }
    judged.get("/pricing", "/pricing").await;

    let rules = json!([{"direction": "in", "protocol": "tcp", "port": "80", "source_ips": ["0.0.0.0/0", "::/0"]}]);
    let fence = json!({"name": "fence", "labels": {"a": "b"}, "rules": rules});
    let fenced = judged.send(Method::POST, "/firewalls", "/firewalls", Some(fence.clone())).await;
    assert_eq!(fenced.status, StatusCode::CREATED);
    let firewall = &fenced.body["firewall"]["id"];
    for refused in [fence, json!({}), json!({"name": "x", "rules": [{"direction": "in", "protocol": "tcp"}]})] {
        assert!(judged.send(Method::POST, "/firewalls", "/firewalls", Some(refused)).await.status.is_client_error());
    }
    judged.get("/firewalls", "/firewalls?label_selector=a%3Db&sort=name").await;

    let mut order = server_order("judged");
    order["firewalls"] = json!([{"firewall": firewall}]);
    order["labels"] = json!({"a": "b"});
    let created = judged.send(Method::POST, "/servers", "/servers", Some(order.clone())).await;
    assert_eq!(created.status, StatusCode::CREATED);
    for refused in [order, json!({}), server_order("not a name")] {
        assert!(judged.send(Method::POST, "/servers", "/servers", Some(refused)).await.status.is_client_error());
    }
    let (server, action) = (&created.body["server"]["id"], &created.body["action"]["id"]);
    let path = format!("/servers/{server}");
    judged.get("/servers/{id}", &path).await;
    let fence = format!("/firewalls/{firewall}");
    assert_eq!(judged.get("/firewalls/{id}", &fence).await.body["firewall"]["applied_to"][0]["server"]["id"], *server);
    let refused = judged.send(Method::DELETE, "/firewalls/{id}", &fence, None).await;
    assert_eq!(refused.code(), (422, "resource_in_use"));
    judged.get("/servers", "/servers?label_selector=a%3Db&sort=id").await;
    judged.get("/servers", "/servers?label_selector=%3D").await;
    judged.get("/servers/{id}", "/servers/1").await;
    eventually("running", async || judged.actor.status(server.as_u64().unwrap()).await == "running").await;
    judged.send(Method::PUT, "/servers/{id}", &path, Some(json!({"labels": {}}))).await;

    judged.get("/actions", &format!("/actions?id={action}")).await;
    judged.get("/actions", "/actions").await;
    judged.get("/actions/{id}", &format!("/actions/{action}")).await;
    judged.get("/servers/actions", "/servers/actions").await;
    judged.get("/servers/actions/{id}", &format!("/servers/actions/{action}")).await;
    judged.get("/servers/{id}/actions", &format!("{path}/actions")).await;
    judged.get("/servers/{id}/actions/{action_id}", &format!("{path}/actions/{action}")).await;
    for verb in ["poweron", "shutdown", "poweroff"] {
        let template = format!("/servers/{{id}}/actions/{verb}");
        judged.send(Method::POST, &template, &format!("{path}/actions/{verb}"), None).await;
    }
    judged.send(Method::DELETE, "/servers/{id}", &path, None).await;
    judged.send(Method::DELETE, "/servers/{id}", &path, None).await;
    judged.get("/servers/{id}", &path).await;

    judged.actor.post("/_faults", json!({"on": "list_servers", "fault": "rate_limited"})).await;
    judged.actor.post("/_faults", json!({"on": "create_server", "fault": "resource_unavailable"})).await;
    assert_eq!(judged.get("/servers", "/servers").await.code().0, 429);
    assert_eq!(judged.send(Method::POST, "/servers", "/servers", Some(server_order("x"))).await.code().0, 412);
    world.end().await;
}
