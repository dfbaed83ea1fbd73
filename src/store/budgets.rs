//! What was spent this month, what was told of it, and which machines end because of it.

use ringfence_protocol::ids::NodeId;
use ringfence_protocol::state::LimitScope;
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::EventKind;
use serde::Deserialize;

use crate::domain::budget::{Alert, Budget, Spent};
use crate::domain::quota::month_start;
use crate::ports::Statement;

/// Machines that are told in one run, at most.
pub const MOST_STOPPED: i64 = 8;

/// What an admin has set.
#[derive(Debug, Clone, Deserialize)]
pub struct BudgetRow {
    scope: LimitScope,
    subject_id: String,
    amount: i64,
}

impl From<BudgetRow> for Budget {
    fn from(row: BudgetRow) -> Self {
        Self { scope: row.scope, subject: row.subject_id, micros: row.amount }
    }
}

/// What one user has spent.
#[derive(Debug, Clone, Deserialize)]
pub struct SpentRow {
    user_id: String,
    tenant_id: String,
    micros: i64,
    live: i64,
}

impl From<SpentRow> for Spent {
    fn from(row: SpentRow) -> Self {
        Self { user: row.user_id, tenant: row.tenant_id, micros: row.micros, live: row.live }
    }
}

/// Every budget of a month that an admin has set.
pub fn set() -> Statement {
    Statement::new("SELECT scope, subject_id, amount FROM limits WHERE measure = 'cost_per_month'", [])
}

/// What each user has spent this month: nodes × price × time, counted from the rows of what is there and of what has gone since the
/// month began. D1 binds every number as a real one: what is divided is made whole first.
pub fn spent(now: UnixMillis) -> Statement {
    Statement::new(
        "SELECT user_id, tenant_id, SUM(micros) AS micros, SUM(live) AS live FROM (
           SELECT n.user_id, n.tenant_id, 1 AS live,
             COALESCE((n.price_micros_per_hour * MAX(0, CAST(?1 AS INTEGER) - MAX(n.first_create_attempt_at_ms, CAST(?2 AS INTEGER))) + 3599999) / 3600000, 0) AS micros
           FROM nodes n WHERE n.state <> 'gone'
           UNION ALL
           SELECT n.user_id, n.tenant_id, 0,
             (n.price_micros_per_hour * (n.state_since_ms - MAX(n.first_create_attempt_at_ms, CAST(?2 AS INTEGER))) + 3599999) / 3600000
           FROM nodes n WHERE n.state = 'gone' AND n.state_since_ms > CAST(?2 AS INTEGER) AND COALESCE(n.provider_instance_id, n.former_instance_id) IS NOT NULL
         ) GROUP BY user_id, tenant_id",
        [now.into(), month_start(now).into()],
    )
}

/// What was told this month.
#[derive(Debug, Clone, Deserialize)]
pub struct ToldRow {
    scope: LimitScope,
    subject_id: String,
    percent: i64,
}

impl ToldRow {
    /// Whether it is this alert.
    pub fn is(&self, alert: &Alert) -> bool {
        self.scope == alert.scope && self.subject_id == alert.subject && self.percent == i64::from(alert.percent)
    }
}

/// What was told this month.
pub fn told(now: UnixMillis) -> Statement {
    Statement::new(
        "SELECT scope, subject_id, percent FROM budget_alerts WHERE month_ms = ?1",
        [month_start(now).into()],
    )
}

/// Notes that a budget has reached a threshold this month; changes a row the first time only.
pub fn note(alert: &Alert, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT OR IGNORE INTO budget_alerts (scope, subject_id, month_ms, percent, spent_micros, budget_micros, at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        [
            alert.scope.as_str().into(),
            alert.subject.as_str().into(),
            month_start(now).into(),
            i64::from(alert.percent).into(),
            alert.spent.into(),
            alert.budget.into(),
            now.into(),
        ],
    )
}

/// Tells each user of the budget who has a node, on their newest one; nobody when the statement before changed nothing.
pub fn tell(alert: &Alert, detail: &str, now: UnixMillis) -> Statement {
    let event = EventKind::Notice { detail: detail.to_owned() };
    let json = serde_json::to_string(&event).unwrap_or_default();
    let sql = match alert.scope {
        LimitScope::User => {
            "INSERT INTO events (user_id, node_id, at_ms, kind, event_json)
             SELECT n.user_id, n.id, ?2, 'notice', ?3 FROM nodes n
             WHERE changes() > 0 AND n.user_id = ?1 AND n.state <> 'gone' ORDER BY n.created_at_ms DESC, n.id DESC LIMIT 1"
        }
        LimitScope::Tenant => {
            "INSERT INTO events (user_id, node_id, at_ms, kind, event_json)
             SELECT n.user_id, MAX(n.id), ?2, 'notice', ?3 FROM nodes n
             WHERE changes() > 0 AND n.tenant_id = ?1 AND n.state <> 'gone' GROUP BY n.user_id LIMIT 100"
        }
        LimitScope::Installation => {
            "INSERT INTO events (user_id, node_id, at_ms, kind, event_json)
             SELECT n.user_id, MAX(n.id), ?2, 'notice', ?3 FROM nodes n
             WHERE changes() > 0 AND ?1 = '' AND n.state <> 'gone' GROUP BY n.user_id LIMIT 100"
        }
    };
    Statement::new(sql, [alert.subject.as_str().into(), now.into(), json.into()])
}

/// A node that ends because its budget is spent.
#[derive(Debug, Clone, Deserialize)]
pub struct StoppedRow {
    /// Which.
    pub id: NodeId,
}

/// The nodes of a spent budget that would live longer than the grace: those that were not told, and those that have not heeded it.
pub fn still_alive(alert: &Alert, grace_ms: i64, now: UnixMillis) -> Statement {
    let sql = match alert.scope {
        LimitScope::User => {
            "SELECT n.id FROM nodes n WHERE n.user_id = ?1 AND n.state IN ('requested', 'provisioning', 'booting', 'ready', 'quarantined')
               AND n.state <> 'gone' AND n.hard_deadline_at_ms > COALESCE(n.budget_spent_at_ms, ?3) + ?2 LIMIT ?4"
        }
        LimitScope::Tenant => {
            "SELECT n.id FROM nodes n WHERE n.tenant_id = ?1 AND n.state IN ('requested', 'provisioning', 'booting', 'ready', 'quarantined')
               AND n.state <> 'gone' AND n.hard_deadline_at_ms > COALESCE(n.budget_spent_at_ms, ?3) + ?2 LIMIT ?4"
        }
        LimitScope::Installation => {
            "SELECT n.id FROM nodes n WHERE ?1 = '' AND n.state IN ('requested', 'provisioning', 'booting', 'ready', 'quarantined')
               AND n.state <> 'gone' AND n.hard_deadline_at_ms > COALESCE(n.budget_spent_at_ms, ?3) + ?2 LIMIT ?4"
        }
    };
    Statement::new(sql, [alert.subject.as_str().into(), grace_ms.into(), now.into(), MOST_STOPPED.into()])
}

/// Tells a node that its budget is spent, once. What becomes of it is its own business: it decides at its next tick.
pub fn mark_spent(id: NodeId, now: UnixMillis) -> Statement {
    Statement::new(
        "UPDATE nodes SET budget_spent_at_ms = ?2 WHERE id = ?1 AND budget_spent_at_ms IS NULL",
        [id.into(), now.into()],
    )
}
