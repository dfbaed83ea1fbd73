//! The cloud itself: every verb on servers, over the state and the machines.
//!
//! ```text
//!  create ─▶ initializing ─▶ running ─▶ stopping ─▶ off ─▶ starting ─▶ running …
//!               │              │            agent exits 0 ─▶ off
//!               └──────────────┴── delete ─▶ deleting ─▶ (gone)
//! ```
//! One lock guards state and machine handles and is never held across an await. A change is saved before it is answered, so what
//! a client was told survives a crash; what was under way is taken up again by [`Cloud::open`].

mod firewalls;
mod ledger;
mod progress;

use crate::clock::now_ms;
use crate::command::Outcome;
use crate::error::ApiError;
use crate::faults::Faults;
use crate::labels::Labels;
use crate::machine::supervisor::{MachineHandle, MachineView};
use crate::machine::{Driver, Inside};
use crate::network::detour::Detour;
use crate::order::NewServer;
use crate::rate_limit::RateLimiter;
use crate::request_log::RequestLog;
use crate::settings::Settings;
use crate::state::{Action, ActionStatus, Command, ProjectId, Server, ServerId, ServerStatus, StateFile};
use anyhow::{Context as _, Result, bail};
pub(crate) use firewalls::FirewallReport;
use ledger::Ledger;
use rustix::process::Signal;
use std::collections::HashMap;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A running cloud. Clones are the same cloud.
#[derive(Clone)]
pub struct Cloud {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    grants: HashMap<String, Grant>,
    driver: Driver,
    file: StateFile,
    ledger: Mutex<Ledger>,
    faults: Mutex<Faults>,
    requests: Mutex<RequestLog>,
    limiter: Mutex<RateLimiter>,
    /// Held as long as the cloud lives: two on one directory would end each other's machines.
    _lock: File,
}

/// What a token opens.
#[derive(Clone)]
pub(crate) struct Grant {
    pub(crate) project: ProjectId,
    pub(crate) may_write: bool,
}

/// What POST /v1/servers answers with.
pub(crate) struct CreatedServer {
    pub(crate) server: Server,
    pub(crate) action: Action,
    pub(crate) next_actions: Vec<Action>,
}

/// A server with what only this cloud knows of it.
pub(crate) struct MachineReport {
    pub(crate) server: Server,
    pub(crate) view: MachineView,
    pub(crate) directory: String,
    pub(crate) driver: &'static str,
    pub(crate) isolation: &'static str,
    pub(crate) inside: Inside,
    /// The namespace of the cloud's own network.
    pub(crate) cloud_namespace: Option<String>,
}

impl Cloud {
    /// Opens the state directory, ends leftover machines of a crash, and starts again what was on.
    pub async fn open(settings: Settings) -> Result<Self> {
        if settings.tokens.is_empty() || settings.tokens.iter().any(|token| token.trim().is_empty()) {
            bail!("at least one --token is needed, and none may be empty");
        }
        let directory = &settings.state_dir;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let lock = File::create(directory.join("lock"))?;
        lock.try_lock().with_context(|| format!("another local-cloud uses {}", directory.display()))?;
        let directory = std::fs::canonicalize(directory)?;
        let file = StateFile::in_directory(&directory);
        let state = file.load()?;
        let driver = Driver::open(&settings, &directory, &state.installation).await?;
        driver.clear_leftovers().await?;
        let grants = grants(&settings);
        let limiter = Mutex::new(RateLimiter::new(settings.requests_per_hour));
        let ledger = Mutex::new(Ledger { state, machines: HashMap::new(), closing: false });
        let (faults, requests) = Default::default();
        let inner = Inner { settings, grants, driver, file, ledger, faults, requests, limiter, _lock: lock };
        let cloud = Self { inner: Arc::new(inner) };
        cloud.resume()?;
        Ok(cloud)
    }

    /// Ends all machines. Servers that were on stay so in the state and are started by the next [`Cloud::open`].
    pub async fn close(&self) {
        let machines: Vec<MachineHandle> = {
            let mut ledger = self.ledger();
            ledger.closing = true;
            ledger.machines.drain().map(|(_, machine)| machine).collect()
        };
        let grace = self.inner.settings.shutdown_grace;
        let stops: Vec<_> = machines.into_iter().map(|machine| tokio::spawn(machine.stop(grace))).collect();
        for stop in stops {
            let _ = stop.await;
        }
        self.inner.driver.close().await;
    }

