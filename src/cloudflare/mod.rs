//! Adapters: the core's seams on Cloudflare's platform.

mod d1;
mod environment;
mod host;
mod location;
mod stub;
mod usage;

pub use environment::shared;
pub use host::Host;
pub use stub::{NODE_HEADER, NodeCall, TICKET_HEADER, Ticket, Viewer, forward};
pub use usage::Usage;
