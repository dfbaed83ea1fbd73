//! The whole of Ringfence on one machine: the Worker in workerd, and a local cloud whose machines are real processes.
//!
//! ```text
//!  Stack ──stdin/stdout──▶ node control-plane.mjs ──▶ workerd (Worker, D1, Durable Objects, assets)
//!    │                                                    ▲ agents dial in      │ Hetzner Cloud API
//!    └──stdin held open──▶ local-cloud ──▶ vm-agent … ────┘◀────────────────────┘
//! ```
//!
//! `cargo xtask dev`, the demonstration, the end-to-end tests and the measurements all start this one. Every child is the
//! head of a process group, ends when its standard input does, and so does not outlive us, however we end. Both halves can
//! be killed and started again on the same ports and state, which is what the failure tests are about.

mod admin;
mod child;
mod control_plane;
mod local_cloud;
mod secrets;

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rand::Rng as _;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use self::control_plane::ControlPlane;
use self::local_cloud::LocalCloud;
pub use self::secrets::Secrets;
use crate::build::Artifacts;
use crate::image::{self, Image};
use crate::project;
use crate::toolchain::npm::NpmTools;

/// What the local cloud makes its machines of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// The agent as a plain process, without any isolation.
    Process,
    /// A booted Debian in namespaces of this computer.
    Nspawn,
    /// A virtual machine with a kernel of its own.
    Qemu,
}

/// What to start, and where.
#[derive(Clone, Debug)]
pub struct StackOptions {
    /// The programs to run.
    pub artifacts: Artifacts,
    /// Secrets, databases and logs; what is there is taken up again.
    pub state_dir: PathBuf,
    /// The control plane's port; any free one if there is none.
    pub port: Option<u16>,
    /// What machines are made of.
    pub driver: Driver,
    /// Further variables of the Worker, or other values for the usual ones.
    pub vars: Vec<(String, String)>,
    /// Whether the scheduled handler runs every minute, as in production; tests rather call [`Stack::run_cron`].
    pub cron: bool,
    /// Further arguments of `local-cloud`, such as `--boot-delay-ms`.
    pub cloud_args: Vec<String>,
}

impl StackOptions {
    /// The usual stack on free ports.
    pub fn new(artifacts: Artifacts, state_dir: impl Into<PathBuf>) -> Self {
        Self {
            artifacts,
            state_dir: state_dir.into(),
            port: None,
            driver: Driver::Process,
            vars: Vec::new(),
            cron: false,
            cloud_args: Vec::new(),
        }
    }

    /// Sets a variable of the Worker.
    pub fn var(mut self, name: &str, value: impl Into<String>) -> Self {
        self.vars.push((name.to_owned(), value.into()));
        self
    }
}

/// A running stack. Dropping it ends all of it.
pub struct Stack {
    port: u16,
    cloud_port: u16,
    state_dir: PathBuf,
    tools: PathBuf,
    secrets: Secrets,
    vars: Map<String, Value>,
    /// Variables that were changed since: the next start has them.
    changed_vars: Mutex<Map<String, Value>>,
    options: StackOptions,
    control_plane: Mutex<Option<ControlPlane>>,
    local_cloud: Mutex<Option<LocalCloud>>,
    /// What machines boot from, where they boot.
    image: Option<Image>,
}

/// Where machines with a network of their own reach the control plane.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

