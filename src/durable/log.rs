//! What an object writes to the log.

use ringfence_protocol::ids::NodeId;

use crate::error::Error;

/// One line for what went wrong with a node.
pub(super) fn error(what: &str, node: NodeId, failure: &Error) {
    worker::console_error!("{what} of {node}: {} {}", failure.code, failure.log.as_deref().unwrap_or(&failure.detail));
}
