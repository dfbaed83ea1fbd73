//! Limits, and what is used of them: counted from rows, in the statement that admits. There are no counters to drift.
//!
//! Where there is a limit, what is counted stays within it, so counting reads no more rows than the limit allows; what has no limit is not
//! counted at all. A machine counts until its provider has confirmed that it is gone.

use ringfence_protocol::ids::{NodeId, TenantId, UserId, WorkspaceId};
use ringfence_protocol::state::{LimitMeasure, LimitScope};
use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;
use serde_json::json;

use crate::domain::quota::month_start;
use crate::ports::Statement;

/// The table `counted`: of each limit that is asked for in `?1` (a list of scope, subject, measure, configured amount and how much is to
/// be added) what it is and what is used of it, at `?3` in the month that began at `?4`. What has no limit counts as 0, unless `?2` is 1.
/// D1 binds every number as a real one: what is divided is made whole first.
macro_rules! columns {
    () => {
        "asked AS (
           SELECT json_extract(value, '$[0]') AS scope, json_extract(value, '$[1]') AS subject,
             json_extract(value, '$[2]') AS measure, json_extract(value, '$[3]') AS configured, json_extract(value, '$[4]') AS more
           FROM json_each(?1)
         ), held AS (
           SELECT a.scope, a.subject, a.measure, a.more, COALESCE(
             (SELECT l.amount FROM limits l WHERE l.scope = a.scope AND l.subject_id = a.subject AND l.measure = a.measure),
             (SELECT l.amount FROM limits l WHERE l.scope = a.scope AND l.subject_id = '' AND l.measure = a.measure),
             a.configured) AS amount
           FROM asked a
         ), counted AS (
           SELECT h.scope, h.measure, h.more, h.amount, CASE WHEN h.amount IS NULL AND ?2 = 0 THEN 0
             ELSE CASE h.scope || '.' || h.measure
               WHEN 'user.nodes' THEN
                 (SELECT COUNT(*) FROM nodes n WHERE n.user_id = h.subject AND n.state <> 'gone')
               WHEN 'tenant.nodes' THEN
                 (SELECT COUNT(*) FROM nodes n WHERE n.tenant_id = h.subject AND n.state <> 'gone')
               WHEN 'installation.nodes' THEN
                 (SELECT COUNT(*) FROM nodes n WHERE n.state <> 'gone')
               WHEN 'user.workspaces' THEN
                 (SELECT COUNT(*) FROM nodes n JOIN node_slots s ON s.node_id = n.id
                  WHERE n.user_id = h.subject AND n.state <> 'gone')
               WHEN 'tenant.workspaces' THEN
                 (SELECT COUNT(*) FROM nodes n JOIN node_slots s ON s.node_id = n.id
                  WHERE n.tenant_id = h.subject AND n.state <> 'gone')
               WHEN 'installation.workspaces' THEN
                 (SELECT COUNT(*) FROM node_slots s)
               WHEN 'user.ephemeral_workspaces' THEN
                 (SELECT COUNT(*) FROM nodes n
                  WHERE n.user_id = h.subject AND n.state <> 'gone' AND n.isolation = 'ephemeral')
               WHEN 'tenant.ephemeral_workspaces' THEN
                 (SELECT COUNT(*) FROM nodes n INDEXED BY nodes_ephemeral
                  WHERE n.tenant_id = h.subject AND n.state <> 'gone' AND n.isolation = 'ephemeral')
               WHEN 'installation.ephemeral_workspaces' THEN
                 (SELECT COUNT(*) FROM nodes n INDEXED BY nodes_ephemeral
                  WHERE n.state <> 'gone' AND n.isolation = 'ephemeral')
               WHEN 'user.cost_per_hour' THEN
                 (SELECT COALESCE(SUM(COALESCE(n.dearest_micros_per_hour, n.price_micros_per_hour)), 0) FROM nodes n WHERE n.user_id = h.subject AND n.state <> 'gone')
               WHEN 'tenant.cost_per_hour' THEN
                 (SELECT COALESCE(SUM(COALESCE(n.dearest_micros_per_hour, n.price_micros_per_hour)), 0) FROM nodes n WHERE n.tenant_id = h.subject AND n.state <> 'gone')
               WHEN 'installation.cost_per_hour' THEN
                 (SELECT COALESCE(SUM(COALESCE(n.dearest_micros_per_hour, n.price_micros_per_hour)), 0) FROM nodes n WHERE n.state <> 'gone')
               WHEN 'user.cost_per_month' THEN
                 (SELECT COALESCE(SUM((n.price_micros_per_hour * MAX(0, CAST(?3 AS INTEGER) - MAX(n.first_create_attempt_at_ms, CAST(?4 AS INTEGER))) + 3599999) / 3600000), 0)
                  FROM nodes n WHERE n.user_id = h.subject AND n.state <> 'gone')
                 + (SELECT COALESCE(SUM((n.price_micros_per_hour * (n.state_since_ms - MAX(n.first_create_attempt_at_ms, CAST(?4 AS INTEGER))) + 3599999) / 3600000), 0)
                  FROM nodes n WHERE n.user_id = h.subject AND n.state = 'gone' AND n.state_since_ms > CAST(?4 AS INTEGER) AND COALESCE(n.provider_instance_id, n.former_instance_id) IS NOT NULL)
               WHEN 'tenant.cost_per_month' THEN
                 (SELECT COALESCE(SUM((n.price_micros_per_hour * MAX(0, CAST(?3 AS INTEGER) - MAX(n.first_create_attempt_at_ms, CAST(?4 AS INTEGER))) + 3599999) / 3600000), 0)
                  FROM nodes n WHERE n.tenant_id = h.subject AND n.state <> 'gone')
                 + (SELECT COALESCE(SUM((n.price_micros_per_hour * (n.state_since_ms - MAX(n.first_create_attempt_at_ms, CAST(?4 AS INTEGER))) + 3599999) / 3600000), 0)
                  FROM nodes n WHERE n.tenant_id = h.subject AND n.state = 'gone' AND n.state_since_ms > CAST(?4 AS INTEGER) AND COALESCE(n.provider_instance_id, n.former_instance_id) IS NOT NULL)
               ELSE
                 (SELECT COALESCE(SUM((n.price_micros_per_hour * MAX(0, CAST(?3 AS INTEGER) - MAX(n.first_create_attempt_at_ms, CAST(?4 AS INTEGER))) + 3599999) / 3600000), 0)
                  FROM nodes n WHERE n.state <> 'gone')
                 + (SELECT COALESCE(SUM((n.price_micros_per_hour * (n.state_since_ms - MAX(n.first_create_attempt_at_ms, CAST(?4 AS INTEGER))) + 3599999) / 3600000), 0)
                  FROM nodes n WHERE n.state = 'gone' AND n.state_since_ms > CAST(?4 AS INTEGER) AND COALESCE(n.provider_instance_id, n.former_instance_id) IS NOT NULL)
             END END AS used
           FROM held h
         )"
    };
}

