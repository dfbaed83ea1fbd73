//! Everything a use case needs, made from the Worker's environment.

use std::sync::Arc;

use ringfence_protocol::ids::{GrantId, NodeId, WorkspaceId};
use ringfence_protocol::state::ProviderKind;
use ringfence_protocol::time::UnixMillis;
use worker::Env;

use super::d1;
use super::location;
use super::stub::{self, NodeCall};
use super::usage::Usage;
use crate::ports::{Clock, Db, DbError, Entropy, Nodes, Outcome, Statement, Unreachable};

/// Name of the D1 binding in wrangler.toml.
pub const DB_BINDING: &str = "DB";
/// What is to go wrong, for tests: see `durable/fault.rs`.
const FAULT: &str = "RINGFENCE_FAULT";

/// The platform of one request or one event of an object.
#[derive(Clone)]
pub struct Host {
    env: Env,
    usage: Arc<Usage>,
}

impl Host {
    /// The platform with these bindings.
    pub fn new(env: Env) -> Self {
        Self { env, usage: Arc::default() }
    }

    /// The same, with what is asked of the database added to what was counted before.
    pub fn counting(env: Env, usage: Arc<Usage>) -> Self {
        Self { env, usage }
    }

    /// What has been asked of the database through this value and its clones.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// The bindings.
    pub fn env(&self) -> &Env {
        &self.env
    }
}

/// Whether `database` is among the faults, or `database:<from>-<until>` between these milliseconds of the epoch.
fn is_cut_off(faults: &str, now: UnixMillis) -> bool {
    faults.split(',').filter_map(|fault| fault.strip_prefix("database")).any(|when| {
        let span = when.strip_prefix(':').and_then(|span| span.split_once('-'));
        match span.map(|(from, until)| (from.parse::<i64>(), until.parse::<i64>())) {
            Some((Ok(from), Ok(until))) => (from..until).contains(&now.get()),
            Some(_) => false,
            None => when.is_empty(),
        }
    })
}

impl Clock for Host {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(i64::try_from(worker::Date::now().as_millis()).unwrap_or(i64::MAX))
    }
}

impl Entropy for Host {
    fn fill(&self, bytes: &mut [u8]) {
        // The platform's generator does not fail. If it ever did, no request may go on with guessable secrets.
        if getrandom::fill(bytes).is_err() {
            std::process::abort();
        }
    }
}

impl Db for Host {
    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<Outcome>, DbError> {
        // On order, for a test: as when it cannot be reached, or its daily quota is spent.
        if self.env.var(FAULT).is_ok_and(|list| is_cut_off(&list.to_string(), self.now())) {
            return Err(DbError::Unavailable("RINGFENCE_FAULT cuts the database off".into()));
        }
        let database = self.env.d1(DB_BINDING).map_err(|error| DbError::Unavailable(error.to_string()))?;
        d1::batch(&database, statements, &self.usage).await
    }
}

impl Nodes for Host {
    async fn wake(&self, node: NodeId, at: UnixMillis) -> Result<(), Unreachable> {
        stub::call(&self.env, node, None, &NodeCall::Wake { at }).await
    }

    async fn written(&self, node: NodeId) -> Result<(), Unreachable> {
        stub::call(&self.env, node, None, &NodeCall::Written).await
    }

    async fn found(
        &self,
        node: NodeId,
        provider: ProviderKind,
        region: &str,
        at: UnixMillis,
    ) -> Result<(), Unreachable> {
        stub::call(&self.env, node, location::hint(provider, region), &NodeCall::Wake { at }).await
    }

    async fn revoke(&self, node: NodeId, grants: &[GrantId]) -> Result<(), Unreachable> {
        stub::call(&self.env, node, None, &NodeCall::Revoke { grants: grants.to_vec() }).await
    }

    async fn close_viewers(&self, node: NodeId, workspace: WorkspaceId) -> Result<(), Unreachable> {
        stub::call(&self.env, node, None, &NodeCall::CloseViewers { workspace }).await
    }
}
