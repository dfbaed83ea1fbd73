//! What was told of this month's budgets, for the admins who answer for them.

use ringfence_protocol::ids::TenantId;
use ringfence_protocol::limits::BudgetAlertView;
use ringfence_protocol::money::Micros;
use ringfence_protocol::state::LimitScope;
use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;

use crate::domain::quota::month_start;
use crate::ports::Statement;

/// Budgets that are shown, at most.
const MOST: i64 = 200;

/// The highest threshold that was told of a budget.
#[derive(Debug, Clone, Deserialize)]
pub struct AlertRow {
    scope: LimitScope,
    subject_id: String,
    percent: u32,
    spent_micros: i64,
    budget_micros: i64,
    at_ms: i64,
}

impl AlertRow {
    /// As the API gives it.
    pub fn view(&self) -> BudgetAlertView {
        BudgetAlertView {
            scope: self.scope,
            id: (!self.subject_id.is_empty()).then(|| self.subject_id.clone()),
            percent: self.percent,
            spent: Micros(self.spent_micros).to_string(),
            budget: Micros(self.budget_micros).to_string(),
            at: UnixMillis::new(self.at_ms),
        }
    }
}

/// What was told this month, the newest first: of all budgets, or of those of a tenant and its users. Of a group's rows the other columns
/// are those of the one with the highest threshold.
pub fn of_month(now: UnixMillis, tenant: Option<TenantId>) -> Statement {
    Statement::new(
        "SELECT a.scope, a.subject_id, MAX(a.percent) AS percent, a.spent_micros, a.budget_micros, a.at_ms
         FROM budget_alerts a
         WHERE a.month_ms = ?1 AND (?2 IS NULL OR (a.scope = 'tenant' AND a.subject_id = ?2)
           OR (a.scope = 'user' AND EXISTS (SELECT 1 FROM users u WHERE u.id = a.subject_id AND u.tenant_id = ?2)))
         GROUP BY a.scope, a.subject_id ORDER BY a.at_ms DESC LIMIT ?3",
        [month_start(now).into(), tenant.into(), MOST.into()],
    )
}
