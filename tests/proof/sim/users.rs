//! Users: what they ask for, and that they ask again when no answer comes.

use std::time::Duration;

use ringfence::app::caller::{Caller, Source};
use ringfence::app::idempotency::Repeatable;
use ringfence::app::{
    credentials, delete_node, delete_workspace, forget_node, keep_alive, node_policy, request_workspace, set_running,
    warm_pool,
};
use ringfence::ports::Clock;
use ringfence::store::identity::UserRow;
use ringfence_protocol::ids::{NodeId, TenantId, WorkspaceId};
use ringfence_protocol::params::{CreateWorkspaceParams, ForgetNodeParams, KeepAliveParams};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::{Isolation, NodePolicy, UserState};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::warm::SetWarmPoolParams;

use super::Sim;
use super::admins::Order;
use super::tasks::{Job, pause};
use crate::support::platform::START;
use crate::support::world::{Someone, World, catalog};

/// How often somebody asks again for what was not answered.
const MAX_TRIES: u32 = 4;
/// How long what is gone can be read at least.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);

/// A user.
pub struct User {
    pub someone: Someone,
    pub caller: Caller,
}

/// What a user wants.
#[derive(Debug, Clone)]
pub struct Wish {
    pub user: usize,
    pub what: What,
    pub tries: u32,
}

#[derive(Debug, Clone)]
pub enum What {
    Create {
        key: String,
        isolation: Isolation,
        idle_secs: Option<u64>,
        keep_secs: Option<u64>,
    },
    Stop(WorkspaceId),
    Start(WorkspaceId),
    Delete(WorkspaceId),
    KeepAlive(WorkspaceId, u64),
    DeleteNode(NodeId),
    Policy(NodeId, NodePolicy),
    DeleteCredential,
    WarmPool(u32),
    Forget(NodeId),
    /// Of an admin, who is a user as well.
    Order(Order),
}

impl User {
    pub fn new(world: &World, tenant: TenantId) -> Self {
        let someone = world.someone_of(tenant);
        // Read far in the future, so that it is never too old to be used without asking the provider.
        let json = serde_json::to_string(&catalog()).unwrap();
        let sql = format!("INSERT INTO provider_catalogs VALUES ('{}', 9000000000000, '{json}')", someone.credential);
        world.p.db.execute(&sql).unwrap();
        let actor = &someone.actor;
        let user = UserRow {
            id: actor.user_id,
            tenant_id: actor.tenant_id,
            name: "test".into(),
            role: actor.role,
            state: UserState::Active,
            created_at_ms: 0,
        };
        let source = Source { address: actor.source_address.clone(), user_agent: String::new() };
        let caller = Caller { user, grant: actor.grant, expires_at: UnixMillis::new(i64::MAX), source };
        Self { someone, caller }
    }
}

