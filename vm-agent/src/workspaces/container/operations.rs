//! Start, stop, remove, adopt.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptionsBuilder,
};
use ringfence_protocol::container::ContainerSpec;
use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::state::{EngineKind, NetworkMode, WorkspaceFailure};

use super::create::{self, Connection, LABEL_FINGERPRINT, Plan};
use super::image::{self, Image, Owners};
use super::live::Live;
use super::reference::Reference;
use super::repository::{self, Prepared};
use super::secrets::Secrets;
use super::user::{self, User};
use super::volume::{self, Volume};
use super::watch::{self, Watch};
use super::{Containers, Running, exec, failure, inside, machine, network, proxy, relay};
use crate::activity::ProcessTime;
use crate::processes;
use crate::workspaces::agent_socket::{self, SocketPlace};
use crate::workspaces::{EngineError, Order, Saved, save};

impl Containers {
    /// Makes the workspace run. If that fails, nothing of it does; its files are kept.
    pub(in crate::workspaces) async fn start(self: &Arc<Self>, order: Order) -> Result<(), EngineError> {
        let mut started = self.try_start(&order).await;
        if started.is_err() {
            if let Some(why) = self.why_it_ended(&container_name(order.workspace_id)).await {
                started = Err(why);
            }
            let ended = self.end_container(order.workspace_id).await;
            if let Err(error) = ended {
                tracing::error!(workspace.id = %order.workspace_id, %error, "a workspace that failed was not stopped");
            }
        }
        started
    }

    async fn try_start(self: &Arc<Self>, order: &Order) -> Result<(), EngineError> {
        let spec = order.spec.container.as_ref();
        let spec = spec.ok_or_else(|| {
            EngineError::refused("The workspace names no container, and this machine runs nothing else.")
        })?;
        let volume = self.volume(order.workspace_id);
        let noted = repository::noted(&volume);
        let owner = noted.as_ref().map_or_else(User::default, |noted| noted.user);
        volume.mount(spec.disk_quota_bytes, owner.ids()).await?;
        // Where it was not mounted until now.
        let noted = noted.or_else(|| repository::noted(&volume));
        let prepared = match noted {
            Some(prepared) => prepared,
            None => self.prepare(order, spec, &volume).await?,
        };
        let live = self.run(order, spec, &volume, &prepared).await?;
        if !prepared.post_create.is_empty() && !repository::is_post_created(&volume) {
            let run = repository::post_create(&self.api, &live, &prepared.post_create, &order.span);
            order.span.wait(order.voice.step("run postCreateCommand", run)).await?;
        }
        let already = self.running().get(&order.workspace_id).is_some_and(|running| Arc::ptr_eq(&running.live, &live));
        if already {
            return Ok(());
        }
        let siblings = self.siblings(order.workspace_id);
        let posture = self.measure(&live, spec, &siblings).await;
        order.voice.posture(posture.clone());
        if let Some(error) = watch::broken(&posture) {
            return Err(error);
        }
        let watch = Watch::new(Arc::downgrade(self), Arc::clone(&live), order, spec, (posture, siblings)).start();
        self.running().insert(order.workspace_id, Running { live, _watch: watch });
        Ok(())
    }

    /// The first start: what the repository says of the container, once it is there.
    async fn prepare(&self, order: &Order, spec: &ContainerSpec, volume: &Volume) -> Result<Prepared, EngineError> {
        let mut prepared = Prepared::default();
        let Some(wanted) = &spec.repository else {
            repository::note(volume, &prepared)?;
            return Ok(prepared);
        };
        let live = self.run(order, spec, volume, &prepared).await?;
        let clone = repository::clone(&self.api, &live, wanted, &order.span);
        order.span.wait(order.voice.step(format!("clone {}", wanted.url), clone)).await?;
        drop(live);
        if let Some(devcontainer) = repository::devcontainer(volume)? {
            prepared.image = devcontainer.image;
            prepared.env = devcontainer.container_env;
            if let Some(user) = devcontainer.remote_user {
                // Its number is in the image, which is looked at where it is unpacked.
                let live = self.run(order, spec, volume, &prepared).await?;
                prepared.user = user::find(&PathBuf::from(format!("/proc/{}/root", live.pid)), &user)?;
                drop(live);
                self.end_container(order.workspace_id).await?;
                // All that is there was made by, and for, the usual one.
                if prepared.user != User::default() {
                    order.span.wait(volume.give_to(prepared.user.ids(), order.span.left())).await?;
                }
            }
            prepared.post_create = devcontainer.post_create;
        }
        repository::note(volume, &prepared)?;
        Ok(prepared)
    }

