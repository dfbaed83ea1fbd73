//! What a machine boots with.

use std::io::Write as _;
use std::process::Command;

use proptest::prelude::*;
use ringfence::domain::user_data::{Boot, MAX_USER_DATA_BYTES, UserDataError, cloud_config};
use ringfence_protocol::agent_config::{AGENT_CONFIG_PATH, AgentConfig, AgentLimits, EngineConfig};
use ringfence_protocol::claims::{Jwk, Jwks};
use ringfence_protocol::ids::Id;
use ringfence_protocol::time::UnixMillis;
use serde_json::Value;
use xtask::skip::skipped;

const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// As long as ours are: three parts of a JWT signed with Ed25519.
const TOKEN_BYTES: usize = 420;

fn agent(engine: EngineConfig, origin: &str, keys: usize) -> AgentConfig {
    AgentConfig {
        node_id: Id::from_entropy([7; 13]),
        origin: origin.into(),
        keys: Jwks { keys: (0..keys).map(|n| Jwk::ed25519("A".repeat(43), Some(n.to_string()))).collect() },
        bootstrap_token: Some("t".repeat(TOKEN_BYTES)),
        engine,
        dead_man_after_secs: Some(3_600),
        hard_deadline_at: Some(UnixMillis::from_secs(1_800_000_000)),
        limits: AgentLimits::default(),
    }
}

fn user_data(agent: &AgentConfig) -> String {
    cloud_config(&Boot { agent, agent_sha256: DIGEST }).unwrap()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text.strip_prefix("#cloud-config\n").unwrap()).unwrap()
}

/// The configuration that write_files holds.
fn written_config(document: &Value) -> AgentConfig {
    let file = &document["write_files"][0];
    assert_eq!((file["path"].as_str(), file["permissions"].as_str()), (Some(AGENT_CONFIG_PATH), Some("0600")));
    serde_json::from_str(file["content"].as_str().unwrap()).unwrap()
}

/// What bootcmd writes to a path.
fn early_file<'a>(document: &'a Value, path: &str) -> &'a str {
    let arguments = document["bootcmd"][0].as_array().unwrap();
    let place = arguments.iter().position(|argument| argument == path).unwrap();
    arguments[place + 1].as_str().unwrap()
}

#[test]
fn a_process_without_isolation_is_told_its_configuration_alone() {
    let hostile = "https://x\"}]\nruncmd: [ reboot ]\n#";
    let agent = agent(EngineConfig::Unconfined, hostile, 2);
    let text = cloud_config(&Boot { agent: &agent, agent_sha256: "" }).unwrap();
    let document = parsed(&text);
    let names: Vec<&String> = document.as_object().unwrap().keys().collect();
    assert_eq!(names, ["locale", "ssh_pwauth", "write_files"]);
    assert!(written_config(&document) == agent);
}

#[test]
fn user_data_that_no_provider_takes_is_refused_before_it_is_sent() {
    for engine in [EngineConfig::Unconfined, EngineConfig::Containers] {
        let agent = agent(engine, "https://x", 200);
        let refused = cloud_config(&Boot { agent: &agent, agent_sha256: DIGEST });
        assert!(matches!(refused, Err(UserDataError::TooLarge(bytes)) if bytes > MAX_USER_DATA_BYTES));
    }
}

#[test]
fn no_machine_boots_without_the_digest_of_its_agent() {
    let agent = agent(EngineConfig::Containers, "https://x", 1);
    for digest in ["", "0123", &DIGEST.to_uppercase(), &format!("{DIGEST}0"), "$(reboot)"] {
        let refused = cloud_config(&Boot { agent: &agent, agent_sha256: digest });
        assert_eq!(refused, Err(UserDataError::InvalidDigest), "{digest}");
    }
}

