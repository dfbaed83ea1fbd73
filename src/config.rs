//! The Worker's configuration: read from its environment, parsed and checked once per isolate.

mod containers;
pub mod limits;
mod patience;
mod settings;

use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::EngineChoice;

use crate::domain::keyring::Keyring;
use crate::error::Error;

pub use settings::Settings;

/// How many days, hours or seconds things take, and where the control plane is.
pub struct Config {
    /// Exact origins the control plane is reached at; the first is canonical: tokens and VMs name it.
    pub origins: Vec<String>,
    /// The installation's keys.
    pub keyring: Keyring,
    /// What runs workspaces on new nodes: containers, unless the operator asked for `unconfined`.
    pub engine: EngineChoice,
    /// SHA-256 of the agent that machines fetch, lower-case hex; none when the operator has published none.
    pub agent_sha256: Option<String>,
    /// Tells this installation's machines from others' in the same account: 1 to 32 lower-case letters and digits.
    pub installation_id: String,
    /// Base URL of the Hetzner Cloud API.
    pub hetzner_url: String,
    /// Deadlines and limits.
    pub settings: Settings,
}

/// What is wrong with the configuration, for the operator. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidConfig(pub String);

impl Config {
    /// Reads the configuration through `lookup`, which gives the text of a variable or secret.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidConfig> {
        let required = |name: &str| {
            lookup(name).filter(|text| !text.is_empty()).ok_or_else(|| InvalidConfig(format!("{name} is not set")))
        };
        let origins = parse_origins(&required("RINGFENCE_ORIGIN")?)?;
        let keyring = Keyring::parse(&required("RINGFENCE_KEYRING")?)
            .map_err(|error| InvalidConfig(format!("RINGFENCE_KEYRING: {}", error.0)))?;
        let installation_id = required("RINGFENCE_INSTALLATION_ID")?;
        let valid = (1..=32).contains(&installation_id.len())
            && installation_id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !valid {
            return Err(InvalidConfig("RINGFENCE_INSTALLATION_ID: 1 to 32 lower-case letters and digits".into()));
        }
        let engine = match lookup("RINGFENCE_ENGINE").filter(|text| !text.is_empty()) {
            Some(word) => word.parse().map_err(|_| {
                InvalidConfig(
                    "RINGFENCE_ENGINE: `containers`, or `unconfined` for a local trial without isolation".into(),
                )
            })?,
            None => EngineChoice::Containers,
        };
        let number = |name: &str| match lookup(name).filter(|text| !text.is_empty()) {
            Some(text) => text.parse().map(Some).map_err(|_| InvalidConfig(format!("{name}: a whole number"))),
            None => Ok(None),
        };
        let text = |name: &str| lookup(name).filter(|text| !text.is_empty());
        let agent_sha256 = text("RINGFENCE_AGENT_SHA256");
        let hex = |digest: &String| {
            digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        if !agent_sha256.as_ref().is_none_or(hex) {
            return Err(InvalidConfig("RINGFENCE_AGENT_SHA256: 64 lower-case hexadecimal digits".into()));
        }
        let hetzner_url = lookup("RINGFENCE_HETZNER_URL")
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| "https://api.hetzner.cloud".into());
        // Machines that cost money are never ordered for workspaces without isolation.
        let local = ["http://127.", "http://localhost:", "http://[::1]:"];
        if engine == EngineChoice::Unconfined && !local.iter().any(|start| hetzner_url.starts_with(start)) {
            return Err(InvalidConfig(
                "RINGFENCE_ENGINE=unconfined goes with a cloud on this machine alone: set RINGFENCE_HETZNER_URL to it"
                    .into(),
            ));
        }
        let settings = Settings::read(text, number)?;
        Ok(Self { origins, keyring, engine, agent_sha256, installation_id, hetzner_url, settings })
    }

    /// The digest of the agent that a container's machine fetches and checks.
    pub fn published_agent(&self) -> Result<&str, Error> {
        self.agent_sha256.as_deref().ok_or_else(|| Error {
            code: ErrorCode::Unavailable,
            detail: "No agent is published for machines to fetch. The operator must publish it: `cargo xtask build`, then set RINGFENCE_AGENT_SHA256. Nothing was created.".into(),
            log: None,
            limit: None,
        })
    }

    /// The canonical origin.
    pub fn origin(&self) -> &str {
        self.origins.first().map_or("", String::as_str)
    }
}

/// A comma-separated list of exact origins: scheme, host and port, nothing else.
fn parse_origins(text: &str) -> Result<Vec<String>, InvalidConfig> {
    let origins: Vec<String> = text.split(',').map(|origin| origin.trim().to_owned()).collect();
    for origin in &origins {
        let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let plain = rest.is_some_and(|host| {
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
        });
        if !plain {
            return Err(InvalidConfig(format!(
                "RINGFENCE_ORIGIN: `{origin}` is not an origin such as https://name.workers.dev"
            )));
        }
    }
    Ok(origins)
}
