//! A world for one story: a stack of its own, the people in it, and at the end the question whether anything is left.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ringfence_protocol::ids::{CredentialId, NodeId, WorkspaceId};
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::state::{Isolation, NodeState, WorkspaceState};
use ringfence_protocol::views::{NodeView, WorkspaceView};
use serde_json::{Map, Value};
use tempfile::TempDir;
use xtask::build::{Artifacts, Profile};
use xtask::client::{Client, until, until_some};
use xtask::stack::{Driver, Stack, StackOptions};

use crate::cloud::Cloud;

/// Longer than anything takes on a busy machine: a broken alarm, its safety alarm, a boot and a deletion one after another.
pub const LIMIT: Duration = Duration::from_secs(120);

/// The same where machines have a kernel of their own, which may be emulated: a boot alone takes minutes.
const EMULATED_LIMIT: Duration = Duration::from_secs(15 * 60);

const OPEN_NODES: &str = "SELECT id, state, step, failure, provider_instance_id FROM nodes WHERE state <> 'gone'";
const OPEN_WORKSPACES: &str = "SELECT id, state, failure FROM workspaces WHERE state NOT IN ('gone', 'failed')";
const PLACES: &str = "SELECT node_id, slot, workspace_id FROM node_slots";
const LIVE_NODE_DEADLINES: &str = "SELECT id FROM nodes WHERE state <> 'gone' AND deadline_at_ms IS NULL";

/// What is particular about a story's world.
#[derive(Default)]
pub struct Setting {
    vars: Vec<(String, String)>,
    cloud_args: Vec<String>,
    panics: bool,
    driver: Option<Driver>,
}

impl Setting {
    /// What machines are made of; processes when not said.
    #[allow(dead_code, reason = "for the tests on real machines, which share this file")]
    pub fn driver(mut self, driver: Driver) -> Self {
        self.driver = Some(driver);
        self
    }

    /// A variable of the Worker.
    pub fn var(mut self, name: &str, value: impl ToString) -> Self {
        self.vars.push((name.to_owned(), value.to_string()));
        self
    }

    /// An argument of the local cloud with its value.
    pub fn cloud(mut self, flag: &str, value: impl ToString) -> Self {
        self.cloud_args.extend([flag.to_owned(), value.to_string()]);
        self
    }

    /// The Worker panics on order; elsewhere a panic is an error of its own.
    pub fn with_panics(mut self) -> Self {
        self.panics = true;
        self
    }
}

/// A running stack and who is signed in to it.
pub struct World {
    pub stack: Stack,
    pub cloud: Cloud,
    patience: Duration,
    people: Mutex<Vec<Person>>,
}

/// A user with a cloud account.
#[derive(Clone)]
pub struct Person {
    pub client: Client,
    pub credential: CredentialId,
    /// How long to wait for what takes a machine's time.
    patience: Duration,
}

/// Tells a story in a world of its own, then clears up as its people would and makes sure that nothing is left.
pub async fn story(setting: Setting, tell: impl AsyncFnOnce(&World) -> Result<()>) -> Result<()> {
    let panics_expected = setting.panics;
    let state = TempDir::with_prefix("ringfence-e2e-")?;
    let world = World::start(setting, state.path().to_path_buf()).await?;
    let mut outcome = tell(&world).await;
    if outcome.is_ok() {
        outcome = world.clear_up().await.context("clearing up after the story");
    }
    let log = std::fs::read_to_string(world.stack.log("control-plane"))?;
    if outcome.is_ok() && !panics_expected {
        outcome = no_panic(&log);
    }
    if let Err(error) = outcome {
        // The state directory is kept: databases, logs and consoles tell the rest.
        let kept = state.keep();
        world.stack.stop().await.ok();
        return Err(error.context(format!("logs: {}", kept.join("logs").display())));
    }
    world.stack.stop().await
}

fn no_panic(log: &str) -> Result<()> {
    let panic = log.lines().find(|line| line.contains("panicked") || line.contains("RuntimeError"));
    ensure!(panic.is_none(), "the Worker panicked: {panic:?}");
    Ok(())
}

impl World {
    async fn start(setting: Setting, state: PathBuf) -> Result<Self> {
        let mut options = StackOptions::new(Artifacts::built(Profile::Dev)?, state)
            // After the last create call of a machine whose id was never learnt: longer than any delay in a story.
            .var("RINGFENCE_SETTLE_SECS", "6")
            // The machines are processes of this machine, which tests keep busy.
            .var("RINGFENCE_MAX_CPU_PERCENT", "101")
            .var("RINGFENCE_MAX_MEMORY_PERCENT", "101");
        options.cloud_args.extend(["--requests-per-hour".into(), "1000000".into()]);
        options.driver = setting.driver.unwrap_or(options.driver);
        let patience = match options.driver {
            Driver::Process | Driver::Nspawn => LIMIT,
            Driver::Qemu => EMULATED_LIMIT,
        };
        // What is named later wins.
        options.vars.extend(setting.vars);
        options.cloud_args.extend(setting.cloud_args);
        let stack = Stack::start(options).await?;
        Ok(Self { cloud: Cloud::new(stack.cloud_url()), stack, patience, people: Mutex::default() })
    }

