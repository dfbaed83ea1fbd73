//! Everything a request could have changed: the database row by row, and the machines at the cloud.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::{Map, Value};

use super::stage::Stage;

/// What agents report by themselves, whatever anybody asks.
const OBSERVED: [&str; 6] =
    ["cpu_percent", "memory_percent", "facts_json", "facts_at_ms", "last_hello_at_ms", "connected_at_ms"];

/// A copy of the whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Ledger {
    rows: BTreeMap<String, BTreeSet<String>>,
}

impl Ledger {
    pub async fn read(stage: &Stage) -> Result<Self> {
        let mut rows = BTreeMap::new();
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '_cf_*'
            AND name NOT GLOB 'sqlite_*' AND name <> 'd1_migrations'";
        for table in stage.stack.d1(tables, &[]).await? {
            let name = table["name"].as_str().unwrap().to_owned();
            let all = stage.stack.d1(&format!("SELECT * FROM {name}"), &[]).await?;
            rows.insert(name, all.into_iter().map(without_observations).collect());
        }
        let machines = reqwest::get(format!("{}/_machines", stage.stack.cloud_url())).await?.text().await?;
        rows.insert("the cloud's machines".into(), BTreeSet::from([machines]));
        Ok(Self { rows })
    }

    /// What is here and was not before, and the reverse, one line each.
    pub fn changes_since(&self, before: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        for (table, now) in &self.rows {
            let then = &before.rows[table];
            changes.extend(now.difference(then).map(|row| format!("+ {table} {row}")));
            changes.extend(then.difference(now).map(|row| format!("- {table} {row}")));
        }
        changes
    }
}

fn without_observations(mut row: Map<String, Value>) -> String {
    row.retain(|name, _| !OBSERVED.contains(&name.as_str()));
    Value::Object(row).to_string()
}
