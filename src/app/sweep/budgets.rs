//! Budgets of a month: who has one is told when a half, four fifths and all of it are spent; at the last, machines are told to
//! end. What a node makes of it (a warning, the save step, then its deletion) is its own business.

use ringfence_protocol::money::Micros;
use ringfence_protocol::state::{LimitMeasure, LimitScope};
use ringfence_protocol::sweeps::{SweepActionKind, SweepActionView};

use super::{Actions, Mode};
use crate::config::Settings;
use crate::domain::budget::{self, Alert, Budget, Spent};
use crate::error::Result;
use crate::ports::Platform;
use crate::store::budgets::{self, BudgetRow, SpentRow, StoppedRow, ToldRow};
use crate::store::many;

/// Budgets that are looked after in one run, at most: an invocation may make 50 calls.
const MOST_TOLD: usize = 8;

pub(super) async fn sweep(p: &impl Platform, settings: &Settings, mode: Mode) -> Result<Actions> {
    let set: Vec<Budget> = many::<BudgetRow>(p, budgets::set()).await?.into_iter().map(Budget::from).collect();
    let configured = |scope: &LimitScope| settings.limits.get(*scope, LimitMeasure::CostPerMonth).is_some();
    // Where nobody has a budget nothing is counted.
    if set.is_empty() && !LimitScope::ALL.iter().any(configured) {
        return Ok(Vec::new());
    }
    let now = p.now();
    let spent: Vec<Spent> = many::<SpentRow>(p, budgets::spent(now)).await?.into_iter().map(Spent::from).collect();
    let alerts = budget::alerts(&spent, &set, &settings.limits);
    let told: Vec<ToldRow> = many(p, budgets::told(now)).await?;
    let news = alerts.iter().filter(|alert| !told.iter().any(|row| row.is(alert)));
    if mode == Mode::Act {
        for alert in news.take(MOST_TOLD) {
            p.batch(vec![budgets::note(alert, now), budgets::tell(alert, &sentence(alert, settings), now)]).await?;
        }
    }
    // One that has no machine left leaves by itself; one whose machines were all told gives way to the next.
    for alert in alerts.iter().filter(|alert| alert.percent == 100 && alert.live > 0).take(MOST_TOLD) {
        let actions = stop(p, settings, alert, mode).await?;
        if !actions.is_empty() {
            return Ok(actions);
        }
    }
    Ok(Vec::new())
}

/// Tells the machines of one spent budget. Those that have not heeded it are told again in the next run.
async fn stop(p: &impl Platform, settings: &Settings, alert: &Alert, mode: Mode) -> Result<Actions> {
    let now = p.now();
    let grace = i64::try_from(settings.timing.budget_grace.as_millis()).unwrap_or(i64::MAX);
    let nodes: Vec<StoppedRow> = many(p, budgets::still_alive(alert, grace, now)).await?;
    if mode == Mode::Act && !nodes.is_empty() {
        p.batch(nodes.iter().map(|node| budgets::mark_spent(node.id, now)).collect()).await?;
    }
    let mut actions = Vec::new();
    for node in nodes {
        let done = mode == Mode::Act && p.wake(node.id, now).await.is_ok();
        actions.push(SweepActionView {
            action: SweepActionKind::EndNode,
            subject: node.id.to_string(),
            detail: format!("{} The machine ends.", spent_of(alert)),
            done,
        });
    }
    Ok(actions)
}

fn spent_of(alert: &Alert) -> String {
    let whose = match alert.scope {
        LimitScope::User => "your",
        LimitScope::Tenant => "your tenant's",
        LimitScope::Installation => "this installation's",
    };
    format!("{} of {whose} budget of {} for this month are spent.", Micros(alert.spent), Micros(alert.budget))
}

fn sentence(alert: &Alert, settings: &Settings) -> String {
    let what = spent_of(alert);
    let minutes = settings.timing.budget_grace.as_secs().div_ceil(60);
    match alert.percent {
        100 => format!(
            "{what} Nothing more can be created, and machines end within {minutes} minutes. An admin can raise the budget on the page Limits."
        ),
        percent => format!("{percent} %: {what} At 100 % machines end."),
    }
}
