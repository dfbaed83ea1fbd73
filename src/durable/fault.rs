//! Panics on order, for the test that an object recovers from one. `RINGFENCE_FAULT` lists handlers (`fetch`, `message`,
//! `alarm`); each object panics once in each. `database` among them, or
//! `database:<from>-<until>`, cuts the database off, in `cloudflare/host.rs`. Never set outside
//! tests: a panic takes down the isolate's other requests.

use worker::{Env, Storage};

/// The handlers that are to panic.
pub(super) struct Faults(Option<String>);

impl Faults {
    /// Reads the order.
    pub(super) fn read(env: &Env) -> Self {
        Self(env.var("RINGFENCE_FAULT").ok().map(|value| value.to_string()).filter(|text| !text.is_empty()))
    }

    /// Panics if this handler is to, and has not yet. That it has is stored first, since a panic loses the object's memory.
    pub(super) async fn strike(&self, storage: Storage, handler: &str) {
        let ordered = self.0.as_ref().is_some_and(|list| list.split(',').any(|ordered| ordered == handler));
        if !ordered {
            return;
        }
        let key = format!("fault:{handler}");
        let struck: Option<bool> = storage.get(&key).await.ok().flatten();
        if struck.is_none() && storage.put(&key, true).await.is_ok() && storage.sync().await.is_ok() {
            #[allow(clippy::panic)]
            {
                panic!("RINGFENCE_FAULT ordered this panic in {handler}");
            }
        }
    }
}