/// A limit that something is held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// For whom.
    pub scope: LimitScope,
    /// The user or tenant; empty for the installation.
    pub subject: String,
    /// Of what.
    pub measure: LimitMeasure,
    /// The configured limit, where no admin has set another.
    pub configured: Option<i64>,
    /// How much is to be added.
    pub more: i64,
}

/// A limit with what is used of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CountedRow {
    /// For whom.
    pub scope: LimitScope,
    /// Of what.
    pub measure: LimitMeasure,
    /// The most there may be; money in millionths.
    pub amount: Option<i64>,
    /// What there is.
    pub used: i64,
}

fn list(asked: &[Asked]) -> String {
    let rows: Vec<_> = asked.iter().map(|a| json!([a.scope, a.subject, a.measure, a.configured, a.more])).collect();
    json!(rows).to_string()
}

/// Lets the batch fail unless the workspace has got its place in it, its owner is active and of that tenant, and no limit is exceeded
/// with it (I5). Comes after what takes the place, so that it counts too. Where the batch `makes_a_node`, it fails while the making
/// of machines is paused.
pub fn require_admitted(
    workspace: WorkspaceId,
    user: UserId,
    tenant: TenantId,
    makes_a_node: bool,
    asked: &[Asked],
    now: UnixMillis,
) -> Statement {
    Statement::new(
        concat!(
            "INSERT INTO preconditions (broken) WITH ",
            columns!(),
            " SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM node_slots WHERE workspace_id = ?5)
                OR NOT EXISTS (SELECT 1 FROM users WHERE id = ?6 AND tenant_id = ?7 AND state = 'active')
                OR EXISTS (SELECT 1 FROM counted WHERE used + more > amount)
                OR (?8 = 1 AND EXISTS (SELECT 1 FROM switches WHERE name = 'provisioning'))"
        ),
        [
            list(asked).into(),
            0.into(),
            now.into(),
            month_start(now).into(),
            workspace.into(),
            user.into(),
            tenant.into(),
            makes_a_node.into(),
        ],
    )
}

