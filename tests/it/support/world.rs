//! The whole of the core with its neighbours in memory: users with credentials, alarms that go off in order of time, machines
//! whose agents connect.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::time::Duration;

use ringfence::app::actor::Actor;
use ringfence::app::agent_report::agent_report;
use ringfence::app::caller::{Caller, Source};
use ringfence::app::create_workspace::{CreateWorkspace, create_workspace};
use ringfence::app::drive_node::drive_node;
use ringfence::app::outcome::{Bootstrap, Driven, Provisioner};
use ringfence::app::secrets::complete;
use ringfence::config::Settings;
use ringfence::domain::container;
use ringfence::domain::keyring::Keyring;
use ringfence::domain::seal::{SealedRow, seal};
use ringfence::domain::ticket::DestroyTicket;
use ringfence::error::Result;
use ringfence::ports::{Clock, Entropy, Statement};
use ringfence::provider::{Architecture, Catalog, Price, ProviderError, Region, Size};
use ringfence::store::bootstrap;
use ringfence::store::identity::UserRow;
use ringfence::store::nodes::NodeRow;
use ringfence_protocol::ids::{CredentialId, GrantId, JwtId, NodeId, SessionId, TenantId, UserId, WorkspaceId};
use ringfence_protocol::link::AgentMessage;
use ringfence_protocol::money::Micros;
use ringfence_protocol::params::{CreateWorkspaceParams, SecretText};
use ringfence_protocol::state::{EngineChoice, EngineKind, Isolation, PostureOutcome, ProviderKind, Role, UserState};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::{NodeView, WorkspaceView};

use super::agent::{FakeAgent, posture};
use super::cloud::FakeCloud;
use super::diagram::{self, NODES, WORKSPACES};
use super::keys::keyring;
use super::platform::TestPlatform;
use super::sqlite::Death;

/// How long events are kept at least: sixty days, as `app/sweep/prune.rs` says.
const EVENTS_KEPT_MS: i64 = 60 * 24 * 3_600_000;
/// Alarms that may go off in one test: a loop that does not end fails instead.
const MAX_ALARMS: u32 = 5000;

/// Runs a test's future, with tasks beside it.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

/// A user with a credential.
#[derive(Clone)]
pub struct Someone {
    pub actor: Actor,
    pub credential: CredentialId,
}

/// Everything.
pub struct World {
    pub p: TestPlatform,
    pub settings: Settings,
    pub keyring: Keyring,
    /// What new workspaces are run with.
    pub engine: Cell<EngineChoice>,
    pub cloud: FakeCloud,
    pub agents: RefCell<BTreeMap<NodeId, FakeAgent>>,
    /// Links that are up, with the epoch they were opened with.
    pub links: RefCell<BTreeMap<NodeId, i64>>,
    /// Whether machines boot and their agents connect.
    pub machines_boot: Cell<bool>,
    /// What each node's object keeps for when the database is away.
    pub tickets: RefCell<BTreeMap<NodeId, DestroyTicket>>,
    /// Longest time between two alarms of a node that were needed.
    pub drives: Cell<u32>,
    pub tenant: TenantId,
}

impl World {
    pub fn new() -> Self {
        Self::seeded(1)
    }

    pub fn seeded(seed: u64) -> Self {
        Self::over(TestPlatform::new(seed))
    }

    pub fn over(p: TestPlatform) -> Self {
        let tenant: TenantId = p.id();
        p.db.execute(&format!("INSERT INTO tenants VALUES ('{tenant}', 'test', 0)")).unwrap();
        Self {
            p,
            settings: Settings::default(),
            keyring: keyring(),
            engine: Cell::new(EngineChoice::Unconfined),
            cloud: FakeCloud::default(),
            agents: RefCell::default(),
            links: RefCell::default(),
            machines_boot: Cell::new(true),
            tickets: RefCell::default(),
            drives: Cell::new(0),
            tenant,
        }
    }

    /// A world whose workspaces are containers.
    pub fn of_containers() -> Self {
        let world = Self::new();
        world.engine.set(EngineChoice::Containers);
        world
    }

    /// The agent of a node, made if it is not there yet. One of containers measures what must hold.
    fn with_agent<T>(&self, node: NodeId, act: impl FnOnce(&mut FakeAgent) -> T) -> T {
        let engine = self.engine.get();
        act(self.agents.borrow_mut().entry(node).or_insert_with(|| match engine {
            EngineChoice::Unconfined => FakeAgent::default(),
            EngineChoice::Containers => FakeAgent {
                engine: Some(EngineKind::Podman),
                posture: Some(posture(PostureOutcome::Pass)),
                ..FakeAgent::default()
            },
        }))
    }

    /// A new user with a credential.
    pub fn someone(&self) -> Someone {
        self.someone_of(self.tenant)
    }

