//! Whether a new workspace is within every limit, and its machine may be made: decided by the batch that makes it, explained when it was refused.

use ringfence_protocol::ids::{NodeId, TenantId, UserId, WorkspaceId};
use ringfence_protocol::limits::LimitView;
use ringfence_protocol::money::Micros;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::{LimitMeasure, LimitScope};
use ringfence_protocol::time::UnixMillis;

use crate::config::Settings;
use crate::domain::quota::{Claim, is_money};
use crate::error::{Error, Result};
use crate::ports::{Platform, Statement};
use crate::store::limits::{self, Asked, CountedRow};
use crate::store::many;

/// A user in their tenant.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// Who.
    pub user: UserId,
    /// Of which tenant.
    pub tenant: TenantId,
}

impl Subject {
    /// What rows call the subject of a scope.
    pub fn in_scope(self, scope: LimitScope) -> String {
        match scope {
            LimitScope::User => self.user.to_string(),
            LimitScope::Tenant => self.tenant.to_string(),
            LimitScope::Installation => String::new(),
        }
    }

    /// The limits that something is held against, with what it adds to each.
    fn held_against(self, settings: &Settings, more: impl Fn(LimitMeasure) -> Option<i64>) -> Vec<Asked> {
        let every = LimitScope::ALL.iter().flat_map(|scope| LimitMeasure::ALL.iter().map(move |m| (*scope, *m)));
        every
            .filter_map(|(scope, measure)| {
                Some(Asked {
                    scope,
                    subject: self.in_scope(scope),
                    measure,
                    configured: settings.limits.get(scope, measure),
                    more: more(measure)?,
                })
            })
            .collect()
    }
}

/// Lets the batch fail unless the workspace has got its place by the statements before, and no limit is exceeded with it (I5); where
/// that takes a new node, also while the making of machines is paused.
pub(super) fn require(
    settings: &Settings,
    subject: Subject,
    workspace: WorkspaceId,
    claim: Claim,
    now: UnixMillis,
) -> Statement {
    let asked = subject.held_against(settings, remaining(claim));
    let makes_a_node = matches!(claim, Claim::Node { .. });
    limits::require_admitted(workspace, subject.user, subject.tenant, makes_a_node, &asked, now)
}

/// The same for a node that is made without a workspace: no limit of workspaces is held against it.
pub(super) fn require_node(
    settings: &Settings,
    subject: Subject,
    node: NodeId,
    claim: Claim,
    now: UnixMillis,
) -> Statement {
    let asked = subject.held_against(settings, without_workspace(remaining(claim)));
    limits::require_node_admitted(node, subject.user, subject.tenant, &asked, now)
}

/// What was asked for is among what is counted once it is written; nothing is spent by it yet.
fn remaining(claim: Claim) -> impl Fn(LimitMeasure) -> Option<i64> {
    move |measure| {
        let more = claim.more(measure)?;
        Some(if measure == LimitMeasure::CostPerMonth { more } else { 0 })
    }
}

/// Where limits were lowered there may be more workspaces than are allowed, and a node without one adds nothing to them.
fn without_workspace(more: impl Fn(LimitMeasure) -> Option<i64>) -> impl Fn(LimitMeasure) -> Option<i64> {
    move |measure| more(measure).filter(|_| measure != LimitMeasure::Workspaces)
}

/// The limit that a claim would exceed, if there is one now.
pub(super) async fn refusal(
    p: &impl Platform,
    settings: &Settings,
    subject: Subject,
    claim: Claim,
) -> Result<Option<Error>> {
    let asked = subject.held_against(settings, |measure| claim.more(measure));
    let rows: Vec<CountedRow> = many(p, limits::exceeded(&asked, p.now())).await?;
    Ok(rows.into_iter().next().map(reached))
}

/// The same for a node that is made without a workspace.
pub(super) async fn refusal_of_node(
    p: &impl Platform,
    settings: &Settings,
    subject: Subject,
    claim: Claim,
) -> Result<Option<Error>> {
    let asked = subject.held_against(settings, without_workspace(|measure| claim.more(measure)));
    let rows: Vec<CountedRow> = many(p, limits::exceeded(&asked, p.now())).await?;
    Ok(rows.into_iter().next().map(reached))
}

fn reached(row: CountedRow) -> Error {
    let view = limit_view(&row);
    let whose = match row.scope {
        LimitScope::User => "Your",
        LimitScope::Tenant => "Your tenant's",
        LimitScope::Installation => "This installation's",
    };
    let (what, code) = match row.measure {
        LimitMeasure::Nodes => ("machines", ErrorCode::LimitReached),
        LimitMeasure::Workspaces => ("workspaces", ErrorCode::LimitReached),
        LimitMeasure::EphemeralWorkspaces => ("ephemeral workspaces", ErrorCode::LimitReached),
        LimitMeasure::CostPerHour => ("the cost of an hour", ErrorCode::BudgetReached),
        LimitMeasure::CostPerMonth => ("the cost of this month", ErrorCode::BudgetReached),
    };
    let (limit, usage) = (view.limit.as_deref().unwrap_or_default(), &view.usage);
    let detail = format!(
        "{whose} limit for {what} is {limit}, and {usage} is used. Nothing was created. Delete what you do not need (a machine counts \
         until its provider has confirmed that it is gone), or ask an admin to raise the limit: page Limits, or PUT /api/admin/limits \
         with scope {} and {}.",
        row.scope, row.measure
    );
    Error { limit: Some(Box::new(view)), ..Error::new(code, detail) }
}

/// A limit as the API shows it.
pub(super) fn limit_view(row: &CountedRow) -> LimitView {
    let text = |amount: i64| if is_money(row.measure) { Micros(amount).to_string() } else { amount.to_string() };
    LimitView { scope: row.scope, measure: row.measure, limit: row.amount.map(text), usage: text(row.used) }
}
