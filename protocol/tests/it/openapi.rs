//! The OpenAPI document tells what the code does.

use std::collections::BTreeSet;

use ringfence_protocol::openapi;
use ringfence_protocol::routes;
use serde_json::Value;

fn generated() -> Value {
    serde_json::to_value(openapi::document().unwrap()).unwrap()
}

#[test]
fn the_committed_document_is_the_one_the_code_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let committed: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(
        committed == generated(),
        "docs/openapi.json is out of date; write it anew with\n\
         cargo run -p ringfence-protocol --features schema --example openapi > docs/openapi.json"
    );
}

#[test]
fn every_route_is_in_the_document_once() {
    let document = generated();
    let mut described = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            described.insert(format!(
                "{} {path} {}",
                method.to_uppercase(),
                operation["operationId"].as_str().unwrap()
            ));
        }
    }
    let routes: BTreeSet<String> =
        routes::ALL.iter().map(|e| format!("{} {} {}", e.method.as_str(), e.path, e.operation)).collect();
    assert_eq!(described, routes);
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    fn follow(document: &Value, part: &Value, followed: &mut usize) {
        if let Some(reference) = part.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
            *followed += 1;
        }
        match part {
            Value::Object(members) => members.values().for_each(|member| follow(document, member, followed)),
            Value::Array(items) => items.iter().for_each(|item| follow(document, item, followed)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = generated();
    let mut followed = 0;
    follow(&document, &document, &mut followed);
    assert!(followed > routes::ALL.len());
}
