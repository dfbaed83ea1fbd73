//! Start, stop, remove, adopt.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder,
};
use ringfence_protocol::container::ContainerSpec;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::state::EngineKind;

use super::create::{self, Connection, LABEL_FINGERPRINT, Plan};
use super::image::{self, Image};
use super::live::Live;
use super::secrets::Secrets;
use super::user::User;
use super::volume::Volume;
use super::{Containers, failure, inside, seccomp};
use crate::processes;
use crate::workspaces::{EngineError, Order};

/// What the container is to be made of, beyond what was asked.
pub(super) struct Shape {
    pub(super) image: String,
    pub(super) user: User,
    pub(super) env: BTreeMap<String, String>,
}

impl Containers {
    /// Makes the workspace run.
    pub(in crate::workspaces) async fn start(&self, order: Order) -> Result<(), EngineError> {
        let spec = order.spec.container.as_ref();
        let spec = spec.ok_or_else(|| {
            EngineError::refused("The workspace names no container, and this machine runs nothing else.")
        })?;
        let volume = self.volume(order.workspace_id);
        let shape = Shape { image: spec.image.clone(), user: User::default(), env: BTreeMap::new() };
        volume.mount(spec.disk_quota_bytes, shape.user.ids()).await?;
        let live = self.run(&order, spec, &volume, &shape).await?;
        self.live().insert(order.workspace_id, Arc::new(live));
        Ok(())
    }

    /// Makes a container of this shape run, or finds it running.
    async fn run(
        &self,
        order: &Order,
        spec: &ContainerSpec,
        volume: &Volume,
        shape: &Shape,
    ) -> Result<Live, EngineError> {
        let login = order.secrets.as_ref().and_then(|secrets| secrets.registry_login.as_ref());
        let image = image::ensure(&self.api, &shape.image, login, &order.voice).await?;
        let secrets = self.secrets(order.workspace_id);
        secrets.prepare()?;
        match &order.secrets {
            Some(given) => secrets.write(given, shape.user.ids())?,
            None if order.has_secret_files && !secrets.are_there() => order.voice.notice(
                "The workspace's secrets are not on the machine any more, since it was restarted. Stop and start the workspace to give them again.",
            ),
            None => {}
        }
        let body = self.body(order, spec, &image, shape, volume, &secrets)?;
        let fingerprint =
            body.labels.as_ref().and_then(|labels| labels.get(LABEL_FINGERPRINT)).cloned().unwrap_or_default();
        let container = container_name(order.workspace_id);
        let pid = match self.running_as(&container, &fingerprint).await? {
            Some(pid) => pid,
            None => self.create(order.workspace_id, &container, body, volume).await?,
        };
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let shell = ["/bin/bash", "/usr/bin/bash", "/bin/sh"].into_iter().find(|path| inside::has_program(&root, path));
        Ok(Live {
            container,
            pid,
            user: shape.user,
            shell,
            fingerprint,
            volume: volume.clone(),
            memory_limit_bytes: spec.memory_limit_bytes,
            told_oom_kills: Mutex::new(0),
        })
    }

    fn body(
        &self,
        order: &Order,
        spec: &ContainerSpec,
        image: &Image,
        shape: &Shape,
        _volume: &Volume,
        secrets: &Secrets,
    ) -> Result<ContainerCreateBody, EngineError> {
        let seccomp = match self.api.kind {
            EngineKind::Podman => Some(self.seccomp_profile()?),
            // Docker's own default is what Podman's is made into.
            EngineKind::Docker | EngineKind::Unconfined => None,
        };
        Ok(create::body(&Plan {
            workspace_id: order.workspace_id,
            spec_generation: order.spec_generation,
            name: &order.spec.name,
            spec,
            image: &image.name,
            user: &shape.user,
            extra_env: &shape.env,
            connection: &Connection::None,
            volumes: volume_names(order.workspace_id),
            secrets_dir: secrets.dir(),
            image_volumes: &image.volumes,
            seccomp,
            has_engine_init: has_engine_init(self.api.kind),
            runtime: self.api.runtime_name.clone(),
            hard_limits: hard_limits(),
        }))
    }

