//! Adapters: the core's seams on Cloudflare's platform.

mod d1;
mod environment;
mod host;
mod location;
mod stub;

pub use environment::shared;
pub use host::{DB_BINDING, Host, NODES_BINDING, Usage};
pub use stub::{NODE_HEADER, NodeCall, TICKET_HEADER, Ticket, Viewer, forward};