impl Stack {
    /// Starts everything and returns when it answers.
    pub async fn start(options: StackOptions) -> Result<Self> {
        // The children run in other folders than we do.
        let state_dir = std::path::absolute(&options.state_dir)?;
        std::fs::create_dir_all(state_dir.join("logs"))
            .with_context(|| format!("creating the state directory {}", state_dir.display()))?;
        let secrets = Secrets::load_or_create(&state_dir.join("secrets.json"))?;
        let port = match options.port {
            Some(port) => still_free(port)?,
            None => free_port()?,
        };
        let cloud_port = free_port()?;
        let image = match options.driver {
            Driver::Process => None,
            Driver::Nspawn => Some(image::ensure()?),
            Driver::Qemu => {
                image::ensure_qemu()?;
                Some(image::ensure()?)
            }
        };
        let mut stack = Self {
            port,
            cloud_port,
            tools: NpmTools::ensure()?.dir().to_path_buf(),
            vars: Map::new(),
            changed_vars: Mutex::default(),
            secrets,
            state_dir,
            options,
            control_plane: Mutex::new(None),
            local_cloud: Mutex::new(None),
            image,
        };
        stack.vars = stack.worker_vars()?;
        tokio::try_join!(stack.start_local_cloud(), stack.start_control_plane())?;
        Ok(stack)
    }

