//! Keys of an installation that exists in tests alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ringfence::config::{Config, InvalidConfig};
use ringfence::domain::keyring::Keyring;

pub const ORIGIN: &str = "https://ringfence.example.workers.dev";

fn keyring_json() -> String {
    let key = |byte: u8| B64.encode([byte; 32]);
    format!(
        r#"{{"keys":[{{"kid":"a","seed":"{}"}}],"seal":[{{"version":1,"key":"{}"}}],"mac":"{}"}}"#,
        key(1),
        key(2),
        key(3)
    )
}

pub fn keyring() -> Keyring {
    Keyring::parse(&keyring_json()).map_err(|error| error.0).unwrap()
}

/// A configuration with these variables beside those that must be set.
pub fn config(variables: &[(&str, &str)]) -> Result<Config, InvalidConfig> {
    Config::read(|name| match variables.iter().find(|(known, _)| *known == name) {
        Some((_, value)) => Some((*value).to_owned()),
        None => match name {
            "RINGFENCE_ORIGIN" => Some(ORIGIN.into()),
            "RINGFENCE_KEYRING" => Some(keyring_json()),
            "RINGFENCE_INSTALLATION_ID" => Some("test".into()),
            _ => None,
        },
    })
}
