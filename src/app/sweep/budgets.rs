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
use crate::store::budgets::{self, BudgetRow, Spenders, SpentRow, StoppedRow, ToldRow};
use crate::store::many;

/// Budgets that are looked after in one run, at most: an invocation may make 50 calls.
const MOST_TOLD: usize = 8;
/// Machines that are woken in one run, at most: each is such a call.
const MOST_WOKEN: usize = 8;

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
    stop(p, settings, &alerts, mode).await
}

/// Tells the machines of every budget that is spent, all at once; wakes some of them. The others, and those that do not answer, are
/// woken by the sweep for what is overdue, ten a minute.
async fn stop(p: &impl Platform, settings: &Settings, alerts: &[Alert], mode: Mode) -> Result<Actions> {
    let spent: Vec<&Alert> = alerts.iter().filter(|alert| alert.percent == 100 && alert.live > 0).collect();
    if spent.is_empty() {
        return Ok(Vec::new());
    }
    let of = |scope| {
        let subjects = spent.iter().filter(|alert| alert.scope == scope).map(|alert| alert.subject.clone());
        super::json_list(&subjects.collect::<Vec<_>>())
    };
    let spenders = Spenders {
        users: of(LimitScope::User),
        tenants: of(LimitScope::Tenant),
        everybody: spent.iter().any(|alert| alert.scope == LimitScope::Installation),
    };
    let now = p.now();
    let ends = now + settings.timing.budget_grace;
    let nodes: Vec<StoppedRow> = match mode {
        Mode::Act => many(p, budgets::tell_nodes(&spenders, ends, now)).await?,
        Mode::DryRun => many(p, budgets::not_told(&spenders, ends)).await?,
    };
    let mut actions = Vec::new();
    for (index, node) in nodes.into_iter().enumerate() {
        if mode == Mode::Act && index < MOST_WOKEN {
            // One that cannot be reached is told already, and woken later.
            let _ = p.wake(node.id, now).await;
        }
        actions.push(SweepActionView {
            action: SweepActionKind::EndNode,
            subject: node.id.to_string(),
            detail: "A budget that it counts against is spent for this month. The machine ends.".into(),
            done: mode == Mode::Act,
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