    /// Makes a container of this shape run, or finds it running.
    async fn run(
        &self,
        order: &Order,
        spec: &ContainerSpec,
        volume: &Volume,
        prepared: &Prepared,
    ) -> Result<Arc<Live>, EngineError> {
        let login = order.secrets.as_ref().and_then(|secrets| secrets.registry_login.as_ref());
        let owners = Owners { image: &spec.image, login };
        let image = prepared.image.as_ref().unwrap_or(&spec.image);
        // The repository's own, too.
        Reference::parse(image)?.check_registry(&spec.image_registries)?;
        let image = image::ensure(&self.api, image, &owners, &order.voice, &order.span, || self.has_room());
        let image = order.span.wait(image).await?;
        let secrets = self.secrets(order.workspace_id);
        secrets.prepare()?;
        match &order.secrets {
            Some(given) => secrets.write(given, prepared.user.ids())?,
            None if order.has_secret_files && !secrets.are_there() => order.voice.notice(
                "The workspace's secrets are not on the machine any more, since it was restarted. Stop and start the workspace to give them again.",
            ),
            None => {}
        }
        let container = container_name(order.workspace_id);
        let connection = match spec.network {
            NetworkMode::None => Connection::None,
            NetworkMode::Restricted => {
                proxy::ensure_installed(&order.voice).await?;
                Connection::Proxy
            }
            NetworkMode::Internet => {
                network::ensure(&self.api, &container).await?;
                Connection::Network { name: container.clone(), nameservers: network::nameservers() }
            }
        };
        let body = self.body(order, spec, &image, prepared, &connection, &secrets)?;
        let fingerprint =
            body.labels.as_ref().and_then(|labels| labels.get(LABEL_FINGERPRINT)).cloned().unwrap_or_default();
        let pid = match self.running_as(&container, &fingerprint).await? {
            Some(pid) => {
                let known = self.running().get(&order.workspace_id).map(|running| Arc::clone(&running.live));
                if let Some(known) = known.filter(|known| known.pid == pid && known.is_alive()) {
                    return Ok(known);
                }
                pid
            }
            None => self.create(order.workspace_id, &container, body, volume).await?,
        };
        self.must_have_runtime(&container).await?;
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let shell = ["/bin/bash", "/usr/bin/bash", "/bin/sh"].into_iter().find(|path| inside::has_program(&root, path));
        let mut live = Live::new(container, pid, shell, volume.clone(), prepared.user, spec.memory_limit_bytes);
        if connection == Connection::Proxy {
            let proxy =
                proxy::start(&self.proxy_dir(order.workspace_id), &self.settings.proxy_user, &spec.allowed_domains)
                    .await?;
            let relay = relay::start(pid, proxy.address).await.map_err(|error| {
                EngineError::new(
                    WorkspaceFailure::ProxyUnavailable,
                    format!(
                        "The filtering proxy of the restricted network cannot be reached from the container: {error}."
                    ),
                )
            })?;
            live.outlet = Some((proxy, relay));
        }
        Ok(Arc::new(live))
    }

    /// Whether there is room for anything beside what workspaces were promised. A disk that cannot be looked at is not full.
    fn has_room(&self) -> bool {
        let beside_volumes = volume::left(&self.settings.volumes_dir).unwrap_or(u64::MAX);
        let beside_images = self.api.store.as_deref().and_then(|store| volume::unreserved(store).ok());
        beside_volumes.min(beside_images.unwrap_or(u64::MAX)) > 0
    }

