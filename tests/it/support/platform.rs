//! All seams at once: the database, a clock that tests move, numbers that look random and are not, alarms.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use ringfence::ports::{Clock, Db, DbError, Entropy, Nodes, Outcome, Statement, Unreachable};
use ringfence_protocol::ids::{GrantId, NodeId, WorkspaceId};
use ringfence_protocol::state::ProviderKind;
use ringfence_protocol::time::UnixMillis;

use super::sqlite::SqliteDb;

/// When tests begin.
pub const START: UnixMillis = UnixMillis::from_secs(1_800_000_000);

/// What the core runs on in a test.
pub struct TestPlatform {
    pub db: SqliteDb,
    pub now: Cell<UnixMillis>,
    random: Cell<u64>,
    /// The alarm of each node's object. Never moved later but by the object itself.
    pub alarms: RefCell<BTreeMap<NodeId, UnixMillis>>,
    /// What was carried to each node's object.
    pub revoked: RefCell<Vec<(NodeId, GrantId)>>,
    /// Whether objects answer.
    pub objects_answer: Cell<bool>,
}

impl TestPlatform {
    pub fn new(seed: u64) -> Self {
        Self::over(seed, SqliteDb::migrated())
    }

    pub fn over(seed: u64, db: SqliteDb) -> Self {
        Self {
            db,
            now: Cell::new(START),
            random: Cell::new(seed),
            alarms: RefCell::default(),
            revoked: RefCell::default(),
            objects_answer: Cell::new(true),
        }
    }
}

impl Clock for TestPlatform {
    fn now(&self) -> UnixMillis {
        self.now.get()
    }
}

impl Entropy for TestPlatform {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            // SplitMix64 (Steele, Lea and Flood 2014).
            let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
            self.random.set(state);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = (mixed >> 56) as u8;
        }
    }
}

impl Db for TestPlatform {
    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<Outcome>, DbError> {
        self.db.batch(statements).await
    }
}

impl Nodes for TestPlatform {
    async fn wake(&self, node: NodeId, at: UnixMillis) -> Result<(), Unreachable> {
        if !self.objects_answer.get() {
            return Err(Unreachable("told to be away".into()));
        }
        let mut alarms = self.alarms.borrow_mut();
        let alarm = alarms.entry(node).or_insert(at);
        *alarm = at.min(*alarm);
        Ok(())
    }
    async fn written(&self, node: NodeId) -> Result<(), Unreachable> {
        self.wake(node, self.now()).await
    }
    async fn found(&self, node: NodeId, _: ProviderKind, _: &str, at: UnixMillis) -> Result<(), Unreachable> {
        self.wake(node, at).await
    }
    async fn revoke(&self, node: NodeId, grants: &[GrantId]) -> Result<(), Unreachable> {
        if !self.objects_answer.get() {
            return Err(Unreachable("told to be away".into()));
        }
        self.revoked.borrow_mut().extend(grants.iter().map(|grant| (node, *grant)));
        Ok(())
    }
    async fn close_viewers(&self, _node: NodeId, _workspace: WorkspaceId) -> Result<(), Unreachable> {
        Ok(())
    }
}