impl Sim {
    /// Somebody does something.
    pub fn somebody_acts(&self) {
        let user = self.chance.index(self.users.len());
        let id = self.users[user].someone.actor.user_id;
        let one_of = |sql: &'static str| -> Option<String> {
            let all = self.world.p.db.known(sql, [id.to_string()]);
            (!all.is_empty()).then(|| self.chance.pick(&all).clone())
        };
        let workspace = || {
            let one = one_of("SELECT id FROM workspaces WHERE user_id = ?1 ORDER BY id");
            one.map(|id| id.parse::<WorkspaceId>().unwrap())
        };
        let node = || {
            let one = one_of("SELECT id FROM nodes WHERE user_id = ?1 ORDER BY id");
            one.map(|id| id.parse::<NodeId>().unwrap())
        };
        let stuck = self.stuck_node(Some(id)).filter(|_| self.chance.one_in(4));
        let what = match self.chance.below(25) {
            _ if stuck.is_some() => stuck.map(What::Forget),
            0..=7 => Some(self.create()),
            8 | 9 => workspace().map(What::Stop),
            10 | 11 => workspace().map(What::Start),
            12 | 13 => workspace().map(What::Delete),
            14 => workspace().map(|id| What::KeepAlive(id, self.chance.below(4000))),
            15 | 16 => node().map(What::DeleteNode),
            17 | 18 => node().map(|node| {
                let policies = [NodePolicy::Schedulable, NodePolicy::Cordoned, NodePolicy::Draining];
                What::Policy(node, *self.chance.pick(&policies))
            }),
            19 => Some(What::DeleteCredential),
            20 | 21 if self.has_pools => Some(What::WarmPool(u32::try_from(self.chance.below(4)).unwrap())),
            22 => self.stuck_node(Some(id)).or_else(node).map(What::Forget),
            23 | 24 => self.order().map(What::Order),
            _ => None,
        };
        if let Some(what) = what {
            self.begin(Job::Wish(Wish { user, what, tries: 0 }));
        }
    }

    fn create(&self) -> What {
        let name = self.names.get() + 1;
        self.names.set(name);
        let isolation =
            *self.chance.pick(&[Isolation::User, Isolation::User, Isolation::Ephemeral, Isolation::Dedicated]);
        let idle_secs = *self.chance.pick(&[None, Some(30), Some(900)]);
        let keep_secs = *self.chance.pick(&[None, Some(60), Some(3600)]);
        What::Create { key: format!("w{name}"), isolation, idle_secs, keep_secs }
    }

    /// Nobody wants machines kept any more.
    pub fn nobody_keeps_any_warm(&self) {
        for user in (0..self.users.len()).filter(|_| self.has_pools) {
            self.begin(Job::Wish(Wish { user, what: What::WarmPool(0), tries: 0 }));
        }
    }

    /// Everybody wants all of it gone.
    pub fn everybody_leaves(&self) {
        self.nobody_keeps_any_warm();
        for (user, User { someone, .. }) in self.users.iter().enumerate() {
            let id = someone.actor.user_id;
            for node in self.world.p.db.texts(&format!("SELECT id FROM nodes WHERE user_id = '{id}' ORDER BY id")) {
                let what = What::DeleteNode(node.parse().unwrap());
                self.begin(Job::Wish(Wish { user, what, tries: 0 }));
            }
        }
    }

    pub async fn ask(&self, wish: Wish) {
        pause().await;
        let User { caller, .. } = &self.users[wish.user];
        let (actor, settings) = (caller.actor(), self.settings());
        let result = match wish.what.clone() {
            What::Create { key, isolation, idle_secs, keep_secs } => {
                let params = CreateWorkspaceParams {
                    name: Some(key.clone()),
                    isolation: Some(isolation),
                    idle_timeout_secs: idle_secs,
                    stop_keep_secs: keep_secs,
                    ..CreateWorkspaceParams::default()
                };
                let operation = ringfence_protocol::routes::WORKSPACE_CREATE.operation;
                let repeatable =
                    Repeatable { user: caller.user.id, key: Some(key), operation, body_sha256: String::new() };
                let made = request_workspace::request_workspace(self, &self.config, caller, params, &repeatable).await;
                made.map(|view| self.promise(view.id))
            }
            What::Stop(id) => set_running::stop_workspace(self, settings, &actor, id, vec![]).await.map(drop),
            What::Start(id) => set_running::start_workspace(self, settings, &actor, id, vec![]).await.map(drop),
            What::Delete(id) => delete_workspace::delete_workspace(self, settings, &actor, id, vec![]).await.map(drop),
            What::KeepAlive(id, secs) => {
                let asked = KeepAliveParams { until_at: None, secs: Some(secs) };
                keep_alive::keep_alive(self, settings, &actor, id, &asked, vec![]).await.map(drop)
            }
            What::DeleteNode(id) => delete_node::delete_node(self, settings, &actor, id, vec![]).await.map(drop),
            What::Policy(id, policy) => {
                node_policy::set_policy(self, settings, &actor, id, policy, vec![]).await.map(drop)
            }
            What::DeleteCredential => {
                let id = self.users[wish.user].someone.credential;
                credentials::delete(self, caller, id).await
            }
            What::WarmPool(minimum) => {
                let params = SetWarmPoolParams { minimum, ..SetWarmPoolParams::default() };
                warm_pool::set(self, &self.config, caller, params).await.map(drop)
            }
            What::Forget(id) => {
                let params = ForgetNodeParams { confirm: id.to_string() };
                forget_node::forget_node(self, settings, &actor, id, &params, vec![]).await.map(drop)
            }
            What::Order(order) => self.obey_order(caller, order).await,
        };
        self.note(|| format!("{:?}: {:?}", wish.what, result.as_ref().map_err(|error| (error.code, &error.log))));
        let Err(error) = result else { return };
        if matches!(error.code, ErrorCode::ProvisioningPaused | ErrorCode::LimitReached | ErrorCode::BudgetReached) {
            self.count(|figures| figures.refused += 1);
        }
        if error.code == ErrorCode::Internal {
            self.breached(format!("{:?} is answered with an internal error: {:?}", wish.what, error.log));
        }
        // What has been gone for a month is not even known any more.
        let is_forgotten = error.code == ErrorCode::NotFound && self.now().since(START) >= FORGOTTEN_AFTER;
        if let What::Delete(_) | What::DeleteNode(_) = wish.what
            && error.code != ErrorCode::Unavailable
            && !is_forgotten
        {
            self.breached(format!("I4: {:?} is refused: {error:?}", wish.what));
        }
        if error.code == ErrorCode::Unavailable {
            self.ask_again(wish);
        }
    }

    /// No answer came.
    pub fn ask_again(&self, wish: Wish) {
        if wish.tries < MAX_TRIES || self.fault_rate.get().is_none() {
            self.begin(Job::Wish(Wish { tries: wish.tries + 1, ..wish }));
        }
    }

    /// Somebody was told that there is such a workspace: it must never be lost (I7).
    fn promise(&self, id: WorkspaceId) {
        if self.world.p.db.known("SELECT id FROM workspaces WHERE id = ?1", [id.to_string()]).is_empty() {
            self.breached(format!("I7: {id} was promised at {} and is not there", self.now()));
        }
    }
}
