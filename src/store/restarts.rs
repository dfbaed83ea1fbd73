//! Dedicated nodes that have failed, and the nodes made in their place.

use ringfence_protocol::ids::{CredentialId, NodeId, TenantId, UserId};
use ringfence_protocol::state::{EngineChoice, ProviderKind};
use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;

use super::nodes::NodeSpec;
use crate::domain::node::Offers;
use crate::ports::Statement;

/// A dedicated node that has ended, as far as another one is made like it.
#[derive(Debug, Clone, Deserialize)]
pub struct EndedRow {
    /// Which.
    pub id: NodeId,
    /// Whose.
    pub user_id: UserId,
    /// Of which tenant.
    pub tenant_id: TenantId,
    /// Why it ended.
    pub failure: Option<String>,
    /// Which restart in a row it was itself.
    pub restarts: u32,
    /// When it was asked for.
    pub created_at_ms: i64,
    /// When it began to end, or was gone.
    pub state_since_ms: i64,
    installation: String,
    provider: ProviderKind,
    credential_id: CredentialId,
    region: String,
    size: String,
    cpus: u32,
    memory_bytes: u64,
    disk_bytes: Option<u64>,
    image: String,
    engine_choice: Option<EngineChoice>,
    price_micros_per_hour: i64,
    currency: String,
    slots: u32,
    offers_json: Option<String>,
}

impl EndedRow {
    /// What may be ordered for another one, in order, from the first on.
    pub fn offers(&self) -> Offers {
        let list = self.offers_json.as_deref().and_then(|json| serde_json::from_str(json).ok());
        Offers::new(list.unwrap_or_default(), 0)
    }

    /// What another one is asked to be.
    pub fn spec(&self, id: NodeId) -> NodeSpec {
        let mut spec = self.same_spec(id);
        if let Some(first) = self.offers().current() {
            spec.region.clone_from(&first.region);
            spec.size.clone_from(&first.size);
            spec.cpus = first.cpus;
            spec.memory_bytes = first.memory_bytes;
            spec.disk_bytes = first.disk_bytes;
            spec.price_micros_per_hour = first.price_micros_per_hour;
        }
        spec
    }

    fn same_spec(&self, id: NodeId) -> NodeSpec {
        NodeSpec {
            id,
            user_id: self.user_id,
            tenant_id: self.tenant_id,
            installation: self.installation.clone(),
            provider: self.provider,
            credential_id: self.credential_id,
            region: self.region.clone(),
            size: self.size.clone(),
            cpus: self.cpus,
            memory_bytes: self.memory_bytes,
            disk_bytes: self.disk_bytes.unwrap_or(0),
            image: self.image.clone(),
            engine_choice: self.engine_choice.unwrap_or(EngineChoice::Unconfined),
            price_micros_per_hour: self.price_micros_per_hour,
            currency: self.currency.clone(),
            slots: self.slots,
        }
    }
}

/// Dedicated nodes that have ended and that nothing was decided of yet, those that ended first before the others.
pub fn undecided(limit: u32) -> Statement {
    Statement::new(
        "SELECT n.id, n.user_id, n.tenant_id, n.failure, n.restarts, n.created_at_ms, n.state_since_ms, n.installation, n.provider,
           n.credential_id, n.region, n.size, n.cpus, n.memory_bytes, n.disk_bytes, n.image, n.engine_choice,
           n.price_micros_per_hour, n.currency, n.slots, n.offers_json
         FROM nodes n INDEXED BY nodes_to_restart
         WHERE n.dedicated_of IS NOT NULL AND n.replaced_by IS NULL AND n.state IN ('destroying', 'gone')
         ORDER BY n.restart_tried_at_ms, n.state_since_ms LIMIT ?1",
        [i64::from(limit).into()],
    )
}

/// Notes that they were looked at: others come first the next time.
pub fn mark_tried(json_ids: &str, now: UnixMillis) -> Statement {
    Statement::new(
        "UPDATE nodes SET restart_tried_at_ms = ?2 WHERE id IN (SELECT value FROM json_each(?1))",
        [json_ids.into(), now.into()],
    )
}

/// Nothing is made in place of it. Changes a row once.
pub fn decide_none(id: NodeId) -> Statement {
    Statement::new("UPDATE nodes SET replaced_by = '' WHERE id = ?1 AND replaced_by IS NULL", [id.into()])
}

/// Lets the batch fail unless nothing was made in place of it yet.
pub fn require_undecided(id: NodeId) -> Statement {
    Statement::new(
        "INSERT INTO preconditions (broken)
         SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM nodes WHERE id = ?1 AND replaced_by IS NULL)",
        [id.into()],
    )
}

/// The new one stands in place of the old one.
pub fn replace(old: NodeId, new: NodeId, count: u32) -> [Statement; 2] {
    [
        Statement::new("UPDATE nodes SET replaced_by = ?2 WHERE id = ?1", [old.into(), new.into()]),
        Statement::new("UPDATE nodes SET restarts = ?2 WHERE id = ?1", [new.into(), i64::from(count).into()]),
    ]
}