/// The same for a node that the batch makes without a workspace; never while the making of machines is paused.
pub fn require_node_admitted(
    node: NodeId,
    user: UserId,
    tenant: TenantId,
    asked: &[Asked],
    now: UnixMillis,
) -> Statement {
    Statement::new(
        concat!(
            "INSERT INTO preconditions (broken) WITH ",
            columns!(),
            " SELECT 1 FROM (SELECT MAX(used + more > amount) AS over FROM counted) c
              WHERE c.over = 1
                OR EXISTS (SELECT 1 FROM switches WHERE name = 'provisioning')
                OR NOT EXISTS (
                  SELECT 1 FROM nodes n JOIN users u ON u.id = n.user_id
                  WHERE n.id = ?5 AND u.id = ?6 AND u.tenant_id = ?7 AND u.state = 'active')"
        ),
        [list(asked).into(), 0.into(), now.into(), month_start(now).into(), node.into(), user.into(), tenant.into()],
    )
}

/// The limits that would be exceeded, those nearest to the user first.
pub fn exceeded(asked: &[Asked], now: UnixMillis) -> Statement {
    Statement::new(
        concat!(
            "WITH ",
            columns!(),
            " SELECT scope, measure, amount, used FROM counted WHERE used + more > amount
              ORDER BY CASE scope WHEN 'user' THEN 0 WHEN 'tenant' THEN 1 ELSE 2 END"
        ),
        [list(asked).into(), 0.into(), now.into(), month_start(now).into()],
    )
}

/// Each of these limits with what is used of it, also where there is none.
pub fn usage(asked: &[Asked], now: UnixMillis) -> Statement {
    Statement::new(
        concat!("WITH ", columns!(), " SELECT scope, measure, amount, used FROM counted"),
        [list(asked).into(), 1.into(), now.into(), month_start(now).into()],
    )
}

/// What an admin has set.
#[derive(Debug, Clone, Deserialize)]
pub struct LimitRow {
    /// Of what.
    pub measure: LimitMeasure,
    /// How much.
    pub amount: i64,
}

/// What is set for exactly this.
pub fn set_for(scope: LimitScope, subject: &str) -> Statement {
    Statement::new(
        "SELECT measure, amount FROM limits WHERE scope = ?1 AND subject_id = ?2",
        [scope.as_str().into(), subject.into()],
    )
}

/// Forgets what is set for exactly this.
pub fn clear(scope: LimitScope, subject: &str) -> Statement {
    Statement::new("DELETE FROM limits WHERE scope = ?1 AND subject_id = ?2", [scope.as_str().into(), subject.into()])
}

/// Sets a limit.
pub fn set(scope: LimitScope, subject: &str, measure: LimitMeasure, amount: i64, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO limits (scope, subject_id, measure, amount, set_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        [scope.as_str().into(), subject.into(), measure.as_str().into(), amount.into(), now.into()],
    )
}
