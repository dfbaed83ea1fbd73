//! What a request, or an event of an object, costs.

use std::sync::atomic::AtomicU64;

/// What was asked of the database on behalf of one request, and what an object did itself, for the log and the budgets.
#[derive(Debug, Default)]
pub struct Usage {
    /// Statements run.
    pub statements: AtomicU64,
    /// Rows read, as D1 bills them.
    pub rows_read: AtomicU64,
    /// Rows written, as D1 bills them: an insert into a table with two indexes writes three.
    pub rows_written: AtomicU64,
    /// Calls of the object and its alarms: each is billed.
    pub object_requests: AtomicU64,
    /// Messages that came in over its sockets: twenty are billed as a call.
    pub object_messages: AtomicU64,
    /// How long it was at work, in milliseconds; what ran side by side counts twice.
    pub object_ms: AtomicU64,
    /// Rows of its own storage that were written; setting an alarm is one.
    pub object_rows_written: AtomicU64,
}
