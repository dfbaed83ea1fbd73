//! Durable Objects: load → domain → persist → effects → alarm at the next deadline.

mod alarm;
mod fault;
mod log;
#[allow(missing_docs)] // the `durable_object` macro adds undocumented glue
mod node_object;
mod panics;
mod progress;
mod relay;
mod sockets;

pub use node_object::NodeObject;
pub use panics::install_hook;

use crate::app::revoke;
use crate::cloudflare::Host;

/// What the cron does, once a minute. Sweeps come here, each isolated from the others.
pub async fn cron(env: worker::Env) {
    let host = Host::new(env);
    if let Err(error) = revoke::repeat_open(&host).await {
        worker::console_error!("cron: revocations: {}", error.log.unwrap_or(error.detail));
    }
}