    /// A new user of that tenant, with a credential.
    pub fn someone_of(&self, tenant: TenantId) -> Someone {
        let (user, credential): (UserId, CredentialId) = (self.p.id(), self.p.id());
        let session: SessionId = self.p.id();
        self.p
            .db
            .execute(&format!(
                "INSERT INTO users VALUES ('{user}', '{tenant}', '{user}', 'member', 'active', 0, 1);
                 INSERT INTO provider_credentials
                   (id, user_id, provider, name, sealed_secret, seal_version, created_at_ms, row_version)
                 VALUES ('{credential}', '{user}', 'hetzner', 'cloud', 'sealed', 1, 0, 1);"
            ))
            .unwrap();
        let actor = Actor {
            user_id: user,
            tenant_id: tenant,
            role: Role::Member,
            grant: GrantId::Session(session),
            source_address: "198.51.100.1".into(),
        };
        Someone { actor, credential }
    }

    /// The user as a signed-in caller with that role.
    pub fn caller(&self, who: &Someone, role: Role) -> Caller {
        Caller {
            user: UserRow {
                id: who.actor.user_id,
                tenant_id: who.actor.tenant_id,
                name: "somebody".into(),
                role,
                state: UserState::Active,
                created_at_ms: 0,
            },
            grant: who.actor.grant,
            expires_at: UnixMillis::new(i64::MAX),
            source: Source::default(),
        }
    }

    pub async fn create(&self, who: &Someone) -> Result<WorkspaceView> {
        self.create_with(who, CreateWorkspaceParams::default(), Vec::new()).await
    }

    pub async fn create_isolated(&self, who: &Someone, isolation: Isolation) -> Result<WorkspaceView> {
        let params = CreateWorkspaceParams { isolation: Some(isolation), ..CreateWorkspaceParams::default() };
        self.create_with(who, params, Vec::new()).await
    }

    pub async fn create_with(
        &self,
        who: &Someone,
        params: CreateWorkspaceParams,
        extra: Vec<Statement>,
    ) -> Result<WorkspaceView> {
        self.create_from(who, params, &catalog(), extra).await
    }

    pub async fn create_from(
        &self,
        who: &Someone,
        params: CreateWorkspaceParams,
        catalog: &Catalog,
        extra: Vec<Statement>,
    ) -> Result<WorkspaceView> {
        let id = self.p.id();
        let container = match self.engine.get() {
            EngineChoice::Unconfined => None,
            EngineChoice::Containers => Some(container::ask(&params, &self.settings.containers).unwrap()),
        };
        let sealed = container.as_ref().filter(|asked| !asked.secrets.is_empty()).map(|asked| {
            let json = SecretText::new(serde_json::to_string(&asked.secrets).unwrap());
            seal(&self.keyring, who.actor.user_id, SealedRow::Workspace(id), &json, self.p.bytes()).unwrap()
        });
        let asked = CreateWorkspace {
            id,
            params: &params,
            container: container.map(|asked| asked.container),
            sealed,
            patience: self.settings.patience.ask(params.idle_timeout_secs, params.stop_keep_secs).unwrap(),
            credential_id: who.credential,
            provider: ProviderKind::Hetzner,
            catalog,
            installation: "test",
        };
        create_workspace(&self.p, &self.settings, &who.actor, asked, extra).await
    }

    pub async fn workspace(&self, who: &Someone, id: WorkspaceId) -> WorkspaceView {
        ringfence::app::read::workspace(&self.p, &who.actor, id).await.unwrap()
    }

    pub async fn node(&self, who: &Someone, id: NodeId) -> NodeView {
        ringfence::app::read::node(&self.p, &who.actor, id).await.unwrap()
    }

