//! The seams between the core and what it runs on. Few, narrow, named after what we need.
//!
//! Futures need not be `Send`: a Worker has one thread. The HTTP layer wraps them where axum asks for it.

use std::collections::BTreeMap;
use std::future::Future;

use ringfence_protocol::ids::{GrantId, ID_ENTROPY_BYTES, Id, Kind, NodeId, WorkspaceId};
use ringfence_protocol::state::ProviderKind;
use ringfence_protocol::time::UnixMillis;
use serde::de::DeserializeOwned;

/// What the time is. The core takes instants as arguments; only use cases ask.
pub trait Clock {
    /// Now.
    fn now(&self) -> UnixMillis;
}

/// Where randomness comes from.
pub trait Entropy {
    /// Fills `bytes` with bytes nobody can guess.
    fn fill(&self, bytes: &mut [u8]);

    /// A fresh identifier.
    fn id<K: Kind>(&self) -> Id<K>
    where
        Self: Sized,
    {
        let mut bytes = [0; ID_ENTROPY_BYTES];
        self.fill(&mut bytes);
        Id::from_entropy(bytes)
    }

    /// Fresh random bytes.
    fn bytes<const N: usize>(&self) -> [u8; N]
    where
        Self: Sized,
    {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

/// The database: D1 in the Worker, SQLite in native tests. The SQL itself lives in `store/` alone.
pub trait Db {
    /// Runs the statements in order, all or none. One outcome for each.
    fn batch(&self, statements: Vec<Statement>) -> impl Future<Output = Result<Vec<Outcome>, DbError>>;
}

/// How a use case reaches the objects of nodes.
pub trait Nodes {
    /// Makes the node's object run its alarm at `at` at the latest. Never moves an alarm later.
    fn wake(&self, node: NodeId, at: UnixMillis) -> impl Future<Output = Result<(), Unreachable>>;
    /// What the object was woken ahead for is written: it runs its alarm at once, and that wake-up is not needed any more.
    fn written(&self, node: NodeId) -> impl Future<Output = Result<(), Unreachable>>;
    /// Reaches the object of a node that does not exist yet for the first time: it wakes at `at`, and lives near the region.
    fn found(
        &self,
        node: NodeId,
        provider: ProviderKind,
        region: &str,
        at: UnixMillis,
    ) -> impl Future<Output = Result<(), Unreachable>>;
    /// Closes what was opened with the grants on this node, and tells its agent.
    fn revoke(&self, node: NodeId, grants: &[GrantId]) -> impl Future<Output = Result<(), Unreachable>>;
    /// Closes the viewers of a workspace on this node.
    fn close_viewers(&self, node: NodeId, workspace: WorkspaceId) -> impl Future<Output = Result<(), Unreachable>>;
}

/// A node's object did not answer. It will be woken by its alarm or by the sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable(pub String);

/// All of them at once, as use cases take it.
pub trait Platform: Clock + Entropy + Db + Nodes {}
impl<T: Clock + Entropy + Db + Nodes> Platform for T {}

/// One SQL statement with its parameters `?1`, `?2`, …
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The text: always a literal of `store/`.
    pub sql: &'static str,
    /// The parameters, in order.
    pub params: Vec<Value>,
}

impl Statement {
    /// A statement with its parameters.
    pub fn new(sql: &'static str, params: impl IntoIterator<Item = Value>) -> Self {
        Self { sql, params: params.into_iter().collect() }
    }
}

/// A parameter or a column. D1 has no 64-bit integers on the wire: beyond 2^53 the adapter refuses.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL
    Null,
    /// INTEGER
    Int(i64),
    /// REAL
    Real(f64),
    /// TEXT
    Text(String),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}
impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}
impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}
impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}
impl From<UnixMillis> for Value {
    fn from(value: UnixMillis) -> Self {
        Self::Int(value.get())
    }
}
impl<K: Kind> From<Id<K>> for Value {
    fn from(value: Id<K>) -> Self {
        Self::Text(value.to_string())
    }
}
impl From<GrantId> for Value {
    fn from(value: GrantId) -> Self {
        Self::Text(value.to_string())
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What one statement did.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Rows it gave, each a JSON object of its columns.
    pub rows: Vec<BTreeMap<String, serde_json::Value>>,
    /// Rows it changed.
    pub changes: u64,
}

impl Outcome {
    /// The rows as `T`. A row that cannot be read is left out and named in the second list: one bad row must not hide the others.
    pub fn decode<T: DeserializeOwned>(self) -> (Vec<T>, Vec<String>) {
        let (mut good, mut bad) = (Vec::with_capacity(self.rows.len()), Vec::new());
        for row in self.rows {
            match serde_json::from_value(serde_json::Value::Object(row.into_iter().collect())) {
                Ok(value) => good.push(value),
                Err(error) => bad.push(error.to_string()),
            }
        }
        (good, bad)
    }
}

/// The database did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DbError {
    /// A constraint or trigger refused; nothing of the batch was written.
    Constraint(String),
    /// It cannot be reached or its quota is spent; whether the batch was written is not known.
    Unavailable(String),
}
