//! Limits: what admins set, and what is used of them.

use ringfence_protocol::ids::{TenantId, UserId};
use ringfence_protocol::limits::{BudgetAlertView, LimitAmounts, LimitView, LimitsView, SetLimitsParams};
use ringfence_protocol::money::Micros;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::{LimitMeasure, LimitScope};
use ringfence_protocol::views::Page;

use super::admission::limit_view;
use super::caller::Caller;
use crate::config::limits::amount;
use crate::config::{Config, Settings};
use crate::error::{Error, Result};
use crate::ports::Platform;
use crate::store::budget_alerts::AlertRow;
use crate::store::identity::{self, UserRow};
use crate::store::limits::{self, Asked, CountedRow, LimitRow};
use crate::store::tenants::{self, TenantRow};
use crate::store::{audit, budget_alerts, many, one};

/// What the caller uses of their own limits.
pub async fn own_usage(p: &impl Platform, config: &Config, caller: &Caller) -> Result<Page<LimitView>> {
    usage(p, &config.settings, LimitScope::User, &caller.user.id.to_string()).await
}

/// What the caller's tenant uses of its limits.
pub async fn tenant_usage(p: &impl Platform, config: &Config, caller: &Caller) -> Result<Page<LimitView>> {
    caller.require_tenant_admin()?;
    usage(p, &config.settings, LimitScope::Tenant, &caller.user.tenant_id.to_string()).await
}

/// Budgets of the caller's tenant and its users of which much is spent this month, the newest first.
pub async fn tenant_budget_alerts(p: &impl Platform, caller: &Caller) -> Result<Page<BudgetAlertView>> {
    caller.require_tenant_admin()?;
    alerts(p, Some(caller.user.tenant_id)).await
}

/// The same of everybody.
pub async fn budget_alerts(p: &impl Platform, caller: &Caller) -> Result<Page<BudgetAlertView>> {
    caller.require_admin()?;
    alerts(p, None).await
}

async fn alerts(p: &impl Platform, tenant: Option<TenantId>) -> Result<Page<BudgetAlertView>> {
    let rows: Vec<AlertRow> = many(p, budget_alerts::of_month(p.now(), tenant)).await?;
    Ok(Page { items: rows.iter().map(AlertRow::view).collect(), next_cursor: None })
}

/// Limits of a user, a tenant or the installation, or those that hold for all users or tenants.
pub async fn get(
    p: &impl Platform,
    config: &Config,
    caller: &Caller,
    scope: LimitScope,
    id: Option<String>,
) -> Result<LimitsView> {
    caller.require_admin()?;
    let subject = subject(p, scope, id.as_deref()).await?;
    view(p, config, scope, id, &subject).await
}

/// Sets limits, in place of all that were set for the same.
pub async fn set(p: &impl Platform, config: &Config, caller: &Caller, params: SetLimitsParams) -> Result<LimitsView> {
    caller.require_admin()?;
    let SetLimitsParams { scope, id, limits: asked } = params;
    let amounts = parsed(&asked)?;
    let subject = subject(p, scope, id.as_deref()).await?;
    let now = p.now();
    let mut batch = vec![limits::clear(scope, &subject)];
    batch.extend(amounts.iter().map(|(measure, amount)| limits::set(scope, &subject, *measure, *amount, now)));
    let detail: Vec<String> = amounts.iter().map(|(measure, amount)| format!("{measure} {amount}")).collect();
    let on = if subject.is_empty() { scope.to_string() } else { subject.clone() };
    batch.push(audit::record(&caller.act("limits.set", on, detail.join(", ")), now));
    p.batch(batch).await?;
    view(p, config, scope, id, &subject).await
}

/// What rows call it. What is named must exist: a limit of nobody would limit nobody.
async fn subject(p: &impl Platform, scope: LimitScope, id: Option<&str>) -> Result<String> {
    let Some(id) = id else { return Ok(String::new()) };
    let found = match scope {
        LimitScope::User => match id.parse::<UserId>() {
            Ok(user) => one::<UserRow>(p, identity::user_by_id(user)).await?.is_some(),
            Err(_) => false,
        },
        LimitScope::Tenant => match id.parse::<TenantId>() {
            Ok(tenant) => one::<TenantRow>(p, tenants::by_id(tenant)).await?.is_some(),
            Err(_) => false,
        },
        LimitScope::Installation => {
            return Err(Error::new(ErrorCode::InvalidParameter, "id: the installation has none. Nothing was changed."));
        }
    };
    if found { Ok(id.to_owned()) } else { Err(Error::not_found(scope.as_str())) }
}

async fn view(
    p: &impl Platform,
    config: &Config,
    scope: LimitScope,
    id: Option<String>,
    subject: &str,
) -> Result<LimitsView> {
    let rows: Vec<LimitRow> = many(p, limits::set_for(scope, subject)).await?;
    // Nobody in particular uses nothing.
    let items = if subject.is_empty() && scope != LimitScope::Installation {
        Vec::new()
    } else {
        usage(p, &config.settings, scope, subject).await?.items
    };
    Ok(LimitsView { scope, id, set: amounts(&rows), items })
}

async fn usage(p: &impl Platform, settings: &Settings, scope: LimitScope, subject: &str) -> Result<Page<LimitView>> {
    let asked: Vec<Asked> = LimitMeasure::ALL
        .iter()
        .map(|measure| Asked {
            scope,
            subject: subject.to_owned(),
            measure: *measure,
            configured: settings.limits.get(scope, *measure),
            more: 0,
        })
        .collect();
    let rows: Vec<CountedRow> = many(p, limits::usage(&asked, p.now())).await?;
    Ok(Page { items: rows.iter().map(limit_view).collect(), next_cursor: None })
}

fn amounts(rows: &[LimitRow]) -> LimitAmounts {
    let of = |measure| rows.iter().find(|row| row.measure == measure).map(|row| row.amount);
    let count = |measure| of(measure).map(|amount| u32::try_from(amount).unwrap_or(u32::MAX));
    let money = |measure| of(measure).map(|amount| Micros(amount).to_string());
    LimitAmounts {
        nodes: count(LimitMeasure::Nodes),
        workspaces: count(LimitMeasure::Workspaces),
        ephemeral_workspaces: count(LimitMeasure::EphemeralWorkspaces),
        cost_per_hour: money(LimitMeasure::CostPerHour),
        cost_per_month: money(LimitMeasure::CostPerMonth),
    }
}

fn parsed(asked: &LimitAmounts) -> Result<Vec<(LimitMeasure, i64)>> {
    let count = |number: Option<u32>| number.map(|number| number.to_string());
    let texts = [
        (LimitMeasure::Nodes, count(asked.nodes)),
        (LimitMeasure::Workspaces, count(asked.workspaces)),
        (LimitMeasure::EphemeralWorkspaces, count(asked.ephemeral_workspaces)),
        (LimitMeasure::CostPerHour, asked.cost_per_hour.clone()),
        (LimitMeasure::CostPerMonth, asked.cost_per_month.clone()),
    ];
    let mut amounts = Vec::new();
    for (measure, text) in texts {
        let Some(text) = text else { continue };
        let amount = amount(measure, &text).ok_or_else(|| {
            Error::new(ErrorCode::InvalidBody, format!("{measure}: an amount such as 0.50. Nothing was changed."))
        })?;
        amounts.push((measure, amount));
    }
    Ok(amounts)
}
