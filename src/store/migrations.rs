//! Whether the database has what this code needs. Migrations are applied in order, so the newest one stands for all of them.

use crate::ports::Statement;

/// Counts what the newest migration has made: one, or none in a database that lacks it.
pub fn newest() -> Statement {
    Statement::new("SELECT COUNT(*) AS present FROM sqlite_master WHERE name = 'ending_causes'", [])
}
