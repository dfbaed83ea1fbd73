//! What the engine says of a container, as far as it matters here. Read leniently: Podman has words for states that Docker's
//! interface does not know.

use std::collections::HashMap;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::Deserialize;

use super::raw::RawError;
use super::{Containers, failure, raw};
use crate::workspaces::EngineError;

/// Longest wait for an engine to see that a container has ended: 5 s.
const LOOKS: u32 = 100;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Docker's word for a container that ran and does not, and Podman's.
const ENDED: [&str; 2] = ["exited", "stopped"];

/// A container as it was found.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Inspected {
    pub(super) config: Config,
    pub(super) host_config: HostConfig,
    pub(super) state: State,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Config {
    pub(super) labels: Option<HashMap<String, String>>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct HostConfig {
    pub(super) runtime: Option<String>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct State {
    status: String,
    pub(super) running: bool,
    pub(super) exit_code: i64,
    pid: i64,
}

impl State {
    /// The first process of a container that has one.
    pub(super) fn pid(&self) -> Option<i32> {
        i32::try_from(self.pid).ok().filter(|pid| *pid > 0)
    }

    /// Why a container that nobody has ended has no process any more.
    pub(super) fn why_it_ended(&self) -> EngineError {
        match self.exit_code {
            // What a container of ours begins with does not end by itself, unless it is not there, or cannot run here. Above are
            // signals.
            0..=127 => failure::command_not_found("its first program does not start"),
            _ => EngineError::refused("The workspace's container ended as soon as it was started. Try another image."),
        }
    }
}

impl Containers {
    /// A container by its name, if there is one.
    pub(super) async fn inspect(&self, container: &str) -> Result<Option<Inspected>, EngineError> {
        let path = format!("/containers/{container}/json");
        match raw::call(&self.api.socket, Method::GET, &path, None).await {
            Ok(found) => serde_json::from_value(found).map(Some).map_err(|error| {
                EngineError::refused(format!("The container engine's answer cannot be used: {error}."))
            }),
            Err(RawError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            Err(error) => Err(failure::of_raw(&error)),
        }
    }

    /// Why a container that was started has ended by itself, if it has: whatever else failed then has failed for that.
    pub(super) async fn why_it_ended(&self, container: &str) -> Option<EngineError> {
        for _ in 0..LOOKS {
            let state = self.inspect(container).await.ok()??.state;
            match state.pid() {
                // One that did not even start says so by its error.
                None => return ENDED.contains(&state.status.as_str()).then(|| state.why_it_ended()),
                Some(pid) if std::fs::read_link(format!("/proc/{pid}/exe")).is_ok() => return None,
                // It is dead, and the engine does not know it yet.
                Some(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_only_podman_has_are_read_too() {
        let text = r#"{"Id":"x","State":{"Status":"stopped","Running":false,"Pid":0,"ExitCode":127,"Health":null},
            "Config":{"Labels":{"a":"b"}},"HostConfig":{"Runtime":"oci"}}"#;
        let found: Inspected = serde_json::from_str(text).unwrap();
        assert_eq!((found.state.running, found.state.exit_code, found.state.pid()), (false, 127, None));
        assert_eq!(found.config.labels.unwrap()["a"], "b");
        assert_eq!(found.host_config.runtime.as_deref(), Some("oci"));
        let bare: Inspected = serde_json::from_str(r#"{"Config":{"Labels":null},"State":{"Pid":7}}"#).unwrap();
        assert_eq!(bare.state.pid(), Some(7));
    }
}
