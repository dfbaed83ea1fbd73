//! What an object writes to the log.

use std::sync::atomic::Ordering;

use ringfence_protocol::ids::NodeId;

use crate::cloudflare::Usage;

use crate::error::Error;

/// One line for what went wrong with a node.
pub(super) fn error(what: &str, node: NodeId, failure: &Error) {
    worker::console_error!("{what} of {node}: {} {}", failure.code, failure.log.as_deref().unwrap_or(&failure.detail));
}

/// One line for what an alarm, and all that came since the one before, has asked of the database and done in the object. Of the alarm itself
/// what is done by then: it is counted as a call, and its time and last writes with the next one's.
pub(super) fn alarm(node: NodeId, used: &Usage) {
    usage("alarm", Some(node), used);
}

/// One line for what a run of the cron has asked of the database.
pub(super) fn cron(used: &Usage) {
    usage("cron", None, used);
}

fn usage(message: &'static str, node: Option<NodeId>, usage: &Usage) {
    let entry = Entry {
        message,
        node,
        statements: usage.statements.swap(0, Ordering::Relaxed),
        rows_read: usage.rows_read.swap(0, Ordering::Relaxed),
        rows_written: usage.rows_written.swap(0, Ordering::Relaxed),
        object_requests: usage.object_requests.swap(0, Ordering::Relaxed),
        object_messages: usage.object_messages.swap(0, Ordering::Relaxed),
        object_ms: usage.object_ms.swap(0, Ordering::Relaxed),
        object_rows_written: usage.object_rows_written.swap(0, Ordering::Relaxed),
    };
    if let Ok(line) = serde_json::to_string(&entry) {
        worker::console_log!("{line}");
    }
}

#[derive(serde::Serialize)]
struct Entry {
    message: &'static str,
    #[serde(rename = "node.id", skip_serializing_if = "Option::is_none")]
    node: Option<NodeId>,
    #[serde(rename = "d1.statements")]
    statements: u64,
    #[serde(rename = "d1.rows_read")]
    rows_read: u64,
    #[serde(rename = "d1.rows_written")]
    rows_written: u64,
    #[serde(rename = "object.requests")]
    object_requests: u64,
    #[serde(rename = "object.messages")]
    object_messages: u64,
    #[serde(rename = "object.duration_ms")]
    object_ms: u64,
    #[serde(rename = "object.rows_written")]
    object_rows_written: u64,
}
