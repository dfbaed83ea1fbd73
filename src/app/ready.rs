//! Whether the control plane can work: database, keys, migrations.

use ringfence_protocol::views::{CheckView, ReadyView};
use serde::Deserialize;

use crate::config::Config;
use crate::ports::Platform;
use crate::store::{migrations, one};

#[derive(Deserialize)]
struct Present {
    present: i64,
}

/// Runs every check. Details are for the public: they name no host, no key and no row.
pub async fn check(p: &impl Platform, config: &Config) -> ReadyView {
    let found = one::<Present>(p, migrations::newest_tables()).await;
    let database = CheckView {
        name: "database".into(),
        ok: found.is_ok(),
        detail: found.is_err().then(|| "The database does not answer.".into()),
    };
    let migrated = matches!(&found, Ok(Some(row)) if row.present == migrations::NEWEST_TABLES);
    let migrations = CheckView {
        name: "migrations".into(),
        ok: migrated,
        detail: (!migrated).then(|| "The database lacks a migration: apply d1-migrations.".into()),
    };
    // The configuration was accepted, so there is a key; a set without public keys would verify nothing.
    let has_keys = !config.keyring.jwks().keys.is_empty();
    let keys = CheckView { name: "keys".into(), ok: has_keys, detail: None };
    ReadyView { ready: database.ok && migrations.ok && keys.ok, checks: vec![database, migrations, keys] }
}
