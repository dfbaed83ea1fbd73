//! What was spent this month, what was told of it, and which machines end because of it.

use ringfence_protocol::ids::NodeId;
use ringfence_protocol::state::LimitScope;
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::EventKind;
use serde::Deserialize;

use crate::domain::budget::{Alert, Budget, Spent};
use crate::domain::quota::month_start;
use crate::ports::{Statement, Value};

/// Machines that are told in one run, at most: each is a row or two that is written.
const MOST_STOPPED: i64 = 500;

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

/// A node that ends because a budget is spent.
#[derive(Debug, Clone, Deserialize)]
pub struct StoppedRow {
    /// Which.
    pub id: NodeId,
}

/// Whose budgets are spent.
#[derive(Debug, Clone, Default)]
pub struct Spenders {
    /// Of these users, a JSON list.
    pub users: String,
    /// Of these tenants, a JSON list.
    pub tenants: String,
    /// Of everybody.
    pub everybody: bool,
}

/// The nodes of spent budgets that were not told.
macro_rules! columns {
    () => {
        "SELECT n.id FROM nodes n
         WHERE n.state IN ('requested', 'provisioning', 'booting', 'ready', 'quarantined') AND n.state <> 'gone'
           AND n.budget_spent_at_ms IS NULL AND n.hard_deadline_at_ms > ?4
           AND (?3 OR n.user_id IN (SELECT value FROM json_each(?1)) OR n.tenant_id IN (SELECT value FROM json_each(?2)))
         LIMIT ?5"
    };
}

/// Nodes of spent budgets that were not told, and would live until after `ends`, where the grace is over.
pub fn not_told(of: &Spenders, ends: UnixMillis) -> Statement {
    Statement::new(columns!(), of.params(ends).to_vec())
}

/// Tells these nodes that their budget is spent, and gives them. What becomes of each is its own business: it decides at its next tick.
pub fn tell_nodes(of: &Spenders, ends: UnixMillis, now: UnixMillis) -> Statement {
    let mut params = of.params(ends).to_vec();
    params.push(now.into());
    Statement::new(
        concat!("UPDATE nodes SET budget_spent_at_ms = ?6 WHERE id IN (", columns!(), ") RETURNING id"),
        params,
    )
}

impl Spenders {
    fn params(&self, ends: UnixMillis) -> [Value; 5] {
        let everybody = i64::from(self.everybody);
        [self.users.as_str().into(), self.tenants.as_str().into(), everybody.into(), ends.into(), MOST_STOPPED.into()]
    }
}