    /// The first process of the container, if one that is just so runs.
    async fn running_as(&self, container: &str, fingerprint: &str) -> Result<Option<i32>, EngineError> {
        let Some(found) = self.inspect(container).await? else { return Ok(None) };
        let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        let is_so = labels.get(LABEL_FINGERPRINT).is_some_and(|found| found == fingerprint);
        let state = found.state.unwrap_or_default();
        let pid = state.pid.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0);
        Ok(pid.filter(|_| is_so && state.running == Some(true)))
    }

    async fn inspect(&self, container: &str) -> Result<Option<ContainerInspectResponse>, EngineError> {
        match self.api.docker.inspect_container(container, None).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(failure::of(&error)),
        }
    }

    async fn create(
        &self,
        workspace_id: WorkspaceId,
        container: &str,
        body: ContainerCreateBody,
        volume: &Volume,
    ) -> Result<i32, EngineError> {
        // One that is not as it should be, or does not run.
        self.end_container(workspace_id).await?;
        for (name, place) in volume_names(workspace_id).into_iter().zip([volume.workspace(), volume.sessions()]) {
            self.make_volume(&name.0, &place).await?;
        }
        let options = CreateContainerOptionsBuilder::default().name(container).build();
        let docker = &self.api.docker;
        docker.create_container(Some(options), body).await.map_err(|error| failure::of(&error))?;
        docker.start_container(container, None).await.map_err(|error| failure::of(&error))?;
        let started = self.inspect(container).await?.and_then(|found| found.state);
        let pid = started.and_then(|state| state.pid).and_then(|pid| i32::try_from(pid).ok());
        pid.filter(|pid| *pid > 0).ok_or_else(|| {
            EngineError::refused("The workspace's container ended as soon as it was started. Try another image.")
        })
    }

    async fn make_volume(&self, name: &str, place: &Path) -> Result<(), EngineError> {
        let place = place.to_string_lossy().into_owned();
        let options = [("type", "none".to_owned()), ("o", "bind".to_owned()), ("device", place)];
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            driver: Some("local".into()),
            driver_opts: Some(options.map(|(name, value)| (name.to_owned(), value)).into()),
            ..VolumeCreateRequest::default()
        };
        self.api.docker.create_volume(request).await.map(drop).map_err(|error| failure::of(&error))
    }

    /// Ends the workspace's container, however it is, and everything in it.
    async fn end_container(&self, workspace_id: WorkspaceId) -> Result<(), EngineError> {
        self.live().remove(&workspace_id);
        let container = container_name(workspace_id);
        let Some(found) = self.inspect(&container).await? else { return Ok(()) };
        let state = found.state.unwrap_or_default();
        if let Some(pid) = state.pid.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0) {
            processes::ask_to_end(pid).await;
        }
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.api.docker.remove_container(&container, Some(options)).await {
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(failure::of(&error)),
        }
    }

    /// Ends everything that runs in the workspace; its files stay.
    pub(in crate::workspaces) async fn stop(&self, workspace_id: WorkspaceId) -> Result<(), EngineError> {
        self.end_container(workspace_id).await?;
        self.secrets(workspace_id).remove()?;
        self.volume(workspace_id).unmount().await
    }

    /// Leaves nothing of the workspace.
    pub(in crate::workspaces) async fn remove(&self, workspace_id: WorkspaceId) -> Result<(), EngineError> {
        self.stop(workspace_id).await?;
        for (name, _) in volume_names(workspace_id) {
            let options = RemoveVolumeOptionsBuilder::default().force(true).build();
            match self.api.docker.remove_volume(&name, Some(options)).await {
                Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
                Err(error) => return Err(failure::of(&error)),
            }
        }
        self.volume(workspace_id).remove().await
    }

    /// Ends terminals, and what was started to outlive them goes on.
    pub(in crate::workspaces) async fn end_terminals(&self, workspace_id: WorkspaceId) -> Result<(), EngineError> {
        let Some(found) = self.inspect(&container_name(workspace_id)).await? else { return Ok(()) };
        let pid = found.state.and_then(|state| state.pid).and_then(|pid| i32::try_from(pid).ok());
        match pid.filter(|pid| *pid > 0) {
            Some(pid) if !processes::hang_up_terminals(pid).await => {
                Err(EngineError::refused("some of its terminals do not end"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The agent ends; the container goes on.
    pub(in crate::workspaces) async fn leave(&self, workspace_id: WorkspaceId) -> Result<(), EngineError> {
        self.live().remove(&workspace_id);
        self.end_terminals(workspace_id).await
    }

    /// The profile, where the engine reads it. Made anew at every start: the engine may have been upgraded.
    fn seccomp_profile(&self) -> Result<String, EngineError> {
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

    fn volume(&self, workspace_id: WorkspaceId) -> Volume {
        Volume::new(&self.settings, workspace_id)
    }

    fn secrets(&self, workspace_id: WorkspaceId) -> Secrets {
        Secrets::new(&self.settings.run_dir, workspace_id)
    }
}

/// The container's name, and that of everything the engine keeps for it.
fn container_name(workspace_id: WorkspaceId) -> String {
    format!("ringfence-{}", workspace_id.body())
}

fn volume_names(workspace_id: WorkspaceId) -> [(String, &'static str); 2] {
    let name = container_name(workspace_id);
    [(format!("{name}-workspace"), "/workspace"), (format!("{name}-sessions"), "/sessions")]
}

fn has_engine_init(kind: EngineKind) -> bool {
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
fn hard_limits() -> (u64, u64) {
    use rustix::process::{Resource, getrlimit};
    let hard = |resource| getrlimit(resource).maximum.unwrap_or(u64::MAX);
    (hard(Resource::Nofile), hard(Resource::Nproc))
}
