//! What a VM boots with: a cloud-config document made from typed values and serialised as JSON, which is valid YAML. There
//! is no template, so nothing can be injected through a value.

use ringfence_protocol::agent_config::{AGENT_CONFIG_PATH, AgentConfig};
use serde::Serialize;

/// The most that providers take, in bytes (EC2's limit is the smallest).
pub const MAX_USER_DATA_BYTES: usize = 16 * 1024;

/// The parts of cloud-init's cloud-config that we use.
#[derive(Serialize)]
struct CloudConfig {
    /// Making locales takes seconds and nobody reads them here.
    locale: bool,
    /// No password opens this machine.
    ssh_pwauth: bool,
    write_files: Vec<WriteFile>,
}

#[derive(Serialize)]
struct WriteFile {
    path: &'static str,
    owner: &'static str,
    permissions: &'static str,
    content: String,
}

/// The document cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserDataError {
    /// A value cannot be written as JSON.
    Unserialisable(String),
    /// Its bytes are more than a provider takes.
    TooLarge(usize),
}

/// The user-data of a node whose agent is configured so.
pub fn cloud_config(agent: &AgentConfig) -> Result<String, UserDataError> {
    let unserialisable = |error: serde_json::Error| UserDataError::Unserialisable(error.to_string());
    let document = CloudConfig {
        locale: false,
        ssh_pwauth: false,
        write_files: vec![WriteFile {
            path: AGENT_CONFIG_PATH,
            owner: "root:root",
            permissions: "0600",
            content: serde_json::to_string(agent).map_err(unserialisable)?,
        }],
    };
    let text = format!("#cloud-config\n{}\n", serde_json::to_string(&document).map_err(unserialisable)?);
    if text.len() > MAX_USER_DATA_BYTES {
        return Err(UserDataError::TooLarge(text.len()));
    }
    Ok(text)
}
