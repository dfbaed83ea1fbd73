//! Every SQL string of the control plane, one file per aggregate: functions that give statements, rows they are read into.
//! Each statement runs on D1 in the Worker and on SQLite in the native tests.

pub mod admission;
pub mod audit;
pub mod bootstrap;
pub mod budget_alerts;
pub mod budgets;
pub mod credentials;
pub mod events;
pub mod gateway;
pub mod idempotency;
pub mod identity;
pub mod limits;
pub mod migrations;
pub mod nodes;
pub mod posture;
pub mod prune;
pub mod quota;
pub mod restarts;
pub mod sweeps;
pub mod switches;
pub mod tenants;
pub mod versions;
pub mod warm;
pub mod workspaces;

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::ports::{Db, Outcome, Statement};

/// The first row a statement gives, if any.
pub async fn one<T: DeserializeOwned>(db: &impl Db, statement: Statement) -> Result<Option<T>> {
    first(db.batch(vec![statement]).await?.into_iter().next())
}

/// Every row a statement gives that can be read: one bad row does not hide the others.
pub async fn many<T: DeserializeOwned>(db: &impl Db, statement: Statement) -> Result<Vec<T>> {
    Ok(all(db.batch(vec![statement]).await?.into_iter().next()))
}

/// The first row of an outcome. A row that cannot be read is an error here: somebody asked for exactly this one.
pub fn first<T: DeserializeOwned>(outcome: Option<Outcome>) -> Result<Option<T>> {
    let (good, bad) = outcome.unwrap_or_default().decode();
    match (good.into_iter().next(), bad.into_iter().next()) {
        (Some(row), _) => Ok(Some(row)),
        (None, Some(reason)) => Err(Error::internal(format!("a row cannot be read: {reason}"))),
        (None, None) => Ok(None),
    }
}

/// The rows of an outcome that can be read.
pub fn all<T: DeserializeOwned>(outcome: Option<Outcome>) -> Vec<T> {
    outcome.unwrap_or_default().decode().0
}

/// Whether the statement at `index` of a batch changed a row.
pub fn changed(outcomes: &[Outcome], index: usize) -> bool {
    outcomes.get(index).is_some_and(|outcome| outcome.changes > 0)
}