    pub(crate) fn grant(&self, token: &str) -> Option<Grant> {
        self.inner.grants.get(token).cloned()
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.inner.faults)
    }

    pub(crate) fn requests(&self) -> MutexGuard<'_, RequestLog> {
        lock(&self.inner.requests)
    }

    pub(crate) fn limiter(&self) -> MutexGuard<'_, RateLimiter> {
        lock(&self.inner.limiter)
    }

    // ---- servers ----

    pub(crate) fn servers(&self, project: &ProjectId) -> Vec<Server> {
        self.ledger().state.servers.values().filter(|server| server.project == *project).cloned().collect()
    }

    pub(crate) fn server(&self, project: &ProjectId, id: ServerId) -> Result<Server, ApiError> {
        self.ledger().owned(project, id).map(|server| server.clone())
    }

    pub(crate) fn create_server(&self, project: &ProjectId, order: NewServer) -> Result<CreatedServer, ApiError> {
        let mut ledger = self.ledger();
        ledger.admit(project, &order.name, self.inner.settings.servers_max)?;
        for firewall in &order.firewalls {
            let known = ledger.owned_firewall(project, *firewall).is_ok();
            known.then_some(()).ok_or_else(|| ApiError::invalid("firewalls", "firewall not found"))?;
        }
        let now = now_ms();
        let id = ledger.state.take_server_id();
        let server = Server {
            id,
            project: project.clone(),
            name: order.name,
            labels: order.labels,
            server_type: order.server_type.name.to_owned(),
            image: order.image.id,
            location: order.location.name.to_owned(),
            created_at_ms: now,
            status: ServerStatus::Initializing,
            firewalls: order.firewalls,
            slot: self.inner.driver.network().map(|_| ledger.free_slot()).transpose()?,
        };
        if let Err(error) = self.inner.driver.prepare(&server, &order.user_data) {
            self.inner.driver.remove(id);
            return Err(ApiError::internal(&error));
        }
        ledger.state.servers.insert(id, server.clone());
        let action = ledger.state.begin_action(project, id, Command::CreateServer, now);
        let next_actions = match order.start_after_create {
            true => vec![ledger.state.begin_action(project, id, Command::StartServer, now)],
            false => Vec::new(),
        };
        self.save(&ledger)?;
        drop(ledger);
        self.finish_later(id, order.start_after_create);
        Ok(CreatedServer { server, action, next_actions })
    }

    pub(crate) fn update_server(
        &self,
        project: &ProjectId,
        id: ServerId,
        name: Option<String>,
        labels: Option<Labels>,
    ) -> Result<Server, ApiError> {
        let mut ledger = self.ledger();
        if let Some(name) = &name
            && ledger.owned(project, id)?.name != *name
        {
            ledger.check_name_free(project, name)?;
        }
        let server = ledger.owned(project, id)?;
        server.name = name.unwrap_or_else(|| server.name.clone());
        server.labels = labels.unwrap_or_else(|| server.labels.clone());
        let server = server.clone();
        self.save(&ledger)?;
        Ok(server)
    }

    /// Takes a server in any state except `deleting`, which is locked.
    pub(crate) fn delete_server(&self, project: &ProjectId, id: ServerId) -> Result<Action, ApiError> {
        let mut ledger = self.ledger();
        let server = ledger.owned(project, id)?;
        if server.status == ServerStatus::Deleting {
            return Err(ApiError::locked());
        }
        server.status = ServerStatus::Deleting;
        let now = now_ms();
        ledger.state.finish_actions(id, ActionStatus::Error, now);
        let action = ledger.state.begin_action(project, id, Command::DeleteServer, now);
        self.save(&ledger)?;
        let machine = ledger.machines.remove(&id);
        drop(ledger);
        self.delete_later(id, machine);
        Ok(action)
    }

    pub(crate) fn power_on(&self, project: &ProjectId, id: ServerId) -> Result<Action, ApiError> {
        let mut ledger = self.ledger();
        let server = ledger.owned(project, id)?;
        let already = match server.status {
            ServerStatus::Off => false,
            ServerStatus::Running => true,
            ServerStatus::Initializing | ServerStatus::Starting | ServerStatus::Stopping | ServerStatus::Deleting => {
                return Err(ApiError::locked());
            }
        };
        if !already {
            server.status = ServerStatus::Starting;
        }
        let action = ledger.act(project, id, Command::StartServer, already);
        self.save(&ledger)?;
        drop(ledger);
        if !already {
            self.finish_later(id, true);
        }
        Ok(action)
    }

    /// Pulls the plug.
    pub(crate) fn power_off(&self, project: &ProjectId, id: ServerId) -> Result<Action, ApiError> {
        let mut ledger = self.ledger();
        let server = ledger.owned(project, id)?;
        let already = match server.status {
            ServerStatus::Off => true,
            ServerStatus::Running => false,
            ServerStatus::Initializing | ServerStatus::Starting | ServerStatus::Stopping | ServerStatus::Deleting => {
                return Err(ApiError::locked());
            }
        };
        if !already {
            server.status = ServerStatus::Stopping;
        }
        let action = ledger.act(project, id, Command::StopServer, already);
        self.save(&ledger)?;
        let machine = ledger.machines.remove(&id);
        drop(ledger);
        self.stop_later(id, machine);
        Ok(action)
    }

    /// Asks the machine to end itself. The action says only that it was asked.
    pub(crate) async fn shutdown(&self, project: &ProjectId, id: ServerId) -> Result<Action, ApiError> {
        let (action, orders) = {
            let mut ledger = self.ledger();
            match ledger.owned(project, id)?.status {
                ServerStatus::Running | ServerStatus::Off => {}
                ServerStatus::Initializing
                | ServerStatus::Starting
                | ServerStatus::Stopping
                | ServerStatus::Deleting => {
                    return Err(ApiError::locked());
                }
            }
            let action = ledger.act(project, id, Command::ShutdownServer, true);
            self.save(&ledger)?;
            (action, ledger.machines.get(&id).map(MachineHandle::orders))
        };
        if let Some(orders) = orders {
            orders.shutdown().await;
        }
        Ok(action)
    }

    // ---- actions ----

    pub(crate) fn actions(&self, project: &ProjectId) -> Vec<Action> {
        self.ledger().state.actions.values().filter(|action| action.project == *project).cloned().collect()
    }

    // ---- machines, for tests ----

    pub(crate) fn machines(&self) -> Vec<MachineReport> {
        let driver = &self.inner.driver;
        let ledger = self.ledger();
        let report = |server: &Server| MachineReport {
            server: server.clone(),
            view: ledger.machines.get(&server.id).map(MachineHandle::view).unwrap_or_default(),
            directory: driver.directory(server.id).display().to_string(),
            driver: driver.name(),
            isolation: driver.isolation(),
            inside: driver.inside(server.id),
            cloud_namespace: driver.network().map(|network| network.namespace().name().to_owned()),
        };
        ledger.state.servers.values().map(report).collect()
    }

    /// Runs a program in a machine.
    pub(crate) async fn exec(
        &self,
        id: ServerId,
        argv: &[String],
        input: &[u8],
        limit: Duration,
    ) -> Result<Outcome, ApiError> {
        if !self.ledger().state.servers.contains_key(&id) {
            return Err(ApiError::not_found("server"));
        }
        self.inner.driver.exec(id, argv, input, limit).await.map_err(|error| ApiError::cannot(&error))
    }

    /// Runs a program in the cloud's network, outside of every machine.
    pub(crate) async fn exec_outside(
        &self,
        argv: &[String],
        input: &[u8],
        limit: Duration,
    ) -> Result<Outcome, ApiError> {
        let network = self.inner.driver.network().ok_or_else(|| ApiError::not_found("network of this driver"))?;
        network.exec(argv, input, limit).await.map_err(|error| ApiError::cannot(&error))
    }

    /// Leads machines' requests to the control plane astray, or not any more.
    pub(crate) fn order_detour(&self, detour: Option<Detour>) -> Result<(), ApiError> {
        let network = self.inner.driver.network().ok_or_else(|| ApiError::not_found("network of this driver"))?;
        network.detours().order(detour);
        Ok(())
    }

    /// Sends a signal to the agent alone.
    pub(crate) async fn signal_machine(&self, id: ServerId, signal: Signal) -> Result<(), ApiError> {
        let orders = self.ledger().machines.get(&id).map(MachineHandle::orders);
        match orders {
            Some(orders) if orders.signal(signal).await => Ok(()),
            _ => Err(ApiError::not_found("running agent")),
        }
    }

    pub(crate) fn console(&self, id: ServerId) -> Result<Vec<u8>, ApiError> {
        match self.ledger().state.servers.contains_key(&id) {
            true => Ok(self.inner.driver.console(id)),
            false => Err(ApiError::not_found("server")),
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.inner.ledger)
    }

    fn save(&self, ledger: &Ledger) -> Result<(), ApiError> {
        self.inner.file.save(&ledger.state).map_err(|error| ApiError::internal(&error))
    }

    fn save_or_log(&self, ledger: &Ledger) {
        let _ = self.save(ledger);
    }
}

fn grants(settings: &Settings) -> HashMap<String, Grant> {
    let full = settings.tokens.iter().map(|token| (token, token, true));
    let first = settings.tokens.first();
    let read_only =
        first.into_iter().flat_map(|first| settings.read_only_tokens.iter().map(move |token| (token, first, false)));
    let grant = |(token, of, may_write): (&String, &String, bool)| {
        (token.clone(), Grant { project: ProjectId::of_token(of), may_write })
    };
    // A token given twice keeps the lesser right.
    full.chain(read_only).map(grant).collect()
}

/// The guarded values are consistent at every statement, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
