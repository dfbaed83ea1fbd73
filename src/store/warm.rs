//! Warm pools: the machines that users want kept for their next workspace, and how many of them there are.

use ringfence_protocol::ids::{CredentialId, NodeId, TenantId, UserId};
use ringfence_protocol::state::{EngineChoice, NodeState, ProviderKind};
use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;

use crate::domain::lifecycle::FailureCode;
use crate::domain::warm::Last;
use crate::ports::Statement;

/// Of a pool `w`: the empty nodes `k` of its user (I1) and credential that stand where it says and are as large, in whatever state.
/// Which of them are kept past their idle time is decided where a node's row is read: `kept_warm` in `nodes.rs`.
macro_rules! columns {
    () => {
        "FROM nodes k WHERE k.user_id = w.user_id AND k.credential_id = w.credential_id AND k.state <> 'gone'
           AND k.isolation = 'user' AND k.policy = 'schedulable' AND k.region = w.region AND k.cpus >= w.cpus
           AND k.memory_bytes >= w.memory_bytes AND COALESCE(k.disk_bytes, w.disk_bytes) >= w.disk_bytes
           AND NOT EXISTS (SELECT 1 FROM node_slots s WHERE s.node_id = k.id)"
    };
}

/// What a pool's machines are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PoolSpec {
    /// How many empty ones are to be there.
    pub minimum: u32,
    /// With which key.
    pub credential_id: CredentialId,
    /// Where.
    pub region: String,
    /// Which.
    pub size: String,
    /// Its processors.
    pub cpus: u32,
    /// Its memory.
    pub memory_bytes: u64,
    /// Its disk.
    pub disk_bytes: u64,
    /// What it costs.
    pub price_micros_per_hour: i64,
    /// In which currency.
    pub currency: String,
}

/// What a user has asked for, in place of what they had. Nothing, where the credential is not theirs or is deleted. What has failed
/// before counts no more: they ask anew.
pub fn put(user: UserId, spec: &PoolSpec, engine: EngineChoice, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO warm_pools (user_id, row_version, minimum, set_at_ms, credential_id, region, size, cpus, memory_bytes,
           disk_bytes, price_micros_per_hour, currency, engine_choice, next_try_at_ms)
         SELECT ?1, 1, ?2, ?3, c.id, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?3 FROM provider_credentials c
         WHERE c.id = ?4 AND c.user_id = ?1 AND c.deleted_at_ms IS NULL
         ON CONFLICT (user_id) DO UPDATE SET row_version = warm_pools.row_version + 1, minimum = excluded.minimum,
           set_at_ms = excluded.set_at_ms, credential_id = excluded.credential_id, region = excluded.region,
           size = excluded.size, cpus = excluded.cpus, memory_bytes = excluded.memory_bytes,
           disk_bytes = excluded.disk_bytes, price_micros_per_hour = excluded.price_micros_per_hour,
           currency = excluded.currency, engine_choice = excluded.engine_choice, last_node_id = NULL, failures = 0,
           next_try_at_ms = excluded.next_try_at_ms, problem = NULL",
        [
            user.into(),
            i64::from(spec.minimum).into(),
            now.into(),
            spec.credential_id.into(),
            spec.region.as_str().into(),
            spec.size.as_str().into(),
            i64::from(spec.cpus).into(),
            i64::try_from(spec.memory_bytes).unwrap_or(i64::MAX).into(),
            i64::try_from(spec.disk_bytes).unwrap_or(i64::MAX).into(),
            spec.price_micros_per_hour.into(),
            spec.currency.as_str().into(),
            engine.as_str().into(),
        ],
    )
}

/// The user wants none any more.
pub fn delete(user: UserId) -> Statement {
    Statement::new("DELETE FROM warm_pools WHERE user_id = ?1", [user.into()])
}

/// A warm machine.
#[derive(Debug, Clone, Deserialize)]
pub struct WarmNodeRow {
    /// Which.
    pub id: NodeId,
}