    /// Somebody new, signed in. All have the same cloud account: nothing but Ringfence keeps them apart.
    pub async fn person(&self, name: &str) -> Result<Person> {
        let id = self.stack.create_user(name, ringfence_protocol::state::Role::Member).await?;
        let link = self.stack.sign_in_link(id).await?;
        let client = Client::sign_in(self.stack.origin(), &link).await?;
        let credential = client.create_credential(&self.stack.secrets().cloud_tokens[0]).await?.id;
        let person = Person { client, credential, patience: self.patience };
        self.people.lock().unwrap().push(person.clone());
        Ok(person)
    }

    /// Somebody whose sessions were ended for them, and of whose things nothing is left: nobody clears up as them.
    #[allow(dead_code, reason = "for the tests on real machines, which share this file")]
    pub fn has_left(&self, person: &Person) {
        self.people.lock().unwrap().retain(|other| other.credential != person.credential);
    }

    /// Rows of the database.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Map<String, Value>>> {
        self.stack.d1(sql, &[]).await
    }

    /// Ends the control plane as a power cut does, and starts it again on what is left.
    pub async fn restart_control_plane(&self) -> Result<()> {
        self.stack.kill_control_plane().await?;
        self.stack.start_control_plane().await
    }

    /// Waits until no server is left at the local cloud and every row is final.
    pub async fn nothing_is_left(&self) -> Result<()> {
        let wait = until("nothing to be left", self.patience, async || {
            let servers = self.stack.cloud_servers().await?;
            Ok(servers == 0 && self.rows(OPEN_NODES).await?.is_empty() && self.rows(OPEN_WORKSPACES).await?.is_empty())
        });
        if let Err(error) = wait.await {
            let (nodes, workspaces) = (self.rows(OPEN_NODES).await?, self.rows(OPEN_WORKSPACES).await?);
            return Err(error.context(format!(
                "{} servers, nodes {nodes:?}, workspaces {workspaces:?}",
                self.stack.cloud_servers().await?
            )));
        }
        let places = self.rows(PLACES).await?;
        ensure!(places.is_empty(), "places are still taken on nodes that are gone: {places:?}");
        ensure!(self.cloud.machines().await?.is_empty(), "a machine without a server is left");
        Ok(())
    }

    /// Whether each node that lives has an end (I4).
    pub async fn every_node_has_a_deadline(&self) -> Result<()> {
        let endless = self.rows(LIVE_NODE_DEADLINES).await?;
        ensure!(endless.is_empty(), "nodes without a deadline: {endless:?}");
        Ok(())
    }

    async fn clear_up(&self) -> Result<()> {
        self.every_node_has_a_deadline().await?;
        let people = self.people.lock().unwrap().clone();
        for person in people {
            for node in person.client.nodes().await? {
                person.client.delete_node(node.id).await?;
            }
        }
        self.nothing_is_left().await
    }
}

impl Person {
    /// Asks for a workspace with everything by default.
    pub async fn create(&self) -> Result<WorkspaceView> {
        self.create_isolated(Isolation::User).await
    }

    /// Asks for a workspace.
    pub async fn create_isolated(&self, isolation: Isolation) -> Result<WorkspaceView> {
        let params = CreateWorkspaceParams {
            credential_id: Some(self.credential),
            isolation: Some(isolation),
            ..CreateWorkspaceParams::default()
        };
        self.client.create_workspace(&params).await
    }

    /// Asks for a workspace and waits until it runs.
    pub async fn running(&self) -> Result<WorkspaceView> {
        let workspace = self.create().await?;
        self.workspace_until(workspace.id, WorkspaceState::Running).await
    }

    /// Waits until a workspace is in a state. Requests may fail meanwhile: the control plane may be down.
    pub async fn workspace_until(&self, id: WorkspaceId, state: WorkspaceState) -> Result<WorkspaceView> {
        let last = Mutex::new(String::from("nothing was answered"));
        let what = format!("workspace {id} to be {state}");
        let wait = until_some(&what, self.patience, async || {
            match self.client.workspace(id).await {
                Ok(view) if view.state == state => return Ok(Some(view)),
                Ok(view) => *last.lock().unwrap() = format!("it is {}: {}", view.state, view.reason),
                Err(error) => *last.lock().unwrap() = format!("{error:#}"),
            }
            Ok(None)
        });
        wait.await.with_context(|| last.lock().unwrap().clone())
    }

    /// Waits until a workspace has failed or is gone. Requests may fail meanwhile.
    pub async fn workspace_ended(&self, id: WorkspaceId) -> Result<()> {
        until(&format!("workspace {id} to end"), self.patience, async || {
            let state = self.client.workspace(id).await.map(|view| view.state);
            Ok(matches!(state, Ok(WorkspaceState::Failed | WorkspaceState::Gone)))
        })
        .await
    }

    /// Waits until a node is in a state. Requests may fail meanwhile.
    pub async fn node_until(&self, id: NodeId, state: NodeState) -> Result<NodeView> {
        let last = Mutex::new(String::from("nothing was answered"));
        let what = format!("node {id} to be {state}");
        let wait = until_some(&what, self.patience, async || {
            match self.client.node(id).await {
                Ok(view) if view.state == state => return Ok(Some(view)),
                Ok(view) => *last.lock().unwrap() = format!("it is {}: {}", view.state, view.reason),
                Err(error) => *last.lock().unwrap() = format!("{error:#}"),
            }
            Ok(None)
        });
        wait.await.with_context(|| last.lock().unwrap().clone())
    }
}
