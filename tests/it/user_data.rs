//! What a machine boots with.

use ringfence::domain::user_data::{MAX_USER_DATA_BYTES, UserDataError, cloud_config};
use ringfence_protocol::agent_config::{AGENT_CONFIG_PATH, AgentConfig, EngineConfig};
use ringfence_protocol::claims::{Jwk, Jwks};
use ringfence_protocol::ids::Id;

fn agent(origin: &str, keys: usize) -> AgentConfig {
    AgentConfig {
        node_id: Id::from_entropy([7; 13]),
        origin: origin.into(),
        keys: Jwks { keys: (0..keys).map(|n| Jwk::ed25519("A".repeat(43), Some(n.to_string()))).collect() },
        bootstrap_token: Some("eyJ.one.use".into()),
        engine: EngineConfig::Unconfined,
    }
}

#[test]
fn user_data_carries_the_agents_configuration_and_no_value_can_break_out_of_it() {
    let hostile = "https://x\"}]\nruncmd: [ reboot ]\n#";
    let text = cloud_config(&agent(hostile, 2)).unwrap();
    let document: serde_json::Value = serde_json::from_str(text.strip_prefix("#cloud-config\n").unwrap()).unwrap();
    let names: Vec<&String> = document.as_object().unwrap().keys().collect();
    assert_eq!(names, ["locale", "ssh_pwauth", "write_files"]);
    let file = &document["write_files"][0];
    assert_eq!((file["path"].as_str(), file["permissions"].as_str()), (Some(AGENT_CONFIG_PATH), Some("0600")));
    let config: AgentConfig = serde_json::from_str(file["content"].as_str().unwrap()).unwrap();
    assert!(config == agent(hostile, 2));
}

#[test]
fn user_data_that_no_provider_takes_is_refused_before_it_is_sent() {
    let refused = cloud_config(&agent("https://x", 200));
    assert!(matches!(refused, Err(UserDataError::TooLarge(bytes)) if bytes > MAX_USER_DATA_BYTES));
}