/// The user's warm machines; not more than may be asked for.
pub fn nodes(user: UserId, limit: u32) -> Statement {
    Statement::new(
        "SELECT n.id FROM nodes n WHERE n.user_id = ?1 AND n.state = 'ready' AND n.warm_since_ms IS NOT NULL ORDER BY n.id DESC LIMIT ?2",
        [user.into(), i64::from(limit).into()],
    )
}

/// Forgets the user's pool with its credential, once that is deleted.
pub fn delete_with_credential(credential: CredentialId, user: UserId) -> Statement {
    Statement::new(
        "DELETE FROM warm_pools WHERE user_id = ?2 AND credential_id = ?1
           AND EXISTS (SELECT 1 FROM provider_credentials WHERE id = ?1 AND deleted_at_ms IS NOT NULL)",
        [credential.into(), user.into()],
    )
}

/// A pool with what there is of it.
#[derive(Debug, Clone, Deserialize)]
pub struct CountedPoolRow {
    /// What was asked for.
    #[serde(flatten)]
    pub spec: PoolSpec,
    /// When it was asked for.
    pub set_at_ms: i64,
    /// When another one is tried; none once it is given up.
    pub next_try_at_ms: Option<i64>,
    /// Why there are fewer, if that was seen.
    pub problem: Option<String>,
    /// Empty machines that can take a workspace.
    pub warm: u32,
    /// Empty machines that are ready, those that cannot take one now included.
    pub ready: u32,
    /// Machines that are being made.
    pub being_made: u32,
}

