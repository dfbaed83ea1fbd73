//! What a machine of the `process` driver takes from its user-data: the agent's configuration file, and nothing else.
//!
//! The other drivers hand user-data to a real cloud-init; here the file that it would write is picked out by its path.

use base64::Engine as _;
use ringfence_protocol::agent_config::AGENT_CONFIG_PATH;
use serde::Deserialize;

/// Hetzner's limit.
pub(crate) const USER_DATA_MAX_BYTES: usize = 32 * 1024;

#[derive(Deserialize)]
struct CloudConfig {
    #[serde(default)]
    write_files: Vec<WriteFile>,
}

#[derive(Deserialize)]
struct WriteFile {
    path: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    encoding: Option<String>,
}

/// The content of the agent's configuration file; `None` when the user-data has no such file. A reason when it cannot be read.
pub(crate) fn agent_config(user_data: &str) -> Result<Option<Vec<u8>>, String> {
    if user_data.trim().is_empty() {
        return Ok(None);
    }
    if user_data.lines().next().map(str::trim_end) != Some("#cloud-config") {
        return Err("user-data is not a #cloud-config document; nothing of it was used".into());
    }
    let document: CloudConfig =
        serde_norway::from_str(user_data).map_err(|error| format!("user-data is not valid cloud-config: {error}"))?;
    // As with cloud-init, a later entry for the same path overwrites an earlier one.
    match document.write_files.into_iter().rfind(|file| file.path == AGENT_CONFIG_PATH) {
        Some(file) => file.decode().map(Some),
        None => Ok(None),
    }
}

impl WriteFile {
    fn decode(self) -> Result<Vec<u8>, String> {
        match self.encoding.as_deref() {
            None | Some("" | "text/plain") => Ok(self.content.into_bytes()),
            Some("b64" | "base64") => base64::engine::general_purpose::STANDARD
                .decode(self.content.split_whitespace().collect::<String>())
                .map_err(|error| format!("{AGENT_CONFIG_PATH}: content is not base64: {error}")),
            Some(other) => {
                Err(format!("{AGENT_CONFIG_PATH}: encoding '{other}' is not supported by the process driver"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_config_is_found_in_json_and_in_yaml() {
        let json = "#cloud-config\n{\"write_files\":[{\"path\":\"/etc/other\",\"content\":\"no\"},{\"path\":\"/etc/ringfence/agent.json\",\"content\":\"{}\",\"permissions\":\"0600\"}],\"runcmd\":[[\"true\"]]}";
        assert_eq!(agent_config(json), Ok(Some(b"{}".to_vec())));
        let yaml =
            "#cloud-config\nwrite_files:\n- path: /etc/ringfence/agent.json\n  encoding: b64\n  content: |\n    e30=\n";
        assert_eq!(agent_config(yaml), Ok(Some(b"{}".to_vec())));
    }

    #[test]
    fn user_data_without_an_agent_makes_an_empty_machine() {
        assert_eq!(agent_config(""), Ok(None));
        assert_eq!(agent_config("#cloud-config\nruncmd: [[\"true\"]]\n"), Ok(None));
    }

    #[test]
    fn user_data_that_is_not_cloud_config_is_explained() {
        assert!(agent_config("#!/bin/sh\necho hi").is_err());
        assert!(agent_config("#cloud-config\n{{{").is_err());
        assert!(agent_config("#cloud-config\nwrite_files: 7\n").is_err());
    }
}
