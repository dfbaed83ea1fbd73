//! Sweeps: the second look at everything. Alarms do the work; sweeps find what has no alarm, or no row, and end it. Each does
//! a bounded amount (an invocation may make 50 calls), each is isolated from the others, and each candidate leaves its queue
//! before it is tried, so that one that cannot be helped keeps no other waiting (I13).

mod budgets;
mod inventory;
mod overdue;
mod prune;
mod restarts;
mod warm;

pub(super) use prune::GONE_KEPT;

use std::time::Duration;

use ringfence_protocol::sweeps::{SweepActionView, SweepKind, SweepOutcomeView, SweepParams, SweepView};
use ringfence_protocol::time::UnixMillis;

use super::caller::Caller;
use super::outcome::Accounts;
use super::revoke;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ports::{Platform, Statement};
use crate::store::{audit, sweeps};

/// How old the last success of a sweep may be before `/readyz` says so: three missed runs of the rarest.
pub const LATE: Duration = Duration::from_secs(30 * 60);
/// The cron prunes once in so many minutes: its reads are the dearest.
const PRUNE_MINUTES: i64 = 10;
/// The cron looks at budgets once in so many minutes: it reads a row for each machine there is.
const BUDGET_MINUTES: i64 = 3;

/// The cron looks at every ready node once in so many minutes.
const CLOSE_LOOK_MINUTES: i64 = 60;

/// Reports that are written at once: calls are counted.
const REPORTED_TOGETHER: usize = 3;

/// How closely sweeps look.
#[derive(Debug, Clone, Copy)]
struct Looks {
    overdue: overdue::Look,
    accounts: inventory::Turn,
}

/// Whether a sweep acts or only tells what it would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It acts.
    Act,
    /// It changes nothing, here or at a provider.
    DryRun,
}

/// What one sweep did, or would do.
type Actions = Vec<SweepActionView>;

/// One minute of the cron. The order goes round, so that a sweep that takes the whole Worker down lets the others come first
/// the next time.
pub async fn cron(p: &impl Platform, config: &Config, accounts: &impl Accounts) -> Vec<(SweepKind, Error)> {
    let minute = p.now().as_secs() / 60;
    let mut failures = Vec::new();
    let mut reports = Vec::new();
    let overdue = if minute % CLOSE_LOOK_MINUTES == 0 { overdue::Look::Close } else { overdue::Look::Quick };
    let looks = Looks { overdue, accounts: inventory::Turn::Due };
    let kinds = SweepKind::ALL;
    let first = usize::try_from(minute).unwrap_or(0) % kinds.len().max(1);
    for kind in kinds.iter().cycle().skip(first).take(kinds.len()) {
        // Where a run is cut short, those that came first are reported: each comes first in its minute.
        if reports.len() >= REPORTED_TOGETHER {
            let _ = p.batch(std::mem::take(&mut reports)).await;
        }
        if minute % pause(*kind) != 0 {
            continue;
        }
        let outcome = one(p, config, accounts, *kind, Mode::Act, looks).await;
        reports.push(report(*kind, &outcome, p.now()));
        if let Err(error) = outcome {
            failures.push((*kind, error));
        }
    }
    // Nobody depends on it: the next minute writes it again.
    let _ = p.batch(reports).await;
    failures
}

/// In minutes.
const fn pause(kind: SweepKind) -> i64 {
    match kind {
        SweepKind::Revocations | SweepKind::Overdue | SweepKind::Inventory | SweepKind::Restarts | SweepKind::Warm => 1,
        SweepKind::Budgets => BUDGET_MINUTES,
        SweepKind::Prune => PRUNE_MINUTES,
    }
}

/// Every sweep at once, for an admin, and what each did or would do.
pub async fn on_demand(
    p: &impl Platform,
    config: &Config,
    accounts: &impl Accounts,
    caller: &Caller,
    params: &SweepParams,
) -> Result<SweepView> {
    caller.require_admin()?;
    if params.dry_run == Some(true) {
        return Ok(all(p, config, accounts, Mode::DryRun).await);
    }
    p.batch(vec![audit::record(&caller.act("sweep.run", "", ""), p.now())]).await?;
    Ok(all(p, config, accounts, Mode::Act).await)
}

/// Every sweep at once.
pub async fn all(p: &impl Platform, config: &Config, accounts: &impl Accounts, mode: Mode) -> SweepView {
    let (mut outcomes, mut reports) = (Vec::new(), Vec::new());
    for kind in SweepKind::ALL {
        let looks = Looks { overdue: overdue::Look::Close, accounts: inventory::Turn::Any };
        let outcome = one(p, config, accounts, *kind, mode, looks).await;
        reports.push(report(*kind, &outcome, p.now()));
        outcomes.push(match outcome {
            Ok(actions) => SweepOutcomeView { sweep: *kind, problem: None, actions },
            Err(error) => SweepOutcomeView { sweep: *kind, problem: Some(error.detail), actions: Vec::new() },
        });
    }
    if mode == Mode::Act {
        let _ = p.batch(reports).await;
    }
    SweepView { dry_run: mode == Mode::DryRun, sweeps: outcomes }
}

async fn one(
    p: &impl Platform,
    config: &Config,
    accounts: &impl Accounts,
    kind: SweepKind,
    mode: Mode,
    looks: Looks,
) -> Result<Actions> {
    match kind {
        SweepKind::Revocations if mode == Mode::DryRun => Ok(Vec::new()),
        SweepKind::Revocations => revoke::repeat_open(p).await.map(|()| Vec::new()),
        SweepKind::Overdue => overdue::sweep(p, &config.settings.timing, mode, looks.overdue).await,
        SweepKind::Budgets => budgets::sweep(p, &config.settings, mode).await,
        SweepKind::Restarts => restarts::sweep(p, &config.settings, mode).await,
        SweepKind::Warm => warm::sweep(p, config, mode).await,
        SweepKind::Inventory => inventory::sweep(p, config, accounts, mode, looks.accounts).await,
        SweepKind::Prune => prune::sweep(p, &config.settings.timing, mode).await,
    }
}

fn report(kind: SweepKind, outcome: &Result<Actions>, now: UnixMillis) -> Statement {
    match outcome {
        Ok(_) => sweeps::succeeded(kind.as_str(), now),
        Err(error) => sweeps::failed(kind.as_str(), error.code.as_str(), now),
    }
}

/// A list of texts as one parameter of a statement.
fn json_list(texts: &[String]) -> String {
    serde_json::to_string(texts).unwrap_or_else(|_| "[]".into())
}
