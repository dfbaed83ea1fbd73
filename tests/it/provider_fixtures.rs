//! The Hetzner provider reads what Hetzner's own SDK is tested with. Runs where those files are.

use std::path::PathBuf;

use ringfence::domain::node::InstanceId;
use ringfence::provider::{InstanceStatus, Provider, ProviderKey};
use ringfence_protocol::params::SecretText;
use ringfence_protocol::state::ProviderKind;
use serde_json::{Value, json};

use crate::scripted::{Answer, Scripted};

/// A file of the SDK's fixtures; `None`, said in one line, where there are none.
fn fixture(name: &str) -> Option<Value> {
    let specs = std::env::var_os("RINGFENCE_SPECS_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/specs"), PathBuf::from);
    let path = specs.join("hetzner/sdk-fixtures").join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: no {} (set RINGFENCE_SPECS_DIR)", path.display());
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn provider(url: &str) -> Provider {
    Provider::new(ProviderKind::Hetzner, url, ProviderKey::new(&SecretText::new("key".into())))
}

#[tokio::test]
async fn every_server_of_the_sdks_fixtures_is_read() {
    let Some(fixtures) = fixture("servers.json") else { return };
    let mut read = 0;
    for (name, body) in fixtures.as_object().unwrap() {
        let answer = Answer::json(200, body.clone());
        if body.get("server").is_some() {
            let scripted = Scripted::new([answer]).await;
            let instance = provider(&scripted.url).get(&InstanceId("1".into())).await;
            let instance = instance.unwrap_or_else(|error| panic!("{name}: {error}")).unwrap();
            assert_eq!(instance.status, InstanceStatus::Running, "{name}");
            assert_eq!(instance.known().ipv4.as_deref(), Some("1.2.3.4"), "{name}");
            assert!(instance.ipv6.is_some(), "{name}");
            read += 1;
        } else if body.get("servers").is_some() {
            let scripted = Scripted::new([answer]).await;
            let inventory = provider(&scripted.url).list("test1").await;
            let inventory = inventory.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(inventory.instances.len(), body["servers"].as_array().unwrap().len(), "{name}");
            read += 1;
        }
    }
    assert!(read >= 3, "only {read} fixtures have servers");
}

#[tokio::test]
async fn the_catalog_is_read_from_the_sdks_fixtures() {
    let (Some(locations), Some(types)) = (fixture("locations.json"), fixture("server_types.json")) else { return };
    let scripted = Scripted::new([
        Answer::json(200, locations["two_locations_response"].clone()),
        Answer::json(200, types["two_server_types_response"].clone()),
        Answer::json(200, json!({ "pricing": { "currency": "EUR" } })),
    ])
    .await;
    let catalog = provider(&scripted.url).catalog().await.unwrap();
    // The other one is deprecated.
    let ids: Vec<&str> = catalog.sizes.iter().map(|size| size.id.as_str()).collect();
    assert_eq!(ids, ["cx21"]);
    assert_eq!(catalog.regions.len(), 2);
}
