//! The Worker's configuration: read from its environment, parsed and checked once per isolate.

mod settings;

use ringfence_protocol::state::EngineChoice;

use crate::domain::keyring::Keyring;

pub use settings::Settings;

/// How many days, hours or seconds things take, and where the control plane is.
pub struct Config {
    /// Exact origins the control plane is reached at; the first is canonical: tokens and VMs name it.
    pub origins: Vec<String>,
    /// The installation's keys.
    pub keyring: Keyring,
    /// What runs workspaces on new nodes: containers, unless the operator asked for `unconfined`.
    pub engine: EngineChoice,
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
        Ok(Self { origins, keyring, engine, installation_id, hetzner_url, settings: Settings::read(number)? })
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
