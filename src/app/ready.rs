//! Whether the control plane can work: database, keys, migrations, and sweeps that do not stand still.

use ringfence_protocol::sweeps::{SweepKind, SweepStatusView};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::{CheckView, ReadyView};
use serde::Deserialize;

use super::sweep::LATE;
use crate::config::Config;
use crate::ports::{DbError, Outcome, Platform};
use crate::store::sweeps::{self, OldestRow, SweepRow};
use crate::store::{all, first, migrations};

#[derive(Deserialize)]
struct Present {
    present: i64,
}

/// Runs every check. Details are for the public: they name no host, no key and no row.
pub async fn check(p: &impl Platform, config: &Config) -> ReadyView {
    let answer = p.batch(vec![migrations::newest()]).await.map(is_present);
    let database = CheckView {
        name: "database".into(),
        ok: answer.is_ok(),
        detail: answer.is_err().then(|| "The database does not answer.".into()),
    };
    let migrated = matches!(answer, Ok(true));
    let migrations = CheckView {
        name: "migrations".into(),
        ok: migrated,
        detail: (!migrated).then(|| "The database lacks a migration: apply d1-migrations.".into()),
    };
    // The configuration was accepted, so there is a key; a set without public keys would verify nothing.
    let has_keys = !config.keyring.jwks().keys.is_empty();
    let keys = CheckView { name: "keys".into(), ok: has_keys, detail: None };
    let status = if migrated { read_status(p).await.unwrap_or_default() } else { Vec::new() };
    let late = late(&status, p.now());
    let sweeping = CheckView {
        name: "sweeps".into(),
        ok: late.is_empty(),
        detail: (!late.is_empty()).then(|| format!("Not run to their end for long: {}.", late.join(", "))),
    };
    let checks = vec![database, migrations, keys, sweeping];
    ReadyView { ready: checks.iter().all(|check| check.ok), checks, sweeps: status }
}

fn is_present(outcomes: Vec<Outcome>) -> bool {
    let row = first::<Present>(outcomes.into_iter().next());
    matches!(row, Ok(Some(row)) if row.present > 0)
}

async fn read_status(p: &impl Platform) -> Result<Vec<SweepStatusView>, DbError> {
    let mut outcomes = p.batch(vec![sweeps::status(), sweeps::oldest_account()]).await?.into_iter();
    let rows = all::<SweepRow>(outcomes.next());
    let oldest = first::<OldestRow>(outcomes.next()).ok().flatten().and_then(|row| row.oldest_at_ms);
    let views = rows.into_iter().filter_map(|row| {
        let sweep: SweepKind = row.name.parse().ok()?;
        Some(SweepStatusView {
            sweep,
            succeeded_at: row.succeeded_at_ms.map(UnixMillis::new),
            oldest_at: oldest.filter(|_| sweep == SweepKind::Inventory).map(UnixMillis::new),
        })
    });
    Ok(views.collect())
}

/// The sweeps that have begun to fail, or to stay away. An installation whose cron never ran has none: it may be minutes old.
fn late(status: &[SweepStatusView], now: UnixMillis) -> Vec<&'static str> {
    let is_late = |view: &&SweepStatusView| view.succeeded_at.is_none_or(|at| now.since(at) > LATE);
    status.iter().filter(is_late).map(|view| view.sweep.as_str()).collect()
}
