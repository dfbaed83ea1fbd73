//! Durable Objects: load → domain → persist → effects → alarm at the next deadline.

mod alarm;
mod away;
mod fault;
mod log;
#[allow(missing_docs)] // the `durable_object` macro adds undocumented glue
mod node_object;
mod panics;
mod progress;
mod pulse;
mod relay;
mod sockets;

pub use node_object::NodeObject;
pub use panics::install_hook;

use crate::app::provisioner::Vault;
use crate::app::sweep;
use crate::cloudflare::Host;

/// What the cron does, once a minute: the sweeps, each isolated from the others.
pub async fn cron(env: worker::Env) {
    let Ok(config) = crate::cloudflare::shared(&env) else {
        worker::console_error!("cron: no valid configuration");
        return;
    };
    let host = Host::new(env);
    for (kind, error) in sweep::cron(&host, &config, &Vault(&config)).await {
        worker::console_error!("cron: {kind}: {}", error.log.unwrap_or(error.detail));
    }
    log::cron(host.usage());
}