    fn body(
        &self,
        order: &Order,
        spec: &ContainerSpec,
        image: &Image,
        prepared: &Prepared,
        connection: &Connection,
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
            user: &prepared.user,
            extra_env: &prepared.env,
            connection,
            volumes: volume_names(order.workspace_id),
            secrets_dir: secrets.dir(),
            socket_dir: secrets.socket_dir(),
            image_volumes: &image.volumes,
            seccomp,
            has_engine_init: machine::has_engine_init(self.api.kind),
            runtime: self.api.runtime_name.clone(),
            hard_limits: machine::hard_limits(),
        }))
    }

    /// The first process of the container, if one that is just so runs.
    async fn running_as(&self, container: &str, fingerprint: &str) -> Result<Option<i32>, EngineError> {
        let Some(found) = self.inspect(container).await? else { return Ok(None) };
        let labels = found.config.labels.unwrap_or_default();
        let is_so = labels.get(LABEL_FINGERPRINT).is_some_and(|found| found == fingerprint);
        Ok(found.state.pid().filter(|_| is_so && found.state.running))
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
        let state = self.inspect(container).await?.unwrap_or_default().state;
        state.pid().ok_or_else(|| state.why_it_ended())
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
        self.running().remove(&workspace_id);
        let container = container_name(workspace_id);
        let Some(found) = self.inspect(&container).await? else { return Ok(()) };
        if let Some(pid) = found.state.pid() {
            processes::ask_to_end(pid).await;
            // What is left had its time: without this, some engines give it more.
            let options = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
            if let Err(error) = self.api.docker.kill_container(&container, Some(options)).await {
                tracing::debug!(%error, "a container could not be killed before it is removed");
            }
        }
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.api.docker.remove_container(&container, Some(options)).await {
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(failure::of(&error)),
        }
    }

    /// Runs the save hook, as the container's user. It may be anything that the workspace has put there.
    pub(in crate::workspaces) async fn save(&self, workspace_id: WorkspaceId, limit: Duration) -> Option<Saved> {
        let live = self.running().get(&workspace_id).map(|running| Arc::clone(&running.live))?;
        if !live.has_save_hook() {
            return None;
        }
        let started = Instant::now();
        let command = exec::Command {
            container: &live.container,
            container_pid: live.pid,
            words: vec![format!("/workspace/{}", save::HOOK)],
            env: Vec::new(),
            limit,
        };
        Some(match exec::run(&self.api, command).await {
            Ok(outcome) => Saved::ended(outcome.code, &outcome.tail, started.elapsed()),
            Err(error) => Saved::not_run(error, started.elapsed()),
        })
    }

    pub(in crate::workspaces) fn times(&self, workspace_id: WorkspaceId) -> Option<Vec<ProcessTime>> {
        let pid = self.running().get(&workspace_id)?.live.pid;
        Some(processes::times_in_container(pid))
    }

    /// Where the socket of a workspace that runs belongs.
    pub(in crate::workspaces) fn socket_place(&self, workspace_id: WorkspaceId) -> Option<SocketPlace> {
        let owner = self.running().get(&workspace_id)?.live.user.ids();
        Some(SocketPlace {
            path: self.secrets(workspace_id).socket_dir().join(agent_socket::SOCKET_NAME),
            owner: Some(owner),
        })
    }

    /// Ends everything that runs in the workspace; its files stay.
    pub(in crate::workspaces) async fn stop(&self, workspace_id: WorkspaceId) -> Result<(), EngineError> {
        self.end_container(workspace_id).await?;
        network::remove(&self.api, &container_name(workspace_id)).await?;
        self.secrets(workspace_id).remove()?;
        match std::fs::remove_dir_all(self.proxy_dir(workspace_id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(EngineError::refused(error)),
            Ok(()) | Err(_) => {}
        }
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
        match found.state.pid() {
            Some(pid) if !processes::hang_up_terminals(pid).await => {
                Err(EngineError::refused("some of its terminals do not end"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The agent ends; the container goes on.
    pub(in crate::workspaces) async fn leave(&self, workspace_id: WorkspaceId) -> Result<(), EngineError> {
        self.running().remove(&workspace_id);
        self.end_terminals(workspace_id).await
    }

    /// Ends a container that must not run, at once. What else there is of it goes when the workspace is stopped.
    pub(super) async fn kill(&self, live: &Live) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.api.docker.remove_container(&live.container, Some(options)).await {
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(failure::of(&error)),
        }
    }

    /// What the proxy's user may read.
    fn proxy_dir(&self, workspace_id: WorkspaceId) -> PathBuf {
        self.settings.run_dir.join(format!("proxy-{}", workspace_id.body()))
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