    /// Every node's id.
    pub fn node_ids(&self) -> Vec<NodeId> {
        let texts = self.p.db.texts("SELECT id FROM nodes ORDER BY created_at_ms, id");
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Lets the earliest alarm go off. `false` when none is set.
    pub async fn alarm(&self) -> bool {
        let earliest = self.p.alarms.borrow().iter().map(|(node, at)| (*at, *node)).min();
        let Some((at, node)) = earliest else { return false };
        self.p.now.set(self.p.now().max(at));
        self.p.alarms.borrow_mut().remove(&node);
        self.drives.set(self.drives.get() + 1);
        match drive_node(&self.p, &self.settings, &self, node).await {
            Ok(driven) => self.apply(node, driven).await,
            // As the object does: it looks again a little later.
            Err(failed) => {
                let next_wake = Some(self.p.now() + Duration::from_secs(15));
                self.apply(node, Driven { to_agent: failed.to_agent, next_wake, ..Driven::default() }).await;
            }
        }
        self.boot_machines().await;
        true
    }

    /// Lets alarms go off until there is what the test waits for.
    pub async fn until(&self, what: &str, done: impl AsyncFn() -> bool) {
        for _ in 0..MAX_ALARMS {
            if done().await {
                return;
            }
            assert!(self.alarm().await, "no alarm is set, and still not: {what}");
        }
        panic!("{MAX_ALARMS} alarms, and still not: {what}");
    }

    /// Lets every alarm go off that is due before `end`.
    pub async fn run_until_time(&self, end: UnixMillis) {
        for _ in 0..MAX_ALARMS {
            let due = self.p.alarms.borrow().values().any(|at| *at <= end);
            if !due {
                self.p.now.set(end.max(self.p.now()));
                return;
            }
            self.alarm().await;
        }
        panic!("too many alarms");
    }

    /// Lets alarms go off until none is set: everything has come to its end.
    pub async fn until_quiet(&self) {
        for _ in 0..MAX_ALARMS {
            if !self.alarm().await {
                return;
            }
        }
        panic!("{MAX_ALARMS} alarms, and still not quiet");
    }

    pub async fn until_running(&self, who: &Someone, id: WorkspaceId) {
        use ringfence_protocol::state::WorkspaceState::Running;
        self.until("the workspace runs", async || self.workspace(who, id).await.state == Running).await;
    }

    pub async fn until_node_gone(&self, who: &Someone, id: NodeId) {
        use ringfence_protocol::state::NodeState::Gone;
        self.until("the node is gone", async || self.node(who, id).await.state == Gone).await;
    }

    /// Does what a use case about a node has left to do, and what follows from it on the link.
    pub async fn apply(&self, node: NodeId, driven: Driven) {
        let mut waiting = VecDeque::from([driven]);
        while let Some(driven) = waiting.pop_front() {
            if let Some(ticket) = &driven.ticket {
                self.tickets.borrow_mut().insert(node, ticket.clone());
            }
            if driven.gone {
                self.tickets.borrow_mut().remove(&node);
                self.p.alarms.borrow_mut().remove(&node);
                self.links.borrow_mut().remove(&node);
                continue;
            }
            if driven.close_all || driven.refused {
                self.links.borrow_mut().remove(&node);
            }
            if let Some(at) = driven.next_wake {
                self.set_alarm(node, at);
            }
            for message in &driven.to_agent {
                let Ok(Some(message)) = complete(&self.p, &self.keyring, message).await else { continue };
                let answer = match self.links.borrow().contains_key(&node) {
                    true => self.with_agent(node, |agent| agent.obey(&message)),
                    false => None,
                };
                if let Some(answer) = answer
                    && let Some(driven) = self.report(node, answer).await
                {
                    waiting.push_back(driven);
                }
            }
        }
    }

    /// The agent says something over its link.
    pub async fn say(&self, node: NodeId, message: AgentMessage) {
        if let Some(driven) = self.report(node, message).await {
            self.apply(node, driven).await;
        }
    }

    async fn report(&self, node: NodeId, message: AgentMessage) -> Option<Driven> {
        let epoch = *self.links.borrow().get(&node)?;
        match agent_report(&self.p, &self.settings, node, epoch, message).await {
            Ok(driven) => Some(driven),
            // As the object does: the agent comes back and says it again.
            Err(_) => {
                self.links.borrow_mut().remove(&node);
                None
            }
        }
    }

    /// The agent opens its link, says hello and that it is ready.
    pub async fn connect(&self, node: NodeId) {
        let epoch = self.p.db.count(&format!("SELECT agent_epoch FROM nodes WHERE id = '{node}'"));
        self.links.borrow_mut().insert(node, epoch);
        let hello = self.with_agent(node, |agent| agent.hello());
        self.say(node, hello).await;
        let posture = self.agents.borrow()[&node].posture.clone();
        if let Some(posture) = posture {
            self.say(node, AgentMessage::NodePosture(posture)).await;
        }
        self.say(node, AgentMessage::Ready).await;
    }

    async fn boot_machines(&self) {
        if !self.machines_boot.get() {
            return;
        }
        let live = self.p.db.texts("SELECT id FROM nodes WHERE state IN ('provisioning', 'booting', 'ready')");
        for node in live.iter().map(|text| text.parse::<NodeId>().unwrap()) {
            if self.cloud.has_machine_of(node) && !self.links.borrow().contains_key(&node) {
                self.connect(node).await;
            }
        }
    }

    fn set_alarm(&self, node: NodeId, at: UnixMillis) {
        let mut alarms = self.p.alarms.borrow_mut();
        let alarm = alarms.entry(node).or_insert(at);
        *alarm = at.min(*alarm);
    }

    /// The database dies after that many batches.
    pub fn die_after(&self, batches: u32, death: Death) {
        self.p.db.die_after(batches, death);
    }

    /// What was recorded of each node and workspace is one way through its diagram, step by step, up to where it is now (I9).
    pub fn assert_history(&self) {
        let nodes = "SELECT n.id || ' ' || n.state_since_ms || ' ' || n.state || COALESCE(' ' || (SELECT group_concat(state, ' ') FROM
             (SELECT json_extract(event_json, '$.state') AS state FROM events
              WHERE node_id = n.id AND kind = 'node_state' ORDER BY id)), '') FROM nodes n";
        let workspaces = "SELECT w.id || ' ' || w.state_since_ms || ' ' || w.state || COALESCE(' ' || (SELECT group_concat(state, ' ') FROM
             (SELECT json_extract(event_json, '$.state') AS state FROM events
              WHERE node_id = w.node_id AND workspace_id = w.id AND kind = 'workspace_state' ORDER BY id)), '') FROM workspaces w";
        // What is older than events are kept is not told any more.
        let told_since = self.p.now().get() - EVENTS_KEPT_MS;
        for row in [self.p.db.known(nodes, []), self.p.db.known(workspaces, [])].concat() {
            let words: Vec<&str> = row.split(' ').collect();
            let (since, state, history) = (words[1].parse::<i64>().unwrap(), words[2], &words[3..]);
            if history.is_empty() && since < told_since {
                continue;
            }
            assert_eq!(history.last(), Some(&state), "{row}");
            assert!(history.windows(2).all(|step| drawn(step[0], step[1])), "{row}");
        }
    }

    /// No node holds workspaces or places of two users, and none more than it has places (I1, I3).
    pub fn assert_rules(&self) {
        let mixed = self
            .p
            .db
            .count("SELECT COUNT(*) FROM nodes n JOIN workspaces w ON w.node_id = n.id WHERE w.user_id <> n.user_id");
        assert_eq!(mixed, 0, "a node holds another user's workspace");
        let overfull = self.p.db.count(
            "SELECT COUNT(*) FROM nodes n WHERE (SELECT COUNT(*) FROM node_slots s WHERE s.node_id = n.id) > n.slots",
        );
        assert_eq!(overfull, 0, "a node holds more than it has places");
        let shared: BTreeSet<String> = self
            .p
            .db
            .texts("SELECT node_id FROM workspaces GROUP BY node_id HAVING COUNT(DISTINCT user_id) > 1")
            .into_iter()
            .collect();
        assert!(shared.is_empty(), "nodes of two users: {shared:?}");
    }
}