    /// The control plane's origin.
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The local cloud's base URL, as a Hetzner client wants it.
    pub fn cloud_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.cloud_port)
    }

    /// What this stack was given to keep secret.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The folder with databases and logs.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// How many servers the local cloud has, in all of its projects.
    pub async fn cloud_servers(&self) -> Result<u64> {
        let mut total = 0;
        for token in &self.secrets.cloud_tokens {
            let request = reqwest::Client::new().get(format!("{}/v1/servers", self.cloud_url())).bearer_auth(token);
            let list: Value = serde_json::from_slice(&request.send().await?.error_for_status()?.bytes().await?)?;
            let entries = list.pointer("/meta/pagination/total_entries").and_then(Value::as_u64);
            total += entries.context("a list of servers without a total")?;
        }
        Ok(total)
    }

    /// Runs one SQL statement on D1 and returns its rows as objects.
    pub async fn d1(&self, sql: &str, params: &[Value]) -> Result<Vec<Map<String, Value>>> {
        let mut guard = self.control_plane.lock().await;
        let result = running(&mut guard)?.ask(json!({ "sql": sql, "params": params })).await?;
        Ok(serde_json::from_value(result)?)
    }

    /// Runs SQL statements with their parameters on D1, all or none.
    pub async fn d1_batch(&self, statements: &[(&str, Vec<Value>)]) -> Result<()> {
        let batch: Vec<Value> =
            statements.iter().map(|(sql, params)| json!({ "sql": sql, "params": params })).collect();
        let mut guard = self.control_plane.lock().await;
        running(&mut guard)?.ask(json!({ "batch": batch })).await.map(drop)
    }

    /// Runs the scheduled handler once, as Cloudflare's cron would.
    pub async fn run_cron(&self, cron: &str) -> Result<()> {
        let mut guard = self.control_plane.lock().await;
        running(&mut guard)?.ask(json!({ "cron": cron })).await.map(drop)
    }

    /// Ends workerd with SIGKILL, in the middle of whatever it does.
    pub async fn kill_control_plane(&self) -> Result<()> {
        match self.control_plane.lock().await.take() {
            Some(control_plane) => control_plane.kill().await,
            None => Ok(()),
        }
    }

    /// Starts the control plane, on the same port and state as before.
    pub async fn start_control_plane(&self) -> Result<()> {
        let mut guard = self.control_plane.lock().await;
        if guard.is_none() {
            let mut vars = self.vars.clone();
            vars.extend(self.changed_vars.lock().await.clone());
            let order = json!({
                "tools": self.tools,
                "config": project::root().join("wrangler.toml"),
                "port": self.port,
                "state": self.state_dir.join("control-plane"),
                "vars": vars,
                "cron": self.options.cron,
            });
            *guard = Some(ControlPlane::start(&order, &self.log("control-plane")).await?);
        }
        Ok(())
    }

    /// Changes a variable of the Worker: the control plane's next start has it.
    pub async fn set_var(&self, name: &str, value: impl Into<String>) {
        self.changed_vars.lock().await.insert(name.to_owned(), Value::String(value.into()));
    }

    /// Ends the local cloud with SIGKILL. Machines that are processes go on, as a provider's do when its API is down; those with a
    /// network of their own end with it, and are booted on their disks by the next.
    pub async fn kill_local_cloud(&self) -> Result<()> {
        match self.local_cloud.lock().await.take() {
            Some(local_cloud) => local_cloud.kill().await,
            None => Ok(()),
        }
    }

    /// Starts the local cloud, on the same port and state as before.
    pub async fn start_local_cloud(&self) -> Result<()> {
        let mut guard = self.local_cloud.lock().await;
        if guard.is_none() {
            let order = local_cloud::Order {
                program: &self.options.artifacts.local_cloud,
                agent: &self.options.artifacts.agent,
                state_dir: &self.state_dir.join("local-cloud"),
                driver: self.options.driver,
                image: self.image.as_ref(),
                port: self.cloud_port,
                forward: self.port,
                tokens: &self.secrets.cloud_tokens,
                more_args: &self.options.cloud_args,
            };
            *guard = Some(LocalCloud::start(&order, &self.log("local-cloud")).await?);
        }
        Ok(())
    }

    /// Ends everything in good order: the machines first, while they can still say so.
    pub async fn stop(self) -> Result<()> {
        // One that was killed left its machines behind; only a new one knows them.
        self.start_local_cloud().await?;
        if let Some(local_cloud) = self.local_cloud.lock().await.take() {
            local_cloud.stop().await?;
        }
        match self.control_plane.lock().await.take() {
            Some(control_plane) => control_plane.stop().await,
            None => Ok(()),
        }
    }

    /// Where a child's log is: `control-plane` or `local-cloud`.
    pub fn log(&self, name: &str) -> PathBuf {
        self.state_dir.join("logs").join(format!("{name}.log"))
    }

    /// What the Worker reads from its environment.
    fn worker_vars(&self) -> Result<Map<String, Value>> {
        let origin = self.origin();
        let mut vars = Map::new();
        let mut set = |name: &str, value: String| vars.insert(name.to_owned(), Value::String(value));
        set("RINGFENCE_KEYRING", self.secrets.keyring.to_string());
        set("RINGFENCE_INSTALLATION_ID", self.secrets.installation_id.clone());
        set("RINGFENCE_HETZNER_URL", self.cloud_url());
        set("RINGFENCE_AGENT_SHA256", self.options.artifacts.agent_sha256.clone());
        // The first origin is the canonical one, which machines are told; people also type the name.
        let by_name = format!("http://localhost:{}", self.port);
        match self.options.driver {
            Driver::Process => {
                set("RINGFENCE_ORIGIN", format!("{origin},{by_name}"));
                set("RINGFENCE_ENGINE", "unconfined".to_owned());
            }
            Driver::Nspawn | Driver::Qemu => {
                set("RINGFENCE_ORIGIN", format!("http://{GATEWAY}:{},{origin},{by_name}", self.port));
                set("RINGFENCE_ENGINE", "containers".to_owned());
            }
        }
        for (name, value) in &self.options.vars {
            set(name, value.clone());
        }
        Ok(vars)
    }
}

fn running(guard: &mut Option<ControlPlane>) -> Result<&mut ControlPlane> {
    guard.as_mut().context("the control plane is not running")
}

/// The port, if nobody listens on it.
fn still_free(port: u16) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    listener.map(|_| port).with_context(|| format!("port {port} cannot be used: choose another with --port"))
}

/// A port that nobody listens on, below those that systems give to outgoing connections (Linux: from 32768): it is used some time
/// from now, and again after a restart, and must not be somebody's connection by then.
fn free_port() -> Result<u16> {
    let mut random = rand::rng();
    (0..100)
        .map(|_| random.random_range(10_000..32_000))
        .find(|port| still_free(*port).is_ok())
        .context("none of a hundred ports is free")
}
