//! What the core runs on: each seam waits before and after its effect, and may fail before, after or without it.

use std::time::Duration;

use ringfence::domain::alarm::sooner;
use ringfence::ports::{Clock, Db, DbError, Entropy, Nodes, Outcome, Statement, Unreachable};
use ringfence_protocol::ids::{GrantId, NodeId, WorkspaceId};
use ringfence_protocol::state::ProviderKind;
use ringfence_protocol::time::UnixMillis;

use super::Sim;
use super::object::Object;
use super::tasks::{pause, sleep};

impl Clock for Sim {
    fn now(&self) -> UnixMillis {
        self.world.p.now()
    }
}

impl Entropy for Sim {
    fn fill(&self, bytes: &mut [u8]) {
        self.world.p.fill(bytes);
    }
}

impl Db for Sim {
    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<Outcome>, DbError> {
        pause().await;
        let wrong = self.goes_wrong();
        if wrong && self.chance.one_in(4) {
            // Slow; much less than what requests are armed for.
            sleep(self, Duration::from_millis(self.chance.between(100, 2000))).await;
        }
        let writes = statements.iter().any(|statement| !statement.sql.starts_with("SELECT"));
        if self.now() < self.db_away_until.get() && (writes || !self.db_reads_meanwhile.get()) {
            return Err(DbError::Unavailable("away".into()));
        }
        let fate = if wrong { self.chance.below(3) } else { 2 };
        if fate == 0 {
            return Err(DbError::Unavailable("never arrived".into()));
        }
        let result = self.world.p.db.batch_now(&statements);
        if let Err(DbError::Constraint(reason)) = &result
            && reason.contains("broken rule")
        {
            self.breached(reason.clone());
        }
        if writes && result.is_ok() {
            self.after_write();
        }
        pause().await;
        if fate == 1 { Err(DbError::Unavailable("the answer was lost".into())) } else { result }
    }
}

impl Nodes for Sim {
    async fn wake(&self, node: NodeId, at: UnixMillis) -> Result<(), Unreachable> {
        let now = self.now();
        self.call_object(node, at, |object| object.arm(at, now)).await
    }

    async fn written(&self, node: NodeId) -> Result<(), Unreachable> {
        self.call_object(node, self.now(), |object| object.wakes.written()).await
    }

    async fn found(&self, node: NodeId, _: ProviderKind, _: &str, at: UnixMillis) -> Result<(), Unreachable> {
        self.wake(node, at).await
    }

    async fn revoke(&self, _: NodeId, _: &[GrantId]) -> Result<(), Unreachable> {
        pause().await;
        Ok(())
    }

    async fn close_viewers(&self, _: NodeId, _: WorkspaceId) -> Result<(), Unreachable> {
        pause().await;
        Ok(())
    }
}

impl Sim {
    /// As the object does it: what is wanted first, then the alarm, never later.
    /// A request's call, which may get lost on its way there or back.
    async fn call_object(
        &self,
        node: NodeId,
        at: UnixMillis,
        note: impl FnOnce(&mut Object),
    ) -> Result<(), Unreachable> {
        pause().await;
        if self.goes_wrong() && self.chance.one_in(2) {
            return Err(Unreachable("never arrived".into()));
        }
        self.remember(node);
        let now = self.now();
        self.with_object(node, |object| object.look_back(now));
        self.with_object(node, note);
        self.wake_object(node, at).await;
        pause().await;
        if self.goes_wrong() && self.chance.one_in(2) {
            return Err(Unreachable("the answer was lost".into()));
        }
        Ok(())
    }

    pub async fn wake_object(&self, node: NodeId, at: UnixMillis) {
        let now = self.now();
        self.with_object(node, |object| {
            object.look_back(now);
            object.wakes.want(at);
        });
        pause().await;
        self.with_object(node, |object| {
            if let Some(at) = sooner(at, object.alarm) {
                object.alarm = Some(at);
            }
        });
    }
}