/// The user's pool.
pub fn counted(user: UserId, engine: EngineChoice) -> Statement {
    Statement::new(
        concat!(
            "SELECT w.minimum, w.credential_id, w.region, w.size, w.cpus, w.memory_bytes, w.disk_bytes, w.price_micros_per_hour,
               w.currency, w.set_at_ms, w.next_try_at_ms, w.problem, (SELECT COUNT(*) ",
            columns!(),
            " AND COALESCE(k.engine_choice, 'unconfined') = ?2 AND k.state = 'ready' AND k.connected_at_ms IS NOT NULL
                AND (?2 = 'unconfined' OR (k.posture_holds = 1 AND k.posture_epoch = k.agent_epoch))) AS warm,
              (SELECT COUNT(*) ",
            columns!(),
            " AND COALESCE(k.engine_choice, 'unconfined') = ?2 AND k.state = 'ready') AS ready,
              (SELECT COUNT(*) ",
            columns!(),
            " AND COALESCE(k.engine_choice, 'unconfined') = ?2
                AND k.state IN ('requested', 'provisioning', 'booting')) AS being_made
             FROM warm_pools w WHERE w.user_id = ?1"
        ),
        [user.into(), engine.as_str().into()],
    )
}

/// A pool that has too few machines.
#[derive(Debug, Clone, Deserialize)]
pub struct ShortPoolRow {
    /// Whose.
    pub user_id: UserId,
    /// Their tenant.
    pub tenant_id: TenantId,
    /// Counter of changes.
    pub row_version: i64,
    /// What was asked for.
    #[serde(flatten)]
    pub spec: PoolSpec,
    /// Whose machines.
    pub provider: ProviderKind,
    /// How many in a row have failed.
    pub failures: u32,
    last_node_id: Option<NodeId>,
    last_state: Option<NodeState>,
    last_failure: Option<String>,
    last_created_at_ms: Option<i64>,
    last_since_ms: Option<i64>,
}

impl ShortPoolRow {
    /// What became of the machine that was made last.
    pub fn last(&self) -> Last {
        let (Some(state), Some(created), Some(since)) = (self.last_state, self.last_created_at_ms, self.last_since_ms)
        else {
            return Last::Unknown;
        };
        match state {
            NodeState::Requested | NodeState::Provisioning | NodeState::Booting => Last::OnItsWay,
            NodeState::Ready => Last::Ready,
            NodeState::Failed | NodeState::Quarantined | NodeState::Destroying | NodeState::Gone => Last::Ended {
                code: self.last_failure.as_deref().and_then(FailureCode::parse).unwrap_or(FailureCode::Invalid),
                created_at: UnixMillis::new(created),
                ended_at: UnixMillis::new(since),
            },
        }
    }

    /// The machine that was made last, where its row is still there.
    pub fn last_node(&self) -> Option<NodeId> {
        self.last_node_id
    }
}

/// Pools of active users with too few machines, where another one may be tried; those that were looked after longest ago first.
pub fn short(engine: EngineChoice, now: UnixMillis, limit: u32) -> Statement {
    Statement::new(
        concat!(
            "SELECT w.user_id, u.tenant_id, w.row_version, w.minimum, w.credential_id, w.region, w.size, w.cpus, w.memory_bytes,
               w.disk_bytes, w.price_micros_per_hour, w.currency, c.provider, w.failures, l.id AS last_node_id,
               l.state AS last_state, l.failure AS last_failure, l.created_at_ms AS last_created_at_ms,
               l.state_since_ms AS last_since_ms
             FROM warm_pools w JOIN users u ON u.id = w.user_id AND u.state = 'active'
             JOIN provider_credentials c ON c.id = w.credential_id AND c.user_id = w.user_id AND c.deleted_at_ms IS NULL
             LEFT JOIN nodes l ON l.id = w.last_node_id AND l.user_id = w.user_id
             WHERE w.next_try_at_ms <= ?2 AND (SELECT COUNT(*) ",
            columns!(),
            " AND COALESCE(k.engine_choice, 'unconfined') = ?1
                AND k.state IN ('requested', 'provisioning', 'booting', 'ready')) < w.minimum
             ORDER BY w.tried_at_ms, w.user_id LIMIT ?3"
        ),
        [engine.as_str().into(), now.into(), i64::from(limit).into()],
    )
}

/// Notes that these pools (a JSON list of users) are looked after: others come first the next time.
pub fn mark_tried(json_users: &str, now: UnixMillis) -> Statement {
    Statement::new(
        "UPDATE warm_pools SET tried_at_ms = ?2 WHERE user_id IN (SELECT value FROM json_each(?1))",
        [json_users.into(), now.into()],
    )
}

/// Lets the batch fail unless the pool's row is the one that was read and it has too few machines still: of any number of sweeps
/// at once one makes a machine for one that is missing.
pub fn require_short(user: UserId, row_version: i64, engine: EngineChoice) -> Statement {
    Statement::new(
        concat!(
            "INSERT INTO preconditions (broken)
             SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM warm_pools w WHERE w.user_id = ?1 AND w.row_version = ?2 AND (SELECT COUNT(*) ",
            columns!(),
            " AND COALESCE(k.engine_choice, 'unconfined') = ?3
                AND k.state IN ('requested', 'provisioning', 'booting', 'ready')) < w.minimum)"
        ),
        [user.into(), row_version.into(), engine.as_str().into()],
    )
}

/// A node was made for it, after so many in a row that have failed.
pub fn made(
    user: UserId,
    row_version: i64,
    node: NodeId,
    failures: u32,
    engine: EngineChoice,
    now: UnixMillis,
) -> Statement {
    Statement::new(
        "UPDATE warm_pools SET row_version = row_version + 1, last_node_id = ?3, failures = ?4, engine_choice = ?5,
           next_try_at_ms = ?6, problem = NULL
         WHERE user_id = ?1 AND row_version = ?2",
        [user.into(), row_version.into(), node.into(), i64::from(failures).into(), engine.as_str().into(), now.into()],
    )
}

/// Nothing is made for it until then, or until its user sets it again; and why.
pub fn put_off(user: UserId, row_version: i64, until: Option<UnixMillis>, problem: &str) -> Statement {
    Statement::new(
        "UPDATE warm_pools SET row_version = row_version + 1, next_try_at_ms = ?3, problem = ?4
         WHERE user_id = ?1 AND row_version = ?2",
        [user.into(), row_version.into(), until.into(), problem.into()],
    )
}