/// Whether a state may follow another, by the diagrams of nodes and workspaces together: their words differ where their
/// ways do. What is ready, or stopped, tells more than once how it is.
fn drawn(from: &str, to: &str) -> bool {
    let again = from == to && ["ready", "stopped"].contains(&from);
    again || (from != to && [&NODES, &WORKSPACES].iter().any(|drawn| diagram::allows(drawn, from, to)))
}

impl<'a> Provisioner for &'a World {
    type Cloud = &'a FakeCloud;

    async fn cloud(&self, _node: &NodeRow) -> std::result::Result<&'a FakeCloud, ProviderError> {
        Ok(&self.cloud)
    }

    fn end_viewers(&self) {}

    async fn keep_ticket(&self, ticket: &DestroyTicket) {
        self.tickets.borrow_mut().insert(ticket.node_id, ticket.clone());
    }

    async fn bootstrap(&self, node: &NodeRow, now: UnixMillis) -> Result<Bootstrap> {
        let jti: JwtId = self.p.id();
        let statements = vec![bootstrap::insert(jti, node.id, now + Duration::from_secs(900))];
        Ok(Bootstrap { user_data: "#cloud-config\n{}\n".into(), statements })
    }
}

/// Two places, two sizes.
pub fn catalog() -> Catalog {
    let price = |region: &str, micros| Price { region: region.into(), per_hour: Micros(micros) };
    let size = |id: &str, cpus: u32, prices| Size {
        id: id.into(),
        cpus,
        memory_bytes: u64::from(cpus) << 31,
        disk_bytes: 40 << 30,
        architecture: Architecture::X86_64,
        prices,
    };
    Catalog {
        regions: vec![
            Region { id: "fsn1".into(), name: "Falkenstein, DE".into(), zone: Some("eu-central".into()) },
            Region { id: "hel1".into(), name: "Helsinki, FI".into(), zone: Some("eu-central".into()) },
        ],
        sizes: vec![
            size("cx23", 2, vec![price("fsn1", 6_600), price("hel1", 7_000)]),
            size("cx33", 4, vec![price("fsn1", 11_000), price("hel1", 12_000)]),
        ],
        currency: "EUR".into(),
    }
}
