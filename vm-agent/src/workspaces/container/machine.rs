//! What a container is confined with that comes from the machine: its engine's profile, runtime, init and limits.

use std::path::Path;

use hyper::Method;
use ringfence_protocol::state::EngineKind;

use super::{Containers, failure, raw, seccomp};
use crate::workspaces::EngineError;

impl Containers {
    /// The container must run under the runtime that was found good enough, whatever the engine makes of the request.
    pub(super) async fn must_have_runtime(&self, container: &str) -> Result<(), EngineError> {
        let runtime = match self.api.kind {
            EngineKind::Podman => {
                let path = format!("/v4.0.0/libpod/containers/{container}/json");
                let found = raw::call(&self.api.socket, Method::GET, &path, None).await;
                let found = found.map_err(|error| failure::of_raw(&error))?;
                found.get("OCIRuntime").and_then(serde_json::Value::as_str).map(str::to_owned)
            }
            EngineKind::Docker | EngineKind::Unconfined => {
                self.inspect(container).await?.and_then(|found| found.host_config.runtime)
            }
        };
        let wanted = self.api.runtime();
        let is_it = runtime.as_deref().is_some_and(|runtime| {
            runtime == wanted.name || runtime == wanted.path || runtime == self.api.default_runtime
        });
        if is_it && (self.api.runtime_name.is_none() || runtime.as_deref() != Some(self.api.default_runtime.as_str())) {
            return Ok(());
        }
        Err(EngineError::refused(format!(
            "The container engine runs containers with {}, which lacks fixes, and not with {wanted}. Make {} its default runtime.",
            runtime.unwrap_or_else(|| "a runtime that it does not name".into()),
            wanted.name
        )))
    }

    /// The profile, where the engine reads it. Made anew at every start: the engine may have been upgraded.
    pub(super) fn seccomp_profile(&self) -> Result<String, EngineError> {
        let path = self.settings.run_dir.join("seccomp.json");
        let failed = |error: &dyn std::fmt::Display| {
            EngineError::refused(format!("The workspace's seccomp profile cannot be made: {error}."))
        };
        let theirs = self.settings.seccomp_profiles.iter().find(|path| path.exists());
        let theirs =
            theirs.ok_or_else(|| failed(&"Podman's own is not where Podman keeps it; install its common files"))?;
        let theirs = std::fs::read_to_string(theirs).map_err(|error| failed(&error))?;
        let profile = seccomp::hardened(&theirs).map_err(|error| failed(&error))?;
        if std::fs::read_to_string(&path).is_ok_and(|written| written == profile) {
            return Ok(path.to_string_lossy().into_owned());
        }
        crate::disk::write_private(&path, profile.as_bytes()).map_err(|error| failed(&error))?;
        Ok(path.to_string_lossy().into_owned())
    }
}

/// Whether the engine can put an init of its own before a container's command.
pub(super) fn has_engine_init(kind: EngineKind) -> bool {
    let places: &[&str] = match kind {
        EngineKind::Podman => {
            &["/usr/libexec/podman/catatonit", "/usr/bin/catatonit", "/usr/local/libexec/podman/catatonit"]
        }
        EngineKind::Docker => &["/usr/bin/docker-init", "/usr/libexec/docker/docker-init", "/usr/sbin/docker-init"],
        EngineKind::Unconfined => &[],
    };
    places.iter().any(|place| Path::new(place).exists())
}

/// (Open files, processes), as the agent's own process has them: the engine's are no lower on a machine of ours.
pub(super) fn hard_limits() -> (u64, u64) {
    use rustix::process::{Resource, getrlimit};
    let hard = |resource| getrlimit(resource).maximum.unwrap_or(u64::MAX);
    (hard(Resource::Nofile), hard(Resource::Nproc))
}
