//! Adapters: the core's seams on Cloudflare's platform.

mod d1;
mod host;
mod stub;

pub use host::{DB_BINDING, Host, NODES_BINDING, Usage};
pub use stub::{NodeCall, TICKET_HEADER, Ticket, forward};