#[test]
fn there_is_room_for_a_rotated_keyring_and_a_long_origin() {
    let origin = format!("https://{}.workers.dev", "a".repeat(100));
    let bytes = user_data(&agent(EngineConfig::Containers, &origin, 8)).len();
    println!("user-data: {bytes} of {MAX_USER_DATA_BYTES} bytes");
    assert!(bytes <= MAX_USER_DATA_BYTES);
}

#[test]
fn the_firewall_stands_in_bootcmd_and_only_our_modules_run() {
    let document = parsed(&user_data(&agent(EngineConfig::Containers, "https://x", 1)));
    for path in ["/etc/ringfence/firewall.v4", "/etc/ringfence/firewall.v6"] {
        let rules = early_file(&document, path);
        assert!(rules.starts_with("*mangle\n") && rules.ends_with("COMMIT\n"), "{rules}");
        assert!(rules.contains("-A RINGFENCE-INPUT -j DROP\n") && rules.contains("-A RINGFENCE-FORWARD -j DROP\n"));
        assert!(rules.contains("#lockdown -A RINGFENCE-OUTPUT -d "), "the second stage was taken for a comment");
    }
    assert_eq!(early_file(&document, "/etc/ringfence/agent.sha256"), DIGEST);
    assert_eq!(document["ssh_pwauth"], Value::Bool(false));
    assert_eq!(document["vendor_data"]["enabled"], Value::Bool(false));
    let modules = ["cloud_init_modules", "cloud_config_modules", "cloud_final_modules"];
    let modules: Vec<&Value> = modules.iter().flat_map(|stage| document[stage].as_array().unwrap()).collect();
    assert_eq!(modules[0], "bootcmd", "nothing runs before the firewall");
    for opening in ["users_groups", "ssh", "set_passwords", "ssh_import_id", "package_update_upgrade_install"] {
        assert!(!modules.iter().any(|module| *module == opening), "{opening}");
    }
}

#[test]
fn the_token_stands_in_the_agents_configuration_and_nowhere_else() {
    let text = user_data(&agent(EngineConfig::Containers, "https://x", 1));
    assert_eq!(text.matches(&"t".repeat(TOKEN_BYTES)).count(), 1);
}

proptest! {
    /// Whatever a value holds, it comes back as that value, and the rest of the document stays what it is.
    #[test]
    fn a_hostile_value_stays_data(origin in any::<String>(), kid in any::<String>(), token in any::<String>(), node in any::<[u8; 13]>()) {
        let harmless = parsed(&user_data(&agent(EngineConfig::Containers, "https://x", 1)));
        let mut hostile = agent(EngineConfig::Containers, &origin, 1);
        hostile.node_id = Id::from_entropy(node);
        hostile.keys = Jwks { keys: vec![Jwk::ed25519("A".repeat(43), Some(kid))] };
        hostile.bootstrap_token = Some(token);
        let mut document = parsed(&user_data(&hostile));
        prop_assert!(written_config(&document) == hostile);
        prop_assert_eq!(early_file(&document, "/etc/ringfence/origin"), origin);
        // With the harmless values put back it is the harmless document.
        document["write_files"][0] = harmless["write_files"][0].clone();
        let at = document["bootcmd"][0].as_array().unwrap().iter().position(|a| a == "/etc/ringfence/origin").unwrap();
        document["bootcmd"][0][at + 1] = harmless["bootcmd"][0][at + 1].clone();
        prop_assert_eq!(document, harmless);
    }
}

#[test]
fn cloud_init_knows_every_word_of_it() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(user_data(&agent(EngineConfig::Containers, "https://x", 2)).as_bytes()).unwrap();
    let checked = Command::new("cloud-init").args(["schema", "--config-file"]).arg(file.path()).output();
    let Ok(checked) = checked else {
        skipped("cloud-init is not installed, so its schema does not judge our user-data");
        return;
    };
    let said = String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.contains("Valid"), "{said}");
    assert!(!said.to_lowercase().contains("deprecat"), "{said}");
}
