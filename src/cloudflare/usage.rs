//! What a request costs at the database.

use std::sync::atomic::AtomicU64;

/// What the database was asked on behalf of one request, for the log and the budgets.
#[derive(Debug, Default)]
pub struct Usage {
    /// Statements run.
    pub statements: AtomicU64,
    /// Rows read, as D1 bills them.
    pub rows_read: AtomicU64,
    /// Rows written, as D1 bills them: an insert into a table with two indexes writes three.
    pub rows_written: AtomicU64,
}
