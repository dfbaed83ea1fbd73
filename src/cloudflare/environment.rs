//! The configuration, from the Worker's variables and secrets.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::config::{Config, InvalidConfig};

thread_local! {
    static SHARED: OnceCell<Result<Arc<Config>, InvalidConfig>> = const { OnceCell::new() };
}

/// The configuration of this isolate, read on first use. An invalid one stays invalid until the next deployment.
pub fn shared(env: &worker::Env) -> Result<Arc<Config>, InvalidConfig> {
    // A secret and a variable are both plain strings of the environment.
    let lookup = |name: &str| env.secret(name).ok().map(|value| value.to_string());
    SHARED.with(|shared| shared.get_or_init(|| Config::read(lookup).map(Arc::new)).clone())
}
